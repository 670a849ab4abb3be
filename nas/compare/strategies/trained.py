"""The problem of a data set: strategies search a space by training networks."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from nas.compare.strategies.curves import Curve, curve_of
from nas.compare.strategies.problem import Strategy
from nas.errors import ConfigError
from nas.evaluation import Budget
from nas.evaluators.training import TrainingEvaluator
from nas.search.fidelity import Pruning
from nas.search.objectives import objectives_from
from nas.search.run import run_search
from nas.search.stopping import check_ended
from nas.search.trial import Trial
from nas.space import SearchSpace
from nas.training.data.config import DataConfig
from nas.training.recipe import Recipe
from nas.workers.processes import WorkerPool


class TrainedProblem:
    """A space and a data set to train on. It is a context; leaving it ends its worker processes."""

    def __init__(
        self,
        *,
        space: SearchSpace,
        data: DataConfig,
        recipe: Recipe,
        objective: str | list[str],
        direction: str | list[str] | None,
        constraints: Mapping[str, Any],
        trials: int,
        workers: int,
    ) -> None:
        """Set up the problem; worker processes start when the context is entered.

        Args:
            space: that is searched.
            data: that networks are trained on.
            recipe: of the training.
            objective: that is searched for.
            direction: of the objective; None follows from its name.
            constraints: hard limits, as of `run_search`.
            trials: number of evaluations of a search.
            workers: number of evaluations at a time.

        Raises:
            ConfigError: several objectives.
        """
        self._objectives = objectives_from(objective, direction)
        if len(self._objectives) > 1:
            raise ConfigError("nas.compare with training compares one objective; on a table it compares several too")
        self._space, self._data, self._recipe = space, data, recipe
        self._constraints, self._trials, self._workers = dict(constraints), trials, workers

    @property
    def measure(self) -> str:
        """The name of the quality: the objective, with a minus where it is minimized."""
        objective = self._objectives[0]
        return objective.name if objective.sign > 0 else f"-{objective.name}"

    def __enter__(self) -> TrainedProblem:
        self._pool = WorkerPool(
            TrainingEvaluator(self._data, self._recipe), self._workers, objective=self._objectives[0].name
        )
        data = self._pool.describe()
        self._space = self._space.for_data(tuple(data["input_shape"]), data["num_classes"], task="classification")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.close()

    def search(self, strategy: Strategy, seed: int, folder: Path) -> Curve:
        """Run a search, with its record in a folder, and return its curve.

        Raises:
            EvaluationError: evaluations in a row failed alike.
        """
        study = run_search(
            self._space,
            pool=self._pool,
            trials=self._trials,
            sampler=strategy.sampler,
            pruner=Pruning(name=strategy.pruner),
            budget=Budget(epochs=self._recipe.epochs),
            objective=[objective.name for objective in self._objectives],
            direction=[objective.direction for objective in self._objectives],
            constraints=self._constraints,
            seed=seed,
            run_dir=folder,
        )

        check_ended(study)

        def noiseless(trial: Trial) -> tuple[float, ...]:
            values = study.values(trial)
            assert values is not None
            return tuple(objective.sign * value for objective, value in zip(self._objectives, values, strict=True))

        return curve_of(study, str(strategy), seed, noiseless, None)
