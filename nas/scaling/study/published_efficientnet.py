"""EfficientNet's published accuracies, for comparison with families of networks for the same task."""

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
"""Of the published line in charts and tables."""


@dataclass(frozen=True)
class PublishedSize:
    """A published network."""

    name: str
    cost: Cost
    """Counted here, at the resolution at which it was published."""
    error: float
    """1 - top-1 accuracy on ImageNet's validation set."""


def applies(networks: Sequence[Architecture]) -> bool:
    """Return whether networks are for colour images of 1,000 classes, as the published ones are."""
    return all(
        (arch.input_shape[0], len(arch.input_shape), arch.num_classes) == (_CHANNELS, 3, _CLASSES) for arch in networks
    )


def published_family() -> list[PublishedSize]:
    """Return EfficientNet B0 to B7 (Tan & Le 2019, table 2)."""
    sizes = []
    for network in IMAGENET:
        if network.family == _FAMILY and network.top1 is not None:
            space = load_space(network.name).for_data((_CHANNELS, network.resolution, network.resolution), _CLASSES)
            sizes.append(PublishedSize(network.space, cost_of(space.decode({})), 1 - network.top1 / 100))
    return sizes


def published_lines(sizes: Sequence[PublishedSize]) -> list[str]:
    """Return the published networks as lines of a Markdown table."""
    lines = [f"{LABEL}:", "", "| network | MACs | params | top-1 error |", "| --- | --: | --: | --: |"]
    return lines + [f"| {size.name} | {size.cost.macs:,} | {size.cost.params:,} | {size.error:.3f} |" for size in sizes]
