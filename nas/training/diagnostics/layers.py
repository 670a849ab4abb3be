"""Layers of a network by the names of its graph, with their depth, and sums over what they give."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from torch import Tensor, nn

from nas.network import ops
from nas.network.graph import Graph, Node

WEIGHTED = (ops.Conv, ops.ConvTranspose, ops.Linear)
"""Operations that count for the depth: those that papers mean by the layers of a network."""


@dataclass(frozen=True, slots=True)
class Layer:
    """An operation of a network."""

    name: str
    """Of the operation and its module, e.g. `stages.2.blocks.1.conv1.conv`."""
    depth: int
    """Convolutions and linear layers on the longest path from the input up to it, itself included."""


def layers_of(graph: Graph, kinds: tuple[type[ops.Op], ...] = WEIGHTED) -> list[tuple[Layer, Node]]:
    """Return the operations of some kinds that run in inference, in order, each with its node."""
    depths: dict[int, int] = {}
    found = []
    for index in graph.live():
        node = graph.nodes[index]
        depths[index] = max((depths[i] for i in node.inputs), default=0) + isinstance(node.op, WEIGHTED)
        if isinstance(node.op, kinds):
            found.append((Layer(node.name, depths[index]), node))
    return found


@contextmanager
def hearing(
    network: nn.Module, heard: dict[str, Callable[[Tensor], Tensor | None]], *, inputs: bool = False
) -> Iterator[None]:
    """Call functions with what layers give while the network runs: at once, so that no value is kept for them.

    Args:
        network: as `nas.build` makes it.
        heard: by the name of a layer, what is called with its output `(batch, ...)`; may return another for it.
        inputs: call them with what the layer reads instead, before it may write over that.
    """

    def before(function: Callable[[Tensor], Tensor | None]) -> Callable[..., Tensor | None]:
        return lambda module, given: function(given[0])

    def after(function: Callable[[Tensor], Tensor | None]) -> Callable[..., Tensor | None]:
        return lambda module, given, output: function(output)

    hooks = []
    for name, function in heard.items():
        module = network.get_submodule(name)
        hooks.append(
            module.register_forward_pre_hook(before(function))
            if inputs
            else module.register_forward_hook(after(function))
        )
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
