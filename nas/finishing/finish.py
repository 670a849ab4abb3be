"""`nas.finish`: a finish as one Python call."""

from __future__ import annotations

from dataclasses import asdict
from os import PathLike, fspath
from typing import Any

from nas.errors import ConfigError, check_function, check_kind
from nas.finishing.report import Report
from nas.finishing.session import FULL, finish_search
from nas.finishing.study import Say
from nas.training.recipe import Recipe
from nas.training.recipe_files import read_recipe
from nas.training.transfer.settings import Transfer


def finish(
    run: str | PathLike[str],
    *,
    recipe: Recipe | str | None = None,
    top_k: int | None = None,
    seeds: int | None = None,
    final_seeds: int | None = None,
    baseline: str | None = None,
    searched_recipe: bool | None = None,
    minutes: float | None = None,
    root: str | PathLike[str] | None = None,
    workers: int | str | None = None,
    accelerator: str | None = None,
    devices: int | None = None,
    mlflow: bool = False,
    register: str | None = None,
    transfer: Transfer | None = None,
    say: Say | None = None,
) -> Report:
    """Train the best networks of a search anew, compare the winner with published networks, and write what ships.

    The winner is chosen by fresh seeds, and reported by others, on the validation and on the test split. A finish that
    was interrupted goes on: what is None is then as it was begun. Everything is written to `finish` in the run folder:
    `report.md`, `report.json`, and `model`, the folder of what is recommended.

    Args:
        run: the run folder of a search by `nas search` that has trained its networks.
        recipe: how is trained anew: settings, or a name in `conf/recipe`; `standard` by default.
        top_k: best networks of the search that there are to choose from; 5 by default.
        seeds: fresh seeds to choose with; 3 by default.
        final_seeds: other seeds, which alone are reported; 8 by default.
        baseline: published, random (these and random networks) or none; published by default.
        searched_recipe: whether each network is trained by what the search has decided of the recipe for it, in place
            of what `recipe` says; it is by default.
        minutes: the most that choosing and reporting may take; by default 4 times what the search took, at least 10.
        root: where the data are now, if they were moved.
        workers: trainings at a time; by default one a core, or one a GPU.
        accelerator: auto, cpu or gpu.
        devices: processes that train one network together; 1 by default.
        mlflow: record in MLflow too, beside the run folder.
        register: name in MLflow's model registry under which what is recommended becomes a version, with `mlflow`.
        transfer: weights that finalists and baselines begin with, and what of them learns when; fresh weights by
            default, also where the networks of the search began with others.
        say: told how it goes, a line at a time, e.g. `print`.

    Returns:
        The report, of which `sentence()` is the recommendation.

    Raises:
        NasError: the folder holds no such search, a setting does not hold, the data, the weights to begin with or a
            teacher are others now, nothing could be trained, or this process searches and may not read the test split.
        FolderTakenError: a search or a finish is running in the folder.
    """
    check_kind("finish: run", run, (str, PathLike), "the path of a run folder", ConfigError)
    check_kind("finish: recipe", recipe, (Recipe, str, type(None)), "a Recipe, or the name of one", ConfigError)
    check_kind("finish: root", root, (str, PathLike, type(None)), "the path of a folder", ConfigError)
    check_kind("finish: transfer", transfer, (Transfer, type(None)), "a Transfer", ConfigError)
    check_kind("finish: mlflow", mlflow, bool, "True or False", ConfigError)
    check_function("finish: say", say, "a function that takes a line")
    own = {"top_k": top_k, "seeds": seeds, "final_seeds": final_seeds, "baseline": baseline, "minutes": minutes}
    own = {name: value for name, value in {**own, "searched_recipe": searched_recipe}.items() if value is not None}
    outer: dict[str, Any] = {
        "workers": workers,
        "accelerator": accelerator,
        "devices": devices,
        "mlflow": mlflow,
        "register": register,
    }
    outer |= {
        "root": None if root is None else fspath(root),
        "transfer": None if transfer is None else asdict(transfer),
    }
    outer = {name: value for name, value in outer.items() if value is not None}
    train = read_recipe(FULL if recipe is None else recipe) if not isinstance(recipe, Recipe) else recipe
    values = {"run": fspath(run), **outer, "finish": own, "train": asdict(train)}
    typed = [*outer, *(f"finish.{name}" for name in own), *(["train"] if recipe is not None else [])]
    return finish_search(values, typed, say or (lambda line: None))
