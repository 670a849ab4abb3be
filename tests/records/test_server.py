"""Records on an MLflow server: its address, and a server that is away."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INTERNAL_ERROR, INVALID_PARAMETER_VALUE, REQUEST_LIMIT_EXCEEDED

import nas
from nas.commands.browse import main as browse
from nas.commands.records import main as write_records
from nas.errors import ConfigError
from nas.records import retry
from nas.records import tracker as tracker_module
from nas.records.batch import BatchStore
from nas.records.server import (
    ServerAwayError,
    answers,
    not_written,
    recorded_server,
    server_of,
    shown_server,
    without_password,
)
from nas.records.store import Store, open_store
from nas.records.study_run import StudyRun
from nas.records.tracker import MlflowTracker
from nas.search.study import Study
from nas.search.trial import State
from tests.reports.studies import study, trial
from tests.search.conftest import SMALL

HOST = "127.0.0.1"


@pytest.mark.parametrize(
    ("given", "variable", "server"),
    [
        (None, None, None),
        (None, "http://there:5000/", "http://there:5000"),
        (None, "https://user:secret@there/mlflow", "https://user:secret@there/mlflow"),
        (None, "sqlite:///mlflow.db", None),
        (None, "./mlruns", None),
        ("http://here:5000", "http://there:5000", "http://here:5000"),
    ],
)
def test_a_setting_counts_more_than_the_variable(
    given: str | None, variable: str | None, server: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    if variable is not None:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", variable)
    assert server_of(given) == server


@pytest.mark.parametrize(
    "address",
    ["there:5000", "sqlite:///mlflow.db", "http://", "http://[bad", "http://a:b", "http://a:0", "http://a\n", ""],
)
def test_what_is_no_address_of_a_server_is_refused(address: str) -> None:
    with pytest.raises(ConfigError, match=r"records\.uri must be the http://"):
        server_of(address)


def test_a_password_is_not_taken_since_it_would_be_recorded() -> None:
    with pytest.raises(ConfigError, match="MLFLOW_TRACKING_PASSWORD") as found:
        server_of("https://user:secret@there")
    assert "secret" not in str(found.value)
    with pytest.raises(ConfigError, match="postgresql://there/mlflow") as found:
        server_of("postgresql://user:secret@there/mlflow")
    assert "secret" not in str(found.value)
    assert shown_server("https://user:secret@there:1/mlflow") == "https://there:1/mlflow"


class _Refuses(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_error(int(self.path.split("/")[1]))

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


def test_a_server_that_refuses_is_there_and_one_that_fails_is_away() -> None:
    with HTTPServer((HOST, 0), _Refuses) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://{HOST}:{server.server_address[1]}"
        assert answers(f"{address}/401")
        assert not answers(f"{address}/503")
        server.shutdown()
    assert not answers(address)


def test_what_answers_in_another_language_is_away() -> None:
    with socket.create_server((HOST, 0)) as other:

        def greet() -> None:
            connection, _ = other.accept()
            connection.sendall(b"SSH-2.0-OpenSSH\r\n")
            connection.close()

        threading.Thread(target=greet, daemon=True).start()
        assert not answers(f"http://{HOST}:{other.getsockname()[1]}")


def test_a_folder_cannot_have_a_password_sent_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert recorded_server("http://there:5000") == "http://there:5000"
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "secret")
    with pytest.raises(
        ConfigError, match="would be sent your MLflow credentials: set MLFLOW_TRACKING_URI=http://there"
    ):
        recorded_server("http://there:5000")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://there:5000")
    assert recorded_server("http://there:5000") == "http://there:5000"
    assert recorded_server(None) == "http://there:5000"
    assert recorded_server(5) == "http://there:5000"


def test_what_mlflow_says_is_told_without_the_password() -> None:
    text = "API request to https://user:s3cret@there:1/api failed, see http://there/x@y"
    assert without_password(text) == "API request to https://there:1/api failed, see http://there/x@y"
    assert without_password("HTTP://user:s3@cret@there") == "HTTP://there"


def test_what_is_no_answer_is_told_in_a_line() -> None:
    page = "<html>\n\x1b[2J" + "x" * 10**6
    told = not_written(ValueError(f"Response body: {page} of http://user:s3cret@there"))
    assert "\n" not in told
    assert "\x1b" not in told
    assert "s3cret" not in told
    assert len(told) < 1200


class _Fails(BaseHTTPRequestHandler):
    """A server that is there, and answers what it is asked of its records with a status that is in its address."""

    def do_GET(self) -> None:
        status, _, rest = self.path[1:].partition("/")
        code = 200 if rest == "health" else int(status)
        body = b"{}" if rest == "health" or status == "200" else b"<html>sorry</html>"
        self.send_response(code if code != 299 else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET  # noqa: N815

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.mark.parametrize(
    ("status", "away"),
    [(200, False), (299, True), (401, False), (403, False), (404, False), (429, True), (500, True), (502, True)],
)
def test_a_server_that_cannot_read_its_records_is_away(status: int, away: bool, tmp_path: Path) -> None:
    """299 stands for a page instead of JSON."""
    with HTTPServer((HOST, 0), _Fails) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        store = open_store(tmp_path, f"http://{HOST}:{server.server_address[1]}/{status}")
        assert store.is_away(ValueError("of the record itself")) == away
        server.shutdown()
    assert store.is_away(ValueError("of the record itself"))


def test_a_server_that_is_too_busy_is_asked_again(tmp_path: Path) -> None:
    with HTTPServer((HOST, 0), _Fails) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        store = open_store(tmp_path, f"http://{HOST}:{server.server_address[1]}/200")
        assert store.is_away(MlflowException("too many requests", error_code=REQUEST_LIMIT_EXCEEDED))
        assert store.is_away(MlflowException("for a moment", error_code=INTERNAL_ERROR))
        assert not store.is_away(MlflowException("by the record", error_code=INTERNAL_ERROR), of_record=True)
        assert not store.is_away(MlflowException("no such parameter", error_code=INVALID_PARAMETER_VALUE))
        server.shutdown()


def test_a_server_that_is_back_before_it_is_asked_why_loses_nothing(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retry, "_FIRST_SECONDS", 0.1)
    write, calls = StudyRun.write, []

    def away_at_first(run: StudyRun, records: Any) -> None:
        calls.append(len(records))
        if len(calls) == 1:
            raise ServerAwayError("for a moment")
        write(run, records)

    monkeypatch.setattr(StudyRun, "write", away_at_first)
    tracker = MlflowTracker(root)
    study = nas.run_search(
        nas.SearchSpace.from_dict(SMALL), lambda *_: 1.0, trials=3, run_dir=root / "a", recorders=[tracker]
    )
    assert tracker.trouble == ""
    assert len(calls) > 1
    assert len(_runs(MlflowClient(tracking_uri=tracker.uri))) == 1 + len(study.trials)


def test_a_server_that_fails_by_many_records_and_recovers_loses_none(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After ten failures in a row those that follow are not tried; they must be later."""
    monkeypatch.setattr(retry, "_FIRST_SECONDS", 0.1)
    monkeypatch.setattr(Store, "is_away", lambda store, error, of_record=False: not of_record)
    monkeypatch.setattr(BatchStore, "write", lambda *_: [])  # each alone, as to a server
    create, calls = StudyRun._create, []

    def fails_at_first(run: StudyRun, record: Any) -> str:
        calls.append(record.key)
        if len(calls) <= 12:
            raise MlflowException("out of connections", error_code=INTERNAL_ERROR)
        return create(run, record)

    monkeypatch.setattr(StudyRun, "_create", fails_at_first)
    tracker = MlflowTracker(root)
    study = nas.run_search(
        nas.SearchSpace.from_dict(SMALL), lambda *_: 1.0, trials=15, run_dir=root / "a", recorders=[tracker]
    )
    assert tracker.trouble == ""
    assert len(_runs(MlflowClient(tracking_uri=tracker.uri))) == 1 + len(study.trials)


