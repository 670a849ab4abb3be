"""One training in one process or in several, which then share each batch and train one network together.

Each process runs `fit` as Lightning's DDP: it has its share of every batch, and gradients are averaged over all before
each step. The processes are worker processes like those of a search: spawned, so that no thread is copied, and ended
with the one that started them. That one trains nothing; it hears how it goes, and says why a training ends.
"""

from __future__ import annotations

import logging
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing.connection import wait
from pathlib import Path
from typing import ClassVar

import torch

from nas.errors import NasError, TrainingError
from nas.evaluation import Budget, Evaluation, report
from nas.network.architecture import Architecture
from nas.training.cross_validation import cross_validated
from nas.training.data.config import DataConfig
from nas.training.data.load import load_fold
from nas.training.devices import check_devices
from nas.training.epoch_reports import EpochListener
from nas.training.fit import fit
from nas.training.recipe import Recipe
from nas.training.transfer.settings import SCRATCH, Transfer
from nas.workers import evaluating
from nas.workers.evaluating import Outcome, Task
from nas.workers.keeper import Keeper
from nas.workers.process import WorkerProcess
from nas.workers.worker import PickledEvaluator, Ready, Report, WorkerEnvironment, check_not_starting

_LOG = logging.getLogger(__name__)

_LOOK_SECONDS = 0.2
"""How often it is seen whether the processes live."""
_DEATH_SECONDS = 1.0
"""After an error, how long a process may take to be seen dead: the others fail because of it, and some are faster."""
_LOOPBACK = "lo0" if sys.platform == "darwin" else "lo"
"""Network interface that processes of one machine meet on, and nobody else reaches."""


def train_network(
    architecture: Architecture,
    data: DataConfig,
    recipe: Recipe,
    budget: Budget,
    *,
    seed: int,
    accelerator: str = "auto",
    devices: int = 1,
    transfer: Transfer = SCRATCH,
    after_epoch: Callable[[Mapping[str, float]], object] | None = None,
) -> Evaluation:
    """Train a network as `fit` does, in this process or in several of their own; with folds once each.

    Args:
        architecture: the network.
        data: the data set; each process loads it.
        recipe: settings of training.
        budget: see `fit`.
        seed: of weights, order and augmentation.
        accelerator: auto, cpu or gpu.
        devices: processes that train together; with 1 it is this one.
        transfer: other weights that it begins with, and what of the network learns when.
        after_epoch: hears the metrics of each epoch, in this process; see `fit` and `cross_validated`.

    Raises:
        NasError: what `fit` raises, or devices that cannot train this together.
        TrainingError: a process failed, or was ended from outside. MemoryError: one ran out of memory.
    """
    once = partial(
        _train_once,
        architecture=architecture,
        data=data,
        recipe=recipe,
        accelerator=accelerator,
        devices=devices,
        transfer=transfer,
    )
    if not data.folds:
        return once(0, budget, seed, None, after_epoch)
    epochs, scores = budget.epochs or recipe.epochs, data.task.val_scores
    return cross_validated(once, data.folds, budget, seed=seed, epochs=epochs, scores=scores, after_epoch=after_epoch)


