"""Settings of a table, and the evaluator that it makes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from nas.errors import ConfigError
from nas.evaluation import Evaluator
from nas.evaluators.settings import EvaluatorSettings
from nas.settings import setting
from nas.space import SearchSpace
from nas.space.task import Task
from nas.training.data.config import DataConfig
from nas.training.recipe import Recipe


@dataclass(frozen=True, kw_only=True)
class TableSettings(EvaluatorSettings):
    """Which columns of a file say what."""

    task: ClassVar[Task] = "any"
    simulated: ClassVar[bool] = True
    states_epochs: ClassVar[bool] = True
    any_network: ClassVar[bool] = False

    name: str = setting("table", "of the evaluator, as the files in conf/evaluator")
    file: str | None = setting(None, "of a table: a CSV file with a header, a network a row", typed="path")
    scores: Mapping[str, str | Sequence[str]] = setting(
        {},
        "of a table: {SCORE: COLUMN}, by default {val_accuracy: val_accuracy}; [COLUMNS] of repetitions, or "
        '"acc_{epoch}" for a column a number of epochs',
    )
    genotype: str | None = setting(
        None, "of a table: a column with a digit a decision; null: a column a decision, named by its path", typed="text"
    )
    seconds: str | None = setting(
        None, "of a table: a column with the time of a whole evaluation; null: one second", typed="text"
    )
    scale: float = setting(1.0, "of a table: what all scores are multiplied by, e.g. 0.01 for percentages")
    noise: bool = setting(True, "of a table: draw one of the repetitions; false gives their mean")

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < abs(self.scale) < float("inf"):
            raise ConfigError(f"evaluator.scale must be a number other than 0, but got {self.scale}")
        if self.file is None:
            raise ConfigError("evaluator table: which file? evaluator.file=PATH.csv")

    @property
    def columns(self) -> Mapping[str, str | Sequence[str]]:
        """The columns of each score."""
        return self.scores or {"val_accuracy": "val_accuracy"}

    def known_scores(self, data: DataConfig) -> tuple[str, ...]:
        """Return the scores that it gives, whatever the data."""
        return tuple(self.columns)

    def make(self, space: SearchSpace, data: DataConfig, recipe: Recipe, accelerator: str) -> Evaluator:
        """Read the table of a space, whose networks are as the space assumes.

        Raises:
            NasError: the file cannot be read, or does not fit the space.
        """
        from nas.evaluators.table.evaluator import TableEvaluator
        from nas.evaluators.table.table import read_table

        assumed = space.for_data(space.input_shape, space.num_classes, task=self.task)
        return TableEvaluator(read_table(assumed, self), noise=self.noise)

    def source(self, data: DataConfig) -> str:
        """Return the name of the file."""
        return Path(self.file or "").stem
