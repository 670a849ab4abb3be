"""A store of MLflow that is ready to be written to."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from mlflow import MlflowClient

from nas.records.tracker import MlflowTracker


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with its tables, which take seconds to make; tests copy it."""
    root = tmp_path_factory.mktemp("store")
    tracker = MlflowTracker(root)
    tracker.close()
    assert tracker.error is None
    MlflowClient(tracking_uri=tracker.uri).search_experiments()
    return root / "mlflow.db"


@pytest.fixture
def root(empty_store: Path, tmp_path: Path) -> Path:
    """A folder with a store of its own."""
    shutil.copy(empty_store, tmp_path / "mlflow.db")
    return tmp_path
