"""MLflow's own pages of what is recorded: its server on this machine, and the page of a run folder."""

from __future__ import annotations

import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from nas.errors import ConfigError, NasError, nearest, reason_of
from nas.records.server import ServerAwayError, answers, recorded_server, shown_server, without_password
from nas.records.store import DATABASE, database_uri, open_client, open_store, places
from nas.records.view import STUDY_ITSELF, STUDY_TAG, TRIAL_TAG, run_page, saved_page
from nas.run_folder import FINISH, is_run_id, user_cache

if TYPE_CHECKING:
    from mlflow import MlflowClient

HOST = "127.0.0.1"
"""Nobody else can reach it: MLflow's server asks for no password."""
_IDS = (("study.json", "study_id"), ("settings.json", "study_id"), ("settings.json", "run_id"))
"""Where run folders say what they are known by: searches, scaling studies, trainings."""
_APP = "nas-browse"
"""Of `nas.records.browse_app` in pyproject.toml."""
SERVER_ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # processes for what nobody starts here
}
"""Variables that MLflow's server is started with."""
_ROWS_COUNTED = 1000
"""Of an index, so that large databases take no longer."""
_START_SECONDS = 120.0
_LOOK_SECONDS = 0.2
_LAST_LINES = 5
_LAST_PORT = 65535


class BrowseError(NasError):
    """MLflow's server does not start."""


def database_of(root: Path) -> Path:
    """Return the database in a folder of records.

    Raises:
        ConfigError: there is none.
    """
    database = places(root)[0]
    if not database.is_file():
        raise ConfigError(
            f"{root} has no {DATABASE}: nothing was recorded there, or with records.mlflow=false; "
            "--records names another folder"
        )
    return database


def server_in(run: Path) -> str | None:
    """Return the server that a run was recorded on, by its settings, or as is said now; see `recorded_server`."""
    for settings in (_json(run / "study.json").get("notes"), {"config": _json(run / "settings.json")}):
        given: Any = settings
        for name in ("config", "records", "uri"):
            given = given.get(name) if isinstance(given, Mapping) else None
        if isinstance(given, str):
            return recorded_server(given)
    return recorded_server(None)


def _json(path: Path) -> Mapping[str, Any]:
    """Return what is in a file; nothing where it is none of ours."""
    try:
        found = json.loads(path.read_text()) if path.is_file() and not path.is_symlink() else {}
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, Mapping) else {}


@dataclass(frozen=True)
class Recorded:
    """A study that may have a record in MLflow."""

    root: Path
    """The folder of records."""
    study_id: str
    """What the study is known by."""
    server: str | None = None
    """Address of the MLflow server that has it."""


def recorded_in(run: Path) -> Recorded:
    """Return what a run folder says of its record; that of a finish is in the folder of its search.

    Raises:
        ConfigError: it is no folder of a search, a finish, a training or a scaling study.
    """
    if not run.is_dir():
        names = [path.parent.name for name in dict(_IDS) for path in run.parent.glob(f"*/{name}")]
        raise ConfigError(f"{run} is no folder. {nearest(run.name, sorted({*names}))}")
    search = run.parent
    if run.name == FINISH and (search / "study.json").is_file():
        return Recorded(search.parent, f"{_study_id(search)}-{FINISH}", server_in(search))
    return Recorded(search, _study_id(run), server_in(run))


def page_of(recorded: Recorded) -> str:
    """Return the page of a study, its path behind the address of the server; loads MLflow.

    Raises:
        ConfigError: the database or the server has no such study, there is no database. ServerAwayError: the server
            does not answer.
    """
    if recorded.server is not None and not answers(recorded.server):
        raise ServerAwayError(f"{shown_server(recorded.server)} does not answer")
    server = recorded.server
    try:
        page = _find_page(recorded, server)
    except NasError:
        raise
    except Exception as error:  # of MLflow, its database, or whoever answers at that address
        raise BrowseError(f"MLflow cannot be asked: {without_password(reason_of(error))}") from None
    if page is not None:
        return page
    where = recorded.root / DATABASE if server is None else shown_server(server)
    raise ConfigError(
        f"{where} has no such run: was it made with records.mlflow=false? Of a search, nas records RUN writes what is "
        "missing"
    )


def _find_page(recorded: Recorded, server: str | None) -> str | None:
    client = open_client(database_of(recorded.root)) if server is None else open_store(recorded.root, server).client
    # Experiments are few: one for each space that was searched.
    pages = (_page_in(client, str(one.experiment_id), recorded.study_id) for one in client.search_experiments())
    return next(filter(None, pages), None)


