"""What inherited weights are worth before any training: children one decision from trained parents.

    python -m benchmarks.inheritance [--parents 2] [--children 24] [--epochs 15] [--seed 0]

Parents are networks of four spaces under 100,000 parameters, trained on digits (which scikit-learn brings). Each child
differs in one decision and takes its parent's weights by `nas.inherit`; the statistics of its batch normalisation are
computed on training images, and nothing is trained. Accuracies are of the validation split; a network that has learned
nothing has about 10%.
"""

from __future__ import annotations

import argparse
import random
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import nn

import nas
from nas.errors import ShapeError
from nas.seeds import derived_seed
from nas.space import Genotype
from nas.training.data.config import DataConfig
from nas.training.data.load import load_data
from nas.training.data.splits import ImageData
from nas.training.fit import fit
from nas.training.recipe import Recipe
from nas.training.task import ImageModule
from nas.training.weights import trained_network

SPACES = ("mbconv", "resnet", "densenet", "small_images")
_MOST_PARAMS = 100_000
_BATCHES = 10


@dataclass(frozen=True)
class Child:
    """What came of one child."""

    space: str
    kind: str
    """Which decision is another one, and whether its number grew."""
    parent: float
    """Accuracy of the parent."""
    accuracy: float
    share: float
    exact: bool


def main() -> None:
    """Print the accuracy of children by the kind of change."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parents", type=int, default=2)
    parser.add_argument("--children", type=int, default=24)
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    data = load_data(DataConfig(name="digits"))
    children: list[Child] = []
    for name in SPACES:
        for number in range(options.parents):
            seed = derived_seed(options.seed, name, number)
            children += _family(name, data, seed, options.epochs, options.children)
    _print(children)


def _family(name: str, data: ImageData, seed: int, epochs: int, count: int) -> Iterator[Child]:
    """Train a network of a space, and yield what children come to."""
    space = nas.load_space(name).for_data(data.input_shape, len(data.classes))
    genotype = next(one for one in _genotypes(space, seed) if nas.cost_of(space.decode(one)).params <= _MOST_PARAMS)
    parent = space.decode(genotype)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "weights" / "parent.safetensors"
        fit(parent, data, Recipe(), nas.Budget(epochs=epochs, weights=str(path)), seed=seed)
        network = trained_network(parent, path)
    before = _accuracy(network, data, parent)
    print(f"{name}: parent with {nas.cost_of(parent).params:,} parameters, accuracy {before:.4f}", flush=True)
    for other in islice(_steps(space, genotype, seed), count):
        child = space.decode(other)
        state, inherited = nas.inherit(parent, network.state_dict(), child, seed)
        built = nas.build(child)
        built.load_state_dict(state)
        accuracy = _accuracy(built, data, child)
        yield Child(name, _kind(genotype, other), before, accuracy, inherited.share, inherited.exact)


def _genotypes(space: nas.SearchSpace, seed: int) -> Iterator[Genotype]:
    for number in range(10_000):
        yield space.sample(derived_seed(seed, "parent", number))


def _steps(space: nas.SearchSpace, genotype: Genotype, seed: int) -> Iterator[Genotype]:
    """Yield genotypes that differ in one decision that changes weights or what is computed of them, in any order."""
    others = list(space.neighbours(genotype, seed))
    random.Random(seed).shuffle(others)
    for other in others:
        if not _kind(genotype, other).startswith(("dropout", "drop_path")):
            with suppress(ShapeError):  # no network: its map would shrink to nothing
                nas.cost_of(space.decode(other))
                yield other


def _kind(genotype: Genotype, other: Genotype) -> str:
    """Name the decision by which two genotypes differ: the first, where others depend on it."""
    path = min((one for one in {**genotype, **other} if genotype.get(one) != other.get(one)), key=len)
    before, after = genotype.get(path), other.get(path)
    name = path.rpartition(".")[2]
    numbers = [value for value in (before, after) if isinstance(value, int | float) and not isinstance(value, bool)]
    if len(numbers) < 2:
        return name
    return f"{name} up" if numbers[1] > numbers[0] else f"{name} down"


@torch.no_grad()
def _accuracy(network: nn.Module, data: ImageData, architecture: nas.Architecture) -> float:
    """Return the validation accuracy, with the statistics of batch normalisation of training images."""
    images = ImageModule(data, Recipe(), architecture.input_shape)
    network.eval()
    layers = [layer for layer in network.modules() if isinstance(layer, nn.modules.batchnorm._BatchNorm)]
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None  # the plain mean over batches
        layer.train()
    for inputs, _ in islice(images.some_training_batches(), _BATCHES):
        network(inputs)
    network.eval()
    hits, count = 0, 0
    for inputs, labels in images.val_dataloader():
        hits += int((network(inputs).argmax(1) == labels).sum())
        count += len(labels)
    return hits / count


def _print(children: list[Child]) -> None:
    groups: dict[str, list[Child]] = defaultdict(list)
    for child in children:
        groups[child.kind].append(child)
        groups["**exact**" if child.exact else "**not exact**"].append(child)
    rows: list[tuple[Any, ...]] = []
    for kind, group in groups.items():
        kept = median(child.accuracy / child.parent for child in group)
        exact = sum(child.exact for child in group)
        accuracy, share = (median(getattr(child, part) for child in group) for part in ("accuracy", "share"))
        rows.append((kept, f"| {kind} | {len(group)} | {exact} | {share:.0%} | {accuracy:.3f} | {kept:.1%} |"))
    print("| decision | children | exact | parameters inherited | accuracy | of the parent's |")
    print("| --- | --: | --: | --: | --: | --: |")
    for _, row in sorted(rows, reverse=True):
        print(row)


if __name__ == "__main__":
    main()
