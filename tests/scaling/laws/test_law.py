"""Scaling laws: constants that are known come back, intervals hold as often as they say, too little is refused."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import f, linregress, norm, t

from nas.errors import NasError
from nas.scaling.laws.form_fits import held_out_rates
from nas.scaling.laws.forms import ASYMPTOTE, BROKEN, PARAMS_DATA, POWER, Array, Form
from nas.scaling.laws.law import Forecast, fit_law, fit_untested, why_insufficient, why_not_shown_to_fall
from nas.scaling.laws.observations import Observation, size_means
from nas.scaling.laws.selection import compare_forms, select_form
from tests.frozen import changeable

SIZES = np.geomspace(1e6, 32e6, 5)


def observed(loss: Array, sizes: Array, *, noise: float = 0.0, seed: int = 0, runs: int = 3) -> list[Observation]:
    """Some runs of each size."""
    rng = np.random.default_rng(seed)
    return [
        Observation((float(size),), float(value * np.exp(noise * rng.normal())), f"{size:g} {run}")
        for size, value in zip(sizes, loss, strict=True)
        for run in range(runs)
    ]


@pytest.mark.parametrize(("irreducible", "scale", "exponent"), [(0.3, 1e3, 0.5), (0.05, 20, 0.3), (1.0, 1e5, 0.8)])
def test_constants_without_noise_come_back(irreducible: float, scale: float, exponent: float) -> None:
    law = fit_law(observed(irreducible + scale * SIZES**-exponent, SIZES))
    found = {name: one.loss for name, one in law.constants().items()}
    assert found == pytest.approx({"E": irreducible, "A": scale, "a": exponent}, rel=1e-3)
    assert law.loss(128e6) == pytest.approx(irreducible + scale * 128e6**-exponent, rel=1e-4)


def test_a_pure_power_law_comes_back_with_and_without_an_asymptote() -> None:
    losses = 50 * SIZES**-0.35
    assert fit_law(observed(losses, SIZES), POWER).constants()["a"].loss == pytest.approx(0.35, rel=1e-4)
    assert fit_law(observed(losses, SIZES), ASYMPTOTE).loss(1e9) == pytest.approx(50 * 1e9**-0.35, rel=0.01)


def test_parameters_and_data_together() -> None:
    # Hoffmann et al. 2022, equation 10: the published constants.
    def loss(params: float, data: float) -> float:
        return float(1.69 + 406.4 / params**0.34 + 410.7 / data**0.28)

    observations = [
        Observation((n, d), loss(n, d), f"{n:g} {d:g}")
        for n in np.geomspace(1e8, 1e10, 4)
        for d in np.geomspace(1e9, 1e11, 4)
    ]
    law = fit_law(observations, PARAMS_DATA)
    assert law.loss(7e10, 1.4e12) == pytest.approx(loss(7e10, 1.4e12), rel=1e-3)
    assert law.constants()["E"].loss == pytest.approx(1.69, rel=0.01)


def test_a_broken_law_follows_its_break() -> None:
    sizes = np.geomspace(1, 1e4, 12)
    losses = 0.1 + sizes**-0.1 * (1 + (sizes / 100) ** 4) ** (-0.4 / 4)
    observations = observed(losses, sizes, noise=1e-4)
    broken, plain = fit_law(observations, BROKEN), fit_untested(observations)
    truth = 0.1 + 4e4**-0.1 * (1 + 400.0**4) ** (-0.4 / 4)
    assert abs(broken.loss(4e4) / truth - 1) < 0.02
    assert abs(plain.loss(4e4) / truth - 1) > 0.05


def test_an_outlier_moves_little() -> None:
    observations = observed(0.3 + 1e3 * SIZES**-0.5, SIZES, noise=0.005)
    clean = fit_law(observations).loss(128e6)
    spoilt = [*observations[:-1], Observation(observations[-1].size, 2 * observations[-1].loss, "diverged")]
    assert fit_law(spoilt).loss(128e6) == pytest.approx(clean, rel=0.05)


def coverage(laws: int, form: Form, *, irreducible: float, scatter: float = 0.0, runs: int = 3) -> float:
    """Share of 90 % intervals that hold the value at 4 times the largest size."""
    sizes = np.geomspace(1, 32, 5)
    truth = irreducible + 128**-0.5
    held = []
    for seed in range(laws):
        off = np.exp(scatter * np.random.default_rng(seed + 10_000).normal(size=5))
        observations = observed((irreducible + sizes**-0.5) * off, sizes, noise=0.02, seed=seed, runs=runs)
        found = fit_untested(observations, form).forecast(128.0)
        held.append(found.low <= truth <= found.high)
    return float(np.mean(held))


def test_intervals_hold_about_as_often_as_they_say() -> None:
    # 30 laws: the binomial's 0.5 % quantile for 0.9.
    assert coverage(30, ASYMPTOTE, irreducible=0.3) >= 0.75


def test_many_runs_of_sizes_that_scatter_are_no_more_sizes() -> None:
    """Rounded channels put each size off by 2 %: thirty runs of each, all alike, would seem to settle that."""
    held = coverage(60, POWER, irreducible=0.0, scatter=0.02, runs=30)
    assert 0.78 <= held <= 0.99


@pytest.mark.slow
@pytest.mark.parametrize(("irreducible", "scatter", "runs"), [(0.3, 0.0, 3), (0.0, 0.0, 3), (0.3, 0.02, 5)])
def test_intervals_hold_nine_times_in_ten(irreducible: float, scatter: float, runs: int) -> None:
    assert 0.86 <= coverage(500, ASYMPTOTE, irreducible=irreducible, scatter=scatter, runs=runs) <= 0.95


def test_the_interval_of_a_straight_line_is_students() -> None:
    """A power law is a line in logarithms: scipy's regression of the means, and once more without the smallest ones."""
    observations = observed(2 * SIZES**-0.3, SIZES, noise=0.02, seed=4)
    found = fit_law(observations, POWER).forecast(128e6)
    x, at = np.log(SIZES), np.log(128e6)
    y = np.array([np.mean([np.log(one.loss) for one in observations if one.size[0] == size]) for size in SIZES])
    line = linregress(x, y)
    left = y - line.intercept - line.slope * x
    error = np.sqrt((left @ left) / 3 * (1 / 5 + (at - x.mean()) ** 2 / ((x - x.mean()) ** 2).sum()))
    value = line.intercept + line.slope * at
    moved = []
    for rows in ([0], [0, 1]):
        other = linregress(np.delete(x, rows), np.delete(y, rows))
        moved.append(other.intercept + other.slope * at - value)
    down, up = (
        np.hypot(t.ppf(0.95, 3) * error, 0.8 * norm.ppf(0.95) * most)
        for most in (max(0.0, -min(moved)), max(0.0, *moved))
    )
    assert down != pytest.approx(up, rel=0.02)
    assert np.log(found.loss) == pytest.approx(value, abs=1e-6)
    assert np.log([found.low, found.high]) == pytest.approx([value - down, value + up], rel=0, abs=0.01 * min(down, up))


