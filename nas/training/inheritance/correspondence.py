"""Which operations and channels of a network stand in the places of those of another one."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from nas.network import ops
from nas.network.architecture import Architecture
from nas.network.graph import Graph
from nas.training.inheritance.channels import Channels, Numbers, channels_of, is_depthwise

MIXING = (ops.Conv, ops.ConvTranspose, ops.Linear)
"""Operations with weights that mix channels, but for depthwise convolutions."""
PER_CHANNEL = (*(ops.BatchNorm, ops.ClassToken, ops.GroupNorm, ops.LayerNorm, ops.LayerScale, ops.PositionEmbedding),)
"""Operations with numbers for each channel."""


def has_state(op: ops.Op) -> bool:
    """Whether an operation has parameters or statistics, or is a user's, which may have some."""
    return type(op) in (*MIXING, *PER_CHANNEL) or type(op) not in ops.BUILT_IN


class Correspondence:
    """Which nodes and channels of a child's graph stand for which of its parent's.

    Nodes do by their name, which says the position, where the blocks are of one kind and the operations too. Channels
    do in the order of the values that nodes with weights give; where the child has fewer, it keeps those that what
    reads them weighs most.
    """

    def __init__(
        self,
        parent: tuple[Architecture, Graph],
        child: tuple[Architecture, Graph],
        weights: Mapping[str, Tensor],
    ) -> None:
        self.parent, self.child = parent[1], child[1]
        self.parents, self.children = channels_of(self.parent), channels_of(self.child)
        self.partner = _partners(parent, child)
        """For a node of the child the one of the parent, by index."""
        self._importance = _importance(self.parent, self.parents, weights)
        self._stands_for: dict[int, list[int]] = defaultdict(list)
        for index, partner in self.partner.items():
            if has_state(self.child.nodes[index].op) or index == 0:
                self._match_node(index, partner)

    def positions(self, index: int, partner: int) -> Numbers:
        """Return where the parent has each channel of a child's value; -1 for those that are new.

        Args:
            index: node of the child that gives the value.
            partner: node of the parent.
        """
        free: dict[tuple[int, int], deque[int]] = defaultdict(deque)
        theirs = self.parents.values[partner]
        for position, feature in enumerate(zip(theirs.channels.tolist(), theirs.places.tolist(), strict=True)):
            free[feature].append(position)
        own = self.children.values[index]
        found = []
        for channel, place in zip(own.channels.tolist(), own.places.tolist(), strict=True):
            matches = (free[other, place] for other in self._stands_for[channel] if free.get((other, place)))
            queue = next(matches, None)
            found.append(queue.popleft() if queue else -1)
        return np.array(found, np.int64)

    def _match_node(self, index: int, partner: int) -> None:
        self._match(self.children.values[index].channels, self.parents.values[partner].channels)
        if type(self.child.nodes[index].op) in MIXING:
            # Of a block that is another one: what it gives stands for what the parent's gave.
            read, theirs = self.child.nodes[index].inputs[0], self.parent.nodes[partner].inputs[0]
            if not (self.positions(read, theirs) >= 0).any():
                self._match(self.children.values[read].channels, self.parents.values[theirs].channels)

    def _match(self, own: Numbers, theirs: Numbers) -> None:
        """Let channels stand for those of the parent, as far as they do not stand for one of them yet."""
        wanted = dict.fromkeys(theirs.tolist())
        taken, open_ = set(), []
        for channel in dict.fromkeys(own.tolist()):
            of_wanted = [other for other in self._stands_for[channel] if other in wanted]
            taken.update(of_wanted)
            if not of_wanted:
                open_.append(channel)
        left = [other for other in wanted if other not in taken]
        for mine, others in _in_parts(open_, left, self.children, self.parents):
            for channel, other in zip(mine, self._kept(others, len(mine)), strict=False):
                self._stands_for[channel].append(other)

    def _kept(self, channels: Sequence[int], count: int) -> list[int]:
        """Return the most important channels, in their order; all where there are not more."""
        ranked = sorted(channels, key=lambda channel: -self._importance[channel])
        kept = set(ranked[:count])
        return [channel for channel in channels if channel in kept]


