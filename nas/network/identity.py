"""One name for one network: a hash of the graph in canonical form."""

from __future__ import annotations

import hashlib
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

    Names do not count, operations that the output does not depend on do not count, and the inputs of a sum
    are put in order. Nodes are numbered as a walk from the output meets them, so that sharing counts: `add(c, c)`
    of one convolution is another network than the sum of two.
    """
    live = _live(graph)
    keys = _keys(graph, live)
    order: dict[int, int] = {}
    lines: list[bytes] = []
    # Depth-first from the output, inputs before the node itself; iterative, since graphs get deep.
    stack = [(len(graph.nodes) - 1, False)]
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
    return hashlib.sha256(b"\n".join(lines)).hexdigest()[:16]


def _live(graph: Graph) -> list[int]:
    """Indices of the nodes that the output depends on, in order."""
    found = {len(graph.nodes) - 1}
    for index in range(len(graph.nodes) - 1, -1, -1):
        if index in found:
            found.update(graph.nodes[index].inputs)
    return sorted(found)


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
