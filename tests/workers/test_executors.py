"""What every executor does alike, wherever trials run; Ray has the same suite where it is installed.

Slurm is one that starts processes here.
"""

from __future__ import annotations

import os
import shutil
import signal
import stat
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import nas
from nas.errors import ConfigError
from nas.evaluation import Budget, Evaluator
from nas.run_folder import weights_file
from nas.search.study import Study
from nas.search.trial import State, Trial
from nas.workers.evaluating import Outcome, Task
from nas.workers.executors.choice import pool_of
from nas.workers.executors.futures import FuturesExecutor
from nas.workers.executors.leased_pool import LeasedPool
from nas.workers.executors.settings import Evaluations, RaySettings, SlurmSettings
from nas.workers.pool import Pool
from tests.search import evaluators
from tests.workers import elsewhere, ray_cluster
from tests.workers.ray_cluster import RAY

ARCHITECTURE = nas.load_space("reference/squeezenet1_1").decode({})
LEASE_SECONDS = 8.0
"""Signs of life come more often than once a second, also on a busy machine."""

PROCESSES: dict[str, Callable[[int], object]] = {
    "local": lambda workers: "local",
    "process pool": lambda workers: partial(ProcessPoolExecutor, workers),
}
"""Places of which each worker is a process: what they make of a number of workers."""
EXECUTORS: dict[str, Callable[[int], object]] = {**PROCESSES, "threads": ThreadPoolExecutor}
CLUSTERS = [pytest.param("ray", marks=RAY), pytest.param("slurm", marks=pytest.mark.slow)]
WITH_CLUSTERS = [*EXECUTORS, *CLUSTERS]
PROCESSES_WITH_CLUSTERS = [*PROCESSES, *CLUSTERS]


@pytest.fixture(autouse=True)
def _slurm(request: pytest.FixtureRequest) -> None:
    """Put the commands of Slurm where they are found, in tests of it."""
    if getattr(request.node, "callspec", None) is not None and request.node.callspec.params.get("name") == "slurm":
        request.getfixturevalue("fake_slurm")


def _executor(name: str, workers: int) -> object:
    if name == "ray":
        ray_cluster.start()
        return RaySettings(lease_seconds=LEASE_SECONDS)
    if name == "slurm":
        sbatch = shutil.which("sbatch")
        assert sbatch is not None
        logs = Path(sbatch).parents[1] / "logs"
        return SlurmSettings(host="127.0.0.1", log_folder=str(logs), lease_seconds=LEASE_SECONDS)
    return EXECUTORS[name](workers)


def _search(name: str, space: nas.SearchSpace, evaluator: Evaluator, *, workers: int = 1, **named: Any) -> Study:
    return nas.run_search(space, evaluator, executor=_executor(name, workers), workers=workers, seed=5, **named)


def _found(trials: Sequence[Trial]) -> list[tuple[object, ...]]:
    return [(trial.genotype, trial.state, trial.scores, trial.steps) for trial in trials]


@pytest.fixture
def pools() -> Iterator[Callable[..., Pool]]:
    """Makes pools, which are closed at the end."""
    made: list[Pool] = []

    def make(name: str, evaluator: Evaluator, workers: int = 1) -> Pool:
        if name in ("local", "ray", "slurm"):
            made.append(pool_of(_executor(name, workers), Evaluations(evaluator), workers))
        else:
            futures = FuturesExecutor(_executor(name, workers), workers=workers)  # type: ignore[arg-type]  # one or other
            made.append(LeasedPool(futures, evaluator, lease_seconds=LEASE_SECONDS))
        return made[-1]

    yield make
    for pool in made:
        pool.close()


def _all(pool: Pool, tasks: Sequence[Task]) -> dict[int, Outcome]:
    left, ended = list(tasks), dict[int, Outcome]()
    while len(ended) < len(tasks):
        while left and pool.free:
            pool.submit(left.pop(0))
        for outcome in pool.wait(1.0):
            assert outcome.number not in ended, "a task ended twice"
            ended[outcome.number] = outcome
    return ended


def _task(number: int, **budget: Any) -> Task:
    return Task(number, ARCHITECTURE, Budget(**budget), number)


@pytest.mark.parametrize("name", WITH_CLUSTERS)
def test_one_worker_anywhere_gives_what_this_process_gives(name: str, space: nas.SearchSpace) -> None:
    here = nas.run_search(space, evaluators.params, trials=12, seed=5)
    there = _search(name, space, evaluators.params, trials=12)
    assert _found(there.trials) == _found(here.trials)
    assert there.counts()["completed"] == 12


