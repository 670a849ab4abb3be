"""Studies made by hand and by searches without training, for the tests of reports."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import nas
from nas.cost import Cost, Violation
from nas.search.objectives import Objective, objectives_from
from nas.search.study import Study
from nas.search.trial import State, Trial
from tests.search.conftest import SMALL

NASTY = "<script>window.hacked=1</script>\"'><img src=x onerror=window.hacked=2>&\u202e\x1b[31m"


NASTY_NAME = "<script>window.hacked=4<b>&'\""
"""As a space may be called."""


@cache
def small() -> nas.SearchSpace:
    return nas.SearchSpace.from_dict(SMALL)


@cache
def _cost() -> Cost:
    return nas.cost_of(small().decode(small().sample(0)))


def trial(
    number: int,
    score: float | None = None,
    *,
    state: State | None = None,
    macs: int = 1000,
    params: int = 100,
    genotype: dict[str, Any] | None = None,
    violations: tuple[Violation, ...] = (),
    **more: Any,
) -> Trial:
    scores = {} if score is None else {"val_accuracy": score}
    return Trial(
        number=number,
        state=state or (State.REJECTED if score is None else State.COMPLETED),
        genotype=genotype or small().sample(number),
        arch_id=f"{number:016x}",
        cost=replace(_cost(), macs=macs, params=params),
        scores=scores,
        violations=violations,
        finished=float(number + 1),
        elapsed=float(number + 1),
        **more,
    )


def study(*trials: Trial, objective: str | list[str] = "val_accuracy", rungs: int = 1) -> Study:
    objectives: tuple[Objective, ...] = objectives_from(objective)
    return Study("made", "0" * 32, small(), objectives, rungs=rungs, trials=list(trials))


def over(metric: str, value: float, bound: float) -> Violation:
    return Violation(metric, value, bound, (value - bound) / bound)


def score_of_kernels(arch: nas.Architecture, budget: nas.Budget, seed: int) -> float:
    """A score without training, with a little noise."""
    return 0.5 + 0.02 * len(f"{nas.cost_of(arch).params}") + 1e-4 * (seed % 97)


def searched(folder: Path, evaluator: Any = score_of_kernels, **settings: Any) -> Study:
    """A search in a run folder."""
    defaults: dict[str, Any] = {"trials": 20, "seed": 3, "workers": 0, "sampler": "random", "max_equal_failures": None}
    return nas.run_search(small(), evaluator, run_dir=folder, **(defaults | settings))
