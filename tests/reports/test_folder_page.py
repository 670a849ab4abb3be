"""Reports of comparisons and scaling studies from their folders."""

from __future__ import annotations

import base64
from pathlib import Path

import numpy as np
import pytest

from nas.errors import ConfigError
from nas.reports.text_blocks import blocks
from nas.reports.write import write_report
from tests.reports.pages import read_page, rows
from tests.reports.studies import NASTY


def test_text_becomes_headings_tables_and_paragraphs() -> None:
    table_text = "| a | b |\n| --- | --: |\n| x \\| y | 1 |\n"
    text = f"# Title\n\nfirst\nsecond\n\nthird\n\n{table_text}\n![c](chart.svg)\n![c](../up.svg)\n"
    title, first, third, table, picture, path = blocks(text)
    assert (title.heading, first.lines, third.lines) == ("Title", ("first", "second"), ("third",))
    assert table.table is not None
    assert [(head.name, head.class_) for head in table.table.heads] == [("a", "text"), ("b", "")]
    assert [cell.text for cell in table.table.rows[0].cells] == ["x | y", "1"]
    assert picture.picture == "chart.svg"
    assert path.lines == ("![c](../up.svg)",)


def test_lists_and_bold_lines_are_that_on_the_page(tmp_path: Path) -> None:
    long = "; ".join(f"network {number}" for number in range(2000))
    text = f"head\n\n**Recommended: the *first*.**\n\n- one\n- <b>two</b>\n\nnot **all** of it\n\n{long}\n"
    _, bold, items, partly, whole = blocks(text)
    assert (bold.lines, bold.is_bold, bold.is_list) == (("Recommended: the *first*.",), True, False)
    assert (items.lines, items.is_list, items.is_bold) == (("one", "<b>two</b>"), True, False)
    assert (partly.lines, partly.is_bold, partly.is_list) == (("not **all** of it",), False, False)
    assert whole.lines == (long,)
    (tmp_path / "report.md").write_text(text)
    page = read_page(write_report([tmp_path])[0].read_text())
    assert [item.text for item in page.all("li")] == ["one", "<b>two</b>"]
    assert [item.text for item in page.all("b")] == ["Recommended: the *first*."]


def test_a_comparison_is_drawn_from_its_curves(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    curves = {name: np.maximum.accumulate(rng.random((5, 8)), axis=1) for name in ("default", "random")}
    lines = ["strategy,seed,evaluation,seconds,val_accuracy,regret"]
    for name, values in curves.items():
        for seed, row in enumerate(values):
            lines += [f"{name},{seed},{place},1,{value:.8g}," for place, value in enumerate(row, start=1)]
    (tmp_path / "curves.csv").write_text("\n".join(lines) + "\n")
    (tmp_path / "report.md").write_text("| strategy | after 8 |\n| --- | --: |\n| default | 0.9 |\n")
    (file,) = write_report([tmp_path])
    page = read_page(file.read_text())
    figure = page.all("figure")[0]
    middles = {name: np.median(values, axis=0) for name, values in curves.items()}
    for place, name in enumerate(curves):
        path = figure.all("path", class_=f"run run{place}")[0].attributes["d"] or ""
        heights = np.array([float(point.split(" ")[1]) for point in path[1:].split("L")])
        assert len(heights) == 8
        slope, start = np.polyfit(middles[name], heights, 1)
        assert slope < 0
        assert np.abs(slope * middles[name] + start - heights).max() < 0.2
    assert rows(page.all("table")[0]) == [{"strategy": "default", "after 8": "0.9"}]


def test_a_scaling_study_has_its_trainings_and_its_chart(tmp_path: Path) -> None:
    rows_of = [("compound", 0, 1e5, 0.3), ("compound", 1, 2e6, 0.2), ("width", 1, 2e6, 0.25), ("width", 1, 2e6, "")]
    text = "rule,phi,macs,params,loss\n" + "".join(f"{r},{p},{m},100,{loss}\n" for r, p, m, loss in rows_of)
    (tmp_path / "runs.csv").write_text(text)
    (tmp_path / "scaling.svg").write_text("<svg><script>window.hacked=3</script></svg>")
    (tmp_path / "report.md").write_text("# family\n\n![scaling](scaling.svg)\n\na law\n")
    (tmp_path / "settings.json").write_text('{"mode": "sizes"}')
    page = read_page(write_report([tmp_path])[0].read_text())
    assert page.all("h1")[0].text == "family"
    figure = page.all("figure")[0]
    assert len(figure.all("path", class_="run-dot")) == 3
    (image,) = page.all("img")
    held = base64.b64decode((image.attributes["src"] or "").removeprefix("data:image/svg+xml;base64,"))
    assert held == (tmp_path / "scaling.svg").read_bytes()
    assert len(page.all("script")) == 1


def test_texts_of_a_folder_are_text(tmp_path: Path) -> None:
    (tmp_path / "report.md").write_text(f"# {NASTY}\n\n{NASTY}\n\n| {NASTY} |\n| --- |\n| {NASTY} |\n")
    (tmp_path / "curves.csv").write_text(
        f'strategy,seed,evaluation,seconds,m,regret\n"{NASTY.replace(chr(34), "")}",0,1,1,1,\n'
    )
    page = read_page(write_report([tmp_path])[0].read_text())
    assert len(page.all("script")) == 1
    assert page.all("img") == []
    assert page.text.count("window.hacked=1") >= 5


def test_a_folder_of_nothing_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"holds no study\.json of a search, and no report\.md .*nas evaluate /"):
        write_report([tmp_path])
    with pytest.raises(ConfigError, match=r"no study in .*nowhere \(there is no such folder\)"):
        write_report([tmp_path / "nowhere"])