def test_the_exponent_of_sizes_whose_scatter_shows_has_students_interval() -> None:
    """Nothing is left out there: scipy's standard error of a slope."""
    observations = observed(2 * SIZES**-0.3 * np.exp([0.02, -0.03, 0.03, -0.02, 0.01]), SIZES, noise=0.002, seed=4)
    law = fit_law(observations, POWER)
    assert law.poor_fit
    y = [np.mean([np.log(one.loss) for one in observations if one.size[0] == size]) for size in SIZES]
    line, found = linregress(np.log(SIZES), y), law.constants()["a"]
    half = t.ppf(0.95, 3) * line.stderr
    assert (found.low, found.high) == pytest.approx((-line.slope - half, -line.slope + half), rel=0, abs=0.01 * half)


def test_the_mean_of_runs_of_a_further_network_has_its_scatter_and_noise() -> None:
    observations = observed(2 * SIZES**-0.3 * np.exp([0.04, -0.04, 0.05, -0.04, 0.02]), SIZES, noise=0.01, seed=4)
    law = fit_law(observations, POWER)
    alone, four = law.forecast(2e7), law.forecast(2e7, seeds=4)
    half = [np.log(one.high / one.low) / 2 for one in (alone, four)]
    own = np.hypot(t.ppf(0.95, 3) * law.scatter, t.ppf(0.95, 10) * law.noise / 2)
    assert half[1] == pytest.approx(np.hypot(half[0], own), rel=0.02)
    assert law.scatter == pytest.approx(0.05, rel=0.4)
    assert law.noise == pytest.approx(0.01, rel=0.4)


