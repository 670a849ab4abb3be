"""A space with decisions fixed holds exactly those of its genotypes that have the values, however it states them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

import nas
from nas.errors import ConfigError
from nas.space.fit import widened
from nas.space.fix import fixed

_CONV = {"block": "conv", "out_channels": 8}
_HEAD = {"block": "classifier"}


def _stages(*stages: Any, **words: Any) -> dict[str, Any]:
    return {"assume": {"resolution": 8}, "stages": list(stages), "head": _HEAD, **words}


SPACES: Mapping[str, dict[str, Any]] = {
    "values": _stages(
        {
            **_CONV,
            "kernel": {"choose": [1, 3]},
            "out_channels": {"range": [4, 12], "step": 4},
            "depth": {"range": [0, 2]},
        },
        {**_CONV, "out_channels": {"range": [4, 16], "factor": 2}, "norm": {"choose": [None, "batch"]}},
    ),
    "each block": _stages({**_CONV, "depth": {"choose": [1, 3]}, "kernel": {"choose": [1, 3, 5], "per": "block"}}),
    "kinds": _stages(
        {"block": {"choose": ["conv", "separable_conv"]}, "out_channels": 8},
        {
            "block": {"choose": {"conv": {}, "inverted": {"block": "mbconv", "expand_ratio": {"choose": [2, 3]}}}},
            "out_channels": 8,
        },
    ),
    "kinds of each block": _stages(
        {
            "block": {
                "choose": {"conv": {}, "mbconv": {"expand_ratio": {"choose": [2, 3], "per": "stage"}}},
                "per": "block",
            },
            "depth": {"range": [1, 2]},
            "out_channels": 8,
        }
    ),
    "parts": _stages(
        {"blocks": [{**_CONV, "optional": True, "kernel": {"choose": [1, 3]}}, _CONV]},
        {"blocks": [{"choose": {"one": {**_CONV, "kernel": {"choose": [1, 3]}}, "two": [_CONV, _CONV]}}]},
    ),
    "names": _stages(
        {"block": "= unit", "out_channels": "= width"},
        {"block": "= unit", "depth": "= depth", "out_channels": "= 2 * width"},
        let={
            "width": {"choose": [4, 8]},
            "depth": {"if": "= width > 4", "then": 1, "else": {"choose": [1, 2]}},
            "unit": {
                "block": {"choose": {"conv": {}, "wide": {"block": "mbconv", "expand_ratio": {"choose": [2, 3]}}}}
            },
        },
    ),
    "branches": _stages(
        {
            "block": "parallel",
            "join": "add",
            "branches": {"count": {"choose": [1, 2]}, "each": {**_CONV, "kernel": {"choose": [1, 3]}}},
        }
    ),
    "resolutions": _stages({**_CONV, "kernel": {"choose": [1, 3]}}, resolution={"choose": [8, 12]}),
    "networks": {
        "choose": {
            "plain": _stages({**_CONV, "kernel": {"choose": [1, 3]}}),
            "deep": _stages({**_CONV, "depth": {"range": [1, 3]}}),
        }
    },
}


def _held(space: nas.SearchSpace, fix: Mapping[str, Any]) -> set[frozenset[Any]]:
    """The genotypes of a space that have what is fixed, by looking at all."""
    return {
        frozenset(genotype.items())
        for genotype in space.enumerate()
        if all(genotype[path] == value for path, value in fix.items() if path in genotype)
    }


@pytest.mark.parametrize("name", SPACES)
def test_what_is_left_are_the_genotypes_that_have_the_values(name: str) -> None:
    space = nas.SearchSpace.from_dict(SPACES[name])
    assert space.size() <= 3000
    for path, choice in space.decisions().items():
        together = [own for own, other in space.decisions().items() if other is choice]
        for value in choice.values:
            narrow = (
                fixed(space, dict.fromkeys(together, value))
                if len(together) == 1
                else _fixed_all(space, together, value)
            )
            expected = _held(space, dict.fromkeys(together, value))
            assert {frozenset(genotype.items()) for genotype in narrow.enumerate()} == expected, (path, value)
            assert narrow.size() == len(expected)
            read_back = nas.SearchSpace.from_dict(narrow.to_dict())
            for genotype in list(narrow.enumerate())[:20]:
                architecture = space.decode(genotype)
                assert read_back.decode(genotype) == architecture
                assert narrow.decode(narrow.encode(architecture)).arch_id == architecture.arch_id


def _fixed_all(space: nas.SearchSpace, paths: list[str], value: object) -> nas.SearchSpace:
    """Fix what is stated once for several decisions by the path that the message gives."""
    with pytest.raises(ConfigError, match="can only be fixed together") as raised:
        fixed(space, {paths[0]: value})
    pattern = str(raised.value).rsplit(": ", 1)[1]
    return fixed(space, {pattern: value})


def test_several_values_and_several_decisions() -> None:
    space = nas.load_space("mbconv")
    fix = {"stages.*.kernel": [5, 3], "stages.2.depth": [2, 3], "head.0.out_channels": 256}
    narrow = fixed(space, fix)
    choices = narrow.decisions()
    assert all(choices[f"stages.{i}.kernel"].values == (3, 5) for i in range(5))  # 7 is gone, where there was one
    assert choices["stages.2.depth"].values == (2, 3)
    assert choices["head.0.out_channels"].values == (256,)
    assert choices["stages.3.depth"].values == (1, 2, 3, 4)
    # Samplers know a range by its ends.
    assert (choices["stages.2.depth"].int_range.low, choices["stages.2.depth"].int_range.high) == (2, 3)  # type: ignore[union-attr]
    assert narrow.input_shape == space.input_shape
    assert fixed(narrow, fix) is narrow  # a search that is gone on with fixes what is fixed already


def test_values_of_a_range_with_a_gap_are_a_choice() -> None:
    narrow = fixed(nas.load_space("mbconv"), {"stages.2.depth": [1, 2, 4]})
    choice = narrow.decisions()["stages.2.depth"]
    assert choice.values == (1, 2, 4)
    assert choice.int_range is None


def test_a_path_may_be_mappings_inside_each_other() -> None:
    space = nas.load_space("mbconv")
    assert fixed(space, {"stages": {"0": {"kernel": 3}}}).to_dict() == fixed(space, {"stages.0.kernel": 3}).to_dict()


def test_a_fixed_kind_removes_what_stands_under_the_others() -> None:
    narrow = fixed(nas.load_space("small_images"), {"stages.*.block": "mbconv"})
    paths = [path for path in narrow.decisions() if ".block." in path]
    assert paths
    assert all(".block.mbconv." in path for path in paths)


def test_the_data_stay_those_of_the_space() -> None:
    space = nas.load_space("mbconv_compound").for_data((1, 28, 28), 7, task="classification")
    narrow = fixed(space, {"let.gamma": 1.1})
    assert (narrow.input_shape, narrow.num_classes, narrow.task) == ((1, 28, 28), 7, "classification")
    assert narrow.decode(narrow.sample(0)).input_shape == (1, 31, 31)  # round(1.1 * 28)


@pytest.mark.parametrize(
    ("fix", "problem"),
    [
        ({"stages.0.kernl": 3}, "no decision 'stages.0.kernl'. Did you mean 'stages.0.kernel'"),
        ({"stages.0.kernel": 7}, r"stages.0.kernel must be one of \[3, 5\], but got 7"),
        ({"stages.*.kernel": 7}, r"stages.0.kernel must be one of \[3, 5\], but got 7"),
        ({"stages.0.kernel": True}, r"stages.0.kernel must be one of \[3, 5\], but got True"),
        ({"stages.0.kernel": []}, r"nothing is left of stages.0.kernel, one of \[3, 5\], by \[\]"),
        ({"stages.*.kernel": 3, "stages.0.kernel": 5}, "nothing is left of stages.0.kernel"),
        ({"stages.0.kernel": [[3]]}, r"must be one of \[3, 5\], but got \[3\]"),
        ({"*.kernel": 3}, r"no decision '\*.kernel'"),
    ],
)
def test_what_cannot_be_fixed_is_said(fix: dict[str, Any], problem: str) -> None:
    with pytest.raises(ConfigError, match=f"search.fix: .*{problem}"):
        fixed(nas.load_space("mbconv"), fix, "search.fix")


def test_what_another_fixed_decision_removes_cannot_be_fixed() -> None:
    fix = {"stages.0.block": "conv", "stages.0.block.mbconv.expand_ratio": 4}
    with pytest.raises(ConfigError, match="expand_ratio is no decision any more"):
        fixed(nas.load_space("small_images"), fix)


def test_a_fixed_width_stays_where_the_others_are_multiplied() -> None:
    space = fixed(nas.load_space("mbconv"), {"stem.0.out_channels": 32, "stages.1.out_channels": [24, 40]})
    half = widened(space, 0.5).decisions()
    assert half["stem.0.out_channels"].values == (32,)
    assert half["stages.1.out_channels"].values == (24, 40)
    assert half["stages.2.out_channels"].values == (20, 28, 40)
