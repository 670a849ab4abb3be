"""MLflow holds what the study holds, once."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
from mlflow import MlflowClient

import nas
from nas.errors import ConfigError
from nas.evaluation import Evaluation
from nas.latency.deployment import Deployment, Device, this_device
from nas.latency.measure import Latency
from nas.records import view
from nas.records.store import open_client
from nas.records.tracker import MlflowTracker
from nas.records.trials import record_of
from nas.search.study import Study
from nas.search.trial import State


@pytest.fixture
def space() -> nas.SearchSpace:
    return nas.SearchSpace.from_dict(
        {
            "name": "tiny",
            "assume": {"channels": 1, "resolution": 8, "num_classes": 2},
            "stages": [{"block": "conv", "out_channels": {"choose": [2, 4, 8, 12]}, "kernel": {"choose": [1, 3]}}],
            "head": {"block": "classifier"},
        }
    )


def _evaluate(arch: nas.Architecture, budget: nas.Budget, seed: int) -> Evaluation:
    width = dict(arch.stages[0].blocks[0].settings)["out_channels"]
    assert isinstance(width, int)
    if width == 8:
        raise RuntimeError("no luck")
    rows = tuple({"epoch": float(e), "val_accuracy": width / 20 * e / 3} for e in (1, 2, 3))
    return Evaluation({"val_accuracy": width / 20}, rows, {"evaluation": 1.5})


def _search(space: nas.SearchSpace, root: Path, **arguments: Any) -> tuple[Study, MlflowTracker]:
    tracker = MlflowTracker(root)
    study = nas.run_search(
        space,
        _evaluate,
        **{
            "trials": 6,
            "sampler": "random",
            "constraints": {"params": 130},
            "run_dir": root / "run",
            "recorders": [tracker],
            "notes": {"config": {"seed": 0, "train": {"epochs": 3}}},
            **arguments,
        },
    )
    assert tracker.error is None
    return study, tracker


def _write(study: Study, root: Path) -> MlflowTracker:
    """Write a study that is over, as a resumed search does."""
    tracker = MlflowTracker(root)
    tracker.begin(study)
    tracker.end(study)
    return tracker


def _runs(tracker: MlflowTracker) -> tuple[list[Any], list[Any]]:
    """Parent runs and child runs of the one experiment."""
    client = MlflowClient(tracking_uri=tracker.uri)
    experiment = client.get_experiment_by_name("tiny")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id], max_results=500)
    parents = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    children = [run for run in runs if "mlflow.parentRunId" in run.data.tags]
    assert all(run.data.tags["mlflow.parentRunId"] == parents[0].info.run_id for run in children)
    return parents, children


def _agree(study: Study, tracker: MlflowTracker) -> None:
    """MLflow has one finished child run a trial, with its values."""
    parents, children = _runs(tracker)
    assert len(parents) == 1
    by_number = {int(run.data.tags["nas.trial"]): run for run in children}
    trials = study.trials
    assert len(children) == len(by_number) == len(trials)
    for trial in trials:
        run = by_number[trial.number]
        assert run.info.status == ("FAILED" if trial.state is State.FAILED else "FINISHED")
        assert run.data.tags["state"] == trial.state.value
        assert run.data.params["arch_id"] == trial.arch_id
        assert trial.cost is not None
        assert run.data.metrics["params"] == trial.cost.params
        for path, value in trial.genotype.items():
            assert run.data.params[path] == str(value)
        if trial.reason:  # failed, or a duplicate of one that did
            assert run.data.tags["reason"] == trial.reason
        else:
            assert run.data.metrics["val_accuracy"] == trial.scores["val_accuracy"]


def test_what_is_known_after_training_is_written(space: nas.SearchSpace, root: Path) -> None:
    study, _ = _search(space, root)
    done = next(trial for trial in study.trials if trial.state is State.COMPLETED)
    where = Deployment("onnxruntime"), Device("a processor", 1, "a system", {})
    latency = Latency(1.25, 1.5, 2.0, 0.1, 9, 3, 3, *where, "2026-01-01")
    scores = {**done.scores, "int8_accuracy": 0.25, "int8_latency_ms": 1.25}
    over = replace(done, state=State.OVER_LIMIT, scores=scores, int8_latency=latency, reason="it is over 1")
    record = record_of(study, over)
    metrics = {metric.key: metric.value for metric in record.values.metrics}
    assert (record.status, record.tags["state"], record.tags["reason"]) == ("FINISHED", "over_limit", "it is over 1")
    assert record.tags["int8_runtime"] == "onnxruntime, batch 1, 1 thread"
    assert metrics["int8_accuracy"] == 0.25
    assert [metrics[f"int8_latency_{name}"] for name in ("ms", "median_ms", "p95_ms", "cv")] == [1.25, 1.5, 2.0, 0.1]


def test_mlflow_agrees_with_the_study(space: nas.SearchSpace, root: Path) -> None:
    study, tracker = _search(space, root)
    counts = study.counts()
    assert counts["failed"]
    assert counts["rejected"]
    assert counts["duplicate"]
    _agree(study, tracker)
    parents, _ = _runs(tracker)
    data = parents[0].data
    assert data.params["train.epochs"] == "3"
    assert data.metrics["trials_rejected"] == counts["rejected"]
    assert data.metrics["rejected_by_params"] == counts["rejected"]
    assert data.metrics["best_val_accuracy"] == study.best(1)[0].scores["val_accuracy"]
    assert data.tags["best_trial"] == str(study.best(1)[0].number)
    assert parents[0].info.status == "FINISHED"


def test_a_latency_names_its_runtime_and_device(space: nas.SearchSpace, root: Path) -> None:
    here = Deployment("torch")
    latency = Latency(1.5, 1.6, 2.0, 0.1, 15, 5, 5, here, this_device("torch"), "2026-01-01T00:00:00+00:00")
    study = nas.run_search(space, _evaluate, trials=2, sampler="random")
    study.trials = [replace(trial, latency=latency) for trial in study.trials]
    tracker = _write(study, root)
    run = _runs(tracker)[1][0]
    assert run.data.tags["runtime"] == "torch, batch 1, 1 thread"
    assert run.data.tags["device"] == this_device("torch").hardware
    figures = {name: run.data.metrics[f"latency_{name}"] for name in ("ms", "median_ms", "p95_ms", "cv")}
    assert figures == {"ms": 1.5, "median_ms": 1.6, "p95_ms": 2.0, "cv": 0.1}


def test_the_best_architecture_is_an_artifact(space: nas.SearchSpace, root: Path) -> None:
    study, tracker = _search(space, root)
    parents, _ = _runs(tracker)
    client = MlflowClient(tracking_uri=tracker.uri)
    path = client.download_artifacts(parents[0].info.run_id, "best_architecture.json", str(root))
    arch = nas.Architecture.from_json(Path(path).read_text())
    assert arch == space.decode(study.best(1)[0].genotype)


def test_each_epoch_is_recorded(space: nas.SearchSpace, root: Path) -> None:
    study, tracker = _search(space, root)
    _, children = _runs(tracker)
    client = MlflowClient(tracking_uri=tracker.uri)
    trial = next(t for t in study.trials if t.state is State.COMPLETED)
    run = next(run for run in children if run.data.tags["nas.trial"] == str(trial.number))
    curve = client.get_metric_history(run.info.run_id, "epoch/val_accuracy")
    assert [(m.step, m.value) for m in curve] == [(int(r["epoch"]), r["val_accuracy"]) for r in trial.history]


def test_the_run_of_a_study_whose_trials_failed_alike_has_failed(space: nas.SearchSpace, root: Path) -> None:
    """Until it is gone on with and ends otherwise."""

    def broken(arch: nas.Architecture, budget: nas.Budget, seed: int) -> float:
        raise NameError("name 'misspelt' is not defined")

    tracker = MlflowTracker(root)
    folder: dict[str, Any] = {"sampler": "random", "run_dir": root / "run"}
    nas.run_search(space, broken, max_equal_failures=2, recorders=[tracker], **folder)
    assert _runs(tracker)[0][0].info.status == "FAILED"
    nas.run_search(space, _evaluate, trials=6, recorders=[MlflowTracker(root)], resume=True, **folder)
    assert _runs(tracker)[0][0].info.status == "FINISHED"


def test_a_tracker_records_one_search(space: nas.SearchSpace, root: Path) -> None:
    _, tracker = _search(space, root)
    with pytest.raises(ConfigError, match="records one search: make another one"):
        nas.run_search(space, _evaluate, trials=1, recorders=[tracker])


def test_a_resumed_study_makes_no_second_run(space: nas.SearchSpace, root: Path) -> None:
    _search(space, root, trials=3)
    study, tracker = _search(space, root, trials=6, resume=True)
    _agree(study, tracker)
    assert sum(t.trained for t in study.trials) == 6


def test_what_a_crash_left_out_is_written_on_resume(space: nas.SearchSpace, root: Path) -> None:
    study, tracker = _search(space, root)
    _, children = _runs(tracker)
    client = MlflowClient(tracking_uri=tracker.uri)
    client.delete_run(children[0].info.run_id)
    # One that was created but not filled before the crash.
    client.update_run(children[1].info.run_id, status="RUNNING")
    study, tracker = _search(space, root, resume=True)
    _agree(study, tracker)


def test_two_studies_of_a_space_share_an_experiment(space: nas.SearchSpace, root: Path) -> None:
    _search(space, root)
    _search(space, root, run_dir=root / "other")
    client = MlflowClient(tracking_uri=MlflowTracker(root).uri)
    experiment = client.get_experiment_by_name("tiny")
    assert experiment is not None
    parents = client.search_runs([experiment.experiment_id], "tags.`nas.trial` = 'study'")
    assert {run.info.run_name for run in parents} == {"run", "other"}


def test_a_store_that_cannot_be_used_does_not_end_the_search(space: nas.SearchSpace, tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_text("this is no database")
    tracker = MlflowTracker(tmp_path)
    study = nas.run_search(space, _evaluate, trials=6, sampler="random", recorders=[tracker])
    assert "file is not a database" in tracker.trouble
    assert study.counts()["completed"] + study.counts()["failed"] == 6


def test_long_texts_are_cut_to_what_mlflow_takes(space: nas.SearchSpace, root: Path) -> None:
    study, tracker = _search(space, root)
    trial = replace(study.trials[0], number=999, state=State.FAILED, reason="x" * 50_000)
    study.trials.append(trial)
    assert _write(study, root).trouble == ""
    _, children = _runs(tracker)
    assert any(run.data.tags["nas.trial"] == "999" for run in children)


@pytest.mark.parametrize(("size", "shown"), [(123_456, "123456"), (10**5000, "about 10^5000")], ids=["many", "more"])
def test_a_space_of_any_size_is_recorded(
    space: nas.SearchSpace, root: Path, monkeypatch: pytest.MonkeyPatch, size: int, shown: str
) -> None:
    study = nas.run_search(space, _evaluate, trials=1, sampler="random")
    monkeypatch.setattr(nas.SearchSpace, "size", lambda self: size)
    monkeypatch.setattr(view, "_always_decided", lambda space: [])  # it draws from a space of that size
    tracker = MlflowTracker(root)
    tracker.begin(study)
    tracker.close()
    assert tracker.error is None
    parents, _ = _runs(tracker)
    assert parents[0].data.params["genotypes"] == shown


def test_the_page_of_a_study_shows_its_trials_best_first(space: nas.SearchSpace, root: Path) -> None:
    """The format is MLflow's own for shared views; a person looked at the page with MLflow 3.17."""
    study, tracker = _search(space, root)
    client = MlflowClient(tracking_uri=tracker.uri)
    path, query = tracker.page.split("?")
    experiment = client.get_experiment(path.split("/")[3])
    assert path == f"/#/experiments/{experiment.experiment_id}/runs"
    key = parse_qs(query)["viewStateShareKey"][0]
    state = json.loads(json.loads(experiment.tags[f"mlflow.sharedViewState.{key}"])["state"])
    order = f"{state['orderByKey']} {'ASC' if state['orderByAsc'] else 'DESC'}"
    shown = client.search_runs([experiment.experiment_id], state["searchFilter"], order_by=[order])
    assert len(shown) == len(study.trials)
    scores = [run.data.metrics["val_accuracy"] for run in shown if "val_accuracy" in run.data.metrics]
    assert scores == sorted(scores, reverse=True)
    assert {"metrics.`val_accuracy`", "metrics.`params`", "metrics.`macs`"} <= set(state["selectedColumns"])
    # The page leaves out a chart that lacks an axis, and of parallel coordinates each run that lacks one.
    charts = {chart["uuid"]: chart for chart in state["compareRunCharts"]}
    for chart in (charts["nas-scatter-params"], charts["nas-scatter-macs"]):
        assert chart["yaxis"]["key"] == "val_accuracy"
        assert all(chart["xaxis"]["key"] in run.data.metrics for run in shown)
    decided = charts["nas-parallel"]["selectedParams"]
    assert decided == ["stages.0.out_channels", "stages.0.kernel"]
    assert all(set(decided) <= set(run.data.params) for run in shown)
    assert {chart["metricSectionId"] for chart in charts.values()} == {state["compareRunSections"][0]["uuid"]}


