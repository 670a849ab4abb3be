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
        inputs = _in_order(graph.nodes[index], keys)
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

    First of everything that the node is computed from, then with everything that is computed from it: two equal
    branches of which one is read elsewhere too are told apart.
    """
    above: dict[int, bytes] = {}
    for index in live:
        node = graph.nodes[index]
        inputs = [above[i] for i in node.inputs]
        above[index] = _digest(_label(node.op), *(sorted(inputs) if isinstance(node.op, _COMMUTATIVE) else inputs))
    uses: dict[int, list[bytes]] = {index: [] for index in live}
    keys: dict[int, bytes] = {}
    for index in reversed(live):
        node = graph.nodes[index]
        keys[index] = _digest(above[index], *sorted(uses[index]))
        for place, source in enumerate(node.inputs):
            position = 0 if isinstance(node.op, _COMMUTATIVE) else place
            uses[source].append(keys[index] + bytes([position]))
    return keys


def _in_order(node: Node, keys: dict[int, bytes]) -> list[int]:
    inputs = list(node.inputs)
    if isinstance(node.op, _COMMUTATIVE):
        inputs.sort(key=lambda i: keys[i])
    return inputs
