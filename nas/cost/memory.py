"""Memory of activations: in inference by liveness, in training by what the backward pass reads again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from nas.cost.layout import Layout, copied, scattered
from nas.network import ops
from nas.network.graph import Graph

FLOAT_BYTES = 4
MIB = 2**20

_RANDOM = (ops.Dropout, ops.DropPath)


def storages(graph: Graph, lie: Sequence[Layout], *, training: bool = False) -> list[int]:
    """Return for each node the node whose memory its output lies in: itself, or another for views and in-place work.

    In training dropout is no view of its input, but writes new values. `lie` is how the outputs lie, from `layouts`.
    """
    found: list[int] = []
    for index, node in enumerate(graph.nodes):
        shares = node.in_place or (
            node.op.memory == "view"
            and node.inputs
            and not (training and type(node.op) in _RANDOM)
            and not copied(graph, node, lie[node.inputs[0]])
        )
        found.append(found[node.inputs[0]] if shares else index)
    return found


def _bytes(graph: Graph, index: int) -> int:
    node = graph.nodes[index]
    in_shape = graph.nodes[node.inputs[0]].shape if node.inputs else node.shape
    return FLOAT_BYTES * node.op.held(in_shape, node.shape)


class PeakMemory(NamedTuple):
    """Most memory of activations at one time in inference, so that the parts of a chain can be put together."""

    over_input: int
    """Bytes beside the input, while that is needed."""
    without_input: int
    """Bytes when the input is not needed any more."""
    output_bytes: int
    """Of the memory in which the output lies, of which it may be a part."""
    passes_input: bool
    """Whether the output lies in the memory of the input."""


def peak_memory(graph: Graph, live: Sequence[int], storage: Sequence[int]) -> PeakMemory:
    """Follow what is alive in inference, fp32 at batch 1.

    Each tensor is freed after its last use. Beside the outputs only the places of maxima count, which torch writes in
    every max pooling; parameters and what a library uses inside an operation do not.

    Args:
        graph: the graph.
        live: the nodes that run, from `Graph.live`.
        storage: the nodes in whose memory they write, from `storages`.
    """
    last_use: dict[int, int] = {}
    for index in live:
        last_use[storage[index]] = index
        for source in graph.nodes[index].inputs:
            last_use[storage[source]] = index
    for output in graph.outputs:
        last_use[storage[output]] = len(graph.nodes)
    ends: dict[int, list[int]] = {}
    for root, index in last_use.items():
        ends.setdefault(index, []).append(root)
    held = over = without = 0
    input_needed = True
    for index in live[1:]:
        if storage[index] == index:
            held += _bytes(graph, index)
        now = held + graph.nodes[index].op.workspace(graph.nodes[index].shape)
        if input_needed:
            over = max(over, now)
        else:
            without = max(without, now)
        for root in ends.get(index, ()):
            if root == 0:
                input_needed = False
            else:
                held -= _bytes(graph, root)
    out = storage[graph.outputs[-1]]
    return PeakMemory(over, without, _bytes(graph, out), out == 0)


class SavedMemory(NamedTuple):
    """What training keeps for the backward pass, so that the parts of a chain can be put together."""

    inner_bytes: int
    """Of everything but the input."""
    saves_input: bool
    output_saved: bool
    """Whether the memory of the output is among what is kept; then the next part need not keep it again."""
    output_bytes: int
    """Of the memory in which the output lies."""
    passes_input: bool
    """Whether the output lies in the memory of the input."""


def saved_memory(graph: Graph, lie: Sequence[Layout]) -> SavedMemory:
    """Count what autograd saves at batch 1 in fp32, without the parameters themselves.

    Args:
        graph: the graph.
        lie: how the outputs of its operations lie in memory, from `layouts`.
    """
    storage = storages(graph, lie, training=True)
    roots: set[int] = set()
    extra = 0
    for index in graph.live(training=True):
        node = graph.nodes[index]
        in_shape = graph.nodes[node.inputs[0]].shape if node.inputs else node.shape
        if node.inputs and scattered(in_shape, lie[node.inputs[0]]):
            kept, more = node.op.saved_of_scattered(in_shape, node.shape)
        else:
            kept, more = node.op.saved, node.op.saved_extra(in_shape, node.shape)
        extra += more
        for what in kept:
            if what == "output":
                roots.add(storage[index])
            elif what == "inputs":
                roots.update(storage[i] for i in node.inputs)
            elif node.in_place:
                # What it needs is overwritten, so torch keeps a copy.
                extra += _bytes(graph, index)
            else:
                roots.add(storage[node.inputs[0]])
    out = storage[graph.outputs[-1]]
    return SavedMemory(
        inner_bytes=extra + sum(_bytes(graph, root) for root in roots if root),
        saves_input=0 in roots,
        output_saved=out in roots,
        output_bytes=_bytes(graph, out),
        passes_input=out == 0,
    )
