"""The surrogate against closed formulas and against what it is to learn."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from scipy.linalg import solve
from scipy.spatial.distance import cdist
from scipy.stats import multivariate_normal, norm, spearmanr

from nas.search.samplers import surrogate as module
from nas.search.samplers.encoding import Array, DecisionLevels, Encoding
from nas.search.samplers.surrogate import Features, Surrogate, warp_lower_half

DISTRIBUTIONS: dict[str, BaseDistribution] = {
    "kind": CategoricalDistribution(("a", "b", "c")),
    "kernel": CategoricalDistribution((3, 5, 7)),
    "depth": IntDistribution(1, 4),
    "skip": CategoricalDistribution((True, False)),
}


def test_levels_and_their_kernel() -> None:
    kind, kernel, skip = (DecisionLevels(DISTRIBUTIONS[name]) for name in ("kind", "kernel", "skip"))
    assert [kind.level(v) for v in ("a", "c", "z")] == [0, 2, 3]
    np.testing.assert_array_equal(kind.kernel, np.eye(4))
    assert not skip.ordered
    near, far = kernel.kernel[0, 1], kernel.kernel[0, 2]
    assert 1 > near > far > 0
    assert kernel.kernel[3, :3].max() == 0.0  # not active is like no option


@pytest.mark.parametrize(
    ("distribution", "values", "levels"),
    [
        (IntDistribution(0, 10, step=5), [0, 5, 10], [0, 1, 2]),
        (IntDistribution(0, 100), [0, 37, 100], [0, 37, 100]),
        (IntDistribution(1, 16, log=True), [1, 4, 16], [0, 16, 32]),
        (IntDistribution(1, 1024, log=True), [1, 32, 1024], [0, 5000, 10000]),
        (FloatDistribution(0.0, 1.0), [0.0, 0.5, 1.0, 2.0], [0, 5000, 10000, 10000]),
        (FloatDistribution(2.0, 2.0), [2.0], [0]),
    ],
)
def test_levels_of_ranges(distribution: BaseDistribution, values: list[float], levels: list[int]) -> None:
    assert [DecisionLevels(distribution).level(value) for value in values] == levels


def test_the_kernel_of_pairs_is_the_mean_over_all_pairs() -> None:
    encoding = Encoding(DISTRIBUTIONS)
    rng = np.random.default_rng(0)
    draws = [
        {"kind": "abc"[rng.integers(3)], "kernel": int(rng.choice([3, 5, 7])), "depth": int(rng.integers(1, 5))}
        for _ in range(5)
    ]
    rows = encoding.levels(draws)
    single, pairs = encoding.kernels(rows, encoding.kernel_columns(rows))
    columns = [DecisionLevels(distribution) for distribution in DISTRIBUTIONS.values()]
    for i, j in itertools.product(range(5), repeat=2):
        each = [c.kernel[rows[i, d], rows[j, d]] for d, c in enumerate(columns)]
        assert single[i, j] == pytest.approx(np.mean(each))
        products = [each[a] * each[b] for a, b in itertools.combinations(range(4), 2)]
        assert pairs[i, j] == pytest.approx(np.mean(products))


def _problem(count: int, seed: int = 0) -> tuple[Encoding, Features, Array]:
    rng = np.random.default_rng(seed)
    encoding = Encoding({f"d{i}": CategoricalDistribution(tuple(range(3))) for i in range(6)})
    rows = rng.integers(0, 3, (count, 6))
    effect = np.random.default_rng(99).normal(size=(6, 3))
    scores = effect[np.arange(6), rows].sum(axis=1)
    return encoding, Features(rows, scores[:, None] + 0.1 * rng.normal(size=(count, 1))), scores


def _part(features: Features, part: slice, prior_means: Array | None = None) -> Features:
    return Features(features.levels[part], features.costs[part], None if prior_means is None else prior_means[part])


@pytest.mark.parametrize(
    ("weights", "lengthscale", "slope"),
    [((0.7, 0.3, 0.0), 1.0, 0.0), ((0.2, 0.2, 0.6), 2.0, 0.0), ((1.0, 0.0, 0.0), 1.0, 4.0)],
    ids=["decisions", "costs", "prior means"],
)
def test_the_posterior_is_that_of_a_gaussian_process(
    weights: tuple[float, float, float], lengthscale: float, slope: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With one member and its formulas written out: k' (K + s I)^-1 y, and the variance that is left.

    The kernel over costs is by distances of SciPy; that of prior means b is 4 b b', a slope with a variance of 4.
    """
    monkeypatch.setattr(module, "_KERNEL_WEIGHTS", (weights,))
    monkeypatch.setattr(module, "_LENGTHSCALES", (lengthscale,))
    monkeypatch.setattr(module, "_SLOPE_VARIANCES", (slope,))
    monkeypatch.setattr(module, "_NOISES", (0.1,))
    encoding, features, scores = _problem(30)
    prior_means = np.random.default_rng(5).normal(size=30) if slope else None
    train, new = (_part(features, part, prior_means) for part in (slice(20), slice(20, None)))
    mean, sd = Surrogate(encoding, train, scores[:20]).predict(new)
    y = (scores[:20] - scores[:20].mean()) / scores[:20].std()

    def kernel(a: Features, b: Features) -> Array:
        single, pairs = encoding.kernels(a.levels, encoding.kernel_columns(b.levels))
        costs = np.exp(-2 * cdist(a.costs, b.costs, "sqeuclidean") / (2 * lengthscale**2))
        by_prior = slope * np.outer(a.filled_prior_means, b.filled_prior_means)
        return np.asarray(weights[0] * single + weights[1] * pairs + weights[2] * costs + 0.3 + by_prior)

    noisy, across = kernel(train, train) + 0.1 * np.eye(20), kernel(new, train)
    expected = across @ solve(noisy, y, assume_a="pos")
    left = y @ solve(noisy, y) / 20 * np.diag(kernel(new, new) - across @ solve(noisy, across.T))
    np.testing.assert_allclose(mean, scores[:20].mean() + scores[:20].std() * expected, rtol=1e-6)
    np.testing.assert_allclose(sd, scores[:20].std() * np.sqrt(left), rtol=1e-6)


