"""The published networks: exact numbers from the graph, and the same from the built module."""

from __future__ import annotations

import csv
import json
import re
import weakref
from collections.abc import Callable
from math import prod
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

import nas
from nas.network import ops
from nas.network.graph import Node

# Measured with torch 2.13 on the meta device, on torchvision's and timm's models, or built from the paper.
ROWS = list(csv.DictReader((Path(__file__).parent.parent / "data" / "reference_networks.csv").open()))
NAMES = [row["arch"] for row in ROWS]
_LARGER = re.compile(r"efficientnet_b[3-7]|(101|152|169|201)$|_w(0\.35|0\.75|1\.3)$|_g[48]$")
"""Networks that are others made deeper or wider."""


def _shapes(text: str) -> list[tuple[int, ...]]:
    return [tuple(map(int, one.split("x")))[1:] for one in text.split("; ")]


def _arch(row: dict[str, str]) -> nas.Architecture:
    space = nas.load_space(row["space"], **json.loads(row["let"] or "{}"))
    assert space.size() == 1
    shape = tuple(map(int, row["input"].split("x")))
    arch = space.for_data(shape, _shapes(row["output"])[0][0]).decode({})
    assert arch.input_shape == shape
    return arch


@pytest.mark.parametrize("row", ROWS, ids=NAMES)
def test_reference_network(row: dict[str, str]) -> None:
    arch = _arch(row)
    cost, graph = nas.cost_of(arch), nas.lower(arch)
    assert cost.params == int(row["params"])
    assert cost.param_tensors == int(row["param_tensors"])
    assert cost.macs - cost.attention_macs == int(row["macs_conv_linear"])
    assert cost.attention_macs == int(row["macs_attention_matmul"])
    assert list(graph.out_shapes) == _shapes(row["output"])
    assert str(cost.receptive_field or "global") == row["receptive_field"]
    # Of a transformer the table gives one number for both sides.
    strides = [float(one) for one in row["stride"].split("x")]
    assert list(cost.stride) == (strides * 2 if cost.receptive_field is None else strides)


