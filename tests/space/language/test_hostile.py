"""Spaces that are odd, large, or made to confuse: the count is right, or one clear error comes at once."""

from __future__ import annotations

import itertools
import random
from pathlib import Path
from typing import Any

import pytest

import nas
from nas.commands import space as command
from nas.errors import NasError, SpaceError
from nas.space import describe

HEAD = {"block": "classifier"}
CONV = {"block": "conv", "out_channels": 8}


def _space(*stages: Any, **top: Any) -> nas.SearchSpace:
    return nas.SearchSpace.from_dict({**top, "stages": list(stages), "head": HEAD})


def _check(space: nas.SearchSpace) -> set[tuple[Any, ...]]:
    """Enumerate: as many different genotypes as counted, each decoded and found again. Returns them."""
    found = {tuple(sorted(genotype.items())) for genotype in space.enumerate()}
    assert len(found) == space.size()
    for genotype in map(dict, found):
        arch = space.decode(genotype)
        assert space.decode(space.encode(arch)) == arch
    return found


def test_switches_inside_blocks_whose_number_is_a_formula() -> None:
    space = _space(
        {
            "block": "conv",
            "depth": "= d",
            "out_channels": {"if": "= w > 2", "then": {"choose": [4, 3]}, "else": {"choose": [4, 3, 2]}},
        },
        {"block": "conv", "out_channels": 8, "kernel": {"if": "= w > 2", "then": 3, "else": 5}},
        let={"d": 1, "w": {"choose": [3, 2]}},
    )
    assert len(_check(space)) == 2 + 3
    space = _space(
        {
            "block": "conv",
            "depth": "= d",
            "out_channels": 8,
            "kernel": {"if": "= w > 16", "then": {"choose": [3, 5]}, "else": 3},
        },
        let={"d": {"choose": [1, 2]}, "w": {"choose": [8, 32]}},
    )
    assert len(_check(space)) == 2 * (2 + 1)


def test_a_structure_on_many_combinations_of_names_is_looked_at_in_full() -> None:
    def space(values: int) -> nas.SearchSpace:
        return _space(
            {
                "block": "conv",
                "depth": f"= 1 if a + 0 * b < {values - 5} else 2",
                "out_channels": 8,
                "kernel": {"choose": [3, 5], "per": "block"},
            },
            let={"a": {"range": [0, values - 1]}, "b": {"range": [0, values - 1]}},
        )

    found = space(50)
    assert found.size() == 50 * (45 * 2 + 5 * 4)
    genotype = {"let.a": 49, "let.b": 0, "stages.0.blocks.0.kernel": 3, "stages.0.blocks.1.kernel": 5}
    assert [dict(block.settings)["kernel"] for block in found.decode(genotype).stages[0].blocks] == [3, 5]
    assert found.mutate(genotype, 0) != genotype
    with pytest.raises(SpaceError, match=r"stages\.0\.depth: .* names \(a, b\) may have 20,000 combinations"):
        space(150)


def test_every_combination_of_a_resolution_is_checked() -> None:
    with pytest.raises(SpaceError, match=r"resolution: size must be a whole number >= 1, but got 0\.5"):
        _space(
            CONV,
            resolution="= 8 if a < 45 or b < 0 else 0.5",
            let={"a": {"range": [0, 99]}, "b": {"range": [0, 99]}},
        )


def test_both_sides_of_a_condition_have_decisions_of_their_own() -> None:
    space = _space(
        {
            "block": "conv",
            "out_channels": "= w",
            "kernel": {"if": "= w > 16", "then": {"choose": [3, 5]}, "else": {"choose": [7, 9]}},
        },
        let={"w": {"choose": [8, 32]}},
        assume={"resolution": 8},
    )
    assert len(_check(space)) == 4
    here = {"let.w": 32, "stages.0.kernel.then": 3}
    assert all(other != here for other in space.neighbours(here))
    assert all(space.mutate(here, seed) != here for seed in range(20))
    assert len(nas.run_search(space, lambda arch, budget, seed: 1.0, trials=4, seed=0).best(4)) == 4


