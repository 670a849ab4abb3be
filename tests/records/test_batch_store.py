"""Many trials are written together, and none stops the records of another."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException
from sqlalchemy.engine import Engine

import nas
from nas.evaluation import Evaluation
from nas.records import tracker as tracker_module
from nas.records.batch import BatchStore
from nas.records.store import database_uri, open_client
from nas.records.tracker import MlflowTracker
from nas.records.values import Record, mlflow_name
from nas.search.study import Study

SPACE = {
    "name": "tiny",
    "assume": {"channels": 1, "resolution": 8, "num_classes": 2},
    "stages": [{"block": "conv", "out_channels": {"range": [1, 40]}, "kernel": {"choose": [1, 3]}}],
    "head": {"block": "classifier"},
}


def _study(trials: int, evaluate: Any = lambda *_: 0.5, **settings: Any) -> Study:
    return nas.run_search(nas.SearchSpace.from_dict(SPACE), evaluate, trials=trials, sampler="random", **settings)


def _write(study: Study, root: Path) -> MlflowTracker:
    tracker = MlflowTracker(root)
    tracker.begin(study)
    tracker.end(study)
    return tracker


def _children(tracker: MlflowTracker) -> dict[int, Run]:
    client = MlflowClient(tracking_uri=tracker.uri)
    experiment = client.get_experiment_by_name("tiny")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id], "tags.`nas.trial` != 'study'")
    found = {int(run.data.tags["nas.trial"]): run for run in runs}
    assert len(found) == len(runs)
    return found


def test_a_score_of_any_name_is_recorded(root: Path) -> None:
    scores = {"val_accuracy": 0.5, "acc@5": 0.75, "../x": 0.25, "half \ud800": 0.125}
    tracker = _write(_study(2, lambda *_: scores), root)
    assert tracker.trouble == ""
    for run in _children(tracker).values():
        found = {name: run.data.metrics[mlflow_name(name)] for name in scores}
        assert found == scores
        assert run.data.tags[f"name.{mlflow_name('acc@5')}"] == "acc@5"


def test_seconds_that_are_no_number_and_rows_without_an_epoch(root: Path) -> None:
    def evaluate(*_: object) -> Evaluation:
        return Evaluation(
            {"val_accuracy": 0.5}, ({"loss": 2.0}, {"loss": 1.0}), {"evaluation": math.nan, "io": math.inf}
        )

    tracker = _write(_study(2, evaluate), root)
    assert tracker.trouble == ""
    for run in _children(tracker).values():
        assert run.info.status == "FINISHED"
        assert run.data.tags["left_out"] == "seconds/evaluation is nan; seconds/io is inf"
        history = MlflowClient(tracking_uri=tracker.uri).get_metric_history(run.info.run_id, "epoch/loss")
        assert [(one.step, one.value) for one in history] == [(1, 2.0), (2, 1.0)]


def test_an_objective_of_any_name_orders_the_page(root: Path) -> None:
    study = _study(
        3, lambda arch, *_: {"acc@5": nas.cost_of(arch).params / 1e4}, objective="acc@5", direction="maximize"
    )
    tracker = _write(study, root)
    assert tracker.trouble == ""
    (parent,) = [r for r in _all(tracker) if r.data.tags["nas.trial"] == "study"]
    assert parent.data.metrics[mlflow_name("best_acc@5")] == study.best(1)[0].scores["acc@5"]
    assert parent.data.params["objective"] == "acc@5"


def _all(tracker: MlflowTracker) -> list[Run]:
    client = MlflowClient(tracking_uri=tracker.uri)
    experiment = client.get_experiment_by_name("tiny")
    assert experiment is not None
    return list(client.search_runs([experiment.experiment_id]))


def test_one_trial_that_cannot_be_written_stops_no_other(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The database refuses one of the trials, whatever it holds; resuming writes it when that is over."""
    study = _study(12)

    def refuse(real: Any) -> Any:
        def log_batch(self: object, run_id: str, *arguments: Any, **named: Any) -> Any:
            metrics = named.get("metrics", arguments[0] if arguments else ())
            if any(one.key == "seconds/poison" for one in metrics):
                raise MlflowException("no such value")
            return real(self, run_id, *arguments, **named)

        return log_batch

    study.trials[4] = replace(study.trials[4], seconds={"evaluation": 1.0, "poison": 1.0})
    with monkeypatch.context() as patch:
        patch.setattr(BatchStore, "log_batch", refuse(BatchStore.log_batch))
        patch.setattr(MlflowClient, "log_batch", refuse(MlflowClient.log_batch))
        tracker = _write(study, root)
    number = study.trials[4].number
    assert tracker.error is None
    assert f"MLflow lacks 1 of {_recorded(study)} trials: {number}: MlflowException: no such value" in tracker.trouble
    children = _children(tracker)
    assert {n for n, run in children.items() if run.info.status == "RUNNING"} == {number}
    again = _write(study, root)
    assert again.trouble == ""
    children = _children(again)
    assert len(children) == _recorded(study)
    assert all(run.info.status == "FINISHED" for run in children.values())
    assert children[number].data.metrics["seconds/poison"] == 1.0
    assert len(children[number].data.params) == len(study.trials[4].genotype) + 2


