"""Graph -> nn.Module with generated forward code and hierarchical parameter names."""

from __future__ import annotations

from collections import Counter

from torch import fx, nn

from nas.network import ops
from nas.network.architecture import Architecture
from nas.network.graph import Graph
from nas.network.lower import lower
from nas.pytorch.init import initialise
from nas.pytorch.modules import FUNCTIONS, module_of

# Their backward pass does not need their own output, so an activation behind them may overwrite it.
_OVERWRITABLE = (ops.BatchNorm, ops.Add, ops.Conv, ops.Linear)


def build(arch: Architecture, *, zero_init_last: bool = False) -> fx.GraphModule:
    """Build the module of an architecture and initialise it from torch's current random state.

    Args:
        arch: the network to build.
        zero_init_last: start every residual branch at zero (see `initialise`).

    Returns:
        A module from `(batch, *arch.input_shape)` to `(batch, num_classes)`. Parameters are named after the
        operations, e.g. `stages.2.blocks.1.expand.conv.weight`; `module.code` is its forward code.
    """
    graph = lower(arch)
    module = build_graph(graph)
    initialise(module, graph, zero_init_last=zero_init_last)
    return module


def build_graph(graph: Graph) -> fx.GraphModule:
    """Build the module of a graph, with torch's own initial values.

    torch.fx generates the forward code, which frees every tensor at its last use.
    """
    uses = Counter(i for node in graph.nodes for i in node.inputs)
    root = nn.Module()
    code = fx.Graph()
    values = [code.placeholder("x")]
    for node in graph.nodes[1:]:
        inputs = tuple(values[i] for i in node.inputs)
        function = FUNCTIONS.get(type(node.op))
        if function is not None:
            values.append(code.call_function(function, inputs))
            continue
        source = graph.nodes[node.inputs[0]]
        inplace = uses[node.inputs[0]] == 1 and isinstance(source.op, _OVERWRITABLE)
        _place(root, node.name, module_of(node.op, len(source.shape) - 1, inplace))
        values.append(code.call_module(node.name, inputs))
    code.output(values[-1])
    return fx.GraphModule(root, code, class_name="Network")


def _place(root: nn.Module, name: str, module: nn.Module) -> None:
    """Put a module at a hierarchical name, making the containers on the way."""
    *parents, last = name.split(".")
    for parent in parents:
        if not hasattr(root, parent):
            root.add_module(parent, nn.Module())
        root = root.get_submodule(parent)
    root.add_module(last, module)
