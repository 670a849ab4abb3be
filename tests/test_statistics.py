"""Tests and intervals of comparisons: against scipy and closed formulas, and by repetition where nothing differs."""

from __future__ import annotations

from itertools import combinations, product
from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import brentq
from scipy.stats import (
    PermutationMethod,
    binom,
    binomtest,
    bootstrap,
    chisquare,
    false_discovery_control,
    quantile_test,
    sem,
    skew,
    ttest_1samp,
    ttest_ind,
)
from scipy.stats import norm as normal
from scipy.stats import t as student

from nas.statistics import (
    Array,
    Paired,
    _mean_p,
    bootstrap_counts,
    bootstrap_indices,
    holm,
    judge,
    mean_interval,
    median_interval,
    paired,
    permutations,
    seeds_needed,
    stratified,
    student_factor,
    unpaired,
)

# Correction for many comparisons


def test_holm_by_hand() -> None:
    """0.01 x 4, 0.02 x 3, 0.03 x 2 (not below 0.06), 0.5; ties and more than one."""
    assert holm([0.03, 0.01, 0.5, 0.02]) == pytest.approx([0.06, 0.04, 0.5, 0.06])
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_is_between_no_correction_and_bonferronis(values: list[float]) -> None:
    found = holm(values)
    # Benjamini & Hochberg's control of a weaker thing is never stricter.
    weaker = false_discovery_control(values)
    for value, corrected, other in zip(values, found, weaker, strict=True):
        assert max(value, other - 1e-12) <= corrected <= min(1.0, len(values) * value)
    assert [found[place] for place in np.argsort(values)] == sorted(found)


# Medians