class Meter(TorchDispatchMode):
    """Sums what operations write to new memory and follows what is held, from outside."""

    def __init__(self, known: list[Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # nor this
        self.known = {self._storage(tensor) for tensor in known}
        self.holders: dict[int, int] = {}
        self.written = self.held = self.peak = 0

    @staticmethod
    def _storage(tensor: Tensor) -> int:
        return int(tensor.untyped_storage()._cdata)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        # Further outputs are statistics of a normalisation, or places of maxima: inference drops them at once.
        tensor = found[0] if isinstance(found, tuple) else found
        places = found[1].untyped_storage().nbytes() if "max_pool" in str(func) and isinstance(found, tuple) else 0
        if isinstance(tensor, Tensor) and self._storage(tensor) not in self.known:
            key, size = self._storage(tensor), tensor.untyped_storage().nbytes()
            if key not in self.holders:
                self.written += size
                self.held += size
                self.peak = max(self.peak, self.held + places)
            self.holders[key] = self.holders.get(key, 0) + 1
            weakref.finalize(tensor, self._let_go, key, size)
        return found

    def _let_go(self, key: int, size: int) -> None:
        self.holders[key] -= 1
        if not self.holders[key]:
            del self.holders[key]
            self.held -= size


@pytest.mark.parametrize(
    "row", [pytest.param(row, marks=pytest.mark.slow if _LARGER.search(row["arch"]) else ()) for row in ROWS], ids=NAMES
)
def test_the_module_does_what_the_graph_says(row: dict[str, str]) -> None:
    arch = _arch(row)
    cost = nas.cost_of(arch)
    with torch.device("meta"):
        module = nas.build(arch).eval()
        x = torch.empty(1, *arch.input_shape)
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            module(x)
        with Meter([x, *module.parameters(), *module.buffers()]) as meter, torch.no_grad():
            output = module(x)
    outputs = output if isinstance(output, tuple) else (output,)
    assert [tuple(one.shape[1:]) for one in outputs] == _shapes(row["output"])
    assert len(list(module.parameters())) == int(row["param_tensors"])
    assert sum(p.numel() for p in module.parameters()) == int(row["params"])
    assert counter.get_total_flops() == 2 * cost.macs
    assert sum(v.numel() * v.element_size() for v in module.state_dict().values()) == cost.size_bytes
    kinds = {type(node.op) for node in nas.lower(arch).nodes}
    if not kinds & {ops.SelfAttention, ops.LocalResponseNorm}:  # which torch writes as several operations
        assert meter.written == 4 * cost.activations
        assert meter.peak == cost.peak_memory_bytes


def _bytes(*kinds: type[ops.Op]) -> Callable[[list[Node]], int]:
    return lambda nodes: sum(4 * prod(node.shape) for node in nodes if isinstance(node.op, kinds))


def _sum_of(nodes: list[Node], size: Callable[[Node], int]) -> int:
    return sum(map(size, nodes))


def _attention(copies: int) -> Callable[[list[Node]], int]:
    """Attention by its definition: copies of tokens, and scores and weights for each head."""

    def size(node: Node) -> int:
        if not isinstance(node.op, ops.SelfAttention):
            return 0
        tokens, features = node.shape
        return 4 * (copies * tokens * features + 2 * node.op.heads * tokens * tokens)

    return lambda nodes: (
        _sum_of(nodes, size)
        + _sum_of(nodes, lambda node: 8 * node.shape[0] if isinstance(node.op, ops.LayerNorm) else 0)
    )


def _first_copies(nodes: list[Node]) -> int:
    """torchvision's dense blocks concatenate before every layer, also before the first, which copies its input."""
    growth = 32
    return _sum_of(
        nodes,
        lambda n: (
            4 * (n.shape[0] - growth) * prod(n.shape[1:])
            if re.fullmatch(r"stages\.\d\.blocks\.0\.concat", n.name)
            else 0
        ),
    )


# What the sources of the table's networks write to new memory and our modules do not, by source.
DIFFERENCES: dict[str, list[Callable[[list[Node]], int]]] = {
    # Pooling to the size that the map has at this resolution.
    "alexnet": [lambda nodes: 4 * 256 * 6 * 6],
    "vgg": [lambda nodes: 4 * 512 * 7 * 7],
    # Sums that are not made in place.
    "timm:resnetv2": [_bytes(ops.Add)],
    "timm:legacy_seresnet50": [_bytes(ops.Add)],
    "mobilenet_v2": [_bytes(ops.Add)],
    # Concatenations that are not needed.
    "densenet": [_first_copies],
    "inception_v3": [lambda nodes: 2 * 4 * (2 * 768) * 8 * 8],
    "vit_b_16": [_bytes(ops.Add), _attention(6)],
    "timm:vit": [_bytes(ops.Add), _attention(3)],
    # Activations that are not made in place.
    "mobilenet_v1": [_bytes(ops.Activation)],
    "unet": [_bytes(ops.Activation)],
    "fcn1d": [_bytes(ops.Activation)],
    "resnet1d": [_bytes(ops.Activation), _bytes(ops.Add)],
    "SmallCNN": [_bytes(ops.Activation), _bytes(ops.Add)],
    "shufflenet": [_bytes(ops.Activation), _bytes(ops.Add)],
    # A gate that is not made in place.
    "mobilenet_v3": [
        lambda nodes: _sum_of(nodes, lambda n: 4 * n.shape[0] if n.name.endswith("se.gate") else 0),
    ],
    # Normalisation with fixed statistics as a product and a sum, and five vectors for their factors.
    "resnet50_fpn": [
        _bytes(ops.BatchNorm),
        lambda nodes: _sum_of(nodes, lambda n: (20 - 8) * n.shape[0] if isinstance(n.op, ops.BatchNorm) else 0),
        lambda nodes: _sum_of(nodes, lambda n: 4 * prod(n.shape) if ".add." in n.name else 0),
    ],
}
# torch writes local response normalisation as a chain of operations over padded copies.
NOT_COMPARED = {"alexnet_paper_g2", "alexnet_g1", "googlenet_paper"}


@pytest.mark.parametrize("row", [r for r in ROWS if r["arch"] not in NOT_COMPARED], ids=lambda row: row["arch"])
def test_activation_sum_is_the_tables_but_for_what_is_named(row: dict[str, str]) -> None:
    """The table counts every tensor that eager torch makes: also the statistics that a normalisation returns and the
    places of maxima, and what the source of each network makes anew where our modules work in place."""
    arch = _arch(row)
    graph = nas.lower(arch)
    nodes = [graph.nodes[i] for i in graph.live()]
    total = 4 * nas.cost_of(arch).activations + 2 * _bytes(ops.MaxPool)(nodes)
    total += _sum_of(nodes, lambda n: 8 * n.op.channels if isinstance(n.op, ops.BatchNorm) else 0)
    for source, differences in DIFFERENCES.items():
        if row["arch"].startswith(source):
            total += sum(difference(nodes) for difference in differences)
    assert total == pytest.approx(
        int(row["act_sum_bytes_b1_eval"]), rel=1e-2 if "densenet" not in row["arch"] else 1.2e-2
    )
