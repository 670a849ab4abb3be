"""MLflow's pages: which is that of a run folder, what is refused, and the server itself."""

from __future__ import annotations

import errno
import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from importlib.metadata import entry_points
from pathlib import Path

import pytest
from filelock import FileLock
from mlflow import MlflowClient

import nas
from nas.commands.browse import main
from nas.errors import ConfigError, NasError
from nas.records import browsing
from nas.records.browsing import HOST, check_free, page_of, recorded_in, serve
from nas.records.store import database_uri, open_client
from nas.records.study_run import StudyRun
from nas.records.tracker import MlflowTracker
from tests.search.conftest import SMALL

_ID = "0123456789abcdef"


def _study(root: Path, folder: Path, study_id: str, file: str = "settings.json", key: str = "study_id") -> str:
    """Write a study of a kind that has no view of its own, in the database and as a folder; returns its run's id."""
    from nas.records.store import open_store

    folder.mkdir(parents=True, exist_ok=True)
    (folder / file).write_text(f'{{"{key}": "{study_id}"}}')
    return StudyRun(open_store(root), "training", study_id, name="a", settings={}).run_id


def test_the_page_of_a_search_is_its_view(root: Path) -> None:
    space = nas.SearchSpace.from_dict(SMALL)
    tracker = MlflowTracker(root)
    nas.run_search(space, lambda *_: 1.0, trials=2, run_dir=root / "a", recorders=[tracker])
    tracker.close()
    assert tracker.page.startswith("/#/experiments/")
    assert page_of(recorded_in(root / "a")) == tracker.page


@pytest.mark.parametrize("key", ["study_id", "run_id"])
def test_the_page_of_another_study_is_its_run(root: Path, key: str) -> None:
    run_id = _study(root, root / "a", _ID, key=key)
    experiment = MlflowClient(tracking_uri=database_uri(root / "mlflow.db")).get_run(run_id).info.experiment_id
    assert (
        page_of(recorded_in(root / "a")) == f"/#/experiments/{experiment}/runs/{run_id}?workflowType=machine_learning"
    )


def test_the_page_of_a_finish_is_found_by_its_search(root: Path) -> None:
    (root / "a" / "finish").mkdir(parents=True)
    (root / "a" / "study.json").write_text(f'{{"study_id": "{_ID}"}}')
    run_id = _study(root, root / "b", f"{_ID}-finish")
    assert page_of(recorded_in(root / "a" / "finish")).endswith(f"/runs/{run_id}?workflowType=machine_learning")


def test_a_run_that_is_not_in_mlflow_is_told(root: Path) -> None:
    (root / "a").mkdir()
    (root / "a" / "study.json").write_text(f'{{"study_id": "{_ID}"}}')
    with pytest.raises(NasError, match=r"mlflow\.db has no such run.*nas records RUN"):
        page_of(recorded_in(root / "a"))


