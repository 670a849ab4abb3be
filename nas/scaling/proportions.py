"""Whether a network has the proportions of its rule after rounding to whole blocks, channels and pixels."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import exp, fsum, log

from nas.cost import cost_of
from nas.network.architecture import Architecture
from nas.scaling.rounding import Rounding, round_repeats
from nas.scaling.rules import MAX_PHI, Multipliers, Rule
from nas.scaling.scale import channel_counts, run_lengths, wider_channels

MAX_DEVIATION = 0.1
"""How far depth, width and resolution of a member may be from what its rule asks at the same `phi`, as a share."""
MAX_MISPLACED = 1 / 3
"""How much of the growth d w^2 r^2 may be in another dimension than where the rule puts it, as a share. At a small
`phi` a rule asks for little more than `MAX_DEVIATION` in each dimension, so that a base which grew in a single one
would be near enough to it."""
DIMENSIONS = {"depth": 1, "width": 2, "resolution": 2}
"""The power of each dimension in the ideal cost d w^2 r^2 (Tan & Le 2019, section 3.3)."""
_STEPS = 48


@dataclass(frozen=True)
class Deviation:
    """How far a network is from a rule, at the `phi` at which it is nearest."""

    share: float
    """Deviation of the dimension that is farthest from what the rule asks there, as a share of that."""
    misplaced: float
    """Share of the growth that is in another dimension than where the rule puts it; 0 for the base itself."""
    phi: float
    """The `phi` at which the farthest dimension is nearest to the rule."""
    text: str
    """The network's multipliers and those of the rule at that `phi`, in words."""

    @property
    def on_rule(self) -> bool:
        """Whether the network has the proportions of the rule."""
        return self.share <= MAX_DEVIATION and self.misplaced <= MAX_MISPLACED


def real_multipliers(base: Architecture, by: Multipliers, rounding: Rounding) -> Multipliers:
    """Return the multipliers that are left after rounding.

    Depth is the ratio of the numbers of blocks that can be repeated to the base's; width the geometric mean of the
    ratios of the channels of stem and stages; resolution the ratio of the longest sides.
    """
    counts, size = run_lengths(base), max(base.input_shape[1:])
    depth = 1.0
    if counts and by.depth != 1:
        depth = sum(round_repeats(counts, by.depth, rounding.repeats or "up")) / sum(counts)
    width = _width(base, by.width, rounding.divisor, rounding.stem == "scale") if by.width != 1 else 1.0
    return Multipliers(depth, width, rounding.pixels(size, by.resolution) / size)


@lru_cache(maxsize=4096)
def _width(base: Architecture, width: float, divisor: int, stem: bool) -> float:
    channels = channel_counts(base, stem)
    ratios = [log(wider_channels(base, count, width, divisor) / count) for count in channels]
    return exp(fsum(ratios) / len(ratios)) if ratios else 1.0


def deviation(real: Multipliers, rule: Rule) -> Deviation:
    """Return how far multipliers are from a rule, at the `phi` at which the farthest dimension is nearest to it."""

    def distance(phi: float) -> float:
        asked = rule.multipliers(phi)
        return max(abs(log(getattr(real, name) / getattr(asked, name))) for name in DIMENSIONS)

    if rule.listed:
        best = min(rule.listed, key=distance)
    else:  # every dimension grows with phi, so that this falls and then rises
        low, high = -MAX_PHI, MAX_PHI
        for _ in range(_STEPS):
            third = (high - low) / 3
            low, high = (low, high - third) if distance(low + third) <= distance(high - third) else (low + third, high)
        best = 0.0 if distance(0.0) <= distance((low + high) / 2) else (low + high) / 2
    return Deviation(exp(distance(best)) - 1, _misplaced(real, rule.multipliers(best)), best, _text(real, rule, best))


def cost_contradiction(base: Architecture, by: Multipliers, arch: Architecture) -> str:
    """Return why a network contradicts its multipliers, or nothing.

    It does where it costs more than the base though no multiplier is above 1, or less though none is below 1.
    """
    sizes = [getattr(by, name) for name in DIMENSIONS]
    before, now = cost_of(base), cost_of(arch)
    for metric, old, new in (("params", before.params, now.params), ("MACs", before.macs, now.macs)):
        if max(sizes) <= 1 and new > old:
            return f"{new:,} {metric} are more than the base's {old:,}, though no multiplier is above 1"
        if min(sizes) >= 1 and new < old:
            return f"{new:,} {metric} are fewer than the base's {old:,}, though no multiplier is below 1"
    return ""


def _misplaced(real: Multipliers, asked: Multipliers) -> float:
    real_growth, asked_growth = (
        [power * log(getattr(by, name)) for name, power in DIMENSIONS.items()] for by in (real, asked)
    )
    real_total, asked_total = sum(map(abs, real_growth)), sum(map(abs, asked_growth))
    if real_total == 0:
        return 0.0
    if asked_total == 0:
        return 1.0
    shares = zip(real_growth, asked_growth, strict=True)
    return sum(abs(has / real_total - wanted / asked_total) for has, wanted in shares) / 2


def _text(real: Multipliers, rule: Rule, phi: float) -> str:
    has, asked = (", ".join(f"{getattr(by, name):.3g}" for name in DIMENSIONS) for by in (real, rule.multipliers(phi)))
    return f"depth, width and resolution {has} times the base's, where {rule.name} has {asked} (phi {phi:.3g})"
