"""Scaling laws: constants that are known come back, intervals hold as often as they say, too little is refused."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import f

from nas.errors import NasError
from nas.scale.choose import lack_of_fit
from nas.scale.forms import ASYMPTOTE, BROKEN, PARAMS_DATA, POWER, Array, Form
from nas.scale.law import fit_law, why_insufficient
from nas.scale.means import Observation

SIZES = np.geomspace(1e6, 32e6, 5)


def observed(loss: Array, sizes: Array, *, noise: float = 0.0, seed: int = 0) -> list[Observation]:
    """Three runs of each size."""
    rng = np.random.default_rng(seed)
    return [
        Observation((float(size),), float(value * np.exp(noise * rng.normal())), f"{size:g} {run}")
        for size, value in zip(sizes, loss, strict=True)
        for run in range(3)
    ]


@pytest.mark.parametrize(("irreducible", "scale", "exponent"), [(0.3, 1e3, 0.5), (0.05, 20, 0.3), (1.0, 1e5, 0.8)])
def test_constants_without_noise_come_back(irreducible: float, scale: float, exponent: float) -> None:
    law = fit_law(observed(irreducible + scale * SIZES**-exponent, SIZES), draws=20)
    found = {name: one.loss for name, one in law.constants().items()}
    assert found == pytest.approx({"E": irreducible, "A": scale, "a": exponent}, rel=1e-3)
    assert law.loss(128e6) == pytest.approx(irreducible + scale * 128e6**-exponent, rel=1e-4)


def test_a_pure_power_law_comes_back_with_and_without_an_asymptote() -> None:
    losses = 50 * SIZES**-0.35
    assert fit_law(observed(losses, SIZES), POWER, draws=20).constants()["a"].loss == pytest.approx(0.35, rel=1e-4)
    assert fit_law(observed(losses, SIZES), ASYMPTOTE, draws=20).loss(1e9) == pytest.approx(50 * 1e9**-0.35, rel=0.01)


def test_parameters_and_data_together() -> None:
    # Hoffmann et al. 2022, equation 10: the published constants.
    def loss(params: float, data: float) -> float:
        return float(1.69 + 406.4 / params**0.34 + 410.7 / data**0.28)

    observations = [
        Observation((n, d), loss(n, d), f"{n:g} {d:g}")
        for n in np.geomspace(1e8, 1e10, 4)
        for d in np.geomspace(1e9, 1e11, 4)
    ]
    law = fit_law(observations, PARAMS_DATA, draws=20)
    assert law.loss(7e10, 1.4e12) == pytest.approx(loss(7e10, 1.4e12), rel=1e-3)
    assert law.constants()["E"].loss == pytest.approx(1.69, rel=0.01)


def test_a_broken_law_follows_its_break() -> None:
    sizes = np.geomspace(1, 1e4, 12)
    losses = 0.1 + sizes**-0.1 * (1 + (sizes / 100) ** 4) ** (-0.4 / 4)
    observations = observed(losses, sizes, noise=1e-4)
    broken, plain = fit_law(observations, BROKEN, draws=20), fit_law(observations, draws=20)
    truth = 0.1 + 4e4**-0.1 * (1 + 400.0**4) ** (-0.4 / 4)
    assert abs(broken.loss(4e4) / truth - 1) < 0.02
    assert abs(plain.loss(4e4) / truth - 1) > 0.05


def test_an_outlier_moves_little() -> None:
    observations = observed(0.3 + 1e3 * SIZES**-0.5, SIZES, noise=0.005)
    clean = fit_law(observations, draws=20).loss(128e6)
    spoilt = [*observations[:-1], Observation(observations[-1].size, 2 * observations[-1].loss, "diverged")]
    assert fit_law(spoilt, draws=20).loss(128e6) == pytest.approx(clean, rel=0.05)


def coverage(laws: int, *, draws: int) -> tuple[float, float]:
    """Share of 90 % intervals that hold the value at 4 times the largest size, and the median error."""
    sizes = np.geomspace(1, 32, 5)
    truth = 0.3 + 128**-0.5
    held, off = [], []
    for seed in range(laws):
        found = fit_law(observed(0.3 + sizes**-0.5, sizes, noise=0.02, seed=seed), draws=draws).forecast(128.0)
        held.append(found.low <= truth <= found.high)
        off.append(abs(found.loss / truth - 1))
    return float(np.mean(held)), float(np.median(off))


def test_intervals_hold_about_as_often_as_they_say() -> None:
    # 50 laws: the binomial's 99.9 % range around 0.9 is 0.74 to 1.
    held, off = coverage(50, draws=150)
    assert held >= 0.74
    assert off < 0.035


@pytest.mark.slow
def test_intervals_hold_nine_times_in_ten() -> None:
    held, off = coverage(500, draws=300)
    assert 0.86 <= held <= 0.94
    assert off < 0.025


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


def test_a_law_that_does_not_fit_is_told_from_one_that_does() -> None:
    sizes = np.geomspace(1, 32, 5)
    found = []
    for seed in range(200):
        observations = observed(0.3 + sizes**-0.5, sizes, noise=0.02, seed=seed)
        likely = lack_of_fit(fit_law(observations, draws=2), observations)
        assert likely is not None
        found.append(likely)
    # Of laws that hold one in twenty is below 0.05: within three standard errors of 200.
    assert 0.004 <= np.mean(np.array(found) < 0.05) <= 0.096
    rising = observed(0.3 + 0.05 * np.log(sizes), sizes, noise=0.02, seed=0)
    likely = lack_of_fit(fit_law(rising, draws=2), rising)
    assert likely is not None
    assert likely < 1e-3


def test_the_test_of_fit_is_the_one_of_the_textbook() -> None:
    """Against an analysis of variance by hand, of a power law over three sizes with two runs each."""
    losses = {1.0: (1.0, 1.1), 2.0: (0.9, 0.8), 4.0: (0.5, 0.55), 8.0: (0.45, 0.5)}
    observations = [
        Observation((size,), loss, f"{size} {i}") for size, two in losses.items() for i, loss in enumerate(two)
    ]
    law = fit_law(observations, POWER, draws=2)
    logs = {size: np.log(two) for size, two in losses.items()}
    within = sum((two - two.mean()) @ (two - two.mean()) for two in logs.values())
    between = sum(2 * (two.mean() - np.log(law.loss(size))) ** 2 for size, two in logs.items())
    expected = f.sf((between / 2) / (within / 4), 2, 4)
    assert lack_of_fit(law, observations) == pytest.approx(expected)
