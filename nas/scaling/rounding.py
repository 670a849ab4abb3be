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

_MAX_PIXELS = 4096
_MAX_DIVISOR = 2**20
# Repeats are rounded up; the error in the last bits of a product like 1.1 * 10 is not a further block.
_ROUNDING_ERROR = 1e-9
_GROUP_TOLERANCE = 0.1
"""How far from what is asked channels of a grouped convolution may be, to be a multiple of the divisor, as a share."""


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
        if type(self.divisor) is not int or not 1 <= self.divisor <= _MAX_DIVISOR:
            raise NasError(f"divisor must be a whole number from 1 to 2^20, but got {self.divisor!r}")
        if type(self.resolution) is not int or not 1 <= self.resolution <= _MAX_PIXELS:
            raise NasError(f"rounding.resolution must be from 1 to {_MAX_PIXELS}, but got {self.resolution!r}")
        for name, word, words in (
            ("stem", self.stem, get_args(StemRule)),
            ("head", self.head, get_args(HeadRule)),
            ("repeats", self.repeats, get_args(RepeatRule)),
        ):
            if word not in words and not (name == "repeats" and word is None):
                raise NasError(f"unknown rule {word!r} for the {name}. {nearest(word, words)}")

    def pixels(self, size: int, by: float) -> int:
        """Return a side of the input, in pixels, times `by`, as a multiple of `resolution`.

        It does not grow where `by` is 1 or less, and does not shrink where it is 1 or more.
        """
        if by == 1:
            return size
        rounded = self.resolution * max(1, round(size * by / self.resolution))
        return min(rounded, size) if by <= 1 else max(rounded, size)


EFFICIENTNET_ROUNDING = Rounding()
"""The rounding of EfficientNet's authors."""


def round_repeats(counts: Sequence[int], depth: float, rule: RepeatRule = "up") -> list[int]:
    """Return the numbers of blocks of runs of `counts` blocks at `depth` times their depth, at least one each.

    `up` rounds each run up (Tan & Le 2019, "EfficientNet": the authors' `round_repeats`). `nearest` rounds the blocks
    of all runs together to the nearest whole number, and shares them out by the method of Webster and Sainte-Laguë: as
    if each run were rounded to the nearest at a common multiplier, the later run first where several are rounded up at
    the same multiplier, as those of a single block. No run becomes shorter where `depth` grows.
    """
    if rule == "up":
        return [max(1, ceil(depth * count - _ROUNDING_ERROR)) for count in counts]
    repeats = [1] * len(counts)
    queue = [(-count / 3, -i) for i, count in enumerate(counts)]
    heapify(queue)
    for _ in range(floor(depth * sum(counts) + 0.5) - len(counts)):
        i = -heappop(queue)[1]
        repeats[i] += 1
        heappush(queue, (-counts[i] / (2 * repeats[i] + 1), -i))
    return repeats


def round_channels(channels: int, width: float, divisor: int, groups: int = 1) -> int:
    """Return `width` times as many channels, as a multiple of `divisor` and `groups`, or the unchanged number.

    They are rounded as MobileNetV2 and EfficientNet do (`round_to`): to the nearest multiple, never below 90 % of what
    is asked. Where no multiple of both is within `_GROUP_TOLERANCE` of that, it is a multiple of `groups` alone, which
    divides `channels`. A base whose channels are no multiples keeps its own where that is nearer and not below 90 %
    either. They do not grow where `width` is 1 or less, and do not shrink where it is 1 or more.
    """
    ideal = channels * width
    rounded = round_to(ideal, lcm(divisor, groups))
    if groups > 1 and abs(rounded - ideal) > _GROUP_TOLERANCE * ideal:
        rounded = round_to(ideal, groups)
    rounded = min(rounded, channels) if width <= 1 else max(rounded, channels)
    return channels if channels >= 0.9 * ideal and abs(channels - ideal) < abs(rounded - ideal) else rounded
