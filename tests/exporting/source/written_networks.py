"""What the tests of model.py share: a written network as a module, and its outputs beside those of `nas.build`."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

import nas
from nas.exporting.source import Source, architecture_source, to_source
from nas.network.graph import Graph
from nas.network.lower import lower
from nas.pytorch import build_graph, initialise

Shape = tuple[int, ...]


def module_of(source: Source, name: str = "Network") -> nn.Module:
    """Return an instance of the class in a written file."""
    file = ModuleType("written_model")
    sys.modules["written_model"] = file
    try:
        exec(compile(source.text, "model.py", "exec"), file.__dict__)
        module: nn.Module = getattr(file, name)()
    finally:
        del sys.modules["written_model"]
    return module


def with_random_state(module: nn.Module, graph: Graph, seed: int = 0) -> nn.Module:
    """Give a module weights as a trained one has them: no statistics of 0 and 1, no biases of 0."""
    torch.manual_seed(seed)
    initialise(module, graph)
    for name, value in module.state_dict().items():
        last = name.rpartition(".")[2]
        if last in ("running_var", "weight") and value.dim() == 1:
            value.copy_(torch.rand(value.shape) * 0.5 + 0.75)
        elif last in ("running_mean", "bias", "token"):
            value.copy_(torch.randn(value.shape) * 0.1)
    return module.eval()


def outputs_of(module: nn.Module, x: Tensor) -> tuple[Tensor, ...]:
    """Return what a module gives, always as a tuple."""
    with torch.no_grad():
        given: Any = module(x)
    return given if isinstance(given, tuple) else (given,)


def check_graph(graph: Graph, source: Source | None = None, *, batch: int = 2) -> Source:
    """Hold the written network against the built one: entries of the state dict, parameters, outputs."""
    source = source or to_source(graph)
    built = with_random_state(build_graph(graph), graph)
    written = module_of(source).eval()
    weights = {name: value for name, value in built.state_dict().items() if not name.startswith("auxiliary.")}
    assert {*source.names} == {*weights}
    written.load_state_dict({source.names[name]: value for name, value in weights.items()})
    assert sum(p.numel() for p in written.parameters()) == sum(graph.nodes[i].op.params for i in graph.live())
    x = torch.randn(batch, *graph.in_shape)
    expected, found = outputs_of(built, x.clone()), outputs_of(written, x)
    assert len(expected) == len(found)
    for one, other in zip(found, expected, strict=True):
        largest = float(other.abs().max())
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5 * largest)
    return source


def check_architecture(arch: nas.Architecture) -> Source:
    """Do that for an architecture, whose written names are those of `nas.build`."""
    source = architecture_source(arch)
    assert all(name == ours for ours, name in source.names.items())
    assert sum(p.numel() for p in module_of(source).parameters()) == nas.cost_of(arch).params
    return check_graph(lower(arch), source)
