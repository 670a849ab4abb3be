"""How long people wait for the records of a large study, and what an outage of the server costs a search.

    python -m benchmarks.mlflow_browse --trials 3000 --epochs 10
    python -m benchmarks.mlflow_browse --outage

First: made-up trials of mbconv in MLflow's database, its server on that, the request of its page for the best 100, the
page itself and the report in Chromium, where that is installed. With --outage: a search whose evaluations sleep, beside
the same without records; its server is not there at the start, comes, is killed for about a minute, and comes back.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path

import nas
from benchmarks.browser import Browser, chromium
from benchmarks.mlflow_records import made_up
from nas.records.browsing import HOST, SERVER_ENVIRONMENT, prepare, server_command
from nas.records.server import answers
from nas.records.store import database_uri, experiment_id, open_store, places
from nas.records.tracker import MlflowTracker
from nas.search.study import Study

TIMES = 5
_BEST = 100


def start(words: Sequence[str], folder: Path) -> subprocess.Popen[bytes]:
    """Start a server in a folder."""
    return subprocess.Popen(
        words,
        env={**os.environ, **SERVER_ENVIRONMENT},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        cwd=folder,
    )


def usual_server(store: str, files: Path, port: int) -> list[str]:
    """Return the command of MLflow's server on a store, as a team runs it."""
    words = [sys.executable, "-m", "mlflow", "server", "--host", HOST, "--port", str(port), "--workers", "1"]
    return [*words, "--backend-store-uri", store, "--artifacts-destination", str(files)]


def kill(process: subprocess.Popen[bytes]) -> None:
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def wait_for(server: str) -> None:
    while not answers(server):
        time.sleep(0.1)


def computed(group: int) -> float:
    """CPU seconds that the processes of a group, those of a server, have used."""
    ticks = 0
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(") ")[2].split()
        except OSError:  # it has ended
            continue
        if int(fields[2]) == group:
            ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def best_of(server: str, study: Study, experiment: str) -> float:
    """Seconds of the request that the page makes for the best trials."""
    asked = {
        "experiment_ids": [experiment],
        "filter": f"tags.`nas.study_id` = '{study.study_id}' AND tags.`nas.trial` != 'study'",
        "order_by": [f"metrics.`{study.objective}` DESC"],
        "max_results": _BEST,
        "run_view_type": "ACTIVE_ONLY",
    }
    request = urllib.request.Request(
        f"{server}/ajax-api/2.0/mlflow/runs/search", json.dumps(asked).encode(), {"Content-Type": "application/json"}
    )
    started = time.perf_counter()
    with urllib.request.urlopen(request) as answer:
        found = json.loads(answer.read())
    took = time.perf_counter() - started
    assert len(found["runs"]) == min(_BEST, len(study.trials))
    return took


def waiting(root: Path, trials: int, epochs: int) -> None:
    """Print what people wait for with a study of some trials."""
    study = made_up(trials, epochs, 0, root / "study")
    tracker = MlflowTracker(root)
    tracker.wait_until_loaded()
    tracker.begin(study)
    tracker.end(study)
    assert not tracker.trouble, tracker.trouble
    print("| what | seconds | of computing |\n| --- | --: | --: |")
    print(f"| writing a trial to MLflow | {tracker.seconds / trials:.4f} | |", flush=True)
    page = root / "study" / "report.html"
    started = time.perf_counter()
    subprocess.run([sys.executable, "-m", "nas", "report", str(page.parent)], check=True, stdout=subprocess.DEVNULL)
    took, used = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    print(f"| `nas report`, Python's start included | {took:.2f} | {used.ru_utime + used.ru_stime:.2f} |", flush=True)
    port = free_port()
    server = f"http://{HOST}:{port}"
    prepare(root)
    process = start(server_command(root, port), root)
    try:
        wait_for(server)
        experiment = experiment_id(open_store(root).client, study.space.name, None)
        first, before = best_of(server, study, experiment), computed(process.pid)
        times = [best_of(server, study, experiment) for _ in range(TIMES)]
        each = (computed(process.pid) - before) / TIMES
        print(f"| the request for the best {_BEST}, the first | {first:.2f} | |")
        print(f"| the same again, median of {TIMES} | {statistics.median(times):.2f} | {each:.2f} |", flush=True)
        if chromium() is None:
            print("Chromium is not installed: pages were not opened", file=sys.stderr)
            return
        best = study.best(1)[0].number
        shows = f"document.body.innerText.includes('trial {best:04d}')"
        with Browser(width=1600) as browser:
            times = [browser.open(f"{server}{tracker.page}", shows) for _ in range(TIMES + 1)]
        print(f"| MLflow's page until the best trial is there, the first | {times[0]:.2f} | |")
        print(f"| the same again, median of {TIMES} | {statistics.median(times[1:]):.2f} | |", flush=True)
    finally:
        kill(process)
    with Browser(width=1600) as browser:
        times = [browser.open(page.absolute().as_uri()) for _ in range(TIMES)]
    print(f"| the report until it is loaded, median of {TIMES} | {statistics.median(times):.2f} | |", flush=True)


