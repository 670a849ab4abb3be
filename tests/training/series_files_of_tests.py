"""Files of series for tests: waves of a frequency a class, of unequal length."""

from __future__ import annotations

from pathlib import Path

import numpy as np

CLASSES = ("slow", "even", "fast")
LONGEST = 24


def waves(count: int, seed: int, channels: int = 1) -> tuple[list[np.ndarray], list[str]]:
    """Return series of 14 to 24 steps, `(channels, length)`, the longest among them, and their classes in turn."""
    rng = np.random.default_rng(seed)
    series, labels = [], []
    for place in range(count):
        length = LONGEST if place < len(CLASSES) else int(rng.integers(14, LONGEST + 1))
        step = 0.3 + 0.5 * (place % len(CLASSES))
        rows = [np.sin(np.arange(length) * step + rng.uniform(0, 6)) for _ in range(channels)]
        series.append(np.round(np.stack(rows) * 3 + 10 + rng.normal(0, 0.3, (channels, length)), 4))
        labels.append(CLASSES[place % len(CLASSES)])
    return series, labels


def write_tsv(path: Path, series: list[np.ndarray], labels: list[str]) -> Path:
    """Write series of one channel as the UCR archive has them: NaN up to the longest."""
    longest = max(one.shape[1] for one in series)
    rows = [
        "\t".join([label, *(f"{value:.4f}" for value in one[0]), *["NaN"] * (longest - one.shape[1])])
        for one, label in zip(series, labels, strict=True)
    ]
    path.write_text("\n".join(rows) + "\n")
    return path


def write_ts(path: Path, series: list[np.ndarray], labels: list[str]) -> Path:
    """Write series as the UEA archive has them."""
    head = ["@problemName waves", "@equalLength false", f"@classLabel true {' '.join(CLASSES)}", "@data"]
    rows = [
        ":".join([*(",".join(f"{value:.4f}" for value in row) for row in one), label])
        for one, label in zip(series, labels, strict=True)
    ]
    path.write_text("\n".join([*head, *rows]) + "\n")
    return path


def write_npz(path: Path, series: list[np.ndarray], labels: list[str]) -> Path:
    """Write series as one array with NaN up to the longest."""
    whole = np.full((len(series), len(series[0]), max(one.shape[1] for one in series)), np.nan, dtype=np.float32)
    for row, one in zip(whole, series, strict=True):
        row[:, : one.shape[1]] = one
    np.savez(path, x=whole, y=np.array(labels))
    return path


def waves_folder(folder: Path, train: int = 90, test: int = 45) -> Path:
    """Write a folder with a training and a test split as the UCR archive has them."""
    folder.mkdir(parents=True, exist_ok=True)
    for split, count, seed in (("TRAIN", train, 1), ("TEST", test, 2)):
        write_tsv(folder / f"Waves_{split}.tsv", *waves(count, seed))
    return folder
