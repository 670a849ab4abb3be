"""What a genotype means: decoded networks against a reading of the language written here, which knows no tree.

The reading is a plain function that asks for each decision when it comes to it; replaying it with every answer
enumerates a space. It shares nothing with the package's own walk, ranks or memo tables.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from math import comb
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import nas
from nas.errors import SpaceError
from tests.space.encoding import as_written

Plain = dict[str, Any]
Ask = Callable[[str, list[Any]], Any]

HEAD: Plain = {"block": "classifier"}


def _key(genotype: Plain) -> frozenset[tuple[str, Any]]:
    return frozenset(genotype.items())


def _value(spec: Any, ask: Ask, stage: str, copy: str, name: str) -> Any:
    if not isinstance(spec, dict):
        return spec
    options = spec.get("choose")
    if options is None:
        low, high = spec["range"]
        options = range(low, high + 1, spec.get("step", 1))
    return ask(f"{copy if spec.get('per') == 'block' else stage}.{name}", list(options))


def _block(entry: Plain, ask: Ask, stage: str, copy: str) -> Plain:
    """One copy of an entry, as a plain mapping of what the space says about it."""
    own: Plain = {}
    kind, prefix, home = entry["block"], "", stage
    if isinstance(kind, dict):
        choice = kind
        kind = _value({**choice, "choose": list(choice["choose"])}, ask, stage, copy, "block")
        own = (choice["choose"][kind] or {}) if isinstance(choice["choose"], dict) else {}
        prefix = f"block.{kind}."
        # Under a kind that each copy chooses, all further decisions are the copy's own.
        home = copy if choice.get("per") == "block" else stage
    block = {"block": kind}
    for key, spec in own.items():
        block[key] = _value(spec, ask, home, copy, prefix + key)
    for key, spec in entry.items():
        if key not in ("block", "depth"):
            block[key] = _value(spec, ask, stage, copy, key)
    return block


def _entry(entry: Plain, ask: Ask, path: str) -> list[Plain]:
    if "depth" not in entry:
        return [_block(entry, ask, path, path)]
    depth = _value(entry["depth"], ask, path, path, "depth")
    blocks = [_block(entry, ask, path, f"{path}.blocks.{i}") for i in range(depth)]
    return blocks[:1] + [{**block, "stride": 1} for block in blocks[1:]]


def _section(entries: Any, ask: Ask, path: str) -> list[Plain]:
    entries = entries if isinstance(entries, list) else [entries]
    return [block for i, entry in enumerate(entries) for block in _entry(entry, ask, f"{path}.{i}")]


def _network(space: Plain, ask: Ask) -> Plain:
    """Read a space, asking for each decision by its path."""
    size = space.get("resolution", 16)
    found: Plain = {"size": ask("resolution", size["choose"]) if isinstance(size, dict) else size}
    found["stem"] = _section(space.get("stem", []), ask, "stem")
    found["stages"] = [
        _section(stage["blocks"], ask, f"stages.{i}.blocks") if "blocks" in stage else _entry(stage, ask, f"stages.{i}")
        for i, stage in enumerate(space["stages"])
    ]
    found["head"] = _section(space["head"], ask, "head")
    return found


def networks_of(space: Plain, limit: int = 4000) -> list[tuple[Plain, Plain]]:
    """Every genotype with its network, by asking for one answer after the other."""
    found: list[tuple[Plain, Plain]] = []
    scripts: list[list[int]] = [[]]
    while scripts and len(found) <= limit:
        script, genotype = scripts.pop(), dict[str, Any]()

        def ask(path: str, options: list[Any], script: list[int] = script, genotype: Plain = genotype) -> Any:
            if path not in genotype:
                asked = len(genotype)
                if asked == len(script):
                    scripts.extend([*script, other] for other in range(1, len(options)))
                    script.append(0)
                genotype[path] = options[script[asked]]
            return genotype[path]

        found.append((_network(space, ask), genotype))
    return [(genotype, network) for network, genotype in found]


def _same_network(arch: nas.Architecture, expected: Plain) -> bool:
    """Whether every block has the kind and the settings that the reading says; the others are defaults."""
    plain = arch.to_dict()
    sections = [(plain["stem"], expected["stem"]), (plain["head"], expected["head"])]
    sections += list(zip(plain["stages"], expected["stages"], strict=True))
    return plain["input_shape"][1:] == [expected["size"]] * 2 and all(
        len(blocks) == len(wanted) and all(b.items() >= w.items() for b, w in zip(blocks, wanted, strict=True))
        for blocks, wanted in sections
    )


def _space(*stages: Plain, **more: Any) -> Plain:
    return {"assume": {"channels": 4, "resolution": 16, "num_classes": 3}, "stages": list(stages), "head": HEAD, **more}


def test_the_reading_itself_on_a_space_counted_by_hand() -> None:
    """depth 0: 1; depth d: 2 shared strides x 3^d kernels. 1 + 2*3 + 2*9 = 25."""
    stage = {
        "block": "conv",
        "out_channels": 8,
        "depth": {"range": [0, 2]},
        "stride": {"choose": [1, 2]},
        "kernel": {"choose": [1, 3, 5], "per": "block"},
    }
    found = networks_of(_space(stage))
    assert len(found) == len({_key(genotype) for genotype, _ in found}) == 25
    assert nas.SearchSpace.from_dict(_space(stage)).size() == 25


SPACES: dict[str, Plain] = {
    "shared and per block": _space(
        {
            "block": "mbconv",
            "depth": {"choose": [2, 0, 3]},
            "out_channels": {"range": [8, 16], "step": 8},
            "kernel": {"choose": [3, 5], "per": "block"},
            "stride": {"choose": [1, 2]},
        }
    ),
    "kinds with their own stride": _space(
        {
            "block": {
                "choose": {"mbconv": {"stride": {"choose": [1, 2]}, "out_channels": 8}, "max_pool": {"stride": 3}}
            },
            "depth": {"range": [0, 2]},
        }
    ),
    "pooling twice": _space({"block": "max_pool", "kernel": {"choose": [2, 3]}, "depth": {"range": [1, 2]}}),
    "pooling that keeps the map": _space({"block": "max_pool", "kernel": 3, "stride": 1, "padding": 1, "depth": 3}),
    "lists with depths": _space(
        {
            "blocks": [
                {"block": "conv", "out_channels": 8, "depth": {"range": [1, 2]}, "kernel": {"choose": [1, 3]}},
                {"block": "conv", "out_channels": {"choose": [12, 16]}},
            ]
        },
        stem=[{"block": "conv", "out_channels": {"choose": [4, 6]}}, {"block": "max_pool", "depth": {"range": [0, 1]}}],
    ),
    "kinds per block in kinds": _space(
        {
            "block": {
                "choose": {"conv": {"activation": {"choose": ["relu", None], "per": "block"}}, "residual_basic": None},
                "per": "block",
            },
            "depth": {"range": [1, 3]},
            "out_channels": {"choose": [4, 8]},
        },
        resolution={"choose": [8, 16]},
    ),
}


@pytest.mark.parametrize("name", SPACES)
def test_every_genotype_gives_the_network_it_states(name: str) -> None:
    space = nas.SearchSpace.from_dict(SPACES[name])
    found = networks_of(SPACES[name])
    assert space.size() == len(found)
    for genotype, expected in found:
        arch = space.decode(genotype)
        assert _same_network(arch, expected), genotype
        with as_written():
            assert space.decode(space.encode(arch)) == arch


_KINDS = ["conv", "mbconv", "fused_mbconv", "residual_basic", "residual_bottleneck"]


def _spec(values: list[Any], *, per: bool = True) -> st.SearchStrategy[Any]:
    """One of the values, or a choice among some of them, shared or per block."""
    options = st.lists(st.sampled_from(values), min_size=1, max_size=3, unique=True)
    ways = [st.sampled_from(values), st.builds(lambda o: {"choose": o}, options)]
    if per:
        ways.append(st.builds(lambda o: {"choose": o, "per": "block"}, options))
    return st.one_of(ways)


_OWN = st.one_of(
    st.none(),
    st.fixed_dictionaries({}, optional={"kernel": _spec([1, 3]), "activation": _spec(["relu", "silu", None])}),
)
_KIND = st.one_of(
    st.sampled_from(_KINDS),
    st.builds(
        lambda kinds, own, per: {
            "choose": dict.fromkeys(kinds, own) if own else kinds,
            **({"per": "block"} if per else {}),
        },
        st.lists(st.sampled_from(_KINDS), min_size=1, max_size=3, unique=True),
        _OWN,
        st.booleans(),
    ),
)
_STAGE = st.fixed_dictionaries(
    {"block": _KIND, "out_channels": _spec([4, 8, 12])},
    optional={
        "stride": _spec([1, 2], per=False),
        "depth": st.one_of(_spec([0, 1, 2], per=False), st.just({"range": [0, 2]})),
    },
)
_ENTRY = st.one_of(_STAGE, st.builds(lambda blocks: {"blocks": blocks}, st.lists(_STAGE, min_size=1, max_size=2)))


@given(
    st.lists(_ENTRY, min_size=1, max_size=2),
    st.lists(_STAGE, max_size=1),
    st.sampled_from([16, {"choose": [8, 16]}]),
    st.randoms(use_true_random=False),
)
@settings(max_examples=60)
def test_any_space_is_what_its_plain_reading_says(
    stages: list[Plain], stem: list[Plain], size: Any, rng: random.Random
) -> None:
    values = _space(*stages, resolution=size) | ({"stem": stem} if stem else {})
    found = networks_of(values, limit=600)
    assume(len(found) <= 600)
    space = nas.SearchSpace.from_dict(values)
    ranked = [space.unrank(rank) for rank in range(space.size())]
    assert {_key(genotype) for genotype in ranked} == {_key(genotype) for genotype, _ in found}
    assert len(ranked) == len(found)
    archs = {_key(genotype): space.decode(genotype) for genotype, _ in found}
    injective = len(set(archs.values())) == len(found)
    for genotype, expected in rng.sample(found, min(40, len(found))):
        arch = archs[_key(genotype)]
        assert _same_network(arch, expected)
        # Two optional blocks that are alike state one network twice; then any of its genotypes will do.
        with as_written():
            assert space.encode(arch) == genotype or (not injective and archs[_key(space.encode(arch))] == arch)


def test_the_earliest_of_several_genotypes_is_returned() -> None:
    optional = {"block": "conv", "out_channels": 8, "depth": {"range": [0, 1]}}
    space = nas.SearchSpace.from_dict(_space({"blocks": [optional, optional]}))
    first = {"stages.0.blocks.0.depth": 0, "stages.0.blocks.1.depth": 1}
    second = {"stages.0.blocks.0.depth": 1, "stages.0.blocks.1.depth": 0}
    assert space.decode(first) == space.decode(second)
    assert space.encode(space.decode(second)) == first


def test_optional_blocks_in_a_list_do_not_take_exponential_time() -> None:
    """There are comb(60, 30) ways to share 30 blocks out among 60 entries: no machine would end."""
    assert comb(60, 30) > 1e17
    optional = {"block": "conv", "out_channels": 8, "depth": {"range": [0, 1]}}
    stage = {"block": "conv", "out_channels": 8}
    space = nas.SearchSpace.from_dict(_space(stage, stem=[optional] * 60))
    other = nas.SearchSpace.from_dict(_space(stage, stem=[{**optional, "depth": 30}, {**stage, "out_channels": 9}]))
    with pytest.raises(SpaceError, match="stem of the network is not one it can choose"):
        space.encode(other.decode({}))


def _strides() -> nas.SearchSpace:
    return nas.SearchSpace.from_dict(_space({"block": "conv", "out_channels": 8, "stride": {"choose": [1, 2]}}))


@pytest.mark.parametrize("value", [True, "1", None, 3, [1], {"a": 1}])
def test_a_value_that_is_no_option_is_refused_whatever_was_decoded_before(value: Any) -> None:
    """True equals 1 and has its hash, so a memo of decisions must tell them apart."""
    space = _strides()
    space.decode({"stages.0.stride": 1})
    with pytest.raises(SpaceError, match=r"stages\.0\.stride must be one of \[1, 2\], but got"):
        space.decode({"stages.0.stride": value})


def test_a_network_with_other_settings_than_the_spaces_defaults_is_not_in_it() -> None:
    """The space says nothing of the kernel, which then is 3."""
    space = nas.SearchSpace.from_dict(_space({"block": "mbconv", "out_channels": 8}))
    other = nas.SearchSpace.from_dict(_space({"block": "mbconv", "out_channels": 8, "kernel": 5}))
    with pytest.raises(SpaceError, match=r"stages\.0 of the network is not one it can choose"):
        space.encode(other.decode({}))


def test_decisions_of_a_stage_that_is_left_out_are_refused() -> None:
    stage = {"block": "conv", "out_channels": {"choose": [4, 8]}, "depth": {"range": [0, 1]}}
    space = nas.SearchSpace.from_dict(_space(stage))
    assert space.size() == 3
    assert space.decode({"stages.0.depth": 0}).stages[0].blocks == ()
    with pytest.raises(SpaceError, match=r"'stages\.0\.out_channels' is not active"):
        space.decode({"stages.0.depth": 0, "stages.0.out_channels": 4})
    with pytest.raises(SpaceError, match=r"'stages\.0\.out_channels' is missing"):
        space.decode({"stages.0.depth": 1})
    with pytest.raises(SpaceError, match=r"'stages\.0\.depth' is missing"):
        space.decode({})


def test_unrank_refuses_what_is_no_rank() -> None:
    space = _strides()
    for rank in (-1, 2, 10**30):
        with pytest.raises(SpaceError, match=f"but got {rank}"):
            space.unrank(rank)
