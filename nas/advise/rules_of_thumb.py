"""The rules of thumb of the advice, each with its source. All else follows from counted and published numbers."""

from __future__ import annotations

from collections.abc import Mapping

TASKS = ("classification", "series", "segmentation", "detection")
PRIORITIES = ("speed", "balanced", "quality", "highest")
TRAINED = ("classification", "segmentation", "series")
"""Tasks that `nas.training` has a loss and data sets for."""

_SERVER = {"speed": 5.0, "balanced": 2.0, "quality": 1.0, "highest": 0.0}
_BATTERY = {"speed": 5.0, "balanced": 3.0, "quality": 2.5, "highest": 0.0}
PRICES: Mapping[str, Mapping[str, float]] = {
    "mobile": _BATTERY,
    "edge": _BATTERY,
    "cpu": _SERVER,
    "gpu": _SERVER,
    "cloud": _SERVER,
}
"""Points of top-1 accuracy that a doubling of the multiply-adds has to bring, by device and priority. Our own: from B0
to B7 (Tan & Le 2019, table 2) a doubling brings 2.4 points at first and 0.3 at the end; each price cuts that row
elsewhere."""
DEVICES = tuple(PRICES)

FEW_IMAGES, FEW_PRICE, FEW_SCRATCH_PRICE = 10_000, 3.0, 6.0
"""Below so many images a doubling has to bring more, most of all without pretrained weights: large networks overfit a
small set. Our own."""

FEW_PARAMS = 26_000_000
"""With few images no network is larger than ResNet-50, the usual choice for transfer. Our own."""

COMPARABLE_WORK = 10
"""A network of another family is shown up to so many times the multiply-adds of the first. Our own."""

MANY_IMAGES, MANY_SHARE = 100_000, 0.75
"""Above so many images larger networks pay, so that a doubling has to bring less. Our own."""

VERY_MANY_IMAGES = 1_000_000
"""From so many images a vision transformer trained from nothing keeps up: ImageNet has 1.28 million (Touvron et al.
2021); with fewer it falls behind residual networks (Dosovitskiy et al. 2021, figures 3 and 4)."""

MOBILE_MACS = 600_000_000
"""The "mobile setting" of Zoph et al. 2018, "Learning transferable architectures", and of MnasNet after it."""

PHONE_MS = 51.0
"""What MobileNetV3-Large takes on one core of a Pixel 1 (Howard et al. 2019, table 3); Small takes 15.8."""

SMALLEST_SIDE = 96
"""The smallest input at which a network of the table was published on ImageNet (Sandler et al. 2018, section 6.1)."""

USUAL_SIDE, LARGER_INPUT = 224, 1.25
"""An accuracy counts for an input that is at most so much smaller than the one at which it was published."""

QUANTILES: Mapping[str, float | None] = {"speed": 0.25, "balanced": 0.5, "quality": 0.75, "highest": None}
"""For small images, where no accuracy is published: the share of random networks whose work is let through."""


def price(device: str | None, aim: str, *, few: bool, many: bool, pretrained: bool) -> float:
    """Return the points of accuracy that a doubling of the multiply-adds has to bring.

    Args:
        device: a key of `PRICES`; None counts as `cloud`.
        aim: the priority, a key of the device's prices.
        few: whether there are few images.
        many: whether there are many.
        pretrained: whether pretrained weights may be used.
    """
    own = PRICES[device or "cloud"][aim]
    if few:
        return max(own, FEW_PRICE if pretrained else FEW_SCRATCH_PRICE)
    return own * MANY_SHARE if many else own
