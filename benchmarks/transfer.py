"""What a training of few images gains by beginning with weights of other classes, for each style, paired by seed.

    python -m benchmarks.transfer --out runs/transfer.jsonl
    python -m benchmarks.transfer --seeds 2 --epochs 8 --pretrain-epochs 1 --rates 0.003 --out runs/small.jsonl

With each seed a network learns the first five classes of Fashion-MNIST; then the other five, of which it gets a few
images each, drawn by the seed: from fresh weights, and in each style from those that it has. Scores are on
validation images of these classes; the test split is not read. The gain of a style is over fresh weights at the
learning rate that is best for these by the same scores, which favours them. Each run is a line of the file, and runs
that it has are not done again.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

import nas
from benchmarks.lines import append_line, read_lines
from benchmarks.recipes import NETWORK
from nas.statistics import mean_interval
from nas.training.data.config import DataConfig
from nas.training.data.splits import ImageData, Images, MemoryImages, some_of
from nas.training.fit import fit, load_data
from nas.training.recipe import Recipe
from nas.training.transfer.settings import SCRATCH, Transfer

STYLES: Mapping[str, Mapping[str, Any]] = {
    "scratch": {},
    "features": {"style": "features"},
    "fine_tune": {"style": "fine_tune"},
    "fine_tune, lr_decay 0.5": {"style": "fine_tune", "lr_decay": 0.5},
    "fine_tune, freeze_norm": {"style": "fine_tune", "freeze_norm": True},
    "unfreeze": {"style": "unfreeze"},
}
"""Settings of `transfer`, beside its weights."""
_KNOWN = 5
"""Classes that are learned before; the others are those that are moved to."""
_NETWORK = {**NETWORK, "assume": {"channels": 1, "resolution": 28, "num_classes": _KNOWN}}


def main() -> None:
    """Train what is not trained yet, and print the table."""
    options = _options()
    torch.set_num_threads(1)
    data = load_data(DataConfig(name="fashion_mnist", root=options.root))
    architecture = nas.SearchSpace.from_dict(_NETWORK).decode({})
    shared = {
        "images": options.images,
        "scored": options.scored,
        "epochs": options.epochs,
        "pretrain_epochs": options.pretrain_epochs,
    }
    for seed in range(options.seeds):
        weights = options.out.parent / f"transfer-{options.pretrain_epochs}-{seed}" / "weights.safetensors"
        if not weights.is_file():
            weights.parent.mkdir(parents=True, exist_ok=True)
            recipe = Recipe(epochs=options.pretrain_epochs)
            budget = nas.Budget(weights=str(weights))
            fit(architecture, _of_classes(data, range(_KNOWN)), recipe, budget, seed=seed, accelerator="cpu")
        few = _few(_of_classes(data, range(_KNOWN, len(data.classes))), options.images, options.scored, seed)
        for name in options.only or STYLES:
            for rate in options.rates:
                key = {**shared, "style": name, "lr": rate, "seed": seed}
                if any(line["key"] == key for line in read_lines(options.out)):
                    continue
                transfer = SCRATCH if not STYLES[name] else Transfer(weights=str(weights), **STYLES[name])
                recipe = Recipe(epochs=options.epochs, batch_size=20, lr=rate)
                started = time.perf_counter()
                found = fit(architecture, few, recipe, seed=seed, accelerator="cpu", transfer=transfer)
                seconds = round(time.perf_counter() - started, 1)
                append_line(options.out, {"key": key, **found.scores, "seconds": seconds})
    lines = [line for line in read_lines(options.out) if shared.items() <= line["key"].items()]
    print("\n".join(table(lines)))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", help="folder of Fashion-MNIST")
    parser.add_argument("--images", type=int, default=20, help="of each class that is moved to")
    parser.add_argument("--scored", type=int, default=2000, help="validation images, the same for all seeds")
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--pretrain-epochs", type=int, default=8)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--rates", type=float, nargs="*", default=[0.001, 0.003, 0.01])
    parser.add_argument("--only", nargs="*", choices=STYLES, help="styles; all by default")
    parser.add_argument("--out", type=Path, default=Path("runs/transfer.jsonl"))
    return parser.parse_args()


def _of_classes(data: ImageData, classes: Sequence[int]) -> ImageData:
    """Return data of some classes alone, with labels from 0."""
    new = torch.full((len(data.classes),), -1)
    new[list(classes)] = torch.arange(len(classes))

    def part(images: Images) -> Images:
        indices = (new[images.labels] >= 0).nonzero()[:, 0]
        return MemoryImages(images.read(indices), new[images.labels[indices]])

    names = tuple(data.classes[number] for number in classes)
    return replace(data, classes=names, train=part(data.train), val=part(data.val))


def _few(data: ImageData, images: int, scored: int, seed: int) -> ImageData:
    """Return data with so many training images of each class, and so many validation images in all."""
    order = torch.randperm(len(data.train.labels), generator=torch.Generator().manual_seed(seed))
    labels = data.train.labels[order]
    chosen = torch.cat([order[labels == number][:images] for number in range(data.num_classes)])
    few = MemoryImages(data.train.read(chosen), data.train.labels[chosen])
    # After each epoch all of these are scored, which takes most of the time.
    return replace(data, train=few, val=some_of(data.val, min(1.0, scored / len(data.val.labels))))


def table(lines: list[dict[str, Any]]) -> Iterator[str]:
    """Yield the rows: mean accuracy, and the gain over fresh weights at their best rate with the same seeds."""
    scores: dict[tuple[str, float], dict[int, dict[str, Any]]] = {}
    for line in lines:
        scores.setdefault((line["key"]["style"], line["key"]["lr"]), {})[line["key"]["seed"]] = line

    def mean(found: Mapping[int, Mapping[str, Any]], what: str) -> float:
        return float(sum(one[what] for one in found.values()) / len(found))

    fresh = [found for (style, _), found in scores.items() if style == "scratch"]
    base = max(fresh, key=lambda found: mean(found, "val_accuracy")) if fresh else {}
    yield "| style | lr | accuracy | gain over fresh weights, points | log loss | seeds | seconds |"
    yield "| --- | --: | --: | --: | --: | --: | --: |"
    for (style, rate), found in scores.items():
        gains = [100 * (found[s]["val_accuracy"] - base[s]["val_accuracy"]) for s in found if s in base]
        low, high = mean_interval(gains)
        interval = f" ({low:+.2f} to {high:+.2f})" if len(gains) > 1 else ""
        gain = f"{sum(gains) / len(gains):+.2f}{interval}" if gains and found is not base else ""
        yield (
            f"| {style} | {rate:g} | {mean(found, 'val_accuracy'):.4f} | {gain} | {mean(found, 'val_loss'):.4f} | "
            f"{len(found)} | {mean(found, 'seconds'):.0f} |"
        )


if __name__ == "__main__":
    main()
