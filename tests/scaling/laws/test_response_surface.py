"""The best coefficients of compound scaling: known ones are found again."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy.optimize import minimize

from nas.errors import NasError
from nas.scaling.laws.response_surface import Point, best_coefficients, coefficients, lattice

Shares = tuple[float, float, float]


def points(loss: Callable[[Shares], float], *, noise: float = 0.01, seed: int = 0, steps: int = 5) -> list[Point]:
    """Three runs at each point of a lattice."""
    rng = np.random.default_rng(seed)
    return [Point(at, loss(at) * float(np.exp(noise * rng.normal()))) for at in lattice(steps) for _ in range(3)]


BEST = (0.3, 0.45, 0.25)


def bowl(at: Shares) -> float:
    """A quadratic of known optimum."""
    d, w, r = (now - best for now, best in zip(at, BEST, strict=True))
    return 0.2 * (1 + 0.5 * d * d + 0.8 * w * w + 0.3 * r * r + 0.2 * d * w)


def separate(at: Shares) -> float:
    """Diminishing returns of every dimension: no quadratic. Its optimum is where the slopes are alike."""
    depth, width, resolution = (2 ** (2 * share) for share in at)
    return float(0.1 + 0.05 * depth**-1.2 + 0.08 * width**-1.0 + 0.05 * resolution**-1.1)


def least(loss: Callable[[Shares], float]) -> Shares:
    """The best shares by scipy."""
    found = minimize(
        lambda at: loss((at[0], at[1], 1 - at[0] - at[1])),
        (1 / 3, 1 / 3),
        bounds=[(0, 1), (0, 1)],
        constraints={"type": "ineq", "fun": lambda at: 1 - at[0] - at[1]},
        options={"ftol": 1e-12},
    )
    depth, width = map(float, found.x)
    return depth, width, 1 - depth - width


@pytest.mark.parametrize("loss", [bowl, separate])
@pytest.mark.parametrize("seed", range(20))
def test_known_coefficients_are_found_within_five_percent(loss: Callable[[Shares], float], seed: int) -> None:
    found = best_coefficients(points(loss, seed=seed))
    truth = coefficients(least(loss))
    assert (found.alpha.value, found.beta.value, found.gamma.value) == pytest.approx(truth, rel=0.05)


@pytest.mark.parametrize("seed", range(20))
def test_the_shares_are_where_the_quadratic_is_least(seed: int) -> None:
    """Also where depth and width depend on each other, and where it is least at an edge: by scipy."""
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(2, 2))
    curve, best = root @ root.T + 0.2 * np.eye(2), rng.uniform(-0.1, 0.9, size=2)

    def loss(at: Shares) -> float:
        off = np.array(at[:2]) - best
        return float(np.exp(0.1 * off @ curve @ off))

    found = best_coefficients(points(loss, noise=0.0))
    assert found.shares == pytest.approx(least(loss), abs=0.02)  # at an edge on a lattice
    assert found.surface(np.array([found.shares]))[0] <= min(map(loss, lattice(20))) + 1e-6
    assert coefficients(found.shares) == pytest.approx((found.alpha.value, found.beta.value, found.gamma.value))


def test_the_interval_of_a_coefficient_holds_about_as_often_as_it_says() -> None:
    truth = coefficients(BEST)
    held = [
        one.low <= value <= one.high
        for seed in range(40)
        for found in [best_coefficients(points(bowl, seed=seed))]
        for one, value in zip((found.alpha, found.beta, found.gamma), truth, strict=True)
    ]
    assert 0.75 <= np.mean(held) <= 1.0


def test_the_noise_is_that_of_a_run() -> None:
    """In the logarithm of the loss, so that it is a share of it."""
    noises = [best_coefficients(points(bowl, noise=0.03, seed=seed)).noise for seed in range(10)]
    assert np.mean(noises) == pytest.approx(0.03, rel=0.1)


def test_coefficients_use_up_the_factor() -> None:
    for shares in lattice(4):
        alpha, beta, gamma = coefficients(shares)
        assert alpha * beta**2 * gamma**2 == pytest.approx(2)
        assert min(alpha, beta, gamma) >= 1
    # Tan & Le's own are 1.2, 1.1, 1.15 of 1.92.
    own = [np.log(value) * power / np.log(1.92027) for value, power in ((1.2, 1), (1.1, 2), (1.15, 2))]
    assert coefficients(own, 1.92027) == pytest.approx((1.2, 1.1, 1.15), rel=1e-4)


def test_an_optimum_at_the_edge_is_warned_of() -> None:
    found = best_coefficients(points(lambda at: 0.2 * (1 + 0.5 * at[0] + (at[1] - 0.5) ** 2)))
    assert found.edges == ("depth",)
    assert "depth may as well stay" in found.warning
    assert found.alpha.value == pytest.approx(1, abs=0.05)
    assert best_coefficients(points(bowl)).warning == ""


def test_a_network_that_is_too_large_does_not_seem_better() -> None:
    # Those with much width came out 20 % too large; loss falls as cost^-0.5.
    def cost(at: Shares) -> float:
        return 1.2 if at[1] > 0.5 else 1.0

    rng = np.random.default_rng(0)
    spoilt = [
        Point(at, bowl(at) * cost(at) ** -0.5 * float(np.exp(0.002 * rng.normal())), cost(at))
        for at in lattice(5)
        for _ in range(3)
    ]
    found = best_coefficients(spoilt)
    assert (found.alpha.value, found.beta.value, found.gamma.value) == pytest.approx(coefficients(BEST), rel=0.02)


def test_too_few_points_are_refused() -> None:
    with pytest.raises(NasError, match="insufficient: 6 different shares"):
        best_coefficients(points(bowl, steps=2))
    with pytest.raises(NasError, match="losses > 0"):
        best_coefficients([Point(at, 0.0) for at in lattice(4)])


def test_points_that_do_not_settle_a_surface_are_refused() -> None:
    """On a line, d + w = 1, a quadratic in d and w has but three terms: 1, d and d^2."""
    line = [Point((i / 20, 1 - i / 20, 0.0), 0.5 + (i / 20 - 0.4) ** 2) for i in range(21)]
    with pytest.raises(NasError, match="the points settle 3 of 6 constants of a quadratic"):
        best_coefficients(line)
    with pytest.raises(NasError, match="settle 6 of 7 constants of a quadratic and a cost"):
        best_coefficients([Point(shares, 0.5, np.exp(shares[0])) for shares in lattice()])
    with pytest.raises(NasError, match="costs > 0"):
        best_coefficients([Point(shares, 0.5, 0.0) for shares in lattice()])
