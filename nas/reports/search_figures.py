"""The figures of a search's report, as plain values: computed here, drawn elsewhere."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, isfinite

import numpy as np
from numpy.typing import NDArray

from nas.cost import AFTER_TRAINING, FREE_METRICS, INT8_LATENCY, METRICS, Constraint, value_of
from nas.cost.metrics import METRIC_DOCS
from nas.pareto import knee
from nas.search.objectives import Objective
from nas.search.study import Study
from nas.search.trial import State, Trial

Array = NDArray[np.float64]

_USUAL_COSTS = ("params", "macs")
"""Costs that are shown where none is limited."""
_MOST_CHARTS = 6
_BEST_SHARE, _LEAST_BEST = 0.1, 5
"""Of the evaluated networks so many are the best ones, and at least so many."""
_ENOUGH = 30
"""Trials that say something of decisions."""
_MOST_SHARED = 12
_TELLING = 0.2
"""A value is told of where its share among the best is larger than among all by so much."""


@dataclass(frozen=True)
class ScoredTrial:
    """A trial with a score, as a point."""

    number: int
    x: float
    """A cost, or another objective."""
    score: float
    """The first objective, without a penalty."""
    state: State
    origin: str
    """`search`, `random` (of the baseline) or `design`."""


@dataclass(frozen=True)
class CostFigure:
    """The first objective against a cost, or another objective."""

    metric: str
    doc: str
    """What it is, with its unit, as a phrase."""
    low: float
    high: float
    """Hard limits; infinite where there are none."""
    soft_high: float
    """The soft upper limit; infinite where there is none."""
    trials: tuple[ScoredTrial, ...]
    rejected: tuple[tuple[int, float], ...]
    """Number and cost of each trial that was rejected and has one."""
    front: tuple[ScoredTrial, ...]
    """The completed trials that none is better than in both, by the cost."""
    knee: ScoredTrial | None


@dataclass(frozen=True)
class RandomCourse:
    """What random candidates alone would have reached."""

    evaluations: int
    expected: float
    low: float
    high: float
    """Ends of the interval that holds the best of so many with 90 %."""


@dataclass(frozen=True)
class ProgressFigure:
    """The best score by the number of evaluated networks."""

    trials: tuple[ScoredTrial, ...]
    """In the order in which they ended; `x` counts them from 1."""
    best: tuple[tuple[int, float], ...]
    """After so many evaluations the best score that the search itself had found, without its random candidates."""
    random: tuple[RandomCourse, ...]
    hypervolume: tuple[float, ...]
    """After each trial with scores, as a share of the box between worst and best; of one objective none."""


@dataclass(frozen=True)
class SharedValue:
    """A value that more of the best networks have than of all."""

    decision: str
    value: object
    among_best: int
    best: int
    among_all: int
    evaluated: int


@dataclass(frozen=True)
class TimeShare:
    """Seconds by what they went to."""

    what: str
    seconds: float


def completed(study: Study) -> list[Trial]:
    """Return the trials that were evaluated to their end with a finite score, in the order in which they ended."""
    return [trial for trial in study.trials if trial.state is State.COMPLETED and isfinite(_score(study, trial))]


def _score(study: Study, trial: Trial) -> float:
    return trial.scores.get(study.objective, float("nan"))


def origin_of(trial: Trial) -> str:
    """Return where a candidate came from: `design`, `random` or `search`."""
    return "design" if trial.design else "random" if trial.baseline else "search"


def metric_value(study: Study, trial: Trial, metric: str) -> float:
    """Return a cost, or a score, of a trial; what was predicted where it was not measured; nan where there is none."""
    value = Objective(metric, "minimize").value(trial, study.workload) if metric not in AFTER_TRAINING else None
    if metric == INT8_LATENCY and trial.int8_latency is not None:
        value = trial.int8_latency.ms
    if value is None:
        value = next((one.value for one in trial.violations if one.metric == metric), None)
    return trial.scores.get(metric, float("nan")) if value is None else float(value)


def shown_metrics(study: Study, limits: Sequence[Constraint]) -> list[str]:
    """Return the costs that charts are made of: the limited ones, then further objectives, else parameters and MACs."""
    limited = [limit.metric for limit in limits]
    further = [objective.name for objective in study.objectives[1:]]
    return list(dict.fromkeys([*limited, *further] or _USUAL_COSTS))[:_MOST_CHARTS]


def cost_figure(study: Study, metric: str, limits: Sequence[Constraint]) -> CostFigure:
    """Return the first objective of all trials that have one against a cost or another objective."""
    bounds = {limit.soft: (limit.low, limit.high) for limit in limits if limit.metric == metric}
    (low, high), (_, soft_high) = bounds.get(False, (-inf, inf)), bounds.get(True, (-inf, inf))
    scored, rejected = [], []
    for trial in study.trials:
        x, score = metric_value(study, trial, metric), _score(study, trial)
        if trial.state is State.REJECTED and isfinite(x):
            rejected.append((trial.number, x))
        elif trial.state not in (State.DUPLICATE, State.FAILED) and isfinite(x) and isfinite(score):
            scored.append(ScoredTrial(trial.number, x, score, trial.state, origin_of(trial)))
    further = {objective.name: objective.sign for objective in study.objectives[1:]}
    signs = study.objectives[0].sign, further.get(metric, -1)
    front = _front([trial for trial in scored if trial.state is State.COMPLETED], signs)
    points = np.array([(signs[0] * trial.score, signs[1] * trial.x) for trial in front])
    return CostFigure(
        metric=metric,
        doc=METRIC_DOCS.get(metric, "an objective"),
        low=low,
        high=high,
        soft_high=soft_high,
        trials=tuple(scored),
        rejected=tuple(rejected),
        front=tuple(front),
        knee=_knee(front, points),
    )


def _front(trials: Sequence[ScoredTrial], signs: tuple[int, int]) -> list[ScoredTrial]:
    """Return those that none is better than in score and cost, from the best cost to the worst."""
    best, front = -inf, []
    for trial in sorted(trials, key=lambda one: (-signs[1] * one.x, -signs[0] * one.score, one.number)):
        if signs[0] * trial.score > best:
            best = signs[0] * trial.score
            front.append(trial)
    return front


def _knee(front: Sequence[ScoredTrial], points: Array) -> ScoredTrial | None:
    """Return the knee of a front; None where that is an end of it, so that no network is a good compromise."""
    index = knee(points) if len(front) > 2 else 0
    return front[index] if 0 < index < len(front) - 1 else None


def progress_figure(study: Study) -> ProgressFigure:
    """Return the course of the first objective, judged as the search judges it: with the penalty for soft limits."""
    done = completed(study)
    sign = study.objectives[0].sign
    judged = [study.judged(trial) for trial in done]
    trials = [
        ScoredTrial(trial.number, place, score, trial.state, origin_of(trial))
        for place, (trial, score) in enumerate(zip(done, judged, strict=True), start=1)
    ]
    best: list[tuple[int, float]] = []
    for trial in trials:
        if trial.origin != "random" and (not best or sign * trial.score > sign * best[-1][1]):
            best.append((int(trial.x), trial.score))
    random = np.array([trial.score for trial in trials if trial.origin == "random"])
    return ProgressFigure(tuple(trials), tuple(best), tuple(random_course(random, sign)), normalised_hypervolume(study))


def random_course(scores: Array, sign: int) -> list[RandomCourse]:
    """Return what the best of the first 1, 2, ... of some random candidates is, over all orders of them.

    The best of n drawn without replacement of the N that there are: the chance that the k-th smallest is the best is
    C(k-1, n-1) / C(N, n). Tang et al. 2020, "Showing your work doesn't always work", the unbiased estimate.

    Args:
        scores: `(candidates,)`.
        sign: 1 where larger is better, else -1.
    """
    ordered, number = np.sort(sign * scores), len(scores)
    course = []
    chances = np.zeros(number)
    for count in range(1, number + 1):
        chances = np.full(number, 1 / number) if count == 1 else _next_chances(chances, count, number)
        below = np.cumsum(chances)
        ends = [ordered[min(int(np.searchsorted(below, share - 1e-12)), number - 1)] for share in (0.05, 0.95)]
        low, high = sorted(sign * float(end) for end in ends)
        course.append(RandomCourse(count, sign * float(chances @ ordered), low, high))
    return course


def _next_chances(chances: Array, count: int, number: int) -> Array:
    """Return the chances of each rank to be the best of `count`, from those of one fewer.

    C(k-1, n-1) / C(N, n) is C(k-1, n-2) / C(N, n-1) times (k-n+1) / (n-1) times n / (N-n+1).
    """
    ranks = np.arange(1, number + 1)
    factor = np.maximum(ranks - count + 1, 0) / (count - 1) * count / (number - count + 1)
    return np.asarray(chances * factor)


def normalised_hypervolume(study: Study) -> tuple[float, ...]:
    """Return the hypervolume after each trial, as a share of the box between the worst and the best values found."""
    if len(study.objectives) < 2 or not study.scored:
        return ()
    points = np.array([study.values(trial) for trial in study.scored], float)
    box = float(np.prod(points.max(axis=0) - points.min(axis=0)))
    return tuple(volume / box for volume in study.hypervolume()) if box > 0 else ()


def telling_rung(study: Study) -> int | None:
    """Return the rung by whose scores decisions are judged where the better trials get more budget; else None.

    The highest one that enough trials have had for that, or else the lowest.
    """
    if study.rungs == 1:
        return None
    counts = Counter(rung for curve in study.rung_scores for rung in curve)
    enough = [rung for rung, count in counts.items() if count >= _ENOUGH]
    return max(enough) if enough else min(counts, default=None)


def scored_on(study: Study, rung: int | None) -> list[tuple[Trial, float]]:
    """Return the trials that have a finite first objective on a rung, with it; None: those that were completed."""
    if rung is None:
        return [(trial, study.judged(trial)) for trial in completed(study)]
    found = [(trial, dict(trial.steps)) for trial in study.trials if trial.first_rung is not None]
    return [(trial, steps[rung][0]) for trial, steps in found if rung in steps and isfinite(steps[rung][0])]


def shared_values(study: Study) -> list[SharedValue]:
    """Return the values that clearly more of the best networks have than of all that were evaluated.

    The search itself draws on what was good before, so what it took often is not thereby shown to be good.
    """
    done = sorted(completed(study), key=lambda trial: -study.objectives[0].sign * study.judged(trial))
    count = max(_LEAST_BEST, round(_BEST_SHARE * len(done)))
    if len(done) < 2 * count:
        return []
    best, shared = done[:count], []
    among_best, among_done = [trial.decisions for trial in best], [trial.decisions for trial in done]
    for decision in sorted({name for decided in among_best for name in decided}):
        values = Counter(decided[decision] for decided in among_best if decision in decided)
        value, among = values.most_common(1)[0]
        among_all = sum(decided.get(decision) == value and decision in decided for decided in among_done)
        if among / count - among_all / len(done) >= _TELLING:
            shared.append(SharedValue(decision, value, among, count, among_all, len(done)))
    shared.sort(key=lambda one: -(one.among_best / one.best - one.among_all / one.evaluated))
    return shared[:_MOST_SHARED]


def time_shares(study: Study, workers: int | None) -> list[TimeShare]:
    """Return what the seconds of the workers went to, the longest part first.

    Args:
        study: of the search.
        workers: number of processes that evaluated; None where it is not known, so that waiting is not either.
    """
    parts: dict[str, float] = {}
    for trial in study.trials:
        if trial.state is State.DUPLICATE:
            continue
        inner = {name: value for name, value in trial.seconds.items() if name != "evaluation" and isfinite(value)}
        stopped = inner.pop("stopped", 0.0)
        rest = max(0.0, trial.seconds.get("evaluation", 0.0) - sum(inner.values()))
        inner["stopped"] = stopped
        inner["rest of training" if "train_steps" in inner else "rest"] = rest
        for name, value in inner.items():
            what = _PART_WORDS.get(name, name)
            parts[what] = parts.get(what, 0.0) + value
    shares = [TimeShare(what, seconds) for what, seconds in parts.items() if seconds > 0]
    shares.sort(key=lambda one: -one.seconds)
    elapsed = max((trial.elapsed for trial in study.trials), default=0.0)
    if workers is not None and (idle := workers * elapsed - sum(parts.values())) > 0:
        shares.append(TimeShare("start-up, proposals, measuring and waiting", idle))
    return shares


_PART_WORDS = {
    "train_steps": "training steps",
    "rest of training": "validation and set-up of trainings",
    "rest": "evaluation",
    "stopped": "stopped, while the latency of others was measured",
    "int8": "8-bit weights: making and checking them",
}


def cost_columns(study: Study, limits: Sequence[Constraint]) -> list[str]:
    """Return the costs that the table of trials has."""
    shown = [metric for metric in shown_metrics(study, limits) if metric in METRICS or metric in AFTER_TRAINING]
    return list(dict.fromkeys([*_USUAL_COSTS, "size_mib", *shown]))


def counted_value(study: Study, trial: Trial, metric: str) -> float:
    """Return a cost for the table; nan where the trial has none."""
    if metric in FREE_METRICS:
        return value_of(trial.cost, metric, study.workload) if trial.cost is not None else float("nan")
    return metric_value(study, trial, metric)
