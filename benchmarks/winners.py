"""What the winners of searches are worth: each is trained anew with seeds that its search did not have.

    python -m benchmarks.winners runs/NAME/default-0 runs/NAME/default+asha-0 ... [--seeds 3] [--workers 2]

The folders are those of searches that trained, by `python -m nas.search` or `python -m nas.compare`; data, recipe and
budget are those of the search. Scores are of the validation split.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import nas
from nas.evaluation import Budget
from nas.evaluators.training import TrainingEvaluator
from nas.search.log import read_study, read_trials
from nas.settings import as_recorded, settings_from
from nas.training.data.config import DataConfig
from nas.training.recipe import Recipe
from nas.workers.processes import Task, WorkerPool

_FRESH = 10_000
"""First of the new seeds; those of a search are derived from hashes."""


def main() -> None:
    """Print what each winner scored in its search, and anew."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    settings = _settings(options.folders[0])
    data = settings_from(DataConfig, as_recorded(DataConfig, settings["data"]))
    recipe = settings_from(Recipe, settings["train"])
    winners = [_winner(folder) for folder in options.folders]
    pool = WorkerPool(TrainingEvaluator(data, recipe), options.workers)
    tasks = [
        Task(number, architecture, Budget(), _FRESH + number)
        for number, architecture in enumerate(one for one, _ in winners for _ in range(options.seeds))
    ]
    scores: dict[int, float] = {}
    while len(scores) < len(options.folders) * options.seeds:
        while tasks and pool.free:
            pool.submit(tasks.pop(0))
        for outcome in pool.wait(None):
            assert outcome.evaluation is not None, outcome.reason
            scores[outcome.number] = outcome.evaluation.scores["val_accuracy"]
    pool.close()
    print("| search | in its search | anew, mean | each |\n| --- | --: | --: | --- |")
    for place, (folder, (_, score)) in enumerate(zip(options.folders, winners, strict=True)):
        anew = [scores[place * options.seeds + i] for i in range(options.seeds)]
        each = ", ".join(f"{one:.4f}" for one in anew)
        print(f"| {folder.name} | {score:.4f} | {sum(anew) / len(anew):.4f} | {each} |")


def _settings(folder: Path) -> dict[str, Any]:
    """The settings of a search, or of the comparison that it is part of."""
    config = read_study(folder)["notes"].get("config")
    return dict(config or json.loads((folder.parent / "settings.json").read_text()))


def _winner(folder: Path) -> tuple[nas.Architecture, float]:
    study = read_study(folder)
    space = nas.SearchSpace.from_dict(study["space"]).for_data(tuple(study["input_shape"]), study["num_classes"])
    done = [trial for trial in read_trials(folder) if trial.state.value == "completed"]
    best = max(done, key=lambda trial: trial.scores["val_accuracy"])
    return space.decode(best.genotype), best.scores["val_accuracy"]


if __name__ == "__main__":
    main()
