"""What training keeps, against what autograd really saves."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

import nas
from nas.cost import graph_cost
from nas.network import ops
from nas.network.graph import Graph
from nas.network.registry import block_names
from nas.pytorch import build_graph
from tests.pytorch.test_blocks import random_blocks


def saved_bytes(graph: Graph, shape: tuple[int, ...]) -> int:
    """Bytes of the storages that one training step of one example keeps, parameters and buffers not counted."""
    module = build_graph(graph).train()
    known = {t.untyped_storage().data_ptr() for t in (*module.parameters(), *module.buffers())}
    kept: dict[int, tuple[Tensor, int]] = {}

    def pack(tensor: Tensor) -> Tensor:
        pointer = tensor.untyped_storage().data_ptr()
        if pointer not in known:
            kept[pointer] = (tensor, tensor.untyped_storage().nbytes())
        return tensor

    x: Any = torch.randn(1, *shape, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        module(x)
    return sum(size for _, size in kept.values())


@pytest.mark.parametrize(
    "name",
    ["resnet18", "mobilenet_v2", "efficientnet_b0", "densenet121", "squeezenet1_1", "vgg11", "resnetv2_18", "unet"],
)
def test_training_memory_of_reference_networks(name: str) -> None:
    space = nas.load_space(f"reference/{name}")
    shape = (space.input_shape[0], 64, 64)
    graph = nas.lower(space.for_data(shape, 10).decode({}))
    assert graph_cost(graph).training_memory_bytes == pytest.approx(saved_bytes(graph, shape), rel=1e-3)


# torch writes local response normalisation as a chain of operations.
BLOCKS = [name for name in block_names() if name != "local_response_norm"]


@pytest.mark.parametrize("name", BLOCKS)
def test_training_memory_of_blocks(name: str) -> None:
    for graph, shape in random_blocks(name, 10):
        # Zeros are one number that is shown as a map.
        if not any(isinstance(node.op, ops.Zero) for node in graph.nodes):
            assert graph_cost(graph).training_memory_bytes == saved_bytes(graph, shape), graph
