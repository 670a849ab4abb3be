"""What a search looks for: one score, or several scores and costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from nas.cost import LATENCY, METRICS, Workload, value_of
from nas.errors import ConfigError
from nas.search.trial import Trial

Names = str | Sequence[str]
_DIRECTIONS = ("maximize", "minimize")


@dataclass(frozen=True, slots=True)
class Objective:
    """One thing to be made large or small."""

    name: str
    """A score that the evaluator gives, or one of `nas.cost.METRICS`."""
    direction: str
    """`maximize` or `minimize`."""

    @property
    def is_cost(self) -> bool:
        """Whether it is a cost of the network, and not a score."""
        return self.name in METRICS

    @property
    def measured(self) -> bool:
        """Whether a device has to say it."""
        return self.name == LATENCY

    @property
    def sign(self) -> int:
        """1 where it is maximized, -1 where it is minimized: larger is better of what is multiplied by it."""
        return 1 if self.direction == "maximize" else -1

    def value(self, trial: Trial, workload: Workload) -> float | None:
        """Return it for a trial; None where the trial does not have it."""
        if self.measured:
            return None if trial.latency is None else trial.latency.ms
        if self.is_cost:
            return None if trial.cost is None else value_of(trial.cost, self.name, workload)
        return trial.scores.get(self.name)


def objectives_from(names: Names, directions: Names | None = None) -> tuple[Objective, ...]:
    """Read what a search is to look for.

    Args:
        names: scores and costs, the first of which is a score.
        directions: `maximize` or `minimize` for each; by default costs and losses are minimized and all else is
            maximized.

    Raises:
        ConfigError: no score in the first place, a name that comes twice, or another direction.
    """
    names = [names] if isinstance(names, str) else list(names)
    given = [directions] * len(names) if isinstance(directions, str) else list(directions or [])
    if directions is not None and len(given) != len(names):
        raise ConfigError(f"search.direction: one for each of the objectives {names}, but got {given}")
    if not names or len(set(names)) < len(names) or names[0] in METRICS:
        raise ConfigError(
            f"search.objective: a score, or a list of different names that begins with one, such as "
            f"[val_accuracy, macs], but got {names}"
        )
    found = []
    for place, name in enumerate(names):
        small = name in METRICS or name.endswith("loss")
        direction = given[place] if given else "minimize" if small else "maximize"
        if direction not in _DIRECTIONS:
            raise ConfigError(f"search.direction must be maximize or minimize, but got {direction!r}")
        found.append(Objective(name, direction))
    return tuple(found)


def fault(objectives: Sequence[Objective], scores: Mapping[str, float]) -> str:
    """Say why scores of an evaluation are no result; empty where they are one."""
    for objective in objectives:
        score = 0.0 if objective.is_cost else scores.get(objective.name)
        if score is None:
            return f"the evaluator gave no {objective.name!r}, but {sorted(scores)}"
        if not abs(score) < float("inf"):
            return f"{objective.name} is {score}"
    return ""
