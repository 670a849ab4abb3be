"""Members of a family have the proportions of their rule, and what is printed of them makes them again."""

from __future__ import annotations

import ast
import csv
import re
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

import nas
from benchmarks.families import faults, sizes, winners
from nas.errors import NasError
from nas.scaling.family import distinct_members, family, note_lines, table_lines, write_family
from nas.scaling.proportions import MAX_DEVIATION, MAX_MISPLACED, deviation
from nas.scaling.rounding import Rounding
from nas.scaling.rules import RULES, Multipliers
from nas.scaling.solve import member_at, metric_counter, solve
from tests.scaling.lawpool import LawPool, folder, run

DIGITS: Mapping[str, Any] = {
    "name": "winner",
    "assume": {"channels": 1, "resolution": 8, "num_classes": 10},
    "stem": {"block": "conv", "out_channels": 16},
    "stages": [
        {"block": "mbconv", "out_channels": 24, "expand_ratio": 1},
        {"block": "fused_mbconv", "out_channels": 40, "expand_ratio": 2, "kernel": 5, "stride": 2},
        {"block": "mbconv", "out_channels": 40, "expand_ratio": 6},
        {"block": "mbconv", "out_channels": 80, "expand_ratio": 2, "kernel": 5, "stride": 2, "depth": 4},
        {"block": "mbconv", "out_channels": 128, "expand_ratio": 2, "kernel": 5, "stride": 2, "depth": 3},
    ],
    "head": [{"block": "conv", "out_channels": 1280, "kernel": 1}, {"block": "classifier"}],
}
"""Much like what a search on the digits ends with: five stages, three of them of one block, and 8x8 pixels."""


def small(values: Mapping[str, Any] = DIGITS) -> nas.Architecture:
    return nas.SearchSpace.from_dict(values).decode({})


@pytest.mark.slow
def test_winners_of_small_searches_keep_their_rules_proportions() -> None:
    # Measured from the architectures by the benchmark's own words; the whole of it is `benchmarks.families`.
    found = [one for name, base in islice(winners(), 3) for one in sizes(name, base)]
    assert faults(found) == []
    assert sum(one.member is not None for one in found) > 0.6 * len(found)


def test_what_one_dimension_does_is_not_called_compound() -> None:
    rule = RULES["compound"]
    assert deviation(Multipliers(1.2, 1.1, 1.15), rule).share == pytest.approx(0, abs=1e-6)
    # What the jump of ceil just above 0 gave at 2 times this base: a block more in every stage, and narrower.
    assert not deviation(Multipliers(2.0, 0.906, 1.0), rule).on_rule
    # Near to a small phi in each dimension, but all of it in one.
    alone = deviation(Multipliers(1.0, 1.0, 1.125), rule)
    assert alone.share < MAX_DEVIATION
    assert alone.misplaced == pytest.approx(1 - 0.43, abs=0.01)
    assert alone.misplaced > MAX_MISPLACED
    # Equation 3 of Tan & Le 2019 at 1.2^2, 1.1^2, 1.15^2, with width 5 % off: half of it at the best phi or less.
    assert 0 < deviation(Multipliers(1.44, 1.21 * 1.05, 1.3225), rule).share <= 0.05
    for name in ("depth", "width", "resolution"):
        assert deviation(Multipliers(**{name: 1.7}), RULES[name]).share == pytest.approx(0, abs=1e-6)
        assert deviation(Multipliers(), RULES[name]).on_rule


def test_a_member_is_what_its_multipliers_and_rounding_make() -> None:
    base = small()
    for times in (4, 8, 32):
        one = solve(base, RULES["compound"], times * nas.cost_of(base).macs).member
        blocks = [sum(len(stage.blocks) for stage in arch.stages) for arch in (one.arch, base)]
        assert one.real.depth == blocks[0] / blocks[1]
        assert one.real.resolution == one.arch.input_shape[1] / 8
        assert one.rounding == Rounding(repeats="nearest")


def test_what_is_printed_makes_the_same_network_again(tmp_path: Path) -> None:
    base = small()
    members = family(base, RULES["compound"], times=[1, 4, 8, 16, 32], measure=metric_counter("macs"), tolerance=0.05)
    members += family(base, RULES["depth"], phis=[0.3, 1.0000001], measure=metric_counter("macs"))
    assert any(one.made_by for one in members)
    assert any(not one.made_by for one in members)
    write_family(members, nas.cost_of(base), tmp_path)
    with (tmp_path / "family.csv").open() as file:
        rows = list(csv.DictReader(file))
    for one, row in zip(members, rows, strict=True):
        if row["made_by"]:
            assert _called(row["made_by"], base) == one.arch
            assert any(row["made_by"] in line for line in table_lines(members, nas.cost_of(base)))
        else:
            again = RULES[row["rule"]].apply(
                base, float(row["phi"]), Rounding(repeats="nearest" if row["repeats"] == "nearest" else "up")
            )
            assert again == one.arch
        by = Multipliers(*(float(row[name]) for name in ("depth", "width", "resolution")))
        assert by == one.multipliers
    said = [
        re.fullmatch(r"compound again: rounding.repeats=nearest phi=\[(.*)\]", line) for line in note_lines(members)
    ]
    (phis,) = (found[1].split(",") for found in said if found)
    wanted = [one.arch for one in members if one.rule == "compound" and not one.made_by]
    assert [RULES["compound"].apply(base, float(phi), Rounding(repeats="nearest")) for phi in phis] == wanted
    assert (tmp_path / "depth_1.0000001.json").exists()
    assert members[-1].arch != RULES["depth"].apply(base, 1.0)  # which six digits would have been


