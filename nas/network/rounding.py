"""Numbers of channels rounded to a multiple, and input sizes that keep their aspect."""

from __future__ import annotations

from collections.abc import Sequence


def round_to(value: float, divisor: int = 8) -> int:
    """Return the multiple of `divisor` nearest to `value`, at least `divisor` and never below 90 % of `value`.

    The rule of MobileNetV2 and EfficientNet (their `make_divisible`).
    """
    rounded = max(divisor, int(value + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * value else rounded


def resized(shape: Sequence[int], resolution: int) -> tuple[int, ...]:
    """Return `(channels, size, ...)` with `resolution` as the longest size and the others in proportion."""
    channels, *sizes = shape
    return (channels, *(max(1, round(size * resolution / max(sizes))) for size in sizes))
