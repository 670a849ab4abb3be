"""The training runs of a scaling study: jobs, finished runs, and the log that keeps them in the study's folder."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from math import isfinite
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from nas.cost import cost_of
from nas.evaluation import Budget, Evaluator
from nas.line_log import LineLog
from nas.network.architecture import Architecture
from nas.network.identity import earlier_id
from nas.seeds import derived_seed
from nas.settings import as_before
from nas.training.recipe import Recipe
from nas.training.tasks.classification import ACCURACY
from nas.training.tasks.task import LOSS
from nas.workers.evaluating import Outcome, Task
from nas.workers.pool import Pool
from nas.workers.run_all import run_all

RUNS, TIMING = "runs.jsonl", "timing.jsonl"
_POLL_SECONDS = 1.0
_NUMBER = int | float
_SCORES = {ACCURACY.on_val, LOSS.on_val}
"""The scores that every run has that did not fail."""
_MAX_NUMBER = 2.0**63
"""No number of a run is as large."""


@dataclass(frozen=True)
class Job:
    """A training run that is to be done."""

    arch: Architecture
    recipe: Recipe
    replicate: int
    """Number of the run among those of the same network and recipe; each has a seed of its own."""

    @property
    def key(self) -> str:
        """The key of its run: equal jobs have the same."""
        recipe = hashlib.sha256(json.dumps(as_before(self.recipe), sort_keys=True).encode()).hexdigest()[:8]
        return f"{self.arch.arch_id}-{recipe}-{self.replicate}"

    def seed(self, study: int) -> int:
        """Return the seed of its weights, order and augmentation.

        It is derived from the network's id under the earlier scheme, so that studies from before are repeated exactly.

        Args:
            study: seed of the study.
        """
        network = earlier_id(self.arch)
        key = network + self.key.removeprefix(self.arch.arch_id)
        return derived_seed(study, self.replicate, f"{network} {key}")

    @property
    def work(self) -> float:
        """Multiply-adds of an example times epochs, to which its time is roughly proportional."""
        return float(cost_of(self.arch).macs * self.recipe.epochs)


@dataclass(frozen=True)
class Run:
    """A training run that is done."""

    key: str
    arch_id: str
    params: int
    macs: int
    epochs: int
    lr: float
    replicate: int
    seed: int
    scores: Mapping[str, float] = field(default_factory=dict)
    """Scores of the validation split after the last epoch; empty where the run failed."""
    seconds: float = 0.0
    """Duration of the training."""
    reason: str = ""
    """Why the run failed, or nothing."""

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Run:
        """Return the run of which `asdict` gives the values; raises `TypeError` or `ValueError` for anything else."""
        run = cls(**values)
        for name, kind in (("key", str), ("arch_id", str), ("reason", str), ("lr", _NUMBER), ("seconds", _NUMBER)):
            if not isinstance(getattr(run, name), kind):
                raise TypeError(f"{name} is {getattr(run, name)!r}")
        for name in ("params", "macs", "epochs", "replicate", "seed"):
            if type(getattr(run, name)) is not int:
                raise TypeError(f"{name} is {getattr(run, name)!r}")
        bounded = [run.params, run.macs, run.epochs, run.lr, run.seconds]
        if not all(0 <= number < _MAX_NUMBER for number in bounded):
            raise ValueError(f"params, macs, epochs, lr and seconds are {bounded}")
        scores = run.scores
        if not isinstance(scores, dict) or (scores and not scores.keys() >= _SCORES):
            raise TypeError(f"scores are {scores!r}")
        if not all(isinstance(score, _NUMBER) and isfinite(score) for score in scores.values()):
            raise ValueError(f"scores are {scores!r}")
        return run


class RunLog:
    """The log of a study's runs on disk, a line each, written before the study continues."""

    def __init__(self, folder: Path, name: str = RUNS) -> None:
        """Read the log, but for a line that a crash left unfinished; raises `ConfigError` as `LineLog.read`."""
        self._log = LineLog(folder / name)
        self.runs: dict[str, Run] = {run.key: run for run in self._log.read("a training run", Run.from_dict)}

    def update_ids(self, networks: Iterable[Architecture]) -> None:
        """Replace the ids that runs of these networks were recorded under in an earlier scheme by those of today."""
        current = {earlier_id(network): network.arch_id for network in networks}
        changed = {old: new for old, new in current.items() if old != new}
        for run in [run for run in self.runs.values() if run.arch_id in changed]:
            network = changed[run.arch_id]
            key = network + run.key.removeprefix(run.arch_id)
            del self.runs[run.key]
            self.runs.setdefault(key, replace(run, key=key, arch_id=network))

    def add(self, run: Run) -> None:
        """Append a run; it is on the disk before this returns."""
        self._log.append(asdict(run), durable=True)
        self.runs[run.key] = run

    def close(self) -> None:
        """Close the log."""
        self._log.close()


