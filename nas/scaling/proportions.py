"""Whether a network has the proportions of a rule, once blocks, channels and pixels are whole numbers."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import exp, fsum, log

from nas.cost import cost_of
from nas.network.architecture import Architecture
from nas.scaling.rounding import Rounding, repeated
from nas.scaling.rules import FARTHEST, Multipliers, Rule
from nas.scaling.scale import channel_counts, run_lengths, wider_channels

SHARE = 0.1
"""How far depth, width and resolution of a member may be from what its rule asks, all at one `phi`."""
MISPLACED = 1 / 3
"""How much of the growth d w^2 r^2 may be in another dimension than the rule puts it. At a small `phi` a rule asks for
little more than `SHARE` in each, so that a base which grew in one dimension alone would be near enough to it."""
DIMENSIONS = {"depth": 1, "width": 2, "resolution": 2}
"""With the power in which each is in the ideal cost (Tan & Le 2019, section 3.3)."""
_STEPS = 48


@dataclass(frozen=True)
class Deviation:
    """How far a network is from a rule at the `phi` that suits it best."""

    share: float
    """Of the dimension that is farthest from what the rule asks there."""
    misplaced: float
    """Of the growth, what is in another dimension than the rule puts it; 0 for the base itself."""
    phi: float
    text: str
    """What the network has, and what the rule asks at that `phi`."""

    @property
    def small(self) -> bool:
        """Whether the network has the proportions of the rule."""
        return self.share <= SHARE and self.misplaced <= MISPLACED


def real_multipliers(base: Architecture, by: Multipliers, rounding: Rounding) -> Multipliers:
    """Return what multipliers come to after rounding.

    Depth is the number of blocks that can be repeated, beside the base's; width the geometric mean of the channels of
    stem and stages beside the base's; resolution that of the longest side.
    """
    counts, size = run_lengths(base), max(base.input_shape[1:])
    depth = sum(repeated(counts, by.depth, rounding.repeats or "up")) / sum(counts) if counts and by.depth != 1 else 1.0
    width = _width(base, by.width, rounding.divisor, rounding.stem == "scale") if by.width != 1 else 1.0
    return Multipliers(depth, width, rounding.pixels(size, by.resolution) / size)


@lru_cache(maxsize=4096)
def _width(base: Architecture, width: float, divisor: int, stem: bool) -> float:
    channels = channel_counts(base, stem)
    ratios = [log(wider_channels(base, one, width, divisor) / one) for one in channels]
    return exp(fsum(ratios) / len(ratios)) if ratios else 1.0


def deviation(real: Multipliers, rule: Rule) -> Deviation:
    """Return how far multipliers are from a rule, at the `phi` at which the farthest dimension is nearest."""

    def off(phi: float) -> float:
        asked = rule.multipliers(phi)
        return max(abs(log(getattr(real, name) / getattr(asked, name))) for name in DIMENSIONS)

    if rule.listed:
        best = min(rule.listed, key=off)
    else:  # every dimension grows with phi, so that this falls and then rises
        low, high = -FARTHEST, FARTHEST
        for _ in range(_STEPS):
            third = (high - low) / 3
            low, high = (low, high - third) if off(low + third) <= off(high - third) else (low + third, high)
        best = 0.0 if off(0.0) <= off((low + high) / 2) else (low + high) / 2
    return Deviation(exp(off(best)) - 1, _misplaced(real, rule.multipliers(best)), best, _text(real, rule, best))


def against(base: Architecture, by: Multipliers, arch: Architecture) -> str:
    """Say where a network costs more than the base though no multiplier is above 1, or less though none is below."""
    sizes = [getattr(by, name) for name in DIMENSIONS]
    before, now = cost_of(base), cost_of(arch)
    for what, was, counted in (("params", before.params, now.params), ("MACs", before.macs, now.macs)):
        if max(sizes) <= 1 and counted > was:
            return f"{counted:,} {what} are more than the base's {was:,}, though no multiplier is above 1"
        if min(sizes) >= 1 and counted < was:
            return f"{counted:,} {what} are fewer than the base's {was:,}, though no multiplier is below 1"
    return ""


def _misplaced(real: Multipliers, asked: Multipliers) -> float:
    has, wanted = ([power * log(getattr(by, name)) for name, power in DIMENSIONS.items()] for by in (real, asked))
    growth, wanted_growth = sum(map(abs, has)), sum(map(abs, wanted))
    if growth == 0:
        return 0.0
    if wanted_growth == 0:
        return 1.0
    return sum(abs(one / growth - other / wanted_growth) for one, other in zip(has, wanted, strict=True)) / 2


def _text(real: Multipliers, rule: Rule, phi: float) -> str:
    has, asked = (", ".join(f"{getattr(by, name):.3g}" for name in DIMENSIONS) for by in (real, rule.multipliers(phi)))
    return f"depth, width and resolution {has} times the base's, where {rule.name} has {asked} (phi {phi:.3g})"