def _called(text: str, base: nas.Architecture) -> nas.Architecture:
    """What a printed call gives, read as text."""
    (call,) = ast.parse(text).body
    assert isinstance(call, ast.Expr)
    assert isinstance(call.value, ast.Call)
    assert ast.unparse(call.value.func) == "nas.scale"
    return nas.scale(base, **{str(one.arg): ast.literal_eval(one.value) for one in call.value.keywords})


def test_networks_that_are_one_are_said_to_be() -> None:
    base = small()
    nearest = Rounding(repeats="nearest")
    members = [member_at(base, RULES[name], phi, nearest) for name in ("compound", "depth") for phi in (0, 0.01, 1)]
    (line,) = (line for line in note_lines(members) if line.startswith("One network"))
    assert line == "One network: compound, phi 0 and compound, phi 0.01 and depth, phi 0 and depth, phi 0.01"
    assert [one.phi for one in distinct_members(members[:3])] == [0, 1]


def test_a_refusal_names_what_would_do() -> None:
    base = small()
    macs = nas.cost_of(base).macs
    with pytest.raises(NasError, match=r"in the proportions of rule 'compound'.* tolerance=") as caught:
        solve(base, RULES["compound"], 2 * macs)
    tolerance = re.search(r"tolerance=(\S+) takes the nearest", str(caught.value))
    assert tolerance
    found = solve(base, RULES["compound"], 2 * macs, tolerance=float(tolerance[1]))
    assert 0.05 < abs(found.member.miss or 0) <= float(tolerance[1])
    with pytest.raises(NasError, match=r"rounding\.divisor=\d has one") as caught:
        solve(base, RULES["width"], 1.1 * macs, rounding=Rounding(64), tolerance=0.02)
    divisor = re.search(r"rounding\.divisor=(\d)", str(caught.value))
    assert divisor
    assert solve(base, RULES["width"], 1.1 * macs, rounding=Rounding(int(divisor[1])), tolerance=0.02)
    unet = nas.load_space("reference/unet").decode({})
    with pytest.raises(NasError, match=r"rounding\.resolution=\d+ has one") as caught:
        solve(unet, RULES["resolution"], 2 * nas.cost_of(unet).macs)
    step = re.search(r"rounding\.resolution=(\d+)", str(caught.value))
    assert step
    assert solve(unet, RULES["resolution"], 2 * nas.cost_of(unet).macs, rounding=Rounding(resolution=int(step[1])))


def test_a_family_goes_on_without_a_size_that_it_has_not(base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base.write_text(small().to_json())
    assert run(base, times=[1, 2, 4, 8, 16], forecast=32, training=False) == 0
    text = capsys.readouterr().out
    assert "left out: compound at 2 times the base: no network within 5%" in text
    rows = list(csv.DictReader((folder(base) / "family.csv").open()))
    assert [round(float(row["macs_ratio"])) for row in rows] == [1, 4, 8, 16, 33]
    assert not any(row["off_rule"] for row in rows)


def test_rules_are_compared_without_one_that_does_not_reach(base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base.write_text(small().to_json())
    assert run(base, mode="compare", rules=["width", "resolution", "compound"], times=[1, 2, 4]) == 0
    text = capsys.readouterr().out
    assert "left out: resolution at 2 times the base" in text
    assert re.search(r"\| 2 x \| no such size \| no such size \|", text), text
    assert re.search(r"\| 4 x \| \S+ \(.*\) \| \S+ \(.*\) \|", text), text
    assert re.search(r"\| all \| \S+ \(.*\): .* \| \S+ \(.*\): .* \|", text), text
    assert "left out: resolution at 2 times the base" in (folder(base) / "report.md").read_text()
    assert run(base, mode="compare", rules=["depth", "resolution"], times=[1.3], tolerance=1e-4, name="none") == 2
    text = capsys.readouterr().err
    assert "depth at 1.3 times" in text
    assert "resolution at 1.3 times" in text


def test_what_is_off_its_rule_is_trained_and_marked_but_no_law_is_of_it(
    base: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one_block = {**DIGITS, "stages": [{**stage, "depth": 1} for stage in DIGITS["stages"]]}
    base.write_text(small(one_block).to_json())
    settings = {"phi": [0, 1, 2, 6, 10, 14], "seeds": 2}
    assert run(base, **settings) == 0
    text = capsys.readouterr().out
    rows = list(csv.DictReader((folder(base) / "family.csv").open()))
    off = [row["phi"] for row in rows if row["off_rule"]]
    assert off[:2] == ["1", "2"]  # two blocks for one, where 1.2 and 1.44 are asked
    assert "compound, phi 1 is off its rule, so that no law is of it: depth, width and resolution 2, " in text
    assert "| compound, off its rule | 1 |" in text
    kept = len(rows) - len(off)
    assert (f"{kept} sizes, but" in text) == (kept < 4)
    assert len(LawPool.tasks) == 2 * len(rows)


def test_a_member_against_its_multipliers_is_off_the_rule() -> None:
    """A kept stem beside fewer channels: the shortcut, which was the identity, becomes a convolution of its own."""
    block = {"block": "shuffle_unit", "out_channels": 64, "groups": 1, "kernel": 3}
    space = {"name": "kept", "stem": {"block": "conv", "out_channels": 64, "kernel": 1}, "stages": [block]}
    base = nas.SearchSpace.from_dict({**space, "head": {"block": "classifier"}}).for_data((3, 8, 8), 10).decode({})
    found = member_at(base, RULES["width"], -0.35, Rounding(stem="keep"))
    assert found.cost.params > nas.cost_of(base).params
    assert "more than the base's" in found.off_rule
    assert not found.on_rule
    smaller = member_at(base, RULES["width"], -3, Rounding(stem="keep"))
    assert smaller.cost.params < nas.cost_of(base).params
    assert "more than the base's" not in smaller.off_rule
