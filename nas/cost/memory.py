"""Memory of activations: in inference by liveness, in training by what the backward pass reads again."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from nas.cost.memory_layout import Layout, copied, scattered
from nas.network import ops
from nas.network.graph import Graph

FLOAT_BYTES = 4
"""Of a number in fp32."""
MIB = 2**20
"""Bytes."""

RANDOM = frozenset({ops.Dropout, ops.DropPath})
"""Operations that give a view of their input in inference only."""


def storages(graph: Graph, node_layouts: Sequence[Layout], *, training: bool = False) -> list[int]:
    """Return for each node the node whose memory its output lies in: itself, or another for views and in-place work.

    Args:
        graph: the graph.
        node_layouts: how the outputs of its operations lie in memory, from `layouts`.
        training: whether dropout gives no view of its input, but writes new values.
    """
    storage: list[int] = []
    for index, node in enumerate(graph.nodes):
        shares = node.in_place or (
            node.op.memory == "view"
            and node.inputs
            and not (training and type(node.op) in RANDOM)
            and not copied(graph, node, node_layouts[node.inputs[0]])
        )
        storage.append(storage[node.inputs[0]] if shares else index)
    return storage


def held_bytes(graph: Graph) -> list[int]:
    """Return for each node the bytes of the memory that it writes where it writes new memory, in fp32 at batch 1."""
    nodes = graph.nodes
    return [
        FLOAT_BYTES * node.op.held(nodes[node.inputs[0]].shape if node.inputs else node.shape, node.shape)
        for node in nodes
    ]


@dataclass(frozen=True, slots=True)
class PeakMemory:
    """Most memory of activations at one time in inference of a part of a chain, for `chain_peak`."""

    over_input: int
    """Most bytes beside the input, while that is needed."""
    without_input: int
    """Most bytes when the input is not needed any more."""
    output_bytes: int
    """Size of the memory in which the output lies, of which it may be a part."""
    passes_input: bool
    """Whether the output lies in the memory of the input."""


def peak_memory(graph: Graph, live: Sequence[int], storage: Sequence[int], held_by: Sequence[int]) -> PeakMemory:
    """Count the memory of activations in inference, fp32 at batch 1.

    Each tensor is freed after its last use. Beside the outputs only the positions of maxima count, which torch writes
    in every max pooling; parameters and what a library uses inside an operation do not.

    Args:
        graph: the graph.
        live: the nodes that run, from `Graph.live`.
        storage: the nodes in whose memory they write, from `storages`.
        held_by: bytes of that memory, from `held_bytes`.
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
            held += held_by[index]
        alive = held + graph.nodes[index].op.workspace(graph.nodes[index].shape)
        if input_needed:
            over = max(over, alive)
        else:
            without = max(without, alive)
        for root in ends.get(index, ()):
            if root == 0:
                input_needed = False
            else:
                held -= held_by[root]
    out = storage[graph.outputs[-1]]
    return PeakMemory(over, without, held_by[out], out == 0)


def chain_peak(parts: Iterable[PeakMemory]) -> int:
    """Return the most bytes of activations at one time in a chain; the input of the chain belongs to the caller."""
    peak = held = 0
    for part in parts:
        peak = max(peak, part.over_input + held, part.without_input)
        if not part.passes_input:
            held = part.output_bytes
    return peak


@dataclass(frozen=True, slots=True)
class SavedMemory:
    """What training keeps of a part of a chain for the backward pass, for `chain_saved`."""

    inner_bytes: int
    """Of everything but the input."""
    saves_input: bool
    """Whether the memory of the input is among what is kept."""
    output_saved: bool
    """Whether the memory of the output is among what is kept; then the next part need not keep it again."""
    output_bytes: int
    """Size of the memory in which the output lies."""
    passes_input: bool
    """Whether the output lies in the memory of the input."""


def saved_memory(
    graph: Graph,
    live: Sequence[int],
    storage: Sequence[int],
    held_by: Sequence[int],
    node_layouts: Sequence[Layout],
) -> SavedMemory:
    """Count what autograd saves at batch 1 in fp32, without the parameters themselves.

    Args:
        graph: the graph.
        live: the nodes that run in training, from `Graph.live`.
        storage: the nodes in whose memory they write in training, from `storages`.
        held_by: bytes of that memory, from `held_bytes`.
        node_layouts: how the outputs of its operations lie in memory, from `layouts`.
    """
    roots: set[int] = set()
    extra = 0
    for index in live:
        node = graph.nodes[index]
        in_shape = graph.nodes[node.inputs[0]].shape if node.inputs else node.shape
        if node.inputs and scattered(in_shape, node_layouts[node.inputs[0]]):
            saved, saved_extra = node.op.saved_of_scattered(in_shape, node.shape)
        else:
            saved, saved_extra = node.op.saved, node.op.saved_extra(in_shape, node.shape)
        extra += saved_extra
        for kept in saved:
            if kept == "output":
                roots.add(storage[index])
            elif kept == "inputs":
                roots.update(storage[i] for i in node.inputs)
            elif node.in_place:
                # Its input is overwritten, so torch keeps a copy.
                extra += held_by[index]
            else:
                roots.add(storage[node.inputs[0]])
    out = storage[graph.outputs[-1]]
    return SavedMemory(
        inner_bytes=extra + sum([held_by[root] for root in roots if root]),
        saves_input=0 in roots,
        output_saved=out in roots,
        output_bytes=held_by[out],
        passes_input=out == 0,
    )


def chain_saved(in_bytes: int, parts: Iterable[SavedMemory]) -> int:
    """Return the bytes that a chain keeps for the backward pass.

    Memory between two parts is kept once, whichever of them asks for it.

    Args:
        in_bytes: size of the input of the chain.
        parts: what each part keeps, in order.
    """
    kept, between, between_kept = 0, in_bytes, False
    for part in parts:
        kept += part.inner_bytes
        if part.saves_input and not between_kept:
            kept += between
            between_kept = True
        if not part.passes_input:
            between, between_kept = part.output_bytes, part.output_saved
    return kept