def test_what_a_server_did_not_take_is_sent_again_at_the_end(tmp_path: Path) -> None:
    tracker = MlflowTracker(tmp_path, "http://there")
    made = study(trial(0, 0.5), trial(1, 0.6), trial(2, 0.7))
    run = _Lacks()
    tracker._write_lacking(run, made)  # type: ignore[arg-type]
    assert run.done == ["read", "1", "read", "1"]
    tracker.close()


class _Lacks:
    """A study that lacks a trial."""

    def __init__(self) -> None:
        self.lacking, self.done = {"1": "INTERNAL_ERROR"}, list[str]()

    def read_children(self) -> None:
        self.done.append("read")

    def write(self, records: Any) -> None:
        self.done += [record.key for record in records]
        if len(self.done) > 2:  # not at the first time
            self.lacking.clear()


def test_a_server_that_never_answers_costs_the_search_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(retry, "_FIRST_SECONDS", 0.1)
    monkeypatch.setattr(tracker_module, "LAST_SECONDS", 0.1)
    server = f"http://{HOST}:{_free_port()}"
    tracker = MlflowTracker(tmp_path, server)
    study = nas.run_search(
        nas.SearchSpace.from_dict(SMALL), lambda *_: 1.0, trials=3, run_dir=tmp_path / "a", recorders=[tracker]
    )
    assert study.counts()["completed"] == 3
    assert tracker.trouble == f"MLflow lacks what came last: {server} does not answer"
    assert write_records([str(tmp_path / "a"), "--uri", server, "--json"]) == 2
    out, err = capsys.readouterr()
    assert "does not answer" in err
    facts = json.loads(out)
    assert facts["error"] == facts["mlflow"]["trouble"] == tracker.trouble
    assert facts["mlflow"]["server"] == server


