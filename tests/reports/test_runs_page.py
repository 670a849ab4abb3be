"""Several searches side by side."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import nas
from nas.errors import ConfigError
from nas.pareto import hypervolume
from nas.reports.write import write_report
from nas.search.trial import State
from tests.reports.pages import read_page, rows
from tests.reports.studies import searched


def test_searches_stand_in_one_table_with_a_shared_box(tmp_path: Path) -> None:
    for name, seed in (("one", 1), ("two<b>", 2)):
        searched(tmp_path / name.replace("<b>", ""), seed=seed)
    (tmp_path / "two").rename(tmp_path / "two<b>")
    folders = [tmp_path / "one", tmp_path / "two<b>"]
    (file,) = write_report(folders, tmp_path / "both.html")
    page = read_page(file.read_text())
    table = rows(page.all("table")[0])
    studies = [nas.load_study(folder) for folder in folders]
    assert [row["run"] for row in table] == ["one", "two<b>"]
    for row, study in zip(table, studies, strict=True):
        assert float(row["best val_accuracy"]) == pytest.approx(study.judged(study.best(1)[0]), abs=5e-5)
    points = [
        np.array([(t.scores["val_accuracy"], -t.cost.macs) for t in s.trials if t.state is State.COMPLETED and t.cost])
        for s in studies
    ]
    every = np.concatenate(points)
    shares = [hypervolume(one, every.min(axis=0)) / np.prod(np.ptp(every, axis=0)) for one in points]
    assert [row["front, macs"] for row in table] == [f"{100 * share:.0f} %" for share in shares]
    lines = page.all("figure")[0].all("path", class_="run run")
    assert {one.attributes["class"] for one in lines} == {"run run0", "run run1"}


def test_searches_for_other_things_are_not_compared(tmp_path: Path) -> None:
    searched(tmp_path / "a", trials=2)
    searched(tmp_path / "b", trials=2, objective="score", direction="minimize", evaluator=lambda *_: {"score": 1.0})
    with pytest.raises(ConfigError, match=r"same first objective, but .* maximize val_accuracy, and .* minimize score"):
        write_report([tmp_path / "a", tmp_path / "b"], tmp_path / "x.html")


def test_a_run_without_a_result_has_empty_cells(tmp_path: Path) -> None:
    searched(tmp_path / "a", trials=3)
    searched(tmp_path / "b", trials=2, constraints={"params": 1}, max_rejections=5)
    (file,) = write_report([tmp_path / "a", tmp_path / "b"], tmp_path / "x.html")
    assert rows(read_page(file.read_text()).all("table")[0])[1]["best val_accuracy"] == ""
