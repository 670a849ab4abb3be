"""Slurm alone: what it is asked for, workers that come and go, and wall times. Some workers are scripted here."""

from __future__ import annotations

import json
import os
import pickle
import re
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from multiprocessing import Pipe
from multiprocessing.connection import Client
from pathlib import Path
from typing import Any

import pytest

import nas
from nas.errors import ConfigError, WorkerError
from nas.evaluation import Budget, Evaluation
from nas.search.config import Config
from nas.workers.evaluating import Outcome, Task
from nas.workers.executors import slurm_commands, slurm_executor
from nas.workers.executors.executor import Alive, Began, Ended, Event, Job, Lost, Progress, Worker
from nas.workers.executors.leased_pool import LeasedPool
from nas.workers.executors.settings import SlurmSettings
from nas.workers.executors.slurm_batch import own_address, parts
from nas.workers.executors.slurm_executor import SlurmExecutor
from nas.workers.executors.slurm_messages import (
    Answer,
    Arrived,
    Do,
    Freed,
    Leave,
    Leaving,
    Meeting,
    Setup,
    Stop,
)
from nas.workers.executors.slurm_trials import JobPipe, Trials
from nas.workers.executors.versions import versions_here
from nas.workers.keeper import Keeper
from tests.search import evaluators
from tests.workers import elsewhere
from tests.workers.fake_slurm import FakeSlurm

ROOT = Path(__file__).resolve().parents[2]
ARCHITECTURE = nas.load_space("reference/squeezenet1_1").decode({})
HERE = "127.0.0.1"


@pytest.fixture
def executors(fake_slurm: FakeSlurm, tmp_path: Path) -> Iterator[Callable[..., SlurmExecutor]]:
    """Makes executors that are open, and closes them at the end."""
    made: list[SlurmExecutor] = []

    def make(workers: int = 1, evaluator: nas.Evaluator = evaluators.params, **settings: Any) -> SlurmExecutor:
        settings = {"host": HERE, "lease_seconds": 8.0, **settings}
        made.append(SlurmExecutor(SlurmSettings(**settings), workers, tmp_path / "logs", look_seconds=0.1))
        made[-1].open(evaluator)
        return made[-1]

    yield make
    for executor in made:
        executor.close()


