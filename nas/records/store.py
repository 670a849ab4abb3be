"""MLflow's database, and writing many values to it in few calls."""

from __future__ import annotations

import fcntl
import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

_MAX_PARAM = 500
MAX_BATCH = 900
"""Values that are written in one call: MLflow takes 1,000."""


def open_client(database: Path) -> MlflowClient:
    """Return a client of a database, which is made first where there is none.

    Its tables are made in a file that gets its name when they are whole: a database that was cut off in the middle, or
    that two searches make at once, cannot be used ever again.
    """
    from mlflow import MlflowClient

    # MLflow sets its own level when it is loaded; what it says of its tables is of no use here.
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.ERROR)
    database.parent.mkdir(parents=True, exist_ok=True)
    with database.with_name(f".{database.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not database.exists():
            partial = database.with_name(f".{database.name}.partial")
            partial.unlink(missing_ok=True)
            MlflowClient(tracking_uri=f"sqlite:///{partial}").search_experiments(max_results=1)
            partial.replace(database)
        return MlflowClient(tracking_uri=f"sqlite:///{database}")


def experiment_id(client: MlflowClient, name: str, artifacts: str) -> str:
    """Return the id of an experiment, which is made where there is none of that name."""
    known = client.get_experiment_by_name(name)
    return str(known.experiment_id if known is not None else client.create_experiment(name, artifacts))


def find_runs(client: MlflowClient, experiment: str, condition: str) -> list[Run]:
    """Return all runs of an experiment that a condition holds for, oldest first."""
    runs: list[Run] = []
    token: str | None = None
    while True:
        page = client.search_runs(
            [experiment], condition, max_results=1000, page_token=token, order_by=["attributes.start_time"]
        )
        runs += page
        token = page.token
        if not token:
            return runs


def log_values(
    client: MlflowClient,
    run_id: str,
    *,
    params: Mapping[str, Any] | None = None,
    metrics: Mapping[str, float] | None = None,
    history: tuple[Mapping[str, float], ...] = (),
    timestamp: int = 0,
) -> None:
    """Write many values in few calls: a call costs about as much as fifty values."""
    from mlflow.entities import Metric, Param

    rows = [Metric(key, value, timestamp, 0) for key, value in (metrics or {}).items()]
    rows += [
        Metric(f"epoch/{key}", value, timestamp, int(row["epoch"]))
        for row in history
        for key, value in row.items()
        if key != "epoch"
    ]
    texts = [Param(key, param_text(value)) for key, value in (params or {}).items()]
    # Of the values of a call MLflow takes 100 params.
    for start in range(0, max(len(rows), 1), MAX_BATCH):
        client.log_batch(run_id, metrics=rows[start : start + MAX_BATCH])
    for start in range(0, len(texts), 100):
        client.log_batch(run_id, params=texts[start : start + 100])


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return `{"train.epochs": 10}` for `{"train": {"epochs": 10}}`."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        path = f"{prefix}{key}"
        found |= flat(value, f"{path}.") if isinstance(value, Mapping) else {path: value}
    return found


def param_text(value: Any) -> str:
    """Return a parameter as MLflow keeps it."""
    text = value if isinstance(value, str) else json.dumps(value)
    return text[:_MAX_PARAM]