def _study_id(run: Path) -> str:
    for name, key in _IDS:
        known = _json(run / name).get(key)
        if is_run_id(known):
            return str(known)
    raise ConfigError(f"{run} is not the folder of a search, a finish, a training or a scaling study")


def _page_in(client: MlflowClient, experiment: str, study_id: str) -> str | None:
    condition = f"tags.`{STUDY_TAG}` = '{study_id}' AND tags.`{TRIAL_TAG}` = '{STUDY_ITSELF}'"
    runs = client.search_runs([experiment], condition, max_results=1)
    if not runs:
        return None
    return saved_page(client, experiment, study_id) or run_page(experiment, str(runs[0].info.run_id))


def serve(root: Path, port: int, ready: Callable[[str], None]) -> None:
    """Run MLflow's server on the records in a folder until this process is interrupted.

    Args:
        root: the folder of records.
        port: of this machine's own address.
        ready: told the address once the server answers.

    Raises:
        ConfigError: there are no records, or something else uses the port. BrowseError: the server does not start, or
            has ended. KeyboardInterrupt: it was interrupted, which is how it is meant to end.
    """
    with _held(port):
        _serve(root, port, ready)


@contextmanager
def _held(port: int) -> Iterator[None]:
    """Hold a port among servers of ours, which take seconds until they are seen to use it.

    Of two that start together, the second would take the answers of the first for its own, and show other records.
    """
    path = user_cache() / f"browse-{port}.lock"
    lock = FileLock(path, timeout=0)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        raise ConfigError(_taken(port, "another nas browse")) from None
    except OSError:  # a cache that cannot be written
        pass
    try:
        yield
    finally:
        lock.release()


def server_command(root: Path, port: int) -> list[str]:
    """Return the command that starts MLflow's server on the records in a folder.

    Raises:
        ConfigError: there are none.
    """
    command = [sys.executable, "-m", "mlflow", "server", "--host", HOST, "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", database_uri(database_of(root)), "--default-artifact-root", places(root)[1]]
    if entry_points(group="mlflow.app", name=_APP):  # not where this package is not installed but in the path
        command += ["--app-name", _APP]
    return command


def prepare(root: Path) -> None:
    """Have SQLite count what is in the tables of a folder of records, by which it chooses how it looks things up.

    Without that it looks at all trials of a study, in place of those with a score, for a page of the best.
    """
    with suppress(sqlite3.Error), closing(sqlite3.connect(database_of(root), timeout=1)) as database:
        database.execute(f"PRAGMA analysis_limit={_ROWS_COUNTED}")
        database.execute("ANALYZE")
        database.commit()


def _serve(root: Path, port: int, ready: Callable[[str], None]) -> None:
    command = server_command(root, port)
    check_free(port)
    prepare(root)
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            command,
            env={**os.environ, **SERVER_ENVIRONMENT},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # it has processes of its own, which end with it
        )
        try:
            _wait(process, port, output)
            ready(f"http://{HOST}:{port}")
            process.wait()
            raise BrowseError(_ended(process, output))
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            process.wait()


def check_free(port: int) -> None:
    """Raise a `ConfigError` where another program uses a port of this machine; names one that is free."""
    if not 1 <= port <= _LAST_PORT:
        raise ConfigError(f"--port must be a number from 1 to {_LAST_PORT}, but got {port}")
    if not _is_free(port):
        raise ConfigError(_taken(port, "another program"))


def _taken(port: int, by: str) -> str:
    """Say that a port is taken, and name one that is free."""
    other = next((one for one in range(port + 1, min(port + 100, _LAST_PORT + 1)) if _is_free(one)), None)
    instead = f"; --port {other} is free" if other is not None else ""
    return f"port {port} is taken by {by}{instead}"


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        # As the server does it, so that one that has just ended is not in the way.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def _wait(process: subprocess.Popen[bytes], port: int, output: IO[bytes]) -> None:
    """Wait until the server answers.

    Raises:
        BrowseError: it ends before that, or takes too long; with the last lines of what it said.
    """
    until = time.monotonic() + _START_SECONDS
    while not _answers(port):
        if process.poll() is not None or time.monotonic() > until:
            raise BrowseError(_ended(process, output))
        time.sleep(_LOOK_SECONDS)


def _ended(process: subprocess.Popen[bytes], output: IO[bytes]) -> str:
    output.seek(0)
    said = output.read().decode(errors="replace").strip().splitlines()[-_LAST_LINES:]
    code = process.poll()
    why = f"does not answer after {_START_SECONDS:g} s" if code is None else f"has ended with code {code}"
    return f"MLflow's server {why}:\n" + "\n".join(said)


def _answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://{HOST}:{port}/health", timeout=5) as answer:
            return bool(answer.status == 200)
    except (OSError, urllib.error.URLError):
        return False
