"""A search over whole numbers of blocks and pixels, for budgets that lie between two steps of a family.

A small base has few blocks, channels that come by the eight and inputs of a few pixels, so that with `phi` a whole
stage or row of pixels comes at once. Here every number of blocks and resolution that is near enough to the rule is
tried, and the width is solved for by bisection.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import ceil, exp, floor, log

from nas.errors import NasError
from nas.scaling.counted_family import Candidate, CountedFamily, number_text, shortest
from nas.scaling.proportions import MAX_DEVIATION
from nas.scaling.rounding import EFFICIENTNET_ROUNDING
from nas.scaling.rules import MAX_PHI, Multipliers, Rule
from nas.scaling.scale import MAX_MULTIPLIER, run_lengths

_PHI_STEPS = 40
"""Steps of `phi` around the target, for each of which numbers of blocks and resolutions are listed."""
_MAX_RESOLUTIONS = 7
"""Resolutions that are listed at a `phi`."""
_MAX_PAIRS = 30
"""Pairs of depth and resolution whose width is solved for, those nearest to the rule."""
_BISECTIONS = 12


@dataclass(frozen=True)
class _Pair:
    """A depth and a resolution near to the rule, as multiples of the base's, and the widths that are near to it too."""

    depth: float
    resolution: float
    distance: float
    """The larger deviation of the two from the rule at the `phi` that suits them best, as a logarithm."""
    low: float
    """The smallest width that is near to the rule at the same `phi`."""
    high: float
    """The largest one."""


def integer_candidates(family: CountedFamily, target: float, tolerance: float) -> list[Candidate]:
    """Return networks in the proportions of the rule whose cost is next to the target.

    Pairs of depth and resolution are tried from the nearest to the rule on, until none can be nearer to it than a
    network that meets the target. Of each pair the networks of the two widths next to the target are returned.

    Args:
        family: the rule's networks of one base.
        target: the cost that is looked for.
        tolerance: how far a network that meets the target may miss it, as a share.
    """
    candidates, best_share = list[Candidate](), MAX_DEVIATION
    for pair in _pairs(family, target, log(1 + MAX_DEVIATION))[:_MAX_PAIRS]:
        if exp(pair.distance) - 1 >= best_share:
            break
        for by in _bisected_widths(family, pair, target, tolerance):
            candidate = _candidate(family, by)
            if candidate.deviation.on_rule:
                candidates.append(candidate)
                if abs(candidate.value / target - 1) <= tolerance:
                    best_share = min(best_share, candidate.deviation.share)
    return candidates


def _pairs(family: CountedFamily, target: float, tolerance: float) -> list[_Pair]:
    """Return pairs of depth and resolution that are within a tolerance of the rule, the nearest to it first."""
    pairs: dict[tuple[float, float], _Pair] = {}
    for phi in _grid(family.rule, sum(phis := family.nearest_phis(target)) / len(phis)):
        ideal = family.rule.multipliers(phi)
        if max(ideal.depth, ideal.resolution) > MAX_MULTIPLIER:  # a metric that the rule does not change led this far
            continue
        for depth in _depths(family, ideal.depth, tolerance):
            for resolution in _resolutions(family, ideal.resolution, tolerance):
                distance = max(abs(log(depth / ideal.depth)), abs(log(resolution / ideal.resolution)))
                low, high = ideal.width * exp(-tolerance), ideal.width * exp(tolerance)
                before = pairs.get((depth, resolution), _Pair(depth, resolution, distance, low, high))
                pairs[depth, resolution] = _Pair(
                    depth,
                    resolution,
                    min(distance, before.distance),
                    min(low, before.low),
                    max(high, before.high),
                )
    return sorted(pairs.values(), key=lambda pair: pair.distance)


def _grid(rule: Rule, centre: float) -> Iterator[float]:
    """Yield `phi` from half to twice the ideal cost d w^2 r^2 of the central one."""

    def ideal(phi: float) -> float:
        by = rule.multipliers(phi)
        return log(by.depth * by.width**2 * by.resolution**2)

    reach = log(2) / (ideal(centre + 0.5) - ideal(centre - 0.5))
    for i in range(_PHI_STEPS + 1):
        yield min(max(centre + reach * (2 * i / _PHI_STEPS - 1), -MAX_PHI), MAX_PHI)


