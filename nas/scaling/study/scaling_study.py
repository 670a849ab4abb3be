"""A scaling study while it trains: the results of sizes and families, and a forecast that is checked."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import inf
from pathlib import Path
from typing import Any

from nas.cost import Cost, cost_of
from nas.errors import NasError
from nas.evaluation import Evaluator
from nas.evaluators.training import TrainingEvaluator
from nas.machine import cores_or
from nas.network.architecture import Architecture
from nas.network.identity import earlier_id
from nas.scaling.solve import Member
from nas.scaling.study.config import ScaleConfig
from nas.scaling.study.preregistration import FORECAST, CheckedForecast, ForecastTarget, register_forecast
from nas.scaling.study.report import FamilyResult, family_result
from nas.scaling.study.sizes import LOSSES, MAX_LOSS, SizeResult, TrainingSetup, best_lr, training_setups
from nas.scaling.study.tracking import ScalingRecords
from nas.scaling.study.training_runs import (
    TIMING,
    Job,
    Run,
    RunLog,
    minutes_text,
    pending_jobs,
    seconds_per_epoch,
    train,
)
from nas.training.recipe import Recipe
from nas.workers.processes import WorkerPool

Say = Callable[[str], None]
"""Takes a line for the user."""
_TIMING = -2
"""The replicate of runs that only time an epoch."""


@dataclass
class ScalingStudy:
    """A running study, with its log and its workers. It is a context; leaving it ends its workers."""

    config: ScaleConfig
    base: Architecture
    folder: Path
    """Takes the log, the recipes and the forecast."""
    say: Say
    records: ScalingRecords | None = None
    """In MLflow; None writes none."""
    log: RunLog = field(init=False)
    """Of the training runs."""
    cost: Cost = field(init=False)
    """Of the base."""
    metrics: dict[str, float] = field(default_factory=dict, init=False)
    """Results of the study by name, for the records."""
    facts: dict[str, Any] = field(default_factory=dict, init=False)
    """What it found as plain values, for programs."""
    _pool: WorkerPool | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self.log = RunLog(self.folder)
        self.cost = cost_of(self.base)
        if self.records is not None:  # runs that an interrupted session did not write
            self.records.write_runs(self.log.runs.values())

    def __enter__(self) -> ScalingStudy:
        return self

    def __exit__(self, *_: object) -> None:
        if self._pool is not None:
            self._pool.close()

    def setups(self, members: Sequence[Member]) -> list[TrainingSetup]:
        """Return each member with the recipe of its size, and bring the ids in the log up to date."""
        setups = training_setups(members, self.cost, self.config.train, self.config.by_size)
        self.log.update_ids(setup.arch for setup in setups)
        return setups

    def results_of(self, sizes: Sequence[TrainingSetup]) -> list[SizeResult]:
        """Train those of some sizes that are not trained yet, and return the results of all in their order."""
        config = self.config
        lrs, best = config.lr_sweep, dict.fromkeys(sizes, 1.0)
        if lrs:
            self.train([job for setup in sizes for job in setup.lr_jobs(lrs)])
            best = {setup: best_lr(setup, self.log.runs, lrs, config.loss) for setup in best}
            at_edge = [setup for setup, lr in best.items() if len(lrs) > 1 and lr in (min(lrs), max(lrs))]
            for setup in at_edge:
                self.say(f"{setup.member.cost.macs:,} MACs: the best learning rate is lr_sweep's edge: {best[setup]:g}")
        jobs = {setup: setup.jobs(config.seeds, lr) for setup, lr in best.items()}
        self.train([job for setup in sizes for job in jobs[setup]])
        return [self._result(setup, [self.log.runs[job.key] for job in jobs[setup]]) for setup in sizes]

    def finished(self, setup: TrainingSetup) -> SizeResult:
        """Return the result of the runs of a size that are done."""
        return self._result(setup, [run for run in self.log.runs.values() if run.arch_id == setup.arch.arch_id])

    def _result(self, setup: TrainingSetup, runs: Sequence[Run]) -> SizeResult:
        return SizeResult(setup, tuple(runs), tuple(self.loss(run) for run in runs if run.scores))

    def loss(self, run: Run) -> float:
        """Return the loss of a run; half an image in error in place of none, since a loss of 0 has no logarithm."""
        loss = LOSSES[self.config.loss](run.scores)
        return loss if loss > 0 else 0.5 / self.images["val_images"]

    @property
    def max_loss(self) -> float:
        """The largest value that the loss of this study can have."""
        return MAX_LOSS.get(self.config.loss, inf)

    def minutes(self, jobs: Sequence[Job]) -> float:
        """Return how long some jobs will take, in minutes.

        By the runs of this study, or where there are none by an epoch of the smallest and of the largest network.

        Raises:
            NasError: the timing failed, and the budget of mode `plan` is in hours.
        """
        runs = [run for run in self.log.runs.values() if not run.reason]
        if not runs:
            ends = sorted(jobs, key=lambda job: job.work / job.recipe.epochs)
            timed = [
                replace(job, recipe=replace(job.recipe, epochs=1), replicate=_TIMING) for job in (ends[0], ends[-1])
            ]
            self.say("timing an epoch of the smallest and of the largest network")
            timing = RunLog(self.folder, TIMING)
            self._do(pending_jobs(timed, timing), timing, lambda run, text: None)
            runs = list(timing.runs.values())
            failed = [run.reason for run in runs if run.reason]
            if failed and self.config.mode == "plan" and self.config.plan.work is None:
                raise NasError(f"how long an epoch takes is not known, since one failed: {failed[0]}")
        seconds = seconds_per_epoch(runs)
        total = sum(job.recipe.epochs * seconds(cost_of(job.arch).macs) for job in jobs)
        return total / min(self.workers, max(1, len(jobs))) / 60

    @property
    def images(self) -> Mapping[str, int]:
        """Numbers of images of the splits: `train_images`, `val_images`."""
        described = self._workers().describe()
        return {name: int(described[name]) for name in ("train_images", "val_images")}

    @property
    def workers(self) -> int:
        """Number of training runs at a time."""
        return cores_or(self.config.workers)

    def train(self, jobs: Sequence[Job]) -> None:
        """Run those of some jobs that are not done yet; their runs are in `log`."""
        todo = pending_jobs(jobs, self.log)
        if todo:
            minutes = self.minutes(todo)
            self.say(f"{len(todo)} runs to be done, about {minutes_text(60 * minutes)}")
            self._do(todo, self.log, self._ended)

    def _ended(self, run: Run, text: str) -> None:
        self.say(text)
        if self.records is not None:
            self.records.write_runs([run])

    def _do(self, todo: Sequence[Job], log: RunLog, ended: Callable[[Run, str], None]) -> None:
        train(todo, log, self._workers(), seed=self.config.seed, evaluator=self._evaluator, ended=ended)

    def _evaluator(self, recipe: Recipe) -> Evaluator:
        return TrainingEvaluator(self.config.data, recipe, self.config.accelerator)

    def _workers(self) -> WorkerPool:
        if self._pool is None:
            self._pool = WorkerPool(self._evaluator(self.config.train), self.workers, log=self.folder / "workers.log")
        return self._pool


def train_families(study: ScalingStudy, families: dict[str, list[Member]]) -> list[FamilyResult]:
    """Train the families of some rules and fit their laws; networks that they share are trained once.

    Raises:
        NasError: every run failed.
    """
    config = study.config
    setups = {name: study.setups(members) for name, members in families.items()}
    results = study.results_of([setup for own in setups.values() for setup in own])
    if not any(result.losses for result in results):
        raise NasError(f"every run failed: {results[0].reason}")
    remaining = iter(results)
    by_family = {name: [next(remaining) for _ in own] for name, own in setups.items()}
    return [
        family_result(name, own, axis=config.law, max_loss=study.max_loss, seed=config.seed)
        for name, own in by_family.items()
    ]


def check_forecast(study: ScalingStudy, result: FamilyResult, member: Member, say: Say) -> CheckedForecast:
    """Register the forecast of a further size, then train it.

    Args:
        study: the study.
        result: of the family whose law forecasts.
        member: the network whose loss is forecast.
        say: takes the line on the registered forecast.

    Raises:
        NasError: there is no law to forecast with, or the network was trained before there was a forecast.
    """
    config = study.config
    if result.law is None:
        raise NasError(f"no forecast: {result.reason}")
    (setup,) = study.setups([member])
    done = sum(run.arch_id == setup.arch.arch_id for run in study.log.runs.values())
    if done and not (study.folder / FORECAST).exists():
        raise NasError(
            f"no forecast: {done} runs of its network are in {study.folder}, so nothing is foretold; another name "
            "begins a study without them"
        )
    cost = setup.member.cost
    target = ForecastTarget(setup.arch.arch_id, (float(getattr(cost, config.law)),), config.seeds)
    registered = register_forecast(
        result.law, result.observations, target, study.folder, earlier=earlier_id(setup.arch)
    )
    if study.records is not None:
        study.records.write_forecast(registered.digest, study.folder / FORECAST)
    say(
        f"Frozen before it is trained (sha256 {registered.digest[:16]}): {config.loss} of {cost.macs:,} MACs, "
        f"{setup.times:.2f} x base, mean of {config.seeds} runs: {registered.forecast.text}"
    )
    return CheckedForecast(registered, study.results_of([setup])[0])
