"""A finished or running study as the user sees it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nas.cost import ONE, Workload
from nas.pareto import front, growing_hypervolume, knee
from nas.search.objectives import Objective
from nas.search.stop_reason import Stop, StopReason
from nas.search.trial import State, Trial
from nas.space import SearchSpace

_RARE = (State.PRUNED, State.PAUSED, State.INTERRUPTED)


@dataclass
class Study:
    """Trials of one search, in the order in which they ended."""

    name: str
    study_id: str
    """Unique, and kept when the study is resumed."""
    space: SearchSpace = field(repr=False)
    objectives: tuple[Objective, ...]
    """What is searched for; the first is a score."""
    soft_weight: float = 0.1
    """What being over a soft limit by all of it costs, in units of each score."""
    workload: Workload = ONE
    """What the networks are to run as, where a cost depends on it."""
    rungs: int = 1
    """Budgets, one above the other, of which the better trials get more."""
    notes: dict[str, Any] = field(default_factory=dict, repr=False)
    """What else is kept in its record, as plain values: configuration, data, versions."""
    trials: list[Trial] = field(default_factory=list, repr=False)
    stop: Stop | None = None
    """Why the search ended; None while it runs."""
    can_go_on: bool = False
    """Whether it ended before all that was asked for was done, so that resuming it makes sense."""
    failed_alike: bool = False
    """Whether it ended because its evaluations failed one like the other."""

    @property
    def stop_reason(self) -> str:
        """The text of `stop`; empty while the search runs."""
        return self.stop.text if self.stop is not None else ""

    @property
    def interrupted(self) -> bool:
        """Whether the user interrupted the search, or a signal did."""
        return self.stop is not None and self.stop.reason is StopReason.INTERRUPTED

    @property
    def objective(self) -> str:
        """The first objective."""
        return self.objectives[0].name

    @property
    def direction(self) -> str:
        """That of the first objective."""
        return self.objectives[0].direction

    def counts(self) -> dict[str, int]:
        """Return the number of trials in each state; `pruned`, `paused` and `interrupted` only where there are some."""
        found = Counter(trial.state for trial in self.trials)
        shown = [state for state in State if found[state] or state not in _RARE]
        return {state.value: found[state] for state in shown}

    def rejections(self) -> dict[str, int]:
        """Return how many candidates each limit rejected; one over two limits counts at both."""
        found: Counter[str] = Counter()
        for trial in self.trials:
            if trial.state is State.REJECTED:
                found.update(v.metric for v in trial.violations if v.rejects)
                if not trial.violations:
                    found["no valid network"] += 1
        return dict(found.most_common())

    def values(self, trial: Trial) -> tuple[float, ...] | None:
        """Return what the search goes by: the objectives, scores with the penalty for soft limits.

        None where the trial lacks one of them.
        """
        penalty = self.soft_weight * trial.soft_excess
        found = []
        for objective in self.objectives:
            value = objective.value(trial, self.workload)
            if value is None:
                return None
            found.append(value if objective.is_cost else value - objective.sign * penalty)
        return tuple(found)

    def judged(self, trial: Trial) -> float:
        """Return the first objective of a completed trial, with the penalty for soft limits."""
        values = self.values(trial)
        assert values is not None
        return values[0]

    def best(self, count: int = 5) -> list[Trial]:
        """Return the best completed trials, best first; of equal ones the one with fewer parameters.

        With several objectives those are trials on the Pareto front, by the first objective, see `front`. A trial over
        a soft limit is judged with its penalty.
        """

        def key(trial: Trial) -> tuple[float, int, int]:
            return -self.objectives[0].sign * self.judged(trial), trial.cost.params if trial.cost else 0, trial.number

        return sorted(self.front() if len(self.objectives) > 1 else self._done, key=key)[:count]

    @property
    def scored(self) -> list[Trial]:
        """Completed trials, and those that ended, or wait, on a lower rung: what a front is taken from."""
        partial = (State.PRUNED, State.PAUSED)
        return [t for t in self.trials if t.state is State.COMPLETED or (t.state in partial and t.rung is not None)]

    def rung_text(self, trial: Trial) -> str:
        """Return on which rung, of how many, a trial has its scores; empty where all get the same budget."""
        return f"{trial.rung} of {self.rungs}" if self.rungs > 1 and trial.rung is not None else ""

    def front(self) -> list[Trial]:
        """Return the trials that no other is better than in every objective, in their order.

        Where the better trials get more budget, few come to the highest rung, and more than those belong on the front.
        Trials are compared on equal terms then: each on the highest rung that it has ended, with all that have ended
        that rung too.
        """
        best: set[int] = set()
        for rung in {trial.rung for trial in self.scored}:
            there = [trial for trial in self.scored if rung is None or rung in dict(trial.steps)]
            places = front(self._points(there, rung))
            best |= {there[place].number for place in places if there[place].rung == rung}
        return [trial for trial in self.scored if trial.number in best]

    def knee(self) -> Trial | None:
        """Return the trial of the front where giving up one objective gains little of another; None without a front."""
        found = self.front()
        return found[knee(self._points(found))] if found else None

    def hypervolume(self, reference: tuple[float, ...] | None = None) -> list[float]:
        """Return the hypervolume that the trials dominate after each of `scored`.

        Args:
            reference: a value of each objective that is worse than all that count; by default the worst of each that
                was found.
        """
        points = self._points(self.scored)
        if not len(points):
            return []
        signs = np.array([one.sign for one in self.objectives], float)
        worst = points.min(axis=0) if reference is None else signs * np.array(reference, float)
        return growing_hypervolume(points, worst)

    @property
    def _done(self) -> list[Trial]:
        return [trial for trial in self.trials if trial.state is State.COMPLETED]

    def _points(self, trials: list[Trial], rung: int | None = None) -> NDArray[np.float64]:
        """`(trials, objectives)`, at their end or on a rung; larger is better."""
        signs = np.array([one.sign for one in self.objectives], float)
        found = [self.values(trial) if rung is None else dict(trial.steps)[rung] for trial in trials]
        return np.asarray(np.array(found, float).reshape(len(trials), len(signs)) * signs)

    def guided(self) -> tuple[int, int]:
        """Return how many candidates guided sampling found, and how many it looked at for them."""
        found = [trial.guided for trial in self.trials if trial.guided]
        return len(found), sum(found)


def front_of(study: Study) -> list[dict[str, Any]]:
    """Return the Pareto front as plain values, by the first objective: trial, objectives, architecture.

    Where the better trials get more budget, also on which rung, of how many, a trial had these objectives.
    """
    knee = study.knee()
    return [
        {
            "trial": trial.number,
            "knee": trial is knee,
            **({"rung": trial.rung, "rungs": study.rungs} if study.rungs > 1 else {}),
            "objectives": {one.name: one.value(trial, study.workload) for one in study.objectives},
            "architecture": study.space.decode(trial.genotype).to_dict(),
        }
        for trial in study.best(len(study.trials))
    ]
