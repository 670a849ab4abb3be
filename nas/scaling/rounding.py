"""How multipliers become whole numbers of blocks, channels and pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from math import ceil, floor, lcm
from typing import Literal, get_args

from nas.errors import NasError, nearest
from nas.network.rounding import round_to
from nas.settings import setting

StemRule = Literal["scale", "keep"]
HeadRule = Literal["ratio", "scale", "keep"]
RepeatRule = Literal["up", "nearest"]

_MOST_PIXELS = 4096
_MOST_DIVISOR = 2**20
# Repeats are rounded up; what a product like 1.1 * 10 has too much in its last bits is not a further block.
_FUZZ = 1e-9
_NEAR = 0.1
"""How far from what is asked channels of a grouped convolution may be for the divisor's sake, as a share."""


@dataclass(frozen=True)
class Rounding:
    """How multipliers become whole numbers; see `nas.scale`."""

    divisor: int = setting(
        8, "channels are multiples of it, or as many as the base's, never below 90 % of what is asked"
    )
    resolution: int = setting(
        1, "the input is a multiple of it: 16 or 32 for what takes no other, such as a U-Net or a transformer"
    )
    stem: StemRule = setting("scale", "scale, or keep its channels")
    head: HeadRule = setting("ratio", "keep the ratio of its channels to the last stage's, scale them, or keep them")
    repeats: RepeatRule | None = setting(
        None,
        "up: round those of each stage up, as EfficientNet does; nearest: those of all stages together to the nearest; "
        "null: up for phi, nearest for times",
    )

    def __post_init__(self) -> None:
        if type(self.divisor) is not int or not 1 <= self.divisor <= _MOST_DIVISOR:
            raise NasError(f"divisor must be a whole number from 1 to 2^20, but got {self.divisor!r}")
        if type(self.resolution) is not int or not 1 <= self.resolution <= _MOST_PIXELS:
            raise NasError(f"rounding.resolution must be from 1 to {_MOST_PIXELS}, but got {self.resolution!r}")
        for name, word, words in (
            ("stem", self.stem, get_args(StemRule)),
            ("head", self.head, get_args(HeadRule)),
            ("repeats", self.repeats, get_args(RepeatRule)),
        ):
            if word not in words and not (name == "repeats" and word is None):
                raise NasError(f"unknown rule {word!r} for the {name}. {nearest(word, words)}")

    def pixels(self, size: int, by: float) -> int:
        """Return a size of the input times `by`: no more pixels times 1 or less, and no fewer times 1 or more."""
        if by == 1:
            return size
        found = self.resolution * max(1, round(size * by / self.resolution))
        return min(found, size) if by <= 1 else max(found, size)


AS_PUBLISHED = Rounding()
"""As EfficientNet does."""


def repeated(counts: Sequence[int], depth: float, rule: RepeatRule = "up") -> list[int]:
    """Return how many blocks runs of `counts` blocks have at `depth` times their depth, one in each at least.

    `up` rounds each run up (Tan & Le 2019, "EfficientNet": the authors' `round_repeats`). `nearest` rounds the blocks
    of all runs together to the nearest whole number, and shares them out by the method of Webster and Sainte-Laguë: as
    if each run were rounded to the nearest at one multiplier, but of runs that all are rounded up at the same one, such
    as those of one block each, the later go first. No run becomes shorter where `depth` grows.
    """
    if rule == "up":
        return [max(1, ceil(depth * count - _FUZZ)) for count in counts]
    found = [1] * len(counts)
    queue = [(-count / 3, -i) for i, count in enumerate(counts)]
    heapify(queue)
    for _ in range(floor(depth * sum(counts) + 0.5) - len(counts)):
        i = -heappop(queue)[1]
        found[i] += 1
        heappush(queue, (-counts[i] / (2 * found[i] + 1), -i))
    return found


def widened(channels: int, width: float, divisor: int, groups: int = 1) -> int:
    """Return `width` times as many channels, as a multiple of `divisor` and `groups` or as many as there were.

    They are rounded as MobileNetV2 and EfficientNet do (`round_to`): to the nearest multiple, never below 90 % of what
    is asked. Where no multiple of both is within `_NEAR` of that, it is a multiple of `groups` alone, which divides
    `channels`. A base whose channels are no multiples keeps its own where that is nearer and not below 90 % either; it
    gets no more of them times 1 or less, and no fewer times 1 or more.
    """
    wanted = channels * width
    found = round_to(wanted, lcm(divisor, groups))
    if groups > 1 and abs(found - wanted) > _NEAR * wanted:
        found = round_to(wanted, groups)
    found = min(found, channels) if width <= 1 else max(found, channels)
    return channels if channels >= 0.9 * wanted and abs(channels - wanted) < abs(found - wanted) else found