class Clock:
    """The time of the driver, which a test moves."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def monotonic(self) -> float:
        return self.seconds


class Scripted:
    """A worker that the test plays."""

    def __init__(self, executor: SlurmExecutor, folder: Path, slurm_job: str, seconds: float | None = None) -> None:
        (file,) = folder.glob("*.json")
        meeting = Meeting.read(file)
        self.executor, self.name = executor, f"worker of {slurm_job}"
        self.connection = Client((meeting.host, meeting.port), family="AF_INET", authkey=bytes.fromhex(meeting.key))
        self.say(Arrived(self.name, slurm_job, Worker("there", 1), seconds))
        assert isinstance(self.told(), Setup)

    def say(self, message: object) -> None:
        self.connection.send(message)

    def told(self) -> Any:
        """Return the next message of the driver."""
        until = time.monotonic() + 60
        while not self.connection.poll(0.05):
            assert time.monotonic() < until, "the driver says nothing"
            assert [*self.executor.receive(0.05)] == []
        return self.connection.recv()

    def heard(self, *messages: object) -> list[Event]:
        """Say something, and return what the executor makes of it."""
        for message in messages:
            self.say(message)
        return _events(self.executor, len(messages))

    def does(self, lease: str, clock: Clock, seconds: float) -> None:
        """Take a trial, and end it after a while."""
        task = self.told()
        assert isinstance(task, Do)
        assert pickle.loads(task.job).lease == task.lease == lease
        self.heard(Began(lease, Worker("there", 1), {}))
        clock.seconds += seconds
        self.heard(Ended(lease, Outcome(1, Evaluation({}))))


def _events(executor: SlurmExecutor, count: int) -> list[Event]:
    found: list[Event] = []
    until = time.monotonic() + 60
    while len(found) < count:
        assert time.monotonic() < until, f"only {found}"
        found += executor.receive(0.05)
    return found


def _job(lease: str) -> Job:
    return Job(lease, Task(1, ARCHITECTURE, Budget(), 1))


def test_slurm_is_asked_for_what_the_settings_say(
    executors: Callable[..., SlurmExecutor], fake_slurm: FakeSlurm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "64")  # of the job that the driver runs in
    monkeypatch.setenv("SLURM_CONF", "/etc/slurm/slurm.conf")
    fake_slurm.hold("Priority")
    executor = executors(
        3,
        partition="gpu",
        account="lab",
        qos="high",
        minutes=90.5,
        cpus=4,
        gpus=2,
        memory_mib=2048,
        sbatch=["--constraint=a100"],
        setup=["module load cuda"],
        python="/opt/venv/bin/python",
        signal_seconds=30,
    )
    executor.start(Job("a", None))
    (call,) = fake_slurm.submissions()
    logs = tmp_path / "logs"
    assert call["words"] == [
        "--parsable",
        call["words"][1],
        "--array=0-2",
        "--nodes=1",
        "--ntasks=1",
        "--cpus-per-task=4",
        f"--output={logs}/%A_%a.log",
        "--open-mode=append",
        "--export=ALL",
        "--signal=USR1@30",
        "--partition=gpu",
        "--account=lab",
        "--qos=high",
        "--time=90:30",
        "--mem=2048M",
        "--gres=gpu:2",
        "--no-requeue",
        "--constraint=a100",
    ]
    assert call["words"][1].startswith("--job-name=nas-")
    first, setup, *exports, run = call["script"].splitlines()
    assert (first, setup) == ("#!/bin/bash", "module load cuda")
    assert "export OMP_NUM_THREADS=4" in exports
    assert not any("CUDA" in line for line in exports), "Slurm says which GPUs a job has"
    (file,) = logs.glob("*.json")
    step = "srun --ntasks=1 --cpus-per-task=4 --mpi=none"
    assert run == f"exec {step} /opt/venv/bin/python -m nas.workers.executors.slurm_worker {file}"
    assert "SLURM_CPUS_PER_TASK" not in call["environment"]
    assert call["environment"]["SLURM_CONF"] == "/etc/slurm/slurm.conf"
    assert executor.notes == (
        f"Slurm: array job 100 (up to 3 at a time), logs in {logs}; workers connect to {HERE}:"
        f"{Meeting.read(file).port}",
    )


def test_the_key_is_in_a_file_that_its_owner_alone_can_read(
    executors: Callable[..., SlurmExecutor], fake_slurm: FakeSlurm, tmp_path: Path
) -> None:
    fake_slurm.hold("Priority")
    executor = executors()
    executor.start(Job("a", None))
    (file,) = (tmp_path / "logs").glob("*.json")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    key = json.loads(file.read_text())["key"]
    assert len(key) == 64
    (call,) = fake_slurm.submissions()
    assert key not in json.dumps(call)
    assert key not in repr(Meeting.read(file))
    file.chmod(0o640)
    with pytest.raises(ConfigError, match="must be yours and readable by you alone"):
        Meeting.read(file)
    executor.close()
    assert not file.exists()
    assert not file.parent.exists(), "nothing is left where nothing was said"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            "Batch job submission failed: Invalid partition name specified",
            r"refuses the jobs of this search: Batch job submission failed: Invalid partition name specified. "
            r"See executor.partition; there is no 'gpux'. Did you mean 'gpu'\?",
        ),
        (
            "Batch job submission failed: Requested node configuration is not available",
            r"See executor.cpus, executor.mem",
        ),
        ("Batch job submission failed: Job violates accounting/QOS policy (job submit limit)", r"See executor.account"),
        ("Invalid generic resource (gres) specification", "See executor.gpus"),
        ("Something else", "refuses the jobs of this search: Something else$"),
        ("Batch job submission failed: Unable to contact slurm controller (connect failure)", "^sbatch: .* Unable to"),
    ],
)
def test_what_sbatch_refuses_is_said_in_words(
    words: str, message: str, executors: Callable[..., SlurmExecutor], fake_slurm: FakeSlurm
) -> None:
    fake_slurm.refuse(words)
    with pytest.raises(WorkerError, match=message):
        executors(partition="gpux").start(Job("a", None))


def test_a_busy_controller_ends_no_search_that_has_begun(
    executors: Callable[..., SlurmExecutor],
    fake_slurm: FakeSlurm,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock = Clock()
    monkeypatch.setattr(slurm_executor, "time", clock)
    fake_slurm.hold("Priority")
    executor = executors()
    executor.start(_job("a"))
    fake_slurm.refuse("Batch job submission failed: Socket timed out on send/recv operation")
    executor.start(_job("b"))
    assert "Socket timed out on send/recv operation; more workers are asked for in 60 s" in caplog.text
    fake_slurm.refuse("")
    executor.receive(0.0)
    assert len(fake_slurm.submissions()) == 1
    clock.seconds += 61
    executor.receive(0.0)
    assert len(fake_slurm.submissions()) == 2


def test_without_slurm_the_search_says_so(
    space: nas.SearchSpace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(
        ConfigError, match="executor=slurm needs the commands of Slurm, but sbatch, squeue, scancel cannot"
    ):
        nas.run_search(
            space, evaluators.params, trials=1, workers=1, executor=SlurmSettings(log_folder=str(tmp_path / "logs"))
        )


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"executor": {"name": "slurn"}}, "executor.name: unknown 'slurn'. Did you mean 'slurm'"),
        ({"executor": {"name": "slurm", "sbatch": ["gpu"]}}, "executor.sbatch takes options such as"),
        ({"executor": {"name": "slurm", "sbatch": ["--array=0-9"]}}, "which executor=slurm gives itself"),
        ({"executor": {"name": "slurm", "minutes": 1.0}}, "executor.minutes=1 leaves no time for a trial"),
        ({"executor": {"name": "slurm", "cpus": 0}}, "executor.cpus"),
        ({"executor": {"name": "slurm"}, "accelerator": "gpu"}, "say how many a trial takes, such as executor.gpus=1"),
        ({"executor": {"name": "slurm"}, "search": {"worker_memory_mib": 9}}, "of slurm it is executor.memory_mib"),
    ],
)
def test_settings_that_do_not_hold(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Config.from_values({"space": "mbconv", **values})


def test_slurm_needs_a_number_of_workers_and_a_folder(space: nas.SearchSpace) -> None:
    with pytest.raises(ConfigError, match="how many jobs at a time"):
        nas.run_search(space, evaluators.params, trials=1, executor="slurm")
    with pytest.raises(ConfigError, match="executor=slurm needs a folder that the nodes see"):
        nas.run_search(space, evaluators.params, trials=1, executor="slurm", workers=1)


def test_large_arrays_are_parted() -> None:
    assert parts(2300) == [1000, 1000, 300]
    assert parts(3) == [3]


def test_the_address_of_this_machine_is_one_that_can_be_listened_at(executors: Callable[..., SlurmExecutor]) -> None:
    executor = executors(host=None)
    assert f" {own_address()}:" in executor.notes[0]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("59", 59),
        ("1:30", 90),
        ("2:00:05", 7205),
        ("3-01:00:00", 262800),
        ("INVALID", None),
        ("UNLIMITED", float("inf")),
    ],
)
def test_times_of_slurm_are_read(text: str, seconds: float | None, fake_slurm: FakeSlurm) -> None:
    (fake_slurm.folder / "left").write_text(text)
    assert slurm_commands.seconds_left("1") == seconds


def test_no_trial_is_begun_that_cannot_end(
    executors: Callable[..., SlurmExecutor], fake_slurm: FakeSlurm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    monkeypatch.setattr(slurm_executor, "time", clock)
    fake_slurm.hold("Priority")
    executor = executors(signal_seconds=60)
    executor.start(_job("a"))
    first = Scripted(executor, tmp_path / "logs", "100_0", 1060)
    first.does("a", clock, 500)
    executor.start(_job("b"))  # for which 500 s are left
    assert len(fake_slurm.submissions()) == 1
    first.does("b", clock, 400)
    executor.start(_job("c"))
    assert isinstance(first.told(), Leave), "100 s are left, and a trial took up to 500"
    assert len(fake_slurm.submissions()) == 2, "another worker comes instead"
    second = Scripted(executor, tmp_path / "logs", "101_0", 360)
    second.does("c", clock, 290)
    executor.start(_job("d"))
    assert isinstance(second.told(), Leave), "it was begun where no time is enough, but only as the first"


def test_workers_that_are_too_many_leave_when_they_are_free(
    executors: Callable[..., SlurmExecutor], fake_slurm: FakeSlurm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also one that comes late, and also while a job waits, which the worker that stays does then."""
    clock = Clock()
    monkeypatch.setattr(slurm_executor, "time", clock)
    fake_slurm.hold("Priority")
    executor = executors(3)
    for lease in "abc":
        executor.start(_job(lease))
    first = Scripted(executor, tmp_path / "logs", "100_0", 1000)
    second = Scripted(executor, tmp_path / "logs", "100_1", 2000)
    executor.resize(1)
    for worker, lease in ((first, "a"), (second, "b")):
        assert worker.told().lease == lease
        worker.heard(Began(lease, Worker("there", 1), {}))
    first.heard(Ended("a", Outcome(1, Evaluation({}))))
    assert isinstance(first.told(), Leave)
    third = Scripted(executor, tmp_path / "logs", "100_2", 3000)
    assert isinstance(third.told(), Leave)
    second.heard(Ended("b", Outcome(1, Evaluation({}))))
    assert second.told().lease == "c"
    assert len(fake_slurm.submissions()) == 1
    executor.resize(2)
    executor.start(_job("d"))
    assert len(fake_slurm.submissions()) == 2, "another worker is asked for"