def _recorded(study: Study) -> int:
    return len(study.trials)


def test_many_trials_are_written_in_few_transactions(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = _study(60)
    commits: list[object] = []

    def note(connection: object) -> None:
        commits.append(connection)

    sqlalchemy.event.listen(Engine, "commit", note)
    try:
        tracker = _write(study, root)
    finally:
        sqlalchemy.event.remove(Engine, "commit", note)
    assert tracker.trouble == ""
    children = _children(tracker)
    assert len(children) == _recorded(study)
    # One by one they take more than ten each.
    assert len(commits) < len(children)
    for trial in study.trials:
        data = children[trial.number].data
        assert data.params == {
            **{name: str(value) for name, value in trial.genotype.items()},
            "arch_id": trial.arch_id,
            "seed": str(trial.seed),
        }
        assert trial.cost is not None
        assert data.metrics["macs"] == trial.cost.macs


def test_the_records_that_wait_are_the_end_of_the_study(root: Path) -> None:
    """Nothing is kept for what waits, however long MLflow takes."""
    tracker = MlflowTracker(root)
    study = _study(5)
    before = {name: value for name, value in vars(tracker).items() if isinstance(value, dict | list)}
    for trial in study.trials * 100:
        tracker.ended(study, trial)
    assert {name: value for name, value in vars(tracker).items() if isinstance(value, dict | list)} == before
    tracker.close()


def test_what_is_written_at_once_is_bounded(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    real = BatchStore.write

    def write(store: BatchStore, experiment: str, records: Sequence[Record]) -> list[str]:
        sizes.append(len(records))
        return real(store, experiment, records)

    monkeypatch.setattr(tracker_module, "_VALUES_TOGETHER", 1)
    monkeypatch.setattr(BatchStore, "write", write)
    study = _study(4)
    assert _write(study, root).trouble == ""
    assert sizes == [1] * _recorded(study)


@pytest.mark.parametrize("name", ["My%20Project", "what?", "a#b", "100%", "Größe & Co", "q=1&r=2"])
def test_a_folder_of_any_name_takes_records(empty_store: Path, tmp_path: Path, name: str) -> None:
    root = tmp_path / name
    root.mkdir()
    (root / "mlflow.db").write_bytes(empty_store.read_bytes())
    study = _study(2)
    tracker = _write(study, root)
    assert tracker.trouble == ""
    assert len(_children(tracker)) == 2
    assert [path.name for path in tmp_path.iterdir()] == [name]
    (parent,) = [r for r in _all(tracker) if r.data.tags["nas.trial"] == "study"]
    assert (root / "artifacts" / parent.info.run_id / "artifacts" / "best_architecture.json").is_file()


@pytest.mark.parametrize("name", ["a", "My%20Project", "100%?"])
def test_the_address_of_a_database_is_that_of_its_file(tmp_path: Path, name: str) -> None:
    """As SQLAlchemy reads it, whose addresses these are."""
    database = tmp_path / name / "mlflow.db"
    assert sqlalchemy.engine.make_url(database_uri(database)).database == str(database)


def test_a_database_that_cannot_be_opened_is_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").mkdir()
    with pytest.raises(Exception, match="unable to open database file"):
        open_client(tmp_path / "mlflow.db")
