"""What may be written inline means the same under a name."""

from __future__ import annotations

import copy
import json
import random
from collections import Counter
from math import comb
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

import nas
from nas.errors import SpaceError
from tests.space.plain_reading import Plain, all_ways, network

pytestmark = pytest.mark.usefixtures("as_written")

MOST = 400
SMALL = {"assume": {"resolution": 16, "num_classes": 4}, "head": {"block": "classifier"}}
STEM = {"block": "conv", "out_channels": 8}


def _space(stages: list[Any], let: Plain | None = None) -> nas.SearchSpace:
    return nas.SearchSpace.from_dict(copy.deepcopy({**SMALL, "stem": STEM, "let": let or {}, "stages": stages}))


def _kernel(per: str | None) -> Plain:
    return {"choose": [3, 5]} | ({"per": per} if per else {})


_PER = st.sampled_from([None, "stage", "block"])
_KERNEL = st.one_of(st.just(3), _PER.map(_kernel))
_DEPTH = st.sampled_from([{}, {"depth": 2}, {"depth": {"range": [1, 2]}}, {"depth": {"range": [0, 2]}}])


@st.composite
def _kinds(draw: Any) -> Any:
    """A kind, a choice of them, or a choice with settings of their own."""
    way = draw(st.sampled_from(["one", "list", "own"]))
    if way == "one":
        return "conv"
    per = draw(_PER)
    word = {"per": per} if per else {}
    if way == "list":
        return {"choose": ["conv", "separable_conv"], **word}
    return {"choose": {"conv": {"kernel": draw(_KERNEL)}, "separable_conv": draw(st.sampled_from([None, {}]))}, **word}


@st.composite
def _simple(draw: Any) -> Plain:
    kind = draw(_kinds())
    own = isinstance(kind, dict) and isinstance(kind["choose"], dict)
    kernel = {} if own else {"kernel": draw(_KERNEL)}
    optional = {"optional": True} if draw(st.integers(0, 5)) == 0 else {}
    return {"block": kind, "out_channels": 8, **kernel, **draw(_DEPTH), **optional}


@st.composite
def _entry(draw: Any) -> Plain:
    way = draw(st.integers(0, 5))
    if way == 0:
        bodies = draw(st.lists(st.lists(_simple(), min_size=1, max_size=2), min_size=1, max_size=2))
        return {"block": "parallel", "branches": bodies, **draw(_DEPTH)}
    if way == 1:
        return {"choose": {"a": [draw(_simple())], "b": draw(st.lists(_simple(), max_size=1))}}
    return dict(draw(_simple()))


class _Naming:
    """Takes parts of a description out and gives them names."""

    def __init__(self, rng: random.Random) -> None:
        self.rng, self.let = rng, dict[str, Any]()
        self.used: dict[str, str] = {}
        """Where each name is used: the path that its decisions have inline, for those of the network."""
        self.certain = True
        """Whether no name can be left without use."""

    def entry(self, entry: Plain, path: str, certain: bool) -> Any:
        if "choose" in entry:
            options = {name: self.body(body, f"{path}.{name}", certain=False) for name, body in entry["choose"].items()}
            return {"choose": options}
        depth = entry.get("depth", 1)
        certain = certain and "optional" not in entry and (not isinstance(depth, dict) or depth["range"][0] > 0)
        changed = dict(entry)
        if "branches" in entry:
            changed["branches"] = [
                self.body(body, f"{path}.branches.{i}", certain) for i, body in enumerate(entry["branches"])
            ]
        if self.rng.random() < 0.7:
            outside: Plain = {key: changed.pop(key) for key in ("depth", "optional") if key in changed}
            for key in [key for key in changed if key != "block" and self.rng.random() < 0.3]:
                outside[key] = changed.pop(key)
            changed = {"block": f"= {self.name(changed, path, certain)}", **outside}
            if self.rng.random() < 0.3:  # a name for what has a name
                kept: Plain = {key: changed.pop(key) for key in ("depth", "optional") if key in changed}
                changed = {"block": f"= {self.name(changed, path, certain)}", **kept}
        if isinstance(changed.get("depth"), dict) and self.rng.random() < 0.3:
            name = self.name(changed["depth"], path, certain and "optional" not in entry)
            self.used[f"let.{name}"] = f"{path}.depth"
            changed["depth"] = f"= {name}"
        return changed

    def body(self, entries: list[Plain], path: str, certain: bool) -> Any:
        changed = [self.entry(one, f"{path}.{i}", certain) for i, one in enumerate(entries)]
        return f"= {self.name(changed, path, certain)}" if entries and self.rng.random() < 0.6 else changed

    def name(self, what: Any, path: str, certain: bool) -> str:
        name = f"n{len(self.let)}"
        self.let[name], self.used[f"let.{name}."] = what, f"{path}."
        self.certain = self.certain and certain
        return name

    def inline(self, path: str) -> str:
        """Return what the path of a decision is where nothing has a name."""
        for given_at, used_at in self.used.items():
            if path == given_at or (given_at.endswith(".") and path.startswith(given_at)):
                return used_at + path.removeprefix(given_at)
        return path


