"""The surrogate against closed formulas and against what it is to learn."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from scipy.stats import multivariate_normal, norm, spearmanr

from nas.search.samplers import surrogate as module
from nas.search.samplers.encoding import Column, Encoding
from nas.search.samplers.surrogate import Facts, Surrogate, upper_half

SPREADS: dict[str, BaseDistribution] = {
    "kind": CategoricalDistribution(("a", "b", "c")),
    "kernel": CategoricalDistribution((3, 5, 7)),
    "depth": IntDistribution(1, 4),
    "skip": CategoricalDistribution((True, False)),
}


def test_levels_and_their_likeness() -> None:
    kind, kernel, skip = (Column(SPREADS[name]) for name in ("kind", "kernel", "skip"))
    assert [kind.level(v) for v in ("a", "c", "z")] == [0, 2, 3]
    np.testing.assert_array_equal(kind.likeness, np.eye(4))
    assert not skip.ordered
    near, far = kernel.likeness[0, 1], kernel.likeness[0, 2]
    assert 1 > near > far > 0
    assert kernel.likeness[3, :3].max() == 0.0  # not active is like no option


@pytest.mark.parametrize(
    ("spread", "values", "levels"),
    [
        (IntDistribution(0, 10, step=5), [0, 5, 10], [0, 1, 2]),
        (IntDistribution(1, 1024, log=True), [1, 32, 1024], [0, 16, 32]),
        (FloatDistribution(0.0, 1.0), [0.0, 0.5, 1.0, 2.0], [0, 16, 32, 32]),
        (FloatDistribution(2.0, 2.0), [2.0], [0]),
    ],
)
def test_levels_of_ranges(spread: BaseDistribution, values: list[float], levels: list[int]) -> None:
    assert [Column(spread).level(value) for value in values] == levels


def test_likeness_of_pairs_is_the_mean_over_all_pairs() -> None:
    encoding = Encoding(SPREADS)
    rng = np.random.default_rng(0)
    draws = [
        {"kind": "abc"[rng.integers(3)], "kernel": int(rng.choice([3, 5, 7])), "depth": int(rng.integers(1, 5))}
        for _ in range(5)
    ]
    rows = encoding.rows(draws)
    single, pairs = encoding.likeness(rows, encoding.projected(rows))
    columns = [Column(spread) for spread in SPREADS.values()]
    for i, j in itertools.product(range(5), repeat=2):
        each = [c.likeness[rows[i, d], rows[j, d]] for d, c in enumerate(columns)]
        assert single[i, j] == pytest.approx(np.mean(each))
        products = [each[a] * each[b] for a, b in itertools.combinations(range(4), 2)]
        assert pairs[i, j] == pytest.approx(np.mean(products))


def _problem(count: int, seed: int = 0) -> tuple[Encoding, Facts, np.ndarray[tuple[int], np.dtype[np.float64]]]:
    rng = np.random.default_rng(seed)
    encoding = Encoding({f"d{i}": CategoricalDistribution(tuple(range(3))) for i in range(6)})
    rows = rng.integers(0, 3, (count, 6))
    effect = np.random.default_rng(99).normal(size=(6, 3))
    scores = effect[np.arange(6), rows].sum(axis=1)
    return encoding, Facts(rows, scores[:, None] + 0.1 * rng.normal(size=(count, 1))), scores


def test_the_posterior_is_that_of_a_gaussian_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """With one member and its formulas written out: k' (K + s I)^-1 y, and the variance that is left."""
    monkeypatch.setattr(module, "_MIXES", ((0.7, 0.3, 0.0),))
    monkeypatch.setattr(module, "_NOISES", (0.1,))
    encoding, facts, scores = _problem(30)
    train, new = Facts(facts.rows[:20], facts.costs[:20]), Facts(facts.rows[20:], facts.costs[20:])
    mean, sd = Surrogate(encoding, train, scores[:20]).predict(new)
    y = (scores[:20] - scores[:20].mean()) / scores[:20].std()

    def kernel(a: Facts, b: Facts) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
        single, pairs = encoding.likeness(a.rows, encoding.projected(b.rows))
        return 0.7 * single + 0.3 * pairs + 0.3

    inverse = np.linalg.inv(kernel(train, train) + 0.1 * np.eye(20))
    scale = y @ inverse @ y / 20
    expected = kernel(new, train) @ inverse @ y
    left = scale * (1.3 - np.diag(kernel(new, train) @ inverse @ kernel(train, new)))
    np.testing.assert_allclose(mean, scores[:20].mean() + scores[:20].std() * expected, rtol=1e-6)
    np.testing.assert_allclose(sd, scores[:20].std() * np.sqrt(left), rtol=1e-6)


def test_evidence_is_the_marginal_likelihood() -> None:
    encoding, facts, scores = _problem(15)
    single, pairs = encoding.likeness(facts.rows, encoding.projected(facts.rows))
    setting = module._Setting((0.7, 0.3, 0.0), 1.0, 0.0, 0.1)
    none = np.zeros_like(single)
    likeness = module._Likeness(single, pairs, none, none, none[0])
    found = module._Process(setting, setting.covariance(likeness), scores)
    covariance = 0.7 * single + 0.3 * pairs + 0.3 + 0.1 * np.eye(15)
    scale = scores @ np.linalg.inv(covariance) @ scores / 15
    expected = multivariate_normal(np.zeros(15), scale * covariance).logpdf(scores)
    # Without what does not depend on the setting.
    assert found.evidence - 7.5 * (1 + np.log(2 * np.pi)) == pytest.approx(expected)


