"""ONNX written from the graph, run by onnxruntime, against torch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import nas
from nas.network import ops
from nas.network.graph import Graph, Node
from nas.network.lower import lower
from nas.pytorch import build_graph
from tests.pytorch.test_ops import CASES

onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnx")


def _run(graph: Graph, module: torch.nn.Module, x: torch.Tensor) -> list[Any]:
    from nas.exporting.onnx.graph import to_onnx

    model = to_onnx(graph, {name: value.numpy() for name, value in module.state_dict().items()})
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    return list(session.run(None, {"x": x.numpy()}))


def _graph(op: ops.Op, shapes: list[tuple[int, ...]]) -> Graph:
    """The operation on inputs of these shapes: the graph's own, and what a linear layer makes of it."""
    nodes = [Node("input", ops.Input(shapes[0]), (), shapes[0])]
    reads = [0]
    for i, shape in enumerate(shapes[1:]):
        size, new = int(np.prod(shapes[0])), int(np.prod(shape))
        nodes.append(Node(f"flat{i}", ops.Flatten(), (0,), (size,)))
        nodes.append(Node(f"linear{i}", ops.Linear(size, new), (len(nodes) - 1,), (new,)))
        # A map from features: every position a channel of its own, brought to shape by adaptive pooling of one value.
        nodes.append(Node(f"zero{i}", ops.Zero(shape), (len(nodes) - 1,), shape))
        reads.append(len(nodes) - 1)
    nodes.append(Node("op", op, tuple(reads), op.out_shape(*shapes)))
    return Graph(tuple(nodes))


@pytest.mark.parametrize(("op", "shapes"), CASES, ids=lambda value: type(value).__name__)
def test_operation(op: ops.Op, shapes: list[tuple[int, ...]]) -> None:
    torch.manual_seed(0)
    graph = _graph(op, shapes)
    module = build_graph(graph).eval()
    for value in module.state_dict().values():  # statistics that are not 0 and 1
        if value.is_floating_point():
            value.copy_(torch.rand(value.shape) + 0.5)
    x = torch.randn(3, *shapes[0])
    with torch.no_grad():
        expected = module(x)
    (found,) = _run(graph, module, x)
    np.testing.assert_allclose(found, expected.numpy(), rtol=1e-4, atol=1e-5)


NETWORKS = [
    "mobilenet_v3_small",
    "efficientnet_b0",
    "resnetv2_18",
    "densenet121",
    "inception_v3",
    "vit_tiny_16",
    "convnext_tiny",
    "unet",
    "resnet50_fpn",
]


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow if place % 2 else ()) for place, name in enumerate(NETWORKS)]
)
def test_reference_network(name: str) -> None:
    torch.manual_seed(0)
    size = {"vit_tiny_16": 64, "inception_v3": 96}.get(name, 64)
    arch = nas.load_space(f"reference/{name}").for_data((3, size, size), 10).decode({})
    module = nas.build(arch).eval()
    x = torch.randn(2, *arch.input_shape)
    with torch.no_grad():
        expected = module(x)
    expected = expected if isinstance(expected, tuple) else (expected,)
    for one, other in zip(_run(lower(arch), module, x), expected, strict=True):
        np.testing.assert_allclose(one, other.numpy(), rtol=1e-3, atol=1e-4 * float(other.abs().max()))
