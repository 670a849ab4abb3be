"""Networks whose blocks are computed again in the backward pass: as without, in every number."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, fx, nn

import nas
from nas.cost import graph_cost
from nas.cost.cost import network_parts
from nas.cost.memory import chain_saved
from nas.pytorch import build
from nas.pytorch.checkpointing import CheckpointedNetwork

NETWORKS: dict[str, dict[str, Any]] = {
    "resnet18": {},
    "efficientnet_b0": {"drop_path": 0.3, "dropout": 0.2},
    "vit_tiny_16": {"drop_path": 0.3},
    "googlenet_paper": {},
    "densenet121": {},
    "convnext_tiny": {"drop_path": 0.3},
}


def _architecture(name: str) -> nas.Architecture:
    size = 96 if name == "googlenet_paper" else 32
    arch = nas.load_space(f"reference/{name}").for_data((3, size, size), 7).decode({})
    return nas.scale(arch, **NETWORKS[name]) if NETWORKS[name] else arch


def _step(network: fx.GraphModule, run: Any, shape: tuple[int, ...]) -> tuple[list[Tensor], dict[str, Tensor], Any]:
    """The gradients of a training step, the state after it, and its outputs."""
    network.train().zero_grad()
    torch.manual_seed(3)
    inputs = torch.randn(4, *shape)
    torch.manual_seed(5)
    outputs = run(inputs)
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    sum(output.square().sum() for output in outputs).backward()
    gradients = [parameter.grad.clone() for parameter in network.parameters() if parameter.grad is not None]
    return gradients, {name: value.clone() for name, value in network.state_dict().items()}, outputs


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_gradients_statistics_and_masks_are_those_without(name: str) -> None:
    arch = _architecture(name)
    names = [block for block, _ in arch.named_blocks()]
    torch.manual_seed(0)
    network = build(arch)
    start = {key: value.clone() for key, value in network.state_dict().items()}
    expected = _step(network, network, arch.input_shape)
    after = torch.rand(1)
    for chosen in (names, names[::2], names[1:2]):
        network.load_state_dict(start)
        found = _step(network, CheckpointedNetwork(network, chosen), arch.input_shape)
        assert torch.equal(torch.rand(1), after), "as many numbers were drawn"
        assert len(found[0]) == len(expected[0]) == len([*network.parameters()])
        for one, other in zip((*found[0], *found[2]), (*expected[0], *expected[2]), strict=True):
            torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-6 * float(other.detach().abs().max()))
        for key, value in expected[1].items():
            assert torch.equal(found[1][key], value), key
    counters = [value for key, value in expected[1].items() if key.endswith("num_batches_tracked")]
    assert all(int(count) == 1 for count in counters)
    assert counters or name in ("vit_tiny_16", "convnext_tiny", "googlenet_paper")


def _kept(network: fx.GraphModule, run: Any, shape: tuple[int, ...]) -> int:
    """Bytes that one example keeps for the backward pass at its begin, parameters and buffers not counted."""
    network.train()
    known = {t.untyped_storage().data_ptr() for t in (*network.parameters(), *network.buffers())}
    kept: dict[int, tuple[Tensor, int]] = {}

    def pack(tensor: Tensor) -> Tensor:
        if tensor.untyped_storage().data_ptr() not in known:
            kept[tensor.untyped_storage().data_ptr()] = (tensor, tensor.untyped_storage().nbytes())
        return tensor

    inputs: Any = torch.randn(1, *shape, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        run(inputs)
    return sum(size for _, size in kept.values())


def _small() -> nas.Architecture:
    return nas.load_space("reference/resnet18").for_data((3, 64, 64), 10).decode({})


@pytest.mark.parametrize("chosen", [(2, 3), (0, 1, 5), tuple(range(9))])
def test_what_is_kept_is_what_is_predicted(chosen: tuple[int, ...]) -> None:
    """At the begin of the backward pass: of blocks that are computed again their input alone."""
    arch = _small()
    network, names = build(arch), [name for name, _ in arch.named_blocks()]
    parts = [
        replace(part.saved, inner_bytes=0, saves_input=True, output_saved=False) if index in chosen else part.saved
        for index, part in enumerate(network_parts(arch))
    ]
    run = CheckpointedNetwork(network, [names[index] for index in chosen if index < len(names)])
    found = _kept(network, run, arch.input_shape)
    assert found == chain_saved(4 * 3 * 64 * 64, parts)
    assert found < _kept(network, network, arch.input_shape) == graph_cost(nas.lower(arch)).training_memory_bytes


def test_layers_are_shared_and_inference_is_untouched() -> None:
    arch = _small()
    network = build(arch)
    run = CheckpointedNetwork(network, [name for name, _ in arch.named_blocks()])
    network.eval()
    with torch.no_grad():
        for layer in network.modules():
            if isinstance(layer, nn.Conv2d):
                layer.weight.mul_(0.5)
        inputs = torch.randn(2, 3, 64, 64)
        torch.testing.assert_close(run(inputs), network(inputs))
