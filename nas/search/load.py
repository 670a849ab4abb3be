"""`nas.load_study`: the study in the run folder of a search, read back."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from os import PathLike, fspath
from pathlib import Path
from typing import Any

from nas.cost import BATCH_OF_ONE, Workload
from nas.errors import ConfigError, check_kind
from nas.evaluation import Budget
from nas.run_folder import understood
from nas.search.budgets.pruning import Pruning
from nas.search.log import STUDY, read_study, read_trials
from nas.search.objectives import objectives_from, recorded_directions
from nas.search.study import Study
from nas.search.trial import Trial, with_current_id
from nas.settings import as_recorded, settings_from
from nas.space import SearchSpace
from nas.training.recipe import Recipe
from nas.training.recipe_decisions import RecipeDecisions, recipe_decisions


def load_study(run: str | PathLike[str]) -> Study:
    """Read the study in a run folder, with all trials that have ended: also of a search that runs, or was killed.

    Args:
        run: the run folder of `nas search`, or the `run_dir` of `run_search`.

    Returns:
        The study, e.g. for `study.best()` and `study.best_model()`. Why it ended is not in its record, so that `stop`
        is None.

    Raises:
        ConfigError: there is no study, or a file of it cannot be read or was edited. SpaceError: its space is none that
            is known here, such as one with blocks of your own that were not imported.
    """
    check_kind("load_study: run", run, (str, PathLike), "the path of a run folder", ConfigError)
    folder = Path(fspath(run)).expanduser()
    with understood("study", folder / STUDY):
        return _study(folder, read_study(folder))


def _study(folder: Path, saved: Mapping[str, Any]) -> Study:
    space = SearchSpace.from_dict(saved["space"]).for_data(tuple(saved["input_shape"]), saved["num_classes"])
    study = Study(
        name=folder.absolute().name,
        study_id=str(saved["study_id"]),
        space=space,
        objectives=objectives_from(saved["objective"], recorded_directions(saved)),
        soft_weight=float(saved.get("soft_weight", 0.0)),
        workload=Workload(**saved["workload"]) if "workload" in saved else BATCH_OF_ONE,
        rungs=_rungs(saved.get("pruning"), saved.get("budget")),
        notes=saved["notes"],
        recipe=_recipe(saved),
        # In the order in which they ended: a paused one stands in the log where it was paused first.
        trials=sorted((with_current_id(one, space) for one in read_trials(folder)), key=lambda one: one.finished),
        folder=folder,
    )
    without = [trial.number for trial in study.scored if not _has_objectives(study, trial)]
    if without:
        names = " and ".join(objective.name for objective in study.objectives)
        raise ConfigError(f"{folder / STUDY} and its trials do not fit: trial {without[0]} has no finite {names}")
    return study


def _has_objectives(study: Study, trial: Trial) -> bool:
    values = study.values(trial)
    return values is not None and all(map(isfinite, values))


def _recipe(saved: Mapping[str, Any]) -> RecipeDecisions:
    """Return what was decided of the recipe, beside the settings that a command had."""
    train = saved["notes"].get("config", {}).get("train")
    base = settings_from(Recipe, as_recorded(Recipe, train), "train") if isinstance(train, dict) else None
    return recipe_decisions(saved.get("recipe", {}), base, "recipe")


def _rungs(pruning: object, budget: object) -> int:
    """Return the number of budgets; studies of before there were several have one."""
    if not isinstance(pruning, dict) or not isinstance(budget, dict):
        return 1
    return len(settings_from(Pruning, pruning, "pruning").budgets(settings_from(Budget, budget, "budget")))
