"""Values know whether they are maps, tokens or features, and blocks take what they are made for."""

from __future__ import annotations

from typing import Any

import pytest

import nas
from nas.errors import ShapeError
from nas.network import ops
from nas.network.registry import Block, block_graph, block_kind, block_names
from nas.network.section import Section

PATCHES = {"block": "patch_embed", "features": 64, "patch": 4}
CONV = {"block": "conv", "out_channels": 64}
LINEAR = {"block": "linear", "out_channels": 64}
ENCODER = {"block": "transformer_encoder", "heads": 4}
MEAN = {"block": "token_classifier", "pool": "mean"}

# What reads anything, tokens as they are.
OF_ALL_KINDS = {"auxiliary", "cell", "identity", "linear", "parallel", "zero"}
OF_TOKENS = {"transformer_encoder", "token_classifier"}
# Normalises what there is, if it is told how; reads features too.
OF_MORE = {"norm_act"}


def _arch(*blocks: dict[str, Any], head: dict[str, Any] | None = None, shape: tuple[int, ...] = (3, 32, 32)) -> Any:
    return nas.Architecture.from_dict(
        {
            "format": "nas.architecture/1",
            "input_shape": list(shape),
            "num_classes": 10,
            "stem": [],
            "stages": [[block] for block in blocks],
            "head": [head] if head else [],
        }
    )


SERIES = (16, 16)
# What a map of this shape can be given to, where defaults would not do.
SETTINGS = {"out_channels": 16, "features": 8, "patch": 4, "growth": 4, "squeeze": 2, "size": 2, "groups": 1}
# Their windows have two dimensions.
OF_IMAGES = {"inception_b", "inception_c", "inception_reduce_b"}


def _block(name: str) -> Block:
    known = block_kind(name).settings
    given: dict[str, Any] = {key: SETTINGS.get(key, 4) for key in known if known[key].required or key in SETTINGS}
    if name == "feature_pyramid":
        given["stages"] = (Section((Block.of("conv", {"out_channels": 8}),)),)
    if name == "upsampled":
        given["body"] = Section((Block.of("conv", {"out_channels": 8, "stride": 2}),))
    return Block.of(name, given)


@pytest.mark.parametrize("name", sorted(set(block_names()) - OF_ALL_KINDS - OF_TOKENS - OF_MORE))
def test_blocks_for_maps_take_no_tokens_and_no_features(name: str) -> None:
    """The settings fit the same numbers as a map of one dimension, so that only the kind is in the way."""
    block = _block(name)
    if name not in OF_IMAGES:
        block_graph(block, SERIES, 10)
    for other in (ops.Tokens(SERIES), SERIES[:1]):
        with pytest.raises(ShapeError, match=r"needs .*, but gets (tokens|features) \d+.*; .*`"):
            block_graph(block, other, 10)


@pytest.mark.parametrize("block", [ENCODER, {"block": "token_classifier"}])
@pytest.mark.parametrize(("before", "kind"), [((), "a map 3x32x32"), ((LINEAR,), "features 64")])
def test_blocks_for_tokens_take_nothing_else(block: dict[str, Any], before: tuple[Any, ...], kind: str) -> None:
    with pytest.raises(ShapeError, match=f"needs tokens, but gets {kind}; `patch_embed` makes tokens of a map"):
        nas.cost_of(_arch(*before, block))


def test_a_series_is_no_tokens_though_it_has_their_shape() -> None:
    """The memo of lowered blocks tells them apart, in any order."""
    encoder = Block.of("transformer_encoder", {"heads": 4})
    conv = Block.of("conv", {"out_channels": 65})
    for _ in range(2):
        assert block_graph(encoder, ops.Tokens((65, 64)), 10).out_shape == (65, 64)
        assert block_graph(conv, (65, 64), 10).out_shape == (65, 64)
        for block, shape in ((encoder, (65, 64)), (conv, ops.Tokens((65, 64)))):
            with pytest.raises(ShapeError, match="needs"):
                block_graph(block, shape, 10)
    # As stages of one network, in cost and in the graph.
    for arch in (_arch(CONV, ENCODER, shape=(64, 65)), _arch(PATCHES, CONV)):
        for what in (nas.cost_of, nas.lower):
            with pytest.raises(ShapeError, match="needs"):
                what(arch)


def test_a_classifier_of_maps_after_a_transformer_names_the_right_one() -> None:
    with pytest.raises(
        ShapeError, match=r"^head\.0: classifier: needs a map, but gets tokens 65x64; .*token_classifier"
    ):
        nas.cost_of(_arch(PATCHES, ENCODER, head={"block": "classifier"}))
    for pool in ("token", "mean"):
        arch = _arch(PATCHES, ENCODER, head={"block": "token_classifier", "pool": pool})
        assert nas.lower(arch).out_shape == (10,)


@pytest.mark.parametrize("join", ["concat", "add"])
def test_branches_join_what_is_alike(join: str) -> None:
    """Eight channels of length 8 have the shape of eight tokens with 8 features."""
    tokens = {"block": "patch_embed", "features": 8, "patch": 1, "class_token": False}
    mixed = {"block": "parallel", "join": join, "branches": [[], [tokens]]}
    with pytest.raises(ShapeError, match=r"equal shapes, but got map|concat: needs a map"):
        nas.cost_of(_arch(mixed, shape=(8, 8)))


def test_normalisation_of_tokens_is_over_their_features() -> None:
    arch = _arch(PATCHES, {"block": "norm_act", "norm": "layer", "activation": "gelu"}, head=MEAN)
    (norm, *_) = (node.op for node in nas.lower(arch).nodes if node.name.startswith("stages.1"))
    assert norm == ops.LayerNorm(64, of_map=False)
    with pytest.raises(ShapeError, match="batch_norm: needs a map or features, but gets tokens 65x64"):
        nas.cost_of(_arch(PATCHES, {"block": "norm_act"}, head=MEAN))


def test_an_identity_keeps_tokens_and_changes_none() -> None:
    same = [_arch(PATCHES, {"block": "identity", **more}, head=MEAN) for more in ({}, {"out_channels": 64})]
    assert {one.arch_id for one in same} == {_arch(PATCHES, head=MEAN).arch_id}
    for more in ({"out_channels": 32}, {"stride": 2}):
        with pytest.raises(ShapeError, match="needs a map, but gets tokens"):
            nas.cost_of(_arch(PATCHES, {"block": "identity", **more}, head=MEAN))
