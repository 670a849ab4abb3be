"""What a finish needs of a search: its best networks, its limits, its data, and the time that it had."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import inf
from pathlib import Path
from typing import Any

from nas.cost import LATENCY, Constraint, value_of
from nas.errors import ConfigError
from nas.latency.deployment import Deployment
from nas.network.architecture import Architecture
from nas.run_folder import understood, user_path
from nas.search.load import load_study
from nas.search.log import STUDY, read_study
from nas.search.study import Study
from nas.search.trial import Trial
from nas.settings import as_recorded, settings_from
from nas.training.data.config import DataConfig
from nas.training.recipe import Recipe
from nas.training.recipe_decisions import recipe_text
from nas.training.tasks.registry import DEFAULT, task_named
from nas.training.tasks.task import Task

_LARGEST = ("params", "macs")
"""Where a search had no limit that is counted, published networks are as large as its largest in these at most."""


@dataclass(frozen=True)
class Searched:
    """A search that has ended, as its folder says."""

    folder: Path
    study: Study
    """With all its trials."""
    data: DataConfig
    """What it trained on."""
    fingerprint: str | None
    """Of the splits of its data."""
    recipe: Recipe
    """By which it trained."""
    seed: int
    limits: tuple[Constraint, ...]
    """Hard ones; where none was counted, the largest network that it trained."""
    had_limits: bool
    """Whether the user or the space gave any."""
    late_limits: tuple[Constraint, ...]
    """Hard ones on what only training shows: its networks hold them, and others are not held to them."""
    deployment: Deployment | None
    """How networks were run where latency was limited."""
    workers: int | str
    """Evaluations at a time; `auto` is what this machine has."""
    task: Task = DEFAULT
    """What its networks learned."""

    @property
    def seconds(self) -> float:
        """Time that it took, waiting included, by the clock on the wall."""
        return max((trial.elapsed for trial in self.study.trials), default=0.0)

    @property
    def measures_latency(self) -> bool:
        """Whether there is a limit on latency."""
        return any(limit.metric == LATENCY for limit in self.limits)

    def finalists(self, count: int) -> list[tuple[Trial, Architecture]]:
        """Return its best networks, the best first; fewer where it has not found so many.

        Of one that was trained by several recipes that is its best trial: five recipes of one network are no choice.
        """
        # By one recipe a network has one completed trial: what repeats it is a duplicate.
        best: dict[str | None, Trial] = {}
        for trial in self.study.best(len(self.study.trials)):
            best.setdefault(trial.arch_id, trial)
        return [(trial, self.study.space.decode(trial.genotype)) for trial in [*best.values()][:count]]

    def recipe_of(self, trial: Trial, recipe: Recipe) -> Recipe:
        """Return a recipe with what the search has decided of it for a trial; the same where it decides nothing.

        A learning rate, weight decay or momentum holds for the optimizer and the batch size that it was found with.

        Raises:
            ConfigError: these make no recipe together.
        """
        decided = dict(trial.recipe)
        if decided.keys() & {"lr", "weight_decay", "momentum"}:
            decided = {"optimizer": self.recipe.optimizer, "batch_size": self.recipe.batch_size, **decided}
        try:
            return replace(recipe, **decided)
        except ConfigError as error:
            raise ConfigError(
                f"what the search has decided for trial {trial.number} ({recipe_text(trial.recipe)}) does not go with "
                f"the recipe of the finish: {error}; or train by that alone, with finish.searched_recipe=false"
            ) from None


def read_searched(folder: Path, root: str | None = None) -> Searched:
    """Read the run folder of a search.

    Args:
        folder: of the run.
        root: where its data are now, if they were moved.

    Raises:
        ConfigError: it holds no search by the command that trained its networks, or none that found one.
    """
    with understood("study", folder / STUDY):
        return _searched(folder, read_study(folder), root)


def _searched(folder: Path, saved: Mapping[str, Any], root: str | None) -> Searched:
    config = saved["notes"].get("config")
    if config is None or config.get("evaluator", {}).get("name", "train") != "train":
        raise ConfigError(f"{folder} is not the run folder of a nas search that has trained its networks")
    study = load_study(folder)
    if not study.best(1):
        raise ConfigError(f"the search in {folder} has no network that was trained")
    data = as_recorded(DataConfig, config["data"]) | ({} if root is None else {"root": str(user_path(root).absolute())})
    limits = _limits(saved.get("constraints", {}))
    late = tuple(limit for limit in limits if limit.after_training)
    limits = tuple(limit for limit in limits if not limit.after_training)
    counted = [limit for limit in limits if limit.counted]
    return Searched(
        folder=folder,
        study=study,
        data=settings_from(DataConfig, data, "data"),
        fingerprint=saved["notes"].get("data", {}).get("split_fingerprint"),
        recipe=settings_from(Recipe, config["train"], "train"),
        seed=int(saved["seed"]),
        limits=limits if counted else (*limits, *_largest(study)),
        had_limits=bool(limits),
        late_limits=late,
        deployment=Deployment(**saved["deployment"]) if "deployment" in saved else None,
        workers=config.get("workers", "auto"),
        task=task_named(saved["notes"].get("data", {}).get("task", DEFAULT.name)),
    )


def _limits(bounds: Mapping[str, Any]) -> tuple[Constraint, ...]:
    """Read limits as a study's record has them: the least and the largest value, None where there is none."""
    return tuple(
        Constraint(metric, -inf if low is None else float(low), inf if high is None else float(high))
        for metric, (low, high) in bounds.items()
    )


def _largest(study: Study) -> tuple[Constraint, ...]:
    """Return limits that the largest network holds that was trained."""
    costs = [trial.cost for trial in study.trials if trial.trained and trial.cost is not None]
    return tuple(
        Constraint(metric, high=max(value_of(cost, metric, study.workload) for cost in costs)) for metric in _LARGEST
    )