def _train_once(
    fold: int,
    budget: Budget,
    seed: int,
    hear: EpochListener | None,
    after_epoch: Callable[[Mapping[str, float]], object] | None,
    /,
    *,
    architecture: Architecture,
    data: DataConfig,
    recipe: Recipe,
    accelerator: str,
    devices: int,
    transfer: Transfer,
) -> Evaluation:
    """Do one training of `train_network`: without a fold, by its number, or on the training split with fold 0."""
    if devices == 1:
        return fit(
            architecture,
            load_fold(data, fold),
            recipe,
            budget,
            seed=seed,
            augment=data.augment,
            balance=data.balance,
            accelerator=accelerator,
            transfer=transfer,
            after_epoch=after_epoch,
            hear=hear,
        )
    check_devices(devices, recipe, accelerator=accelerator, transfer=transfer)
    check_not_starting()

    def hear_of(metrics: Mapping[str, float]) -> bool:
        if after_epoch is not None:
            after_epoch(metrics)
        if hear is not None:
            return hear(metrics)
        return report(int(metrics["epoch"]), {name: metrics[name] for name in data.task.val_scores})

    budget = replace(budget, keep_each_epoch=budget.keep_each_epoch or after_epoch is not None)
    with tempfile.TemporaryDirectory(prefix="nas-train-") as folder:
        threads = max(1, torch.get_num_threads() // devices)
        store = str(Path(folder) / "store")
        one = _Process(data, fold, recipe, accelerator, transfer, 0, devices, threads, store)
        with _started([replace(one, rank=rank) for rank in range(devices)]) as processes:
            for rank, process in enumerate(processes):
                process.connection.send(Task(rank, architecture, budget, seed))
            return _evaluation(processes, hear_of)


@dataclass(frozen=True)
class _Process:
    """What one of the processes does, as the evaluator of a worker process."""

    own_process: ClassVar[bool] = True
    """As of every evaluator that seeds the random numbers of its process."""

    data: DataConfig
    fold: int
    """What it trains without (`load_fold`)."""
    recipe: Recipe
    accelerator: str
    transfer: Transfer
    rank: int
    """From 0; that of rank 0 reports, and writes what there is to be written."""
    ranks: int
    threads: int
    """Of torch in each process."""
    store: str
    """File that they find each other by."""

    def __call__(self, architecture: Architecture, budget: Budget, seed: int) -> Evaluation:
        """Train as one of several; each process returns the scores of all of them together."""
        logging.getLogger(evaluating.__name__).setLevel(logging.ERROR)  # whoever started it says what went wrong
        torch.set_num_threads(self.threads)
        data = load_fold(self.data, self.fold)
        check_devices(self.ranks, self.recipe, accelerator="cpu", images=len(data.train.labels))
        try:
            with self._together() as accelerator:
                return fit(
                    architecture,
                    data,
                    self.recipe,
                    budget,
                    seed=seed,
                    augment=self.data.augment,
                    balance=self.data.balance,
                    accelerator=accelerator,
                    devices=self.ranks,
                    transfer=self.transfer,
                    hear=lambda metrics: report(int(metrics["epoch"]), metrics),
                )
        except Exception as error:
            # That another one has gone is told by whoever sees that one.
            if not isinstance(error, NasError) and not _lost_another(error):
                _LOG.warning("process %d of %d failed", self.rank + 1, self.ranks, exc_info=True)
            raise

    @contextmanager
    def _together(self) -> Iterator[str]:
        """Join the others meanwhile; yields the accelerator that all of them train on."""
        gpu = self.accelerator != "cpu" and torch.cuda.is_available()
        os.environ.update(LOCAL_RANK=str(self.rank), NODE_RANK="0", GLOO_SOCKET_IFNAME=_LOOPBACK)
        # A file, which needs no free port, and which nobody else can write to.
        store = torch.distributed.FileStore(self.store, self.ranks)  # type: ignore[attr-defined]  # not in its stubs
        torch.distributed.init_process_group(
            "nccl" if gpu else "gloo",
            store=store,
            rank=self.rank,
            world_size=self.ranks,
            device_id=torch.device("cuda", self.rank) if gpu else None,
        )
        yield "gpu" if gpu else "cpu"
        # Not after an error: the others would fail of it at once, and nobody knew who was the first.
        torch.distributed.destroy_process_group()


def _lost_another(error: Exception) -> bool:
    """Whether an error says that the connection to another process is gone."""
    return isinstance(error, torch.distributed.DistError) or "gloo" in str(error)


@contextmanager
def _started(parts: Sequence[_Process]) -> Iterator[list[WorkerProcess]]:
    """Start processes, and end them and all that they have started, whatever happens."""
    keeper, processes = Keeper(), list[WorkerProcess]()
    try:
        for part in parts:
            processes.append(WorkerProcess(PickledEvaluator(part), "", WorkerEnvironment(), keeper))
        yield processes
    finally:
        for process in processes:
            process.end()
        keeper.close()


def _evaluation(processes: Sequence[WorkerProcess], hear: Callable[[Mapping[str, float]], bool]) -> Evaluation:
    """Wait for all processes, and return what that of rank 0 came to; raises see `train_network`."""
    found: dict[int, Evaluation] = {}
    while len(found) < len(processes):
        ready = set(wait([process.connection for process in processes], _LOOK_SECONDS))
        for rank, process in enumerate(processes):
            if process.connection not in ready:
                if not process.alive:
                    raise _death(processes, rank)
                continue
            try:
                message = process.connection.recv()
                if isinstance(message, Report):
                    process.connection.send(hear(message.scores))
            except (EOFError, OSError):
                raise _death(processes, rank) from None
            if isinstance(message, Ready) and message.error is not None:
                raise message.error
            if isinstance(message, Outcome):
                found[rank] = _of(message, processes)
    return found[0]


def _of(outcome: Outcome, processes: Sequence[WorkerProcess]) -> Evaluation:
    """Return what a process came to; one that failed since another one died is no reason."""
    if outcome.evaluation is not None:
        return outcome.evaluation
    until = time.monotonic() + _DEATH_SECONDS
    while time.monotonic() < until:
        dead = next((rank for rank, process in enumerate(processes) if not process.alive), None)
        if dead is not None:
            raise _death(processes, dead)
        time.sleep(_LOOK_SECONDS / 4)
    where = f"in process {outcome.number + 1} of {len(processes)}"
    if outcome.out_of_memory:
        raise MemoryError(f"{outcome.reason} {where}")
    raise TrainingError(f"{outcome.reason.removeprefix(f'{TrainingError.__name__}: ')} ({where})")


def _death(processes: Sequence[WorkerProcess], rank: int) -> TrainingError:
    process = processes[rank]
    return TrainingError(
        f"process {rank + 1} of the {len(processes)} that train together {process.how_it_ended()}{process.last_words()}"
    )