def test_a_worker_that_slurm_ends_gives_back_its_trial(
    executors: Callable[..., SlurmExecutor], fake_slurm: FakeSlurm, tmp_path: Path
) -> None:
    fake_slurm.hold("Priority")
    executor = executors(2)
    executor.start(_job("a"))
    executor.start(_job("b"))
    first = Scripted(executor, tmp_path / "logs", "100_0")
    assert first.told().lease == "a"
    second = Scripted(executor, tmp_path / "logs", "100_1")
    assert second.told().lease == "b"
    assert first.heard(Alive("a", b"state"), Leaving(first.name, "taken away")) == [
        Alive("a", b"state"),
        Lost("a", "taken away", own_fault=False),
    ]
    first.connection.close()
    second.connection.close()
    assert _events(executor, 1) == [Lost("b", "Slurm job 100_1 is gone")]
    executor.start(_job("c"))
    assert [call["words"][2] for call in fake_slurm.submissions()] == ["--array=0-1", "--array=0-0"]


def test_a_job_that_is_ended_leaves_its_worker_to_others(
    executors: Callable[..., SlurmExecutor], fake_slurm: FakeSlurm, tmp_path: Path
) -> None:
    fake_slurm.hold("Priority")
    executor = executors()
    executor.start(_job("a"))
    worker = Scripted(executor, tmp_path / "logs", "100_0")
    assert worker.told().lease == "a"
    report = Progress("a", 1, {"val_accuracy": 0.5})
    assert worker.heard(report) == [report]
    executor.answer("a", False)
    assert worker.told() == Answer("a", False)
    executor.cancel("a")
    assert worker.told() == Stop("a")
    executor.start(_job("b"))
    late = Ended("a", Outcome(1, Evaluation({})))
    assert worker.heard(late) == [late], "it is for the pool to drop"
    assert not worker.connection.poll(0.2), "nothing is given to it before it is free"
    worker.say(Freed(worker.name))
    assert worker.told().lease == "b"