def _plain_network(arch: nas.Architecture, wanted: list[Any]) -> bool:
    """Whether the stages of a network are those blocks; what is not wanted of their settings is left open."""

    def alike(given: list[Plain], blocks: list[Any]) -> bool:
        return len(given) == len(blocks) and all(map(one, given, blocks))

    def one(block: Plain, pair: tuple[str, Plain]) -> bool:
        kind, setting = pair
        return block["block"] == kind and all(
            len(value) == len(block[key]) and all(map(alike, block[key], value))
            if key == "branches"
            else block[key] == value
            for key, value in setting.items()
        )

    return len(arch.stages) == len(wanted) and all(map(alike, arch.to_dict()["stages"], wanted))


def _assert_twins(stages: list[Plain], naming: _Naming, rng: random.Random) -> None:
    named_stages = [naming.entry(stage, f"stages.{i}", True) for i, stage in enumerate(stages)]
    expected = all_ways(stages, MOST)
    assume(len(expected) <= MOST)
    inline, named = _space(stages), _space(named_stages, naming.let)
    key = {json.dumps(genotype, sort_keys=True) for genotype, _ in expected}
    assert inline.size() == len(expected)
    assert {json.dumps(genotype, sort_keys=True) for genotype in inline.enumerate()} == key
    for genotype, blocks in rng.sample(expected, min(20, len(expected))):
        assert _plain_network(inline.decode(genotype), blocks)
    assume(named.size() <= 4 * MOST)
    if naming.certain:
        assert named.size() == inline.size()
    seen: Counter[str] = Counter()
    for genotype in named.enumerate():
        answers = {naming.inline(path): value for path, value in genotype.items()}
        active: Plain = {}

        def ask(path: str, _: list[Any], answers: Plain = answers, active: Plain = active) -> Any:
            active[path] = answers[path]
            return answers[path]

        network(stages, ask)
        seen[json.dumps(active, sort_keys=True)] += 1
        assert named.decode(genotype) == inline.decode(active)
    assert set(seen) == key
    for genotype in (named.sample(rng) for _ in range(5)):
        arch = named.decode(genotype)
        assert named.decode(named.encode(arch)) == arch
        assert inline.decode(inline.encode(arch)) == arch


_BRANCH = {"block": "conv", "out_channels": 8, "optional": True}


@given(st.lists(_entry(), min_size=1, max_size=2), st.integers(0, 10**6))
@example(
    # What decides nothing for a block may decide something for a stage or the network.
    [
        {
            "block": "parallel",
            "branches": [[{**_BRANCH, "kernel": 3}], [{**_BRANCH, "kernel": _kernel(per)} for per in (None, "stage")]],
        }
    ],
    5,
)
@settings(max_examples=60)
def test_a_description_and_its_twin_with_names_state_the_same(stages: list[Plain], seed: int) -> None:
    rng = random.Random(seed)
    _assert_twins(stages, _Naming(rng), rng)


K = {"choose": [3, 5]}
UNIT = {"block": "conv", "out_channels": 8}


@pytest.mark.parametrize(
    ("per", "size"),
    [
        (None, 2),  # one decision wherever the name is used
        ("stage", 2 * 2),  # one a use: two stages
        ("block", 2**2 * 2**3),  # one a block: two, then three
    ],
)
def test_per_says_the_same_inside_what_has_a_name(per: str | None, size: int) -> None:
    let = {"u": {**UNIT, "kernel": _kernel(per)}}
    space = _space([{"block": "= u", "depth": 2}, {"block": "= u", "depth": 3}], let)
    assert space.size() == size
    assert len({space.decode(genotype).to_json() for genotype in space.enumerate()}) == size
    for genotype in space.enumerate():
        assert space.encode(space.decode(genotype)) == genotype


@pytest.mark.parametrize(("per", "size"), [(None, 2), ("stage", 2), ("block", 4)])
def test_per_in_a_named_list_counts_the_copies_of_the_block_around_it(per: str | None, size: int) -> None:
    entries = [{**UNIT, "kernel": _kernel(per)}]
    around = {"block": "parallel", "depth": 2}
    assert _space([{**around, "branches": [entries]}]).size() == size
    assert _space([{**around, "branches": ["= pair"]}], {"pair": entries}).size() == size


def test_a_choice_of_kinds_can_have_a_name() -> None:
    kinds = {"choose": {"conv": {"out_channels": 8, "kernel": K}, "identity": {}}}
    assert _space([{"block": kinds}]).size() == _space([{"block": "= op"}], {"op": {"block": kinds}}).size() == 3
    with pytest.raises(SpaceError, match=r"stages\.0: block 'conv' needs 'out_channels'"):
        _space([{"block": "= op"}], {"op": {"block": {"choose": {"conv": {}, "identity": {}}}}})
    for stages, let in (
        (
            [{"block": "= op", "kernel": 3}],
            {"op": {"block": {"choose": {"conv": {"kernel": K}, "separable_conv": {}}}}},
        ),
        ([UNIT], {"op": {"block": {"choose": {"conv": {"kernel": K}}}, "kernel": 3}}),
    ):
        with pytest.raises(SpaceError, match="'kernel' is given here and under block 'conv'"):
            _space(stages, {**let})