@pytest.mark.slow
def test_searches_that_start_at_once_share_one_new_database(space: nas.SearchSpace, tmp_path: Path) -> None:
    trackers = [MlflowTracker(tmp_path) for _ in range(3)]
    for tracker in trackers:
        nas.run_search(space, lambda *_: 1.0, trials=1, recorders=[tracker])
    assert [tracker.error for tracker in trackers] == [None, None, None]


@pytest.mark.slow
def test_a_database_that_was_cut_off_while_it_was_made_is_made_anew(space: nas.SearchSpace, tmp_path: Path) -> None:
    (tmp_path / ".mlflow.db.partial").write_bytes(b"cut off")
    tracker = MlflowTracker(tmp_path)
    nas.run_search(space, lambda *_: 1.0, trials=1, recorders=[tracker])
    assert tracker.error is None


def test_the_best_score_never_falls_when_a_study_is_resumed(space: nas.SearchSpace, root: Path) -> None:
    def first_is_best(arch: nas.Architecture, budget: nas.Budget, seed: int) -> float:
        return 1.0 if not list(root.glob("run/trials.jsonl")) or not (root / "run/trials.jsonl").read_text() else 0.5

    for trials in (2, 4):
        tracker = MlflowTracker(root)
        study = nas.run_search(
            space, first_is_best, trials=trials, run_dir=root / "run", resume=trials == 4, recorders=[tracker]
        )
    client = MlflowClient(tracking_uri=tracker.uri)
    experiment = client.get_experiment_by_name(study.space.name)
    assert experiment is not None
    (parent,) = [
        run for run in client.search_runs([experiment.experiment_id]) if "mlflow.parentRunId" not in run.data.tags
    ]
    assert [m.value for m in client.get_metric_history(parent.info.run_id, "best_val_accuracy")] == [1.0]


