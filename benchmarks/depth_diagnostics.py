"""Plain, residual, pre-activation and dense networks of equal depth, with batch normalisation and without, measured.

    python -m benchmarks.depth_diagnostics --seeds 3 --steps 300
    python -m benchmarks.depth_diagnostics --seeds 3 --steps 0 --measure gradients activations
    python -m benchmarks.depth_diagnostics --seeds 3 --steps 0 --room

Each network is diagnosed as it begins, trained for so many steps by SGD at 16x16, and diagnosed again. A network with a
seed is a line of the file, and lines that it has are not done again; the tables are medians over the seeds that are
there, with the smallest and the largest. --room measures nothing but receptive fields, on images enlarged to hold the
theoretical field: 16x16 is smaller than that. The test split is not read.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from math import ceil
from pathlib import Path
from statistics import median
from typing import Any

import torch

import nas
from benchmarks.lines import append_line, read_lines
from nas.errors import TrainingError
from nas.reports.markup import compact
from nas.training.data.config import DataConfig
from nas.training.data.load import load_data
from nas.training.diagnostics.names import MEASUREMENTS
from nas.training.recipe import Recipe
from nas.training.recipe_files import read_recipe

SPACES = Path(__file__).with_name("depth")
NETWORKS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    **{
        f"{family}{'' if norm else ', no norm'}": (family, {"norm": norm})
        for family in ("plain", "residual", "preact", "dense")
        for norm in ("batch", None)
    },
    "residual, anti-aliased": ("residual", {"anti_alias": True}),
}
"""By name: the file of the space, and what it is decoded with."""
INITIAL = {
    "gradient_first": "gradient, first layer",
    "gradient_last": "last layer",
    "gradient_ratio": "first / last",
    "signal_ratio": "signal back, first / last but one",
    "output_growth": "output std, last but one / first",
    "loss": "loss",
    "dead_share": "dead units",
    "roomy_field": "effective field, with room",
    "shift_variation": "shift variation",
    "shift_variation_anti_aliased": "with blurs",
    "largest_eigenvalue": "largest eigenvalue",
}
TRAINED = {
    "train_loss": "training loss",
    "val_accuracy": "validation accuracy",
    "gradient_ratio": "gradient first / last",
    "dead_share": "dead units",
    "shift_variation": "shift variation",
    "shift_variation_anti_aliased": "with blurs",
    "shift_consistency": "same class after shift",
    "largest_eigenvalue": "largest eigenvalue",
    "loss_rise": "loss rise",
}
"""Columns of the tables: numbers by name, and what stands over them."""


def main() -> None:
    """Measure what is not measured yet, and print the tables."""
    options = _options()
    torch.set_num_threads(1)
    data = DataConfig(name=options.data, augment="none")
    for seed in range(options.seeds):  # all with the first seed, then with the second: a part of it says something too
        for depth in options.depths:
            for name in options.only or NETWORKS:
                key = {"data": data.name, "images": options.images, "steps": options.steps, "lr": options.lr}
                key |= {
                    "measure": ["room"] if options.room else options.measure,
                    "name": name,
                    "depth": depth,
                    "seed": seed,
                }
                if not any(line["key"] == key for line in read_lines(options.out)):
                    append_line(options.out, {"key": key, **_measured(options, data, name, depth, seed)})
    print("\n".join(tables(read_lines(options.out))))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="digits", choices=("digits", "fashion_mnist"))
    parser.add_argument("--depths", type=int, nargs="*", default=[20, 56], help="6 n + 2 for some n")
    parser.add_argument("--only", nargs="*", choices=[*NETWORKS], help="some of the networks")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=300, help="of training, in whole epochs; 0: none")
    parser.add_argument("--lr", type=float, default=0.05, help="highest learning rate")
    parser.add_argument("--images", type=int, default=64, help="in the batch that is measured on")
    parser.add_argument("--measure", nargs="*", choices=MEASUREMENTS, default=[*MEASUREMENTS])
    parser.add_argument("--room", action="store_true", help="receptive fields alone, on enlarged images")
    parser.add_argument("--out", type=Path, default=Path("runs/depth_diagnostics.jsonl"))
    return parser.parse_args()


def architecture(name: str, depth: int, data: DataConfig, resolution: int = 16) -> nas.Architecture:
    """Return one of `NETWORKS` with so many layers, for some data."""
    family, let = NETWORKS[name]
    loaded = load_data(data)
    space = nas.load_space(SPACES / f"{family}.yaml", n=(depth - 2) // 6, **let)
    return space.for_data((loaded.input_shape[0], resolution, resolution), loaded.num_classes).decode({})


def _measured(options: argparse.Namespace, data: DataConfig, name: str, depth: int, seed: int) -> dict[str, Any]:
    """Diagnose a network, train it, and diagnose it again."""
    started = time.perf_counter()
    arch = architecture(name, depth, data)
    cost = nas.cost_of(arch)
    if options.room:
        return _with_room(data, name, depth, seed)
    how: dict[str, Any] = {"images": options.images, "measure": options.measure}
    (initial,) = nas.diagnose({name: arch}, data, seed=seed, **how).networks
    found: dict[str, Any] = {"params": cost.params, "theoretical_field": cost.receptive_field}
    found |= {"initial": initial.numbers()}
    if options.steps:
        batches = ceil(len(load_data(data).train.labels) / read_recipe("sgd").batch_size)
        recipe = replace(read_recipe("sgd"), lr=options.lr, epochs=ceil(options.steps / batches))
        place = options.out.with_suffix("") / f"{name.replace(', ', '-').replace(' ', '-')}-{depth}-{seed}"
        found["trained"] = _trained(arch, data, recipe, place, seed=seed, how=how)
    return {**found, "seconds": round(time.perf_counter() - started, 1)}


def _with_room(data: DataConfig, name: str, depth: int, seed: int) -> dict[str, Any]:
    """Measure the effective receptive field where the image holds the theoretical one."""
    field = nas.cost_of(architecture(name, depth, data)).receptive_field or 0
    arch = architecture(name, depth, data, 32 * ceil((field + 8) / 32))
    (one,) = nas.diagnose({name: arch}, data, seed=seed, images=10, measure=["receptive_field"]).networks
    numbers = one.numbers()
    found = {"roomy_field": numbers["effective_field"], "roomy_reached": numbers["reached_field"]}
    return {"params": nas.cost_of(arch).params, "theoretical_field": field, "initial": found}


def _trained(
    arch: nas.Architecture, data: DataConfig, recipe: Recipe, place: Path, *, seed: int, how: Mapping[str, Any]
) -> dict[str, float]:
    """Train a network, and return its scores and its numbers then; none where the loss is no number any more."""
    place.parent.mkdir(parents=True, exist_ok=True)
    try:
        model = nas.train(arch, data, recipe, folder=place, seed=seed, resume=place.is_dir(), accelerator="cpu")
    except TrainingError as error:
        print(f"{place.name}: {error}", flush=True)
        return {}
    last = model.evaluation.history[-1]
    (found,) = nas.diagnose(model, data, **how).networks
    return {"train_loss": last["train_loss"], "val_accuracy": last["val_accuracy"], **found.numbers()}


def tables(lines: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield the tables: as networks begin, and as they are after training."""
    for depth in sorted({line["key"]["depth"] for line in lines}):
        own = [line for line in lines if line["key"]["depth"] == depth]
        yield from _table(f"Depth {depth}, fresh weights", own, "initial", INITIAL)
        for steps in sorted({line["key"]["steps"] for line in own} - {0}):
            some = [line for line in own if line["key"]["steps"] == steps]
            yield from _table(f"Depth {depth}, after {steps} steps", some, "trained", TRAINED)


