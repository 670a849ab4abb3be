"""The page of MLflow's web interface that shows a study."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nas.search.study import Study

if TYPE_CHECKING:
    from mlflow import MlflowClient

EXPERIMENT_TAGS: dict[str, str] = {}


def study_url(client: MlflowClient, experiment: str, run: str, study: Study) -> str:
    """Return path and query of the page, behind the address of the server."""
    return f"/#/experiments/{experiment}/runs"