def test_the_noise_of_runs_widens_a_forecast_of_runs() -> None:
    law = fit_law(observed(0.3 + 1e3 * SIZES**-0.5, SIZES, noise=0.02))
    alone, one, many = law.forecast(2e7), law.forecast(2e7, seeds=1), law.forecast(2e7, seeds=100)
    assert alone.width < one.width
    assert many.width == pytest.approx(alone.width, rel=0.1)
    assert law.noise == pytest.approx(0.02, rel=0.5)


def test_epochs_of_one_run_count_as_one_run() -> None:
    apart = observed(0.3 + 1e3 * SIZES**-0.5, SIZES, noise=0.02)
    repeated = [one for one in apart for _ in range(4)]  # the same losses, four epochs of each run
    assert fit_law(repeated).forecast(128e6).width == pytest.approx(fit_law(apart).forecast(128e6).width, rel=0.2)


def test_same_seed_same_interval() -> None:
    observations = observed(0.3 + 1e3 * SIZES**-0.5, SIZES, noise=0.02)
    assert fit_law(observations, seed=3).forecast(1e8) == fit_law(observations, seed=3).forecast(1e8)


@pytest.mark.parametrize(
    ("sizes", "form", "message"),
    [
        (np.geomspace(1, 32, 3), ASYMPTOTE, "insufficient: 3 sizes, but E \\+ A C\\^-a needs 4"),
        (np.geomspace(1, 7.5, 6), ASYMPTOTE, "7.5 times the smallest, but a law needs 8 times"),
        (np.geomspace(1, 32, 5), BROKEN, "5 sizes"),
        (np.geomspace(1, 32, 5), PARAMS_DATA, "is in 2 sizes, but the observations have 1"),
    ],
)
def test_too_little_is_refused(sizes: Array, form: Form, message: str) -> None:
    observations = observed(sizes**-0.5, sizes)
    assert why_insufficient(observations, form)
    with pytest.raises(NasError, match=message):
        fit_law(observations, form)


def test_one_run_a_size_is_enough_for_as_many_sizes_as_constants_and_one() -> None:
    observations = [one for one in observed(SIZES**-0.5, SIZES) if one.run.endswith("0")]
    assert why_insufficient(observations) == ""
    assert "3 runs" in why_insufficient(
        [Observation(one.size, one.loss, str(i % 3)) for i, one in enumerate(observations)]
    )


@pytest.mark.parametrize("loss", [0.0, -1.0, float("nan"), float("inf")])
def test_a_loss_that_is_none_is_refused(loss: float) -> None:
    with pytest.raises(NasError, match="losses > 0"):
        fit_law([*observed(SIZES**-0.5, SIZES), Observation((1e6,), loss, "x")])


def test_of_laws_that_hold_few_are_doubted() -> None:
    sizes = np.geomspace(1, 32, 5)
    likely = [
        fit_untested(observed(sizes**-0.5, sizes, noise=0.02, seed=seed), POWER).lack_of_fit for seed in range(120)
    ]
    # One in twenty is below 0.05: within three standard errors of 120.
    assert 0 < np.mean([one is not None and one < 0.05 for one in likely]) <= 0.11


def test_the_test_of_fit_is_the_one_of_the_textbook() -> None:
    """Against an analysis of variance by hand, of a power law over three sizes with two runs each."""
    losses = {1.0: (1.0, 1.1), 2.0: (0.9, 0.8), 4.0: (0.5, 0.55), 8.0: (0.45, 0.5)}
    observations = [
        Observation((size,), loss, f"{size} {i}") for size, two in losses.items() for i, loss in enumerate(two)
    ]
    law = fit_untested(observations, POWER)
    logs = {size: np.log(two) for size, two in losses.items()}
    within = sum((two - two.mean()) @ (two - two.mean()) for two in logs.values())
    between = sum(2 * (two.mean() - np.log(law.loss(size))) ** 2 for size, two in logs.items())
    assert law.lack_of_fit == pytest.approx(f.sf((between / 2) / (within / 4), 2, 4))


FURTHER = np.geomspace(1, 32, 5)


