"""What every evaluator states of itself before it is made: its scores, its budget and its clock."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from nas.cost import AFTER_TRAINING, LATENCY
from nas.errors import ConfigError
from nas.evaluation import Evaluator
from nas.settings import check_settings, setting
from nas.space import SearchSpace
from nas.space.task import Task
from nas.training.data.config import DataConfig
from nas.training.recipe import Recipe
from nas.training.tasks.registry import OBJECTIVE


@dataclass(frozen=True, kw_only=True)
class EvaluatorSettings(ABC):
    """Settings of an evaluator. Each kind has a class of its own, listed in `nas.evaluators.registry`."""

    task: ClassVar[Task] = "classification"
    """What it needs networks to give, whatever the data are."""
    simulated: ClassVar[bool] = False
    """Whether it only states how long an evaluation takes, so that a search runs on a clock of its own."""
    states_epochs: ClassVar[bool] = False
    """Whether it says itself, in the description of its data, after how many epochs it has scores."""
    after_training: ClassVar[tuple[str, ...]] = ()
    """What of `nas.cost.AFTER_TRAINING` it gives beside its scores where a search asks for that."""
    any_network: ClassVar[bool] = True
    """Whether it scores whatever a space states, so that a space may be brought to the limits of a search."""
    compares: ClassVar[bool] = True
    """Whether strategies and spaces can be compared by it."""

    name: str = setting("", "of the evaluator, as the files in conf/evaluator")

    def __post_init__(self) -> None:
        check_settings(self, "evaluator")

    def network_task(self, data: DataConfig) -> Task:
        """Return what it needs networks to give for some data; a search makes sure of it before its first trial."""
        return self.task

    @abstractmethod
    def known_scores(self, data: DataConfig) -> tuple[str, ...]:
        """Return the scores that it gives for some data."""

    def objective(self, data: DataConfig) -> str:
        """Return the score that a search is for where nothing is said: that of most tasks, or its first."""
        known = self.known_scores(data)
        return OBJECTIVE if OBJECTIVE in known else known[0]

    @abstractmethod
    def make(self, space: SearchSpace, data: DataConfig, recipe: Recipe, accelerator: str) -> Evaluator:
        """Return the evaluator, for networks of a space.

        Raises:
            NasError: it does not serve the space, or what it reads cannot be read.
        """

    def probe(self, data: DataConfig, recipe: Recipe, accelerator: str) -> Evaluator | None:
        """Return what times an evaluation by a short piece of it; None where evaluations take no time to speak of.

        The seconds of its evaluations are those of `nas.training.probe.TrainingTimes`, by name.
        """
        return None

    def source(self, data: DataConfig) -> str:
        """Return what the scores come from, for the name of a run."""
        return data.name

    def check_compares(self, constraints: Mapping[str, object]) -> None:
        """Raise `ConfigError` where it, or a limit, is not for comparisons: they train, or look up in a table."""
        if not self.compares:
            raise ConfigError(
                f"evaluator={self.name} is for nas.search and nas.proxies; comparisons train, or take a table"
            )
        for name in (LATENCY, *AFTER_TRAINING):
            if constraints.get(name) is not None:
                raise ConfigError(f"constraints.{name} is for nas.search; comparisons take limits that can be counted")
