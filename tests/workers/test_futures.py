"""Executors of Python: what is theirs alone, and the way by which their jobs speak with the driver."""

from __future__ import annotations

import os
import pickle
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from multiprocessing import AuthenticationError
from multiprocessing.connection import Client
from pathlib import Path
from typing import Any

import pytest

import nas
from nas.errors import ConfigError, WorkerError
from nas.evaluators.training import TrainingEvaluator
from nas.training.data.config import DataConfig
from nas.training.recipe import Recipe
from nas.workers.executors.channel import Address, Channel, Connected, Hung
from nas.workers.executors.executor import Began, Progress, Worker
from tests.search import evaluators
from tests.workers import elsewhere

BEGAN = Began("a", Worker("here", 1), {})


class Bomb:
    """Touches a file where it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path(self.path),)


def test_what_shows_no_key_is_never_opened(tmp_path: Path) -> None:
    messages: queue.SimpleQueue[Any] = queue.SimpleQueue()
    channel = Channel(messages)
    address = channel.address
    try:
        with pytest.raises(AuthenticationError), Connected(Address(address.host, address.port, b"another")):
            pass
        plain = Client((address.host, address.port), family="AF_INET")  # which shows none
        plain.recv_bytes()
        plain.send_bytes(pickle.dumps(Bomb(tmp_path / "opened"))[:200])
        plain.send(Bomb(tmp_path / "opened"))
        stalled = socket.create_connection((address.host, address.port))  # holds up nobody else
        with Connected(address) as link:
            link.tell(BEGAN)
            assert messages.get(timeout=60) == BEGAN
        assert messages.get(timeout=60).lease == "a"
        assert messages.empty()
        plain.close()
        stalled.close()
    finally:
        channel.close()
    assert not (tmp_path / "opened").exists()
    assert address.host == "127.0.0.1"
    assert repr(address.key) not in repr(address)


def test_a_report_waits_for_its_answer_and_its_driver() -> None:
    messages: queue.SimpleQueue[Any] = queue.SimpleQueue()
    channel = Channel(messages)
    ended: list[bool] = []
    with Connected(channel.address) as link:
        for end in (False, True):
            report = Progress("a", 1, {"val_accuracy": 0.5})
            asking = threading.Thread(target=lambda report=report: ended.append(link.ask(report)))
            asking.start()
            assert messages.get(timeout=60) == report
            channel.answer("a", end)
            asking.join(timeout=60)
        assert ended == [False, True]
        channel.answer("nobody", True)
        channel.close()
        with pytest.raises((OSError, EOFError)):
            link.ask(Progress("a", 2, {}))
    assert isinstance(messages.get(timeout=60), Hung)


def test_an_address_of_another_machine_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"cannot listen on '192\.0\.2\.1', which must be an address of this machine"):
        Channel(queue.SimpleQueue(), "192.0.2.1")


def test_the_executor_of_the_user_stays_open(space: nas.SearchSpace) -> None:
    with ThreadPoolExecutor(2) as executor:
        for _ in range(2):
            study = nas.run_search(space, evaluators.params, trials=3, executor=executor)
            assert study.counts()["completed"] == 3
        assert executor.submit(int, "7").result() == 7


def test_threads_take_what_cannot_be_pickled(space: nas.SearchSpace) -> None:
    study = nas.run_search(space, lambda arch, budget, seed: 0.5, trials=3, executor=lambda: ThreadPoolExecutor(2))
    assert [trial.scores for trial in study.trials if trial.trained] == [{"val_accuracy": 0.5}] * 3


def test_what_cannot_be_sent_to_processes_is_said_before_any_trial(space: nas.SearchSpace) -> None:
    with pytest.raises(WorkerError, match="the evaluator cannot be sent to worker processes"):
        nas.run_search(space, lambda arch, budget, seed: 0.5, trials=3, executor=partial(ProcessPoolExecutor, 1))


def test_a_broken_executor_that_cannot_be_made_anew_ends_the_search_with_a_way_out(space: nas.SearchSpace) -> None:
    with ProcessPoolExecutor(1) as executor, pytest.raises(WorkerError, match=r"give a function that makes one"):
        nas.run_search(space, evaluators.Moody(), trials=12, sampler="random", seed=0, executor=executor)


def test_a_pool_whose_processes_never_begin_is_an_error(space: nas.SearchSpace) -> None:
    broken = partial(ProcessPoolExecutor, 1, initializer=os._exit, initargs=(3,))
    with pytest.raises(WorkerError, match=r"no worker of executor=ProcessPoolExecutor can start: BrokenProcessPool"):
        nas.run_search(space, evaluators.params, trials=3, executor=broken)


def test_training_is_refused_in_threads_that_share_random_numbers(space: nas.SearchSpace) -> None:
    evaluator = TrainingEvaluator(DataConfig(), Recipe())
    with pytest.raises(ConfigError, match="TrainingEvaluator seeds the random numbers of its process"):
        nas.run_search(space, evaluator, trials=1, executor=ThreadPoolExecutor(2))


class Silent:
    """Says nothing of how many jobs it runs."""


@pytest.mark.parametrize(
    ("executor", "message"),
    [
        (3, "executor must be one of local, ray, slurm, settings of one, a concurrent.futures.Executor"),
        ("rey", "executor: unknown 'rey'. Did you mean 'ray'?"),
        (Silent, "a function that makes one, but got <"),
    ],
)
def test_what_is_no_executor_is_refused(executor: object, message: str, space: nas.SearchSpace) -> None:
    with pytest.raises(ConfigError, match=message.replace("?", r"\?")):
        nas.run_search(space, evaluators.params, trials=1, executor=executor)


def test_limits_that_an_executor_does_not_keep_are_refused(space: nas.SearchSpace) -> None:
    with pytest.raises(ConfigError, match="worker_memory_mib is kept by worker processes"):
        nas.run_search(space, evaluators.params, trials=1, executor=ThreadPoolExecutor(1), worker_memory_mib=100)


class Unsized(Executor):
    """As executors of other libraries: it says nowhere how many jobs it runs at a time."""

    def __init__(self) -> None:
        self.inner = ThreadPoolExecutor(3)

    def submit(self, *given: Any, **named: Any) -> Future[Any]:
        return self.inner.submit(*given, **named)


def test_an_executor_that_does_not_say_its_size_needs_workers(space: nas.SearchSpace) -> None:
    executor = Unsized()
    with pytest.raises(ConfigError, match="how many trials does Unsized run at a time"):
        nas.run_search(space, evaluators.params, trials=1, executor=executor)
    assert nas.run_search(space, evaluators.params, trials=2, executor=executor, workers=1).counts()["completed"] == 2


@pytest.mark.slow
def test_an_evaluation_ends_at_its_next_report_where_it_takes_too_long(space: nas.SearchSpace) -> None:
    study = nas.run_search(
        space, evaluators.Talkative(), trials=1, seed=0, executor=ThreadPoolExecutor(1), trial_minutes=0.01
    )
    assert [trial.reason for trial in study.trials] == ["took longer than 0.6 s"]


class Watched(elsewhere.Deadly):
    """Writes down its process, then takes long."""

    def __call__(self, architecture: nas.Architecture, budget: nas.Budget, seed: int) -> Mapping[str, float]:  # type: ignore[override]
        Path(self.first_only).write_text(str(os.getpid()))
        time.sleep(600)
        return {}


SCRIPT = """
from concurrent.futures import ProcessPoolExecutor
from functools import partial
import nas
from tests.search.conftest import SMALL
from tests.workers.test_futures import Watched
if __name__ == "__main__":
    nas.run_search(nas.SearchSpace.from_dict(SMALL), Watched(0, 0.0, {mark!r}), trials=1,
                   executor=partial(ProcessPoolExecutor, 1))
"""


@pytest.mark.slow
def test_processes_end_with_a_driver_that_is_killed(tmp_path: Path) -> None:
    mark, script = tmp_path / "process", tmp_path / "script.py"
    script.write_text(SCRIPT.format(mark=str(mark)))
    driver = subprocess.Popen([sys.executable, str(script)], env={**os.environ, "PYTHONPATH": os.getcwd()})
    try:
        until = time.monotonic() + 250
        while not (mark.exists() and mark.read_text()) and time.monotonic() < until:
            time.sleep(0.1)
        worker = int(mark.read_text())
        time.sleep(2.0)  # the driver hears that it has begun
        driver.send_signal(signal.SIGKILL)
        driver.wait()
        until = time.monotonic() + 30
        while _alive(worker) and time.monotonic() < until:
            time.sleep(0.1)
        assert not _alive(worker)
    finally:
        driver.kill()


def _alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