def test_a_pareto_front_is_recorded(space: nas.SearchSpace, root: Path, tmp_path: Path) -> None:
    study, tracker = _search(space, root, objective=["val_accuracy", "macs"], constraints={})
    (parent,), trials = _runs(tracker)
    client = MlflowClient(tracking_uri=tracker.uri)
    curve = [metric.value for metric in client.get_metric_history(parent.info.run_id, "hypervolume")]
    assert curve == pytest.approx(study.hypervolume())
    assert parent.data.params["objective"] == "val_accuracy, macs"
    assert parent.data.params["direction"] == "maximize, minimize"
    knee = study.knee()
    assert knee is not None
    assert parent.data.tags["knee_trial"] == str(knee.number)
    assert parent.data.tags["best_trial"] == str(study.best(1)[0].number)
    tagged = {int(run.data.tags["nas.trial"]): run.data.tags["front"] for run in trials if "front" in run.data.tags}
    assert tagged == {trial.number: "knee" if trial is knee else "yes" for trial in study.front()}
    path = client.download_artifacts(parent.info.run_id, "pareto_front.json", str(tmp_path))
    front = json.loads(Path(path).read_text())["front"]
    assert {one["trial"] for one in front} == {trial.number for trial in study.front()}
    assert sum(one["knee"] for one in front) == 1
    for one in front:
        arch = nas.Architecture.from_dict(one["architecture"])
        assert one["objectives"]["macs"] == nas.cost_of(arch).macs


