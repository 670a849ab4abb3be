"""What operations and settings state of themselves, where nothing else shows it: against torch, or by definition."""

from __future__ import annotations

from math import ceil, floor
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

import nas
from nas.errors import NasError, ShapeError
from nas.network import ops
from nas.network.builder import GraphBuilder
from nas.network.identity import earlier_id
from nas.network.registry import Block, block_kind
from nas.network.section import Section
from nas.network.simplify import SCHEME

IDS = {"resnet18": "f0d8223cfa88ba1b", "shufflenet": "ca49187272b15b82", "vit_b_16": "c2583fcd1551d046"}


def test_ids_are_those_of_their_scheme() -> None:
    """Records hold these: what changes them is a new scheme, with the earlier ids found anew (decision 019)."""
    assert SCHEME == 3
    for name, expected in IDS.items():
        arch = nas.load_space(f"reference/{name}").decode({})
        assert arch.arch_id == earlier_id(arch) == expected


def test_a_tensor_has_at_most_2_to_the_40_numbers() -> None:
    g = GraphBuilder((2**20,))
    g.add("most", ops.Linear(2**20, 2**20, bias=False), g.input)
    with pytest.raises(ShapeError, match=r"from 1 to 2\^40 numbers.*1,048,577 and the weights 1,099,512,676,352"):
        g.add("more", ops.Linear(2**20, 2**20 + 1, bias=False), g.input)
    with pytest.raises(ShapeError, match=r"the weights 2\^70"):
        g.add("most by far", ops.Linear(2**20, 2**50, bias=False), g.input)


@given(size=st.integers(1, 40), given=st.integers(1, 12))
def test_windows_of_adaptive_pooling(size: int, given: int) -> None:
    """Window i of torch's covers floor(i n / m) to ceil((i + 1) n / m); the widest counts."""
    covered = [
        int((functional.adaptive_avg_pool1d(torch.eye(size)[:, None], given)[:, 0, i] > 0).sum()) for i in range(given)
    ]
    assert covered == [ceil((i + 1) * size / given) - floor(i * size / given) for i in range(given)]
    (window,) = ops.AdaptiveAvgPool((given,)).windows((3, size))
    assert window.size == max(covered)


def test_group_norm_keeps_two_numbers_a_group() -> None:
    _, mean, deviation = torch.native_group_norm(torch.randn(1, 6, 4, 4), None, None, 1, 6, 16, 3, 1e-5)
    assert ops.GroupNorm(channels=6, groups=3).saved_extra((6, 4, 4), (6, 4, 4)) == mean.nbytes + deviation.nbytes == 24


@pytest.mark.parametrize("dims", [1, 2, 3])
@pytest.mark.parametrize("kind", ["avg", "max"])
def test_windows_wider_than_the_map_are_taken_where_torch_takes_them(dims: int, kind: str) -> None:
    pool = {"avg": ops.AvgPool, "max": ops.MaxPool}[kind]((3,) * dims, (1,) * dims, (1,) * dims)
    of_torch = getattr(functional, f"{kind}_pool{dims}d")
    try:
        expected = tuple(of_torch(torch.zeros(1, 2, *(2,) * dims), 3, 1, 1).shape[1:])
    except RuntimeError:
        with pytest.raises(ShapeError, match="smaller than the kernel"):
            pool.out_shape((2, *(2,) * dims))
    else:
        assert pool.out_shape((2, *(2,) * dims)) == expected


@pytest.mark.parametrize(
    ("block", "setting", "least", "below"),
    [
        ("conv", "out_channels", 1, 0),
        ("conv", "groups", 1, 0),
        ("conv", "kernel", 1, -1),
        ("max_pool", "padding", 0, -1),
        ("mbconv", "expand_ratio", 1.0, 0.99),
        ("mbconv", "se_ratio", 0.0, -0.01),
        ("residual_bottleneck", "reduction", 1 / 64, 1 / 65),
        ("linear", "dropout", 0.0, -0.01),
        ("transformer_encoder", "heads", 1, 0),
    ],
)
def test_the_least_that_a_setting_may_be(block: str, setting: str, least: Any, below: Any) -> None:
    checked = block_kind(block).setting(setting)
    assert checked.check(least) == least
    with pytest.raises(NasError, match=rf"{setting} must be .*, but got"):
        checked.check(below)


@pytest.mark.parametrize(("block", "setting"), [("conv", "out_channels"), ("mbconv", "expand_ratio")])
def test_no_setting_is_over_2_to_the_20(block: str, setting: str) -> None:
    checked = block_kind(block).setting(setting)
    assert checked.check(2**20) == 2**20
    for over in (2**20 + 1, 2**20 + 0.5, 2**64 - 1, 2**64):
        with pytest.raises(NasError, match=rf"and at most 2\^20, but got ({over}|a number of 65 bits)$"):
            checked.check(over)


def test_a_rate_is_below_1() -> None:
    dropout = block_kind("linear").setting("dropout")
    assert dropout.check(0.999) == 0.999
    with pytest.raises(NasError, match="< 1, but got 1"):
        dropout.check(1.0)


def test_one_section_is_not_several() -> None:
    section = Section((Block("identity", ()),))
    assert block_kind("auxiliary").setting("body").check(section) == section
    assert block_kind("parallel").setting("branches").check((section, section)) == (section, section)
    for block, setting, value in (("auxiliary", "body", (section,)), ("parallel", "branches", section)):
        with pytest.raises(NasError, match=f"{setting} must be"):
            block_kind(block).setting(setting).check(value)
