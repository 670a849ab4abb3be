"""Runs a network in training so that some of its blocks are computed again in the backward pass."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

from torch import Tensor, fx, nn
from torch.utils.checkpoint import checkpoint

from nas.pytorch.build import OPERATION


@dataclass(frozen=True, slots=True)
class _Piece:
    """Operations that follow one another."""

    module: fx.GraphModule
    """From the values that they read to those that others read; it shares its layers with the network."""
    reads: tuple[str, ...]
    """Names of the former."""
    gives: tuple[str, ...]
    """Names of the latter."""
    drops: tuple[str, ...]
    """Names of the values that nobody reads behind them."""
    again: bool
    """Whether they are computed again in the backward pass."""
    norms: tuple[nn.Module, ...]
    """The layers among them that keep running statistics."""


class CheckpointedNetwork:
    """A network whose training keeps nothing of some blocks but their inputs (Chen et al. 2016).

    It gives the outputs and the gradients of the network itself, whose layers it runs: what is random is drawn once,
    and running statistics of batch normalisation are updated once.
    """

    def __init__(self, network: fx.GraphModule, blocks: Collection[str]) -> None:
        """Take a network and its blocks to compute again.

        Args:
            network: as `nas.build` makes it.
            blocks: names of blocks, e.g. `stages.2.blocks.0`.
        """
        nodes = [node for node in network.graph.nodes if node.op not in ("placeholder", "output")]
        output = next(node for node in reversed(network.graph.nodes) if node.op == "output")
        self._input = next(node.name for node in network.graph.nodes if node.op == "placeholder")
        self._output = output.args[0]
        self._pieces = [*_pieces(network, nodes, blocks)]

    def __call__(self, inputs: Tensor) -> Any:
        """Return what the network gives for inputs `(batch, *input_shape)`."""
        values: dict[str, Any] = {self._input: inputs}
        for piece in self._pieces:
            given = tuple(values[name] for name in piece.reads)
            for name in piece.drops:
                values.pop(name, None)
            found = _computed_again(piece, given) if piece.again else piece.module(*given)
            values |= zip(piece.gives, found, strict=True)
        return fx.node.map_arg(self._output, lambda node: values[node.name])


def _computed_again(piece: _Piece, given: Sequence[Any]) -> Any:
    def contexts() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        return nullcontext(), _statistics_kept(piece.norms)

    return checkpoint(piece.module, *given, use_reentrant=False, context_fn=contexts)


@contextmanager
def _statistics_kept(norms: Sequence[nn.Module]) -> Iterator[None]:
    """Have layers update copies of their running statistics, which are thrown away afterwards."""
    own = [dict(layer._buffers) for layer in norms]
    for layer in norms:
        layer._buffers.update({name: None if one is None else one.clone() for name, one in layer._buffers.items()})
    try:
        yield
    finally:
        for layer, buffers in zip(norms, own, strict=True):
            layer._buffers.update(buffers)


def _pieces(network: fx.GraphModule, nodes: Sequence[fx.Node], blocks: Collection[str]) -> Iterator[_Piece]:
    """Yield the pieces of a network: each of the blocks, and what lies between them."""
    marks = [_block_of(node, blocks) for node in nodes]
    starts = [place for place, mark in enumerate(marks) if place == 0 or mark != marks[place - 1]]
    for start, end in zip(starts, [*starts[1:], len(nodes)], strict=True):
        own, known = nodes[start:end], {*nodes[start:end]}
        reads = [*dict.fromkeys(source for node in own for source in node.all_input_nodes if source not in known)]
        behind = {user for node in [*reads, *own] for user in node.users} - {*nodes[:end]}
        gives = [node for node in own if behind & {*node.users}]
        module = _module(network, own, reads, gives)
        yield _Piece(
            module=module,
            reads=tuple(node.name for node in reads),
            gives=tuple(node.name for node in gives),
            drops=tuple(node.name for node in reads if not behind & {*node.users}),
            again=bool(marks[start]),
            norms=tuple(one for one in module.modules() if isinstance(one, nn.modules.batchnorm._BatchNorm)),
        )


def _block_of(node: fx.Node, blocks: Collection[str]) -> str:
    """Return the one of some blocks that a node belongs to, or nothing."""
    operation = node.meta.get(OPERATION, "")
    return next((block for block in blocks if operation.startswith(f"{block}.")), "")


def _module(
    network: fx.GraphModule, nodes: Sequence[fx.Node], reads: Sequence[fx.Node], gives: Sequence[fx.Node]
) -> fx.GraphModule:
    code, copies = fx.Graph(), dict[fx.Node, fx.Node]()
    for node in reads:
        copies[node] = code.placeholder(node.name)
    for node in nodes:
        copies[node] = code.node_copy(node, copies.__getitem__)
    code.output(tuple(copies[node] for node in gives))
    return fx.GraphModule(network, code)
