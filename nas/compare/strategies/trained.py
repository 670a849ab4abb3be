"""Strategies compared by training networks."""

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
from nas.search.budgets.pruning import Pruning
from nas.search.objectives import objectives_from
from nas.search.run import run_search
from nas.search.stopping import check_ended
from nas.search.trial import Trial
from nas.space import SearchSpace
from nas.training.data.config import DataConfig
from nas.training.recipe import Recipe
from nas.workers.processes import WorkerPool


class TrainedProblem:
    """A space and data to train on; a context, in which its worker processes live."""

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
        self._objectives = objectives_from(objective, direction)
        if len(self._objectives) > 1:
            raise ConfigError("nas.compare with training compares one objective; on a table it compares several too")
        self._space, self._data, self._recipe = space, data, recipe
        self._constraints, self._trials, self._workers = dict(constraints), trials, workers

    @property
    def measure(self) -> str:
        """What quality is."""
        one = self._objectives[0]
        return one.name if one.sign > 0 else f"-{one.name}"

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
        """Let a strategy search once, with its record in a folder."""
        study = run_search(
            self._space,
            pool=self._pool,
            trials=self._trials,
            sampler=strategy.sampler,
            pruner=Pruning(name=strategy.pruner),
            budget=Budget(epochs=self._recipe.epochs),
            objective=[one.name for one in self._objectives],
            direction=[one.direction for one in self._objectives],
            constraints=self._constraints,
            seed=seed,
            run_dir=folder,
        )

        check_ended(study)

        def true(trial: Trial) -> tuple[float, ...]:
            values = study.values(trial)
            assert values is not None
            return tuple(one.sign * value for one, value in zip(self._objectives, values, strict=True))

        return curve_of(study, str(strategy), seed, true, None)
