"""How `python -m nas.search` ends: readers that go away, signals, trials that fail alike."""

from __future__ import annotations

import json
import signal
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from tests.run_command import Started

TABLE = [
    "+space=small.yaml",
    "evaluator=table",
    "evaluator.file=table.csv",
    "evaluator.scores={val_accuracy: accuracy}",
    "sampler=random",
    "name=run",
]


def _search(folder: Path, *arguments: str) -> Started:
    return Started("nas.search", *arguments, cwd=folder)


def _trials(folder: Path) -> list[str]:
    lines = (folder / "runs" / "run" / "trials.jsonl").read_text().splitlines()
    return [json.loads(line)["state"] for line in lines]


def test_a_reader_that_goes_away_ends_no_search(folder: Path) -> None:
    process = _search(folder, *TABLE, "search.trials=12", "records.mlflow=false")
    process.stdout.readline()
    process.stdout.close()
    assert not process.stderr.read()
    assert process.wait() == 0
    assert _trials(folder).count("completed") == 12
    assert (folder / "runs" / "run" / "best_architecture.json").exists()


def test_the_end_of_the_terminal_interrupts_a_search(folder: Path) -> None:
    process = _search(folder, *TABLE, "search.trials=900", "records.mlflow=false")
    while "trial" not in process.stdout.readline():
        pass
    process.send_signal(signal.SIGHUP)
    out, _ = process.communicate()
    assert process.poll() == 130
    assert "Ended: interrupted" in out
    assert "resume=runs/run" in out


@pytest.mark.slow
def test_a_second_ctrl_c_leaves_no_run_that_runs(folder: Path, put_store: Callable[[Path], None]) -> None:
    put_store(folder / "runs")
    process = _search(folder, *TABLE, "search.trials=900")
    while not process.stdout.readline().startswith("  trial   60"):
        pass
    with closing(sqlite3.connect(folder / "runs" / "mlflow.db", timeout=60, isolation_level=None)) as database:
        while "RUNNING" not in _statuses(database):
            assert process.poll() is None
            time.sleep(0.02)
        database.execute("BEGIN IMMEDIATE")  # until it ends nobody else writes, so that MLflow is not done too early
        process.send_signal(signal.SIGTERM)
        time.sleep(1)  # two at once are one signal
        process.send_signal(signal.SIGTERM)
        while "writes its records" not in (line := process.stderr.readline()):
            assert line, "it ended without a word to the second"
        database.execute("ROLLBACK")
        process.communicate()
        assert process.poll() == 130
        assert "SCHEDULED" in _statuses(database), "it can be gone on with"
        assert "RUNNING" not in _statuses(database)


def _statuses(database: sqlite3.Connection) -> set[str]:
    """Return the statuses of all runs."""
    return {status for (status,) in database.execute("SELECT status FROM runs")}


@pytest.mark.slow
def test_trials_that_fail_alike_end_a_search_with_1(folder: Path) -> None:
    train = [
        "data=synthetic",
        "data.channels=1",
        "data.samples=100",
        "train.epochs=2000",  # longer than it takes until somebody looks
        "search.trial_minutes=1e-5",
        "workers=1",
    ]
    arguments = ["+space=small.yaml", "name=run", "sampler=random", "records.mlflow=false", "search.trials=30", *train]
    process = _search(folder, *arguments, "search.max_equal_failures=2")
    out, err = process.communicate()
    assert process.poll() == 1, out + err
    assert _trials(folder) == ["failed", "failed"]
    assert "Ended: the last 2 evaluations failed alike" in out
    assert "nas search resume=runs/run" in out
