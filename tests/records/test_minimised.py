"""A study whose objective is minimised, as MLflow shows it."""

from __future__ import annotations

from itertools import accumulate
from pathlib import Path

from mlflow import MlflowClient

import nas
from nas.records.tracker import MlflowTracker
from tests.search.conftest import SMALL


def _loss(arch: nas.Architecture, budget: nas.Budget, seed: int) -> dict[str, float]:
    return {"val_loss": abs(nas.cost_of(arch).params - 3000) / 3000}


def test_the_best_loss_so_far_only_falls(root: Path) -> None:
    tracker = MlflowTracker(root)
    space = nas.SearchSpace.from_dict(SMALL)
    study = nas.run_search(
        space,
        _loss,
        trials=12,
        sampler="uniform",
        seed=3,
        objective="val_loss",
        direction="minimize",
        recorders=[tracker],
    )
    tracker.close()
    assert tracker.error is None
    client = MlflowClient(tracking_uri=tracker.uri)
    experiment = client.get_experiment_by_name(space.name)
    assert experiment is not None
    (parent,) = client.search_runs([experiment.experiment_id], "tags.state = 'study'")
    assert parent.data.params["direction"] == "minimize"
    losses = [trial.scores["val_loss"] for trial in study.trials if trial.scores]
    lowest = list(accumulate(losses, min))
    records = [value for place, value in enumerate(lowest) if place == 0 or value < lowest[place - 1]]
    assert len(records) > 1  # otherwise this shows nothing
    history = sorted(client.get_metric_history(parent.info.run_id, "best_val_loss"), key=lambda metric: metric.step)
    assert [metric.value for metric in history] == records
    assert study.best(1)[0].scores["val_loss"] == min(losses)