def test_pruned_trials_are_recorded_when_they_end(space: nas.SearchSpace, root: Path) -> None:
    def rising(arch: nas.Architecture, budget: nas.Budget, seed: int) -> Evaluation:
        assert budget.epochs is not None
        rows = tuple(
            {"epoch": float(e), "val_accuracy": nas.cost_of(arch).params * e} for e in range(1, budget.epochs + 1)
        )
        return Evaluation({"val_accuracy": rows[-1]["val_accuracy"]}, rows)

    tracker = MlflowTracker(root)
    study = nas.run_search(
        space,
        rising,
        trials=6,
        sampler="random",
        pruner="asha",
        budget=nas.Budget(epochs=9),
        run_dir=root / "run",
        recorders=[tracker],
    )
    assert tracker.error is None
    assert study.counts()["pruned"]
    _, children = _runs(tracker)
    by_state = {int(run.data.tags["nas.trial"]): run for run in children}
    for trial in study.trials:
        run = by_state[trial.number]
        assert (run.data.tags["state"], run.info.status) == (trial.state.value, "FINISHED")
        assert run.data.metrics["val_accuracy"] == trial.scores["val_accuracy"]
    parents, _ = _runs(tracker)
    assert parents[0].data.metrics["rank_correlation_rung_1_2"] == 1.0


@pytest.mark.parametrize("name", ["mlflow.db", "mlflow.db-journal", "artifacts", "artifacts/run"])
def test_nothing_is_written_through_a_link(space: nas.SearchSpace, tmp_path: Path, name: str) -> None:
    """A folder of records may come from a stranger; the search itself needs none."""
    victim, root = tmp_path / "victim", tmp_path / "runs"
    (root / name).parent.mkdir(parents=True)
    open_client(victim / "mlflow.db")
    before = (victim / "mlflow.db").read_bytes()
    (root / name).symlink_to(victim / "mlflow.db" if "db" in name else victim)
    tracker = MlflowTracker(root)
    study = nas.run_search(space, _evaluate, trials=3, run_dir=root / "run", recorders=[tracker])
    assert len(study.trials) >= 3
    assert f"{root / name}' is a link" in tracker.trouble
    assert (victim / "mlflow.db").read_bytes() == before
    assert {path.name for path in victim.iterdir()} == {"mlflow.db", ".mlflow.db.lock"}
