"""Families as files and tables."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import pytest

import nas
from nas.scaling.family import family, table_lines, write_family
from nas.scaling.rules import RULES
from nas.scaling.solve import member_at, metric_counter


def test_the_table_says_how_far_off_each_size_is(tmp_path: Path) -> None:
    base = nas.load_space("reference/mobilenet_v2").decode({})
    cost = nas.cost_of(base)
    members = family(base, RULES["compound"], times=[2, 4], measure=metric_counter("macs"))
    write_family(members, cost, tmp_path)
    with (tmp_path / "family.csv").open() as file:
        rows = list(csv.DictReader(file))
    lines = table_lines(members, cost)
    assert lines[0].split()[-2:] == ["off", "by"]
    assert [row["repeats"] for row in rows] == ["nearest", "nearest"]
    for times, row, line in zip((2, 4), rows, lines[1:3], strict=True):
        written = nas.Architecture.from_json((tmp_path / row["file"]).read_text())
        miss = nas.cost_of(written).macs / (times * cost.macs) - 1
        assert float(row["miss"]) == pytest.approx(miss, abs=1e-4)
        assert line.split()[-1] == f"{miss:+.1%}"


def test_what_was_not_solved_for_misses_nothing() -> None:
    base = nas.load_space("reference/mobilenet_v2").decode({})
    lines = table_lines(family(base, RULES["width"], phis=[0, 1], measure=metric_counter("macs")), nas.cost_of(base))
    assert "off by" not in lines[0]


def test_two_networks_with_one_phi_have_two_files(tmp_path: Path) -> None:
    base = nas.load_space("reference/mobilenet_v2").decode({})
    one, other = (member_at(arch, RULES["width"], 0.0) for arch in (base, nas.scale(base, resolution=96)))
    paths = write_family([one, other, replace(one)], nas.cost_of(base), tmp_path)
    assert [nas.Architecture.from_json(path.read_text()) for path in paths] == [one.arch, other.arch, one.arch]
    assert len(set(paths)) == 2
