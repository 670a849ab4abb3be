"""Architecture: JSON in and out, and what it refuses."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from typing import Any

import pytest

import nas
from nas.errors import NasError, ShapeError
from nas.network.builder import GraphBuilder, Value
from nas.network.registry import block, block_graph, block_kind
from tests.frozen import changeable


def _plain() -> dict[str, Any]:
    return nas.load_space("reference/resnet18").decode({}).to_dict()


def test_json_round_trip_is_exact() -> None:
    arch = nas.load_space("reference/efficientnet_b0").decode({})
    again = nas.Architecture.from_json(arch.to_json())
    assert again == arch
    assert again.arch_id == arch.arch_id
    assert again.to_json() == arch.to_json()


def _set(values: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    *parents, last = path.split("/")
    target: Any = values
    for parent in parents:
        target = target[int(parent) if parent.isdigit() else parent]
    target[int(last) if last.isdigit() else last] = value
    return values


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("format", "other/1", 'not a description with "format"'),
        ("extra", 1, r"unknown fields \['extra'\]"),
        ("num_classes", 0, r"num_classes must be a whole number from 1 to 2\^20, but got 0"),
        ("num_classes", True, "but got True"),
        ("input_shape", [3], "input_shape must be"),
        ("input_shape", [3, -1, 5], "but got -1"),
        ("stem", {}, "stem must be a list"),
        ("stages", 3, "stages must be a list"),
        ("stages/0", "x", r"stages\.0 must be a list"),
        ("stages/1/0", {"out_channels": 3}, r'stages\.1\.0 must be a mapping with "block"'),
        ("stages/1/0/block", "residual_basik", "unknown block 'residual_basik'. Did you mean 'residual_basic'"),
        ("stages/1/0/out_channels", -4, r"stages\.1\.0: out_channels must be a whole number >= 1, but got -4"),
        ("stages/1/0/kernel", 4, "kernel must be an odd whole number"),
        ("stages/1/0/activation", "rellu", "activation must be one of relu"),
        ("stages/1/0/kernle", 3, "has no setting 'kernle'. Did you mean 'kernel'"),
    ],
)
def test_bad_descriptions_are_refused(path: str, value: Any, message: str) -> None:
    with pytest.raises(NasError, match=message):
        nas.Architecture.from_dict(_set(_plain(), path, value))


@pytest.mark.parametrize("text", ["", "[", "3", '"x"', "[" * 100_000])
def test_text_that_is_no_description_is_refused(text: str) -> None:
    with pytest.raises(NasError, match="architecture: not"):
        nas.Architecture.from_json(text)


def test_missing_fields_are_named() -> None:
    values = _plain()
    del values["head"]
    with pytest.raises(NasError, match=r"missing fields \['head'\]"):
        nas.Architecture.from_dict(values)


def test_another_process_gives_the_same_id_and_an_equal_object() -> None:
    """Hashes of words differ between processes, so neither an id nor equality may rest on them."""
    arch = nas.load_space("mbconv").decode(nas.load_space("mbconv").sample(5))
    code = (
        "import sys, pickle, nas\n"
        "arch = pickle.loads(sys.stdin.buffer.read())\n"
        "again = nas.Architecture.from_json(arch.to_json())\n"
        "assert again == arch and hash(again) == hash(arch) and nas.cost_of(again) == nas.cost_of(arch)\n"
        "print(arch.arch_id, again.arch_id)"
    )
    result = subprocess.run([sys.executable, "-c", code], input=pickle.dumps(arch), capture_output=True, check=True)
    assert result.stdout.decode().split() == [arch.arch_id, arch.arch_id]


def test_shape_errors_name_the_operation() -> None:
    values = json.loads(json.dumps(_plain()))
    values["stages"][1][0] = {"block": "max_pool", "kernel": 200, "stride": 1, "padding": 0}
    arch = nas.Architecture.from_dict(values)
    for call in (nas.cost_of, nas.lower):
        with pytest.raises(
            ShapeError, match=r"stages\.1\.blocks\.0\.pool: max_pool: the map shrinks to nothing: 56x56"
        ):
            call(arch)


def test_a_block_of_ones_own_is_usable_at_once() -> None:
    @block
    def doubled_for_test(g: GraphBuilder, x: Value, *, out_channels: int) -> Value:
        """conv(x): (C, H, W) -> (out_channels, H, W)."""
        return g.conv(x, 2 * out_channels, 1)

    try:
        space = nas.SearchSpace.from_dict(
            {
                "stages": [{"block": "doubled_for_test", "out_channels": {"choose": [4, 8]}}],
                "head": {"block": "classifier"},
            }
        ).for_data((3, 8, 8), 5)
        cost = nas.cost_of(space.decode({"stages.0.out_channels": 8}))
        assert cost.params == 3 * 16 + 16 * 5 + 5
        with pytest.raises(NasError, match="registered already"):
            block(doubled_for_test)
    finally:
        from nas.network import registry

        del registry._KINDS["doubled_for_test"]


def test_lowering_the_same_block_twice_gives_the_same_graph() -> None:
    first = nas.load_space("reference/resnet18").decode({}).stages[0].blocks[0]
    again = nas.load_space("reference/resnet18").decode({}).stages[0].blocks[1]
    assert block_graph(first, (64, 8, 8), 10) is block_graph(again, (64, 8, 8), 10)
    assert block_graph(first, (64, 8, 8), 10) is not block_graph(first, (64, 9, 8), 10)


def test_settings_are_read_from_the_signature() -> None:
    setting = block_kind("mbconv").settings["expand_ratio"]
    assert (setting.kind, setting.low, setting.default) == (float, 1, 6.0)
    assert setting.check(4) == 4.0
    assert "num_classes" not in block_kind("classifier").settings


def test_a_network_never_changes_once_it_is_made() -> None:
    assert changeable("nas.network") == set()


@pytest.mark.parametrize(("width", "inner"), [(2, 1), (5, 1), (6, 2), (64, 16)])
def test_the_inner_width_of_a_bottleneck_is_rounded_and_never_0(width: int, inner: int) -> None:
    """A quarter of the width: 1x1, 3x3 and 1x1 convolutions of so many channels, and what normalisation adds."""
    space = nas.SearchSpace.from_dict(
        {
            "name": "one",
            "assume": {"channels": width, "resolution": 8, "num_classes": 2},
            "stages": [{"block": "preact_bottleneck", "out_channels": width}],
            "head": {"block": "classifier"},
        }
    )
    convolutions = width * inner + 9 * inner * inner + inner * width
    norms = 2 * (width + inner + inner)
    assert nas.cost_of(space.decode({})).params == convolutions + norms + 2 * width + 2