@pytest.mark.parametrize(
    ("losses", "message"),
    [
        (0.3 * FURTHER**0.1, "the loss does not fall"),
        (0.3 + 0.05 * np.log(FURTHER), "the loss does not fall"),
        (np.full(5, 0.2), "the loss does not fall"),
        (0.3 + 0.1 * np.log(FURTHER / 14) ** 2, r"E \+ A C\^-a does not fit: it misses the sizes by .* \(p = "),
        (FURTHER**-0.1 * (1 + (FURTHER / 6) ** 4) ** -0.15, ".* does not fit"),
    ],
)
def test_losses_that_follow_no_law_are_refused(losses: Array, message: str) -> None:
    for seed in range(3):
        observations = observed(losses, FURTHER, noise=0.02 if np.ptp(losses) else 0.0, seed=seed)
        with pytest.raises(NasError, match=message):
            fit_law(observations)


def test_a_law_that_is_doubted_is_widened_by_its_error_on_held_out_sizes() -> None:
    """An exponent of 0.8 that becomes 0.2 inside the sizes: what a law makes of it is too high beyond them."""
    losses, truth = (size**-0.8 * (1 + (size / 6) ** 4) ** 0.15 for size in (FURTHER, 128.0))
    laws = [fit_law(observed(losses, FURTHER, noise=0.01, seed=seed)) for seed in range(5)]
    assert all(law.poor_fit and max(law.held_out_rates) > 0 for law in laws)
    found = [law.forecast(128.0) for law in laws]
    assert all(one.low <= truth <= one.high for one in found)
    # Within the sizes nothing is held out.
    assert laws[0].forecast(5.0).width < found[0].width / 2


def test_held_out_sizes_lie_below_and_above_a_law_apart() -> None:
    """scipy's lines through all but the largest one and two sizes, each error over the logarithm of the step."""
    sizes = np.geomspace(1, 1000, 6)
    means = size_means(
        observed(2 * sizes**-0.3 * np.exp([0.0, 0.0, 0.01, -0.02, 0.05, -0.04]), sizes, noise=0.002, seed=4)
    )
    x, y = np.log(sizes), means.y
    rates = []
    for kept in (5, 4):
        line = linregress(x[:kept], y[:kept])
        rates += list((y[kept:] - line.intercept - line.slope * x[kept:]) / (x[kept:] - x[kept - 1]))
    assert min(rates) < 0 < max(rates)
    assert held_out_rates(means, POWER) == pytest.approx((-min(rates), max(rates)), rel=1e-3)


def test_logarithms_fall_within_what_a_law_says() -> None:
    truth = 1 - 0.1 * np.log(128.0)
    found = [
        fit_law(observed(1 - 0.1 * np.log(FURTHER), FURTHER, noise=0.01, seed=seed)).forecast(128.0)
        for seed in range(8)
    ]
    assert sum(one.low <= truth <= one.high for one in found) >= 6


def test_a_run_that_diverged_hardly_moves_the_mean_of_its_size() -> None:
    observations = observed(SIZES**-0.3, SIZES, noise=0.01)
    spoilt = [*observations[:-1], Observation(observations[-1].size, 5 * observations[-1].loss, "diverged")]
    before, after = size_means(observations), size_means(spoilt)
    assert after.y[:-1] == pytest.approx(before.y[:-1])
    assert 0 < after.y[-1] - before.y[-1] < 0.04


def test_all_forms_are_tried_on_the_same_held_out_sizes() -> None:
    """Eight sizes: a broken law, of six constants, can be fitted without one of them but not without two."""
    sizes = np.geomspace(1, 128, 8)
    observations = observed(0.3 + sizes**-0.5, sizes, noise=0.02)
    tried = {one.form.name: one.error for one in compare_forms(observations)}
    rest = [one for one in observations if one.size[0] < 128]
    largest = np.mean([np.log(one.loss) for one in observations if one.size[0] >= 128])
    for form in (ASYMPTOTE, POWER, BROKEN):
        assert tried[form.name] == pytest.approx(abs(largest - np.log(fit_untested(rest, form).loss(128.0))), abs=1e-4)
    # Without the broken one, the others are tried on the two largest as well.
    assert compare_forms(observations, (ASYMPTOTE,))[0].error != pytest.approx(tried["asymptote"])


