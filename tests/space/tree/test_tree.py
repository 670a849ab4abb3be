"""Counting, ranking, decoding and encoding against an enumeration written here, without the package's own walk."""

from __future__ import annotations

import itertools
import random
import subprocess
import sys
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import nas
from nas.errors import SpaceError
from tests.frozen import changeable
from tests.space.encoding import as_written

Plain = dict[str, Any]


def _options(value: Any) -> list[Any]:
    if not isinstance(value, dict):
        return [value]
    if "range" in value:
        low, high = value["range"]
        return list(range(low, high + 1, value.get("step", 1)))
    return list(value["choose"])


def _is_choice(value: Any) -> bool:
    return isinstance(value, dict)


def _ways_of_settings(settings: Plain, stage: str, copies: list[str], prefix: str = "") -> list[Plain]:
    """Every way to decide the settings of some copies, as genotypes."""
    ways: list[Plain] = [{}]
    for key, value in settings.items():
        if not _is_choice(value):
            continue
        name = f"{prefix}{key}"
        places = copies if value.get("per") == "block" else [stage]
        for place in places:
            ways = [{**way, f"{place}.{name}": option} for way in ways for option in _options(value)]
    return ways


def _ways_of_entry(entry: Plain, path: str) -> list[Plain]:
    settings = {key: value for key, value in entry.items() if key not in ("block", "depth")}
    ways = []
    for depth in _options(entry.get("depth", 1)):
        chosen = {f"{path}.depth": depth} if _is_choice(entry.get("depth")) else {}
        if depth == 0:
            ways.append(chosen)
            continue
        copies = [f"{path}.blocks.{i}" for i in range(depth)] if "depth" in entry else [path]
        for own in _ways_of_kind(entry["block"], path, copies):
            ways += [{**chosen, **own, **rest} for rest in _ways_of_settings(settings, path, copies)]
    return ways


def _ways_of_kind(block: Any, path: str, copies: list[str]) -> list[Plain]:
    if not _is_choice(block):
        return [{}]
    choose = block["choose"]
    kinds = choose if isinstance(choose, dict) else dict.fromkeys(choose)
    if block.get("per") != "block":
        return [
            {f"{path}.block": kind, **way}
            for kind, own in kinds.items()
            for way in _ways_of_settings(own or {}, path, copies, f"block.{kind}.")
        ]
    each = [
        [
            {f"{copy}.block": kind, **way}
            for kind, own in kinds.items()
            for way in _ways_of_settings(own or {}, copy, [copy], f"block.{kind}.")
        ]
        for copy in copies
    ]
    return [{k: v for way in ways for k, v in way.items()} for ways in itertools.product(*each)]


def enumerate_space(space: Plain) -> list[Plain]:
    """Every genotype of a space given as plain values."""
    parts = [[{"resolution": size} for size in _options(space["resolution"])]] if "resolution" in space else []
    for section in ("stem", "head"):
        entries = space.get(section, [])
        entries = entries if isinstance(entries, list) else [entries]
        parts += [_ways_of_entry(entry, f"{section}.{i}") for i, entry in enumerate(entries)]
    parts += [_ways_of_entry(stage, f"stages.{i}") for i, stage in enumerate(space["stages"])]
    return [{k: v for way in ways for k, v in way.items()} for ways in itertools.product(*parts)]


def _key(genotype: Plain) -> frozenset[tuple[str, Any]]:
    return frozenset(genotype.items())


