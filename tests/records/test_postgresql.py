"""Records on an MLflow server whose database is PostgreSQL, as teams run it.

Needs Debian's `postgresql` and psycopg2; the test starts a server of its own in a temporary folder.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

import nas
from nas.evaluation import Evaluation
from nas.records.server import answers
from nas.records.tracker import MlflowTracker
from nas.search.trial import State
from tests.search.conftest import SMALL

HOST = "127.0.0.1"


def _programs() -> Path | None:
    """Return the folder of PostgreSQL's programs; Debian keeps it out of the path."""
    found = shutil.which("initdb")
    places = [Path(found).resolve().parent] if found else sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    return next((place for place in places[::-1] if (place / "initdb").is_file()), None)


def _user() -> dict[str, Any]:
    """Return as whom the server runs: it refuses root, for whom Debian's user `postgres` stands in."""
    if os.geteuid() != 0:
        return {}
    try:
        postgres = pwd.getpwnam("postgres")
    except KeyError:
        pytest.skip("PostgreSQL does not run as root, and there is no user postgres")
    return {"user": postgres.pw_uid, "group": postgres.pw_gid, "extra_groups": []}


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    """The address of an empty database of a server of its own, on a socket in a temporary folder."""
    programs = _programs()
    if programs is None:
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
    if find_spec("psycopg2") is None:
        pytest.skip("psycopg2 is not installed: pip install psycopg2-binary")
    user = _user()
    # Not pytest's folder, which nobody else may enter; a short path, since that of a socket may have 107 characters.
    with tempfile.TemporaryDirectory(prefix="nas-pg-") as name:
        folder = Path(name)
        if user:
            os.chown(folder, user["user"], user["group"])
        as_user: dict[str, Any] = {"cwd": folder, "env": {"PATH": os.environ["PATH"], "LC_ALL": "C"}, **user}
        data, log = folder / "data", (folder / "log").open("wb")
        words: list[str | Path] = [
            programs / "initdb",
            "-D",
            data,
            "-U",
            "nas",
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--no-sync",
        ]
        subprocess.run(words, check=True, stdout=log, stderr=log, **as_user)
        words = [programs / "postgres", "-D", data, "-k", folder, "-c", "listen_addresses=", "-c", "fsync=off"]
        server = subprocess.Popen(words, stdout=log, stderr=log, **as_user)
        try:
            create: list[str | Path] = [programs / "createdb", "-h", folder, "-U", "nas", "mlflow"]
            _wait_until(lambda: subprocess.run(create, check=False, stderr=log, **as_user).returncode == 0)
            yield f"postgresql+psycopg2://nas@/mlflow?host={folder}"
        finally:
            server.send_signal(signal.SIGINT)  # do not wait for whoever is connected
            server.wait()
            log.close()


@pytest.fixture(scope="module")
def server(database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of an MLflow server on that database."""
    folder = tmp_path_factory.mktemp("mlflow")
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port = probe.getsockname()[1]
    words = [sys.executable, "-m", "mlflow", "server", "--host", HOST, "--port", str(port), "--workers", "1"]
    words += ["--backend-store-uri", database, "--artifacts-destination", str(folder / "files")]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(words, stdout=log, stderr=log, start_new_session=True, cwd=folder)
        try:
            _wait_until(lambda: answers(f"http://{HOST}:{port}"))
            yield f"http://{HOST}:{port}"
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait()


def _wait_until(holds: Callable[[], bool]) -> None:
    until = time.monotonic() + 120
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.2)


def _evaluate(arch: nas.Architecture, budget: nas.Budget, seed: int) -> Evaluation:
    """Fails for some networks, with a text that not every database takes."""
    params = nas.cost_of(arch).params
    if params % 3 == 0:
        raise ValueError("a reason with NUL \0, a half character \ud800 and 'quotes'")
    rows = tuple({"epoch": float(epoch), "val_accuracy": params / 1e6 / epoch} for epoch in (1, 2, 3))
    return Evaluation({"val_accuracy": params / 1e6}, rows, {"train": 0.5})


@pytest.mark.slow
def test_all_of_a_search_is_there(server: str, tmp_path: Path) -> None:
    space = nas.SearchSpace.from_dict(SMALL)
    params = sorted(nas.cost_of(space.decode(space.sample(seed))).params for seed in range(50))
    tracker = MlflowTracker(tmp_path, server)
    study = nas.run_search(
        space,
        _evaluate,
        trials=12,
        sampler="random",
        constraints={"params": params[30]},
        run_dir=tmp_path / "a",
        recorders=[tracker],
        seed=1,
    )
    assert tracker.trouble == ""
    assert {State.COMPLETED, State.FAILED, State.REJECTED} <= {trial.state for trial in study.trials}
    client = MlflowClient(tracking_uri=server)
    experiment = client.get_experiment_by_name(space.name)
    assert experiment is not None
    found = client.search_runs([experiment.experiment_id], max_results=1000)
    runs = {run.data.tags["nas.trial"]: run for run in found}
    assert len(runs) == len(found), "nothing is there twice"
    own = runs.pop("study")
    trials = {str(trial.number): trial for trial in study.trials}
    assert runs.keys() == trials.keys()
    for key, trial in trials.items():
        run = runs[key]
        assert run.data.tags["state"] == trial.state.value
        assert run.info.status == ("FAILED" if trial.state is State.FAILED else "FINISHED")
        assert {name: run.data.metrics[name] for name in trial.scores} == trial.scores
        assert run.data.params.items() >= {name: str(value) for name, value in trial.genotype.items()}.items()
        curve = client.get_metric_history(run.info.run_id, "epoch/val_accuracy")
        assert [(point.step, point.value) for point in sorted(curve, key=lambda one: one.step)] == [
            (row["epoch"], row["val_accuracy"]) for row in trial.history
        ]
    assert own.info.status == "FINISHED"
    assert own.data.metrics["trials_completed"] == study.counts()["completed"]
    files = {file.path for file in client.list_artifacts(own.info.run_id)}
    assert files >= {"study.json", "space.json", "best_architecture.json", "rejected.csv"}