def test_what_ended_a_job_before_its_worker_came_is_told(
    executors: Callable[..., SlurmExecutor], fake_slurm: FakeSlurm, tmp_path: Path
) -> None:
    executor = executors(python="/no/python")
    executor.start(_job("a"))
    (lost,) = _events(executor, 1)
    assert isinstance(lost, Lost)
    assert lost.reason.startswith("Slurm job 100_0 ended before its worker was ready (FAILED, exit code 2); ")
    log = tmp_path / "logs" / "100_0.log"
    assert lost.reason.endswith(f"; {log}: slurmstepd: error: execve(): /no/python: No such file or directory")


def test_why_jobs_wait_is_said_once(
    executors: Callable[..., SlurmExecutor], fake_slurm: FakeSlurm, caplog: pytest.LogCaptureFixture
) -> None:
    fake_slurm.hold("PartitionTimeLimit")
    executor = executors(2)
    executor.start(_job("a"))
    until = time.monotonic() + 1.5
    while time.monotonic() < until:
        executor.receive(0.1)
    assert caplog.text.count("wait in Slurm's queue for the reason PartitionTimeLimit") == 1


def test_what_waits_is_cancelled_with_the_search(
    executors: Callable[..., SlurmExecutor], fake_slurm: FakeSlurm
) -> None:
    fake_slurm.hold("Priority")
    executor = executors(2)
    executor.start(_job("a"))
    executor.close()
    until = time.monotonic() + 60
    while {job["state"] for job in fake_slurm.jobs().values()} != {"CANCELLED"} and time.monotonic() < until:
        time.sleep(0.05)
    assert {name: job["state"] for name, job in fake_slurm.jobs().items()} == {
        "100_0": "CANCELLED",
        "100_1": "CANCELLED",
    }


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"versions": {"python": "2.7"}}, r"has other versions than the search: python 3\.\d+, not 2\.7"),
        ({"port": 1}, r"the search cannot be reached at 127\.0\.0\.1:1 \("),
    ],
)
def test_a_worker_that_cannot_work_says_why(
    change: dict[str, Any], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = {"host": HERE, "port": 1, "key": "00", "silent_seconds": 1.0, "minutes": 1.0, "versions": versions_here()}
    Meeting(**{**values, **change}).write(tmp_path / "meeting.json")
    tries = "import sys; from nas.workers.executors import slurm_worker as w; w._TRY_SECONDS = 0.0; "
    code = f"{tries}sys.exit(w.main(sys.argv[1:]))"
    command = [sys.executable, "-c", code, str(tmp_path / "meeting.json")]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert re.search(message, ended.stderr), ended.stderr


# With workers that are processes


@pytest.fixture
def pools(executors: Callable[..., SlurmExecutor]) -> Callable[..., LeasedPool]:
    """Makes pools; their executors are closed at the end."""

    class Opened:
        """An executor that is open already."""

        def __init__(self, executor: SlurmExecutor) -> None:
            self.executor = executor

        def open(self, evaluator: nas.Evaluator) -> None:
            pass

        def __getattr__(self, name: str) -> Any:
            return getattr(self.executor, name)

    def make(evaluator: nas.Evaluator, **settings: Any) -> LeasedPool:
        opened: Any = Opened(executors(evaluator=evaluator, **settings))
        return LeasedPool(opened, evaluator, lease_seconds=8.0)

    return make


def _ended(pool: LeasedPool, state: Path, between: Callable[[], None]) -> Outcome:
    """Have a trial evaluated that keeps its state, and do something after each look at it."""
    pool.submit(Task(1, ARCHITECTURE, Budget(checkpoint=str(state), keep_each_epoch=True), 1))
    until = time.monotonic() + 240
    while time.monotonic() < until:
        for outcome in pool.wait(0.2):
            return outcome
        between()
    raise AssertionError("it does not end")


@pytest.mark.slow
def test_a_preempted_trial_goes_on_in_another_job(
    pools: Callable[..., LeasedPool], fake_slurm: FakeSlurm, tmp_path: Path
) -> None:
    preempted: list[str] = []

    def preempt() -> None:
        if not preempted and state.exists() and int(state.read_text()) >= 2:
            preempted.extend(fake_slurm.running())
            fake_slurm.preempt(preempted[0])

    state = tmp_path / "1.ckpt"
    outcome = _ended(pools(elsewhere.Slow(last=12, seconds=0.7)), state, preempt)
    assert outcome.evaluation is not None, outcome.reason
    assert outcome.evaluation.scores["val_accuracy"] == 12.0
    assert outcome.evaluation.scores["begun_at"] >= 2.0
    assert preempted == ["100_0"]
    assert fake_slurm.jobs()["100_0"]["state"] == "PREEMPTED"
    assert fake_slurm.jobs()["100_0"]["code"] == "0:0", "it ended in order"


@pytest.mark.slow
def test_a_trial_longer_than_the_wall_time_goes_on_from_job_to_job(
    pools: Callable[..., LeasedPool], fake_slurm: FakeSlurm, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pool = pools(elsewhere.Slow(last=30, seconds=1.0), minutes=0.4, signal_seconds=4)
    outcome = _ended(pool, tmp_path / "1.ckpt", lambda: None)
    assert outcome.evaluation is not None, outcome.reason
    assert outcome.evaluation.scores["val_accuracy"] == 30.0
    assert outcome.evaluation.scores["begun_at"] > 0
    assert "was told to end by SIGUSR1 (the end of its wall time)" in caplog.text
    assert "TIMEOUT" not in {job["state"] for job in fake_slurm.jobs().values()}


SCRIPT = """
import nas
from nas.workers.executors.settings import SlurmSettings
from tests.search.conftest import SMALL

class Waiting:
    def __call__(self, architecture, budget, seed):
        import os, pathlib, time
        pathlib.Path({mark!r}).write_text(str(os.getpid()))
        time.sleep(600)

if __name__ == "__main__":
    nas.run_search(nas.SearchSpace.from_dict(SMALL), Waiting(), trials=1, workers=2, run_dir={run!r},
                   executor=SlurmSettings(host="127.0.0.1"))
"""


@pytest.mark.slow
def test_the_end_of_a_job_that_is_heard_late_is_not_that_of_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    """The driver may give the next job before the mark behind the last message of the one before is read."""
    keeper = Keeper()
    trials = Trials(keeper, Setup(b"", {}))
    monkeypatch.setattr(trials, "start", lambda: None)
    trials.connection, second_process = Pipe()
    trials.do(Do("one", pickle.dumps("a job"), keeps=False))
    pipe = JobPipe(second_process)
    pipe.tell(Alive("one"))
    assert [pickle.loads(message) for message in trials.heard()] == [Alive("one")]
    trials.do(Do("two", pickle.dumps("another"), keeps=False))
    pipe.done("one")
    assert (trials.heard(), trials.lease) == ([], "two")
    trials.answer(Answer("two", end=True))
    assert [second_process.recv() for _ in range(3)] == ["a job", "another", True]
    pipe.done("two")
    assert (trials.heard(), trials.lease) == ([], None)
    trials.close()
    keeper.close()


def test_workers_end_with_a_driver_that_is_killed(fake_slurm: FakeSlurm, tmp_path: Path) -> None:
    """Its evaluator is defined in the script, which workers import."""
    mark, script = tmp_path / "process", tmp_path / "script.py"
    script.write_text(SCRIPT.format(mark=str(mark), run=str(tmp_path / "run")))
    driver = subprocess.Popen([sys.executable, str(script)], env={**os.environ, "PYTHONPATH": str(ROOT)})
    try:
        until = time.monotonic() + 250
        while not (mark.exists() and mark.read_text()) and time.monotonic() < until:
            time.sleep(0.1)
        assert Path(f"/proc/{int(mark.read_text())}").exists()
        driver.send_signal(signal.SIGKILL)
        driver.wait()
        until = time.monotonic() + 60
        while {job["state"] for job in fake_slurm.jobs().values()} - {
            "COMPLETED",
            "FAILED",
        } and time.monotonic() < until:
            time.sleep(0.1)
        assert {job["state"] for job in fake_slurm.jobs().values()} <= {"COMPLETED", "FAILED"}
        assert not Path(f"/proc/{int(mark.read_text())}").exists()
    finally:
        driver.kill()
