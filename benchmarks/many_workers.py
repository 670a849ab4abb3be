"""What several workers gain where evaluations are short: trials a second, and the best score that is found.

    python -m benchmarks.many_workers
    python -m benchmarks.many_workers --space mbconv --workers 8 --seeds 3 --trials 600 --milliseconds 50
    python -m benchmarks.many_workers --cpu-clock

Each evaluation sleeps, and scores a network by a sum over its decisions and over pairs of them, with coefficients drawn
once; the scale is that of a standard deviation over random networks. Searches have the default sampler, a run folder
and no MLflow. Each seed is searched with one worker and with many, one after the other, so that both see the load of
the same minutes. Seconds count from the first result, since starting processes is no part of a search's pace. The
seconds of CPU are those of the driver: on a machine that others use too they say more.

With --cpu-clock the workers are imagined ones, on a clock of the driver's CPU that stands still while they score and
goes on to the next end where the driver waits. So it shows what a driver with a core of its own does on this machine.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import statistics
import tempfile
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from pathlib import Path
from typing import Any

import nas
from nas.evaluation import Budget, Evaluation
from nas.machine import cores
from nas.search.study import Study
from nas.search.trial import Trial
from nas.statistics import mean_interval
from nas.workers.evaluating import Outcome, ReportListener, Task, evaluate

_RANDOM = 300
"""Random networks by which scores are standardised."""


def _normal(*what: object) -> float:
    """A number that looks drawn from a standard normal distribution, and is always the same."""
    share = (int.from_bytes(hashlib.sha256(repr(what).encode()).digest()[:6], "big") + 0.5) / 2**48
    return statistics.NormalDist().inv_cdf(share)


def _raw(genotype: Mapping[str, Any]) -> float:
    """Each decision adds its own, and each pair of decisions a fifth of that."""
    single = sum(_normal(decision) for decision in genotype.items())
    return single + 0.2 * sum(_normal(*pair) for pair in combinations(sorted(genotype.items(), key=repr), 2))


class Sleeper:
    """Sleeps, and scores a network."""

    def __init__(self, space: str, seconds: float) -> None:
        """Take the name of a space, whose genotypes are scored, and how long each takes."""
        self._name, self._seconds = space, seconds

    @cached_property
    def _space(self) -> nas.SearchSpace:
        return nas.load_space(self._name)

    @cached_property
    def _scale(self) -> tuple[float, float]:
        raw = [_raw(self._space.sample(seed=seed)) for seed in range(_RANDOM)]
        return statistics.mean(raw), statistics.stdev(raw)

    def prepare(self) -> Mapping[str, Any]:
        """Say nothing of data; but get ready."""
        assert self._scale
        return {}

    def __call__(self, arch: nas.Architecture, budget: Budget, seed: int) -> float:
        """Return the score; what the counting takes is part of the sleep."""
        started = time.monotonic()
        score = self.score(arch)
        time.sleep(max(0.0, self._seconds - (time.monotonic() - started)))
        return score

    def score(self, arch: nas.Architecture) -> float:
        """Return the score without any sleep."""
        mean, sd = self._scale
        return (_raw(self._space.encode(arch)) - mean) / sd


class _CpuClockPool:
    """Imagined workers on a clock of this process' CPU."""

    def __init__(self, sleeper: Sleeper, workers: int, seconds: float) -> None:
        self._sleeper, self._workers, self._seconds = sleeper, workers, seconds
        self._busy: list[tuple[float, Outcome]] = []
        self._moved = 0.0
        self.scoring = 0.0
        """Seconds of CPU that scores took, which are not the driver's."""

    @property
    def free(self) -> int:
        return self._workers - len(self._busy)

    def describe(self) -> Mapping[str, Any]:
        return self._sleeper.prepare()

    def listen(self, listener: ReportListener) -> None: ...

    def now(self) -> float:
        return time.process_time() + self._moved

    def _evaluate(self, arch: nas.Architecture, budget: Budget, seed: int) -> Evaluation:
        return Evaluation({"score": self._sleeper.score(arch)}, seconds={"evaluation": self._seconds})

    def submit(self, task: Task) -> None:
        now = self.now()
        outcome = evaluate(self._evaluate, task, "score", lambda step, scores: False)
        self.scoring += self.now() - now
        self._moved -= self.now() - now
        self._busy.append((now + self._seconds, outcome))

    def wait(self, timeout: float | None) -> list[Outcome]:
        next_end = min(end for end, _ in self._busy)
        if timeout != 0:
            self._moved += max(0.0, next_end - self.now())
        now = self.now()
        ended = [outcome for end, outcome in self._busy if end <= now]
        self._busy = [entry for entry in self._busy if entry[0] > now]
        return ended

    def running(self) -> Mapping[int, float]:
        return {}

    def end(self, number: int) -> None: ...

    def paused(self) -> AbstractContextManager[None]:
        return nullcontext()

    def close(self) -> None: ...


