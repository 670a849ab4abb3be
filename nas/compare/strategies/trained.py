"""The problem of a data set: strategies search a space by training networks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from nas.compare.strategies.curves import Curve, curve_of
from nas.compare.strategies.problem import Strategy
from nas.errors import ConfigError
from nas.evaluation import Budget
from nas.evaluators.training import TrainingEvaluator
from nas.search.run import run_search
from nas.search.settings import Settings
from nas.search.stopping import check_ended
from nas.search.trial import Trial
from nas.space import SearchSpace
from nas.space.fit import Fit, left_as_it_is
from nas.training.tasks.registry import task_of
from nas.workers.processes import WorkerPool


class TrainedProblem:
    """A space and a data set to train on. It is a context; leaving it ends its worker processes."""

    fit: Fit
    """The space that is searched, known when the context is entered."""

    def __init__(
        self,
        space: SearchSpace,
        evaluator: TrainingEvaluator,
        settings: Settings,
        processes: int,
        make_fit: Callable[[SearchSpace], Fit] = left_as_it_is,
    ) -> None:
        """Set up the problem; worker processes start when the context is entered.

        Args:
            space: that is searched.
            evaluator: that trains.
            settings: of each search, beside its strategy and its seed.
            processes: number of evaluations at a time.
            make_fit: brings the space, made for its data, to the limits.

        Raises:
            ConfigError: several objectives.
        """
        self._objectives = settings.search.objectives
        if len(self._objectives) > 1:
            raise ConfigError("nas.compare with training compares one objective; on a table it compares several too")
        self._space, self._evaluator, self._settings, self._processes = space, evaluator, settings, processes
        self._make_fit = make_fit

    @property
    def measure(self) -> str:
        """The name of the quality: the objective, with a minus where it is minimized."""
        objective = self._objectives[0]
        return objective.name if objective.sign > 0 else f"-{objective.name}"

    def __enter__(self) -> TrainedProblem:
        self._pool = WorkerPool(self._evaluator, self._processes, objective=self._objectives[0].name)
        data = self._pool.describe()
        space = self._space.for_data(tuple(data["input_shape"]), data["num_classes"], task=task_of(data).network)
        self.fit = self._make_fit(space)
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
            self.fit.space,
            pool=self._pool,
            settings=self._settings,
            sampler=strategy.sampler,
            pruner=strategy.pruner,
            budget=Budget(epochs=self._evaluator.recipe.epochs),
            seed=seed,
            run_dir=folder,
        )

        check_ended(study)

        def noiseless(trial: Trial) -> tuple[float, ...]:
            values = study.values(trial)
            assert values is not None
            return tuple(objective.sign * value for objective, value in zip(self._objectives, values, strict=True))

        return curve_of(study, str(strategy), seed, noiseless, None)
