"""The page of MLflow's web interface that shows the trials of a study as a table, best first.

MLflow keeps a shared view (columns, order, filter) in a tag of the experiment, and opens it by the tag's name. Without
one the page opens in another mode, with the trials folded under their study and without their scores.
"""

from __future__ import annotations

import hashlib
import json
import time
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from nas.records.values import mlflow_name
from nas.search.study import Study

if TYPE_CHECKING:
    from mlflow import MlflowClient

STUDY_TAG, TRIAL_TAG = "nas.study_id", "nas.trial"
FRONT_TAG = "front"
"""Of trials on the Pareto front: `yes` or `knee`, and on which rung, where the better trials get more budget."""
STUDY_ITSELF = "study"
"""Value of `TRIAL_TAG` on the run that stands for the study."""

_VIEW_TAG = "mlflow.sharedViewState."
"""Of an experiment, with the name of the view behind it."""
_COLUMN_WIDTH = 110


def study_page(client: MlflowClient, experiment: str, study: Study) -> str:
    """Write the view of a study to its experiment, and return the page's path behind the address of the server.

    Args:
        client: connected to the store.
        experiment: its id.
        study: the study; a repeated call writes the same view again.
    """
    key = _view_key(study.study_id)
    # MLflow wants the state as text inside the text.
    view = {"name": study.name, "createdAt": int(time.time() * 1000), "state": json.dumps(_state(study))}
    client.set_experiment_tag(experiment, f"{_VIEW_TAG}{key}", json.dumps(view))
    return _page_with_view(experiment, key)


def saved_page(client: MlflowClient, experiment: str, study_id: str) -> str | None:
    """Return the page of a study whose view was written earlier, or None where none was."""
    key = _view_key(study_id)
    return _page_with_view(experiment, key) if f"{_VIEW_TAG}{key}" in client.get_experiment(experiment).tags else None


def run_page(experiment: str, run_id: str) -> str:
    """Return the page of one run, its path behind the address of the server."""
    return f"/#/experiments/{experiment}/runs/{run_id}"


def _view_key(study_id: str) -> str:
    return "nas-" + hashlib.sha256(study_id.encode()).hexdigest()[:16]


def _page_with_view(experiment: str, key: str) -> str:
    # What is to be searched stands in the view alone: one word of it in the address would switch the view off.
    query = {"workflowType": "machine_learning", "compareRunsMode": "TABLE", "viewStateShareKey": key}
    return f"/#/experiments/{experiment}/runs?{urlencode(query)}"


def _state(study: Study) -> dict[str, object]:
    config = study.notes.get("config", {})
    limited = [name for kind in ("constraints", "soft") for name, bound in config.get(kind, {}).items() if bound]
    scores = dict.fromkeys(
        [*(objective.name for objective in study.objectives), "val_accuracy", "params", "macs", *limited, "val_loss"]
    )
    front = [f"tags.`{FRONT_TAG}`"] if len(study.objectives) > 1 else []
    columns = [*(f"metrics.`{mlflow_name(name)}`" for name in scores), *front, "tags.`state`", "params.`arch_id`"]
    return {
        "searchFilter": f"tags.`{STUDY_TAG}` = '{study.study_id}' AND tags.`{TRIAL_TAG}` != '{STUDY_ITSELF}'",
        "orderByKey": f"metrics.`{mlflow_name(study.objective)}`",
        "orderByAsc": study.direction == "minimize",
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "selectedColumns": columns,
        "columnOrder": columns,
        "columnWidths": dict.fromkeys(columns, _COLUMN_WIDTH),
    }
