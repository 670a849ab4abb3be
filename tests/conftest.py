"""What all tests share."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

# One thread a process, as in a search; set before torch is loaded.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import pytest
from hypothesis import settings

# Whoever starts the tests may ignore these (nohup does, and shells for what runs in the background), and programs that
# the tests start would inherit that.
signal.signal(signal.SIGHUP, signal.SIG_DFL)
signal.signal(signal.SIGINT, signal.default_int_handler)

# The machine may be busy; how long an example takes says nothing.
settings.register_profile("nas", deadline=None)
settings.load_profile("nas")


@pytest.fixture(scope="session", autouse=True)
def _cache_of_the_tests(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keep what is written to the user's folder for caches among the files of the tests, also by what they start."""
    os.environ["XDG_CACHE_HOME"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database of MLflow with its tables, which take seconds to make; tests copy it."""
    from mlflow import MlflowClient

    from nas.records.tracker import MlflowTracker

    root = tmp_path_factory.mktemp("store")
    tracker = MlflowTracker(root)
    tracker.close()
    assert tracker.error is None
    MlflowClient(tracking_uri=tracker.uri).search_experiments()
    return root / "mlflow.db"


@pytest.fixture(scope="session")
def put_store(empty_store: Path) -> Callable[[Path], None]:
    """Puts such a database into a folder of records, which is made where it is not there."""

    def put(root: Path) -> None:
        root.mkdir(parents=True, exist_ok=True)
        shutil.copy(empty_store, root / "mlflow.db")

    return put
