"""What is shown of a search at its end: its best trials, and where its time went."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from rich import box
from rich.console import Console
from rich.table import Table

from nas.cost import AFTER_TRAINING
from nas.search.reporting.progress import duration
from nas.search.settings import SearchSettings
from nas.search.stop_reason import StopReason
from nas.search.study import Study
from nas.search.trial import State, Trial
from nas.training.recipe_decisions import value_text

_LATEST = 5
"""Proposals, some of which are for gains of another kind, as those beyond a margin."""


def to_go_on(study: Study, search: SearchSettings) -> str:
    """Return the setting with which a search that ended before its end goes on: more time, where that was over."""
    over = study.stop is not None and study.stop.reason is StopReason.TIME_OVER
    if search.minutes is not None and (over or search.known_trials is None):
        return f"search.minutes={search.minutes * (2 if over else 1):g}"
    return f"search.trials={search.known_trials}"


def print_best(console: Console, study: Study, count: int = 5) -> None:
    """Print the `count` best trials as a table; with several objectives all of the Pareto front, its knee marked."""
    several = len(study.objectives) > 1
    best = study.best(len(study.trials) if several else count)
    if not best:
        return
    unended = best[0].state is not State.COMPLETED and not several
    knee, rungs = study.knee() if several else None, study.rungs > 1 and (several or unended)
    ranked = len(study.ranked)
    title = f"Best of {ranked} network{'s' * (ranked != 1)}" + (" on the highest rung so far" if unended else "")
    if several:
        highest = ", each on the highest rung that it has ended" if rungs else ""
        title = f"Pareto front of {len(study.scored)} networks{highest} (* its knee)"
    table = Table(title=title, title_justify="left", box=box.SIMPLE, pad_edge=False)
    measured, soft = any(trial.latency for trial in best), any(trial.soft_excess for trial in best)
    judged, ms = ["judged"] if soft else [], ["ms"] if measured else []
    late = [name for name in AFTER_TRAINING if any(name in trial.scores for trial in best)]
    scores = [*dict.fromkeys([*(one.name for one in study.objectives if not one.is_cost), *late])]
    rung, folds = ["rung"] if rungs else [], [name for name in scores if any(trial.deviation(name) for trial in best)]
    recipe = [*study.recipe.decisions]
    deviations = [f"sd of folds ({name})" if len(folds) > 1 else "sd of folds" for name in folds]
    for name in ("trial", *rung, *scores, *deviations, *judged, "params", "macs", "size MiB", *ms, *recipe, "arch_id"):
        table.add_column(name, justify="left" if name == "arch_id" else "right")
    for trial in best:
        assert trial.cost is not None
        table.add_row(
            f"{'* ' if trial is knee else ''}{trial.number}",
            *([study.rung_text(trial)] if rungs else []),
            *(f"{trial.scores[name]:.4f}" if name in trial.scores else "" for name in scores),
            *("" if (sd := trial.deviation(name)) is None else f"{sd:.4f}" for name in folds),
            *([f"{study.judged(trial):.4f}"] if soft else []),
            f"{trial.cost.params:,}",
            f"{trial.cost.macs:,}",
            f"{trial.cost.size_mib:.2f}",
            *([f"{trial.latency.ms:.3f}" if trial.latency else ""] if measured else []),
            *(value_text(trial.recipe[name]) if name in trial.recipe else "" for name in recipe),
            trial.arch_id,
        )
    console.print(table)
    for line in (*_selection_lines(study), *_inherited_lines(study)):
        console.print(line, highlight=False)


def expected_gain(study: Study) -> list[str]:
    """Return how much better than the best the latest proposals were expected to be; nothing where no model said so."""
    said = sorted((trial for trial in study.trials if trial.expected_gain is not None), key=lambda trial: trial.number)
    latest = [(trial.expected_gain, trial.noise_sd) for trial in said[-_LATEST:]]
    pairs = [(gain, noise) for gain, noise in latest if gain is not None and noise]
    if not pairs:
        return []
    gain, noise = max(pairs)
    return [
        f"The latest {len(pairs)} proposals were expected to improve the best {study.objective} by {gain:.2g} at most, "
        f"{gain / noise:.2g} times the noise of a score."
    ]


def _selection_lines(study: Study) -> list[str]:
    """Return a note that the best scores were selected among many; none where fewer than two were evaluated."""
    tried = study.compared
    if tried < 2:
        return []
    several = len(study.objectives) > 1
    scores = " and ".join(objective.name for objective in study.objectives if not objective.is_cost)
    evaluator = study.notes.get("config", {}).get("evaluator", {}).get("name", "train")
    where = " on the validation split" if evaluator == "train" else ""
    where = ", the mean over folds" if any(trial.folds for trial in study.scored) else where
    return [
        f"{'They were' if several else 'The best was'} selected out of {tried} by this very {scores}{where}, which is "
        f"therefore optimistic: luck is selected too. Evaluated anew, expect worse."
    ]


def _inherited_lines(study: Study) -> list[str]:
    """Return a note on the networks that began with trained weights; none where none did."""
    trained = [trial for trial in study.trials if trial.trained]
    shares = [trial.inherited_share for trial in trained if trial.inherited_share]
    if not shares:
        return []
    return [
        f"{len(shares)} of {len(trained)} networks began with the weights of another one (median share of their "
        f"parameters {median(shares):.0%}): their scores are not those of a training from scratch (nas finish)."
    ]


def time_summary(trials: Sequence[Trial], seconds: float, workers: int) -> str:
    """Return a line on how much of the workers' time went into training steps.

    Args:
        trials: of this session.
        seconds: of this session.
        workers: processes; 0 counts as one.
    """
    steps = sum(trial.seconds.get("train_steps", 0.0) for trial in trials)
    evaluation = sum(trial.seconds.get("evaluation", 0.0) for trial in trials)
    capacity = max(1e-9, seconds * max(1, workers))
    return (
        f"Time of this session: {duration(seconds)} with {workers} worker{'s' * (workers != 1)}; of their time "
        f"{steps / capacity:.1%} in training steps, "
        f"{(evaluation - steps) / capacity:.1%} in the rest of training (validation, set-up), "
        f"{max(0.0, 1 - evaluation / capacity):.1%} idle (start-up, waiting, stopped "
        "while latency was measured)"
    )
