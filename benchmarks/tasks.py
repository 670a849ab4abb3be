"""A search on each task, whole: what its winner is worth on a test split that neither the search nor a choice saw.

    python -m benchmarks.tasks imbalance --folder runs/tasks     # also labels, series, cells; the same command goes on
    python -m benchmarks.tasks --table                           # of what is in benchmarks/data/tasks

A part searches, trains what it found with five seeds that chose nothing, and reads the test split, by `nas search` and
`nas finish` alone. What the winner is held against, a network that is fixed beforehand, goes the same way with the same
seeds and recipe: it is the only one of its search. `series` needs the package mnist1d, `imbalance` Fashion-MNIST.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from platform import python_version
from typing import Any

from benchmarks import labelled_shapes, uneven_fashion
from nas.finishing.intervals import MeanInterval, compare, interval_of
from nas.latency.deployment import processor

ROOT = Path(__file__).resolve().parents[1]
RECORDS = ROOT / "benchmarks" / "data" / "tasks"
_DONE = "search_done"
_SEEDS, _WORKERS, _MINUTES = 5, 2, 600
"""Of the trainings that are reported. They are equal in epochs, and so need no limit in minutes."""
_HERE = "HERE"
"""In the settings of a part: the folder that its data and runs are in."""
_PICTURES, _SIDE = 2000, 24
"""How many pictures of shapes there are, and their pixels each way."""


@dataclass(frozen=True, kw_only=True)
class Network:
    """What is searched for, or fixed beforehand."""

    name: str
    """For people."""
    run: str
    """Name of the run folder."""
    search: Sequence[str]
    """Settings of its search, beside those of the part."""
    found: bool = True
    """Whether the search has anything to choose."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """A task, and networks for it of which the first is held against each other one."""

    search: Sequence[str]
    """Settings of all its searches: data, epochs."""
    networks: Sequence[Network]
    epochs: int
    """Of the trainings that are reported, by the recipe `standard`."""
    scores: Sequence[str]
    """That are reported, shares."""
    batch: int = 64
    """Images a step of all its trainings: fewer where there are few images, so that they have some hundred steps."""
    make: Callable[[Path], None] = lambda folder: None
    """Writes the data into a folder where they are not there yet."""


def _uneven(folder: Path) -> None:
    path = folder / "uneven.npz"
    if not path.exists():
        uneven_fashion.write(path, seed=0)


def _shapes(folder: Path) -> None:
    if not (folder / "shapes" / labelled_shapes.TABLE).exists():
        labelled_shapes.write(folder / "shapes", _PICTURES, _SIDE, seed=0)


def _fixed(name: str, run: str, search: Sequence[str]) -> Network:
    one = ("search.trials=1", "search.portfolio=0", "train.epochs=1", "fit=none")
    return Network(name=name, run=run, search=(*search, *one), found=False)


_SMALL = ("+space=small_images", "search.trials=24", "constraints.params=2e5", "constraints.macs=4e6")
_BALANCED = ("data.balance=sampler", "search.objective=val_balanced_accuracy")
_LEVEL = "stages.0.blocks.1.branches.1.0.body.1"
_U_NET = ", ".join(
    [
        "let.width: 8",
        "let.levels: 4",
        "let.unit.block: conv",
        "let.unit.block.conv.kernel: 3",
        "let.pool.block: max_pool",
        "stages.0.blocks.0.depth: 2",
        "stages.0.blocks.2.depth: 2",
        f"{_LEVEL}.0.depth: 2",
        f"{_LEVEL}.1.then.0.branches.1.0.body.1.0.depth: 2",
        f"{_LEVEL}.1.then.0.branches.1.0.body.1.1.then.0.branches.1.0.body.1.0.depth: 2",
        f"{_LEVEL}.1.then.0.branches.1.0.body.1.1.then.1.depth: 2",
        f"{_LEVEL}.1.then.1.depth: 2",
        "head.0.dropout: 0",
    ]
)
"""Two 3x3 convolutions a level, widths that double from 8, and three halvings: Ronneberger et al. 2015, figure 1, has
widths that double from 64, and four."""

PARTS: Mapping[str, Part] = {
    "imbalance": Part(
        search=("data=arrays", f"data.root={_HERE}/uneven.npz", "data.augment=shift_flip", "train.epochs=4", *_SMALL),
        networks=(
            Network(name="balanced: sampler, val_balanced_accuracy", run="imbalance_balanced", search=_BALANCED),
            Network(name="plain: no balance, val_accuracy", run="imbalance_plain", search=("data.balance=none",)),
        ),
        epochs=15,
        scores=("val_accuracy", "val_balanced_accuracy", "test_balanced_accuracy", "test_macro_f1"),
        make=_uneven,
    ),
    "labels": Part(
        search=(
            *("data=image_folder", f"data.root={_HERE}/shapes", f"data.labels={labelled_shapes.TABLE}"),
            *(f"data.resolution={_SIDE}", "data.channels=1", "data.augment=shift_flip"),
        ),
        networks=(
            Network(
                name="winner",
                run="labels_winner",
                search=("+space=small_images", "search.trials=14", "train.epochs=6", "constraints.macs=5681824"),
            ),
            _fixed("ResNet-20, half its channels", "labels_resnet20", [f"+space={RECORDS}/resnet20_half.yaml"]),
        ),
        epochs=15,
        batch=32,
        scores=("val_mean_average_precision", "test_mean_average_precision"),
        make=_shapes,
    ),
    "series": Part(
        search=("data=mnist1d",),
        networks=(
            Network(
                name="winner",
                run="series_winner",
                search=("+space=conv1d", "search.trials=40", "train.epochs=10", "constraints.macs=1e6"),
            ),
            _fixed("published CNN, by this recipe", "series_cnn", [f"+space={RECORDS}/mnist1d_cnn.yaml"]),
        ),
        epochs=60,
        scores=("val_accuracy", "test_accuracy"),
    ),
    "cells": Part(
        search=("data=cells", "data.resolution=32", "data.samples=600"),
        networks=(
            Network(
                name="winner",
                run="cells_winner",
                search=("+space=unet", "search.trials=14", "train.epochs=10", "constraints.macs=8749056"),
            ),
            _fixed("U-Net, widths 8 to 64", "cells_unet", ["+space=unet", f"search.fix={{{_U_NET}}}"]),
        ),
        epochs=60,
        batch=16,
        scores=("val_mean_iou", "test_mean_iou"),
    ),
}


def main() -> None:
    """Do a part, or print the tables of those that are done."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.tasks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("part", nargs="?", choices=PARTS)
    parser.add_argument("--folder", type=Path, default=ROOT / "runs" / "tasks", help="of data and runs (runs/tasks)")
    parser.add_argument("--table", action="store_true", help="print what is there by now")
    given = parser.parse_args()
    if given.part:
        _do(given.part, given.folder.absolute())
    names = PARTS if given.table or not given.part else [given.part]
    print("\n".join(line for name in names for line in _table(name)))


