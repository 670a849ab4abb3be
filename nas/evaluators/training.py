"""The evaluator that trains: architecture, budget and seed in, validation scores out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar

from nas.cost import AFTER_TRAINING
from nas.errors import ConfigError
from nas.evaluation import Budget, Evaluation, Evaluator
from nas.evaluators.settings import EvaluatorSettings
from nas.network.architecture import Architecture
from nas.settings import setting
from nas.space import SearchSpace
from nas.space.task import Task
from nas.training.data.config import DataConfig
from nas.training.data.registry import check_files, check_recipe
from nas.training.recipe import Recipe
from nas.training.transfer.settings import SCRATCH, Transfer
from nas.training.used_files import used_files

INHERIT = ("none", "parent", "best")
"""Words of `evaluator.inherit`."""


def check_inherit_in_folds(inherit: str, data: DataConfig) -> None:
    """Raise `ConfigError` where networks would begin with weights that have learned what they are scored on."""
    if data.folds and inherit != INHERIT[0]:
        raise ConfigError(
            f"evaluator.inherit={inherit} takes weights of a training without one of data.folds={data.folds} "
            "folds, which have learned the images of all others, and would be scored on these; set it to none, or "
            "data.folds to 0"
        )


@dataclass(frozen=True)
class TrainingEvaluator:
    """Trains a network and scores it on the validation split; the test split is never read.

    The object is small and picklable; torch and Lightning are loaded in the process that calls it.
    """

    after_training: ClassVar[tuple[str, ...]] = AFTER_TRAINING
    """What it says of a network in 8 bits where `Budget.int8` asks for it."""
    own_process: ClassVar[bool] = True
    """Whether it wants a process for itself: it seeds the random numbers of the whole process."""

    data: DataConfig
    recipe: Recipe
    accelerator: str = "auto"
    """As Lightning's `Trainer` takes it: auto, cpu, gpu."""
    inherit: str = "none"
    """Which trained network of a search each one takes initial weights from: none, parent or best (`run_search`)."""
    devices: int = 1
    """Processes that train one network together, which are started for each evaluation."""
    transfer: Transfer = SCRATCH
    """Other weights that networks begin with, and what of them learns when; a network that inherits begins with those
    that it inherits."""

    def __post_init__(self) -> None:
        check_inherit_in_folds(self.inherit, self.data)

    @property
    def task(self) -> Task:
        """What it needs networks to give; a search makes sure of it before its first trial."""
        return self.data.task.network

    @property
    def objective(self) -> str:
        """The score that a search is for where nothing is said."""
        return self.data.task.objective

    def prepare(self) -> Mapping[str, Any]:
        """Load the libraries and the data, and describe the data: `input_shape`, `num_classes`, the splits, and
        under `files` what trainings read beside them (`used_files`), if anything.

        Raises:
            DataError: the data set, or the weights that networks begin with, cannot be loaded.
            ConfigError: these weights do not say of which network they are, `train.teacher` is no model, or code of
                the user's own is not what it must be.
            TrainingError: a loss of the user's own gives none.
        """
        from nas.training.fit import load_data
        from nas.training.teacher import teacher_model
        from nas.training.transfer.start import check_file

        if self.recipe.teacher is not None:
            teacher_model(self.recipe.teacher)
        data = load_data(self.data)
        check_file(self.transfer, data)
        if self.recipe.own_code:
            from nas.training.own_training import check_own_training

            check_own_training(self.recipe, data, self.data.balance)
        files = used_files(self.recipe, self.transfer)
        return {**data.record(), **({"files": files} if files else {})}

    def __call__(self, architecture: Architecture, budget: Budget, seed: int) -> Evaluation:
        """Train as the budget says and return `Task.val_scores`, and `int8_accuracy` where it asks for that.

        With folds (`DataConfig.folds`) that is once a fold, and scores are the means (`cross_validated`).

        Raises:
            TrainingError: the loss is not a number.
            DataError: the data set cannot be loaded, or does not fit the architecture.
        """
        from nas.training.together import train_network

        return train_network(
            architecture,
            self.data,
            replace(self.recipe, **(budget.recipe or {})),
            budget,
            seed=seed,
            accelerator=self.accelerator,
            devices=self.devices,
            transfer=self.transfer,
        )


@dataclass(frozen=True)
class TrainingProbe:
    """Trains a network for a moment, to learn how long a training takes; it gives no score."""

    own_process: ClassVar[bool] = True
    """As of `TrainingEvaluator`."""

    data: DataConfig
    recipe: Recipe
    accelerator: str = "auto"
    """As Lightning's `Trainer` takes it: auto, cpu, gpu."""
    seconds: float = 0.5
    """Of training steps."""

    def __call__(self, architecture: Architecture, budget: Budget, seed: int) -> Evaluation:
        """Return the seconds of the parts of a training, by the names of `TrainingTimes`; the budget says nothing.

        With folds they are those of all trainings of a network together.

        Raises:
            TrainingError: the loss is not a number. DataError: the data do not fit the architecture.
        """
        from nas.training.data.load import load_learned
        from nas.training.probe import training_times

        times = training_times(
            architecture,
            load_learned(self.data),
            self.recipe,
            seed=seed,
            augment=self.data.augment,
            balance=self.data.balance,
            accelerator=self.accelerator,
            seconds=self.seconds,
        )
        return Evaluation({}, seconds={name: max(1, self.data.folds) * value for name, value in asdict(times).items()})


@dataclass(frozen=True, kw_only=True)
class TrainingSettings(EvaluatorSettings):
    """Training has its settings in `train` and `data`."""

    after_training: ClassVar[tuple[str, ...]] = AFTER_TRAINING

    name: str = setting("train", "of the evaluator, as the files in conf/evaluator")
    inherit: str = setting(
        "none",
        "initial weights from a trained network of the search: parent is the nearest, by decisions, of those that "
        "search.keep keeps, best the best one; scores are then not those of a training from scratch",
        INHERIT,
    )
    transfer: Transfer = setting(Transfer, "weights that candidates begin with, and what of them learns when")

    def network_task(self, data: DataConfig) -> Task:
        """Return what the task of the data needs."""
        return data.task.network

    def known_scores(self, data: DataConfig) -> tuple[str, ...]:
        """Return those of the validation split."""
        return data.task.val_scores

    def objective(self, data: DataConfig) -> str:
        """Return that of the task."""
        return data.task.objective

    def check_compares(self, constraints: Mapping[str, object]) -> None:
        """Raise `ConfigError` also where networks would inherit weights, which is for a search of its own."""
        super().check_compares(constraints)
        if self.inherit != INHERIT[0]:
            raise ConfigError(f"evaluator.inherit={self.inherit} is for nas.search; comparisons train from scratch")
        if self.transfer != SCRATCH:
            raise ConfigError("evaluator.transfer is for nas.search; comparisons train from scratch")

    def make(self, space: SearchSpace, data: DataConfig, recipe: Recipe, accelerator: str) -> Evaluator:
        """Return the evaluator that trains as the recipe says."""
        check_files(data)  # before workers load torch
        check_recipe(data, recipe)
        return TrainingEvaluator(data, recipe, accelerator, self.inherit, transfer=self.transfer)

    def probe(self, data: DataConfig, recipe: Recipe, accelerator: str) -> Evaluator:
        """Return what trains for a moment."""
        return TrainingProbe(data, recipe, accelerator)
