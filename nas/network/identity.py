"""One name for one network: a hash of the graph in canonical form."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import replace
from functools import lru_cache

from nas.network import ops
from nas.network.graph import Graph, Node
from nas.network.ops import Op

# Operations whose inputs may change places without changing the network.
_COMMUTATIVE = (ops.Add,)


@lru_cache(maxsize=65536)
def _label(op: Op) -> bytes:
    return repr(op).encode()


def graph_id(graph: Graph) -> str:
    """Return 16 hexadecimal digits that are equal for graphs that compute the same function of equal weights.

    Names do not count, and the inputs of a sum are put in order. Nodes are numbered as a walk from the output meets
    them, so that sharing counts: `add(c, c)` of one convolution is another network than the sum of two. What has no
    effect is for `simplify`, which `lower` applies to each block: what is equal here costs the same.

    Two graphs with one id are one network. The reverse holds but for rare regular wirings, which colour refinement does
    not tell apart (Weisfeiler & Leman 1968): those can get two ids.
    """
    graph = _flat_sums(graph)
    keys = _keys(graph, graph.live(training=True))
    order: dict[int, int] = {}
    lines: list[bytes] = []
    # Depth-first from the output, inputs before the node itself; iterative, since graphs get deep.
    ends = (*graph.outputs, *graph.auxiliary)
    stack = [(end, False) for end in reversed(ends)]
    while stack:
        index, inputs_done = stack.pop()
        if index in order:
            continue
        inputs = _in_order(graph.nodes[index], keys, order)
        if inputs_done:
            order[index] = len(order)
            numbers = " ".join(str(order[i]) for i in inputs)
            lines.append(_label(graph.nodes[index].op) + b" <- " + numbers.encode())
        else:
            stack.append((index, True))
            stack.extend((i, False) for i in reversed(inputs))
    lines.append(repr([[order[i] for i in graph.outputs], [order[i] for i in graph.auxiliary]]).encode())
    return hashlib.sha256(b"\n".join(lines)).hexdigest()[:16]


def _flat_sums(graph: Graph) -> Graph:
    """Write a sum of sums as one sum, where the inner one is read nowhere else."""
    uses = Counter(i for node in graph.nodes for i in node.inputs)
    uses.update((*graph.outputs, *graph.auxiliary))
    terms: dict[int, tuple[int, ...]] = {}
    nodes = list(graph.nodes)
    for index, node in enumerate(graph.nodes):
        if isinstance(node.op, ops.Add):
            terms[index] = tuple(t for i in node.inputs for t in (terms.get(i, (i,)) if uses[i] == 1 else (i,)))
            nodes[index] = Node(node.name, node.op, terms[index], node.shape)
    # The inner sums are dead now: nobody reads them any more.
    return replace(graph, nodes=tuple(nodes))


def _digest(*parts: bytes) -> bytes:
    return hashlib.blake2b(b"|".join(parts), digest_size=16).digest()


def _keys(graph: Graph, live: list[int]) -> dict[int, bytes]:
    """A hash of each node's surroundings, which orders the inputs of a sum whatever their order was.

    Colour refinement: a node's key takes in the keys of what it is computed from and of what is computed from it, again
    until no more nodes are told apart. Two equal branches of which one is read elsewhere too then have other keys.
    """
    keys = {index: _label(graph.nodes[index].op) for index in live}
    colours = 0
    while len(set(keys.values())) > colours:
        colours = len(set(keys.values()))
        keys = _refined(graph, live, keys)
    return keys


def _refined(graph: Graph, live: list[int], keys: dict[int, bytes]) -> dict[int, bytes]:
    above: dict[int, bytes] = {}
    for index in live:
        node = graph.nodes[index]
        inputs = [above[i] for i in node.inputs]
        above[index] = _digest(keys[index], *(sorted(inputs) if isinstance(node.op, _COMMUTATIVE) else inputs))
    uses: dict[int, list[bytes]] = {index: [] for index in live}
    refined: dict[int, bytes] = {}
    for index in reversed(live):
        node = graph.nodes[index]
        refined[index] = _digest(above[index], *sorted(uses[index]))
        for place, source in enumerate(node.inputs):
            position = 0 if isinstance(node.op, _COMMUTATIVE) else place
            uses[source].append(refined[index] + bytes([position]))
    return refined


def _in_order(node: Node, keys: dict[int, bytes], order: dict[int, int]) -> list[int]:
    """Inputs in canonical order; of two that look alike, the one that the walk has met comes first."""
    inputs = list(node.inputs)
    if isinstance(node.op, _COMMUTATIVE):
        inputs.sort(key=lambda i: (keys[i], order.get(i, len(keys))))
    return inputs
