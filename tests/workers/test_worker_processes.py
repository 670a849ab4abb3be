"""Worker processes in trouble: what they start, how they die, what they say, how much they may have."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import nas
from nas.errors import ConfigError, WorkerError, plain
from nas.search.trial import State
from nas.workers import processes as workers
from nas.workers.evaluating import Task
from nas.workers.processes import WorkerPool
from tests.search import trouble

ROOT = Path(__file__).parents[2]


def _alive(pid: int) -> bool:
    try:
        # A process that ended but is not yet collected counts as dead.
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def _all_end(folder: Path) -> int:
    """Wait until all processes that are noted in a folder have ended; returns how many they are."""
    pids = [int(pid) for file in folder.glob("*.pids") for pid in file.read_text().split()]
    for _ in range(200):
        left = [pid for pid in pids if _alive(pid)]
        if not left:
            return len(pids)
        time.sleep(0.05)
    raise AssertionError(f"{len(left)} of {len(pids)} processes are left")


def test_an_evaluator_may_start_processes(space: nas.SearchSpace) -> None:
    study = nas.run_search(space, trouble.Parallel(), trials=1, sampler="random", workers=1)
    assert study.trials[0].scores == {"val_accuracy": 2.0 * (0 + 1 + 4 + 9)}, study.trials[0].reason


@pytest.mark.slow
def test_a_data_loader_with_workers(space: nas.SearchSpace) -> None:
    study = nas.run_search(space, trouble.loaded, trials=1, sampler="random", workers=1)
    assert study.trials[0].scores == {"val_accuracy": 28.0}, study.trials[0].reason


@pytest.mark.parametrize(("end", "started"), [("killed", 2 * 4), ("late", 4)])
def test_what_a_worker_has_started_ends_with_it(space: nas.SearchSpace, tmp_path: Path, end: str, started: int) -> None:
    """A forked child keeps the worker's pipe open, so that its end is not seen there."""
    study = nas.run_search(
        space,
        trouble.Parent(tmp_path, end),
        trials=1,
        sampler="random",
        workers=1,
        trial_minutes=2 / 60 if end == "late" else None,
    )
    assert [trial.state for trial in study.trials] == [State.FAILED]
    assert _all_end(tmp_path) == started


_DRIVER = """
import sys
from pathlib import Path
import nas
from tests.search import trouble
from tests.search.conftest import SMALL
if __name__ == "__main__":
    nas.run_search(nas.SearchSpace.from_dict(SMALL), trouble.Parent(Path(sys.argv[1]), "never"), trials=2, workers=2)
"""


def test_what_workers_have_started_ends_with_a_driver_that_is_killed(tmp_path: Path) -> None:
    script = tmp_path / "driver.py"
    script.write_text(_DRIVER)
    driver = subprocess.Popen([sys.executable, str(script), str(tmp_path)], env={**os.environ, "PYTHONPATH": str(ROOT)})
    while driver.poll() is None and len(list(tmp_path.glob("*.pids"))) < 2:
        time.sleep(0.05)
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    assert _all_end(tmp_path) == 8


@pytest.mark.parametrize(
    ("number", "kills", "expected"),
    [
        (signal.SIGKILL, 1, (State.COMPLETED, 2)),
        (signal.SIGTERM, 1, (State.COMPLETED, 2)),
        (signal.SIGKILL, 2, (State.FAILED, 2)),
        (signal.SIGABRT, 1, (State.FAILED, 1)),  # of its own making
    ],
)
def test_a_worker_that_is_killed_from_outside_is_tried_again(
    space: nas.SearchSpace, tmp_path: Path, number: signal.Signals, kills: int, expected: tuple[State, int]
) -> None:
    evaluator = trouble.Attempts(tmp_path, number, kills)
    (trial,) = nas.run_search(space, evaluator, trials=1, sampler="random", workers=1).trials
    assert (trial.state, len(list(tmp_path.iterdir()))) == expected
    assert trial.scores or f"was ended by {number.name}" in trial.reason


@pytest.mark.parametrize("count", [0, 1])
@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("mute", "MuteError: (its text cannot be had: RuntimeError)"),
        ("half", r"ValueError: half of a pair \ud800, a null \x00, and an escape \x1b[2J"),
        ("base", "Stop: now"),
        ("keyboard", "KeyboardInterrupt: its own"),
    ],
)
def test_any_error_fails_its_trial_alone(
    space: nas.SearchSpace, tmp_path: Path, name: str, reason: str, count: int
) -> None:
    if (name, count) == ("keyboard", 0):
        pytest.skip("in this process it is the user's")
    study = nas.run_search(
        space, trouble.Raises(name), trials=2, sampler="random", workers=count, run_dir=tmp_path / "run"
    )
    assert [trial.reason for trial in study.trials] == [reason, reason]
    again = nas.run_search(
        space, trouble.Raises(name), trials=2, sampler="random", run_dir=tmp_path / "run", resume=True
    )
    assert [trial.reason for trial in again.trials] == [reason, reason]


def test_a_reason_is_bounded(space: nas.SearchSpace) -> None:
    study = nas.run_search(space, trouble.Raises("long"), trials=1, sampler="random")
    assert len(study.trials[0].reason) < 2100
    assert "9,998,012 characters left out" in study.trials[0].reason
    assert plain("x" * 2000) == "x" * 2000
    assert plain("naïve Größe\n\t日本") == "naïve Größe\n\t日本"


class _Interrupted:
    """As Lightning does: what interrupts it leaves the program."""

    def __call__(self, *_: Any) -> float:
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt:
            sys.exit(1)


def test_an_evaluator_that_turns_ctrl_c_into_an_exit_is_interrupted(space: nas.SearchSpace) -> None:
    assert nas.run_search(space, _Interrupted(), trials=2, sampler="random").stop_reason == "interrupted"


