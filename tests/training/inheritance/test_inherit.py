"""Initial weights from a trained network: what is exact, what is taken, what is kept of what shrinks."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, fx

import nas
from nas.errors import DataError, NasError
from nas.network import Architecture, Block, Section

State = dict[str, Tensor]


def _section(*blocks: tuple[str, Mapping[str, Any]]) -> Section:
    return Section(tuple(Block.of(kind, settings) for kind, settings in blocks))


def _conv(**settings: Any) -> tuple[str, Mapping[str, Any]]:
    return "conv", {"out_channels": 8, **settings}


def _network(
    *stages: Section, stem: Section | None = None, head: Section | None = None, shape: tuple[int, ...] = (3, 10, 10)
) -> Architecture:
    stem, head = stem or _section(_conv()), head or _section(("classifier", {}))
    return Architecture(shape, 5, stem, stages, head)


def _trained(architecture: Architecture, seed: int = 0) -> fx.GraphModule:
    """A network with numbers that training might have left, running statistics too."""
    torch.manual_seed(seed)
    module = nas.build(architecture)
    for name, value in [*module.named_buffers(), *module.named_parameters()]:
        if name.endswith("running_var"):
            value.data.uniform_(0.5, 2)
        elif name.endswith("num_batches_tracked"):
            value.data.fill_(7)
        elif not name.endswith("filter"):
            value.data += 0.2 * torch.randn_like(value)
    return module.eval()


def _child(architecture: Architecture, state: State) -> fx.GraphModule:
    module = nas.build(architecture)
    module.load_state_dict(state, strict=True)
    return module.eval()


def _distance(one: fx.GraphModule, other: fx.GraphModule, shape: tuple[int, ...]) -> float:
    """The largest difference of outputs, as a share of the largest output."""
    torch.manual_seed(1)
    inputs = torch.randn(4, *shape)
    with torch.no_grad():
        outputs = [module(inputs) for module in (one, other)]
    pairs = zip(*(out if isinstance(out, tuple) else (out,) for out in outputs), strict=True)
    return max(float((a - b).abs().max() / a.abs().max()) for a, b in pairs)


def _params(architecture: Architecture) -> int:
    return sum(value.numel() for value in nas.build(architecture).parameters())


def _stage(kind: str, depth: int = 1, **settings: Any) -> Section:
    return _section(*[(kind, {"out_channels": 8, **settings})] * depth)


def _tokens(depth: int = 1, features: int = 8, **settings: Any) -> Architecture:
    encoder = ("transformer_encoder", {"heads": 2, **settings})
    return _network(
        _section(*[encoder] * depth),
        stem=_section(("patch_embed", {"features": features, "patch": 5})),
        head=_section(("token_classifier", {})),
    )


def _dense(depth: int, growth: int, compression: float = 0.5) -> Architecture:
    layers = [("dense_layer", {"growth": growth, "bottleneck": 2})] * depth
    return _network(_section(*layers, ("transition", {"compression": compression})), _section(*layers))


def _shuffle(width: int) -> Architecture:
    units = [("shuffle_unit", {"out_channels": width, "groups": 2, "stride": stride}) for stride in (2, 1)]
    return _network(_section(*units))


def _inception(wide: int) -> Section:
    return _section(("inception", {"conv1": wide, "reduce3": wide, "conv3": 4, "reduce5": 2, "conv5": wide, "pool": 3}))


_BOTTLENECK = {"out_channels": 16, "reduction": 2.0, "groups": 4}
_FLAT = {"hidden": 6, "pool": None}
_ADDED: dict[str, tuple[Architecture, Architecture]] = {
    "width": (_network(_section(_conv())), _network(_section(_conv(out_channels=13)))),
    "width of the stem": (
        _network(_section(_conv())),
        _network(_section(_conv()), stem=_section(_conv(out_channels=9))),
    ),
    "kernel": (_network(_section(_conv())), _network(_section(_conv(kernel=5)))),
    "even kernel": (_network(_section(_conv(kernel=1))), _network(_section(_conv(kernel=3, dilation=2)))),
    "fewer groups": (_network(_section(_conv(groups=4))), _network(_section(_conv(groups=2)))),
    "width in groups": (_network(_section(_conv(groups=2))), _network(_section(_conv(groups=2, out_channels=12)))),
    "kernel and dropped connections": (
        _network(_section(_conv(groups=8)), stem=_section(_conv())),
        _network(_section(_conv(groups=4, kernel=7)), stem=_section(_conv())),
    ),
    "width without norm": (
        _network(_section(_conv(norm=None), _conv(norm=None))),
        _network(_section(_conv(norm=None, out_channels=11), _conv(norm=None))),
    ),
    "width of a sum": (
        _network(_stage("mbconv", 2), _stage("mbconv", 2, out_channels=12, stride=2)),
        _network(
            _stage("mbconv", 2, out_channels=10),
            _stage("mbconv", 2, out_channels=20, stride=2),
            stem=_section(_conv(out_channels=10)),
        ),
    ),
    "expansion": (
        _network(_stage("mbconv", 2, expand_ratio=2.0)),
        _network(_stage("mbconv", 2, expand_ratio=3.5, kernel=5)),
    ),
    "depth of mbconv": (_network(_stage("mbconv")), _network(_stage("mbconv", 3))),
    "depth of residual_basic": (_network(_stage("residual_basic")), _network(_stage("residual_basic", 3))),
    "depth of residual_bottleneck": (
        _network(_stage("residual_bottleneck", norm="group")),
        _network(_stage("residual_bottleneck", 2, norm="group")),
    ),
    "depth of preact_basic": (_network(_stage("preact_basic")), _network(_stage("preact_basic", 2))),
    "depth of convnext": (_network(_stage("convnext")), _network(_stage("convnext", 2))),
    "depth of convnext without scale": (
        _network(_stage("convnext", layer_scale=0.0)),
        _network(_stage("convnext", 2, layer_scale=0.0)),
    ),
    "depth where branches end in silu": (
        _network(_stage("fused_mbconv", expand_ratio=1.0)),
        _network(_stage("fused_mbconv", 2, expand_ratio=1.0)),
    ),
    "depth with squeeze-and-excitation": (
        _network(_stage("residual_basic", se_ratio=0.25)),
        _network(_stage("residual_basic", 2, se_ratio=0.25)),
    ),
    "depth of transformers": (_tokens(), _tokens(3)),
    "mlp of transformers": (_tokens(mlp_ratio=2.0), _tokens(mlp_ratio=3.0)),
    "squeeze-and-excitation": (_network(_stage("mbconv", 2)), _network(_stage("mbconv", 2, se_ratio=0.25))),
    "squeeze-and-excitation, hard": (
        _network(_stage("mbconv", 2)),
        _network(_stage("mbconv", 2, se_ratio=0.25, se_gate="hardsigmoid")),
    ),
    "squeeze-and-excitation, relu": (
        _network(_stage("mbconv", 2)),
        _network(_stage("mbconv", 2, se_ratio=0.25, se_gate="relu")),
    ),
    "squeeze-and-excitation behind a norm": (
        _network(_stage("residual_basic", 2)),
        _network(_stage("residual_basic", 2, se_ratio=0.25)),
    ),
    "wider squeeze": (
        _network(_stage("mbconv", 2, se_ratio=0.25)),
        _network(_stage("mbconv", 2, se_ratio=0.5, out_channels=10), stem=_section(_conv(out_channels=10))),
    ),
    "squeeze and kernel and width": (
        _network(_stage("mbconv", 2)),
        _network(_stage("mbconv", 3, se_ratio=0.5, out_channels=10, kernel=5), stem=_section(_conv(out_channels=10))),
    ),
    "growth and layers": (_dense(2, 3), _dense(2, 5, 0.6)),
    "layers before a transition": (_dense(1, 4), _dense(3, 4, 0.5)),
    "units with shuffles": (_shuffle(16), _shuffle(24)),
    "groups of ResNeXt": (
        _network(_section(("residual_bottleneck", _BOTTLENECK))),
        _network(_section(("residual_bottleneck", {**_BOTTLENECK, "out_channels": 24, "reduction": 1.5}))),
    ),
    "width of zero_pad": (
        _network(_stage("residual_basic"), _stage("residual_basic", 2, out_channels=12, stride=1, shortcut="zero_pad")),
        _network(
            _stage("residual_basic", out_channels=10),
            _stage("residual_basic", 2, out_channels=15, stride=1, shortcut="zero_pad"),
            stem=_section(_conv(out_channels=10)),
        ),
    ),
    "hidden layer on a map": (
        _network(_section(_conv()), head=_section(("classifier", _FLAT))),
        _network(_section(_conv(out_channels=10)), head=_section(("classifier", {**_FLAT, "hidden": 9}))),
    ),
    "branches": (_network(_inception(3), _inception(3)), _network(_inception(5), _inception(4))),
    "squeeze of fire": (
        _network(_section(("fire", {"squeeze": 3, "expand1": 4, "expand3": 4}))),
        _network(_section(("fire", {"squeeze": 5, "expand1": 6, "expand3": 4}))),
    ),
    "transposed": (
        _network(_section(("up_conv", {"out_channels": 6}), _conv())),
        _network(_section(("up_conv", {"out_channels": 9}), _conv())),
    ),
    "series": (
        _network(_section(_conv()), shape=(2, 12)),
        _network(_section(_conv(kernel=9, out_channels=12)), shape=(2, 12)),
    ),
    "dropout": (_network(_stage("mbconv", 2)), _network(_stage("mbconv", 2, drop_path=0.2))),
}


@pytest.mark.parametrize("change", _ADDED)
def test_what_is_only_added_to_keeps_its_function(change: str) -> None:
    parent, child = _ADDED[change]
    trained = _trained(parent)
    state, inherited = nas.inherit(parent, trained.state_dict(), child, seed=3)
    assert inherited.exact
    assert _distance(trained, _child(child, state), parent.input_shape) < 1e-5
    # All of the parent is in it.
    assert inherited.share == pytest.approx(_params(parent) / _params(child))


_LOST: dict[str, tuple[Architecture, Architecture]] = {
    **{f"less of {name}": (child, parent) for name, (parent, child) in _ADDED.items() if name != "dropout"},
    "activation": (_network(_section(_conv())), _network(_section(_conv(activation="silu")))),
    "stride": (_network(_section(_conv())), _network(_section(_conv(stride=2)))),
    "dilation": (_network(_section(_conv())), _network(_section(_conv(dilation=2)))),
    "width of layer norm": (_network(_stage("convnext")), _network(_stage("convnext", out_channels=12))),
    "width of group norm": (
        _network(_section(_conv(norm="group"))),
        _network(_section(_conv(norm="group", out_channels=10))),
    ),
    "width of tokens": (_tokens(), _tokens(features=12)),
    "heads": (_tokens(), _tokens(heads=4)),
    "input": (_network(_section(_conv())), _network(_section(_conv()), shape=(3, 12, 12))),
    "bias": (_network(_section(_conv(bias=True))), _network(_section(_conv(bias=False)))),
    "normalisation": (_network(_section(_conv())), _network(_section(_conv(norm="batch_fixed")))),
    "kind": (_network(_stage("mbconv")), _network(_stage("residual_basic"))),
    "depth where relu ends nothing": (_network(_section(_conv())), _network(_section(_conv(), _conv()))),
}


@pytest.mark.parametrize("change", _LOST)
def test_what_is_not_the_same_function_is_not_called_exact(change: str) -> None:
    parent, child = _LOST[change]
    trained = _trained(parent)
    state, inherited = nas.inherit(parent, trained.state_dict(), child, seed=3)
    assert not inherited.exact
    assert 0 < inherited.share <= 1
    module = _child(child, state)
    if parent.input_shape == child.input_shape:
        assert _distance(trained, module, parent.input_shape) > 1e-4


def test_a_training_step_begins_as_the_parents_too() -> None:
    parent, child = _ADDED["width of a sum"]
    trained = _trained(parent)
    state, _ = nas.inherit(parent, trained.state_dict(), child, seed=0)
    assert _distance(trained.train(), _child(child, state).train(), parent.input_shape) < 1e-4


def test_what_is_added_learns_from_the_first_step() -> None:
    parent, child = _ADDED["squeeze and kernel and width"]
    state, _ = nas.inherit(parent, _trained(parent).state_dict(), child, seed=0)
    module = _child(child, state).train()
    module(torch.randn(8, *child.input_shape)).square().sum().backward()
    gradients = {name: value.grad for name, value in module.named_parameters()}
    for name in ("depthwise.conv.weight", "se.expand.weight", "project.conv.weight"):
        gradient = gradients[f"stages.0.blocks.0.{name}"]
        assert gradient is not None
        assert (gradient.flatten(1).abs().max(1).values > 0).float().mean() > 0.7
    new_block = gradients["stages.0.blocks.2.project.norm.weight"]
    assert new_block is not None
    assert (new_block[:8].abs() > 0).all()  # what reads the other two begins at zero


def test_the_channels_that_are_read_with_the_largest_weights_stay() -> None:
    parent, child = (
        _network(_section(_conv(out_channels=6), _conv())),
        _network(_section(_conv(out_channels=3), _conv())),
    )
    weights = _trained(parent).state_dict()
    state, inherited = nas.inherit(parent, weights, child, seed=0)
    reader = weights["stages.0.blocks.1.conv.weight"]
    sizes = [float(reader[:, i].abs().sum()) for i in range(6)]
    kept = sorted(sorted(range(6), key=lambda i: sizes[i])[3:])
    assert kept != [0, 1, 2]  # or the test says nothing
    name = "stages.0.blocks.0"
    for part in ("conv.weight", "norm.weight", "norm.bias", "norm.running_mean", "norm.running_var"):
        assert torch.equal(state[f"{name}.{part}"], weights[f"{name}.{part}"][kept])
    assert torch.equal(state["stages.0.blocks.1.conv.weight"], reader[:, kept])
    assert inherited.share == 1


def test_channels_of_a_sum_stay_together() -> None:
    parent, child = (
        _network(_stage("mbconv", 3, out_channels=n), stem=_section(_conv(out_channels=n))) for n in (6, 4)
    )
    weights = _trained(parent).state_dict()
    state, _ = nas.inherit(parent, weights, child, seed=0)
    readers = [weights[f"stages.0.blocks.{i}.expand.conv.weight"] for i in range(3)]
    sizes = sum(r.abs().sum((0, 2, 3)) for r in readers) + weights["head.0.linear.weight"].abs().sum(0)
    kept = sorted(torch.as_tensor(sizes).argsort()[2:].tolist())
    assert kept != [0, 1, 2, 3]
    assert torch.equal(state["stem.0.conv.weight"], weights["stem.0.conv.weight"][kept])
    for i in range(3):
        name = f"stages.0.blocks.{i}"
        hidden = weights[f"{name}.project.conv.weight"].abs().sum((0, 2, 3))  # 36 channels, of which 24 stay
        inner = sorted(hidden.argsort()[12:].tolist())
        for part in ("project.norm.weight", "project.norm.running_var"):
            assert torch.equal(state[f"{name}.{part}"], weights[f"{name}.{part}"][kept])
        assert torch.equal(state[f"{name}.depthwise.conv.weight"], weights[f"{name}.depthwise.conv.weight"][inner])
        assert torch.equal(state[f"{name}.project.conv.weight"], weights[f"{name}.project.conv.weight"][kept][:, inner])
        assert torch.equal(state[f"{name}.expand.conv.weight"], weights[f"{name}.expand.conv.weight"][inner][:, kept])
    assert torch.equal(state["head.0.linear.weight"], weights["head.0.linear.weight"][:, kept])


def test_kernels_keep_their_middle_and_stages_their_first_blocks() -> None:
    parent, child = _network(_stage("mbconv", 3, kernel=7)), _network(_stage("mbconv", 2, kernel=3))
    weights = _trained(parent).state_dict()
    state, _ = nas.inherit(parent, weights, child, seed=0)
    for i in range(2):
        name = f"stages.0.blocks.{i}.depthwise.conv.weight"
        assert torch.equal(state[name], weights[name][:, :, 2:5, 2:5])


def test_queries_keys_and_values_keep_the_same_features() -> None:
    parent, child = _tokens(features=8), _tokens(features=6)
    weights = _trained(parent).state_dict()
    state, _ = nas.inherit(parent, weights, child, seed=0)
    qkv = "stages.0.blocks.0.attention.qkv.bias"
    project = weights["stages.0.blocks.0.attention.project.weight"].abs().sum(0)
    # Three features of each of two heads stay, those that the projection reads with the largest weights.
    kept = [head * 4 + i for head in range(2) for i in sorted(project[head * 4 :][:4].argsort()[1:].tolist())]
    assert torch.equal(state[qkv].view(3, 6), weights[qkv].view(3, 8)[:, kept])


def test_the_rest_begins_as_a_network_of_the_seed_does() -> None:
    parent, child = _network(_stage("mbconv")), _network(_stage("residual_basic"))
    weights = _trained(parent).state_dict()
    before = torch.random.get_rng_state()
    state, _ = nas.inherit(parent, weights, child, seed=5)
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.manual_seed(5)
    fresh = nas.build(child).state_dict()
    assert state.keys() == fresh.keys()
    for name, value in state.items():
        if name.startswith("stages.0.blocks.0.conv1"):
            assert torch.equal(value, fresh[name])
    again, _ = nas.inherit(parent, weights, child, seed=5)
    assert all(torch.equal(again[name], value) for name, value in state.items())
    other, _ = nas.inherit(parent, weights, child, seed=6)
    assert not torch.equal(other["stages.0.blocks.0.conv1.conv.weight"], state["stages.0.blocks.0.conv1.conv.weight"])


def test_auxiliary_classifiers_are_never_taken_over() -> None:
    body = _section(("classifier", {}))
    network = _network(_section(_conv(), ("auxiliary", {"body": body}), _conv()))
    trained = _trained(network)
    kept = {name: value for name, value in trained.state_dict().items() if not name.startswith("auxiliary.")}
    state, inherited = nas.inherit(network, kept, network, seed=0)
    assert (inherited.exact, inherited.share) == (True, 1.0)
    assert _distance(trained, _child(network, state), network.input_shape) == 0


def test_weights_of_another_network_are_refused() -> None:
    parent, child = _network(_section(_conv())), _network(_section(_conv(kernel=5)))
    weights = _trained(parent).state_dict()
    with pytest.raises(DataError, match=r"stages\.0\.blocks\.0\.conv\.weight.*\(8, 8, 3, 3\).*\(8, 8, 5, 5\)"):
        nas.inherit(child, weights, parent, seed=0)
    del weights["head.0.linear.bias"]
    with pytest.raises(DataError, match=r"head\.0\.linear\.bias"):
        nas.inherit(parent, weights, child, seed=0)
    with pytest.raises(NasError, match="inherit takes an Architecture"):
        nas.inherit(parent, weights, "child", seed=0)  # type: ignore[arg-type]


_SPACES = ("mbconv", "resnet", "nasbench201")
_MORE = ("reference/unet", "reference/resnet50_fpn", "reference/shufflenet")
"""Published networks with operations that no space has."""


def _sampled(name: str, seed: int) -> tuple[nas.SearchSpace, Architecture]:
    space = nas.load_space(name)
    return space, space.decode(space.sample(random.Random(seed)))


def _check_pair(parent: Architecture, child: Architecture) -> None:
    trained = _trained(parent)
    state, inherited = nas.inherit(parent, trained.state_dict(), child, seed=0)
    assert 0 <= inherited.share <= 1
    module = _child(child, state)
    if inherited.exact:
        assert _distance(trained, module, parent.input_shape) < 1e-5


def _check_space(name: str, seed: int) -> None:
    space, parent = _sampled(name, seed)
    trained = _trained(parent)
    state, inherited = nas.inherit(parent, trained.state_dict(), parent, seed=0)
    assert (inherited.exact, inherited.share) == (True, 1.0)
    own = {n: value for n, value in trained.state_dict().items() if not n.startswith("auxiliary.")}
    assert all(torch.equal(state[n], value) for n, value in own.items())
    if space.size() > 1:
        genotype = space.sample(random.Random(seed))
        _check_pair(parent, space.decode(space.mutate(genotype, random.Random(seed))))
        _check_pair(parent, _sampled(name, seed + 100)[1])


@pytest.mark.parametrize("name", _SPACES)
def test_networks_of_a_space(name: str) -> None:
    _check_space(name, 1)


@pytest.mark.slow
@pytest.mark.parametrize("name", [*(name for name in nas.space_names() if "/" not in name), *_MORE])
def test_networks_of_every_space(name: str) -> None:
    _check_space(name, 2)


@pytest.mark.slow
@pytest.mark.parametrize(("one", "other"), [("resnet", "mbconv"), ("vit", "small_images"), ("nasbench201", "conv1d")])
def test_networks_of_two_spaces(one: str, other: str) -> None:
    _check_pair(_sampled(one, 0)[1], _sampled(other, 1)[1])
    _check_pair(_sampled(other, 1)[1], _sampled(one, 0)[1])
