"""Stored sizes of fewer bits, against torch's state dict and by hand."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import nas
from nas.cost import cost_of

TINY = {
    "name": "tiny",
    "assume": {"channels": 1, "resolution": 8, "num_classes": 10},
    "stages": [{"block": "conv", "out_channels": 4, "kernel": 3}],
    "head": {"block": "classifier"},
}


def test_sizes_of_a_small_network_by_hand() -> None:
    """A convolution of 36 weights, batch normalisation of 4 channels, a linear layer of 40 weights and 10 biases."""
    cost = cost_of(nas.SearchSpace.from_dict(TINY).decode({}))
    floats, counter = 36 + 2 * 4 + 2 * 4 + 40 + 10, 8
    assert cost.size_bytes == 4 * floats + counter
    assert cost.size_fp16_bytes == 2 * floats + counter
    # A byte a weight, a 32-bit scale for each of the 4 and 10 output channels, the rest as it is.
    assert cost.size_int8_bytes == (36 + 40) + 4 * (4 + 10) + 4 * (2 * 4 + 2 * 4 + 10) + counter


@pytest.mark.parametrize(
    "name", ["mobilenet_v2", "resnet18", "squeezenet1_0", "shufflenet", "densenet121", "vit_tiny_16"]
)
def test_sizes_are_those_of_torch_with_fewer_bits(name: str) -> None:
    architecture = nas.load_space(f"reference/{name}").decode({})
    with torch.device("meta"):
        module = nas.build(architecture)
    weights = {
        f"{layer}.weight": part.weight.shape[0]
        for layer, part in module.named_modules()
        if isinstance(part, nn.Conv2d | nn.Linear)
    }
    fp16 = int8 = 0
    for key, value in module.state_dict().items():
        fp16 += value.numel() * (2 if value.is_floating_point() else value.element_size())
        int8 += value.numel() + 4 * weights[key] if key in weights else value.numel() * value.element_size()
    cost = cost_of(architecture)
    assert (cost.size_fp16_bytes, cost.size_int8_bytes) == (fp16, int8)
