"""Sequential design: training planned runs in rounds, until a forecast is narrow enough or the budget is spent."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from nas.errors import NasError
from nas.scaling.laws.law import Law, fit_law
from nas.scaling.laws.observations import Observation
from nas.scaling.laws.planner import Plan, plan
from nas.scaling.study.report import LOSS_TEXT, fit_text, law_text
from nas.scaling.study.scaling_study import ScalingStudy
from nas.scaling.study.sizes import TrainingSetup
from nas.scaling.study.training_runs import Job, Run

_HOUR = 3600.0
_MAX_REPLICATES = 1000
_MAX_FAILURES = 3
"""Failed runs of a size from which on no other of that size is planned."""
_FIRST_RUNS = 8
"""Number of runs of the first round, in which those come first that a law needs."""


@dataclass(frozen=True)
class SequentialResult:
    """The runs of a sequential design, and why it ended."""

    observations: list[Observation]
    counts: Mapping[float, int]
    """Number of runs of each size, by its multiply-adds."""
    spent: str
    """Their cost, in words."""
    stopped: str
    """Why it ended."""


def train_sequentially(
    study: ScalingStudy, sizes: Sequence[TrainingSetup], target: float, say: Callable[[str], None]
) -> SequentialResult:
    """Train in rounds the runs that narrow the forecast at `target` multiply-adds most for their time.

    The first round has the runs that a law needs; a further one half of the plan, so that its results change the rest.
    No run is begun that the budget does not hold, by the time that an epoch of its size has taken.

    Raises:
        NasError: the budget does not hold the runs that a law needs.
    """
    settings, budget = study.config.plan, _budget(study)
    by_macs = {float(setup.member.cost.macs): setup for setup in sizes}
    while True:
        observations = _observations(study, sizes)
        costs = {macs: budget.run(setup) for macs, setup in by_macs.items() if _failures(study, setup) < _MAX_FAILURES}
        if not costs:
            return _result(study, sizes, budget, "runs of every size fail")
        left = budget.total - budget.spent(study, sizes)
        if left < min(costs.values()):
            return _result(study, sizes, budget, f"the budget of {budget.text(budget.total)} is spent")
        try:
            planned = plan(costs, target, left, observations, until=settings.until)
        except NasError as error:
            if not observations:
                raise
            return _result(study, sizes, budget, str(error))
        if not planned.runs:
            return _result(study, sizes, budget, f"the interval is narrower than {settings.until:.0%}")
        say(plan_text(planned, study.cost.macs, budget.text))
        if not study.config.training:
            return _result(study, sizes, budget, "train=false")
        first = not observations
        runs = planned.runs[: _FIRST_RUNS if first else max(study.workers, len(planned.runs) // 2)]
        jobs = [job for macs in sorted(set(runs)) for job in _next_jobs(study, by_macs[macs], runs.count(macs))]
        if not jobs:
            return _result(study, sizes, budget, f"{_MAX_REPLICATES} runs of every size that would help are done")
        study.train(jobs)


@dataclass(frozen=True)
class _Budget:
    """A budget in hours of this machine, or in multiply-adds times images."""

    total: float
    run: Callable[[TrainingSetup], float]
    """Gives the expected cost of a run of a size."""
    done: Callable[[Run], float]
    """Gives the cost of a run that is done, failed or not."""
    text: Callable[[float], str]
    """Writes a cost with its unit."""

    def spent(self, study: ScalingStudy, sizes: Sequence[TrainingSetup]) -> float:
        ids = {setup.arch.arch_id for setup in sizes}
        return sum(self.done(run) for run in study.log.runs.values() if run.arch_id in ids)


def _budget(study: ScalingStudy) -> _Budget:
    settings = study.config.plan
    if settings.work is not None:
        images = study.images["train_images"]
        return _Budget(
            settings.work,
            lambda setup: float(setup.member.cost.macs * setup.recipe.epochs * images),
            lambda run: float(run.macs * run.epochs * images),
            lambda value: f"{value:.3g} MACs x images",
        )
    return _Budget(
        settings.hours,
        lambda setup: study.minutes(setup.jobs(1)) / 60 / study.workers,
        lambda run: run.seconds / study.workers / _HOUR,
        lambda value: f"{value:.3g} h",
    )


def plan_text(plan: Plan, base: float, cost: Callable[[float], str]) -> str:
    """Return a plan in words.

    Args:
        plan: the runs.
        base: multiply-adds of the base, which sizes are multiples of.
        cost: writes a cost with its unit.
    """
    runs = ", ".join(f"{count} runs of {size / base:.3g} x base" for size, count in plan.counts.items())
    guess = "a first guess, since nothing is known yet"
    now = f"it is {plan.width_now:.1%} wide now" if plan.width_now is not None else guess
    return f"Plan: {runs}: about {cost(plan.cost)}, for an interval about {plan.width:.1%} wide; {now}"


def _observations(study: ScalingStudy, sizes: Sequence[TrainingSetup]) -> list[Observation]:
    observations = list[Observation]()
    for setup in sizes:
        for job in setup.jobs(_MAX_REPLICATES):
            if job.key not in study.log.runs:
                break
            run = study.log.runs[job.key]
            if run.scores:
                observations.append(Observation((float(run.macs),), study.loss(run), run.key))
    return observations


def _next_jobs(study: ScalingStudy, setup: TrainingSetup, count: int) -> list[Job]:
    return list(islice((job for job in setup.jobs(_MAX_REPLICATES) if job.key not in study.log.runs), count))


def _failures(study: ScalingStudy, setup: TrainingSetup) -> int:
    return sum(bool(run.reason) for run in study.log.runs.values() if run.arch_id == setup.arch.arch_id)


def _result(study: ScalingStudy, sizes: Sequence[TrainingSetup], budget: _Budget, stopped: str) -> SequentialResult:
    observations = _observations(study, sizes)
    counts = {float(setup.member.cost.macs): 0 for setup in sizes}
    for observation in observations:
        counts[observation.size[0]] += 1
    return SequentialResult(observations, counts, budget.text(budget.spent(study, sizes)), stopped)


def sequential_law(study: ScalingStudy, result: SequentialResult) -> Law | str:
    """Return the law of the runs of a sequential design, or why there is none."""
    if not result.observations:
        return "nothing was trained"
    try:
        return fit_law(result.observations, max_loss=study.max_loss, seed=study.config.seed)
    except NasError as error:
        return str(error)


def sequential_lines(study: ScalingStudy, result: SequentialResult, law: Law | str, target: float) -> list[str]:
    """Return the report of a sequential design, as lines: the runs, the law, and the forecast at the target."""
    base = study.cost.macs
    trained = ", ".join(f"{count} runs of {macs / base:.3g} x base" for macs, count in result.counts.items() if count)
    lines = [f"Ended: {result.stopped}. Trained, for {result.spent}: {trained or 'nothing'}."]
    if not result.observations:
        return lines
    if isinstance(law, str):
        return [*lines, f"No forecast: {law}"]
    forecast = law.forecast(target)
    return [
        *lines,
        law_text(law),
        *filter(None, [fit_text(law)]),
        f"{LOSS_TEXT[study.config.loss]} at {target:,.0f} MACs ({target / base:.3g} x base): {forecast.text} "
        f"(90 %), {forecast.width:.1%} wide",
    ]
