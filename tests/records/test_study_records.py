"""Records of trainings on a server that is away for a while, or whose answers are lost."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from nas.evaluation import Evaluation
from nas.records import retry, study_records
from nas.records.store import Store, open_client, open_store
from nas.records.study_run import StudyRun
from nas.records.training_records import TrainingRecords

SERVER = "http://there:5000"


@dataclass
class Line:
    """The line to a server, which may be cut."""

    cut: bool = False
    lose: int | None = None
    """Number of the call, from 0, whose answer is lost, though it is done."""
    asked: list[str] = field(default_factory=list)
    """Every call."""


class _Client:
    """A client at the end of a line."""

    def __init__(self, client: MlflowClient, line: Line) -> None:
        self._client, self._line = client, line

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._client, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            self._line.asked.append(name)
            if self._line.cut:
                raise MlflowException("connection refused")
            answer = method(*args, **kwargs)
            if len(self._line.asked) - 1 == self._line.lose:
                raise MlflowException("connection reset")
            return answer

        return call


@pytest.fixture
def line(monkeypatch: pytest.MonkeyPatch) -> Line:
    """The line to a server that keeps its runs in the folder of records; asked again at once."""
    made = Line()

    def opened(root: Path, server: str | None = None) -> Store:
        store = open_store(root)
        return replace(store, client=_Client(store.client, made), batches=None, server=server)  # type: ignore[arg-type]

    monkeypatch.setattr(study_records, "open_store", opened)
    monkeypatch.setattr(
        Store, "is_away", lambda store, error, of_record=False: made.cut or "connection reset" in str(error)
    )
    monkeypatch.setattr(Store, "is_there", lambda store: not made.cut)
    monkeypatch.setattr(retry, "answers", lambda server: not made.cut)
    monkeypatch.setattr(retry, "_FIRST_SECONDS", 0.0)
    return made


def _records(root: Path, study: str = "s") -> TrainingRecords:
    return TrainingRecords(root, root / study, study, study, {"train": {"epochs": 2}}, server=SERVER, again="nas go")


def _evaluation(score: float) -> Evaluation:
    history = ({"epoch": 0, "val_accuracy": score - 0.1}, {"epoch": 1, "val_accuracy": score})
    return Evaluation(scores={"val_accuracy": score}, history=history)


def _written(root: Path) -> dict[str, dict[str, Any]]:
    """Return what the database has: by name of the run its parameters, and its curves as points."""
    client = open_client(root / "mlflow.db")
    experiment = client.get_experiment_by_name("training")
    if experiment is None:
        return {}
    found: dict[str, dict[str, Any]] = {}
    for run in client.search_runs([experiment.experiment_id]):
        name = str(run.info.run_name)
        assert name not in found, "no run is there twice"
        curves = {
            key: [(point.step, point.value) for point in client.get_metric_history(run.info.run_id, key)]
            for key in run.data.metrics
        }
        files = sorted(file.path for file in client.list_artifacts(run.info.run_id))
        found[name] = {"params": run.data.params, "curves": curves, "status": run.info.status, "files": files}
    return found


EXPECTED: dict[str, dict[str, Any]] = {
    "s": {
        "params": {"train.epochs": "2"},
        "curves": {"val_accuracy": [(0, 0.8)]},
        "status": "FINISHED",
        "files": ["curve.csv"],
    },
    **{
        f"seed {seed}": {
            "params": {"seed": str(seed)},
            "curves": {
                "val_accuracy": [(0, score)],
                "seconds": [(0, 0.0)],
                "epoch/val_accuracy": [(0, score - 0.1), (1, score)],
            },
            "status": "FINISHED",
            "files": [],
        }
        for seed, score in ((0, 0.75), (1, 0.85))
    },
}


def _train(records: TrainingRecords, root: Path, between: Callable[[], None] = lambda: None) -> None:
    """Write two trainings and what came of them."""
    records.write(0, _evaluation(0.75))
    between()
    records.write(1, _evaluation(0.85))
    (root / "curve.csv").write_text("epoch\n")
    records.end({"val_accuracy": 0.8}, [root / "curve.csv"])


def test_a_server_that_is_away_at_first_gets_everything_later(root: Path, line: Line) -> None:
    line.cut = True
    records = _records(root)
    _train(records, root, lambda: setattr(line, "cut", False))
    assert records.trouble == ""
    assert _written(root) == EXPECTED


def test_a_server_that_is_away_between_two_trainings_gets_everything_at_the_end(
    root: Path, line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    records = _records(root)
    records.write(0, _evaluation(0.75))
    line.cut = True
    back = SimpleNamespace(monotonic=lambda: 0.0, sleep=lambda seconds: setattr(line, "cut", False))
    monkeypatch.setattr(retry, "time", back)
    _train(records, root)  # the first one again does nothing
    assert records.trouble == ""
    assert _written(root) == EXPECTED


def test_the_loss_of_any_answer_loses_and_doubles_nothing(root: Path, line: Line) -> None:
    _train(_records(root), root)
    assert _written(root) == EXPECTED
    line.asked = []
    _train(_records(root, "nothing lost"), root)  # into an experiment that is there
    number = len(line.asked)
    assert number > 10
    for lost in range(number):
        line.lose, line.asked = lost, []
        study = f"lost {lost}"
        _train(_records(root, study), root)
        assert len(line.asked) > number, "it was asked again"
    client = open_client(root / "mlflow.db")
    experiment = client.get_experiment_by_name("training")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id], max_results=1000)
    assert len(runs) == 3 * (number + 2)
    for run in runs:
        assert run.info.status == "FINISHED"
        expected = EXPECTED[run.info.run_name if str(run.info.run_name).startswith("seed") else "s"]
        assert run.data.params == expected["params"]
        for name, points in expected["curves"].items():
            history = [(point.step, point.value) for point in client.get_metric_history(run.info.run_id, name)]
            assert sorted(set(history)) == points
        assert [file.path for file in client.list_artifacts(run.info.run_id)] == expected["files"]


def test_a_training_does_not_wait_for_a_server_that_is_away(
    root: Path, line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retry, "_FIRST_SECONDS", 1000.0)
    line.cut = True
    records = _records(root)
    asked = len(line.asked)
    assert asked > 0
    for seed in range(5):
        records.write(seed, _evaluation(0.5))
    assert len(line.asked) == asked
    slept = _slept(monkeypatch)
    records.interrupted()  # who interrupts a training is not kept either
    assert len(line.asked) == asked  # it is asked whether it is there, which takes less time than to wait for an answer
    assert slept == []
    assert records.trouble == f"MLflow lacks what came last: {SERVER} does not answer"


def test_who_interrupts_a_training_is_not_kept_by_a_server_that_does_not_answer(
    root: Path, line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    records = _records(root)
    records.write(0, _evaluation(0.75))
    monkeypatch.setattr(study_records, "INTERRUPTED_SECONDS", 0.1)
    answer = threading.Event()
    monkeypatch.setattr(StudyRun, "end", lambda *_: answer.wait(60))
    records.interrupted()
    assert not answer.is_set()
    assert records.trouble == f"MLflow lacks what came last: {SERVER} does not answer"
    answer.set()


def test_a_server_that_stays_away_is_asked_for_half_a_minute_and_named(
    root: Path, line: Line, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(retry, "_FIRST_SECONDS", 2.0)
    line.cut = True
    records = _records(root)
    slept = _slept(monkeypatch)
    _train(records, root)
    assert sum(slept) == 30
    assert records.trouble == f"MLflow lacks what came last: {SERVER} does not answer"
    assert records.browse == f"{records.trouble}; the folder has all of it, and nas go writes what is missing"
    assert [one.message for one in caplog.records] == [f"{SERVER} is away; it is asked again for 30 s"]
    assert _written(root) == {}


def _slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Have waiting take no time; gives the seconds of each."""
    seconds, clock = list[float](), [0.0]

    def sleep(duration: float) -> None:
        seconds.append(duration)
        clock[0] += duration

    monkeypatch.setattr(retry, "time", SimpleNamespace(monotonic=lambda: clock[0], sleep=sleep))
    return seconds


def test_what_is_wrong_with_one_piece_does_not_keep_the_others(root: Path, line: Line) -> None:
    records = _records(root)
    records.writing(lambda study: study.set_tag("", "a tag must have a name"))
    _train(records, root)
    assert "MLflow was not written: MlflowException" in records.trouble
    assert _written(root) == EXPECTED