def test_a_named_depth_that_is_shared_settles_how_many_decisions_each_use_has() -> None:
    """One depth for both stages, a kernel for each block: 1 + 2 * 2 + 4 * 4."""
    let = {"unit": [{**UNIT, "depth": {"range": [0, 2]}, "kernel": _kernel("block")}]}
    space = _space([{"blocks": ["= unit"]}, {"blocks": ["= unit"]}], let)
    assert space.size() == 1 + 2 * 2 + 4 * 4
    assert len({space.decode(genotype).to_json() for genotype in space.enumerate()}) == space.size()
    assert space.encode(space.decode(space.unrank(20))) == space.unrank(20)


def test_blocks_may_be_named_however_they_are_written(tmp_path: Path) -> None:
    (tmp_path / "unit.yaml").write_text("block: conv\nout_channels: 8\nkernel: {choose: [3, 5], per: block}\n")
    (tmp_path / "space.yaml").write_text(
        "let:\n"
        "  size: data\n"
        "  unit: {include: unit.yaml}\n"
        "  pair: [{block: = unit}, {block: = unit, stride: 2}]\n"
        "  some: {if: = size > 16, then: = pair, else: {block: = unit}}\n"
        "  other: {choose: {none: [], pair: = some}}\n"
        "  again: = other\n"
        "stages: [{blocks: [= again]}]\nhead: {block: classifier}\n"
    )
    space = nas.load_space(tmp_path / "space.yaml")
    assert space.for_data((3, 16, 16), 4).size() == 1 + 2  # none, or one block with a kernel
    assert space.for_data((3, 32, 32), 4).size() == 1 + 2 * 2  # none, or two
    fitted = space.for_data((3, 32, 32), 4)
    for genotype in fitted.enumerate():
        assert fitted.encode(fitted.decode(genotype)) == genotype
    again = nas.SearchSpace.from_dict(space.to_dict())
    assert list(again.enumerate()) == list(space.enumerate())


@pytest.mark.parametrize("copies", [1, 2, 5, 512])
def test_copies_of_a_kind_that_each_chooses_share_what_is_per_stage(copies: int) -> None:
    """Of n copies k choose conv: one activation for all of them (3 options), a kernel for each (2)."""
    conv = {"activation": {"choose": ["relu", "silu", "gelu"], "per": "stage"}, "kernel": K}
    kinds = {"choose": {"conv": conv, "separable_conv": None, "mbconv": None}, "per": "block"}
    expected = sum(comb(copies, k) * 2 ** (copies - k) * (3 * 2**k if k else 1) for k in range(copies + 1))
    for stages, let in (([{"block": kinds}], {}), ([{"block": "= u"}], {"u": {"block": kinds}})):
        space = _space([{**stages[0], "depth": copies, "out_channels": 8}], let)
        assert space.size() == expected
        if copies > 2:
            genotype = space.sample(0)
            assert space.encode(space.decode(genotype)) == genotype
            continue
        drawn = list(space.enumerate())
        assert len({json.dumps(one, sort_keys=True) for one in drawn}) == expected
        for genotype in drawn:
            assert space.encode(space.decode(genotype)) == genotype


@pytest.mark.parametrize(
    ("stages", "let", "message"),
    [
        (
            [UNIT],
            {"w": {"choose": [8, 16], "per": "block"}},
            "for the network, so it cannot be chosen per block",
        ),
        (
            [UNIT],
            {"w": {"choose": [8, 16], "per": "stage"}},
            "for the network, so it cannot be chosen per stage",
        ),
        ([{"block": "= u", "depth": 2}], {"u": {**UNIT, "stride": {"choose": [1, 2], "per": "block"}}}, "per block"),
        (
            [
                {
                    "depth": 2,
                    "block": {
                        "choose": {"parallel": {"branches": [[{**UNIT, "kernel": _kernel("stage")}]]}, "identity": {}},
                        "per": "block",
                    },
                }
            ],
            {},
            "a choice is of that block, so it cannot be per stage",
        ),
        ([{"block": "= u"}], {"u": {**UNIT, "kernel": _kernel("network")}}, "per must be 'block' or 'stage'"),
        ([{"block": "= u"}], {"u": {**UNIT, "depth": 2}}, "'depth' belongs where the block is used"),
    ],
)
def test_what_cannot_mean_the_same_is_refused(stages: list[Any], let: Plain, message: str) -> None:
    with pytest.raises(SpaceError, match=message):
        _space(stages, let)
