"""The page of MLflow's web interface that shows the trials of a study as a table, best first.

MLflow keeps a shared view (columns, order, filter) in a tag of the experiment, and opens it by the tag's name. Without
one the page opens in another mode, with the trials folded under their study and without their scores.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from nas.records.values import mlflow_name
from nas.search.study import Study
from nas.space import SearchSpace
from nas.training.tasks.registry import DEFAULT, TASKS
from nas.training.tasks.task import LOSS

if TYPE_CHECKING:
    from mlflow import MlflowClient

STUDY_TAG, TRIAL_TAG = "nas.study_id", "nas.trial"
FRONT_TAG = "front"
"""Of trials on the Pareto front: `yes` or `knee`, and on which rung, where the better trials get more budget."""
STUDY_ITSELF = "study"
"""Value of `TRIAL_TAG` on the run that stands for the study."""

_VIEW_TAG = "mlflow.sharedViewState."
"""Of an experiment, with the name of the view behind it."""
_WORKFLOW = "machine_learning"
"""Of MLflow's two kinds of menus."""
_COLUMN_WIDTH = 110
_SECTION = "nas-search"
"""Of the charts, what the page knows it by."""
_PARALLEL = 12
"""Decisions in parallel coordinates, the first ones: more are not told apart."""
_DRAWS = 50


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
    # Without the word MLflow's menu is that for language models: evaluations and prompts, no runs.
    return f"/#/experiments/{experiment}/runs/{run_id}?workflowType={_WORKFLOW}"


def _view_key(study_id: str) -> str:
    return "nas-" + hashlib.sha256(study_id.encode()).hexdigest()[:16]


def _page_with_view(experiment: str, key: str) -> str:
    # What is to be searched stands in the view alone: one word of it in the address would switch the view off.
    query = {"workflowType": _WORKFLOW, "compareRunsMode": "TABLE", "viewStateShareKey": key}
    return f"/#/experiments/{experiment}/runs?{urlencode(query)}"


def _state(study: Study) -> dict[str, object]:
    config = study.notes.get("config", {})
    given = [config.get(kind) for kind in ("constraints", "soft")]
    limited = [name for limits in given if isinstance(limits, Mapping) for name, bound in limits.items() if bound]
    data = study.notes.get("data", {})
    task = TASKS.get(str(data.get("task")), DEFAULT) if isinstance(data, Mapping) else DEFAULT
    scores = dict.fromkeys(
        [*(objective.name for objective in study.objectives), task.objective, "params", "macs", *limited, LOSS.on_val]
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
        "runsHiddenMode": "SHOW_ALL",
        "compareRunCharts": list(_charts(study, limited)),
        "compareRunSections": [{"uuid": _SECTION, "name": "search", "display": True, "isReordered": True}],
        "isAccordionReordered": True,  # else the page would put its own sections before
    }


def _charts(study: Study, limited: Sequence[str]) -> Iterator[dict[str, object]]:
    """Yield the charts that stand before those which the page makes itself: score against cost, and all decisions."""
    score = mlflow_name(study.objective)
    costs = dict.fromkeys([*limited, *(one.name for one in study.objectives[1:]), "params", "macs"])
    for cost in costs:
        axes = {"xaxis": {"key": mlflow_name(cost), "type": "METRIC"}, "yaxis": {"key": score, "type": "METRIC"}}
        yield _chart("SCATTER", f"{study.objective} against {cost}", f"scatter-{mlflow_name(cost)}", axes)
    decided = [mlflow_name(path) for path in _always_decided(study.space)][:_PARALLEL]
    drawn = {"selectedParams": decided, "selectedMetrics": [score], "showAllRuns": True}
    yield _chart("PARALLEL", f"{study.objective} by decisions", "parallel", drawn)


def _always_decided(space: SearchSpace) -> list[str]:
    """Return the decisions that all of some random networks have: the chart leaves out what lacks one of its axes."""
    drawn = [space.sample(seed) for seed in range(_DRAWS)]
    return [path for path in space.decisions() if all(path in genotype for genotype in drawn)]


def _chart(kind: str, title: str, key: str, axes: Mapping[str, object]) -> dict[str, object]:
    common = {"type": kind, "uuid": f"nas-{key}", "displayName": title, "metricSectionId": _SECTION}
    return {**common, "runsCountToCompare": 100, "deleted": False, "isGenerated": False, **axes}
