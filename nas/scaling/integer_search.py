"""Networks in the proportions of a rule that no `phi` of it gives: where the steps of a family are too coarse.

A small base has few blocks, channels that come by the eight and inputs of a few pixels, so that with `phi` a whole
stage or row of pixels comes at once. Here the number of blocks and the resolution are any that are near enough to the
rule, and the width is solved for.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import ceil, exp, floor, log

from nas.errors import NasError
from nas.scaling.counted_family import Candidate, Counting, number_text, shortest
from nas.scaling.proportions import SHARE
from nas.scaling.rounding import AS_PUBLISHED
from nas.scaling.rules import FARTHEST, Multipliers, Rule
from nas.scaling.scale import MOST, run_lengths

_GRID = 40
"""Steps of `phi` over the sizes that are tried."""
_MOST_PIXELS = 7
"""Resolutions that are tried at a `phi`."""
_MOST_TRIED = 30
"""Pairs of depth and resolution that are tried, those nearest to the rule."""
_HALVINGS = 12


@dataclass(frozen=True)
class _Pair:
    """A number of blocks and a resolution near to the rule, and which widths are near to it at the same `phi`."""

    depth: float
    resolution: float
    off: float
    """How far they are from the rule at the `phi` that suits them best, as a logarithm."""
    low: float
    high: float


def beside(family: Counting, target: float, tolerance: float) -> list[Candidate]:
    """Return networks in the proportions of the rule, with the nearest to it of those that meet the target.

    Of each pair of depth and resolution the two widths next to the target are returned.
    """
    found, best = list[Candidate](), SHARE
    for pair in _pairs(family, target, log(1 + SHARE))[:_MOST_TRIED]:
        if exp(pair.off) - 1 >= best:
            break
        for by in _next_to(family, pair, target, tolerance):
            one = _candidate(family, by)
            if one.off.small:
                found.append(one)
                if abs(one.value / target - 1) <= tolerance:
                    best = min(best, one.off.share)
    return found


def _pairs(family: Counting, target: float, share: float) -> list[_Pair]:
    """Pairs of depth and resolution, those nearest to the rule first."""
    found: dict[tuple[float, float], _Pair] = {}
    for phi in _grid(family.rule, sum(around := family.around(target)) / len(around)):
        asked = family.rule.multipliers(phi)
        if max(asked.depth, asked.resolution) > MOST:  # a metric that the rule does not change led this far
            continue
        for depth in _depths(family, asked.depth, share):
            for resolution in _resolutions(family, asked.resolution, share):
                off = max(abs(log(depth / asked.depth)), abs(log(resolution / asked.resolution)))
                low, high = asked.width * exp(-share), asked.width * exp(share)
                was = found.get((depth, resolution), _Pair(depth, resolution, off, low, high))
                found[depth, resolution] = _Pair(
                    depth, resolution, min(off, was.off), min(low, was.low), max(high, was.high)
                )
    return sorted(found.values(), key=lambda pair: pair.off)


def _grid(rule: Rule, centre: float) -> Iterator[float]:
    """From the `phi` of half to that of twice the ideal cost d w^2 r^2 of a `phi`."""

    def ideal(phi: float) -> float:
        by = rule.multipliers(phi)
        return log(by.depth * by.width**2 * by.resolution**2)

    reach = log(2) / (ideal(centre + 0.5) - ideal(centre - 0.5))
    for i in range(_GRID + 1):
        yield min(max(centre + reach * (2 * i / _GRID - 1), -FARTHEST), FARTHEST)


def _moves(rule: Rule, name: str) -> bool:
    """Whether a rule changes a dimension at all."""
    return bool(getattr(rule.multipliers(1.0), name) != 1)


def _depths(family: Counting, asked: float, share: float) -> list[float]:
    counts = run_lengths(family.base)
    if not counts or not _moves(family.rule, "depth"):
        return [1.0]
    blocks = sum(counts)
    least, most = blocks * asked * exp(-share), blocks * asked * exp(share)
    return [number / blocks for number in range(max(len(counts), ceil(least)), floor(most) + 1)]


def _resolutions(family: Counting, asked: float, share: float) -> list[float]:
    size, step = max(family.base.input_shape[1:]), family.rounding.resolution
    if not _moves(family.rule, "resolution"):
        return [1.0]
    least, most = size * asked * exp(-share) / step, size * asked * exp(share) / step
    pixels = {step * number for number in range(max(1, ceil(least)), floor(most) + 1)} | {size}
    within = [one for one in pixels if least <= one / step <= most]
    return [one / size for one in sorted(within, key=lambda one: abs(one - size * asked))[:_MOST_PIXELS]]


def _next_to(family: Counting, pair: _Pair, target: float, tolerance: float) -> list[Multipliers]:
    """The multipliers of a pair with the widths next below and next above the target."""

    def by(width: float) -> Multipliers:
        return Multipliers(pair.depth, width, pair.resolution)

    try:
        if not _moves(family.rule, "width"):
            family.cost(by(1.0))
            return [by(1.0)]
        low, high = pair.low, pair.high
        if family.cost(by(low)) > target * (1 + tolerance):
            return [by(low)]
        if family.cost(by(high)) < target * (1 - tolerance):
            return [by(high)]
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            low, high = (middle, high) if family.cost(by(middle)) <= target else (low, middle)
    except NasError as error:  # too small an input, or too many channels: the others go on
        family.refused = str(error)
        return []
    return [by(low), by(high)]


def _candidate(family: Counting, by: Multipliers) -> Candidate:
    off = family.off(by)
    return Candidate(off.phi, by, family.cost(by), off, beside=True)


def in_short(family: Counting, one: Candidate) -> Candidate:
    """Return a candidate by the shortest numbers that give its network."""
    by, arch = one.multipliers, family.network(one.multipliers)

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
    return replace(one, phi=round(one.phi, 3), multipliers=by)


def call_of(family: Counting, by: Multipliers) -> str:
    """Return the Python call that makes the base times some multipliers."""
    rounding, size = family.rounding, max(family.base.input_shape[1:])
    pixels = rounding.pixels(size, by.resolution)
    given = {
        "depth": number_text(by.depth) if by.depth != 1 else "",
        "width": number_text(by.width) if by.width != 1 else "",
        "resolution": str(pixels) if pixels != size else "",
        "divisor": str(rounding.divisor) if rounding.divisor != AS_PUBLISHED.divisor else "",
        "stem": repr(rounding.stem) if rounding.stem != AS_PUBLISHED.stem else "",
        "head": repr(rounding.head) if rounding.head != AS_PUBLISHED.head else "",
        "repeats": repr(rounding.repeats),
    }
    return f"nas.scale(base, {', '.join(f'{name}={value}' for name, value in given.items() if value)})"
