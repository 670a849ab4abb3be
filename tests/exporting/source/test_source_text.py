"""What stands in model.py: style, imports, names, errors, and one network in full."""

from __future__ import annotations

import json
import random
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

import nas
from nas.errors import NasError, ShapeError
from nas.exporting.source import Source, architecture_source, to_source
from nas.exporting.source.expressions import Argument, Make
from nas.exporting.source.operations import Formula, Layer, write
from nas.network import ops
from nas.network.builder import GraphBuilder, Value
from nas.network.graph import Graph, Node
from nas.network.lower import lower
from nas.network.ops import Op, Shape
from nas.network.registry import Block
from nas.network.section import Section
from nas.pytorch import build_graph
from tests.exporting.source.written_networks import check_architecture, check_graph, module_of, with_random_state

GOLDEN = Path(__file__).parent / "mbconv_model.py.txt"
# The project's rules but for those about tests (PT) and those that the project itself turns off. All of them make sense
# for a file by itself.
RULES = "A,B,C4,C90,E,F,I,N,PERF,PIE,PL,RET,RUF,SIM,T10,UP,W,D100,D101,D102,D103"
IGNORED = "PLR0913,PLR2004,PLC0415,N812"
ALONE = """
import sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("nas", "numpy", "onnx", "pytorch_lightning"):
            raise ModuleNotFoundError(f"{name} is not there")
sys.meta_path.insert(0, Blocker())
import model
import torch
network = model.load(sys.argv[1])
torch.manual_seed(0)
with torch.no_grad():
    output = network(torch.rand(2, 3, 16, 16))
assert "nas" not in sys.modules and not network.training
print(output.flatten().tolist())
import runpy
runpy.run_path("model.py", run_name="__main__")  # as `python model.py`
"""


def _blocks(*blocks: tuple[str, dict[str, object]]) -> Section:
    return Section(tuple(Block.of(kind, settings) for kind, settings in blocks))


def _mbconv() -> nas.Architecture:
    se = {"se_ratio": 0.25, "activation": "silu"}
    return nas.Architecture(
        (3, 16, 16),
        10,
        _blocks(("conv", {"out_channels": 16, "stride": 2, "activation": "silu"})),
        (
            _blocks(("mbconv", {"out_channels": 16, "expand_ratio": 1, **se})),
            _blocks(
                ("mbconv", {"out_channels": 24, "kernel": 5, "stride": 2, **se}),
                *[("mbconv", {"out_channels": 24, "kernel": 5, **se})] * 3,
            ),
        ),
        _blocks(("conv", {"out_channels": 64, "kernel": 1, "activation": "silu"}), ("classifier", {"dropout": 0.2})),
    )


def _texts(count: int) -> Iterator[tuple[str, str]]:
    """As many networks of every space, and every published network."""
    for name in nas.space_names():
        space, rng = nas.load_space(name), random.Random(name)
        done = 0
        while done < (1 if "/" in name else count):
            arch = space.decode({} if "/" in name else space.sample(rng))
            try:
                yield f"{name.replace('/', '_')}_{done}", architecture_source(arch).text
            except ShapeError:
                continue
            done += 1


@pytest.mark.parametrize("count", [1, pytest.param(40, marks=pytest.mark.slow)])
def test_ruff_finds_nothing_in_any_network(count: int, tmp_path: Path) -> None:
    for name, text in _texts(count):
        assert max(map(len, text.splitlines())) <= 120, name
        (tmp_path / f"{name}.py").write_text(text)
    base = [sys.executable, "-m", "ruff"]
    options = ["--isolated", "--line-length", "120", "--target-version", "py311", str(tmp_path)]
    check = [*base, "check", "--select", RULES, "--ignore", IGNORED, "--output-format", "concise", *options]
    for command in (check, [*base, "format", "--diff", *options]):
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        assert result.returncode == 0, result.stdout[:3000] + result.stderr[:1000]


def test_a_network_in_full() -> None:
    """Look at the difference, and write it down anew where it is for the better:

    python -m tests.exporting.source.test_source_text
    """
    assert architecture_source(_mbconv()).text == GOLDEN.read_text()


def test_the_network_in_full_computes_the_same() -> None:
    check_architecture(_mbconv())


