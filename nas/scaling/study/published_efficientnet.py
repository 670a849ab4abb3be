"""EfficientNet's published accuracies, to stand beside a family of networks for the same task."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nas.advise.published import IMAGENET
from nas.cost import Cost, cost_of
from nas.network.architecture import Architecture
from nas.space import load_space

_FAMILY = "EfficientNet"
_CHANNELS, _CLASSES = 3, 1000
LABEL = "EfficientNet B0 to B7 as published (Tan & Le 2019, table 2; ImageNet)"


@dataclass(frozen=True)
class PublishedSize:
    """One of the published networks."""

    name: str
    cost: Cost
    """As it is counted here, at the resolution at which it was published."""
    error: float
    """1 - top-1 accuracy on ImageNet's validation set."""


def applies(networks: Sequence[Architecture]) -> bool:
    """Whether networks are for colour images of ImageNet's 1,000 classes, as the published ones are."""
    return all(
        (arch.input_shape[0], len(arch.input_shape), arch.num_classes) == (_CHANNELS, 3, _CLASSES) for arch in networks
    )


def published_family() -> list[PublishedSize]:
    """Return EfficientNet B0 to B7 (Tan & Le 2019, table 2)."""
    found = []
    for one in IMAGENET:
        if one.family == _FAMILY and one.top1 is not None:
            space = load_space(one.name).for_data((_CHANNELS, one.resolution, one.resolution), _CLASSES)
            found.append(PublishedSize(one.space, cost_of(space.decode({})), 1 - one.top1 / 100))
    return found


def published_lines(sizes: Sequence[PublishedSize]) -> list[str]:
    """The published networks as lines of a table for people."""
    lines = [f"{LABEL}:", "", "| network | MACs | params | top-1 error |", "| --- | --: | --: | --: |"]
    return lines + [f"| {one.name} | {one.cost.macs:,} | {one.cost.params:,} | {one.error:.3f} |" for one in sizes]
