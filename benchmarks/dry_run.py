"""Whether a search takes as long as `--dry-run` has said: the estimate, and directly after it the same search.

    python -m benchmarks.dry_run
    python -m benchmarks.dry_run --only digits-1,folder-1 --out figures.jsonl

Each configuration is asked by a dry run in a process of its own, as a person does, and then searched. The time of a
search is that of its trials, by its own clock; what it takes to load Python, the data and the libraries before, and to
write the report and the model behind, is in the time of the whole command, which is told beside it. The folder of
images is the digits of scikit-learn as files, 32x32 in colour. Fashion-MNIST is looked for where Debian puts it.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

from nas.search.log import read_trials

_FASHION = ("+space=mbconv", "data=fashion_mnist", "data.train_fraction=0.1", "constraints.macs=1e6")
CONFIGURATIONS: Mapping[str, Sequence[str]] = {
    "digits-1": ("+space=mbconv", "constraints.params=5e4", "search.trials=20", "train.epochs=2", "workers=1"),
    "digits-asha-2": (
        *("+space=mbconv", "constraints.params=5e4", "search.trials=24", "train.epochs=9", "workers=2"),
        "pruner=asha",
    ),
    "fashion-1": (*_FASHION, "search.trials=10", "train.epochs=1", "workers=1"),
    "fashion-asha-2": (
        *(*_FASHION, "search.trials=16", "train.epochs=2", "workers=2"),
        *("pruner=asha", "pruner.fidelity=data"),
    ),
    "folder-1": (
        *("+space=small_images", "data=image_folder", "data.root=digits", "data.resolution=32"),
        *("constraints.macs=2e6", "search.trials=10", "train.epochs=2", "workers=1"),
    ),
    "fashion-latency-2": (*_FASHION, "constraints.latency_ms=0.06", "search.trials=12", "train.epochs=1", "workers=2"),
}
_SAID = re.compile(r"Time: about ([\d.]+) (s|min|h) \(([\d.]+) to ([\d.]+)\) for (\d+) trials")
_UNITS = {"s": 1.0, "min": 60.0, "h": 3600.0}


def _write_digits(folder: Path) -> None:
    """Write the digits as files, a folder a class: four in five for training, a tenth each for the other splits."""
    digits = load_digits()
    for index, (image, label) in enumerate(zip(digits.images, digits.target, strict=True)):
        split = {8: "val", 9: "test"}.get(index % 10, "train")
        path = folder / split / str(label) / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.clip(image * 16, 0, 255).astype(np.uint8)
        Image.fromarray(pixels).resize((32, 32)).convert("RGB").save(path)


def _run(folder: Path, words: Sequence[str]) -> tuple[str, float]:
    """Run a search in a folder; return what it prints and its seconds."""
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "nas.search", *words], cwd=folder, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(words)}: {done.stderr}")
    return done.stdout, time.monotonic() - started


def measure(name: str, folder: Path) -> dict[str, object]:
    """Return the figures of a configuration: seconds, and the ratio of the estimate to the real time."""
    words = CONFIGURATIONS[name]
    load = os.getloadavg()[0]
    said, asking = _run(folder, [*words, "--dry-run"])
    match = _SAID.search(said)
    assert match is not None, said
    middle, low, high = (float(match[group]) * _UNITS[match[2]] for group in (1, 3, 4))
    _, whole = _run(folder, [*words, f"name={name}"])
    trials = read_trials(folder / "runs" / name)
    real = max(trial.elapsed for trial in trials)
    return {
        "name": name,
        "estimate": round(middle, 1),
        "low": round(low, 1),
        "high": round(high, 1),
        "real": round(real, 1),
        "ratio": round(middle / real, 3),
        "within": low <= real <= high,
        "dry_run": round(asking, 1),
        "whole": round(whole, 1),
        "rejected": sum(trial.state == "rejected" for trial in trials),
        "load": [round(load, 1), round(os.getloadavg()[0], 1)],
    }


def main() -> None:
    """Measure, and print a line of JSON for each configuration."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default=",".join(CONFIGURATIONS), help="names of configurations")
    parser.add_argument("--out", type=Path, help="file that the lines are added to")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        _write_digits(folder / "digits")
        for name in options.only.split(","):
            line = json.dumps(measure(name, folder))
            print(line, flush=True)
            if options.out is not None:
                with options.out.open("a") as file:
                    file.write(line + "\n")


if __name__ == "__main__":
    main()