def _partners(parent: tuple[Architecture, Graph], child: tuple[Architecture, Graph]) -> dict[int, int]:
    """Return the nodes of one name and operation in blocks of one kind, as far as they run in inference."""
    blocks = _block_partners(parent[0], child[0])
    named = {parent[1].nodes[i].name: i for i in parent[1].live()}
    found = {0: 0}
    for index in child[1].live()[1:]:
        node = child[1].nodes[index]
        parts = node.name.split(".")
        size = 4 if parts[0] == "stages" else 2
        block = blocks.get(".".join(parts[:size]))
        partner = None if block is None else named.get(".".join([block, *parts[size:]]))
        if partner is not None and _alike(node.op, parent[1].nodes[partner].op):
            found[index] = partner
    return found


def _block_partners(parent: Architecture, child: Architecture) -> dict[str, str]:
    """Return for blocks of the child the parent's in the same section: from both ends as far as their kinds are the
    same ones, and between by their places.
    """
    theirs = dict(parent.sections())
    found: dict[str, str] = {}
    for name, section in child.sections():
        own = [block.kind for block in section.blocks]
        others = [block.kind for block in theirs[name].blocks] if name in theirs else []
        shorter = min(len(own), len(others))
        first = next((i for i in range(shorter) if own[i] != others[i]), shorter)
        last = next((i for i in range(shorter - first) if own[-1 - i] != others[-1 - i]), shorter - first)
        pairs = [
            *((i, i) for i in range(shorter - last)),
            *((len(own) - 1 - i, len(others) - 1 - i) for i in range(last)),
        ]
        found |= {f"{name}.{i}": f"{name}.{j}" for i, j in pairs if own[i] == others[j]}
    return found


def _alike(one: ops.Op, other: ops.Op) -> bool:
    """Whether the numbers of an operation mean something in another one."""
    if type(one) not in ops.BUILT_IN or type(other) not in ops.BUILT_IN:
        return one == other
    dims = [len(op.kernel) if isinstance(op, ops.Conv | ops.ConvTranspose) else 0 for op in (one, other)]
    return type(one) is type(other) and dims[0] == dims[1]


def _importance(graph: Graph, channels: Channels, weights: Mapping[str, Tensor]) -> NDArray[np.float64]:
    """Return for each channel the sum of the magnitudes of the weights that read it."""
    found = np.zeros(channels.count)
    for node in graph.nodes:
        weight = weights.get(f"{node.name}.weight")
        if type(node.op) not in MIXING or is_depthwise(node.op) or weight is None:
            continue
        sizes = weight.detach().double().abs().cpu()
        if type(node.op) is ops.ConvTranspose:
            of_inputs = sizes.flatten(1).sum(1)
        else:
            groups = node.op.groups if type(node.op) is ops.Conv else 1
            of_inputs = sizes.flatten(2).sum(2) if sizes.dim() > 2 else sizes
            of_inputs = of_inputs.view(groups, -1, of_inputs.shape[1]).sum(1).flatten()
        np.add.at(found, channels.values[node.inputs[0]].channels, of_inputs.numpy())
    return found


def _in_parts(
    own: Sequence[int], theirs: Sequence[int], children: Channels, parents: Channels
) -> list[tuple[list[int], list[int]]]:
    """Split channels by the groups of convolutions that they are in, unless fewer find a place among the others so."""
    mine: dict[tuple[int, ...], list[int]] = defaultdict(list)
    others: dict[tuple[int, ...], list[int]] = defaultdict(list)
    for channel in own:
        mine[children.parts.get(channel, ())].append(channel)
    for channel in theirs:
        others[parents.parts.get(channel, ())].append(channel)
    placed = sum(min(len(mine[part]), len(others[part])) for part in mine.keys() & others.keys())
    if mine.keys() != others.keys() and placed < min(len(own), len(theirs)):
        return [(list(own), list(theirs))]
    return [(mine[part], others[part]) for part in mine.keys() & others.keys()]