def test_a_broken_law_does_not_win_where_a_plain_one_fits() -> None:
    sizes = np.geomspace(1, 128, 8)
    for seed in range(4):
        assert select_form(observed(0.3 + sizes**-0.5, sizes, noise=0.02, seed=seed)) is ASYMPTOTE
    sizes = np.geomspace(1, 1e4, 12)
    broken = sizes**-0.1 * (1 + (sizes / 100) ** 4) ** (-0.4 / 4)
    assert select_form(observed(broken, sizes, noise=1e-3)) is BROKEN


def test_sizes_of_few_runs_weigh_less() -> None:
    """Against numpy's weighted line, with the moment estimate of the sizes' own scatter by hand."""
    counts = (2, 3, 9, 4, 12)
    observations = [
        one
        for size, count in zip(SIZES, counts, strict=True)
        for one in observed(2 * np.array([size]) ** -0.3, np.array([size]), noise=0.03, seed=count, runs=count)
    ]
    logs = [np.log([one.loss for one in observations if one.size[0] == size]) for size in SIZES]
    x, y = np.log(SIZES), np.array([own.mean() for own in logs])
    noise = sum(((own - own.mean()) ** 2).sum() for own in logs) / (sum(counts) - 5)
    left = y - np.polyval(np.polyfit(x, y, 1), x)
    scatter = max(0.0, left @ left / 3 - np.mean(noise / np.array(counts)))
    line = np.polyfit(x, y, 1, w=1 / np.sqrt(scatter + noise / np.array(counts)))
    law = fit_law(observations, POWER)
    assert law.scatter == pytest.approx(np.sqrt(scatter), abs=1e-6)
    assert np.log(law.loss(128e6)) == pytest.approx(np.polyval(line, np.log(128e6)), abs=1e-6)


def exact(losses: Array, sizes: Array, runs: int) -> list[Observation]:
    """Runs that agree but for rounding."""
    return [
        Observation((float(size),), float(value) * (1 + 2.2e-16 * run), f"{size:g} {run}")
        for size, value in zip(sizes, losses, strict=True)
        for run in range(runs)
    ]


SIX = np.geomspace(1, 32, 6)


@pytest.mark.parametrize("runs", [1, 3])
@pytest.mark.parametrize("unit", [1e-300, 1.0, 1e200])
@pytest.mark.parametrize(("irreducible", "exponent"), [(0.0, 0.2), (0.0, 1.1), (0.1, 0.3), (1.0, 0.8)])
def test_an_exact_power_law_is_never_refused(runs: int, unit: float, irreducible: float, exponent: float) -> None:
    law = fit_law(exact(unit * (irreducible + SIX**-exponent), SIX, runs))
    assert law.lack_of_fit is None
    assert law.loss(128.0) == pytest.approx(unit * (irreducible + 128**-exponent), rel=0.01)
    assert law.forecast(128.0).width < 0.01


def test_a_forecast_is_in_the_unit_of_the_losses() -> None:
    observations = observed(0.3 + SIX**-0.5, SIX, noise=0.02)
    found = fit_law(observations)
    for unit in (1e-200, 1e5):
        other = fit_law([Observation(one.size, unit * one.loss, one.run) for one in observations])
        ends = [
            (one.loss, one.low, one.high) for one in (found.forecast(128.0, seeds=3), other.forecast(128.0, seeds=3))
        ]
        assert ends[1] == pytest.approx(tuple(unit * end for end in ends[0]), rel=1e-3, abs=0)
        for name in ("E", "a"):
            scale = unit if name == "E" else 1.0
            assert other.constants()[name].loss == pytest.approx(scale * found.constants()[name].loss, rel=1e-3, abs=0)


@pytest.mark.parametrize("runs", [1, 3])
@pytest.mark.parametrize(
    "losses",
    [
        0.2 + 0.05 * np.log(SIX / 10) ** 2,  # a U, least at a third of the largest size
        0.3 + 0.006 * np.log(SIX / 6) ** 2,  # a shallow one, which a law misses by less than 5 %
        0.1 + 0.1 * np.abs(np.log(SIX / 20)),  # turns before the largest
        np.where(SIX < 5, 1.0, 0.1),
        np.where(SIX < 30, 1.0, 0.01),
        SIX**-0.05 * (1 + (SIX / 8) ** 8) ** -0.07,  # steeper from 8 on
    ],
)
def test_what_follows_no_law_is_refused_without_noise_that_says_so(losses: Array, runs: int) -> None:
    with pytest.raises(NasError, match="does not fit"):
        fit_law(exact(losses, SIX, runs))