# What cannot start


def test_an_evaluator_that_cannot_be_sent(space: nas.SearchSpace) -> None:
    with pytest.raises(WorkerError, match=r"cannot be sent .*lambda.*top level of a file.*workers=0"):
        nas.run_search(space, lambda *_: 1.0, trials=1, workers=1)


def test_an_evaluator_that_cannot_be_loaded(space: nas.SearchSpace) -> None:
    with pytest.raises(WorkerError, match=r"cannot be loaded .*ImportError: no module named bespoke.*workers=0"):
        nas.run_search(space, trouble.Unreadable(), trials=1, workers=1)


_SEARCH = """
import nas
from tests.search.conftest import SMALL
def score(arch, budget, seed):
    return 1.0
"""
_RUN = 'nas.run_search(nas.SearchSpace.from_dict(SMALL), score, trials=1, workers=1, sampler="random")\n'


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("unguarded", ["starts worker processes when it is imported", 'if __name__ == "__main__":', "workers=0"]),
        pytest.param("-c", ["Can't get attribute 'score'", "top level of a file", "workers=0"], marks=pytest.mark.slow),
        pytest.param("stdin", ["No such file or directory", "it must be a file", "workers=0"], marks=pytest.mark.slow),
        pytest.param("exits", ["SystemExit", "workers=0"], marks=pytest.mark.slow),
    ],
)
def test_a_script_that_workers_cannot_import(tmp_path: Path, how: str, words: list[str]) -> None:
    script = tmp_path / "script.py"
    script.write_text(_SEARCH + _RUN)
    arguments, given = [str(script)], ""
    if how == "-c":
        arguments = ["-c", _SEARCH + _RUN]
    elif how == "stdin":
        arguments, given = [], f'{_SEARCH}if __name__ == "__main__":\n    {_RUN}'
    elif how == "exits":
        script.write_text(f'{_SEARCH}if __name__ == "__main__":\n    {_RUN}else:\n    raise SystemExit("SystemExit")\n')
    found = subprocess.run(
        [sys.executable, *arguments],
        input=given,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        cwd=tmp_path,
    )
    assert found.returncode == 1
    said = found.stderr[found.stderr.index("nas.errors.WorkerError: ") :]
    for word in words:
        assert word in said
    assert not found.stdout


# Bounds


def test_the_number_of_workers_is_bounded(space: nas.SearchSpace) -> None:
    for search in (
        lambda: nas.run_search(space, trouble.Parallel(), trials=1, workers=100_000_000),
        lambda: WorkerPool(trouble.Parallel(), 100_000_000),
    ):
        with pytest.raises(ConfigError, match=r"workers: at most .* but got 100,000,000"):
            search()


def test_a_worker_has_no_more_memory_than_it_may(space: nas.SearchSpace) -> None:
    ends = {}
    for mib in (10, 3000):
        study = nas.run_search(
            space, trouble.Wants(mib), trials=1, sampler="random", workers=1, worker_memory_mib=1000, max_rejections=1
        )
        ends[mib] = study.trials[0]
    assert ends[10].scores == {"val_accuracy": 10 * 2**20}
    assert ends[3000].out_of_memory
    assert "MemoryError" in ends[3000].reason


def test_a_machine_of_many_cores_may_run_four_processes_on_each(
    space: nas.SearchSpace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nas.workers.process.cores", lambda: 100)
    with pytest.raises(
        ConfigError, match=r"workers: at most 400 processes on this machine with 100 cores, but got 401"
    ):
        WorkerPool(trouble.Parallel(), 401)


def test_the_memory_of_a_worker_is_in_mib(space: nas.SearchSpace) -> None:
    study = nas.run_search(space, trouble.MemoryLimit(), trials=1, workers=1, worker_memory_mib=3000)
    assert study.trials[0].scores == {"val_accuracy": 3000 * 2**20}


def test_a_log_of_a_megabyte_stays_whole(
    space: nas.SearchSpace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "_LOG_SECONDS", 0.0)
    log = tmp_path / "workers.log"
    log.write_bytes(b"x" * 2**20)
    pool = WorkerPool(trouble.MemoryLimit(), 1, log=log)
    try:
        pool.submit(Task(0, space.decode(space.sample(0)), nas.Budget(), 0))
        while not pool.wait(None):
            pass
        pool.wait(0)
    finally:
        pool.close()
    assert log.read_bytes().startswith(b"x" * 2**20)


def test_a_signal_without_a_name_is_told_by_its_number(space: nas.SearchSpace) -> None:
    study = nas.run_search(space, trouble.SendsItself(40), trials=1, workers=1)
    assert study.trials[0].reason.startswith("its worker process was ended by signal 40")


def test_the_log_of_workers_is_bounded(space: nas.SearchSpace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "_LOG_BYTES", 100_000)
    monkeypatch.setattr(workers, "_LOG_SECONDS", 0.0)
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    log = tmp_path / "workers.log"
    pool = WorkerPool(trouble.Chatty(), 1, log=log)
    try:
        for number in range(3):  # each prints a megabyte
            pool.submit(Task(number, space.decode(space.sample(0)), nas.Budget(), 0))
            outcomes = pool.wait(None)
            while not outcomes:
                outcomes = pool.wait(None)
            assert outcomes[0].evaluation is not None, outcomes[0].reason
        pool.wait(0)
    finally:
        pool.close()
    kept = log.read_bytes()
    assert len(kept) < 30_000
    left_out = re.match(rb"\[(\d+) bytes left out\]\n", kept)
    assert left_out
    assert int(left_out[1]) >= 75_000  # of more than 100,000 the last 25,000 stay
    assert kept.endswith(rb"\ud800" + b"\n")
