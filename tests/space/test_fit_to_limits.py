"""A space that is brought to limits, counted here by another loop."""

from __future__ import annotations

from math import inf
from statistics import median

import pytest

import nas
from nas.cost import Constraint, constraints_from, cost_of
from nas.errors import NasError
from nas.space.fit import Fit, Held, fit_as_set, fit_to_limits, left_as_it_is, widened

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
    """As does one that widths change nothing of. That the limits are not used is said."""
    space = nas.load_space("mbconv").for_data((1, 8, 8), 10)
    for limits in ({"params": 1e12}, {"receptive_field": 1e6}):
        fit = fit_to_limits(space, constraints_from(limits))
        assert (fit.space, fit.before.share) == (space, 1)
        assert fit.line() == (
            "Widths of the space stay as they are: 100% of random networks hold the limits, the median of these uses "
            "only 0% of the tightest, and no width that was tried does better"
        )


def test_a_space_that_is_multiplied_says_where_it_does_not_use_the_limits() -> None:
    """By figures of its own: which spaces end so is in docs/benchmarks/fitted-spaces.md."""
    space = nas.load_space("mbconv").for_data((1, 8, 8), 10)
    line = Fit(space, 2.0, Held(1.0, 0.04), Held(0.6, 0.42)).line()
    assert line == (
        "Widths of the space are multiplied by 2, so that 60% of random networks hold the limits (100.0% did) and the "
        "median of these uses only 42% of the tightest, and no width that was tried does better; fit=none leaves it as "
        "it is"
    )
    assert "only" not in Fit(space, 2.0, Held(1.0, 0.04), Held(0.6, 0.5)).line()
    assert not Fit(space, 1.0, Held(0.0, 0.0), Held(0.0, 0.0)).line(), "nothing holds them, which others say"


def test_few_widths_are_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Costs grow with about the square of widths, so that the second is mostly near enough; halving takes five."""
    tried: list[float] = []

    def counted(space: nas.SearchSpace, multiplier: float) -> nas.SearchSpace:
        tried.append(multiplier)
        return widened(space, multiplier)

    monkeypatch.setattr("nas.space.fit.widened", counted)
    for name, shape, limits in (("mbconv", (3, 32, 32), 1e7), ("mobilenet_v3", (3, 32, 32), 2e5)):
        tried.clear()
        fit = fit_to_limits(nas.load_space(name).for_data(shape, 10), constraints_from({"params": limits}))
        assert 0.2 <= fit.after.share <= 0.3
        assert 1 <= len(tried) <= 3


def test_left_as_it_is() -> None:
    space = nas.load_space("mbconv").for_data((1, 28, 28), 10)
    tight = constraints_from({"params": 1e4})
    for fit in (left_as_it_is(space), fit_as_set(space, "none", tight)):
        assert (fit.space, fit.multiplier, fit.line()) == (space, 1, "")
    assert fit_as_set(space, "auto", tight).multiplier == fit_to_limits(space, tight).multiplier < 0.5


def test_limits_that_nothing_can_hold_leave_it_as_it_is() -> None:
    space = nas.load_space("mbconv").for_data((1, 28, 28), 10)
    assert fit_to_limits(space, constraints_from({"params": 10})).space is space
