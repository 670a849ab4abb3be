"""One name for one network: a hash of the graph in canonical form."""

from __future__ import annotations

import hashlib
from functools import lru_cache

from nas.network import ops
from nas.network.graph import Graph
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
    digests = _digests(graph)
    order: dict[int, int] = {}
    lines: list[bytes] = []
    _number(graph, digests, order, lines)
    return hashlib.sha256(b"\n".join(lines)).hexdigest()[:16]


def _digests(graph: Graph) -> list[bytes]:
    """Hash of everything that each node is computed from; it orders the inputs of a sum."""
    digests: list[bytes] = []
    for node in graph.nodes:
        inputs = [digests[i] for i in node.inputs]
        if isinstance(node.op, _COMMUTATIVE):
            inputs.sort()
        digests.append(hashlib.blake2b(b"|".join((_label(node.op), *inputs)), digest_size=16).digest())
    return digests


def _number(graph: Graph, digests: list[bytes], order: dict[int, int], lines: list[bytes]) -> None:
    """Write one line a node, inputs first, by depth-first walk from the output (iterative: graphs get deep)."""
    stack = [(len(graph.nodes) - 1, False)]
    while stack:
        index, inputs_done = stack.pop()
        if index in order:
            continue
        node = graph.nodes[index]
        inputs = list(node.inputs)
        if isinstance(node.op, _COMMUTATIVE):
            inputs.sort(key=lambda i: digests[i])
        if inputs_done:
            order[index] = len(order)
            numbers = " ".join(str(order[i]) for i in inputs)
            lines.append(_label(node.op) + b" <- " + numbers.encode())
        else:
            stack.append((index, True))
            stack.extend((i, False) for i in reversed(inputs))
