"""A scaling study that trains: sizes, runs, laws, and a forecast that is frozen before it is tried."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import inf
from pathlib import Path

from nas.cost import Cost, cost_of
from nas.errors import NasError
from nas.network.architecture import Architecture
from nas.network.identity import earlier_id
from nas.runs import cores_or
from nas.scaling.solve import Member
from nas.scaling.study.config import ScaleConfig
from nas.scaling.study.preregistration import FORECAST, Subject, Tried, freeze
from nas.scaling.study.report import Findings, findings
from nas.scaling.study.sizes import LOSSES, MAX_LOSS, Shown, Sized, picked, sized
from nas.scaling.study.tracking import Records
from nas.scaling.study.training_runs import (
    TIMING,
    Job,
    RecipesEvaluator,
    Run,
    RunLog,
    minutes_text,
    seconds_per_epoch,
    train,
    undone,
    write_recipes,
)
from nas.workers.processes import WorkerPool

Say = Callable[[str], None]
_TIMING = -2
"""The replicate that only shows how long an epoch takes."""


@dataclass
class Study:
    """One study while it runs: what is trained, and where it is kept. Leaving it ends its workers."""

    config: ScaleConfig
    base: Architecture
    folder: Path
    say: Say
    records: Records | None = None
    log: RunLog = field(init=False)
    cost: Cost = field(init=False)
    metrics: dict[str, float] = field(default_factory=dict, init=False)
    """What was found, for the records."""
    _pool: WorkerPool | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self.log = RunLog(self.folder)
        self.cost = cost_of(self.base)
        if self.records is not None:  # what an interrupted study did not come to write
            self.records.runs(self.log.runs.values())

    def __enter__(self) -> Study:
        return self

    def __exit__(self, *_: object) -> None:
        if self._pool is not None:
            self._pool.close()

    def sized(self, members: Sequence[Member]) -> list[Sized]:
        """The members as they are trained."""
        found = sized(members, self.cost, self.config.train, self.config.by_size)
        self.log.renew(one.arch for one in found)
        return found

    def show(self, sizes: Sequence[Sized]) -> list[Shown]:
        """Train some sizes, where they are not yet, and return what they showed in their order."""
        config = self.config
        lrs, best = config.lr_sweep, dict.fromkeys(sizes, 1.0)
        if lrs:
            self.train([job for one in sizes for job in one.picking(lrs)])
            best = {one: picked(one, self.log.runs, lrs, config.loss) for one in best}
            edge = [one for one, lr in best.items() if len(lrs) > 1 and lr in (min(lrs), max(lrs))]
            for one in edge:
                self.say(f"{one.member.cost.macs:,} MACs: the best learning rate is lr_sweep's edge: {best[one]:g}")
        wanted = {one: one.jobs(config.seeds, lr) for one, lr in best.items()}
        self.train([job for one in sizes for job in wanted[one]])
        return [self._shown(one, [self.log.runs[job.key] for job in wanted[one]]) for one in sizes]

    def known(self, one: Sized) -> Shown:
        """What the runs of a size that are done have shown."""
        return self._shown(one, [run for run in self.log.runs.values() if run.arch_id == one.arch.arch_id])

    def _shown(self, one: Sized, runs: Sequence[Run]) -> Shown:
        return Shown(one, tuple(runs), tuple(self.loss(run) for run in runs if run.scores))

    def loss(self, run: Run) -> float:
        """What a law is of; half an image in place of none that was wrong, since a loss of 0 has no logarithm."""
        loss = LOSSES[self.config.loss](run.scores)
        return loss if loss > 0 else 0.5 / self.images["val_images"]

    @property
    def max_loss(self) -> float:
        """What no loss of this study can be above."""
        return MAX_LOSS.get(self.config.loss, inf)

    def minutes(self, jobs: Sequence[Job]) -> float:
        """What some jobs will take: by runs of this study, or an epoch of the smallest and of the largest network."""
        runs = [run for run in self.log.runs.values() if not run.reason]
        if not runs:
            ends = sorted(jobs, key=lambda job: job.work / job.recipe.epochs)
            tried = [
                replace(job, recipe=replace(job.recipe, epochs=1), replicate=_TIMING) for job in (ends[0], ends[-1])
            ]
            self.say("timing an epoch of the smallest and of the largest network")
            timing = RunLog(self.folder, TIMING)
            self._do(undone(tried, timing), timing, lambda run, text: None)
            runs = list(timing.runs.values())
            failed = [run.reason for run in runs if run.reason]
            if failed and self.config.mode == "plan" and self.config.plan.work is None:
                raise NasError(f"how long an epoch takes is not known, since one failed: {failed[0]}")
        seconds = seconds_per_epoch(runs)
        work = sum(job.recipe.epochs * seconds(cost_of(job.arch).macs) for job in jobs)
        return work / min(self.workers, max(1, len(jobs))) / 60

    @property
    def images(self) -> Mapping[str, int]:
        """How many images the splits have: `train_images`, `val_images`."""
        found = self._workers().describe()
        return {name: int(found[name]) for name in ("train_images", "val_images")}

    @property
    def workers(self) -> int:
        """Training runs at a time."""
        return cores_or(self.config.workers)

    def train(self, jobs: Sequence[Job]) -> None:
        """Do what is not done yet of some jobs; what they showed is in `log`."""
        todo = undone(jobs, self.log)
        if todo:
            about = self.minutes(todo)
            self.say(f"{len(todo)} runs to be done, about {minutes_text(60 * about)}")
            self._do(todo, self.log, self._ended)

    def _ended(self, run: Run, text: str) -> None:
        self.say(text)
        if self.records is not None:
            self.records.runs([run])

    def _do(self, todo: Sequence[Job], log: RunLog, ended: Callable[[Run, str], None]) -> None:
        write_recipes(todo, self.folder, self.config.seed)
        train(todo, log, self._workers(), seed=self.config.seed, ended=ended)

    def _workers(self) -> WorkerPool:
        if self._pool is None:
            evaluator = RecipesEvaluator(self.config.data, self.folder, self.config.accelerator)
            self._pool = WorkerPool(evaluator, self.workers, log=self.folder / "workers.log")
        return self._pool


def trained(study: Study, families: dict[str, list[Member]]) -> list[Findings]:
    """Train the families of some rules; networks that they share are trained once.

    Raises:
        NasError: every run failed.
    """
    sizes = {name: study.sized(members) for name, members in families.items()}
    everything = study.show([one for every in sizes.values() for one in every])
    if not any(one.losses for one in everything):
        raise NasError(f"every run failed: {everything[0].reason}")
    found, start = [], 0
    for name, every in sizes.items():
        own = everything[start : start + len(every)]
        found.append(findings(name, own, axis=study.config.law, max_loss=study.max_loss, seed=study.config.seed))
        start += len(every)
    return found


def forecast(study: Study, found: Findings, ahead: Member, say: Say) -> Tried:
    """Write down what is expected of a further size, then train it.

    Raises:
        NasError: there is no law to forecast with.
    """
    config = study.config
    if found.law is None:
        raise NasError(f"no forecast: {found.reason}")
    (one,) = study.sized([ahead])
    trained = sum(run.arch_id == one.arch.arch_id for run in study.log.runs.values())
    if trained and not (study.folder / FORECAST).exists():
        raise NasError(
            f"no forecast: {trained} runs of its network are in {study.folder}, so nothing is foretold; another name "
            "begins a study without them"
        )
    size = float(getattr(one.member.cost, config.law))
    subject = Subject(one.arch.arch_id, (size,), config.seeds)
    frozen = freeze(found.law, found.observations, subject, study.folder, earlier=earlier_id(one.arch))
    if study.records is not None:
        study.records.frozen(frozen.digest, study.folder / FORECAST)
    say(
        f"Frozen before it is trained (sha256 {frozen.digest[:16]}): {config.loss} of {one.member.cost.macs:,} MACs, "
        f"{one.times:.2f} x base, mean of {config.seeds} runs: {frozen.forecast.text}"
    )
    return Tried(frozen, study.show([one])[0])
