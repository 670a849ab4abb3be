"""The objectives of a search: one score, or several scores and costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nas.cost import INT8_LATENCY, LATENCY, METRICS, Workload, value_of
from nas.errors import ConfigError, nearest
from nas.evaluation import Evaluation
from nas.search.directions import MAXIMIZE, MINIMIZE, direction_of
from nas.search.trial import Trial
from nas.training.tasks.registry import OBJECTIVE

Names = str | Sequence[str]
_DIRECTIONS = (MAXIMIZE, MINIMIZE)
_COSTS = (*METRICS, INT8_LATENCY)


@dataclass(frozen=True, slots=True)
class Objective:
    """A score or a cost to be maximized or minimized."""

    name: str
    """Of a score that the evaluator gives, or one of `nas.cost.SEARCH_METRICS`."""
    direction: str
    """`maximize` or `minimize`."""

    @property
    def is_cost(self) -> bool:
        """Whether it is a cost of the network, not a score."""
        return self.name in _COSTS

    @property
    def measured(self) -> bool:
        """Whether it has to be measured on a device before training."""
        return self.name == LATENCY

    @property
    def sign(self) -> int:
        """1 where it is maximized, -1 where it is minimized: of values times this, larger is better."""
        return 1 if self.direction == MAXIMIZE else -1

    def value(self, trial: Trial, workload: Workload) -> float | None:
        """Return its value for a trial, a cost for a workload; None where the trial does not have it."""
        if self.measured:
            return None if trial.latency is None else trial.latency.ms
        if self.name in METRICS:
            return None if trial.cost is None else value_of(trial.cost, self.name, workload)
        return trial.scores.get(self.name)


def objectives_from(names: Names, directions: Names | None = None) -> tuple[Objective, ...]:
    """Read the objectives of a search.

    Args:
        names: scores and costs, the first of which is a score.
        directions: `maximize` or `minimize` for each; by default what their names say, see `direction_of`.

    Raises:
        ConfigError: no score in the first place, a name that comes twice, another direction, or none where the name
            does not say which.
    """
    names = _words("search.objective", names, "the name of a score, or a list of names")
    given = None
    if directions is not None:
        given = _words("search.direction", directions, "maximize or minimize, or a list of these")
    if given is not None and len(given) != len(names):
        raise ConfigError(f"search.direction: one for each of the objectives {names}, but got {given}")
    if not names or len(set(names)) < len(names) or names[0] in _COSTS:
        raise ConfigError(
            f"search.objective: a score, or a list of different names that begins with one, such as "
            f"[{OBJECTIVE}, macs], but got {names}"
        )
    for direction in given or ():
        if direction not in _DIRECTIONS:
            raise ConfigError(
                f"search.direction must be maximize or minimize, but got {direction!r}. "
                f"{nearest(direction, _DIRECTIONS)}"
            )
    stated: list[str | None] = [*given] if given else [direction_of(name) for name in names]
    return tuple(
        Objective(name, direction or _ask(name, names, stated)) for name, direction in zip(names, stated, strict=True)
    )


def _words(setting: str, value: object, what: str) -> list[str]:
    """Return a word, or a sequence of words, as a list; raises a `ConfigError` that says `what` it must be."""
    words = [value] if isinstance(value, str) else value
    if not isinstance(words, Sequence) or not all(isinstance(word, str) for word in words):
        raise ConfigError(f"{setting} must be {what}, but got {value!r:.80}")
    return list(words)


def _ask(name: str, names: Sequence[str], stated: Sequence[str | None]) -> str:
    """Raise a `ConfigError` that asks for the direction of a score."""
    example = [direction or MINIMIZE for direction in stated]
    typed, python = (f"[{','.join(example)}]", example) if len(names) > 1 else (example[0], example[0])
    raise ConfigError(
        f"search.objective: is {name!r} better large or small? Its name does not say, so give search.direction, "
        f"maximize or minimize{' for each objective in their order' if len(names) > 1 else ''}, such as "
        f"search.direction={typed} (from Python direction={python!r})"
    )


def recorded_directions(saved: Mapping[str, Any]) -> list[str]:
    """Return the directions of a study by its record (`nas.search.log.read_study`), one for each objective."""
    directions = saved["direction"]
    return list(directions) if isinstance(directions, list) else [directions]


def against_its_name(objective: Objective) -> str:
    """Return a note that an objective has another direction than its name says; empty where it has not.

    Studies made before names were read as they are now may maximize an error.
    """
    if direction_of(objective.name) in (None, objective.direction):
        return ""
    return (
        f"Note: this study is to {objective.direction} {objective.name}, as it was begun. If that is not what you "
        "want, begin another one"
    )


def fault(objectives: Sequence[Objective], evaluation: Evaluation) -> str:
    """Return why an evaluation is no result, such as for a missing or infinite score; empty where it is one."""
    for objective in objectives:
        known = objective.is_cost or objective.name in evaluation.missing
        score = 0.0 if known else evaluation.scores.get(objective.name)
        if score is None:
            return f"the evaluator gave no {objective.name!r}, but {sorted(evaluation.scores)}"
        if not abs(score) < float("inf"):
            return f"{objective.name} is {score}"
    return ""
