"""The published networks that a user would have taken instead of a search: by width, depth and input, within limits."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import zip_longest
from math import ceil

from nas.advise.published import IMAGENET, OTHER_TASKS, SMALL_IMAGES, Published
from nas.cost import BATCH_OF_ONE, Constraint, Cost, Workload, check, cost_of, held_cost
from nas.errors import NasError
from nas.finishing.small_inputs import halvings, without_first_strides
from nas.network.architecture import Architecture
from nas.network.ops import Shape
from nas.scaling.rounding import Rounding
from nas.scaling.scale import scaled
from nas.space import load_space

_HE = "He et al. 2016, section 4.2"
_WIDE = "Zagoruyko & Komodakis 2016"
FOR_SMALL_IMAGES: tuple[Published, ...] = (
    Published("resnet20_cifar", "CIFAR ResNet", 32, None, _HE),
    Published("resnet32_cifar", "CIFAR ResNet", 32, None, _HE),
    Published("resnet44_cifar", "CIFAR ResNet", 32, None, _HE),
    Published("resnet56_cifar", "CIFAR ResNet", 32, None, _HE),
    Published("wrn16_4", "wide ResNet", 32, None, _WIDE),
    Published("wrn40_4", "wide ResNet", 32, None, _WIDE),
    Published("wrn28_10", "wide ResNet", 32, None, _WIDE),
    Published("densenet40_12", "DenseNet", 32, None, "Huang et al. 2017, table 2"),
    Published("vgg11_cifar", "VGG", 32, None, "Simonyan & Zisserman 2015; Liu & Deng 2015"),
    Published("vgg_small", "VGG", 32, None, "Keras 2.3, cifar10_cnn.py"),
)
_MORE = (Published("shufflenet", "ShuffleNet", 224, None, "Zhang et al. 2018, table 2"),)
WIDTHS = (0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.5, 0.6, 0.75, 0.85, 1.0)
"""Multiples of the published channels, of which a network gets the largest that holds the limits."""
DEPTHS = (1.0, 0.5)
"""Multiples of the published repeats; half of them leave room for more channels."""
_SMALLER_INPUT = 0.71
"""Of the side of the images: an input with half the pixels leaves room for more channels (Howard et al. 2017, section
3.4, which has 224, 192, 160 and 128 pixels)."""
_SMALL_SIDE = 96
"""Images up to this side get networks without their first strides."""
_MAPS = (3, 8)
"""Least and largest side of the last map of a network whose strides were removed; 7 or 8 is usual."""
_UNET_STEP = 16
"""That sides of U-Net's input are a multiple of, since it halves them four times."""
_DIVISOR, _SMALL_DIVISOR = 8, 4
"""Channels are multiples of 8; of networks narrower than half of 4, since 8 would make all their stages alike."""


@dataclass(frozen=True)
class PublishedCandidate:
    """A published network at some width, depth and input, which holds the limits."""

    published: Published
    width: float
    """Multiple of the published channels."""
    depth: float
    """Multiple of the published repeats."""
    removed: int
    """Halvings of the map at its beginning that were left out."""
    architecture: Architecture
    cost: Cost
    """Counted."""
    latency_ms: float | None = None
    """Measured, where there is a limit on it."""

    @property
    def family(self) -> str:
        """The family of the network."""
        return self.published.family

    @property
    def name(self) -> str:
        """What it is, such as `mobilenet_v2, width 0.35, first 2 strides removed, input 28`."""
        let = "".join(f" {name}={value:g}" for name, value in self.published.let)
        parts = [f"{self.published.space}{let}"]
        parts += [f"width {self.width:g}"] if self.width != 1 else []
        parts += [f"depth {self.depth:g}"] if self.depth != 1 else []
        strides = "stride" if self.removed == 1 else f"{self.removed} strides"
        parts += [f"first {strides} removed"] if self.removed else []
        return ", ".join([*parts, f"input {self.architecture.input_shape[-1]}"])


@dataclass(frozen=True, slots=True)
class _Input:
    """How a network made for larger images takes the user's."""

    side: int
    """Pixels of the side of the network's input, which images are brought to."""
    removed: int
    """Halvings that are left out."""


def published_candidates(
    shape: Shape,
    num_classes: int,
    limits: Sequence[Constraint],
    workload: Workload = BATCH_OF_ONE,
    *,
    segments: bool = False,
) -> list[PublishedCandidate]:
    """Return the published networks that hold limits, each as wide as they allow, families in turn.

    A network comes with all its repeats and with half of them, with the images' pixels and with half of them, and for
    small images (up to 96 pixels) without its first strides and, as it was published, with images enlarged. The width
    is the largest of `WIDTHS` that holds the limits; a network that does not at a tenth of its channels is left out,
    and so is one equal to another before it. Vision transformers are left out: from few images they learn far less
    than networks of convolutions (Dosovitskiy et al. 2021, section 4.3).

    Args:
        shape: `(channels, height, width)` of the images; of series `(channels, length)`, for which there are networks
            of their own, which take them as they are.
        num_classes: of the data.
        limits: hard ones on counted metrics; others are ignored.
        workload: how the networks are to run.
        segments: whether classes are of pixels, and not of images: then it is U-Net, with the images' pixels and with
            half of them, their sides enlarged to what it takes.
    """
    if segments:
        return list(_unets(shape, num_classes, limits, workload))
    by_family: dict[str, list[PublishedCandidate]] = {}
    seen = set[str]()
    of_images = (*FOR_SMALL_IMAGES, *SMALL_IMAGES, *IMAGENET, *_MORE)
    for published in of_images if len(shape) == 3 else OTHER_TASKS["series"]:
        narrower = any(value < 1 for _, value in published.let)  # than another one of the table
        if published.family == "ViT" or narrower:
            continue
        for candidate in _of_one(published, shape, num_classes, limits, workload):
            if candidate.architecture.arch_id not in seen:
                seen.add(candidate.architecture.arch_id)
                by_family.setdefault(candidate.family, []).append(candidate)
    for candidates in by_family.values():
        candidates.sort(key=lambda one: (_is_smaller(one, shape), one.depth != 1, -one.cost.macs))
    return list(_in_turn(by_family.values()))


