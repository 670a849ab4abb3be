"""A space that is brought to limits, counted here by another loop."""

from __future__ import annotations

from math import inf
from statistics import median

import pytest

import nas
from nas.cost import Constraint, constraints_from, cost_of
from nas.errors import NasError
from nas.space.fit import fit_to_limits

# Limits and inputs from 10^4 to 10^7 parameters and 8 to 224 pixels.
CASES = [
    ("mbconv", (1, 28, 28), {"params": 2e5, "macs": 8e6}),
    ("mbconv", (1, 8, 8), {"params": 1e4}),
    ("mbconv", (3, 32, 32), {"params": 1e7}),
    ("mobilenet_v3", (1, 28, 28), {"params": 2e5, "macs": 8e6}),
    ("mobilenet_v3", (3, 64, 64), {"macs": 2e6}),
    ("resnet", (1, 8, 8), {"params": 3e4}),
    ("resnet", (3, 64, 64), {"params": 2e6, "macs": 1e8}),
    ("vit", (3, 32, 32), {"params": 3e5}),
    pytest.param("mbconv", (3, 224, 224), {"params": 1e6, "macs": 1e8}, marks=pytest.mark.slow),
    pytest.param("small_images", (1, 8, 8), {"params": 1e4}, marks=pytest.mark.slow),
    pytest.param("small_images", (3, 64, 64), {"params": 1e7}, marks=pytest.mark.slow),
    pytest.param("resnet", (3, 224, 224), {"macs": 3e9}, marks=pytest.mark.slow),
]


def _held(space: nas.SearchSpace, limits: dict[str, float], draws: int = 400) -> tuple[float, float]:
    """Return the share of random genotypes that hold upper limits, and what of the tightest their median uses."""
    used = []
    for seed in range(10_000, 10_000 + draws):
        try:
            cost = cost_of(space.decode(space.sample(seed)))
        except NasError:
            continue
        use = max(getattr(cost, name) / high for name, high in limits.items())
        used += [use] * (use <= 1)
    return len(used) / draws, median(used) if used else 0.0


@pytest.mark.parametrize(("name", "shape", "limits"), CASES)
def test_a_share_of_the_space_holds_the_limits_and_uses_them(
    name: str, shape: tuple[int, ...], limits: dict[str, float]
) -> None:
    space = nas.load_space(name).for_data(shape, 10)
    fit = fit_to_limits(space, constraints_from(limits))
    share, use = _held(fit.space, limits)
    # 400 other draws differ from those of the fit by chance: 3 standard deviations are .05 at a share of .1.
    assert 0.07 <= share <= 0.55
    assert use >= 0.45
    assert fit.after.share == pytest.approx(share, abs=0.1)
    assert fit.before.share == pytest.approx(_held(space, limits)[0], abs=0.1)
    assert (fit.multiplier == 1) == fit.before.fits == (not fit.line())
    assert (fit.multiplier < 1) == (fit.before.share < 0.1)
    assert (fit.space.input_shape, fit.space.num_classes, fit.space.name) == (shape, 10, name)
    again = fit_to_limits(space, constraints_from(limits))
    assert (again.multiplier, again.space.to_dict()) == (fit.multiplier, fit.space.to_dict())


def test_a_line_says_what_was_done() -> None:
    space = nas.load_space("mbconv").for_data((1, 28, 28), 10)
    line = fit_to_limits(space, constraints_from({"params": 2e5, "macs": 8e6})).line()
    assert line.startswith("Widths of the space are multiplied by 0.")
    assert "fit=none leaves it as it is" in line


def test_networks_may_be_too_small_too() -> None:
    space = nas.load_space("resnet").for_data((1, 28, 28), 10)
    fit = fit_to_limits(space, [Constraint("params", low=4e6, high=8e6)])
    assert fit.before.share < 0.1
    assert fit.multiplier > 1
    assert fit.after.share >= 0.1


@pytest.mark.parametrize(
    "limits",
    [
        [],
        [Constraint("params", low=1e9)],  # from below alone
        [Constraint("params", high=1e4, soft=True)],
        [Constraint("latency_ms", high=0.1)],
        [Constraint("int8_accuracy", low=0.9)],
    ],
)
def test_without_limits_that_are_counted_it_stays_as_it_is(limits: list[Constraint]) -> None:
    space = nas.load_space("mbconv").for_data((1, 28, 28), 10)
    fit = fit_to_limits(space, limits)
    assert fit.space is space
    assert (fit.multiplier, fit.before.use) == (1, inf)


def test_no_space_is_made_wider_beside_a_limit_that_has_to_be_measured() -> None:
    space = nas.load_space("mbconv").for_data((1, 28, 28), 10)
    large = Constraint("params", high=5e7)
    assert fit_to_limits(space, [large]).multiplier > 1
    assert fit_to_limits(space, [large, Constraint("latency_ms", high=1)]).space is space
    tight = constraints_from({"params": 2e5, "latency_ms": 1})
    assert fit_to_limits(space, tight).multiplier < 1


def test_one_network_stays_what_it_is() -> None:
    space = nas.load_space("reference/resnet18").for_data((3, 64, 64), 10)
    assert fit_to_limits(space, constraints_from({"params": 1e5})).space is space


def test_limits_that_are_out_of_reach_above_leave_it_as_it_is() -> None:
    """As does one that widths change nothing of."""
    space = nas.load_space("mbconv").for_data((1, 8, 8), 10)
    for limits in ({"params": 1e12}, {"receptive_field": 1e6}):
        fit = fit_to_limits(space, constraints_from(limits))
        assert (fit.space, fit.before.share, fit.line()) == (space, 1, "")


def test_limits_that_nothing_can_hold_leave_it_as_it_is() -> None:
    space = nas.load_space("mbconv").for_data((1, 28, 28), 10)
    assert fit_to_limits(space, constraints_from({"params": 10})).space is space