SPACES: dict[str, Plain] = {
    "one network": {"stages": [{"block": "conv", "out_channels": 8}]},
    "shared choice": {"stages": [{"block": "conv", "depth": 3, "out_channels": {"choose": [4, 8, 16]}}]},
    "choice per block": {
        "stages": [{"block": "conv", "depth": {"range": [0, 3]}, "out_channels": {"choose": [4, 8], "per": "block"}}]
    },
    "both": {
        "stages": [
            {
                "block": "mbconv",
                "depth": {"choose": [2, 0, 1]},
                "out_channels": {"range": [8, 24], "step": 8},
                "kernel": {"choose": [3, 5], "per": "block"},
                "stride": {"choose": [1, 2]},
            }
        ]
    },
    "kinds with settings of their own": {
        "stages": [
            {
                "block": {
                    "choose": {
                        "mbconv": {"expand_ratio": {"choose": [1, 4]}, "se_ratio": {"choose": [0, 0.25]}},
                        "conv": {"groups": {"choose": [1, 2], "per": "block"}},
                        "residual_basic": None,
                    }
                },
                "depth": {"range": [1, 2]},
                "out_channels": {"choose": [8, 16]},
            }
        ]
    },
    "kind per block": {
        "stages": [
            {
                "block": {"choose": {"mbconv": {"expand_ratio": {"choose": [1, 4]}}, "conv": None}, "per": "block"},
                "depth": {"range": [0, 3]},
                "out_channels": 8,
            }
        ]
    },
    "everywhere": {
        "resolution": {"choose": [16, 24]},
        "stem": [
            {"block": "conv", "out_channels": {"choose": [4, 8]}},
            {"block": "max_pool", "depth": {"range": [0, 1]}},
        ],
        "stages": [
            {"block": {"choose": ["mbconv", "conv"]}, "out_channels": {"choose": [8, 12]}},
            {"block": "conv", "depth": {"range": [0, 1]}, "out_channels": 16, "activation": {"choose": ["relu", None]}},
        ],
    },
}
for _values in SPACES.values():
    _values["head"] = {"block": "classifier", "dropout": {"choose": [0, 0.5]}}
    _values["assume"] = {"channels": 4, "resolution": 16, "num_classes": 3}


@pytest.mark.parametrize("name", SPACES)
def test_the_genotypes_are_those_of_an_independent_enumeration(name: str) -> None:
    space = nas.SearchSpace.from_dict(SPACES[name])
    expected = enumerate_space(SPACES[name])
    assert space.size() == len(expected)
    ranked = [space.unrank(i) for i in range(space.size())]
    assert {_key(g) for g in ranked} == {_key(g) for g in expected}
    assert len({_key(g) for g in ranked}) == len(ranked)


@pytest.mark.parametrize("name", SPACES)
def test_encode_is_the_inverse_of_decode(name: str) -> None:
    space = nas.SearchSpace.from_dict(SPACES[name])
    for rank in range(space.size()):
        genotype = space.unrank(rank)
        arch = space.decode(genotype)
        with as_written():
            assert space.encode(arch) == genotype
        assert nas.Architecture.from_json(arch.to_json()) == arch


@pytest.mark.parametrize("name", SPACES)
def test_only_active_decisions_are_taken(name: str) -> None:
    space = nas.SearchSpace.from_dict(SPACES[name])
    known = space.decisions()
    for rank in range(space.size()):
        genotype = space.unrank(rank)
        for path in known:
            changed = {**genotype, path: known[path].values[0]}
            if path not in genotype:
                with pytest.raises(SpaceError, match="is not active under the other decisions"):
                    space.decode(changed)
        for path in genotype:
            with pytest.raises(SpaceError, match=f"decision '{path}' is missing"):
                space.decode({k: v for k, v in genotype.items() if k != path})


def test_sampling_is_uniform_over_genotypes() -> None:
    space = nas.SearchSpace.from_dict(SPACES["choice per block"])
    rng, draws = random.Random(0), 30_000
    counts = Counter(_key(space.sample(rng)) for _ in range(draws))
    expected = draws / space.size()
    assert len(counts) == space.size() == 2 * (1 + 2 + 4 + 8)
    chi_square = sum((count - expected) ** 2 / expected for count in counts.values())
    assert chi_square < 58.3  # 99.9 % quantile at 29 degrees of freedom


