"""The id of a network: a hash of its graph in canonical form."""

from __future__ import annotations

import hashlib
from collections.abc import Set

from nas.network import ops
from nas.network.architecture import Architecture
from nas.network.graph import Graph, Node, chain, flattened
from nas.network.ops import Shape
from nas.network.registry import block_graph
from nas.network.simplify import SCHEME, simplify
from nas.network.user_operations import label

# Operations that treat all channels alike: they pass on any order of them, and their weights change places with them.
_CHANNEL_BY_CHANNEL = (
    *(ops.Activation, ops.AdaptiveAvgPool, ops.AvgPool, ops.BatchNorm, ops.Blur, ops.ChannelPad, ops.ChannelShuffle),
    *(ops.ClassToken, ops.Concat, ops.Crop, ops.DropPath, ops.Dropout, ops.Flatten, ops.GlobalAvgPool),
    *(ops.GlobalMaxPool, ops.LayerNorm, ops.LayerScale, ops.MaxPool, ops.MeanToken, ops.Pad, ops.PositionEmbedding),
    *(ops.TakeToken, ops.ToTokens, ops.Upsample, ops.UpsampleBilinear),
)


def graph_id(graph: Graph, *, scheme: int = SCHEME) -> str:
    """Return 16 hexadecimal digits that are equal for graphs that compute the same functions.

    Names do not count, the inputs of a sum are put in order, and so are those of a concatenation where the weights that
    read it can change places with its channels. Nodes are numbered as a walk from the output meets
    them, so that sharing counts: `add(c, c)` of one convolution is another network than the sum of two. What has no
    effect is for `simplify`, which `lower` applies to each block: what is equal here costs the same.

    Two graphs with one id are one network. The reverse holds but for rare regular wirings, which colour refinement does
    not tell apart (Weisfeiler & Leman 1968): those can get two ids.
    """
    graph = flattened(graph, ops.Add)
    live = graph.live(training=True)
    alike = _in_any_order(graph, live, joins=scheme > 1)
    labels = {index: label(graph.nodes[index].op).encode() for index in live}
    keys = _keys(graph, live, alike, labels)
    order: dict[int, int] = {}
    lines: list[bytes] = []
    # Depth-first from the output, inputs before the node itself; iterative, since graphs get deep.
    stack = [(end, False) for end in reversed(graph.ends)]
    while stack:
        index, inputs_done = stack.pop()
        if index in order:
            continue
        inputs = (
            _in_order(graph.nodes[index].inputs, keys, order) if index in alike else list(graph.nodes[index].inputs)
        )
        if inputs_done:
            order[index] = len(order)
            numbers = " ".join(str(order[i]) for i in inputs)
            join = b" any order" if index in alike and type(graph.nodes[index].op) is ops.Concat else b""
            lines.append(labels[index] + join + b" <- " + numbers.encode())
        else:
            stack.append((index, True))
            stack.extend((i, False) for i in reversed(inputs))
    lines.append(repr([[order[i] for i in graph.outputs], [order[i] for i in graph.auxiliary]]).encode())
    return hashlib.sha256(b"\n".join(lines)).hexdigest()[:16]


def earlier_id(arch: Architecture) -> str:
    """Return the id that a network had before `SCHEME` 2, to find it in records of then."""
    parts: list[tuple[str, Graph]] = []
    shape: Shape = arch.input_shape
    for name, block in arch.named_blocks():
        graph = simplify(block_graph(block, shape, arch.num_classes, False), scheme=1)
        parts.append((name, graph))
        shape = graph.out_shape
    return graph_id(chain(arch.input_shape, parts), scheme=1)


def _in_any_order(graph: Graph, live: list[int], *, joins: bool) -> Set[int]:
    """The nodes whose inputs may change places: sums, and `joins` whose channels no order is asked of.

    The channels of a value may stand in any order where all that read it are convolutions over all channels or matrix
    products, whose weights can change places with them, or pass them on channel by channel to such.
    """
    alike = {index for index in live if type(graph.nodes[index].op) is ops.Add}
    if not joins or not any(type(graph.nodes[index].op) is ops.Concat for index in live):
        return alike
    readers: dict[int, list[int]] = {index: [] for index in live}
    for index in live:
        for source in graph.nodes[index].inputs:
            readers[source].append(index)
    ends = set(graph.ends)
    free: set[int] = set()
    for index in reversed(live):
        if index not in ends and all(_absorbs(graph.nodes[i], i in free) for i in readers[index]):
            free.add(index)
    return alike | {index for index in free if type(graph.nodes[index].op) is ops.Concat}


def _absorbs(reader: Node, free: bool) -> bool:
    """Whether an operation may read channels in any order; `free` says whether those of its output may be so."""
    op = reader.op
    if type(op) is ops.Conv:
        depthwise = op.groups == op.in_channels == op.out_channels
        return op.groups == 1 or (depthwise and free)
    if type(op) is ops.GroupNorm:
        return op.groups in (1, op.channels) and free
    if type(op) in (ops.Linear, ops.ConvTranspose, ops.Zero):
        return True
    return type(op) in _CHANNEL_BY_CHANNEL and free


def _digest(*parts: bytes) -> bytes:
    return hashlib.blake2b(b"|".join(parts), digest_size=16).digest()


def _keys(graph: Graph, live: list[int], alike: Set[int], labels: dict[int, bytes]) -> dict[int, bytes]:
    """A hash of each node's surroundings, which orders the inputs of those in `alike` whatever their order was.

    Colour refinement: a node's key takes in the keys of what it is computed from and of what is computed from it, again
    until no more nodes are told apart. Two equal branches of which one is read elsewhere too then have other keys.
    """
    keys, colours = labels, 0
    while len(set(keys.values())) > colours:
        colours = len(set(keys.values()))
        keys = _refined(graph, live, keys, alike)
    return keys


def _refined(graph: Graph, live: list[int], keys: dict[int, bytes], alike: Set[int]) -> dict[int, bytes]:
    above: dict[int, bytes] = {}
    for index in live:
        node = graph.nodes[index]
        inputs = [above[i] for i in node.inputs]
        above[index] = _digest(keys[index], *(sorted(inputs) if index in alike else inputs))
    uses: dict[int, list[bytes]] = {index: [] for index in live}
    refined: dict[int, bytes] = {}
    for index in reversed(live):
        node = graph.nodes[index]
        refined[index] = _digest(above[index], *sorted(uses[index]))
        for number, source in enumerate(node.inputs):
            position = 0 if index in alike else number
            uses[source].append(refined[index] + position.to_bytes(1 if position < 256 else 4))
    return refined


def _in_order(inputs: tuple[int, ...], keys: dict[int, bytes], order: dict[int, int]) -> list[int]:
    """Inputs in canonical order; of two that look alike, the one that the walk has met comes first."""
    return sorted(inputs, key=lambda i: (keys[i], order.get(i, len(keys))))
