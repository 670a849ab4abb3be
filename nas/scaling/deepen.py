"""More blocks, or fewer, in a section: what is repeated, and what the copies are."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from nas.cost.measured_costs import completed
from nas.network.graph import Graph
from nas.network.ops import Shape
from nas.network.registry import Block, block_graph
from nas.network.section import Section
from nas.scaling.inside import with_inside

STRIDE = "stride"
Repeat = Callable[[int], int]
"""Gives the new length of a run for its old one; asked once a run, in the order of the network."""


def deepen(section: Section, repeat: Repeat, in_shape: Shape, num_classes: int) -> Section:
    """Return the section with another number of blocks in each of its runs.

    A run is a block with those behind it that keep its shape, or are equal to it: a stage of most networks. Of a run of
    n blocks `repeat(n)` are kept or made; the first stays first with its stride, and the others are copies of the
    later ones in their order, or of the first at stride 1 where there is no other. What cannot stand twice, such as a
    pooling or a level of U-Net, stays as it is, and the blocks inside it are repeated. What does nothing is left out.
    """
    blocks: list[Block] = []
    for run in _runs(section.blocks, in_shape, num_classes):
        if _works(run[0][1]) and (len(run) > 1 or _stays(_plain(run[0][0]), run[0][1].out_shape, num_classes)):
            blocks += _copies([block for block, _ in run], repeat(len(run)))
        else:
            blocks += [_deeper_inside(block, repeat, graph.in_shape, num_classes) for block, graph in run]
    return Section(tuple(blocks))


def _deeper_inside(block: Block, repeat: Repeat, in_shape: Shape, num_classes: int) -> Block:
    # Nearly all branches read what the block reads; elsewhere it is close enough to find the runs.
    return with_inside(block, lambda inner: deepen(inner, repeat, in_shape, num_classes))


def _runs(blocks: Iterable[Block], shape: Shape, num_classes: int) -> list[list[tuple[Block, Graph]]]:
    runs: list[list[tuple[Block, Graph]]] = []
    for block in blocks:
        graph = block_graph(block, shape, num_classes)
        shape = graph.out_shape
        if len(graph.nodes) == 1:  # an identity that computes nothing
            continue
        before, before_graph = runs[-1][-1] if runs else (None, graph)
        same = before is not None and _plain(before) == block
        if before is not None and _works(before_graph) and _works(graph) and (same or graph.in_shape == shape):
            runs[-1].append((block, graph))
        else:
            runs.append([(block, graph)])
    return runs


def _copies(run: list[Block], count: int) -> list[Block]:
    first, later = run[0], run[1:] or [_plain(run[0])]
    more = count - 1
    return [first, *(later[i * len(later) // more] for i in range(more))]


def _plain(block: Block) -> Block:
    """The block as it stands behind another of its kind: at stride 1."""
    settings = dict(block.settings)
    return Block.of(block.kind, {**settings, STRIDE: 1}) if settings.get(STRIDE, 1) != 1 else block


def _works(graph: Graph) -> bool:
    """Whether it multiplies: a pooling or a normalisation is no layer of its own."""
    return any(node.op.macs(node.shape) + node.op.attention_macs(node.shape) for node in completed(graph).nodes)


def _stays(block: Block, shape: Shape, num_classes: int) -> bool:
    graph = block_graph(block, shape, num_classes)
    return graph.out_shape == shape and _works(graph)