@pytest.mark.parametrize("size", range(1, 41))
def test_the_interval_of_a_median_is_the_narrowest_between_order_statistics(size: int) -> None:
    """Of n values the i-th from below and from above hold the median with the chance 1 - 2 P(Bin(n, 1/2) < i)."""
    middle, low, high = median_interval(np.arange(size, dtype=float)[::-1])
    assert middle == (size - 1) / 2
    chances = [1 - 2 * binom.cdf(rank, size, 0.5) for rank in range(size // 2)]
    enough = [rank for rank, chance in enumerate(chances) if chance >= 0.95]
    if size < 6:
        assert not enough
        assert np.isnan([low, high]).all()
    else:
        assert (low, high) == (max(enough), size - 1 - max(enough))
        assert (low, high) == tuple(quantile_test(np.arange(size), p=0.5).confidence_interval(0.95))


@pytest.mark.parametrize("draw", ["normal", "exponential", "standard_cauchy", "poisson"])
def test_intervals_of_medians_cover(draw: str) -> None:
    """In 95 % of 400 repetitions, less three standard errors, for any distribution."""
    median = {"normal": 0.0, "exponential": np.log(2), "standard_cauchy": 0.0, "poisson": 1.0}[draw]
    rng = np.random.default_rng(1)
    for size in (6, 7, 17):
        held = 0
        for _ in range(400):
            _, low, high = median_interval(np.asarray(getattr(rng, draw)(size=size), float))
            held += low <= median <= high
        assert held / 400 >= 0.95 - 0.033


# Pairs


@given(st.lists(st.integers(-3, 3), min_size=1, max_size=25))
def test_no_pair_is_judged_by_less_than_the_sign_test(gaps: list[int]) -> None:
    values = np.array(gaps, float)
    found = paired(values, np.zeros(len(gaps)))
    ahead, behind = sum(gap > 0 for gap in gaps), sum(gap < 0 for gap in gaps)
    assert (found.ahead, found.behind) == (ahead, behind)
    assert found.p >= (binomtest(ahead, ahead + behind).pvalue if ahead + behind else 1) - 1e-12
    if len(gaps) > 1 and np.ptp(values) > 0:
        assert found.p >= ttest_1samp(values, 0).pvalue - 1e-12
    turned = paired(np.zeros(len(gaps)), values)
    assert (turned.p, turned.median, turned.ahead) == pytest.approx((found.p, -found.median, behind))


def test_pairs_by_hand() -> None:
    """Seven of eight ahead: 2 (1 + 8) / 2^8 = 0.0703; all of eight: 2 / 2^8. The interval of eight is all of them."""
    most = paired(np.array([1.0, 1.1, 0.9, 1.2, 0.8, 1.0, 2.9, -0.1]), np.zeros(8))
    assert most.p == pytest.approx(18 / 256)
    assert (most.median, most.low, most.high) == pytest.approx((1.0, -0.1, 2.9))
    every = paired(np.arange(2.0, 10.0), np.ones(8))
    assert every.p == every.min_p == pytest.approx(2 / 256)
    assert (every.verdict, paired(np.ones(8), np.arange(2.0, 10.0)).verdict) == ("better", "worse")


def test_ahead_mostly_and_far_behind_at_times_is_not_better() -> None:
    gaps = np.array([0.1] * 26 + [-5.0] * 4)
    assert binomtest(26, 30).pvalue < 0.001
    assert paired(gaps, np.zeros(30)).verdict == "not shown"
    assert paired(np.where(gaps < 0, 0.0, gaps), np.zeros(30)).verdict == "better"


def test_the_test_of_the_mean_is_robust_to_skewness() -> None:
    """Skewed differences with mean 0: Student's has a p below 5 % in about 10 % of samples of 12."""
    # Of -1, 0 and 4 it is 2 P(t_2 > z), with z + c (1 + 2 z^2) = |t| by hand: towards the longer tail c is 0.
    three = np.array([-1.0, 0.0, 4.0])
    assert _mean_p(three) == pytest.approx(ttest_1samp(three, 0).pvalue)
    seen, c = abs(ttest_1samp(three - 5, 0).statistic), 2 * skew(three) / 6 / np.sqrt(3)
    beyond = brentq(lambda z: z + c * (1 + 2 * z**2) - seen, 0, seen)
    assert _mean_p(three - 5) == pytest.approx(2 * student.sf(beyond, 2))
    rng = np.random.default_rng(0)
    samples = rng.exponential(size=(1000, 12)) - 1
    assert (ttest_1samp(samples, 0, axis=1).pvalue <= 0.05).mean() > 0.08
    assert np.mean([_mean_p(one) <= 0.05 for one in samples]) < 0.07
    assert 0.02 < np.mean([_mean_p(one) <= 0.05 for one in rng.normal(size=(1000, 12))]) < 0.065


@pytest.mark.parametrize(
    ("gaps", "verdict"),
    [
        ([1.0, 2.0, 1.5, 1.2, 1.1, 1.9], "better"),
        ([-1.0, -2.0, -1.5, -1.2, -1.1, -1.9], "worse"),
        ([1.0, -1.0, 0.5, 1.0, 0.3, -0.2], "not shown"),
        ([0.0] * 6, "not shown"),
        ([1.0, 2.0, 1.5, 1.2, 1.1], "too few seeds to tell: at least 6"),
        ([1.0], "too few seeds to tell: at least 6"),
    ],
)
def test_verdicts(gaps: list[float], verdict: str) -> None:
    assert paired(np.array(gaps), np.zeros(len(gaps))).verdict == verdict


@pytest.mark.parametrize(("comparisons", "seeds"), [(1, 6), (2, 7), (3, 7), (5, 8), (9, 9), (15, 10)])
def test_seeds_that_comparisons_need(comparisons: int, seeds: int) -> None:
    """The fewest n whose smallest p, 2^(1 - n), is below 5 % of one comparison."""
    assert seeds_needed(comparisons) == seeds
    for number in (seeds - 1, seeds):
        found: list[Paired] = [paired(np.linspace(1, 2, number), np.zeros(number)) for _ in range(comparisons)]
        expected = "better" if number == seeds else f"too few seeds to tell: at least {seeds}"
        assert {one.text for one in judge(found)} == {expected}


# Samples


@pytest.mark.parametrize("sizes", [(4, 4), (3, 5), (6, 7)])
def test_the_test_of_two_samples_by_every_division(sizes: tuple[int, int]) -> None:
    """With scipy's t and interval of Welch: the share of the divisions whose |t| is as large."""
    rng = np.random.default_rng(sum(sizes))
    one, other = rng.exponential(size=sizes[0]), 2 + rng.exponential(size=sizes[1])
    found, welch = unpaired(one, other), ttest_ind(one, other, equal_var=False)
    every = np.concatenate([one, other])
    firsts = list(combinations(range(len(every)), sizes[0]))
    seconds = [[place for place in range(len(every)) if place not in first] for first in firsts]
    sizes_of_t = np.abs(ttest_ind(every[np.array(firsts)], every[np.array(seconds)], axis=1, equal_var=False).statistic)
    share = (sizes_of_t >= abs(welch.statistic) - 1e-9).mean()
    assert found.p == pytest.approx(max(share, welch.pvalue))
    assert (found.low, found.high) == pytest.approx(tuple(welch.confidence_interval(0.95)))
    assert found.mean == pytest.approx(one.mean() - other.mean())


@pytest.mark.parametrize("sizes", [[(2, 2), (2, 3)], [(3, 3), (3, 3), (2, 2)]])
def test_the_test_within_strata_by_every_division(sizes: list[tuple[int, int]]) -> None:
    """By the definition: the difference of the means, averaged over the strata, by Welch's error of that mean."""
    rng = np.random.default_rng(len(sizes))
    strata = [
        (rng.exponential(size=first), 10 * n + rng.exponential(size=second)) for n, (first, second) in enumerate(sizes)
    ]

    def statistic(divided: list[tuple[Array, Array]]) -> float:
        gaps = [first.mean() - second.mean() for first, second in divided]
        errors = [each.var(ddof=1) / len(each) for pair in divided for each in pair]
        return float(abs(sum(gaps)) / np.sqrt(sum(errors)))

    ways = []
    for first, second in strata:
        every = np.concatenate([first, second])
        chosen = combinations(range(len(every)), len(first))
        ways.append([(every[list(places)], np.delete(every, places)) for places in chosen])
    all_ways = np.array([statistic(list(divided)) for divided in product(*ways)])
    found, seen = stratified(strata), statistic(strata)
    # Satterthwaite: the degrees of freedom of a sum of variances, each with those of its own sample.
    errors = [(sem(each) ** 2, len(each) - 1) for pair in strata for each in pair]
    freedom = sum(error for error, _ in errors) ** 2 / sum(error**2 / free for error, free in errors)
    share = (all_ways >= seen - 1e-9).mean()
    assert found.p == pytest.approx(max(share, 2 * student.sf(seen, freedom)))
    half = student.ppf(0.975, freedom) * np.sqrt(sum(error for error, _ in errors)) / len(sizes)
    assert (found.low, found.high) == pytest.approx((found.mean - half, found.mean + half))
    assert found.mean == pytest.approx(np.mean([first.mean() - second.mean() for first, second in strata]))
    turned = stratified([(second, first) for first, second in strata])
    assert (turned.p, turned.mean, turned.low) == pytest.approx((found.p, -found.mean, -found.high))
    # Far apart, no division but the true one, and its mirror where all are of equal sizes, is as large.
    apart = stratified([(first + 1e3, second) for first, second in strata])
    mirrored = all(first == second for first, second in sizes)
    assert apart.min_p == pytest.approx((1 + mirrored) / len(all_ways))
    assert apart.p == pytest.approx(apart.min_p, rel=1e-9)


def test_the_test_of_large_samples_draws_divisions() -> None:
    rng = np.random.default_rng(0)
    one, other = rng.normal(size=40), rng.normal(0.4, size=20)
    found = unpaired(one, other)
    expected = ttest_ind(one, other, equal_var=False, method=PermutationMethod(n_resamples=9999, rng=1)).pvalue
    assert found.p == pytest.approx(max(expected, ttest_ind(one, other, equal_var=False).pvalue), abs=0.01)
    assert found == unpaired(one, other)


def test_samples_too_small_to_show_anything() -> None:
    """Three of each can be divided in 20 ways, two of which are the most extreme: p >= 0.1."""
    one = unpaired(np.array([1.0, 1.1, 1.2]), np.array([9.0, 9.1, 9.2]))
    assert one.p == pytest.approx(2 / comb(6, 3))
    assert one.verdict == "too few to tell: at least 4 of each"
    four = unpaired(np.array([1.0, 1.1, 1.2, 1.3]), np.array([9.0, 9.1, 9.2, 9.3]))
    assert four.p == pytest.approx(2 / comb(8, 4))
    assert four.verdict == "worse"
    assert {each.text for each in judge([four, four])} == {"too few to tell: at least 5 of each"}
    assert unpaired(np.array([1.0]), np.array([2.0, 3.0])).verdict.startswith("too few")


def test_few_runs_of_several_strata_show_what_those_of_one_cannot() -> None:
    """Three of each in three strata can be divided in 20^3 ways: 3 comparisons may be made, and of one stratum none."""
    low, high = np.array([0.1, 0.11, 0.12]), np.array([0.2, 0.21, 0.23])
    three = stratified([(high, low)] * 3)
    assert [each.text for each in judge([three] * 3)] == ["better"] * 3
    assert [each.text for each in judge([stratified([(high, low)])])] == ["too few to tell: at least 4 of each"]
    # 2 / 6^2 = 0.056 of two runs in two strata; 2 / 20^2 = 0.005 of three.
    two = stratified([(high[:2], low[:2])] * 2)
    assert two.verdict == "too few to tell: at least 3 of each"


def test_equal_samples_of_strata_differ_rarely() -> None:
    """Skewed values at other levels and scales in each: 5 % of the verdicts, and three standard errors."""
    rng, wrong = np.random.default_rng(0), 0
    for _ in range(300):
        strata = [(level * rng.lognormal(size=3), level * rng.lognormal(size=3)) for level in (1, 2, 4)]
        wrong += stratified(strata).verdict != "not shown"
    assert wrong / 300 <= 0.05 + 0.038


def test_equal_samples_differ_rarely() -> None:
    """Of skewed values, a few beside many: 5 % of the verdicts, and three standard errors; Welch's alone has more."""
    rng, wrong, welch = np.random.default_rng(0), 0, 0
    for _ in range(300):
        one, other = rng.lognormal(sigma=1.5, size=24), rng.lognormal(sigma=1.5, size=3)
        wrong += unpaired(one, other).verdict != "not shown"
        welch += ttest_ind(one, other, equal_var=False).pvalue <= 0.05
    assert wrong / 300 <= 0.05 + 0.038 < welch / 300


def test_samples_that_do_not_vary_have_no_interval() -> None:
    """What is exact still says how rare it is: one of 56 divisions of five and three has all of one kind together."""
    found = unpaired(np.full(5, 0.1), np.full(3, 0.102))
    assert np.isnan([found.low, found.high]).all()
    assert found.mean == pytest.approx(-0.002)
    assert found.p == pytest.approx(1 / 56)
    alike = unpaired(np.array([0.1, 0.1, 0.1]), np.array([0.1, 0.1, 0.1, 0.1]))
    assert alike.p == 1.0
    assert alike.mean == pytest.approx(0.0)
    assert np.isnan(alike.low)


def test_every_division_is_looked_at_once() -> None:
    """The smallest p of four beside two is one in all 15 divisions."""
    values = np.array([0.0, 1.0, 2.0, 3.0, 50.0, 51.0])
    found = unpaired(values[4:], values[:4])
    assert found.min_p == pytest.approx(1 / len(list(combinations(range(6), 2))))
    assert found.p >= found.min_p


# Resampling and Student's intervals


def test_the_interval_of_a_mean_is_scipys() -> None:
    values = np.random.default_rng(0).exponential(size=7)
    expected = ttest_1samp(values, 0).confidence_interval(0.95)
    assert mean_interval(values.tolist()) == pytest.approx((expected.low, expected.high))
    assert np.isnan(mean_interval([1.0])).all()


def test_equal_scores_have_no_interval_which_would_have_no_width() -> None:
    assert np.isnan(mean_interval([0.9835, 0.9835])).all()
    assert np.isnan(mean_interval([0.9, float(np.float32(0.9)), 0.9])).all()  # one of them was counted in 32 bits
    assert np.isnan(mean_interval([42.0, float(np.nextafter(np.float32(42), np.float32(43)))])).all()
    assert mean_interval([0.9835] * 4) == pytest.approx(
        (0.9835, 0.9835)
    )  # by chance with 3 %, if the deviation is one image
    one_image_of_a_million = [0.9, 0.900001, 0.9]
    expected = ttest_1samp(one_image_of_a_million, 0).confidence_interval(0.95)
    assert mean_interval(one_image_of_a_million) == pytest.approx((expected.low, expected.high), abs=1e-9)


@pytest.mark.parametrize("quantile", [0.05, 0.975])
def test_students_factor_is_that_of_an_interval(quantile: float) -> None:
    """scipy's interval of a mean by Student over that of a normal distribution."""
    tail = abs(2 * quantile - 1)
    wide, narrow = student.interval(tail, 6)[1], normal.interval(tail)[1]
    assert student_factor(quantile, 6) == pytest.approx(wide / narrow)
    assert student_factor(quantile, 10**6) == pytest.approx(1.0, abs=1e-5)


@given(st.integers(1, 9), st.integers(1, 5), st.integers(1, 12))
def test_resampling_draws_so_many_of_each(size: int, draws: int, drawn: int) -> None:
    rng = np.random.default_rng(size)
    counts = bootstrap_counts(rng, size, draws, drawn=drawn)
    assert counts.shape == (draws, size)
    assert (counts.sum(axis=1) == drawn).all()
    assert (bootstrap_counts(rng, size, draws).sum(axis=1) == size).all()
    indices = bootstrap_indices(rng, size, draws)
    assert indices.shape == (draws, size)
    assert set(indices.ravel().tolist()) <= set(range(size))
    orders = permutations(rng, size, draws)
    assert (np.sort(orders, axis=1) == np.arange(size)).all()


def test_resampling_is_uniform() -> None:
    """Every value as often as any other, every order of three as often as any other: chi-squared tests."""
    rng = np.random.default_rng(0)
    for sums in (
        bootstrap_counts(rng, 6, 3000, drawn=4).sum(axis=0),
        np.bincount(bootstrap_indices(rng, 6, 3000).ravel()),
        np.unique(permutations(rng, 3, 6000) @ np.array([9, 3, 1]), return_counts=True)[1],
    ):
        assert len(sums) == 6
        assert chisquare(sums).pvalue > 0.01


def test_a_bootstrap_is_scipys() -> None:
    """The standard error of a mean, from counts and from indices."""
    values, rng = np.random.default_rng(0).exponential(size=20), np.random.default_rng(1)
    expected = bootstrap((values,), np.mean, n_resamples=20_000, rng=2).standard_error
    assert (bootstrap_counts(rng, 20, 20_000) @ values / 20).std() == pytest.approx(expected, rel=0.03)
    assert values[bootstrap_indices(rng, 20, 20_000)].mean(axis=1).std() == pytest.approx(expected, rel=0.03)