@pytest.mark.parametrize("name", ["", "a.0"])
def test_option_names_are_words(name: str) -> None:
    description = {"stages": [CONV], "head": HEAD}
    for values in (
        {**description, "stages": [{"choose": {"a": CONV, name: CONV}}]},
        {**description, "stages": [{"block": {"choose": {"conv": {}, name: {"block": "conv"}}}, "out_channels": 8}]},
        {"choose": {"a": description, name: description}},
    ):
        with pytest.raises(SpaceError, match="the name of an option is a word without dots"):
            nas.SearchSpace.from_dict(values)


def test_conditions_on_many_names_are_counted_apart() -> None:
    stages = [
        {**CONV, "kernel": {"if": f"= n{i}", "then": {"choose": [1, 3]}, "else": {"choose": [1, 3, 5]}}}
        for i in range(40)
    ]
    space = _space(*stages, let={f"n{i}": {"choose": [True, False]} for i in range(40)})
    assert space.size() == 5**40
    rng = random.Random(0)
    for _ in range(20):
        rank = rng.randrange(space.size())
        genotype = space.unrank(rank)
        assert space.decode(space.encode(space.decode(genotype))) == space.decode(genotype)
    # Two names in one condition are counted together: 2 x 3 for (T, T), 3 x 3 otherwise, over the other stage's.
    space = _space(
        {**CONV, "kernel": {"if": "= a and b", "then": {"choose": [1, 3]}, "else": {"choose": [1, 3, 5]}}},
        {**CONV, "kernel": {"if": "= c", "then": {"choose": [1, 3]}, "else": 1}},
        let={name: {"choose": [True, False]} for name in "abc"},
    )
    assert len(_check(space)) == (2 + 3 * 3) * (2 + 1)


def test_too_many_combinations_of_switches_are_refused() -> None:
    space = _space(
        {**CONV, "kernel": {"if": "= n0 > 3", "then": {"choose": [1, 3]}, "else": 1}, "depth": "= 1 if n1 > 5 else 2"},
        {**CONV, "kernel": {"if": "= n2 + n0 > 9", "then": {"choose": [1, 3]}, "else": 1}},
        {**CONV, "kernel": {"if": "= n1 + n2 > 9", "then": {"choose": [1, 3]}, "else": 1}},
        let={f"n{i}": {"range": [0, 99]} for i in range(3)},
    )
    with pytest.raises(SpaceError, match=r"depend on let\.n0, let\.n1, let\.n2, which together have more than 100,000"):
        space.size()


def test_encoding_over_many_values_ends() -> None:
    space = _space({"block": "conv", "out_channels": "= a + b + c"}, let={name: {"range": [1, 1000]} for name in "abc"})
    arch = space.decode({"let.a": 1, "let.b": 1, "let.c": 5})
    assert space.decode(space.encode(arch)) == arch
    with pytest.raises(SpaceError, match="too many values to find those of a network"):
        space.encode(space.decode({"let.a": 1000, "let.b": 1000, "let.c": 1000}))


def test_what_a_space_nests_can_be_read_back() -> None:
    block: dict[str, Any] = dict(CONV)
    for _ in range(27):
        block = {"block": "parallel", "branches": [block]}
    arch = _space(block).decode({})
    assert nas.Architecture.from_json(arch.to_json()) == arch
    assert nas.cost_of(arch).params > 0
    for _ in range(10):
        block = {"block": "parallel", "branches": [block]}
    with pytest.raises(SpaceError, match="nested deeper than 60 levels"):
        _space(block)


def test_lists_have_an_end() -> None:
    for stages in ([CONV] * 257, [{"blocks": [CONV] * 257}]):
        with pytest.raises(SpaceError, match="a list may have 256 entries here, but this one has 257"):
            _space(*stages)
    space = _space({"blocks": [CONV] * 256})
    assert space.encode(space.decode({})) == {}


@pytest.mark.slow
def test_a_size_of_thousands_of_digits(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(describe, "_MAX_SECONDS", 0.1)
    many = "{range: [1, 3999], per: block}"
    text = f"stages:\n  - {{block: mbconv, depth: 512, out_channels: 8, expand_ratio: {many}}}\n"
    (tmp_path / "space.yaml").write_text(text + "head: {block: classifier}\n")
    space = nas.load_space(tmp_path / "space.yaml")
    assert space.size() == 3999**512
    assert repr(space) == "SearchSpace('space', about 10^1844 genotypes)"
    with pytest.raises(SpaceError, match="must hold"):
        space.unrank(-1)
    assert command.main([str(tmp_path / "space.yaml"), "--samples", "1"]) == 0
    assert "about 10^1844 genotypes" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["None", "True", "class", "µ", "größe", "a b", "1st"])