def test_it_ranks_networks_it_has_not_seen() -> None:
    encoding, facts, scores = _problem(100)
    surrogate = Surrogate(encoding, Facts(facts.rows[:50], facts.costs[:50]), scores[:50])
    mean, _ = surrogate.predict(Facts(facts.rows[50:], facts.costs[50:]))
    assert spearmanr(mean, scores[50:]).statistic > 0.9


def test_costs_may_be_unknown() -> None:
    encoding, facts, scores = _problem(60)
    surrogate = Surrogate(encoding, Facts(facts.rows[:40], np.zeros((40, 0))), scores[:40])
    mean, sd = surrogate.predict(Facts(facts.rows[40:], np.zeros((20, 0))))
    assert spearmanr(mean, scores[40:]).statistic > 0.8
    assert (sd > 0).all()


def test_believing_makes_sure_and_changes_no_mean() -> None:
    encoding, facts, scores = _problem(40)
    surrogate = Surrogate(encoding, Facts(facts.rows[:30], facts.costs[:30]), scores[:30])
    new = Facts(facts.rows[30:], facts.costs[30:])
    before, sd = surrogate.predict(new)
    after, surer = surrogate.believing(new).predict(new)
    assert (surer < sd).all()
    assert np.abs(after - before).max() < 0.2 * scores.std()


def test_equal_scores_teach_nothing() -> None:
    encoding, facts, _ = _problem(10)
    mean, _ = Surrogate(encoding, facts, np.full(10, 0.25)).predict(facts)
    np.testing.assert_allclose(mean, 0.25)


def test_the_better_half_stays_and_the_worse_half_has_its_spread() -> None:
    scores = np.array([0.1, 0.9, 0.91, 0.2, 0.92, 0.93, 0.89, 0.1])
    found = upper_half(scores)
    middle = np.median(scores)
    above = scores >= middle
    np.testing.assert_array_equal(found[above], scores[above])
    assert found.argsort(kind="stable").tolist() == scores.argsort(kind="stable").tolist()
    spread = np.sqrt(np.mean((scores[above] - middle) ** 2))
    # The worst but two of eight, as a normal distribution has it.
    assert found[3] == pytest.approx(middle + spread * norm.ppf((3 - 0.5) / 8))
    np.testing.assert_array_equal(upper_half(np.ones(4)), np.ones(4))


def test_a_belief_is_a_line_whose_slope_is_learned(monkeypatch: pytest.MonkeyPatch) -> None:
    """Written out: a covariance of 4 b b' on top of the others, which is a slope with a variance of 4."""
    monkeypatch.setattr(module, "_MIXES", ((1.0, 0.0, 0.0),))
    monkeypatch.setattr(module, "_NOISES", (0.1,))
    monkeypatch.setattr(module, "_SLOPES", (4.0,))
    encoding, facts, scores = _problem(30)
    beliefs = np.random.default_rng(5).normal(size=30)
    scores = scores - 2 * beliefs
    train, new = (Facts(facts.rows[part], facts.costs[part], beliefs[part]) for part in (slice(20), slice(20, None)))
    mean, sd = Surrogate(encoding, train, scores[:20]).predict(new)
    y = (scores[:20] - scores[:20].mean()) / scores[:20].std()

    def kernel(a: Facts, b: Facts) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
        single, _ = encoding.likeness(a.rows, encoding.projected(b.rows))
        return single + 0.3 + 4 * a.believed[:, None] * b.believed[None]

    inverse = np.linalg.inv(kernel(train, train) + 0.1 * np.eye(20))
    expected = kernel(new, train) @ inverse @ y
    left = y @ inverse @ y / 20 * np.diag(kernel(new, new) - kernel(new, train) @ inverse @ kernel(train, new))
    np.testing.assert_allclose(mean, scores[:20].mean() + scores[:20].std() * expected, rtol=1e-6)
    np.testing.assert_allclose(sd, scores[:20].std() * np.sqrt(left), rtol=1e-6)


@pytest.mark.parametrize(("slope", "gains"), [(3.0, True), (-3.0, True), (0.0, False)])
def test_beliefs_count_by_what_they_say(slope: float, gains: bool) -> None:
    """Whichever way they point they help; where they say nothing little is lost."""
    encoding, facts, scores = _problem(80)
    beliefs = np.random.default_rng(5).normal(size=80)
    scores = scores + slope * beliefs
    parts = slice(15), slice(15, None)
    errors = []
    for known in (beliefs, None):
        train, new = (Facts(facts.rows[p], np.zeros((80, 0))[p], None if known is None else known[p]) for p in parts)
        surrogate = Surrogate(encoding, train, scores[:15])
        mean, _ = surrogate.predict(new)
        errors.append(float(np.sqrt(np.mean((mean - scores[15:]) ** 2))))
        believing, _ = surrogate.believing(new).predict(new)
        assert np.abs(believing - mean).max() < 0.3 * scores.std()
    assert errors[0] < (0.7 if gains else 1.1) * errors[1]