def test_a_size_that_the_smaller_ones_do_not_foretell_is_refused() -> None:
    """Seven sizes on a power law but for the largest, 12 % above it: a law misses them all by less than 5 %."""
    sizes = np.geomspace(1, 64, 7)
    losses = sizes**-0.3 * np.where(sizes > 60, 1.12, 1.0)
    with pytest.raises(NasError, match=r"size 64, as the smaller ones foretell it, is 11.*% off"):
        fit_law(exact(losses, sizes, 1))
    fit_law(exact(sizes**-0.3 * np.where(sizes > 60, 1.03, 1.0), sizes, 1))  # as far off as rounding puts a size


def test_laws_of_one_noisy_run_a_size_are_rarely_refused() -> None:
    refused = 0
    for seed in range(10):
        for losses in (SIX**-0.2, 0.3 + SIX**-0.8):
            try:
                fit_law(observed(losses, SIX, noise=0.02, seed=seed, runs=1), draws=1)
            except NasError:
                refused += 1
    assert refused <= 3


@pytest.mark.parametrize("size", [(0,), (-1.0,), (float("nan"),), (float("inf"),), (True,), ("a",), (), (1.0, 2.0)])
def test_a_size_that_is_none_has_no_loss(size: tuple[float, ...]) -> None:
    law = fit_law(observed(SIZES**-0.3, SIZES), POWER)
    for ask in (law.forecast, law.loss):
        with pytest.raises(NasError, match=r"a size must be a number > 0, but got|is in 1 sizes, but got [02]"):
            ask(*size)


@pytest.mark.parametrize("confidence", [0, 1, 2, -0.5, float("nan"), True, "a"])
def test_a_confidence_that_is_none_is_refused(confidence: float) -> None:
    law = fit_law(observed(SIZES**-0.3, SIZES), POWER)
    for ask in (lambda: law.forecast(1e8, confidence=confidence), lambda: law.constants(confidence)):
        with pytest.raises(NasError, match="the confidence of an interval must be a number between 0 and 1, but got"):
            ask()


@pytest.mark.parametrize("seeds", [0, -3, 1.5, True])
def test_a_forecast_is_of_one_run_at_least(seeds: int) -> None:
    law = fit_law(observed(SIZES**-0.3, SIZES), POWER)
    with pytest.raises(NasError, match=r"seeds, .* must be a whole number from 1 on, but got"):
        law.forecast(1e8, seeds=seeds)
    assert law.forecast(np.float64(1e8), seeds=int(np.int64(2))) == law.forecast(1e8, seeds=2)


def test_a_law_that_may_be_level_says_so() -> None:
    """Against the slope's p of scipy's regression of the means."""
    for slope, noise, level in ((-0.002, 0.03, True), (-0.3, 0.02, False)):
        observations = observed(0.3 * SIX**slope, SIX, noise=noise, seed=1, runs=2)
        y = [np.mean([np.log(one.loss) for one in observations if one.size[0] == size]) for size in SIX]
        p = linregress(np.log(SIX), y).pvalue
        assert p > 0.2 if level else p < 0.01
        text = why_not_shown_to_fall(fit_untested(observations, POWER))
        assert ("reaches 0" in text) == level


def test_what_was_fitted_never_changes() -> None:
    """A study holds the files and processes of its trainings."""
    assert changeable("nas.scaling") == {"ScalingStudy"}


@pytest.mark.parametrize(
    ("forecast", "text"),
    [
        (Forecast(0.01925, 0.0123, 0.07407), "0.01925 (0.0123 to 0.07407)"),
        (Forecast(0.01925, 2.865e-14, 0.07407), "0.01925 (0 to 0.07407)"),
        (Forecast(1.58e-11, 0.0, 3.2), "0 (0 to any)"),
        (Forecast(0.25, 0.1, 1e6), "0.25 (0.1 to any)"),
    ],
)
def test_an_interval_is_written_as_a_reader_takes_it(forecast: Forecast, text: str) -> None:
    assert forecast.text == text
