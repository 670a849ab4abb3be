"""Running out of memory in training rejects a trial, and teaches what does not fit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch

import nas
from nas.cost import BATCH_OF_ONE, Workload, value_of
from nas.evaluation import Evaluation
from nas.search.gate import Gate
from nas.search.trial import State
from nas.workers import processes as workers
from nas.workers.processes import Outcome, Task, WorkerPool, evaluate
from tests.search import evaluators

MIB = "training_memory_mib"


def _needs(arch: nas.Architecture) -> float:
    return value_of(nas.cost_of(arch), MIB)


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:124] err == 0. DefaultCPUAllocator: can't allocate memory: ..."),
    ],
    ids=["python", "gpu", "cpu"],
)
def test_what_says_that_memory_ran_out(error: Exception, space: nas.SearchSpace) -> None:
    def fails(*_: Any) -> float:
        raise error

    task = Task(0, space.decode(space.sample(0)), nas.Budget(), 0)
    assert evaluate(fails, task, "score", _deaf).out_of_memory
    assert not evaluate(lambda *_: 1 / 0, task, "score", _deaf).out_of_memory


def test_torch_says_so_on_this_machine(space: nas.SearchSpace) -> None:
    task = Task(0, space.decode(space.sample(0)), nas.Budget(), 0)
    assert evaluate(lambda *_: float(torch.empty(2**50).sum()), task, "score", _deaf).out_of_memory


def _deaf(step: int, scores: Mapping[str, float]) -> bool:
    return False


def _search(space: nas.SearchSpace, evaluate: Callable[..., float], **arguments: Any) -> Any:
    return nas.run_search(space, evaluate, **{"trials": 40, "sampler": "random", "seed": 1, **arguments})


def _too_large(bound: float, seen: list[float]) -> Callable[..., float]:
    def train(arch: nas.Architecture, *_: Any) -> float:
        seen.append(_needs(arch))
        if seen[-1] > bound:
            raise MemoryError
        return 1.0

    return train


def test_what_did_not_fit_is_not_tried_again(space: nas.SearchSpace) -> None:
    seen: list[float] = []
    needs = sorted(_needs(space.decode(space.sample(seed))) for seed in range(200))
    bound = needs[120]
    study = _search(space, _too_large(bound, seen))
    failed = [need for need in seen if need > bound]
    assert failed[::2] == failed[1::2], "each is tried twice"
    once = failed[::2]
    assert 1 < len(once) < 8, "each failure after the first two lowers what is left over the bound or so"
    for place, need in enumerate(once):
        near = [e for e in once[:place] if any(f != e and max(e, f) <= 2 * min(e, f) for f in once[:place])]
        assert all(need <= 0.95 * other for other in near)
    states = [trial for trial in study.trials if trial.out_of_memory]
    assert len(states) == len(once)
    for trial in states:
        assert trial.state is State.REJECTED
        assert "out of memory in training, at about" in trial.reason
        assert any(v.metric == MIB and v.rejects for v in trial.violations)
    assert study.counts()["completed"] == 40
    assert study.rejections()[MIB] == study.counts()["rejected"]


def _out_of_memory_at(*calls: int) -> tuple[Callable[..., float], list[float]]:
    """An evaluator without memory at some of its calls, counted from 1, and what it was asked for."""
    seen: list[float] = []

    def train(arch: nas.Architecture, *_: Any) -> float:
        seen.append(_needs(arch))
        if len(seen) in calls:
            raise MemoryError
        return 1.0

    return train, seen


def test_memory_that_was_short_for_a_moment_teaches_nothing(space: nas.SearchSpace) -> None:
    """The trials are those of a search that had memory all the time."""
    always, _ = _out_of_memory_at()
    for calls in ((1,), (5, 9), (2, 4, 6)):
        moody, seen = _out_of_memory_at(*calls)
        study = _search(space, moody)
        assert study.counts()["rejected"] == 0
        assert [t.genotype for t in study.trials] == [t.genotype for t in _search(space, always).trials]
        assert seen[calls[0] - 1] == seen[calls[0]], "tried again at once"


def test_one_network_that_failed_twice_bans_no_other(space: nas.SearchSpace) -> None:
    moody, seen = _out_of_memory_at(1, 2)
    study = _search(space, moody)
    assert [trial.number for trial in study.trials if trial.state is State.REJECTED] == [0]
    assert max(seen[2:]) > seen[0], "larger ones were tried"


def test_what_fits_takes_back_what_was_believed(space: nas.SearchSpace) -> None:
    """Something larger that runs speaks against a limit."""
    trial = _search(space, lambda *_: 1.0, trials=1).trials[0]
    largest = max((space.sample(seed) for seed in range(99)), key=lambda genotype: _needs(space.decode(genotype)))
    gate = Gate(space, (), BATCH_OF_ONE)
    gate.out_of_memory(trial, "", killed=True)
    assert not gate.examine(largest).accepted
    gate.learn(replace(trial, state=State.COMPLETED, cost=nas.cost_of(space.decode(largest))))
    assert gate.examine(largest).accepted


def test_what_the_system_says_is_believed_at_once(space: nas.SearchSpace) -> None:
    trial = _search(space, lambda *_: 1.0, trials=1).trials[0]
    for killed in (True, False):
        gate = Gate(space, (), BATCH_OF_ONE)
        assert [gate.tries_again(trial.number) for _ in range(3)] == [True, False, False]
        gate.out_of_memory(trial, "", killed=killed)
        larger = max((space.sample(seed) for seed in range(99)), key=lambda genotype: _needs(space.decode(genotype)))
        assert gate.examine(larger).accepted is not killed


def test_needs_far_from_each_other_are_no_evidence(space: nas.SearchSpace) -> None:
    trial = _search(space, lambda *_: 1.0, trials=1).trials[0]
    draws = sorted((space.sample(seed) for seed in range(300)), key=lambda one: _needs(space.decode(one)))
    costs = [nas.cost_of(space.decode(one)) for one in draws]
    assert value_of(costs[-1], MIB) > 2 * value_of(costs[0], MIB)
    gate = Gate(space, (), BATCH_OF_ONE)
    for cost in (costs[0], costs[-1]):
        gate.out_of_memory(replace(trial, cost=cost), "")
    assert gate.examine(draws[150]).accepted
    gate.out_of_memory(replace(trial, cost=costs[-2]), "")
    assert not gate.examine(draws[-1]).accepted
    assert gate.examine(draws[150]).accepted


def test_another_session_begins_without_what_was_believed(space: nas.SearchSpace, tmp_path: Path) -> None:
    """It may be on another machine; that networks fitted before says nothing either."""
    needs = sorted(_needs(space.decode(space.sample(seed))) for seed in range(200))
    first: list[float] = []
    _search(space, _too_large(needs[60], first), run_dir=tmp_path / "a", trials=12)
    second: list[float] = []
    study = _search(space, _too_large(1e9, second), run_dir=tmp_path / "a", resume=True)
    assert study.counts()["completed"] == 40
    assert max(second) > max(needs[150], min(need for need in first if need > needs[60]))
    third: list[float] = []
    less = _search(space, _too_large(needs[20], third), run_dir=tmp_path / "a", resume=True, trials=60)
    assert less.counts()["completed"] == 60
    assert sum(need > needs[20] for need in third) < 20, "a smaller memory is learned too"


@pytest.mark.parametrize("pruner", ["none", "asha"])
def test_it_is_tried_again_when_nothing_else_runs(space: nas.SearchSpace, pruner: str) -> None:
    pool = _Crowded()
    study = nas.run_search(
        space, pool=pool, trials=12, sampler="random", seed=1, pruner=pruner, budget=nas.Budget(epochs=9)
    )
    assert study.counts()["rejected"] == 0
    assert sum(trial.trained for trial in study.trials) == 12
    assert pool.failed
    assert pool.alone == pool.failed


class _Crowded:
    """Three workers that have memory for two evaluations at a time: the largest number has none."""

    def __init__(self) -> None:
        self.tasks: list[Task] = []
        self.failed: list[tuple[int, int | None]] = []
        self.alone: list[tuple[int, int | None]] = []

    @property
    def free(self) -> int:
        return 3 - len(self.tasks)

    def resize(self, workers: int) -> None:
        raise NotImplementedError

    def submit(self, task: Task) -> None:
        key = task.number, task.budget.epochs
        if self.failed and self.failed[-1] not in self.alone:
            assert key == self.failed[-1], "nothing else begins before"
            assert not self.tasks
            self.alone.append(key)
        assert not any((other.number, other.budget.epochs) in self.alone for other in self.tasks)
        self.tasks.append(task)

    def wait(self, timeout: float | None) -> list[Outcome]:
        task = self.tasks.pop()
        if len(self.tasks) == 2 and len(self.failed) < 3:
            self.failed.append((task.number, task.budget.epochs))
            return [Outcome(task.number, None, "MemoryError", out_of_memory=True)]
        return [Outcome(task.number, Evaluation({"val_accuracy": 1.0 / (1 + task.number)}))]

    def paused(self) -> AbstractContextManager[None]:
        return nullcontext()

    def now(self) -> float:
        return 0.0

    def listen(self, hear: Any) -> None:
        pass

    def running(self) -> dict[int, float]:
        return {}

    def end(self, number: int) -> None:
        raise AssertionError(number)

    def describe(self) -> dict[str, Any]:
        return {}

    def close(self) -> None:
        pass


def test_nothing_that_is_known_to_fit_is_rejected(space: nas.SearchSpace) -> None:
    """Just over a network that fitted another one did not: the first may come again."""
    needs = sorted({_needs(space.decode(space.sample(seed))) for seed in range(300)})
    bound = next(a for a, b in pairwise(needs[len(needs) // 2 :]) if 0.96 * b < a < b)
    seen: list[float] = []
    study = _search(space, _too_large(bound, seen), trials=60)
    fitted = max(need for need in seen if need <= bound)
    for trial in study.trials:
        if trial.state is State.REJECTED and not trial.out_of_memory:
            assert trial.cost is not None
            assert value_of(trial.cost, MIB) > min(fitted, 0.95 * min(need for need in seen if need > bound))


def test_a_search_that_only_runs_out_of_memory_ends(space: nas.SearchSpace) -> None:
    """Something else takes all the memory after a while."""
    calls = 0

    def train(arch: nas.Architecture, *_: Any) -> float:
        nonlocal calls
        calls += 1
        if calls > 12:
            raise MemoryError
        return 1.0

    study = _search(space, train, trials=60, max_rejections=20)
    assert "20 proposals in a row" in study.stop_reason
    assert calls <= 12 + 2 * 20


def test_a_process_that_the_system_killed(space: nas.SearchSpace, monkeypatch: pytest.MonkeyPatch) -> None:
    counts = iter([7, 8, 8, 8])
    monkeypatch.setattr(workers, "killed_for_memory", lambda: next(counts))
    killed = next(arch for arch in map(space.decode, map(space.sample, range(99))) if arch.stem == _stem(space, 4))
    pool = WorkerPool(evaluators.Moody(), 1)
    try:
        for expected in (True, False):  # the second was killed by somebody else, twice
            pool.submit(Task(0, killed, nas.Budget(), 0))
            outcomes: list[workers.Outcome] = []
            while not outcomes:
                outcomes = pool.wait(60)
            assert "SIGKILL" in outcomes[0].reason
            assert outcomes[0].out_of_memory is expected
            assert outcomes[0].killed is expected
    finally:
        pool.close()


def _stem(space: nas.SearchSpace, width: int) -> object:
    return space.decode({**space.sample(0), "stem.0.out_channels": width}).stem


def test_the_bound_is_for_the_batch_in_use(space: nas.SearchSpace) -> None:
    arch = space.decode(space.sample(0))
    small, large = (value_of(nas.cost_of(arch), MIB, Workload(training_batch=n)) for n in (1, 64))
    assert large > 10 * small
