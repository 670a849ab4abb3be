"""What several workers gain where evaluations are short: trials a second, and the best score that is found.

    python -m benchmarks.many_workers
    python -m benchmarks.many_workers --space mbconv --workers 8 --seeds 3 --trials 600 --milliseconds 50

Each evaluation sleeps, and scores a network by a sum over its decisions and over pairs of them, with coefficients drawn
once; the scale is that of a standard deviation over random networks. Searches have the default sampler, a run folder
and no MLflow. Each seed is searched with one worker and with many, one after the other, so that both see the load of
the same minutes. Seconds count from the first result, since starting processes is no part of a search's pace. The
seconds of CPU are those of the driver: on a machine that others use too they say what it would do alone.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import statistics
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from pathlib import Path
from typing import Any

import nas
from nas.evaluation import Budget
from nas.machine import cores
from nas.search.study import Study
from nas.search.trial import Trial
from nas.statistics import mean_interval

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
        mean, sd = self._scale
        score = (_raw(self._space.encode(arch)) - mean) / sd
        time.sleep(max(0.0, self._seconds - (time.monotonic() - started)))
        return score


class _Clock:
    """Keeps when the first trial ended, by the wall and by the driver's CPU."""

    def __init__(self) -> None:
        self.first: tuple[float, float] | None = None

    def begin(self, study: Study) -> None: ...
    def proposed(self, study: Study, running: int) -> None: ...
    def paused(self, study: Study, trial: Trial) -> None: ...
    def end(self, study: Study) -> None: ...

    def ended(self, study: Study, trial: Trial) -> None:
        self.first = self.first or (time.perf_counter(), time.process_time())


@dataclass(frozen=True)
class _Run:
    best: float
    seconds: float
    cpu_seconds: float


def _search(space: str, workers: int, trials: int, seconds: float, seed: int) -> _Run:
    clock = _Clock()
    with tempfile.TemporaryDirectory() as folder:
        study = nas.run_search(
            nas.load_space(space),
            Sleeper(space, seconds),
            workers=workers,
            trials=trials,
            seed=seed,
            objective="score",
            direction="maximize",
            run_dir=Path(folder) / "run",
            recorders=[clock],
        )
    assert clock.first is not None
    assert study.counts()["completed"] == trials
    wall, cpu = clock.first
    return _Run(study.best(1)[0].scores["score"], time.perf_counter() - wall, time.process_time() - cpu)


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--space", default="mbconv")
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--trials", type=int, default=600)
    parser.add_argument("--milliseconds", type=float, default=50)
    asked = parser.parse_args()
    rows: list[tuple[_Run, _Run]] = []
    for seed in range(asked.seeds):
        one, many = (
            _search(asked.space, workers, asked.trials, asked.milliseconds / 1000, seed)
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
