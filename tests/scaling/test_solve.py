"""Budgets that are solved for after rounding: against looking at every size of a family."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import nas
from nas.errors import NasError
from nas.scaling.rounding import Rounding
from nas.scaling.rules import RULES, Multipliers, compound, fast, rule
from nas.scaling.solve import member_at, metric_counter, solve


def network(name: str, seed: int = 0) -> nas.Architecture:
    """A random network of a space."""
    space = nas.load_space(name)
    return space.decode(space.sample(seed=seed))


BASES = ("reference/efficientnet_b0", "reference/resnet50", "reference/mobilenet_v2", "reference/vit_tiny_16", "mbconv")


def _refused() -> set[tuple[str, str, int]]:
    """What no size of a family is near to: a table has few sizes."""
    met = {("reference/resnet50", 4), ("reference/vit_tiny_16", 2), ("mbconv", 2)}
    table = {
        (base, "official_efficientnet", times) for base in BASES for times in (2, 4, 8, 16) if (base, times) not in met
    }
    # A small base: a block is a large part of it, and channels of 16 go to 24.
    return table | {("mbconv", "depth_width", 2)}


REFUSED = _refused()


@pytest.mark.parametrize("times", [2, 4, 8, 16])
@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("base", BASES)
def test_budgets_are_met_or_refused_with_the_nearest(base: str, name: str, times: int) -> None:
    arch = network(base)
    target = times * nas.cost_of(arch).macs
    if (base, name, times) in REFUSED:
        with pytest.raises(NasError, match=r"no network within 5% .* nearest: "):
            solve(arch, RULES[name], target)
        return
    found = solve(arch, RULES[name], target)
    assert abs(found.member.miss or 0) <= 0.05
    assert found.value == nas.cost_of(found.member.arch).macs == found.member.cost.macs
    assert found.member.miss == found.value / target - 1


def test_which_budgets_a_published_base_reaches() -> None:
    # A table has the sizes it has; every other rule reaches these from B0.
    arch = network("reference/efficientnet_b0")
    macs = nas.cost_of(arch).macs
    for name in RULES:
        if name == "official_efficientnet":
            with pytest.raises(NasError, match=r"phi 1\) and .*phi 2\)"):
                solve(arch, RULES[name], 2 * macs)
        else:
            assert all(abs(solve(arch, RULES[name], times * macs).member.miss or 0) <= 0.05 for times in (2, 4, 8, 16))


@pytest.mark.slow
@settings(max_examples=6, deadline=None)
@given(seed=st.integers(0, 10**6), times=st.floats(1.1, 6), name=st.sampled_from(["compound", "width", "resolution"]))
def test_no_size_of_the_family_is_nearer(seed: int, times: float, name: str) -> None:
    arch = network("mbconv", seed)
    target = times * nas.cost_of(arch).macs
    found = solve(arch, RULES[name], target, tolerance=0.99, proportions=False)
    every = [member_at(arch, RULES[name], phi, Rounding(repeats="nearest")).cost.macs for phi in np.linspace(0, 6, 301)]
    assert abs(found.value - target) <= min(abs(macs - target) for macs in every)


@pytest.mark.parametrize("metric", ["params", "activations", "peak_memory_mib"])
def test_other_budgets(metric: str) -> None:
    arch = network("reference/mobilenet_v2")
    target = 3 * metric_counter(metric)(arch)
    found = solve(arch, RULES["compound"], target, metric=metric)
    assert metric_counter(metric)(found.member.arch) == found.value == pytest.approx(target, rel=0.05)


def test_smaller_than_the_base() -> None:
    arch = network("reference/efficientnet_b0")
    found = solve(arch, RULES["compound"], nas.cost_of(arch).macs / 3)
    assert found.member.phi < 0
    assert abs(found.member.miss or 0) <= 0.05


def test_a_rule_that_does_not_change_the_budget_is_refused() -> None:
    with pytest.raises(NasError, match="does not bring params there"):
        solve(network("reference/mobilenet_v2"), RULES["resolution"], 1e8, metric="params")


def test_where_steps_are_too_large_a_network_beside_them_is_taken() -> None:
    arch = network("mbconv")
    rule, target = RULES["compound"], 2 * nas.cost_of(arch).macs
    found = solve(arch, rule, target, tolerance=0.02).member
    assert found.made_by.startswith("nas.scale(base, ")
    assert abs(found.miss or 0) <= 0.02
    # No phi gives it, and none is as near.
    every = [member_at(arch, rule, phi, found.rounding) for phi in np.linspace(0, 2, 401)]
    assert all(one.arch != found.arch and abs(one.cost.macs / target - 1) > 0.02 for one in every)
    asked = rule.at(found.phi)
    for name in ("depth", "width", "resolution"):
        assert 1 / 1.101 <= getattr(found.real, name) / getattr(asked, name) <= 1.101


def test_measured_budgets() -> None:
    # Anything that grows can be a budget, such as a latency that was measured.
    arch = network("reference/resnet18")
    found = solve(
        arch, RULES["width"], 12.0, metric="latency_ms", measure=lambda one: nas.cost_of(one).macs ** 0.5 / 5e3
    )
    assert found.value == pytest.approx(12, rel=0.05)


@pytest.mark.parametrize("target", [0, -1, float("nan"), float("inf"), True, "2x"])
def test_a_budget_that_is_none(target: float) -> None:
    with pytest.raises(NasError, match="budget must be a number > 0"):
        solve(network("reference/resnet18"), RULES["width"], target)


def test_a_coarse_divisor_is_refused_and_a_fine_one_helps() -> None:
    arch = network("mbconv")
    target = 1.3 * nas.cost_of(arch).macs
    with pytest.raises(NasError, match="too coarse"):
        solve(arch, RULES["width"], target, rounding=Rounding(divisor=64), tolerance=0.02)
    assert (
        abs(solve(arch, RULES["width"], target, rounding=Rounding(divisor=1), tolerance=0.02).member.miss or 0) <= 0.02
    )


def test_rules_share_out_what_they_say() -> None:
    # The ideal cost d w^2 r^2 is 2^phi for all but the published compound coefficients, whose step is 1.92.
    for name, one in RULES.items():
        if name != "official_efficientnet":
            by = one.at(3.0)
            step = 1.2 * 1.1**2 * 1.15**2 if name == "compound" else 2.0
            assert by.depth * by.width**2 * by.resolution**2 == pytest.approx(step**3)
    assert RULES["compound"].at(0) == Multipliers()
    # Dollar et al. 2021, table 1: dWr with alpha 0.8 has exponents 0.1 (depth), 0.8 (width), 0.1 (resolution).
    by = fast(0.8).at(1.0)
    shares = [np.log2(by.depth), 2 * np.log2(by.width), 2 * np.log2(by.resolution)]
    assert shares == pytest.approx([0.1, 0.8, 0.1])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: rule("compund"), "Did you mean 'compound'"),
        (lambda: rule("width", alpha=2), "has no coefficient 'alpha': it has none"),
        (lambda: rule("dWr", beta=0.5), "it has alpha"),
        (lambda: compound(0.9, 1.1, 1.1), "alpha must be from 1 to 4"),
        (lambda: compound(1, 1, 1), "nothing would be scaled"),
        (lambda: fast(1.5), "from 0 to 1"),
        (lambda: RULES["width"].at(float("nan")), "phi must be a number"),
        (lambda: RULES["official_efficientnet"].at(0.5), "has phi 0, 1, 2"),
    ],
)
def test_slips_in_rules(make: Callable[[], object], message: str) -> None:
    with pytest.raises(NasError, match=message):
        make()


def test_a_size_that_needs_multiples_is_found_with_them() -> None:
    unet = nas.load_space("reference/unet").decode({})
    macs = nas.cost_of(unet).macs
    with pytest.raises(NasError, match=r"\(phi 1: .*rounding.resolution"):
        solve(unet, RULES["resolution"], 2 * macs)
    found = solve(unet, RULES["resolution"], 2 * macs, rounding=Rounding(resolution=16), tolerance=0.1)
    assert found.member.arch.input_shape[1] % 16 == 0
    assert found.value == nas.cost_of(found.member.arch).macs
