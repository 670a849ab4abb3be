"""The published networks: exact numbers from the graph, and the same from the built module."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

import nas

# Measured on torchvision's own models with torch 2.13 (see each space's header for the paper).
ROWS = list(csv.DictReader((Path(__file__).parent.parent / "data" / "reference_networks.csv").open()))


@pytest.mark.parametrize("row", ROWS, ids=[row["space"] for row in ROWS])
def test_reference_network(row: dict[str, str]) -> None:
    space = nas.load_space(row["space"])
    assert space.size() == 1
    arch = space.decode({})
    assert "x".join(map(str, arch.input_shape)) == row["input"]
    cost = nas.cost_of(arch)
    assert cost.params == int(row["params"])
    assert cost.macs == int(row["macs_conv_linear"])
    with torch.device("meta"):
        module = nas.build(arch).eval()
        counter = FlopCounterMode(display=False)
        with counter, torch.no_grad():
            output = module(torch.empty(1, *arch.input_shape))
    assert output.shape == (1, int(row["num_classes"]))
    assert len(list(module.parameters())) == int(row["param_tensors"])
    assert sum(p.numel() for p in module.parameters()) == int(row["params"])
    assert counter.get_total_flops() == 2 * cost.macs
    assert sum(v.numel() * v.element_size() for v in module.state_dict().values()) == cost.size_bytes