def seconds_per_epoch(runs: Iterable[Run]) -> Callable[[float], float]:
    """Return a function from the multiply-adds of a network to the seconds of an epoch.

    It interpolates between runs that were timed, and is constant below and proportional above them: some of the time
    does not depend on the size, so that larger networks use a machine better.
    """
    timed: dict[int, list[float]] = {}
    for run in runs:
        if not run.reason and run.seconds > 0:
            timed.setdefault(run.macs, []).append(run.seconds / run.epochs)
    sizes = sorted(timed)
    means = [fmean(timed[size]) for size in sizes]

    def seconds(macs: float) -> float:
        if not sizes:
            return 0.0
        within = float(np.interp(macs, sizes, means))
        return within * max(1.0, macs / sizes[-1])

    return seconds


def pending_jobs(jobs: Sequence[Job], log: RunLog) -> list[Job]:
    """Return the jobs that are not done, or whose run failed, each once."""
    return list({job.key: job for job in jobs if job.key not in log.runs or log.runs[job.key].reason}.values())


def train(
    todo: Sequence[Job],
    log: RunLog,
    pool: Pool,
    *,
    seed: int,
    evaluator: Callable[[Recipe], Evaluator],
    ended: Callable[[Run, str], None],
) -> None:
    """Run some jobs. A run that fails is logged with its reason and ends only itself.

    Args:
        todo: different jobs.
        log: takes each run as it ends.
        pool: where they run.
        seed: of the study.
        evaluator: returns what trains by a recipe.
        ended: called with each run, and with a line on its result and the time left.

    Raises:
        EvaluationError: runs of several networks in a row have failed alike.
    """
    total_work, started, done = sum(job.work for job in todo), time.monotonic(), 0.0
    tasks = [
        Task(number, job.arch, Budget(epochs=job.recipe.epochs), job.seed(seed), evaluator(job.recipe))
        for number, job in enumerate(todo)
    ]
    for task, outcome, seconds in run_all(pool, tasks):
        job = todo[task.number]
        run = run_of(job, outcome, seed, seconds)
        log.add(run)
        done += job.work
        spent = time.monotonic() - started
        remaining = spent * (total_work - done) / done
        ended(run, f"{_text(run)}; {minutes_text(spent)} so far, about {minutes_text(remaining)} left")


def run_of(job: Job, outcome: Outcome, study: int, seconds: float) -> Run:
    """Return the run of a job.

    Args:
        job: what was to be done.
        outcome: of its evaluation.
        study: seed of the study.
        seconds: duration of a run that failed, whose outcome has none.
    """
    cost = cost_of(job.arch)
    evaluation = outcome.evaluation
    return Run(
        key=job.key,
        arch_id=job.arch.arch_id,
        params=cost.params,
        macs=cost.macs,
        epochs=job.recipe.epochs,
        lr=job.recipe.lr,
        replicate=job.replicate,
        seed=job.seed(study),
        scores=dict(evaluation.scores) if evaluation else {},
        seconds=float(evaluation.seconds.get("evaluation", 0.0)) if evaluation else seconds,
        reason=outcome.reason,
    )


def _text(run: Run) -> str:
    which = f"run {run.replicate}" if run.replicate >= 0 else f"learning rate {run.lr:.3g}"
    outcome = f"failed: {run.reason}" if run.reason else ", ".join(f"{k} {v:.4g}" for k, v in run.scores.items())
    return f"{run.macs:,} MACs, {which}: {outcome}"


def minutes_text(seconds: float) -> str:
    """Return a duration in words: seconds, minutes or hours."""
    if seconds >= 2 * 3600:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 60:.0f} min" if seconds >= 90 else f"{seconds:.0f} s"
