"""Published networks for images smaller than those that they were made for: without their first strides."""

from __future__ import annotations

from dataclasses import replace

from nas.network.architecture import Architecture
from nas.network.registry import Block
from nas.network.section import Section

_POOLS = frozenset({"max_pool", "avg_pool", "blur_pool", "max_blur_pool"})
_SMALL_KERNEL = 3


def halvings(arch: Architecture) -> int:
    """Return how often the blocks of the stem and the stages halve the map, by their settings."""
    return sum(_halvings(block) for section in (arch.stem, *arch.stages) for block in section.blocks)


def without_first_strides(arch: Architecture, count: int) -> Architecture:
    """Return a network whose first `count` halvings of the map are left out, so that small images end in larger maps.

    As designs for small images have it (He et al. 2016, section 4.2; Sandler et al.'s and Huang et al.'s networks on
    CIFAR): a strided block keeps its map, a pooling goes, and a first convolution that loses its stride has a kernel of
    3. Patches of a convolution whose kernel is its stride get half as large.
    """
    sections = []
    for section in (arch.stem, *arch.stages):
        blocks = []
        for original in section.blocks:
            block: Block | None = original
            while count > 0 and block is not None and _halvings(block):
                block, count = _without_one(block), count - 1
            if block is not None:
                blocks.append(block)
        sections.append(Section(tuple(blocks)))
    return replace(arch, stem=sections[0], stages=tuple(sections[1:]))


def _halvings(block: Block) -> int:
    stride = dict(block.settings).get("stride", 1)
    return max(0, stride.bit_length() - 1) if isinstance(stride, int) else 0


def _without_one(block: Block) -> Block | None:
    """Return a block with half its stride; None in place of a pooling, which has no other use."""
    settings = dict(block.settings)
    stride, kernel = settings["stride"], settings.get("kernel")
    assert isinstance(stride, int)
    half = stride // 2
    if block.kind in _POOLS:
        return None if half == 1 else Block.of(block.kind, {**settings, "stride": half})
    changed = {**settings, "stride": half}
    if block.kind == "conv" and kernel == stride:
        changed["kernel"] = half
    elif block.kind == "conv" and half == 1 and isinstance(kernel, int) and kernel > _SMALL_KERNEL:
        changed |= {"kernel": _SMALL_KERNEL, "padding": None}
    return Block.of(block.kind, changed)