def test_names_that_a_formula_cannot_mean(name: str) -> None:
    with pytest.raises(SpaceError, match="a name is a word of letters, digits and _, and no word of formulas"):
        _space(CONV, let={name: 5})


@pytest.mark.parametrize("text", ["= round(8, -1000000000)", "= round(8.5, 10 ** 9)", "= round_to(8, 0.0)"])
def test_no_formula_runs_away(text: str) -> None:
    with pytest.raises(SpaceError, match="formula"):
        _space({"block": "conv", "out_channels": text})


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "\ud800", 10**1001])
def test_scalars_that_no_space_can_hold(value: Any) -> None:
    with pytest.raises(SpaceError, match=r"a number is finite|half a character|is too large"):
        _space(CONV, let={"v": {"choose": [value, 1]}})


def test_values_that_share_lists_are_counted_as_they_expand() -> None:
    values: Any = [1] * 10
    for _ in range(8):
        values = [values] * 10
    with pytest.raises(SpaceError, match="more than 200000 values"):
        nas.SearchSpace.from_dict({"stages": values})


def test_graphs_have_an_end() -> None:
    for block in (
        {"block": "classifier", "hidden": 4, "hidden_layers": 65},
        {"block": "parallel", "join": "add", "branches": {"count": 256, "each": {**CONV, "depth": 300}}},
    ):
        with pytest.raises(NasError, match=r"hidden_layers must be|a block may have 65,536 operations"):
            nas.cost_of(_space(block).decode({}))
    doubled = {"block": "parallel", "depth": 512, "branches": [[], []]}
    with pytest.raises(NasError, match=r"stages\.0\.blocks\.\d+\.\w+: concat: a tensor has from 1 to 2\^40 numbers"):
        nas.cost_of(_space(doubled).decode({}))


@pytest.mark.parametrize("shape", [(), (3,), ("a", 8, 8), (0, 8, 8), (3, 8.0, 8), (3, 4, 4, 4, 4), (3, 2**21, 8)])
def test_inputs_that_are_none(shape: Any) -> None:
    with pytest.raises(SpaceError, match="input_shape must be"):
        _space(CONV).for_data(shape, 10)


@pytest.mark.parametrize("classes", [0, -1, 2.5, True, 10**23])
def test_numbers_of_classes_that_are_none(classes: Any) -> None:
    with pytest.raises(SpaceError, match="num_classes must be"):
        _space(CONV).for_data((3, 8, 8), classes)


def test_arguments_of_the_wrong_kind() -> None:
    space = _space({**CONV, "kernel": {"choose": [3, 5]}})
    with pytest.raises(SpaceError, match="Did you mean 'networks'"):
        space.sample(0, over="network")  # type: ignore[arg-type]  # a slip, on purpose
    with pytest.raises(SpaceError, match="must hold"):
        space.unrank(0.5)  # type: ignore[arg-type]  # no rank, on purpose
    with pytest.raises(SpaceError, match="decisions must be a whole number"):
        space.mutate(space.sample(0), 0, decisions=-1)
    with pytest.raises(NasError, match="unknown fields"):
        nas.Architecture.from_dict({"format": "nas.architecture/1", 1: 2, "a": 3})


def test_ways_to_give_no_reduction() -> None:
    for kind, setting in itertools.product(["residual_bottleneck", "preact_bottleneck"], [0, 1e-300]):
        with pytest.raises(SpaceError, match="reduction must be a number"):
            _space({"block": kind, "out_channels": 8, "reduction": setting})
    with pytest.raises(SpaceError, match=r"out_channels must be .* at most 2\^20, but got 2000000"):
        _space({"block": "conv", "out_channels": 2_000_000})
    assert _space({"block": "conv", "out_channels": 2**20}).size() == 1


def test_command_lines_of_brackets(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert command.main(["reference/mobilenet_v2", "--let", "width=" + "[" * 20_000]) == 2
    assert "not a value of a space file" in capsys.readouterr().err
    with (tmp_path / "sparse.yaml").open("wb") as file:
        file.truncate(3 * 2**30)
    assert command.main([str(tmp_path / "sparse.yaml")]) == 2
    assert "a space file may have 262144 bytes" in capsys.readouterr().err