def test_records_that_may_only_be_read_have_their_pages(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_id = _study(root, root / "a", _ID)

    def refused(lock: FileLock) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", lock.lock_file)

    monkeypatch.setattr(FileLock, "acquire", refused)
    assert f"/runs/{run_id}?" in page_of(recorded_in(root / "a"))
    (root / "mlflow.db").unlink()
    with pytest.raises(PermissionError):
        open_client(root / "mlflow.db")


@pytest.mark.parametrize(
    ("version", "said"),
    [
        ("ffffffffffff", r"was made by another MLflow than \d+\.\d+.*, probably a newer one: install that"),
        ("451aebb31d03", r"was made by an older MLflow than .* mlflow db upgrade 'sqlite:///.*mlflow\.db'"),
    ],
)
def test_tables_of_another_mlflow_are_told_with_what_to_do(root: Path, version: str, said: str) -> None:
    _study(root, root / "a b", _ID)
    with closing(sqlite3.connect(root / "mlflow.db")) as database:
        database.execute("UPDATE alembic_version SET version_num = ?", (version,))
        database.commit()
    (root / "with space").mkdir()
    (root / "mlflow.db").rename(root / "with space" / "mlflow.db")
    (root / "a b").rename(root / "with space" / "a b")
    with pytest.raises(ConfigError, match=said):
        page_of(recorded_in(root / "with space" / "a b"))


@pytest.mark.parametrize("text", ["{", "[]", '{"study_id": 3}', """{"study_id": "x' OR '' = '"}"""])
def test_a_folder_without_an_id_is_told(tmp_path: Path, text: str) -> None:
    (tmp_path / "study.json").write_text(text)
    with pytest.raises(NasError, match="is not the folder of a search, a finish, a training or a scaling study"):
        recorded_in(tmp_path)


def test_a_mistyped_folder_gets_the_nearest_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("digits_a", "other", "artifacts"):
        (tmp_path / name).mkdir()
    (tmp_path / "digits_a" / "study.json").write_text("{}")
    assert main([str(tmp_path / "digit_a")]) == 2
    assert "Did you mean 'digits_a'" in capsys.readouterr().err


def test_a_folder_without_records_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--records", str(tmp_path)]) == 2
    assert "has no mlflow.db" in capsys.readouterr().err


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that another program listens on."""
    with socket.socket() as other:
        other.bind((HOST, 0))
        other.listen()
        yield other.getsockname()[1]


def test_a_port_that_is_taken_is_told(taken: int) -> None:
    with pytest.raises(NasError, match=rf"port {taken} is taken by another program; --port \d+ is free"):
        check_free(taken)


def test_a_port_that_is_none_is_told(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for port in ("0", "70000", "-1"):
        assert main(["--records", str(root), "--port", port]) == 2
        assert f"--port must be a number from 1 to 65535, but got {port}" in capsys.readouterr().err


def test_of_two_servers_on_one_port_the_second_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Until the first listens, which takes seconds, the port seems free."""
    (tmp_path / "mlflow.db").touch()
    started: list[int] = []

    def starts(root: Path, port: int, ready: object) -> None:
        started.append(port)
        with pytest.raises(ConfigError, match=rf"port {port} is taken by another nas browse; --port \d+ is free"):
            serve(tmp_path, port, lambda address: None)

    monkeypatch.setattr(browsing, "_serve", starts)
    port = _free_port()
    for _ in range(2):  # also after the first has ended
        serve(tmp_path, port, lambda address: None)
    assert started == [port, port]


@pytest.mark.slow
def test_a_server_that_does_not_start_says_why(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_text("no database")
    with pytest.raises(NasError, match=r"MLflow's server has ended with code \d"):
        serve(tmp_path, _free_port(), lambda address: None)


@pytest.mark.slow  # MLflow takes seconds to start
def test_the_server_answers_and_ends_with_the_command(root: Path) -> None:
    port = _free_port()
    command = [sys.executable, "-m", "nas", "browse", "--records", str(root), "--port", str(port), "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ) as process:
        assert process.stdout is not None
        document = "".join(iter(process.stdout.readline, "}\n")) + "}"  # while the server goes on
        address = json.loads(document)["address"]
        assert address == f"http://{HOST}:{port}/"
        with urllib.request.urlopen(address) as answer:
            assert b"MLflow" in answer.read()
        process.send_signal(signal.SIGINT)
        assert (process.wait(), process.stdout.read()) == (0, "")
    check_free(port)


def test_sqlite_knows_what_is_in_its_tables_before_they_are_asked(root: Path) -> None:
    browsing.prepare(root)
    with closing(sqlite3.connect(root / "mlflow.db")) as database:
        assert database.execute("SELECT count(*) FROM sqlite_stat1").fetchone()[0] > 0
    (root / "mlflow.db").write_text("no database")
    browsing.prepare(root)  # what is wrong is told by the server


@pytest.mark.slow  # MLflow takes seconds to load
def test_what_the_server_has_loaded_at_its_start_is_left_out_of_the_search_for_garbage(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").touch()
    command = browsing.server_command(tmp_path, 5000)
    assert command[command.index("--app-name") + 1] == "nas-browse"
    (found,) = entry_points(group="mlflow.app", name="nas-browse")
    module, name = found.value.split(":")
    code = (
        f"import gc; from {module} import {name} as ours; from mlflow.server.fastapi_app import app\n"
        "print(ours is app, gc.get_freeze_count() > 100_000)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "True True\n"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])