def test_a_sample_is_the_same_in_another_process() -> None:
    code = "import nas; print(sorted(nas.load_space('mbconv').sample(123).items()))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == str(sorted(nas.load_space("mbconv").sample(123).items()))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"stages.0.kernell": 3}, r"unknown decision 'stages\.0\.kernell'. Did you mean 'stages\.0\.kernel'"),
        ({"stages.0.kernel": 7}, r"stages\.0\.kernel must be one of \[3, 5\], but got 7"),
        ({"stages.0.kernel": "3"}, "but got '3'"),
        ({"stages.0.depth": True}, "but got True"),
        ({"head.1.dropout": False}, "but got False"),
    ],
)
def test_genotypes_outside_the_space_are_refused(change: Plain, message: str) -> None:
    space = nas.load_space("mbconv")
    with pytest.raises(SpaceError, match=message):
        space.decode({**space.sample(0), **change})


def test_networks_outside_the_space_are_refused() -> None:
    space = nas.load_space("mbconv")
    with pytest.raises(SpaceError, match="not in space 'mbconv': it takes input"):
        space.encode(nas.load_space("reference/resnet18").decode({}))
    other = nas.load_space("reference/resnet18").for_data((3, 32, 32), 10).decode({})
    with pytest.raises(SpaceError, match="it has 5 stages"):
        space.encode(other)
    values = space.decode(space.sample(0)).to_dict()
    values["stages"][2][0]["out_channels"] = 41
    with pytest.raises(SpaceError, match=r"stages\.2 of the network is not one it can choose"):
        space.encode(nas.Architecture.from_dict(values))


def test_ranks_outside_are_refused() -> None:
    space = nas.load_space("mbconv")
    for rank in (-1, space.size()):
        with pytest.raises(SpaceError, match=f"but got {rank}"):
            space.unrank(rank)


def test_stride_belongs_to_the_first_copy() -> None:
    space = nas.SearchSpace.from_dict(
        {"stages": [{"block": "conv", "depth": 3, "out_channels": 8, "stride": 2}], "head": {"block": "classifier"}}
    )
    blocks = space.decode({}).stages[0].blocks
    assert [dict(block.settings)["stride"] for block in blocks] == [2, 1, 1]


_SETTING = st.sampled_from(
    [8, {"choose": [8, 16]}, {"choose": [8, 16, 24], "per": "block"}, {"range": [8, 24], "step": 8}]
)
_KIND = st.sampled_from(
    [
        "conv",
        {"choose": ["conv", "mbconv"]},
        {"choose": ["mbconv", "residual_basic"], "per": "block"},
        {
            "choose": {
                "mbconv": {"expand_ratio": {"choose": [1, 2]}},
                "fused_mbconv": {"se_ratio": {"choose": [0, 0.5]}},
            }
        },
        {"choose": {"mbconv": {"expand_ratio": {"choose": [1, 2], "per": "block"}}, "conv": None}, "per": "block"},
    ]
)
_DEPTH = st.sampled_from([1, 2, {"range": [0, 2]}, {"choose": [2, 1]}, {"range": [1, 3]}])
_STAGE = st.fixed_dictionaries(
    {"block": _KIND, "out_channels": _SETTING, "depth": _DEPTH},
    optional={"kernel": st.sampled_from([5, {"choose": [3, 5]}]), "stride": st.sampled_from([2, {"choose": [1, 2]}])},
)


@given(st.lists(_STAGE, min_size=1, max_size=2), st.integers(0, 10**9))
def test_any_space_counts_ranks_and_round_trips(stages: list[Plain], seed: int) -> None:
    values: Plain = {"stages": stages, "head": {"block": "classifier"}, "assume": {"resolution": 32}}
    space = nas.SearchSpace.from_dict(values)
    if space.size() <= 3000:
        assert space.size() == len(enumerate_space(values))
    genotype = space.sample(seed)
    arch = space.decode(genotype)
    with as_written():
        assert space.encode(arch) == genotype
    assert nas.Architecture.from_json(arch.to_json()) == arch
    assert nas.cost_of(arch).params > 0
    assert set(genotype) <= set(space.decisions())
    again = nas.SearchSpace.from_dict(space.to_dict())
    assert again.size() == space.size()
    assert again.decode(genotype) == arch


def test_a_description_never_changes_once_it_is_read() -> None:
    """Spaces share their parts. What can be changed is made and filled while a file is read or described."""
    assert changeable("nas.space") == {"Part", "_Branch", "_Shared"}