def _do(name: str, folder: Path) -> None:
    """Search and finish; what is there is gone on with."""
    part = PARTS[name]
    folder.mkdir(parents=True, exist_ok=True)
    part.make(folder)
    for network in part.networks:
        run = folder / network.run
        if not (run / _DONE).exists():
            _search(part, network, folder)
            (run / _DONE).touch()
        _finish(part, run)
    found = {network.run: _found(folder / network.run) for network in part.networks}
    versions = {package: version(package) for package in ("nas", "torch", "pytorch-lightning", "optuna")}
    record = {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": processor(),
        "versions": {"python": python_version(), **versions},
        "networks": found,
    }
    RECORDS.mkdir(exist_ok=True)
    (RECORDS / f"{name}.json").write_text(json.dumps(record, indent=1) + "\n")


def _search(part: Part, network: Network, folder: Path) -> None:
    if (folder / network.run / "trials.jsonl").exists():
        _call(["search", f"resume={folder / network.run}"])
        return
    new = [f"name={network.run}", f"records.dir={folder}", "records.mlflow=false", f"workers={_WORKERS}"]
    words = [word.replace(_HERE, str(folder)) for word in (*part.search, *network.search)]
    _call(["search", *new, "recipe=short", f"train.batch_size={part.batch}", *words])