@pytest.mark.parametrize("name", WITH_CLUSTERS)
def test_the_driver_ends_trials_by_their_reports(name: str, space: nas.SearchSpace) -> None:
    here = nas.run_search(space, elsewhere.Learning(), trials=12, seed=5, pruner="median")
    there = _search(name, space, elsewhere.Learning(), trials=12, pruner="median")
    assert _found(there.trials) == _found(here.trials)
    pruned = [trial for trial in there.trials if trial.state is State.PRUNED]
    assert pruned
    assert all(len(trial.steps) < 5 for trial in pruned)


@pytest.mark.parametrize("name", WITH_CLUSTERS)
def test_an_evaluator_that_raises_fails_its_own_trial(name: str, pools: Callable[..., Pool]) -> None:
    outcomes = _all(pools(name, elsewhere.Raising(3)), [_task(number) for number in (2, 3, 4)])
    assert {number: outcome.reason for number, outcome in outcomes.items()} == {2: "", 3: "ValueError: not 3", 4: ""}


@pytest.mark.parametrize("name", PROCESSES_WITH_CLUSTERS)
def test_a_worker_that_dies_once_has_its_trial_run_again(name: str, pools: Callable[..., Pool], tmp_path: Path) -> None:
    evaluator = elsewhere.Deadly(deadly=2, seconds=0.6, first_only=str(tmp_path / "died"))
    outcomes = _all(pools(name, evaluator, 2), [_task(number) for number in range(4)])
    assert (tmp_path / "died").exists()
    assert {number: one.evaluation and one.evaluation.scores for number, one in outcomes.items()} == {
        number: {"val_accuracy": float(number)} for number in range(4)
    }


@pytest.mark.parametrize("name", PROCESSES_WITH_CLUSTERS)
def test_a_trial_that_kills_its_worker_twice_fails_alone(name: str, pools: Callable[..., Pool]) -> None:
    outcomes = _all(pools(name, elsewhere.Deadly(deadly=2, seconds=0.6), 2), [_task(number) for number in range(4)])
    failed = outcomes.pop(2)
    assert failed.evaluation is None
    assert not failed.out_of_memory
    if name == "local":
        assert failed.reason == "its worker process was ended by SIGKILL (out of memory?)"
    else:
        assert failed.reason.startswith("its worker was lost 2 times: process ")
        assert failed.reason.count("process ") >= 2, "its history names both workers"
    assert all(outcome.evaluation is not None for outcome in outcomes.values())


@pytest.mark.parametrize("name", PROCESSES_WITH_CLUSTERS)
def test_a_lost_trial_goes_on_from_its_last_state(name: str, pools: Callable[..., Pool], tmp_path: Path) -> None:
    state = tmp_path / "states" / "4.ckpt"
    state.parent.mkdir()
    pool = pools(name, elsewhere.Restarting(tmp_path, ends=3))
    (outcome,) = _all(pool, [_task(4, checkpoint=str(state), keep_each_epoch=True)]).values()
    assert outcome.evaluation is not None
    assert outcome.evaluation.scores == {"val_accuracy": 6.0, "begun_at": 3.0}
    assert state.read_text() == "6"


@pytest.mark.parametrize("name", ["process pool", *CLUSTERS])
def test_workers_need_no_disk_account_or_environment_of_the_driver(
    name: str, space: nas.SearchSpace, tmp_path: Path
) -> None:
    home, run = tmp_path / "home", tmp_path / "run"
    home.mkdir()
    for folder in (home, *(one for one in home.parents if one.stat().st_uid == os.getuid() and one != Path("/"))):
        folder.chmod(folder.stat().st_mode | stat.S_IXOTH)
    home.chmod(0o777)
    executor = _executor(name, 1)
    if name == "process pool":
        enter = partial(elsewhere.enter_another_account, str(run), str(home))
        executor = partial(ProcessPoolExecutor, 1, initializer=enter)
    study = nas.run_search(
        space,
        elsewhere.Traveller(run),
        executor=executor,
        workers=1,
        trials=6,
        seed=5,
        run_dir=run,
        keep=6,
        constraints={"int8_accuracy": (0.1, None)},
    )
    assert [trial.reason for trial in study.trials if trial.state is State.FAILED] == []
    trained = [trial for trial in study.trials if trial.trained]
    assert len(trained) == 6
    for trial in trained:
        assert trial.arch_id is not None
        assert weights_file(run, trial.arch_id).read_text() == trial.arch_id
    assert [*(run / "checkpoints").iterdir()] == []


