"""Tabular benchmarks: what is read, what is refused, what an evaluation gives."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import nas
from nas.errors import ConfigError, NasError
from nas.evaluators.table.evaluator import TableEvaluator
from nas.evaluators.table.settings import TableSettings
from nas.evaluators.table.table import read_table
from nas.workers.simulated import SimulatedPool
from tests.run_command import run

SPACE = nas.SearchSpace.from_dict(
    {
        "name": "four",
        "assume": {"channels": 1, "resolution": 8, "num_classes": 2},
        "stages": [{"block": "conv", "out_channels": {"choose": [2, 4]}, "kernel": {"choose": [1, 3]}}],
        "head": {"block": "classifier"},
    }
)
PATHS = "stages.0.out_channels,stages.0.kernel"
ROWS = f"{PATHS},acc,again,time\n2,1,10,20,5\n2,3,30,30,6\n4,1,40,60,7\n4,3,70,70,8\n"
BOTH: dict[str, Any] = {"scores": {"val_accuracy": ["acc", "again"]}, "scale": 0.01, "seconds": "time"}


def _read(tmp_path: Path, text: str, **settings: Any) -> Any:
    file = tmp_path / "table.csv"
    file.write_text(text)
    return read_table(SPACE, TableSettings(file=str(file), **(settings or BOTH)))


def _arch(channels: int, kernel: int) -> nas.Architecture:
    return SPACE.decode({"stages.0.out_channels": channels, "stages.0.kernel": kernel})


def test_a_table_with_a_column_a_decision(tmp_path: Path) -> None:
    table = _read(tmp_path, ROWS)
    assert len(table) == 4
    assert table.true(_arch(4, 1), "val_accuracy") == pytest.approx(0.5)
    assert table.entry(_arch(2, 3)).seconds == 6.0
    evaluator = TableEvaluator(table)
    drawn = {evaluator(_arch(2, 1), nas.Budget(), seed).scores["val_accuracy"] for seed in range(20)}
    assert sorted(drawn) == pytest.approx([0.1, 0.2])
    assert evaluator(_arch(2, 1), nas.Budget(), 3) == evaluator(_arch(2, 1), nas.Budget(), 3)
    assert TableEvaluator(table, noise=False)(_arch(2, 1), nas.Budget(), 0).scores["val_accuracy"] == pytest.approx(
        0.15
    )


def test_a_table_with_a_digit_a_decision(tmp_path: Path) -> None:
    table = _read(tmp_path, "code,acc\n01,5\n10,6\n", genotype="code", scores={"val_accuracy": "acc"})
    assert table.true(_arch(2, 3), "val_accuracy") == 5.0
    assert table.true(_arch(4, 1), "val_accuracy") == 6.0
    with pytest.raises(NasError, match="is not in it"):
        table.entry(_arch(4, 3))


def test_curves_and_going_on(tmp_path: Path) -> None:
    rows = f"{PATHS},a@1,a@3,a@9,time\n2,1,1,2,3,90\n4,1,2,3,4,90\n"
    table = _read(tmp_path, rows, scores={"val_accuracy": "a@{epoch}"}, seconds="time")
    assert table.epochs == 9
    evaluator = TableEvaluator(table)
    mark = str(tmp_path / "mark")
    budget = nas.Budget(epochs=3, checkpoint=mark)
    first = evaluator(_arch(2, 1), budget, 0)
    assert (first.scores["val_accuracy"], first.seconds["evaluation"]) == (2.0, 30.0)
    # In another process too.
    second = TableEvaluator(table)(_arch(2, 1), nas.Budget(epochs=9, checkpoint=mark), 0)
    assert (second.scores["val_accuracy"], second.seconds["evaluation"]) == (3.0, 60.0)
    study = nas.run_search(
        SPACE, pool=SimulatedPool(evaluator), trials=2, pruner="asha", budget=nas.Budget(epochs=9), sampler="grid"
    )
    assert study.trials[-1].elapsed > 0


def test_the_clock_of_workers_that_are_simulated(tmp_path: Path) -> None:
    """Four networks of 5, 6, 7 and 8 s: 26 s for one worker, and for two never more than half and one of them."""
    table = _read(tmp_path, ROWS)
    ends = []
    for workers in (1, 2):
        pool = SimulatedPool(TableEvaluator(table), workers)
        study = nas.run_search(SPACE, pool=pool, trials=4, sampler="grid", seed=0)
        assert study.counts()["completed"] == 4
        ends.append(max(trial.elapsed for trial in study.trials))
    assert ends[0] == 26.0
    assert 13.0 <= ends[1] <= 15.0


@pytest.mark.parametrize(
    ("text", "settings", "message"),
    [
        (ROWS, {"scores": {"val_accuracy": "akk"}}, "no column 'akk'. Known: acc"),
        (ROWS, {"scores": {}}, "no column 'val_accuracy'"),
        (ROWS, {"scores": {"val_accuracy": "acc"}, "genotype": "time"}, "csv:2: .*must be 2 digits"),
        (ROWS, {"scores": {"val_accuracy": "acc"}, "genotype": "again"}, "csv:2: .*has options 0 to 1, but got 2"),
        (ROWS.replace("70,70", "x,70"), BOTH, "csv:5: acc must be a number"),
        (ROWS.replace("70,70", "nan,70"), BOTH, "must be a finite number"),
        (ROWS.replace("4,3,", "5,3,"), BOTH, "csv:5: not a network of four: .*unknown option '5'"),
        (ROWS.replace("4,3,", "4,,"), BOTH, "is missing"),
        (f"{PATHS},acc,again,time\n", BOTH, "has no rows"),
        (ROWS, {"scores": {"val_accuracy": "acc@{epoch}"}}, "no column is named"),
        (ROWS, {"scores": {"val_accuracy": 5}}, "must be the name of a column, or of several in a list, but got 5"),
        (ROWS, {"scores": {"val_accuracy": []}}, "must be the name of a column"),
        (ROWS.replace("4,3,", "4,1,"), BOTH, "lines 4 and 5 are the same genotype"),
        (ROWS.replace("70,70,8", "70,70,-8"), BOTH, "csv:5: time must be >= 0"),
        ("acc,code\n5\n", {"scores": {"val_accuracy": "acc"}, "genotype": "code"}, "must be 2 digits"),
    ],
)
def test_what_is_wrong_with_a_table(tmp_path: Path, text: str, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        _read(tmp_path, text, **settings)


def test_no_such_file() -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        read_table(SPACE, TableSettings(file="nowhere.csv", scores={"val_accuracy": "acc"}))


def test_what_a_spreadsheet_writes_before_the_header(tmp_path: Path) -> None:
    table = _read(tmp_path, "\ufeff" + ROWS)
    assert table.true(_arch(4, 1), "val_accuracy") == pytest.approx(0.5)


def test_a_fingerprint_tells_tables_apart(tmp_path: Path) -> None:
    prints = [_read(tmp_path, text).fingerprint for text in (ROWS, ROWS, ROWS.replace("70,70", "70,71"))]
    assert prints[0] == prints[1] != prints[2]


def test_a_search_on_curves_goes_to_their_end(tmp_path: Path) -> None:
    """Whatever the epochs of training are, which are 12."""
    space, table = tmp_path / "four.yaml", tmp_path / "table.csv"
    space.write_text(json.dumps(SPACE.to_dict()))
    table.write_text(f"{PATHS},a@20,a@50\n" + "".join(f"{c},{k},{c},{10 * c + k}\n" for c in (2, 4) for k in (1, 3)))
    command = [
        "nas.search", f"+space={space}", "evaluator=table", f"evaluator.file={table}",
        "evaluator.scores={val_accuracy: 'a@{epoch}'}", "search.trials=4", "workers=1", "records.mlflow=false",
        f"records.dir={tmp_path}", "name=run",
    ]  # fmt: skip
    done = run(*command)
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in (tmp_path / "run" / "trials.jsonl").read_text().splitlines()]
    assert sorted(line["scores"]["val_accuracy"] for line in lines) == [21, 23, 41, 43]
    table.write_text(table.read_text().replace("43", "44"))
    done = run("nas.search", f"resume={tmp_path / 'run'}")
    assert (done.returncode, "the data are not those of" in done.stderr) == (2, True)