def test_the_likelihood_is_the_marginal_likelihood() -> None:
    encoding, features, scores = _problem(15)
    single, pairs = encoding.kernels(features.levels, encoding.kernel_columns(features.levels))
    hyperparameters = module._Hyperparameters((0.7, 0.3, 0.0), 1.0, 0.0, 0.1)
    none = np.zeros_like(single)
    kernels = module._Kernels(single, pairs, none, none, none[0])
    process = module._GaussianProcess(hyperparameters, hyperparameters.covariance(kernels), scores)
    covariance = 0.7 * single + 0.3 * pairs + 0.3 + 0.1 * np.eye(15)
    signal_variance = scores @ solve(covariance, scores) / 15
    expected = multivariate_normal(np.zeros(15), signal_variance * covariance).logpdf(scores)
    # Without what does not depend on the hyperparameters.
    assert process.log_likelihood - 7.5 * (1 + np.log(2 * np.pi)) == pytest.approx(expected)


def test_it_ranks_networks_it_has_not_seen() -> None:
    encoding, features, scores = _problem(100)
    surrogate = Surrogate(encoding, _part(features, slice(50)), scores[:50])
    mean, _ = surrogate.predict(_part(features, slice(50, None)))
    assert spearmanr(mean, scores[50:]).statistic > 0.9


def test_costs_may_be_unknown() -> None:
    encoding, features, scores = _problem(60)
    surrogate = Surrogate(encoding, Features(features.levels[:40], np.zeros((40, 0))), scores[:40])
    mean, sd = surrogate.predict(Features(features.levels[40:], np.zeros((20, 0))))
    assert spearmanr(mean, scores[40:]).statistic > 0.8
    assert (sd > 0).all()


def test_believing_makes_sure_and_changes_no_mean() -> None:
    encoding, features, scores = _problem(40)
    surrogate = Surrogate(encoding, Features(features.levels[:30], features.costs[:30]), scores[:30])
    new = Features(features.levels[30:], features.costs[30:])
    before, sd = surrogate.predict(new)
    after, surer = surrogate.believing(new).predict(new)
    assert (surer < sd).all()
    assert np.abs(after - before).max() < 0.2 * scores.std()


def test_equal_scores_teach_nothing() -> None:
    encoding, features, _ = _problem(10)
    mean, _ = Surrogate(encoding, features, np.full(10, 0.25)).predict(features)
    np.testing.assert_allclose(mean, 0.25)


def test_the_better_half_stays_and_the_worse_half_has_its_spread() -> None:
    scores = np.array([0.1, 0.9, 0.91, 0.2, 0.92, 0.93, 0.89, 0.1])
    found = warp_lower_half(scores)
    middle = np.median(scores)
    above = scores >= middle
    np.testing.assert_array_equal(found[above], scores[above])
    assert found.argsort(kind="stable").tolist() == scores.argsort(kind="stable").tolist()
    spread = np.sqrt(np.mean((scores[above] - middle) ** 2))
    # The worst but two of eight, as a normal distribution has it.
    assert found[3] == pytest.approx(middle + spread * norm.ppf((3 - 0.5) / 8))
    np.testing.assert_array_equal(warp_lower_half(np.ones(4)), np.ones(4))


@pytest.mark.parametrize(("slope", "gains"), [(3.0, True), (-3.0, True), (0.0, False)])
def test_prior_means_count_by_what_they_say(slope: float, gains: bool) -> None:
    """Whichever way they point they help; where they say nothing little is lost."""
    encoding, features, scores = _problem(80)
    means = np.random.default_rng(5).normal(size=80)
    scores = scores + slope * means
    without_costs = Features(features.levels, np.zeros((80, 0)))
    errors = []
    for prior_means in (means, None):
        train, new = (_part(without_costs, part, prior_means) for part in (slice(15), slice(15, None)))
        surrogate = Surrogate(encoding, train, scores[:15])
        mean, _ = surrogate.predict(new)
        errors.append(float(np.sqrt(np.mean((mean - scores[15:]) ** 2))))
        believing, _ = surrogate.believing(new).predict(new)
        assert np.abs(believing - mean).max() < 0.3 * scores.std()
    assert errors[0] < (0.7 if gains else 1.1) * errors[1]
