"""Channel counts that hardware likes."""

from __future__ import annotations


def round_to(value: float, divisor: int = 8) -> int:
    """Return the multiple of `divisor` nearest to `value`, at least `divisor` and never below 90 % of `value`.

    The rule of MobileNetV2 and EfficientNet (their `make_divisible`).
    """
    rounded = max(divisor, int(value + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * value else rounded