@pytest.mark.parametrize("name", ["process pool", *CLUSTERS])
def test_weights_to_inherit_travel_with_the_trial(name: str, pools: Callable[..., Pool], tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / "parent").write_bytes(b"12345")
    task = _task(1, inherit=str(run / "parent"), weights=str(run / "weights"), int8=str(run))
    (outcome,) = _all(pools(name, elsewhere.Traveller(run)), [task]).values()
    assert outcome.evaluation is not None
    assert outcome.evaluation.scores["inherited"] == 5.0
    assert (run / "weights").read_text() == ARCHITECTURE.arch_id
    assert (run / f"{ARCHITECTURE.arch_id}.onnx").read_bytes() == b"8 bits"


@pytest.mark.slow
def test_a_late_answer_is_dropped_and_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A worker that stands still for longer than its lease comes back when another has its trial."""
    stopped = elsewhere.Restarting(tmp_path, ends=2, how="SIGSTOP")
    state = tmp_path / "3.ckpt"
    pool = LeasedPool(FuturesExecutor(partial(ProcessPoolExecutor, 2)), stopped, lease_seconds=LEASE_SECONDS)
    heard: list[int] = []

    def hear(number: int, step: int, scores: Mapping[str, float]) -> bool:
        heard.append(step)
        return False

    pool.listen(hear)
    try:
        (outcome,) = _all(pool, [_task(3, checkpoint=str(state), keep_each_epoch=True)]).values()
        assert outcome.evaluation is not None
        assert outcome.evaluation.scores == {"val_accuracy": 6.0, "begun_at": 2.0}
        assert heard == [1, 2, 3, 4, 5, 6]
        late = int((tmp_path / "stopped").read_text())
        os.kill(late, signal.SIGCONT)
        until = time.monotonic() + 60
        while "late answer" not in caplog.text and time.monotonic() < until:
            assert pool.wait(0.2) == []
    finally:
        pool.close()
    assert "trial 3 is run again: " in caplog.text
    assert f"trial 3: a late answer of process {late} on " in caplog.text
    assert heard == [1, 2, 3, 4, 5, 6], "what it reports late is not heard"


class Played:
    """Tasks of `elsewhere.Waiting`, which end when the test says so."""

    def __init__(self, pool: Pool, folder: Path) -> None:
        self.pool, self.folder = pool, folder
        self.count = 0
        self.ended: list[Outcome] = []

    def begin(self) -> list[int]:
        """Give away as many tasks as the pool takes, wait until all of them run, and return their numbers."""
        begun = []
        while self.pool.free:
            begun.append(self.count)
            self.pool.submit(_task(self.count))
            self.count += 1
        self._until(lambda: all((self.folder / f"begun-{number}").exists() for number in begun))
        return begun

    def end(self, *numbers: int) -> list[float]:
        """Let tasks end; return the processes that did them."""
        before = len(self.ended)
        for number in numbers:
            (self.folder / f"end-{number}").touch()
        self._until(lambda: len(self.ended) == before + len(numbers))
        assert {outcome.number for outcome in self.ended[before:]} == {*numbers}
        found = [outcome.evaluation for outcome in self.ended[before:]]
        return [evaluation.scores["process"] for evaluation in found if evaluation is not None]

    def _until(self, done: Callable[[], bool]) -> None:
        until = time.monotonic() + 100
        while not done():
            assert time.monotonic() < until
            self.ended += self.pool.wait(0.05)


@pytest.mark.parametrize("name", WITH_CLUSTERS)
def test_workers_are_added_and_taken_away_while_trials_run(
    name: str, pools: Callable[..., Pool], tmp_path: Path
) -> None:
    """Nothing that runs is touched: those over the number do no other trial, and those new do."""
    pool = pools(name, elsewhere.Waiting(tmp_path), 3)
    played = Played(pool, tmp_path)
    pool.resize(1)
    assert played.begin() == [0]
    pool.resize(3)
    assert played.begin() == [1, 2], "all three run at once"
    pool.resize(2)
    assert played.begin() == []
    played.end(1)
    assert played.begin() == []
    pool.resize(1)
    played.end(0)
    assert played.begin() == []
    played.end(2)
    assert played.begin() == [3]
    pool.resize(2)
    assert played.begin() == [4]
    processes = played.end(3, 4)
    assert len({*processes}) == 2 or name == "threads"
    assert len(played.ended) == 5


@pytest.mark.parametrize("name", ["process pool", "threads"])
def test_an_executor_of_python_has_no_more_workers_than_it_was_made_with(name: str, pools: Callable[..., Pool]) -> None:
    pool = pools(name, evaluators.params, 2)
    with pytest.raises(ConfigError, match="was made to run 2 trials at a time, but got 3; make one for more"):
        pool.resize(3)
    assert pool.free == 2