def _table(title: str, lines: Sequence[Mapping[str, Any]], part: str, columns: Mapping[str, str]) -> Iterator[str]:
    shown = [name for name in columns if any(name in line.get(part, {}) for line in lines)]
    yield f"\n{title}\n"
    yield (
        "| " + " | ".join(["network", "params", "field in theory", "seeds", *(columns[name] for name in shown)]) + " |"
    )
    yield "| --- " + "| --: " * (len(shown) + 3) + "|"
    for name in NETWORKS:
        by_seed: dict[int, Mapping[str, float]] = {}
        for line in lines:
            if line["key"]["name"] == name and part in line:
                by_seed[line["key"]["seed"]] = {**by_seed.get(line["key"]["seed"], {}), **line[part]}
        if by_seed:
            own = next(line for line in lines if line["key"]["name"] == name)
            cells = [_cell([one[number] for one in by_seed.values() if number in one]) for number in shown]
            head = [name, f"{own['params']:,}", str(own["theoretical_field"]), str(len(by_seed))]
            yield "| " + " | ".join([*head, *cells]) + " |"


def _cell(values: Sequence[float]) -> str:
    if not values:
        return "-"
    if len(values) == 1:
        return _text(values[0])
    return f"{_text(median(values))} ({_text(min(values))} to {_text(max(values))})"


def _text(value: float) -> str:
    return f"{value:.0e}" if 0 < abs(value) < 1e-3 or abs(value) >= 1e6 else compact(value)


if __name__ == "__main__":
    main()