def test_it_runs_with_torch_and_safetensors_alone(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    arch = _mbconv()
    source = architecture_source(arch)
    (tmp_path / "model.py").write_text(source.text)
    graph = lower(arch)
    module = with_random_state(build_graph(graph), graph)
    save_file(module.state_dict(), tmp_path / "model.safetensors")
    command = [sys.executable, "-c", ALONE, "model.safetensors"]
    result = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert result.returncode == 0, result.stderr[-2000:]
    torch.manual_seed(0)
    with torch.no_grad():
        expected = module(torch.rand(2, 3, 16, 16))
    computed, printed = result.stdout.splitlines()
    torch.testing.assert_close(torch.tensor(json.loads(computed)), expected.flatten(), rtol=1e-5, atol=1e-5)
    assert printed == f"{nas.cost_of(arch).params:,} parameters"


def test_the_same_text_in_another_process() -> None:
    arch = nas.load_space("mixed").decode(nas.load_space("mixed").sample(3))
    code = (
        "import sys, nas; from nas.exporting.source import architecture_source; "
        "print(architecture_source(nas.Architecture.from_json(sys.stdin.read())).text, end='')"
    )
    command = [sys.executable, "-c", code]
    result = subprocess.run(command, input=arch.to_json(), capture_output=True, text=True, check=True)
    assert result.stdout == architecture_source(arch).text


@pytest.mark.parametrize(
    ("network", "name"),
    [
        ("resnet18", "ResidualBasic"),
        ("resnet50", "ResidualBottleneck"),
        ("efficientnet_b0", "MBConv"),
        ("mobilenet_v3_large", "MBConv"),
        ("mobilenet_v3_large", "SqueezeExcite"),
        ("convnext_tiny", "ConvNeXt"),
        ("densenet121", "DenseLayer"),
        ("vit_tiny_16", "TransformerEncoder"),
        ("squeezenet1_1", "Fire"),
        ("googlenet", "Inception"),
        ("unet", "Parallel"),
    ],
)
def test_blocks_of_one_kind_share_a_class(network: str, name: str) -> None:
    text = architecture_source(nas.load_space(f"reference/{network}").decode({})).text
    assert text.count(f"class {name}(nn.Module):") == 1
    assert len(re.findall(rf"class {name}\w+\(nn.Module\):", text)) == 0


@pytest.mark.parametrize(
    ("network", "line"),
    [
        ("resnet50", "*(ResidualBottleneck(1024, 1024) for _ in range(5))"),
        ("resnet50", "if stride != 1 or in_channels != out_channels"),
        ("densenet121", "*(DenseLayer(64 + 32 * i) for i in range(6))"),
        ("mobilenet_v2", "self.has_shortcut = stride == 1 and in_channels == out_channels"),
        ("vit_tiny_16", "*(TransformerEncoder(192) for _ in range(12))"),
        ("vit_tiny_16", "self.qkv = nn.Linear(channels, 3 * channels)"),
        ("inception_v3", "ConvNormAct(192, 192, (1, 7), padding=(0, 3)),"),
        ("vgg16", "nn.MaxPool2d(2, stride=2)"),
    ],
)
def test_lines_that_people_know(network: str, line: str) -> None:
    assert line in architecture_source(nas.load_space(f"reference/{network}").decode({})).text


def test_parts_of_equal_channels_are_told_apart_by_what_they_read() -> None:
    """Where squeeze-excite is, hidden channels are those of the input in all uses; it reads the hidden ones."""
    se: dict[str, object] = {"out_channels": 8, "expand_ratio": 1, "se_ratio": 0.25}
    wide: dict[str, object] = {"out_channels": 16, "expand_ratio": 2}
    blocks = _blocks(("fused_mbconv", se), ("fused_mbconv", wide), ("fused_mbconv", wide))
    stem, head = _blocks(("conv", {"out_channels": 8})), _blocks(("classifier", {}))
    source = check_architecture(nas.Architecture((3, 16, 16), 10, stem, (blocks,), head))
    assert "self.se = SqueezeExcite(hidden_channels) if with_se else nn.Identity()" in source.text
    block = module_of(source).get_submodule("stages.0.blocks.0")
    other = type(block)(8, 8, hidden_channels=24, with_se=True)  # as it is nowhere in this network
    assert other(torch.zeros(2, 8, 4, 4)).shape == (2, 8, 4, 4)


def test_blocks_without_their_kinds() -> None:
    """A graph alone says what is computed, and nothing of what its blocks are named."""
    source = check_graph(lower(_mbconv()))
    assert "class Block(nn.Module)" in source.text
    assert "MBConv" not in source.text


def test_auxiliary_classifiers_are_left_out() -> None:
    arch = nas.load_space("reference/googlenet", auxiliary=1).for_data((3, 64, 64), 10).decode({})
    source = architecture_source(arch)
    assert not any(name.startswith("auxiliary") for name in source.names)
    assert "stages.1.blocks.1" not in {name.rpartition(".")[0] for name in source.names}
    written = module_of(source)
    assert {*written.state_dict()} == {*source.names.values()}


def _linear(name: str, source: int = 0) -> Node:
    return Node(name, ops.Linear(4, 4), (source,), (4,))


@pytest.mark.parametrize(
    ("names", "written"),
    [
        (["train"], ["train_"]),
        (["class"], ["class_"]),
        (["0-1"], ["_0_1"]),
        (["a", "a.b"], ["a", "a_.b"]),
        (["a.b", "a"], ["a.b", "a_"]),
        (["edges.0-1", "edges.keys"], ["edges.0-1", "edges.keys_"]),
        (["größe"], ["gr__e"]),
        (['a.b"c', "a.0"], ["a.b_c", "a.0"]),
    ],
)
def test_names_that_attributes_cannot_have(names: list[str], written: list[str]) -> None:
    nodes = [Node("input", ops.Input((4,)), (), (4,)), *(_linear(name, place) for place, name in enumerate(names))]
    source = to_source(Graph(tuple(nodes)))
    assert source.names == {
        f"{name}.{entry}": f"{other}.{entry}"
        for name, other in zip(names, written, strict=True)
        for entry in ("weight", "bias")
    }
    module = module_of(source)
    assert {*module.state_dict()} == {*source.names.values()}
    weights = {name: torch.randn(value.shape) for name, value in module.state_dict().items()}
    module.load_state_dict(weights)
    x = y = torch.randn(2, 4)
    for name in written:
        y = torch.nn.functional.linear(y, weights[f"{name}.weight"], weights[f"{name}.bias"])
    torch.testing.assert_close(module(x), y)


def test_parts_that_cannot_run_at_once_are_called_one_by_one() -> None:
    """What is named alike may stand before and behind something else, as the edges of a cell do."""
    g = GraphBuilder((4,))
    first = g.linear(g.input, 4, name="edges.a")
    between = g.activation(first, "tanh", name="between")
    second = g.linear(between, 4, name="edges.b")
    third = g.linear(first, 4, name="edges.c")
    graph = g.finish(g.add("sum", ops.Add(), second, third, between))
    source = check_graph(graph)
    assert all(name == ours for ours, name in source.names.items())


def test_several_outputs_keep_their_order() -> None:
    g = GraphBuilder((4,))
    first, second = g.linear(g.input, 4, name="one"), g.linear(g.input, 4, name="two")
    check_graph(g.finish([second, first]))
    check_graph(g.finish([second, g.input, second]))


def test_a_network_without_operations() -> None:
    g = GraphBuilder((4,))
    check_graph(g.finish(g.input))


@pytest.mark.parametrize("name", ["", "network", "class", "A B", "Ünet", "None"])
def test_a_class_needs_a_name(name: str) -> None:
    with pytest.raises(NasError, match="name of a class is like Network"):
        to_source(lower(_mbconv()), name)


def test_another_class_name() -> None:
    arch = nas.load_space("reference/lenet5").decode({})
    assert isinstance(module_of(architecture_source(arch, "LeNet"), "LeNet"), torch.nn.Module)


@dataclass(frozen=True, slots=True)
class Swish(Op):
    """A user's operation with a learned slope."""

    channels: int
    """Of what it reads."""


@dataclass(frozen=True, slots=True)
class Negative(Op):
    """A user's operation that is a formula."""


@dataclass(frozen=True, slots=True)
class OwnRelu(ops.Activation):
    """A user's operation that is derived from one of nas, and may compute something else."""


def _swish(op: Op) -> Graph:
    g = GraphBuilder((4, 6, 6))
    x: Value = g.add("swish", op, g.conv(g.input, 4, 1))
    return g.finish(g.add("negative", Negative(), x))


def test_an_operation_of_a_user_that_nobody_wrote() -> None:
    message = r"swish: model.py has no .*Swish yet; register .* nas.exporting.source.operations.write.register"
    with pytest.raises(NasError, match=message):
        to_source(_swish(Swish(4)))
    with pytest.raises(NasError, match="OwnRelu yet"):
        to_source(_swish(OwnRelu("relu")))


def test_an_operation_of_a_user() -> None:
    definition = '''\
class Swish(nn.Module):
    """x times the sigmoid of it, with a learned slope."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.slope = nn.Parameter(torch.ones(channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        return x * torch.sigmoid(self.slope * x)
'''

    @write.register
    def _(op: Swish, shapes: tuple[Shape, ...]) -> Layer:
        return Layer(Make("Swish", (Argument("channels", op.channels, positional=True),)), ("slope",), definition)

    @write.register
    def _(op: Negative, shapes: tuple[Shape, ...]) -> Formula:
        return Formula("-{0}")

    source: Source = to_source(_swish(Swish(4)))
    assert source.names["swish.slope"] == "swish.slope"
    module = module_of(source)
    x = torch.randn(2, 4, 6, 6)
    y = torch.nn.functional.conv2d(x, module.state_dict()["conv.weight"])
    torch.testing.assert_close(module(x), -(y * torch.sigmoid(y)))


if __name__ == "__main__":
    GOLDEN.write_text(architecture_source(_mbconv()).text)


@pytest.mark.parametrize(
    ("channels", "kernel", "stride", "warned"),
    [(12, 1, 2, True), (16, 1, 2, False), (12, 1, 1, False), (12, 3, 2, False)],
)
def test_who_trains_it_is_warned_of_what_torch_does_wrong(
    channels: int, kernel: int, stride: int, warned: bool
) -> None:
    """Only where the network has such a convolution, for which training takes another way than torch's own."""
    unit = {"block": "conv", "kernel": kernel, "stride": stride, "out_channels": 8}
    values = {"stem": {"block": "conv", "out_channels": channels}, "stages": [unit], "head": {"block": "classifier"}}
    arch = nas.SearchSpace.from_dict({**values, "assume": {"channels": 3, "resolution": 8, "num_classes": 4}}).decode(
        {}
    )
    ours = [type(module).__name__ for module in nas.build(arch).modules()]
    assert ("StridedPointwiseConv2d" in ours) == warned
    text = architecture_source(arch).text
    assert ("`torch.channels_last`" in text) == warned
