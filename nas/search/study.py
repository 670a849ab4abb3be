"""A finished or running study as the user sees it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from nas.search.trial import State, Trial
from nas.space import SearchSpace


@dataclass
class Study:
    """Trials of one search, in the order in which they ended."""

    name: str
    study_id: str
    """Unique, and kept when the study is resumed."""
    space: SearchSpace
    objective: str
    """The score searched for."""
    direction: str
    """`maximize` or `minimize`."""
    soft_weight: float = 0.1
    """What being over a soft limit by all of it costs, in units of the objective."""
    notes: dict[str, Any] = field(default_factory=dict)
    """What else is kept in its record, as plain values: configuration, data, versions."""
    trials: list[Trial] = field(default_factory=list)
    stop_reason: str = ""
    """Why the search ended; empty while it runs."""
    can_go_on: bool = False
    """Whether it ended before all that was asked for was done, so that resuming it makes sense."""

    def counts(self) -> dict[str, int]:
        """Return the number of trials in each state."""
        found = Counter(trial.state for trial in self.trials)
        return {state.value: found[state] for state in State}

    def rejections(self) -> dict[str, int]:
        """Return how many candidates each limit rejected; one over two limits counts at both."""
        found: Counter[str] = Counter()
        for trial in self.trials:
            if trial.state is State.REJECTED:
                found.update(v.metric for v in trial.violations if v.rejects)
                if not trial.violations:
                    found["no valid network"] += 1
        return dict(found.most_common())

    def best(self, count: int = 5) -> list[Trial]:
        """Return the best completed trials, best first; of equal ones the one with fewer parameters.

        A trial over a soft limit is judged with its penalty.
        """
        done = [trial for trial in self.trials if trial.state is State.COMPLETED]
        sign = -1 if self.direction == "maximize" else 1

        def key(trial: Trial) -> tuple[float, int, int]:
            return sign * self.judged(trial), trial.cost.params if trial.cost else 0, trial.number

        return sorted(done, key=key)[:count]

    def judged(self, trial: Trial) -> float:
        """Return the score with the penalty for soft limits: what the search goes by."""
        penalty = self.soft_weight * trial.soft_excess
        score = trial.scores[self.objective]
        return score - penalty if self.direction == "maximize" else score + penalty

    def guided(self) -> tuple[int, int]:
        """Return how many candidates guided sampling found, and how many it looked at for them."""
        found = [trial.guided for trial in self.trials if trial.guided]
        return len(found), sum(found)