class _Clock:
    """Keeps when the first trial ended, by the clock of the search and by the driver's CPU."""

    def __init__(self, pool: _CpuClockPool | None) -> None:
        self.now = pool.now if pool is not None else time.perf_counter
        self.first: tuple[float, float] | None = None

    def begin(self, study: Study) -> None: ...
    def proposed(self, study: Study, running: int) -> None: ...
    def paused(self, study: Study, trial: Trial) -> None: ...
    def end(self, study: Study) -> None: ...

    def ended(self, study: Study, trial: Trial) -> None:
        self.first = self.first or (self.now(), time.process_time())


@dataclass(frozen=True)
class _Run:
    best: float
    seconds: float
    cpu_seconds: float


def _search(space: str, workers: int, trials: int, seconds: float, seed: int, *, cpu_clock: bool) -> _Run:
    sleeper = Sleeper(space, seconds)
    pool = _CpuClockPool(sleeper, workers, seconds) if cpu_clock else None
    where: dict[str, Any] = {"pool": pool} if pool is not None else {"evaluator": sleeper, "workers": workers}
    sleeper.prepare()
    clock = _Clock(pool)
    with tempfile.TemporaryDirectory() as folder:
        study = nas.run_search(
            nas.load_space(space),
            trials=trials,
            seed=seed,
            objective="score",
            direction="maximize",
            run_dir=Path(folder) / "run",
            recorders=[clock],
            **where,
        )
    assert clock.first is not None
    assert study.counts()["completed"] == trials
    began, cpu = clock.first
    driver = time.process_time() - cpu - (pool.scoring if pool is not None else 0.0)
    return _Run(study.best(1)[0].scores["score"], clock.now() - began, driver)


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--space", default="nasbench_macro")
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--trials", type=int, default=600)
    parser.add_argument("--milliseconds", type=float, default=50)
    parser.add_argument("--cpu-clock", action="store_true")
    asked = parser.parse_args()
    rows: list[tuple[_Run, _Run]] = []
    for seed in range(asked.seeds):
        one, many = (
            _search(asked.space, workers, asked.trials, asked.milliseconds / 1000, seed, cpu_clock=asked.cpu_clock)
            for workers in (1, asked.workers)
        )
        rows.append((one, many))
        for workers, run in ((1, one), (asked.workers, many)):
            print(
                f"seed {seed}, {workers} workers: {asked.trials / run.seconds:.1f} trials/s, driver's CPU "
                f"{1e3 * run.cpu_seconds / asked.trials:.1f} ms a trial, best {run.best:.3f}",
                flush=True,
            )
    print(f"\n{cores()} cores, load {', '.join(f'{load:.1f}' for load in os.getloadavg())}")
    print("\n| workers | trials a second | driver's CPU a trial | best score |\n| --: | --: | --: | --: |")
    for workers, runs in zip((1, asked.workers), zip(*rows, strict=True), strict=True):
        pace = statistics.mean(asked.trials / run.seconds for run in runs)
        cpu = statistics.mean(1e3 * run.cpu_seconds / asked.trials for run in runs)
        print(f"| {workers} | {pace:.1f} | {cpu:.1f} ms | {statistics.mean(run.best for run in runs):.3f} |")
    times = [one.seconds / many.seconds for one, many in rows]
    print(f"\ntimes as many trials a second: {statistics.mean(times):.2f} ({min(times):.2f} to {max(times):.2f})")
    if len(rows) > 1:
        low, high = mean_interval([many.best - one.best for one, many in rows])
        print(f"best score, {asked.workers} workers less one: {low:+.3f} to {high:+.3f} (95 %, {len(rows)} seeds)")


if __name__ == "__main__":
    main()