def _finish(part: Part, run: Path) -> None:
    report = run / "finish" / "report.json"
    if report.exists() and json.loads(report.read_text())["final"]["winner"]["trainings"] == _SEEDS:
        return
    settings = [f"train.epochs={part.epochs}", f"train.batch_size={part.batch}", f"finish.final_seeds={_SEEDS}"]
    settings += ["finish.top_k=1", "finish.seeds=1", "finish.baseline=none"]
    if (run / "finish" / "trials.jsonl").exists():
        settings = []  # they are in its record
    _call(["finish", str(run), f"finish.minutes={_MINUTES}", f"workers={_WORKERS}", "mlflow=false", *settings])


def _call(words: Sequence[str]) -> None:
    """Run a command of `nas` from the root to its end, also where this process is interrupted with it."""
    print("$ nas", *words, flush=True)
    process = subprocess.Popen([sys.executable, "-m", "nas", *words], cwd=ROOT)
    while True:
        try:
            code = process.wait()
        except KeyboardInterrupt:
            continue  # the command was told, too, and keeps what it has
        break
    if code:
        raise SystemExit(code)


def _found(run: Path) -> dict[str, Any]:
    """Return what a finish has found: the network, and the scores of each seed on validation and test."""
    report = json.loads((run / "finish" / "report.json").read_text())
    winner, seeds = report["final"]["winner"], dict[str, dict[str, float]]()
    for line in map(json.loads, (run / "finish" / "trials.jsonl").read_text().splitlines()):
        if line.get("phase") in ("report", "test"):
            seeds.setdefault(str(line["seed"]), {}).update(line["scores"])
    return {
        **{key: winner[key] for key in ("arch_id", "params", "macs")},
        "measure": report["measure"],
        "search": {key: report["search"][key] for key in ("seconds", "trained", "score")},
        "epochs": report["recipe"]["epochs"],
        "seeds": seeds,
    }


def _table(name: str) -> Iterator[str]:
    """Yield a row for each network of a part that is done, and one for each difference."""
    path = RECORDS / f"{name}.json"
    if not path.exists():
        return
    part, record = PARTS[name], json.loads(path.read_text())
    yield f"{name}, {record['date']}, {record['machine']}"
    yield ""
    yield f"| network | parameters | multiply-adds | trained in the search | {' | '.join(part.scores)} |"
    yield f"| --- | --: | --: | --: |{' --- |' * len(part.scores)}"
    found = [record["networks"][network.run] for network in part.networks]
    for network, values in zip(part.networks, found, strict=True):
        trained = values["search"]["trained"] if network.found else ""
        cells = [_shown(interval_of(_of(values, score)).within(0, 1)) for score in part.scores]
        yield f"| {network.name} | {values['params']:,} | {values['macs']:,} | {trained} | {' | '.join(cells)} |"
    for network, values in zip(part.networks[1:], found[1:], strict=True):
        gaps = [compare(_of(found[0], score), _of(values, score)).difference for score in part.scores]
        yield f"| first minus {network.name} | | | | {' | '.join(_shown(gap, '+.2f') for gap in gaps)} |"
    yield ""


def _of(values: Mapping[str, Any], score: str) -> list[float]:
    """Return a score of each seed, in the order of the seeds."""
    return [values["seeds"][seed][score] for seed in sorted(values["seeds"], key=int)]


def _shown(found: MeanInterval, form: str = ".2f") -> str:
    """Return a mean with Student's 95 % interval, in per cent or points."""
    return f"{100 * found.mean:{form}} ({100 * found.low:{form}} to {100 * found.high:{form}})"


if __name__ == "__main__":
    main()
