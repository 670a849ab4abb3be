"""A candidate from its proposal to its end, as a line of the trial log."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from types import NoneType
from typing import Any

from nas.cost import AFTER_TRAINING, Cost, Violation
from nas.errors import NasError
from nas.evaluation import Evaluation, fold_deviation
from nas.latency.measure import Latency
from nas.network.simplify import SCHEME
from nas.run_folder import trained_id
from nas.space import Genotype, SearchSpace
from nas.space.feasible import Candidate
from nas.training.recipe_decisions import with_prefix


class State(StrEnum):
    """The state of a trial."""

    COMPLETED = "completed"
    """Evaluated, with scores."""
    OVER_LIMIT = "over_limit"
    """Evaluated to its end, and then over a limit on what only that shows: with scores, but never among the best."""
    PRUNED = "pruned"
    """Evaluated with less than the full budget, since others were better."""
    PAUSED = "paused"
    """Evaluated with a small budget; it may get more."""
    INTERRUPTED = "interrupted"
    """Accepted, but the search ended before its evaluation did; a resumed search runs it again."""
    FAILED = "failed"
    """Accepted, but its evaluation gave no score; `reason` says why."""
    REJECTED = "rejected"
    """Over a limit or no valid network, and never evaluated; or its evaluation ran out of memory."""
    DUPLICATE = "duplicate"
    """The same network as an earlier trial, whose result it has."""


_FIELD_TYPES: Mapping[tuple[str, ...], tuple[type, ...]] = {
    ("number", "guided", "seed", "id_scheme"): (int,),
    ("first_rung", "duplicate_of", "rerun_of", "inherited_from"): (int, NoneType),
    ("inherited_share", "expected_gain", "noise_sd"): (int, float, NoneType),
    ("elapsed", "finished"): (int, float),
    ("genotype", "recipe", "scores", "seconds"): (dict,),
    ("cost", "latency", "int8_latency"): (dict, NoneType),
    ("history", "steps", "violations", "folds"): (list, tuple),
    ("reason", "design", "inherited_problem"): (str,),
    ("arch_id",): (str, NoneType),
}
"""By names of fields of a record, the types that their values may have."""


@dataclass(frozen=True, kw_only=True)
class Trial:
    """A candidate from its proposal to its end."""

    number: int
    """Counts all proposals from 0, the rejected ones too."""
    state: State
    genotype: Genotype
    recipe: Mapping[str, Any] = field(default_factory=dict)
    """What was decided of the recipe (`search.recipe`), by setting; empty where nothing is."""
    arch_id: str | None = None
    """None where the genotype states no valid network."""
    id_scheme: int = SCHEME
    """The scheme of `arch_id`, see `nas.network.simplify.SCHEME`."""
    cost: Cost | None = None
    scores: Mapping[str, float] = field(default_factory=dict)
    folds: tuple[Mapping[str, float], ...] = ()
    """Of k-fold validation: the scores on each fold, of which `scores` are the means."""
    history: tuple[Mapping[str, float], ...] = ()
    """The metrics of each epoch, by name."""
    steps: tuple[tuple[int, tuple[float, ...]], ...] = ()
    """The objectives by step: at rungs, counted from 1, where the better trials get more budget, else at epochs."""
    first_rung: int | None = None
    """The rung that it began on, from 0, where the better trials get more budget; None before its evaluation begins."""
    reason: str = ""
    """Why it was rejected, pruned or interrupted, failed, or is over a limit."""
    violations: tuple[Violation, ...] = ()
    """All limits with their signed distance, where there are limits."""
    latency: Latency | None = None
    """As measured before its evaluation, where there is a limit on it."""
    int8_latency: Latency | None = None
    """With 8-bit weights and activations, as measured after its evaluation, where that is asked for."""
    out_of_memory: bool = False
    """Whether its evaluation ran out of memory."""
    guided: int = 0
    """Candidates that guided sampling examined to make it; 0: the sampler's own proposal."""
    baseline: bool = False
    """Whether it is a random candidate, to compare those of the sampler with."""
    design: str = ""
    """What known design it is, where the search began with some (`search.portfolio`)."""
    expected_gain: float | None = None
    """What the sampler's model expected it to improve on the best, in units of the objective; None: no model did."""
    noise_sd: float | None = None
    """Standard deviation of the noise of a score, as that model saw it then."""
    duplicate_of: int | None = None
    """The number of the trial that evaluated the same network, by the same recipe."""
    rerun_of: int | None = None
    """The number of the failed trial whose network and recipe it evaluates once more, in whose place it counts."""
    inherited_from: int | None = None
    """The number of the trial whose trained weights it was to begin with; None: it was trained from scratch."""
    inherited_share: float | None = None
    """Of its parameters how many began with a trained number; None where its evaluation did not say."""
    inherited_problem: str = ""
    """Why it began with fresh weights all the same."""
    seed: int = 0
    """Seed of its evaluation."""
    seconds: Mapping[str, float] = field(default_factory=dict)
    """Time by part of the evaluation; `evaluation` is all of it."""
    finished: float = 0.0
    """When it ended: seconds since 1970, UTC."""
    elapsed: float = 0.0
    """Seconds of search until it was finished, earlier sessions of a resumed study included."""

    @property
    def decisions(self) -> dict[str, Any]:
        """All that was decided, as a trial of Optuna's has it: the genotype, and the recipe behind a prefix."""
        return {**self.genotype, **with_prefix(self.recipe)}

    @property
    def trained_id(self) -> str | None:
        """What its training is known by, such as in the names of files: its network, and the recipe where decided."""
        return None if self.arch_id is None else trained_id(self.arch_id, self.recipe)

    @property
    def refused_recipe(self) -> bool:
        """Whether it was rejected since its decisions make no recipe."""
        return (
            self.state is State.REJECTED
            and self.arch_id is not None
            and not any(violation.rejects for violation in self.violations)
        )

    @property
    def trained(self) -> bool:
        """Whether it was accepted and its evaluation has ended: `search.trials` counts these."""
        return self.state in (State.COMPLETED, State.OVER_LIMIT, State.PRUNED, State.FAILED)

    @property
    def rung(self) -> int | None:
        """The highest rung that it has ended, counted from 1, where the better trials get more budget."""
        return self.steps[-1][0] if self.first_rung is not None and self.steps else None

    @property
    def held_free_limits(self) -> bool:
        """Whether it held the limits that are counted and predicted; what was measured or ran out of memory did."""
        return self.state is not State.REJECTED or self.latency is not None or self.out_of_memory

    def answered_by(self, original: Trial) -> Trial:
        """Return this as a duplicate, with the result of the trial that evaluated its network."""
        duplicate = replace(self, state=State.DUPLICATE, duplicate_of=original.number)
        late = [violation for violation in original.violations if violation.metric in AFTER_TRAINING]
        violations = (*self.violations, *late)
        result = {name: getattr(original, name) for name in ("scores", "folds", "reason")}
        return replace(duplicate, **result, violations=violations)

    def evaluated(self, evaluation: Evaluation) -> Trial:
        """Return this with the curves and the time of an evaluation, the time of lower rungs included."""
        seconds = {name: self.seconds.get(name, 0.0) + value for name, value in evaluation.seconds.items()}
        trial = replace(self, history=evaluation.history, seconds=seconds, folds=evaluation.folds)
        taken = evaluation.inherited
        if taken is None:
            return trial
        return replace(trial, inherited_share=taken.share, inherited_problem=taken.problem)

    def deviation(self, name: str) -> float | None:
        """Return the standard deviation of a score over the folds; None where there are none."""
        return fold_deviation(self.folds, name)

    def completed(self) -> Trial:
        """Return this as evaluated, with scores."""
        return replace(self, state=State.COMPLETED)

    def interrupted(self, why: str, elapsed: float) -> Trial:
        """Return this as a trial whose evaluation was cut off, without the scores and steps that it had.

        Args:
            why: the reason for which the search ended.
            elapsed: seconds of search.
        """
        begun = replace(self, scores={}, folds=(), steps=(), history=(), seconds={})
        begun = replace(begun, finished=time.time(), elapsed=elapsed)
        begun = replace(begun, inherited_from=None, inherited_share=None, inherited_problem="")
        return replace(begun, state=State.INTERRUPTED, reason=f"ended on the way: {why}")

    @property
    def soft_excess(self) -> float:
        """The sum of its excesses over soft limits, as shares of them."""
        return sum(max(0.0, violation.excess) for violation in self.violations if violation.soft)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON; what not every search has only where it is there."""
        unused = {name for name in ("int8_latency", "design", "recipe", "folds") if not getattr(self, name)}
        if self.expected_gain is None:
            unused |= {"expected_gain", "noise_sd"}
        if self.rerun_of is None:
            unused.add("rerun_of")
        if self.inherited_from is None:
            unused |= {"inherited_from", "inherited_share", "inherited_problem"}
        return {name: value for name, value in asdict(self).items() if name not in unused}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Trial:
        """Read what `to_dict` returned.

        Raises:
            ValueError, TypeError, KeyError, AttributeError: the values are no trial.
        """
        for names, types in _FIELD_TYPES.items():
            for name in names:
                if name in values and (not isinstance(values[name], types) or isinstance(values[name], bool)):
                    raise ValueError(f"{name} is {values[name]!r}")
        for name in ("scores", "seconds"):
            if any(isinstance(value, bool) or not isinstance(value, int | float) for value in values[name].values()):
                raise ValueError(f"{name} are {values[name]!r}")
        for fold in values.get("folds", ()):
            if not isinstance(fold, dict) or not all(type(value) in (int, float) for value in fold.values()):
                raise ValueError(f"folds are {values['folds']!r}")
        for step, objectives in values.get("steps", ()):
            if type(step) is not int or any(isinstance(v, bool) or not isinstance(v, int | float) for v in objectives):
                raise ValueError(f"steps are {values['steps']!r}")
        cost, latency, int8 = values["cost"], values.get("latency"), values.get("int8_latency")
        return cls(
            **{
                "id_scheme": 1,  # of records that do not say it
                **values,
                "state": State(values["state"]),
                "cost": Cost.from_dict(cost) if cost else None,
                "latency": Latency.from_dict(latency) if latency else None,
                "int8_latency": Latency.from_dict(int8) if int8 else None,
                "folds": tuple(values.get("folds", ())),
                "history": tuple(values["history"]),
                "steps": tuple((step, tuple(objectives)) for step, objectives in values.get("steps", ())),
                "violations": tuple(Violation(**violation) for violation in values["violations"]),
            }
        )


def proposed(
    candidate: Candidate, number: int, seed: int, recipe: Mapping[str, Any] | None = None, problem: str = ""
) -> Trial:
    """Return the trial of a candidate, which stays in the state rejected until its evaluation has ended.

    Args:
        candidate: what was counted and checked.
        number: of the trial.
        seed: of its evaluation.
        recipe: what was decided of it.
        problem: why that makes no recipe.
    """
    return Trial(
        number=number,
        state=State.REJECTED,
        genotype=candidate.genotype,
        recipe=recipe or {},
        arch_id=candidate.architecture.arch_id if candidate.cost is not None else None,
        seed=seed,
        cost=candidate.cost,
        violations=candidate.violations,
        reason=candidate.problem or problem,
    )


def with_current_id(trial: Trial, space: SearchSpace) -> Trial:
    """Return a trial with the id of its network in the present scheme, where it was recorded under an earlier one.

    A genotype that its space does not state any more, or that is no valid network by now, keeps the recorded id.
    """
    if trial.arch_id is None or trial.id_scheme == SCHEME:
        return trial
    try:
        arch_id = space.decode(trial.genotype).arch_id
    except NasError:
        return trial
    return replace(trial, arch_id=arch_id, id_scheme=SCHEME)
