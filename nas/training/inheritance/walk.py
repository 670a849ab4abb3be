"""Walks through a child's network: takes over weights, and follows which values of its parent's it computes again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from nas.network import ops
from nas.network.graph import Graph, Node
from nas.network.simplify import same_as_input
from nas.training.inheritance.correspondence import MIXING, Correspondence, has_state
from nas.training.inheritance.gather import Pair, take
from nas.training.inheritance.numbering import DROPS, ValueNumbers
from nas.training.inheritance.positions import position_maps, resized

_NORMS = (ops.BatchNorm, ops.GroupNorm, ops.LayerNorm)
_ORDERED = (ops.GroupNorm, ops.LayerNorm, ops.LocalResponseNorm, ops.SelfAttention)
"""What they give of a channel depends on the channels beside it."""

_SLOPED_AT_ZERO = ("silu", "hardswish", "gelu", "tanh")
"""Non-linearities that are zero at zero and rise there on both sides; relu's gradient there is zero in torch."""


@dataclass(frozen=True, slots=True)
class Carried:
    """What a value of a child is of its parent's network."""

    node: int
    """Of the parent, whose value it stands for."""
    exact: bool
    """Whether it is `factor` times that value, in each channel that stands for one of the parent's."""
    factor: float = 1.0


class Walk:
    """Takes over the weights of a parent, operation by operation. See `nas.training.inheritance.inherit_weights`."""

    def __init__(
        self,
        correspondence: Correspondence,
        trained: Mapping[str, Tensor],
        state: dict[str, Tensor],
        parameters: Set[str],
    ) -> None:
        """Make a walk.

        Args:
            correspondence: of the trained network and the one that takes over.
            trained: weights of the parent.
            state: initial weights of the child, which are changed.
            parameters: names of those in `state` that are learned, which are counted.
        """
        self.state, self.taken, self._parameters = state, 0, parameters
        self._parent, self._child, self._match = correspondence.parent, correspondence.child, correspondence
        self._trained = _by_node(self._parent, trained)
        self._fresh = _by_node(self._child, state)
        self._maps = position_maps(self._parent), position_maps(self._child)
        self._numbers = ValueNumbers(self._parent)
        self._uses = self._child.uses()
        self._carried: dict[int, Carried | None] = {}

    def run(self) -> bool:
        """Take over what can be; return whether the child then computes what its parent does."""
        for index in self._child.live():
            self._carried[index] = self._value(index, self._child.nodes[index])
        parents = [self._numbers.first[i] for i in self._parent.outputs]
        carried = [self._carried[i] for i in self._child.outputs]
        if len(parents) != len(carried) or self._child.out_shapes != self._parent.out_shapes:
            return False
        return all(
            one is not None and one.exact and one.factor == 1 and one.node == output and self._in_order(index, output)
            for index, one, output in zip(self._child.outputs, carried, parents, strict=True)
        )

    def _in_order(self, index: int, partner: int) -> bool:
        """Whether a value has the channels of the parent's in their order, and no others."""
        positions = self._match.positions(index, partner)
        same_count = len(positions) == len(self._match.parents.values[partner].channels)
        return same_count and bool((positions == np.arange(len(positions))).all())

    def _value(self, index: int, node: Node) -> Carried | None:
        """Follow a value; None for what is new."""
        partner = self._match.partner.get(index)
        if index == 0:
            return Carried(0, node.shape == self._parent.in_shape)
        if has_state(node.op):
            return None if partner is None else self._with_weights(index, node, partner)
        if type(node.op) is ops.Add:
            return self._sum(node, partner)
        if type(node.op) is ops.Concat:
            return self._join(index, node, partner)
        return self._without_weights(index, node, partner)

    def _with_weights(self, index: int, node: Node, partner: int) -> Carried | None:
        theirs = self._parent.nodes[partner]
        read = self._carried[node.inputs[0]]
        pair = Pair(
            node.op,
            theirs.op,
            self._match.positions(index, partner),
            self._match.positions(node.inputs[0], theirs.inputs[0]),
            1.0 if read is None else read.factor,
        )
        taken = take(pair, self._fresh.get(node.name, {}), self._trained_for(node, theirs))
        for name, value in taken.tensors.items():
            self.state[f"{node.name}.{name}"] = value
        self.taken += sum(number for name, number in taken.numbers.items() if f"{node.name}.{name}" in self._parameters)
        same = read is not None and read.exact and read.node == self._numbers.first[theirs.inputs[0]]
        exact = same and taken.whole and self._in_step(index, node, partner)
        return Carried(self._numbers.first[partner], exact)

    def _trained_for(self, node: Node, theirs: Node) -> Mapping[str, Tensor]:
        """Return the parent's tensors; position embeddings for a map of the child's size."""
        trained = self._trained.get(theirs.name, {})
        before, after = self._maps[0].get(theirs.name), self._maps[1].get(node.name)
        if before is None or after is None or before == after:
            return trained
        return {name: resized(value, before, after) for name, value in trained.items()}

    def _in_step(self, index: int, node: Node, partner: int) -> bool:
        """Whether an operation that computes the parent's from equal inputs does so at all positions and channels."""
        own, theirs = node.shape, self._parent.nodes[partner].shape
        sizes = [shape[:1] if isinstance(shape, ops.Tokens) else shape[1:] for shape in (own, theirs)]
        if sizes[0] != sizes[1]:
            return False
        return type(node.op) not in _ORDERED or (
            node.op == self._parent.nodes[partner].op and self._in_order(index, partner)
        )

    def _without_weights(self, index: int, node: Node, partner: int | None) -> Carried | None:
        reads = [self._carried[i] for i in node.inputs]
        if type(node.op) in DROPS:
            return reads[0]
        if type(node.op) is ops.Scale and reads[1] is None:
            return self._open_gate(node)
        known = [read for read in reads if read is not None]
        if len(known) < len(reads):
            return None
        exact = all(read.exact and read.factor == 1 for read in known)
        same = self._numbers.find(node.op, [read.node for read in known])
        if same is not None:
            return Carried(self._numbers.first[same], exact and self._given_alike(index, node, same))
        first = known[0]
        if same_as_input(node, self._child.nodes[node.inputs[0]].shape, self._numbers.ranges[first.node]):
            return replace(first, exact=exact)
        return Carried(first.node if partner is None else self._numbers.first[partner], exact=False)

    def _given_alike(self, index: int, node: Node, same: int) -> bool:
        """Whether an operation gives what the parent's does in the channels that both have."""
        if type(node.op) is ops.ChannelPad:
            own = len(self._match.children.values[node.inputs[0]].channels)
            theirs = len(self._match.parents.values[self._parent.nodes[same].inputs[0]].channels)
            positions = self._match.positions(index, same)
            new = np.arange(len(positions)) >= own
            return bool((new == (positions >= theirs))[positions >= 0].all())
        return self._in_step(index, node, same)

    def _combined(self, node: Node, partner: int | None, rest: Callable[[int], bool]) -> Carried | None:
        """Return what an operation of several values carries, of those that stand for some of the parent's.

        `rest` takes the node that combines these in the parent, and says whether the others leave it as it is there.
        """
        known = [read for i in node.inputs if (read := self._carried[i]) is not None]
        if not known:
            return None
        same = self._numbers.find(node.op, [read.node for read in known])
        if same is None and len(known) == 1 and partner is None:
            same = known[0].node
        if same is None:
            return Carried(known[0].node if partner is None else self._numbers.first[partner], exact=False)
        alike = rest(same)
        return Carried(self._numbers.first[same], alike and all(read.exact and read.factor == 1 for read in known))

    def _sum(self, node: Node, partner: int | None) -> Carried | None:
        """A sum of which a new term can begin at zero goes on as that of the others."""
        new = [i for i in dict.fromkeys(node.inputs) if self._carried[i] is None]

        def silenced(same: int) -> bool:
            done = [self._silence(i) for i in new]  # each of them, also after one that cannot be
            return all(done)

        return self._combined(node, partner, silenced)

    def _silence(self, index: int) -> bool:
        """Have a new branch give zeros at first, by its last operation with weights; return whether it has one."""
        readers = 1
        while self._uses[index] == readers and _keeps_zero(self._child.nodes[index].op):
            readers = 2 if type(self._child.nodes[index].op) is ops.Scale else 1  # the gate's path reads it too
            index = self._child.nodes[index].inputs[0]
        node = self._child.nodes[index]
        named = [name for name in ("weight", "bias") if name in self._fresh.get(node.name, {})]
        last = type(node.op) in (*MIXING, *_NORMS, ops.LayerScale)
        if not last or "weight" not in named or self._uses[index] > readers or index in self._match.partner:
            return False
        for name in named:
            self.state[f"{node.name}.{name}"] = torch.zeros_like(self.state[f"{node.name}.{name}"])
        return True

    def _join(self, index: int, node: Node, partner: int | None) -> Carried | None:
        """Joined maps of which some are new go on as the others, joined."""
        is_new = np.concatenate(
            [np.full(len(self._match.children.values[i].channels), self._carried[i] is None) for i in node.inputs]
        )
        return self._combined(node, partner, lambda same: bool((self._match.positions(index, same)[is_new] < 0).all()))

    def _open_gate(self, node: Node) -> Carried | None:
        """A new squeeze-and-excitation begins with one constant factor, which is taken out where weights allow it.

        The last convolution before the gate begins at zero with a bias at which the gate is open and can learn; the
        normalisation before it, or else the convolution behind it, undoes the factor.
        """
        read, gate = self._carried[node.inputs[0]], self._child.nodes[node.inputs[1]]
        last = self._child.nodes[gate.inputs[0]] if type(gate.op) is ops.Activation else gate
        if read is None or type(last.op) is not ops.Conv or "bias" not in self._fresh[last.name]:
            return read if read is None else replace(read, exact=False)
        kind = gate.op.kind if type(gate.op) is ops.Activation else None
        bias = 0.0 if kind in ("sigmoid", "hardsigmoid") else 1.0
        self.state[f"{last.name}.weight"] = torch.zeros_like(self.state[f"{last.name}.weight"])
        self.state[f"{last.name}.bias"] = torch.full_like(self.state[f"{last.name}.bias"], bias)
        factor = _activated(kind, bias)
        before = self._child.nodes[node.inputs[0]]
        if type(before.op) in _NORMS and f"{before.name}.weight" in self.state and self._uses[node.inputs[0]] == 2:
            for name in ("weight", "bias"):
                self.state[f"{before.name}.{name}"] = self.state[f"{before.name}.{name}"] / factor
            return read
        return replace(read, factor=read.factor * factor)


def _keeps_zero(op: ops.Op) -> bool:
    """Whether an operation gives zeros of zeros, and yet lets gradients through to what gives them."""
    return type(op) in (*DROPS, ops.Scale) or (type(op) is ops.Activation and op.kind in _SLOPED_AT_ZERO)


def _activated(kind: str | None, value: float) -> float:
    if kind is None:
        return value
    return float(getattr(F, kind)(torch.tensor(value)))


def _by_node(graph: Graph, state: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """Sort tensors by the node that they belong to, with their names within it."""
    names = {node.name for node in graph.nodes if has_state(node.op)}
    found: dict[str, dict[str, Tensor]] = {}
    for full, value in state.items():
        node, _, name = full.rpartition(".")
        while node and node not in names:
            node, _, part = node.rpartition(".")
            name = f"{part}.{name}"
        if node:
            found.setdefault(node, {})[name] = value
    return found
