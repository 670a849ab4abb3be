"""Learning curves of a network, as a table and as a picture."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from math import nan
from pathlib import Path
from typing import TYPE_CHECKING

from nas.run_folder import write_bytes, writing
from nas.training.tasks.task import LOSS, Task

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from nas.training.lr_range import RangeTest

History = Sequence[Mapping[str, float]]
"""A row of metrics an epoch, see `TaskModule.epoch_metrics`."""


def _columns(task: Task, histories: Mapping[int, History]) -> list[str]:
    """Return the columns of a table: loss and main score of both splits, then the others."""
    first = [f"{split}_{name}" for split in ("train", "val") for name in (LOSS.name, task.default)]
    known = {name for history in histories.values() for row in history for name in row}
    return ["seed", "epoch", *(name for name in dict.fromkeys([*first, *task.val_scores]) if name in known)]


def write_curves(path: Path, histories: Mapping[int, History], task: Task) -> None:
    """Write a CSV file with a row for each seed and epoch, with what is known of a task's scores."""
    with writing(path) as file:
        rows = csv.DictWriter(file, _columns(task, histories), lineterminator="\n")
        rows.writeheader()
        for seed, history in histories.items():
            for row in history:
                rows.writerow({**row, "seed": seed, "epoch": int(row["epoch"])})


def draw_curves(path: Path, histories: Mapping[int, History], task: Task) -> None:
    """Draw the loss and the main score of a task over the epochs as a PNG file.

    Training is dashed, validation solid, with a line each seed.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    for place, what in enumerate((LOSS, task.score(task.default)), start=1):
        axes = figure.add_subplot(1, 2, place)
        for number, history in enumerate(histories.values()):
            epochs = [row["epoch"] for row in history]
            for split, style, color in (("train", "--", "tab:orange"), ("val", "-", "tab:blue")):
                values = [row.get(f"{split}_{what.name}", nan) for row in history]  # not all is counted of training
                label = {"train": "training", "val": "validation"}[split] if number == 0 else None
                axes.plot(epochs, values, style, color=color, marker="." if len(epochs) == 1 else None, label=label)
        axes.set_xlabel("epoch")
        axes.set_ylabel(what.words)
        axes.grid(alpha=0.3)
        axes.legend()
    _save(figure, path)


def draw_range_test(path: Path, found: RangeTest) -> None:
    """Draw the loss over the learning rate as a PNG file: of each step and smoothed, with what follows from it."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    shown = len(found.smoothed)
    axes.plot(found.rates[:shown], found.losses[:shown], ".", color="tab:orange", alpha=0.6, label="of a step")
    axes.plot(found.rates[:shown], found.smoothed, "-", color="tab:blue", label="smoothed")
    for rate, style, label in ((found.suggested, "-", "falls fastest"), (found.lowest_at, ":", "lowest")):
        if rate is not None:
            axes.axvline(rate, linestyle=style, color="tab:green", label=f"{label}: {rate:.2g}")
    axes.set_xscale("log")
    if found.smoothed:
        low, high = min(found.losses[:shown]), found.smoothed[0]
        axes.set_ylim(low - 0.1 * (high - low or 1.0), high + 0.4 * (high - low or 1.0))
    axes.set_xlabel("learning rate")
    axes.set_ylabel("training loss")
    axes.grid(alpha=0.3)
    axes.legend()
    _save(figure, path)


def _save(figure: Figure, path: Path) -> None:
    picture = io.BytesIO()
    figure.savefig(picture, format="png")
    write_bytes(path, picture.getvalue())