def _is_smaller(candidate: PublishedCandidate, shape: Shape) -> bool:
    """Return whether images lose pixels on their way to a candidate: such ones are tried last."""
    return max(candidate.architecture.input_shape[1:]) < max(shape[1:])


def _in_turn(lists: Iterable[Sequence[PublishedCandidate]]) -> Iterator[PublishedCandidate]:
    """Yield the first of each family, then the second of each, and so on."""
    for row in zip_longest(*lists):
        yield from (candidate for candidate in row if candidate is not None)


def _of_one(
    published: Published, shape: Shape, num_classes: int, limits: Sequence[Constraint], workload: Workload
) -> Iterator[PublishedCandidate]:
    base = _decoded(published, _own_input(published, shape), num_classes)
    side = max(shape[1:])
    for how in _inputs(base, side) if len(shape) == 3 else [_Input(side, 0)]:
        arch = without_first_strides(base, how.removed)
        arch = replace(arch, input_shape=(shape[0], *(round(how.side * length / side) for length in shape[1:])))
        for depth in DEPTHS if how.side >= side else DEPTHS[:1]:
            found = _widest(arch, depth, limits, workload)
            if found is not None:
                width, network, cost = found
                yield PublishedCandidate(published, width, depth, how.removed, network, cost)


def _unets(
    shape: Shape, num_classes: int, limits: Sequence[Constraint], workload: Workload
) -> Iterator[PublishedCandidate]:
    published = next(one for one in OTHER_TASKS["segmentation"] if one.space == "unet")
    base = _decoded(published, _own_input(published, shape), num_classes)
    for share in (1.0, _SMALLER_INPUT):
        sides = (_UNET_STEP * ceil(share * length / _UNET_STEP) for length in shape[1:])
        found = _widest(replace(base, input_shape=(shape[0], *sides)), 1.0, limits, workload)
        if found is not None:
            width, network, cost = found
            yield PublishedCandidate(published, width, 1.0, 0, network, cost)


def _own_input(published: Published, shape: Shape) -> Shape:
    """Return the input that a network was published for, with the channels of another shape and as many sides."""
    return (shape[0], *(published.resolution for _ in shape[1:]))


@lru_cache(maxsize=256)
def _decoded(published: Published, shape: Shape, num_classes: int) -> Architecture:
    """Return a network as it was published, for an input of some shape and so many classes."""
    space = load_space(f"reference/{published.space}", **dict(published.let))
    return space.for_data(shape, num_classes).decode({})


def _inputs(base: Architecture, side: int) -> list[_Input]:
    """Return how a network takes images of a side: as they are, by what small ones need, and with half the pixels."""
    times, smaller = halvings(base), round(_SMALLER_INPUT * side)
    if side > _SMALL_SIDE:
        return [_Input(side, 0), _Input(smaller, 0)]
    least, most = _MAPS
    maps = [side / 2 ** (times - removed) for removed in range(times + 1)]
    inputs = [_Input(side, removed) for removed, last in enumerate(maps) if least <= last <= most]
    if not inputs:  # made for images as small as these, or with few halvings
        inputs = [_Input(side, 0)]
    if maps[0] < least:
        inputs.append(_Input(next(side * 2**k for k in range(1, 8) if maps[0] * 2**k >= least), 0))
    return [*inputs, _Input(smaller, inputs[0].removed)]


def _widest(
    arch: Architecture, depth: float, limits: Sequence[Constraint], workload: Workload
) -> tuple[float, Architecture, Cost] | None:
    """Return the widest form of a network that holds the limits; costs rise with the width, so few are counted."""

    def at(place: int) -> tuple[float, Architecture, Cost] | None:
        network = _sized(arch, depth, WIDTHS[place])
        if network is None:
            return None
        cost = held_cost(network, workload)
        over = any(one.rejects and one.value > one.bound for one in check(cost, limits, workload))
        return None if over else (WIDTHS[place], network, cost)

    low, high = 0, len(WIDTHS) - 1
    found = at(low)
    if found is None:  # too large, or it has channels that no setting gives
        low, found = high, at(high)
    while low < high:
        middle = (low + high + 1) // 2
        wider = at(middle)
        if wider is None:
            high = middle - 1
        else:
            found, low = wider, middle
    under = found is not None and any(one.rejects for one in check(found[2], limits, workload))
    return None if under else found


def _sized(arch: Architecture, depth: float, width: float) -> Architecture | None:
    """Return a network at some depth and width; None where it cannot have them, or half the depth is no less."""
    rounding = Rounding(_DIVISOR if width >= 0.5 else _SMALL_DIVISOR, repeats="nearest")
    try:
        network = scaled(arch, depth, width, rounding=rounding)
        if depth != 1 and network == scaled(arch, width=width, rounding=rounding):
            return None
        cost_of(network)
    except NasError:
        return None
    return network
