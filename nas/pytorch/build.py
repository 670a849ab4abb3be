"""Graph -> nn.Module with generated forward code and hierarchical parameter names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx, nn

from nas.network.architecture import Architecture, checked_architecture
from nas.network.graph import Graph
from nas.network.lower import lower
from nas.pytorch.initial_weights import initialise
from nas.pytorch.layers import Auxiliary, with_auxiliary
from nas.pytorch.modules import FUNCTIONS, call_of, is_module, module_of

OPERATION = "operation"
"""Key of what a node of the forward code keeps beside it (`meta`): the name of the operation that it is of."""


def build(arch: Architecture, *, zero_init_last: bool = False) -> fx.GraphModule:
    """Build the module of an architecture and initialise it from torch's current random state.

    Args:
        arch: the network to build.
        zero_init_last: start every residual branch at zero (see `initialise`).

    Returns:
        A module from `(batch, *arch.input_shape)` to `(batch, num_classes)`; to a tuple where the network has several
        outputs; in training to a tuple with the predictions of auxiliary classifiers behind the output. Parameters are
        named after the operations, e.g. `stages.2.blocks.1.expand.conv.weight`; `module.code` is its forward code.
    """
    graph = lower(checked_architecture(arch, "build"))
    module = build_graph(graph)
    initialise(module, graph, zero_init_last=zero_init_last)
    return module


def build_graph(graph: Graph) -> fx.GraphModule:
    """Build the module of a graph, with torch's own initial values.

    torch.fx generates the forward code, which frees every tensor at its last use.
    """
    root, code = nn.Module(), fx.Graph()
    values: dict[int, fx.Node] = {0: code.placeholder("x")}
    main = graph.live()
    if graph.auxiliary:
        assert len(graph.outputs) == 1, "a network with auxiliary classifiers has one output"
    auxiliaries = [_Auxiliary.of(graph, output, main) for output in graph.auxiliary]
    predictions: dict[int, fx.Node] = {}
    for index in main:
        if index:
            _write(graph, index, root, code, values)
        for number, auxiliary in enumerate(auxiliaries):
            # As soon as it can run, so that in inference nothing is kept for it.
            if auxiliary.reads[-1] == index:
                name = f"auxiliary.{number}"
                _add_module(root, name, Auxiliary(auxiliary.module(graph)))
                predictions[number] = code.call_module(name, tuple(values[i] for i in auxiliary.reads))
                predictions[number].meta[OPERATION] = graph.nodes[index].name
    outputs = [values[i] for i in graph.outputs]
    if auxiliaries:
        in_order = [predictions[number] for number in range(len(auxiliaries))]
        outputs = [code.call_function(with_auxiliary, (outputs[0], *in_order))]
    code.output(outputs[0] if len(outputs) == 1 else tuple(outputs))
    return fx.GraphModule(root, code, class_name="Network")


def state_shapes(graph: Graph) -> dict[str, tuple[int, ...]]:
    """Return the shape of every entry of the state dict of a graph's module, by name, without making any."""
    with torch.device("meta"):
        module = build_graph(graph)
    return {name: tuple(value.shape) for name, value in module.state_dict().items()}


def _write(graph: Graph, index: int, root: nn.Module, code: fx.Graph, values: dict[int, fx.Node]) -> None:
    """Write an operation as code, with its module under `root`; `values` holds what each node gives."""

    node = graph.nodes[index]

    def call(function: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any] | None = None) -> fx.Node:
        if isinstance(function, str) and function not in FUNCTIONS:
            made = code.call_method(function, args, dict(kwargs or {}))
        else:
            made = code.call_function(FUNCTIONS.get(function, function), args, dict(kwargs or {}))
        made.meta[OPERATION] = node.name
        return made

    inputs = tuple(values[i] for i in node.inputs)
    dims = len(graph.nodes[node.inputs[0]].shape) - 1
    module = module_of(node.op, dims, node.in_place) if is_module(node.op) else None
    if module is None:
        values[index] = call_of(node.op, *inputs, inplace=node.in_place, call=call)
    else:
        _add_module(root, node.name, module)
        values[index] = code.call_module(node.name, inputs)
        values[index].meta[OPERATION] = node.name


@dataclass(frozen=True, slots=True)
class _Auxiliary:
    """An auxiliary classifier, whose nodes become a module that does nothing in inference."""

    output: int
    """Index of its prediction."""
    nodes: tuple[int, ...]
    """Indices of the nodes that only the prediction depends on, in order."""
    reads: tuple[int, ...]
    """Indices of the nodes of the network that those read, in order."""

    @classmethod
    def of(cls, graph: Graph, output: int, main: Sequence[int]) -> _Auxiliary:
        """Return the auxiliary classifier of a prediction; `main` are the nodes that run in inference."""
        nodes = sorted({*graph.ancestors([output])} - {*main})
        reads = {i for index in nodes for i in graph.nodes[index].inputs} - {*nodes}
        return cls(output, tuple(nodes), tuple(sorted(reads or {output})))

    def module(self, graph: Graph) -> fx.GraphModule:
        """Build it: from the values in `reads` to its prediction."""
        root, code = nn.Module(), fx.Graph()
        values = {index: code.placeholder(f"x{i}") for i, index in enumerate(self.reads)}
        for index in self.nodes:
            _write(graph, index, root, code, values)
        code.output(values[self.output])
        return fx.GraphModule(root, code, class_name="AuxiliaryNetwork")


def _add_module(root: nn.Module, name: str, module: nn.Module) -> None:
    """Add a module under a hierarchical name, and the containers on the way."""
    *parents, last = name.split(".")
    for parent in parents:
        if not hasattr(root, parent):
            root.add_module(parent, nn.Module())
        root = root.get_submodule(parent)
    root.add_module(last, module)
