"""Running out of memory in training rejects a trial, and teaches what does not fit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch

import nas
from nas.cost import ONE, Workload, value_of
from nas.search import workers
from nas.search.trial import State
from nas.search.workers import Task, WorkerPool, evaluate
from tests.search import evaluators

MIB = "training_memory_mib"


def _needs(arch: nas.Architecture) -> float:
    return value_of(nas.cost_of(arch), MIB, ONE)


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
    assert 0 < len(failed) < 8, "each failure halves what is left over the bound or so"
    for before, after in pairwise(failed):
        assert after <= 0.95 * before
    states = [trial for trial in study.trials if trial.out_of_memory]
    assert len(states) == len(failed)
    for trial in states:
        assert trial.state is State.REJECTED
        assert "out of memory in training, at about" in trial.reason
        assert any(v.metric == MIB and v.rejects for v in trial.violations)
    assert study.counts()["completed"] == 40
    assert study.rejections()[MIB] == study.counts()["rejected"]


def test_a_resumed_study_remembers(space: nas.SearchSpace, tmp_path: Path) -> None:
    needs = sorted(_needs(space.decode(space.sample(seed))) for seed in range(200))
    whole: list[float] = []
    _search(space, _too_large(needs[120], whole))
    parts: list[float] = []
    _search(space, _too_large(needs[120], parts), run_dir=tmp_path / "a", trials=12)
    _search(space, _too_large(needs[120], parts), run_dir=tmp_path / "a", resume=True)
    assert parts == whole


def test_what_something_else_took_teaches_nothing(space: nas.SearchSpace) -> None:
    """A small network that fails beside larger ones that fit was not the cause."""
    seen: list[float] = []

    def train(arch: nas.Architecture, *_: Any) -> float:
        seen.append(_needs(arch))
        if len(seen) == 5 or len(seen) == 1:
            raise MemoryError
        return 1.0

    study = _search(space, train)
    assert study.counts()["completed"] == 40
    first = seen[0]
    later = [trial for trial in study.trials if trial.state is State.REJECTED and not trial.out_of_memory]
    assert max(seen[1:5]) < first, "until something larger fits, the first failure counts"
    assert all(v.value > 0.95 * min(first, seen[4]) for trial in later for v in trial.violations)


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
            assert value_of(trial.cost, MIB, ONE) > min(fitted, 0.95 * min(need for need in seen if need > bound))


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
    assert calls <= 12 + 20


def test_a_process_that_the_system_killed(space: nas.SearchSpace, monkeypatch: pytest.MonkeyPatch) -> None:
    counts = iter([7, 8, 8, 8])
    monkeypatch.setattr(workers, "_killed_for_memory", lambda: next(counts))
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
    finally:
        pool.close()


def _stem(space: nas.SearchSpace, width: int) -> object:
    return space.decode({**space.sample(0), "stem.0.out_channels": width}).stem


def test_the_bound_is_for_the_batch_in_use(space: nas.SearchSpace) -> None:
    arch = space.decode(space.sample(0))
    small, large = (value_of(nas.cost_of(arch), MIB, Workload(training_batch=n)) for n in (1, 64))
    assert large > 10 * small
