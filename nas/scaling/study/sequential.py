"""Training what the planner says, in rounds, until a forecast is narrow enough or the budget is spent."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from nas.errors import NasError
from nas.scaling.laws.law import fit_law
from nas.scaling.laws.observations import Observation
from nas.scaling.laws.planner import Plan, plan
from nas.scaling.study.report import LOSS_TEXT, fit_text, law_text
from nas.scaling.study.scaling_study import Study
from nas.scaling.study.sizes import Sized
from nas.scaling.study.training_runs import Job, Run

_HOUR = 3600.0
_MOST_REPLICATES = 1000
_MOST_FAILURES = 3
"""A size so many runs of which failed is left alone."""
_FIRST = 8
"""Runs of the first round: those that a law needs come first in a plan."""


@dataclass(frozen=True)
class Outlay:
    """What was trained, and what for."""

    observations: list[Observation]
    counts: Mapping[float, int]
    """Runs of each size, by its multiply-adds."""
    spent: str
    """What they cost."""
    stopped: str
    """Why it ended."""


def progressive(study: Study, sizes: Sequence[Sized], target: float, say: Callable[[str], None]) -> Outlay:
    """Train in rounds what narrows the forecast at `target` multiply-adds most for its time.

    The first round is what a law needs; a further one is half of what the plan says is missing, so that what was
    learned changes the rest. No run is begun that the budget does not hold by what an epoch of its size has taken.

    Raises:
        NasError: the budget does not hold the runs that a law needs.
    """
    settings, budget = study.config.plan, _budget(study)
    by_macs = {float(one.member.cost.macs): one for one in sizes}
    while True:
        observations = _observations(study, sizes)
        costs = {macs: budget.run(one) for macs, one in by_macs.items() if _failures(study, one) < _MOST_FAILURES}
        if not costs:
            return _outlay(study, sizes, budget, "runs of every size fail")
        left = budget.total - budget.spent(study, sizes)
        if left < min(costs.values()):
            return _outlay(study, sizes, budget, f"the budget of {budget.text(budget.total)} is spent")
        try:
            wanted = plan(costs, target, left, observations, until=settings.until)
        except NasError as error:
            if not observations:
                raise
            return _outlay(study, sizes, budget, str(error))
        if not wanted.runs:
            return _outlay(study, sizes, budget, f"the interval is narrower than {settings.until:.0%}")
        say(plan_text(wanted, study.cost.macs, budget.text))
        if not study.config.training:
            return _outlay(study, sizes, budget, "train=false")
        first = not observations
        now = wanted.runs[: _FIRST if first else max(study.workers, len(wanted.runs) // 2)]
        jobs = [job for macs in sorted(set(now)) for job in _next(study, by_macs[macs], now.count(macs))]
        if not jobs:
            return _outlay(study, sizes, budget, f"{_MOST_REPLICATES} runs of every size that would help are done")
        study.train(jobs)


@dataclass(frozen=True)
class _Budget:
    """What is counted: hours of this machine, or multiply-adds times images."""

    total: float
    run: Callable[[Sized], float]
    """What a run of a size will cost."""
    done: Callable[[Run], float]
    """What a run has cost, also one that failed."""
    text: Callable[[float], str]

    def spent(self, study: Study, sizes: Sequence[Sized]) -> float:
        ids = {one.arch.arch_id for one in sizes}
        return sum(self.done(run) for run in study.log.runs.values() if run.arch_id in ids)


def _budget(study: Study) -> _Budget:
    settings = study.config.plan
    if settings.work is not None:
        images = study.images["train_images"]
        return _Budget(
            settings.work,
            lambda one: float(one.member.cost.macs * one.recipe.epochs * images),
            lambda run: float(run.macs * run.epochs * images),
            lambda value: f"{value:.3g} MACs x images",
        )
    return _Budget(
        settings.hours,
        lambda one: study.minutes(one.jobs(1)) / 60 / study.workers,
        lambda run: run.seconds / study.workers / _HOUR,
        lambda value: f"{value:.3g} h",
    )


def plan_text(found: Plan, base: float, cost: Callable[[float], str]) -> str:
    """Say what is to be trained next."""
    runs = ", ".join(f"{count} runs of {size / base:.3g} x base" for size, count in found.counts.items())
    guess = "a first guess, since nothing is known yet"
    now = f"it is {found.width_now:.1%} wide now" if found.width_now is not None else guess
    return f"Plan: {runs}: about {cost(found.cost)}, for an interval about {found.width:.1%} wide; {now}"


def _observations(study: Study, sizes: Sequence[Sized]) -> list[Observation]:
    found = list[Observation]()
    for one in sizes:
        for job in one.jobs(_MOST_REPLICATES):
            if job.key not in study.log.runs:
                break
            run = study.log.runs[job.key]
            if run.scores:
                found.append(Observation((float(run.macs),), study.loss(run), run.key))
    return found


def _next(study: Study, one: Sized, count: int) -> list[Job]:
    return list(islice((job for job in one.jobs(_MOST_REPLICATES) if job.key not in study.log.runs), count))


def _failures(study: Study, one: Sized) -> int:
    return sum(bool(run.reason) for run in study.log.runs.values() if run.arch_id == one.arch.arch_id)


def _outlay(study: Study, sizes: Sequence[Sized], budget: _Budget, stopped: str) -> Outlay:
    observations = _observations(study, sizes)
    counts = {float(one.member.cost.macs): 0 for one in sizes}
    for observation in observations:
        counts[observation.size[0]] += 1
    return Outlay(observations, counts, budget.text(budget.spent(study, sizes)), stopped)


def outlay_lines(study: Study, found: Outlay, target: float) -> list[str]:
    """What was trained and what is known of the target now."""
    base = study.cost.macs
    trained = ", ".join(f"{count} runs of {macs / base:.3g} x base" for macs, count in found.counts.items() if count)
    lines = [f"Ended: {found.stopped}. Trained, for {found.spent}: {trained or 'nothing'}."]
    if not found.observations:
        return lines
    try:
        law = fit_law(found.observations, max_loss=study.max_loss, seed=study.config.seed)
    except NasError as error:
        return [*lines, f"No forecast: {error}"]
    said = law.forecast(target)
    return [
        *lines,
        law_text(law),
        *filter(None, [fit_text(law)]),
        f"{LOSS_TEXT[study.config.loss]} at {target:,.0f} MACs ({target / base:.3g} x base): {said.text} "
        f"(90 %), {said.width:.1%} wide",
    ]
