"""The page of a diagnosis: its table, the lines of its charts, and names that look like markup."""

from __future__ import annotations

import re

import nas
from nas.commands.diagnose import _ROWS
from nas.reports.diagnosis_page import COLUMNS, diagnosis_page
from nas.reports.markup import compact
from nas.training.diagnostics.results import NUMBERS
from tests.reports.pages import read_page, rows
from tests.reports.studies import NASTY_NAME


def test_networks_side_by_side_on_a_page() -> None:
    block = {"block": "conv", "depth": 3, "out_channels": 4}
    space = {"assume": {"channels": 1, "resolution": 8, "num_classes": 10}, "stages": [block]}
    deep = nas.SearchSpace.from_dict({**space, "head": {"block": "classifier"}}).decode({})
    flat = nas.SearchSpace.from_dict({**space, "head": {"block": "classifier", "pool": None}}).decode({})
    found = nas.diagnose({NASTY_NAME: deep, "flat": flat}, "digits", images=12, seeds=2)
    page = read_page(diagnosis_page(found))
    (table,) = page.all("table")
    for row, one in zip(rows(table), found.networks, strict=True):
        numbers = one.numbers()
        assert {name: row[COLUMNS[name]] for name in numbers} == {n: compact(value) for n, value in numbers.items()}
        assert (row["depth"], row["theoretical field"], row["weights"]) == ("4", "7", "fresh")
    assert len(page.all("script")) == 1
    assert page.all("td")[0].text == NASTY_NAME

    norms = found.networks[1].runs[0].gradients
    assert norms is not None
    line = page.all("figure")[0].all("path", class_="run1")[0].attributes["d"] or ""
    heights = [float(y) for _, y in re.findall(r"([\d.]+) ([\d.]+)", line)]
    assert len(heights) == 4
    # Larger norms are higher up, which is a smaller distance from above.
    by_norm = sorted(range(4), key=lambda place: norms.layers[place].gradient_norm)
    assert sorted(range(4), key=lambda place: -heights[place]) == by_norm
    assert len(page.all("img")) == 2


def test_every_number_has_a_column() -> None:
    assert [*COLUMNS] == [*NUMBERS] == [*_ROWS]