class _Hangs(BaseHTTPRequestHandler):
    """A server that takes questions and does not answer them, but for whether it is there."""

    over = threading.Event()

    def do_GET(self) -> None:
        if self.path != "/health":
            self.over.wait(60)
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_POST = do_GET  # noqa: N815

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def hanging() -> Iterator[str]:
    """The address of a server that does not answer."""
    _Hangs.over.clear()
    with ThreadingHTTPServer((HOST, 0), _Hangs) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://{HOST}:{server.server_address[1]}"
        _Hangs.over.set()
        server.shutdown()


def test_who_interrupts_a_search_is_not_kept_by_a_server_that_does_not_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hanging: str
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "60")
    monkeypatch.setattr(tracker_module, "INTERRUPTED_SECONDS", 0.1)
    tracker = MlflowTracker(tmp_path, hanging)

    def evaluate(*_: Any) -> float:
        tracker.wait_until_loaded()
        raise KeyboardInterrupt

    study = nas.run_search(
        nas.SearchSpace.from_dict(SMALL), evaluate, trials=3, workers=0, run_dir=tmp_path / "a", recorders=[tracker]
    )
    assert study.interrupted
    assert tracker.trouble == f"MLflow lacks what came last: {hanging} does not answer"
    assert not _Hangs.over.is_set()


