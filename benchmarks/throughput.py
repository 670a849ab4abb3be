"""Trials an hour of a search, against what is written first: one network after the other, Lightning as it comes.

    python -m benchmarks.throughput --trials 8 --rounds 3

The search is the command, from its start to its last line, records included. Beside it, in turns, a process trains the
same networks for the same epochs on the same images and validates as often: both cores in one process, images
contiguous as torch has them, a DataLoader and a Trainer as they are by default.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nas
from nas.search.load import load_study
from nas.training.data.config import DataConfig
from nas.training.fit import load_data
from nas.training.recipe import Recipe
from nas.workers.processes import SINGLE_THREAD

ROOT = Path(__file__).resolve().parents[1]
_CORES = 2
_LIMITS = ("constraints.params=2e5", "constraints.macs=8e6")


def main() -> None:
    """Run both in turns and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--fraction", type=float, default=0.2, help="of the 54,000 training images")
    parser.add_argument("--space", default="mbconv")
    parser.add_argument("--naive", type=Path, help="train the networks of this file the naive way, for the benchmark")
    given = parser.parse_args()
    if given.naive:
        _train_naively(json.loads(given.naive.read_text()))
        return
    print("| seed | trials | search, s | in steps | naive, s | naive / search |\n| --- | --: | --: | --: | --: | --: |")
    ratios = []
    for seed in range(given.rounds):
        with tempfile.TemporaryDirectory() as folder:
            took, study = _search(Path(folder), given.space, given.trials, given.fraction, seed)
            networks = [study.space.decode(trial.genotype).to_json() for trial in study.trials if trial.trained]
            steps = sum(trial.seconds.get("train_steps", 0.0) for trial in study.trials) / _CORES
            file = Path(folder) / "networks.json"
            file.write_text(json.dumps({"networks": networks, "fraction": given.fraction, "seed": seed}))
            naive = _seconds(["benchmarks.throughput", "--naive", str(file)], Path(folder), {})
        ratios.append(naive / took)
        print(f"| {seed} | {len(networks)} | {took:.0f} | {steps:.0f} | {naive:.0f} | {ratios[-1]:.2f} |", flush=True)
    print(f"\nmedian ratio {statistics.median(ratios):.2f}")


def _search(folder: Path, space: str, trials: int, fraction: float, seed: int) -> tuple[float, nas.Study]:
    words = ["nas.search", f"+space={space}", "name=ours", f"records.dir={folder}", f"seed={seed}"]
    words += ["data=fashion_mnist", f"data.train_fraction={fraction}", f"search.trials={trials}", "train.epochs=1"]
    took = _seconds([*words, *_LIMITS], folder, SINGLE_THREAD)
    return took, load_study(folder / "ours")


def _seconds(module: list[str], folder: Path, environment: Mapping[str, str]) -> float:
    """Run a module to its end and return how long it took; it has all threads but where the environment says less."""
    plain = {name: value for name, value in os.environ.items() if name not in SINGLE_THREAD}
    started = time.perf_counter()
    done = subprocess.run(  # whose words are of use where it fails
        [sys.executable, "-m", *module],
        check=False,
        cwd=folder,
        env={**plain, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        sys.exit(done.stderr)
    return time.perf_counter() - started


def _train_naively(task: Mapping[str, Any]) -> None:
    import pytorch_lightning as pl
    import torch
    import torch.nn.functional as F
    from torch import Tensor, nn
    from torch.utils.data import DataLoader, TensorDataset

    class Plain(pl.LightningModule):
        def __init__(self, network: nn.Module) -> None:
            super().__init__()
            self.network = network

        def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
            inputs, labels = batch
            loss = F.cross_entropy(self.network(inputs), labels)
            self.log("train_loss", loss)
            return loss

        def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
            inputs, labels = batch
            self.log("val_accuracy", (self.network(inputs).argmax(1) == labels).float().mean())

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.AdamW(self.parameters(), lr=recipe.lr, weight_decay=recipe.weight_decay)

    torch.set_num_threads(_CORES)
    recipe = Recipe()
    data = load_data(DataConfig(name="fashion_mnist", train_fraction=task["fraction"]))

    def loader(images: Any, *, shuffle: bool) -> DataLoader[tuple[Tensor, ...]]:
        count = len(images.labels)
        mean, std = (torch.tensor(value).view(-1, 1, 1) for value in (data.mean, data.std))
        inputs = (images.read(torch.arange(count)).float() / 255 - mean) / std
        return DataLoader(TensorDataset(inputs, images.labels), batch_size=recipe.batch_size, shuffle=shuffle)

    for text in task["networks"]:
        pl.seed_everything(task["seed"])
        trainer = pl.Trainer(max_epochs=1)
        module = Plain(nas.build(nas.Architecture.from_json(text)))
        trainer.fit(module, loader(data.train, shuffle=True), loader(data.val, shuffle=False))


if __name__ == "__main__":
    main()
