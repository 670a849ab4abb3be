"""Learning curves of a network, as a table and as a picture."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

from nas.run_folder import write_bytes, writing
from nas.training.recipe import SCORES

History = Sequence[Mapping[str, float]]
"""A row of metrics an epoch, see `Classification.epoch_metrics`."""
_COLUMNS = ("seed", "epoch", "train_loss", "train_accuracy", "val_loss", "val_accuracy", *SCORES[2:])


def write_curves(path: Path, histories: Mapping[int, History]) -> None:
    """Write a CSV file with a row for each seed and epoch."""
    with writing(path) as file:
        rows = csv.DictWriter(file, _COLUMNS, lineterminator="\n")
        rows.writeheader()
        for seed, history in histories.items():
            for row in history:
                rows.writerow({**row, "seed": seed, "epoch": int(row["epoch"])})


def draw_curves(path: Path, histories: Mapping[int, History]) -> None:
    """Draw loss and accuracy over the epochs as a PNG file: training dashed, validation solid, a line each seed."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    for place, what in enumerate(("loss", "accuracy"), start=1):
        axes = figure.add_subplot(1, 2, place)
        for number, history in enumerate(histories.values()):
            epochs = [row["epoch"] for row in history]
            for split, style, color in (("train", "--", "tab:orange"), ("val", "-", "tab:blue")):
                values = [row[f"{split}_{what}"] for row in history]
                label = {"train": "training", "val": "validation"}[split] if number == 0 else None
                axes.plot(epochs, values, style, color=color, marker="." if len(epochs) == 1 else None, label=label)
        axes.set_xlabel("epoch")
        axes.set_ylabel(what)
        axes.grid(alpha=0.3)
        axes.legend()
    picture = io.BytesIO()
    figure.savefig(picture, format="png")
    write_bytes(path, picture.getvalue())