def test_an_interrupt_at_the_end_of_a_search_ends_the_wait_for_a_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hanging: str
) -> None:
    """What the search has found is returned, and no error."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "60")
    tracker = MlflowTracker(tmp_path, hanging)

    def end(study: Study) -> None:
        threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()
        MlflowTracker.end(tracker, study)

    monkeypatch.setattr(tracker, "end", end)
    study = nas.run_search(
        nas.SearchSpace.from_dict(SMALL), lambda *_: 1.0, trials=3, run_dir=tmp_path / "a", recorders=[tracker]
    )
    tracker.close()  # does not wait again
    assert not study.interrupted
    assert len(study.best(3)) == 3
    assert tracker.trouble == f"MLflow lacks what came last: {hanging} does not answer"
    assert not _Hangs.over.is_set()


def test_whether_a_server_reads_its_records_is_seen_within_seconds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hanging: str
) -> None:
    asked: list[str] = []

    def search(*_: Any, **__: Any) -> None:
        asked.append(os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"])

    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "60")
    store = open_store(tmp_path, hanging)
    monkeypatch.setattr(MlflowClient, "search_experiments", search)
    assert store.is_there()
    assert asked == ["5"]
    assert os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "60"
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "2")
    assert store.is_there()
    assert asked == ["5", "2"]


def test_what_a_database_lacks_is_written_from_the_run_folder(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study = nas.run_search(nas.SearchSpace.from_dict(SMALL), lambda *_: 1.0, trials=3, run_dir=root / "a")
    for _ in range(2):
        assert write_records([str(root / "a"), "--json"]) == 0
        out, err = capsys.readouterr()
        assert "MLflow has all of" in err
        facts = json.loads(out)
        assert (facts["run_folder"], facts["trials"]) == (str(root / "a"), 3)
        assert (facts["mlflow"]["database"], facts["mlflow"]["server"]) == (str(root / "mlflow.db"), None)
        runs = _runs(MlflowClient(tracking_uri=MlflowTracker(root).uri))
        assert sorted(runs) == sorted(["study", *(str(trial.number) for trial in study.trials)])
    assert runs["study"].info.status == "FINISHED"


def test_a_folder_that_is_none_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert write_records([str(tmp_path)]) == 2
    assert "nas.records:" in capsys.readouterr().err


@pytest.mark.slow  # MLflow's server takes seconds to start
def test_an_outage_in_the_middle_loses_nothing(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The server is not there at the start, comes, is killed between two trials, and comes back."""
    monkeypatch.setattr(retry, "_FIRST_SECONDS", 0.2)
    port = _free_port()
    server = f"http://{HOST}:{port}"
    tracker = MlflowTracker(root / "records", server)
    phases = iter(("before", "there", "away", "back"))
    running: list[Any] = []

    def evaluate(arch: nas.Architecture, budget: nas.Budget, seed: int) -> float:
        """Three trials in each phase."""
        if calls["n"] % 3 == 0:
            phase = next(phases, None)
            if phase in ("there", "back"):
                running.append(_start(root, port))
                _wait_until(lambda: answers(server))
            elif phase == "away":
                _wait_until(lambda: len(tracker._run.children if tracker._run else ()) >= 3)
                _kill(running.pop())
        calls["n"] += 1
        return nas.cost_of(arch).params / 1e6

    calls = {"n": 0}
    config = {"records": {"uri": server}}
    try:
        study = nas.run_search(
            nas.SearchSpace.from_dict(SMALL),
            evaluate,
            trials=12,
            sampler="random",
            run_dir=root / "records" / "a",
            recorders=[tracker],
            notes={"config": config},
        )
        assert tracker.trouble == ""
        client = MlflowClient(tracking_uri=server)
        runs = _runs(client)
        trials = {str(trial.number): trial for trial in study.trials}
        assert sorted(runs) == sorted(["study", *trials])
        for key, trial in trials.items():
            assert runs[key].info.status == "FINISHED"
            assert runs[key].data.metrics["val_accuracy"] == trial.scores["val_accuracy"]
            assert runs[key].data.params["arch_id"] == trial.arch_id
        best = client.get_metric_history(runs["study"].info.run_id, "best_val_accuracy")
        completed = [trial for trial in study.trials if trial.state is State.COMPLETED]
        scores = [trial.scores["val_accuracy"] for trial in completed]
        assert sorted(point.value for point in best) == sorted({max(scores[: n + 1]) for n in range(len(scores))})
        assert browse([str(root / "records" / "a")]) == 0
        assert capsys.readouterr().out == f"Open {server}{tracker.page}\n"
        assert browse([str(root / "records" / "a"), "--json"]) == 0
        assert json.loads(capsys.readouterr().out) == {"address": f"{server}{tracker.page}"}
    finally:
        for process in running:
            _kill(process)


def _runs(client: MlflowClient) -> dict[str, Any]:
    experiment = client.get_experiment_by_name("small")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id], max_results=1000)
    by_key = {run.data.tags["nas.trial"]: run for run in runs}
    assert len(by_key) == len(runs), "nothing is there twice"
    return by_key


def _start(root: Path, port: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "mlflow", "server", "--host", HOST, "--port", str(port), "--workers", "1"]
    command += [
        "--backend-store-uri",
        f"sqlite:///{root / 'mlflow.db'}",
        "--artifacts-destination",
        str(root / "files"),
    ]
    log = (root / "server.log").open("ab")
    return subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)


def _kill(process: subprocess.Popen[bytes]) -> None:
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _wait_until(holds: Any) -> None:
    until = time.monotonic() + 120
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.1)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])