def _changes(rule: Rule, name: str) -> bool:
    """Return whether a rule changes a dimension."""
    return bool(getattr(rule.multipliers(1.0), name) != 1)


def _depths(family: CountedFamily, ideal: float, tolerance: float) -> list[float]:
    counts = run_lengths(family.base)
    if not counts or not _changes(family.rule, "depth"):
        return [1.0]
    blocks = sum(counts)
    low, high = blocks * ideal * exp(-tolerance), blocks * ideal * exp(tolerance)
    return [num_blocks / blocks for num_blocks in range(max(len(counts), ceil(low)), floor(high) + 1)]


def _resolutions(family: CountedFamily, ideal: float, tolerance: float) -> list[float]:
    size, step = max(family.base.input_shape[1:]), family.rounding.resolution
    if not _changes(family.rule, "resolution"):
        return [1.0]
    low, high = size * ideal * exp(-tolerance) / step, size * ideal * exp(tolerance) / step
    pixels = {step * steps for steps in range(max(1, ceil(low)), floor(high) + 1)} | {size}
    allowed = [side for side in pixels if low <= side / step <= high]
    return [side / size for side in sorted(allowed, key=lambda side: abs(side - size * ideal))[:_MAX_RESOLUTIONS]]


def _bisected_widths(family: CountedFamily, pair: _Pair, target: float, tolerance: float) -> list[Multipliers]:
    """Return the multipliers of a pair with the widths whose costs are next below and next above the target."""

    def by(width: float) -> Multipliers:
        return Multipliers(pair.depth, width, pair.resolution)

    try:
        if not _changes(family.rule, "width"):
            family.cost(by(1.0))
            return [by(1.0)]
        low, high = pair.low, pair.high
        if family.cost(by(low)) > target * (1 + tolerance):
            return [by(low)]
        if family.cost(by(high)) < target * (1 - tolerance):
            return [by(high)]
        for _ in range(_BISECTIONS):
            middle = (low + high) / 2
            low, high = (middle, high) if family.cost(by(middle)) <= target else (low, middle)
    except NasError as error:  # too small an input, or too many channels: other pairs may do
        family.end_reason = str(error)
        return []
    return [by(low), by(high)]


def _candidate(family: CountedFamily, by: Multipliers) -> Candidate:
    deviation = family.deviation(by)
    return Candidate(deviation.phi, by, family.cost(by), deviation, from_integers=True)


def with_short_numbers(family: CountedFamily, candidate: Candidate) -> Candidate:
    """Return a candidate with multipliers of the fewest digits that give the same network."""
    by, arch = candidate.multipliers, family.network(candidate.multipliers)

    def same(**changed: float) -> bool:
        try:
            return family.network(replace(by, **changed)) == arch
        except NasError:
            return False

    by = Multipliers(
        shortest(by.depth, lambda value: same(depth=value)),
        shortest(by.width, lambda value: same(width=value)),
        shortest(by.resolution, lambda value: same(resolution=value)),
    )
    return replace(candidate, phi=round(candidate.phi, 3), multipliers=by)


def python_call(family: CountedFamily, by: Multipliers) -> str:
    """Return the Python call that scales the base by some multipliers, as text: `nas.scale(base, depth=1.5, ...)`."""
    rounding, size = family.rounding, max(family.base.input_shape[1:])
    pixels = rounding.pixels(size, by.resolution)
    arguments = {
        "depth": number_text(by.depth) if by.depth != 1 else "",
        "width": number_text(by.width) if by.width != 1 else "",
        "resolution": str(pixels) if pixels != size else "",
        "divisor": str(rounding.divisor) if rounding.divisor != EFFICIENTNET_ROUNDING.divisor else "",
        "stem": repr(rounding.stem) if rounding.stem != EFFICIENTNET_ROUNDING.stem else "",
        "head": repr(rounding.head) if rounding.head != EFFICIENTNET_ROUNDING.head else "",
        "repeats": repr(rounding.repeats),
    }
    return f"nas.scale(base, {', '.join(f'{name}={value}' for name, value in arguments.items() if value)})"
