"""More blocks, or fewer, in a section: which runs of blocks are repeated, and how."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from nas.cost.measured_costs import completed
from nas.network.graph import Graph
from nas.network.ops import Shape
from nas.network.registry import Block, block_graph
from nas.network.section import Section
from nas.scaling.nested import map_nested

STRIDE = "stride"
Repeat = Callable[[int], int]
"""Gives the new length of a run for its old one; called for each run, in the order of the network."""


def deepen(section: Section, repeat: Repeat, in_shape: Shape, num_classes: int) -> Section:
    """Return the section with another number of blocks in each of its runs.

    A run is a block with those behind it that keep its shape, or are equal to it: a stage of most networks. Of a run of
    n blocks `repeat(n)` are kept or made; the first stays first with its stride, and the others are copies of the
    later ones in their order, or of the first at stride 1 where there is no other. A block that cannot be repeated,
    such as a pooling or a level of U-Net, stays, and the blocks nested in it are repeated. Blocks that compute nothing
    are left out.

    Args:
        section: stem, stage or head, or a section nested in a block.
        repeat: gives the new length of each run.
        in_shape: shape of the section's input.
        num_classes: number of classes of the network.
    """
    blocks: list[Block] = []
    for run in _runs(section.blocks, in_shape, num_classes):
        if _multiplies(run[0][1]) and (
            len(run) > 1 or _keeps_shape(_without_stride(run[0][0]), run[0][1].out_shape, num_classes)
        ):
            blocks += _copies([block for block, _ in run], repeat(len(run)))
        else:
            blocks += [_deeper_inside(block, repeat, graph.in_shape, num_classes) for block, graph in run]
    return Section(tuple(blocks))


def _deeper_inside(block: Block, repeat: Repeat, in_shape: Shape, num_classes: int) -> Block:
    # Nearly all branches read the block's input; for the others its shape is close enough to find the runs.
    return map_nested(block, lambda inner: deepen(inner, repeat, in_shape, num_classes))


def _runs(blocks: Iterable[Block], shape: Shape, num_classes: int) -> list[list[tuple[Block, Graph]]]:
    runs: list[list[tuple[Block, Graph]]] = []
    for block in blocks:
        graph = block_graph(block, shape, num_classes)
        shape = graph.out_shape
        if len(graph.nodes) == 1:  # an identity that computes nothing
            continue
        before, before_graph = runs[-1][-1] if runs else (None, graph)
        extends = graph.in_shape == shape or (before is not None and _without_stride(before) == block)
        if before is not None and _multiplies(before_graph) and _multiplies(graph) and extends:
            runs[-1].append((block, graph))
        else:
            runs.append([(block, graph)])
    return runs


def _copies(run: list[Block], count: int) -> list[Block]:
    first, later = run[0], run[1:] or [_without_stride(run[0])]
    num_copies = count - 1
    return [first, *(later[i * len(later) // num_copies] for i in range(num_copies))]


def _without_stride(block: Block) -> Block:
    """Return the block at stride 1, as it is behind another of its kind."""
    settings = dict(block.settings)
    return Block.of(block.kind, {**settings, STRIDE: 1}) if settings.get(STRIDE, 1) != 1 else block


def _multiplies(graph: Graph) -> bool:
    """Return whether a block has multiply-adds: a pooling or a normalisation is no layer of its own."""
    return any(node.op.macs(node.shape) + node.op.attention_macs(node.shape) for node in completed(graph).nodes)


def _keeps_shape(block: Block, shape: Shape, num_classes: int) -> bool:
    graph = block_graph(block, shape, num_classes)
    return graph.out_shape == shape and _multiplies(graph)
