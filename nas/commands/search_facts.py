"""What came of a search, as plain values for programs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nas.json_output import ERROR
from nas.latency.measure import Latency
from nas.run_folder import BEST_ARCHITECTURE, weights_file
from nas.search.study import Study
from nas.search.trial import Trial

FRONT = "pareto_front.json"
"""The networks of a Pareto front, in the run folder."""
_BEST = 5


def failed(study: Study) -> bool:
    """Whether a search ends with an exit code that says so: nothing was evaluated, or evaluations failed alike."""
    return not study.best(1) or study.failed_alike


def latencies(trial: Trial) -> dict[str, Latency]:
    """Return the latencies that were measured of a trial, by what they are of."""
    found = {"latency": trial.latency, "latency in 8 bits": trial.int8_latency}
    return {what: latency for what, latency in found.items() if latency is not None}


def search_facts(study: Study, run: Path, *, files: Sequence[Path], notes: Sequence[str]) -> dict[str, Any]:
    """Return what came of a search.

    Args:
        study: that has ended, its files written.
        run: its folder.
        files: of its report, the page first; none where it could not be written.
        notes: what else is said of it, in sentences.
    """
    several, winner = len(study.objectives) > 1, study.winner
    best = study.best(len(study.trials) if several else _BEST)
    error = {ERROR: study.stop_reason} if study.interrupted or failed(study) else {}
    front = {"hypervolume": study.hypervolume()[-1], "pareto_front": run / FRONT} if several and winner else {}
    return {
        **error,
        "name": study.name,
        "run_folder": run,
        "space": study.space.name,
        "genotypes": study.space.size(),
        "stop_reason": study.stop_reason,
        "interrupted": study.interrupted,
        "counts": study.counts(),
        "rejections": study.rejections(),
        "objectives": [{"name": one.name, "direction": one.direction} for one in study.objectives],
        "compared": study.compared,
        "winner": None if winner is None else winner.number,
        "best": [_trial(study, trial, run) for trial in best],
        **front,
        "best_architecture": None if winner is None else run / BEST_ARCHITECTURE,
        "report": files[0] if files else None,
        "notes": notes,
    }


def _trial(study: Study, trial: Trial, run: Path) -> dict[str, Any]:
    weights = weights_file(run, trial.trained_id) if trial.trained_id is not None else None
    assert trial.cost is not None
    return {
        "trial": trial.number,
        "arch_id": trial.arch_id,
        "scores": trial.scores,
        "folds": list(trial.folds),
        "objectives": {one.name: one.value(trial, study.workload) for one in study.objectives},
        "judged": study.judged(trial),
        "cost": {**trial.cost.to_dict(), "size_mib": trial.cost.size_mib},
        "latency_ms": None if trial.latency is None else trial.latency.ms,
        "int8_latency_ms": None if trial.int8_latency is None else trial.int8_latency.ms,
        "rung": trial.rung,
        "genotype": trial.genotype,
        "recipe": dict(trial.recipe),
        "weights": weights if weights is not None and weights.exists() else None,
    }