def outage(root: Path, trials: int, sleep: float, away: float) -> None:
    """Print how long a search takes through an outage and without records, in turn, and what is missing."""
    port = free_port()
    server = f"http://{HOST}:{port}"
    store = database_uri(places(root)[0])
    open_store(root)  # the tables, which take a while
    running: list[subprocess.Popen[bytes]] = []
    log = list[str]()

    def come_and_go() -> None:
        began = time.monotonic()
        time.sleep(away / 6)
        for then in (away / 2, 0.0):
            running.append(start(usual_server(store, root / "files", port), root))
            wait_for(server)
            log.append(f"there at {time.monotonic() - began:.0f} s")
            if then:
                time.sleep(then)
                kill(running.pop())
                log.append(f"killed at {time.monotonic() - began:.0f} s")
                time.sleep(away - 5)  # it takes about as long to start

    def evaluate(arch: nas.Architecture, budget: nas.Budget, seed: int) -> float:
        time.sleep(sleep)
        return nas.cost_of(arch).params / 1e6

    def search(name: str, recorders: list[MlflowTracker]) -> tuple[Study, float]:
        started = time.perf_counter()
        study = nas.run_search(
            nas.load_space("mbconv").for_data((1, 8, 8), 10),
            evaluate,
            trials=trials,
            sampler="random",
            run_dir=root / name,
            recorders=recorders,
        )
        return study, time.perf_counter() - started

    without, whole_without = search("without", [])
    tracker = MlflowTracker(root, server)
    threading.Thread(target=come_and_go, daemon=True).start()
    study, whole = search("with", [tracker])
    lasted = [max(trial.elapsed for trial in one.trials) for one in (without, study)]
    print(f"server: {', '.join(log)}")
    print(f"without records: {lasted[0]:.2f} s until the last trial, {whole_without:.2f} s with the end")
    print(f"with the outage: {lasted[1]:.2f} s until the last trial, {whole:.2f} s with the end")
    print(f"ratio: {lasted[1] / lasted[0]:.4f}; trouble: {tracker.trouble!r}")
    client = open_store(root).client
    runs = client.search_runs([tracker._run.experiment if tracker._run else ""], max_results=5000)
    by_key = {run.data.tags["nas.trial"]: run for run in runs}
    missing = [trial.number for trial in study.trials if str(trial.number) not in by_key]
    other = [
        one
        for one in study.trials
        if by_key[str(one.number)].data.metrics["val_accuracy"] != one.scores["val_accuracy"]
    ]
    print(f"{len(runs)} runs, {len(runs) - len(by_key)} twice, {len(missing)} missing, {len(other)} with another score")
    for process in running:
        kill(process)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=3000)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--outage", action="store_true", help="only what an outage costs")
    parser.add_argument("--sleep", type=float, default=0.25, help="seconds of an evaluation, with --outage")
    parser.add_argument("--away", type=float, default=60.0, help="seconds for which the server is away, with --outage")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if options.outage:
            trials = round(2.2 * options.away / options.sleep)
            outage(Path(folder), trials, options.sleep, options.away)
        else:
            waiting(Path(folder), options.trials, options.epochs)


if __name__ == "__main__":
    main()
