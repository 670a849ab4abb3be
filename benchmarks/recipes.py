"""What each ingredient of a recipe gains on validation, alone and together, paired by seed.

    python -m benchmarks.recipes --data digits --epochs 30 --out runs/recipes.jsonl
    python -m benchmarks.recipes --data fashion_mnist --fraction 0.2 --epochs 16 --out runs/recipes.jsonl

Each run is a line of the file, and runs that it has are not done again. The network is a small residual one.
Gains are in points of validation accuracy, with Student's 95 % interval over the seeds; the test split is
not read.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

import nas
from benchmarks.lines import append_line, read_lines
from nas.statistics import mean_interval
from nas.training.data.config import DataConfig
from nas.training.fit import fit, load_data
from nas.training.recipe import Recipe

INGREDIENTS: Mapping[str, Mapping[str, Any]] = {
    "base": {},
    "shift": {"shift": 0.08},
    "flip": {"flip": True},
    "erase": {"erase": 0.25},
    "mixup": {"mixup": 0.2},
    "cutmix": {"cutmix": 1.0},
    "label smoothing": {"label_smoothing": 0.1},
    "drop path": {"drop_path": 0.1},
    "ema": {"ema": 0.99},
    "zero init": {"zero_init_last": True},
}
"""What each changes of the recipe `adamw`; more are given as JSON: --add '{"name": {"ema": 0.999}}'."""

NETWORK = {
    "assume": {"channels": 1, "resolution": 28, "num_classes": 10},
    "stem": {"block": "conv", "out_channels": 16},
    "stages": [
        {"block": "residual_basic", "depth": 1, "out_channels": 16, "stride": 2},
        {"block": "residual_basic", "depth": 1, "out_channels": 32, "stride": 2},
        {"block": "residual_basic", "depth": 1, "out_channels": 64, "stride": 2},
    ],
    "head": {"block": "classifier"},
}
"""78,042 parameters; 2.7 M multiply-adds at 28x28."""


def main() -> None:
    """Train what is not trained yet, and print the table."""
    options = _options()
    torch.set_num_threads(1)
    data = DataConfig(
        name=options.data,
        train_fraction=options.fraction,
        augment="shift" if options.data == "digits" else "none",
        val_fraction=0.1 if options.data == "fashion_mnist" else 0.2,
    )
    ingredients = {**INGREDIENTS, **options.add}
    names = options.only or [name for name in ingredients if options.data == "fashion_mnist" or name != "flip"]
    base = replace(Recipe(epochs=options.epochs, batch_size=options.batch), **options.base)
    for seed in range(options.seeds):  # all with the first seed, then with the second: a part of it says something too
        for name in names:
            key = {
                "data": options.data,
                "fraction": options.fraction,
                "epochs": options.epochs,
                "batch": options.batch,
                "base": options.base,
                "name": name,
                "seed": seed,
            }
            if not any(line["key"] == key for line in read_lines(options.out)):
                append_line(options.out, {"key": key, **_trained(data, replace(base, **ingredients[name]), seed)})
    key = {"data": options.data, "fraction": options.fraction, "epochs": options.epochs, "batch": options.batch}
    print("\n".join(table([line for line in read_lines(options.out) if _has(line["key"], key, options.base)], names)))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="digits", choices=("digits", "fashion_mnist"))
    parser.add_argument("--fraction", type=float, default=1.0, help="of the training split")
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--base", type=json.loads, default={}, help="settings of the recipe that all have, as JSON")
    parser.add_argument("--add", type=json.loads, default={}, help="more ingredients, as JSON")
    parser.add_argument("--only", nargs="*", help="names of ingredients; all by default")
    parser.add_argument("--out", type=Path, default=Path("runs/recipes.jsonl"))
    return parser.parse_args()


def _trained(data: DataConfig, recipe: Recipe, seed: int) -> dict[str, Any]:
    loaded = load_data(data)
    space = nas.SearchSpace.from_dict(NETWORK).for_data(loaded.input_shape, loaded.num_classes)
    started = time.perf_counter()
    found = fit(space.decode({}), loaded, recipe, seed=seed, augment=data.augment, accelerator="cpu")
    train = found.history[-1]["train_accuracy"]
    return {**found.scores, "train_accuracy": train, "seconds": round(time.perf_counter() - started, 1)}


def table(lines: list[dict[str, Any]], names: list[str]) -> Iterator[str]:
    """Yield the rows: mean score, and the gain over the base with the same seeds."""
    scores: dict[str, dict[int, dict[str, Any]]] = {}
    for line in lines:
        scores.setdefault(line["key"]["name"], {})[line["key"]["seed"]] = line
    first = names[0]
    yield f"| ingredient | accuracy | gain over {first}, points | log loss | train accuracy | seconds |"
    yield "| --- | --: | --: | --: | --: | --: |"
    for name in filter(scores.__contains__, names):
        own = scores[name]
        gains = [100 * (own[s]["val_accuracy"] - scores[first][s]["val_accuracy"]) for s in own if s in scores[first]]
        low, high = mean_interval(gains)
        mean = {
            what: sum(one[what] for one in own.values()) / len(own)
            for what in ("val_accuracy", "val_loss", "train_accuracy", "seconds")
        }
        gain = f"{sum(gains) / len(gains):+.2f} ({low:+.2f} to {high:+.2f})" if name != first else ""
        yield (
            f"| {name} | {mean['val_accuracy']:.4f} | {gain} | {mean['val_loss']:.4f} | "
            f"{mean['train_accuracy']:.4f} | {mean['seconds']:.0f} |"
        )


def _has(key: Mapping[str, Any], wanted: Mapping[str, Any], base: Mapping[str, Any]) -> bool:
    return key["base"] == base and all(key[name] == value for name, value in wanted.items())


if __name__ == "__main__":
    main()
