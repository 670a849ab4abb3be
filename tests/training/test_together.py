"""Several processes that train one network: the numbers of one process, one voice, and no process left behind."""

from __future__ import annotations

import multiprocessing as mp
import os
import re
import signal
import time
from collections.abc import Mapping
from dataclasses import replace
from math import lcm
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import nas
from nas.errors import ConfigError, TrainingError
from nas.evaluation import listening
from nas.evaluators.training import TrainingEvaluator
from nas.finishing.pool_bench import TrainingSetup
from nas.machine import gpu_groups
from nas.network.architecture import Architecture
from nas.search.trial import State
from nas.training import devices as devices_module
from nas.training.data.batches import Batches
from nas.training.data.load import load_data
from nas.training.devices import check_devices
from nas.training.recipe import Recipe
from nas.training.together import train_network
from nas.training.transfer.settings import Transfer
from nas.training.weights import load_weights
from nas.workers.evaluating import Task
from nas.workers.processes import WorkerPool
from tests.training.test_fit import ARCH, DATA, RECIPE, SPACE

_SHIFTED = replace(DATA, augment="shift_flip")
_TEN_STEPS = Recipe(epochs=1, batch_size=16, optimizer="sgd", lr=0.3)
_IMAGES = 160
"""Ten batches of 16."""


def _network(norm: str | None) -> Architecture:
    layer = {"block": "conv", "kernel": 3, "norm": norm}
    return nas.SearchSpace.from_dict(
        {
            "assume": {"channels": 3, "resolution": 16, "num_classes": 4},
            "stem": {**layer, "out_channels": 8, "stride": 2},
            "stages": [{**layer, "depth": 2, "out_channels": 16}],
            "head": {"block": "classifier"},
        }
    ).decode({})


def _weights(
    norm: str | None, devices: int, path: Path, recipe: Recipe
) -> tuple[Mapping[str, Tensor], Mapping[str, float]]:
    fraction = _IMAGES / len(load_data(_SHIFTED).train.labels)
    budget = nas.Budget(weights=str(path), data_fraction=fraction)
    found = train_network(_network(norm), _SHIFTED, recipe, budget, seed=3, accelerator="cpu", devices=devices)
    return load_weights(path), found.history[0]


def _distance(first: Mapping[str, Tensor], second: Mapping[str, Tensor]) -> float:
    """The largest difference of a number, over the largest number of its tensor."""
    assert first.keys() == second.keys()
    return max(float((one - second[name]).abs().max() / one.abs().max()) for name, one in first.items() if one.any())


def _moved(first: Mapping[str, Tensor], second: Mapping[str, Tensor]) -> float:
    """The Euclidean distance of all learned numbers together, over the length of the first ones."""
    names = [name for name in first if name.endswith((".weight", ".bias"))]
    one, two = (torch.cat([weights[name].flatten() for name in names]).double() for weights in (first, second))
    return float((one - two).norm() / one.norm())


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_ten_steps_of_two_processes_are_those_of_one(tmp_path: Path) -> None:
    """With batches of the same images; statistics of batch normalisation are by process, and make the difference."""
    begun, _ = _weights("batch", 1, tmp_path / "begun.safetensors", replace(_TEN_STEPS, lr=1e-9))
    one, _ = _weights("batch", 1, tmp_path / "one.safetensors", _TEN_STEPS)
    two, _ = _weights("batch", 2, tmp_path / "two.safetensors", _TEN_STEPS)
    assert 1e-3 < _moved(one, two) < _moved(one, begun) / 2
    one, epoch = _weights(None, 1, tmp_path / "one.safetensors", _TEN_STEPS)
    two, other = _weights(None, 2, tmp_path / "two.safetensors", _TEN_STEPS)
    assert _distance(one, two) < 1e-5
    assert other == pytest.approx(epoch, rel=1e-5)


def test_two_processes_have_the_images_of_one_batch() -> None:
    """Moved and mirrored as those of one process are, image by image."""
    data = load_data(DATA)
    settings: dict[str, Any] = {"shuffle": True, "augment": "shift_flip", "seed": 1}
    whole = [*Batches(data.train, data, 16, (3, 16, 16), **settings)]
    parts = [[*Batches(data.train, data, 8, (3, 16, 16), **settings, rank=rank, ranks=2)] for rank in range(2)]
    full = len(data.train.labels) // 16
    assert full > 5
    for step in range(full):
        for rank, part in enumerate(parts):
            for mine, all_of_them in zip(part[step], whole[step], strict=True):
                assert torch.equal(mine, all_of_them[rank::2])


@pytest.mark.slow  # two processes that load torch and Lightning, twice
@pytest.mark.timeout(600)
def test_two_processes_end_together_when_a_trial_is_pruned() -> None:
    """The first process asks; both end, and none waits for the other."""
    heard: list[int] = []

    def hear(step: int, scores: Mapping[str, float]) -> bool:
        heard.append(step)
        return step == 2

    evaluator = TrainingEvaluator(replace(DATA, balance="weights"), RECIPE, accelerator="cpu", devices=2)
    with listening(hear):
        found = evaluator(ARCH, nas.Budget(epochs=6), 0)
    assert heard == [1, 2]
    assert [row["epoch"] for row in found.history] == [1.0, 2.0]
    assert 0 < found.seconds["train_steps"] < found.seconds["evaluation"]
    assert found.scores["val_accuracy"] == found.history[-1]["val_accuracy"]
    # Of the images of the validation split each was scored once, by one of the two.
    assert (found.scores["val_accuracy"] * len(load_data(DATA).val.labels)) % 1 == pytest.approx(0, abs=1e-6)
    assert found.scores["val_top5"] == 1.0  # of four classes
    counts = torch.bincount(load_data(DATA).val.labels).tolist()
    parts = found.scores["val_balanced_accuracy"] * 4 * lcm(*counts)
    assert parts == pytest.approx(round(parts), abs=1e-3)
    study = nas.run_search(SPACE, evaluator, trials=1, seed=0, budget=nas.Budget(epochs=2), pruner="median")
    assert [trial.state for trial in study.trials] == [State.COMPLETED]
    assert len(study.trials[0].steps) == 2


class _KilledError(Exception):
    pass


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_training_of_two_processes_goes_on(tmp_path: Path) -> None:
    """It comes out as one that never stopped; and one process may go on with it."""
    recipe = replace(RECIPE, epochs=3, ema=0.9, patience=3)
    settings: dict[str, Any] = {"seed": 1, "accelerator": "cpu"}
    whole = nas.train(ARCH, DATA, recipe, folder=tmp_path / "whole", devices=2, **settings)
    said: list[str] = []

    def say(line: str) -> None:
        said.append(line)
        if len(said) == 2:
            raise _KilledError

    for devices in (2, 1):
        folder = tmp_path / f"then{devices}"
        said.clear()
        with pytest.raises(_KilledError):
            nas.train(ARCH, DATA, recipe, folder=folder, devices=2, say=say, **settings)
        assert mp.active_children() == []
        later: list[str] = []
        found = nas.train(ARCH, DATA, recipe, folder=folder, devices=devices, resume=True, say=later.append, **settings)
        assert [re.search(r"epoch (\d)/3", line)[1] for line in later] == ["2", "3"]  # type: ignore[index]
        history = found.evaluation.history
        assert history[0] == whole.evaluation.history[0]
        if devices == 2:
            assert history == whole.evaluation.history
            assert _distance(load_weights(whole.weights), load_weights(found.weights)) == 0
        assert len(history) == 3


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_process_that_dies_ends_the_training(capfd: pytest.CaptureFixture[str]) -> None:
    """At once, with what ended it, whichever of them it is and whatever the other makes of that."""

    def kill(metrics: Mapping[str, float]) -> None:
        newest = max(mp.active_children(), key=lambda process: process.pid or 0)
        os.kill(newest.pid or 0, signal.SIGKILL)

    settings: dict[str, Any] = {"seed": 0, "accelerator": "cpu", "devices": 2}
    budget = nas.Budget(epochs=50)
    with pytest.raises(TrainingError, match=r"^process 2 of the 2 that train together was ended by SIGKILL"):
        train_network(ARCH, DATA, RECIPE, budget, **settings, after_epoch=kill)
    assert mp.active_children() == []
    assert "Traceback" not in capfd.readouterr().err
    wild = replace(RECIPE, optimizer="sgd", lr=100, gradient_clip=None)
    words = r"^the loss is (nan|inf) at epoch \d, step \d+; .* \(in process [12] of 2\)$"
    with pytest.raises(TrainingError, match=words):
        train_network(ARCH, DATA, wild, nas.Budget(epochs=3), **settings)
    assert mp.active_children() == []


def _children(pid: int) -> set[int]:
    """Return the processes that a process has started, and those that these have."""
    try:
        own = {int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()}
    except OSError:
        return set()
    return own | {one for child in own for one in _children(child)}


def _is_there(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split(")")[-1].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="needs /proc")
def test_a_worker_trains_with_two_processes_that_end_with_it() -> None:
    """As in a finish, also where it is killed outright."""
    pool = WorkerPool(TrainingSetup(DATA, "cpu", devices=2).evaluator(RECIPE), 1)
    try:
        worker = pool._workers[0].process.pid
        begun: set[int] = set()

        def look(number: int, step: int, scores: Mapping[str, float]) -> bool:
            begun.update(_children(worker))
            return False

        pool.listen(look)
        pool.submit(Task(0, ARCH, nas.Budget(epochs=200), 0))
        while not begun:
            pool.wait(1.0)
        assert len([pid for pid in begun if _is_there(pid)]) >= 2
    finally:
        pool.close()
    until = time.monotonic() + 30
    while (left := [pid for pid in begun if _is_there(pid)]) and time.monotonic() < until:
        time.sleep(0.2)
    assert left == []


@pytest.mark.parametrize(
    ("settings", "gpus", "words"),
    [
        ({"devices": 3}, [], "train.batch_size=16 does not allow; train.batch_size=15 does"),
        ({"devices": 16}, [], "train.batch_size=16 does not allow; train.batch_size=32 does"),
        ({"devices": 2, "accelerator": "gpu"}, [], "take a GPU each, but 0 may be used here"),
        ({"devices": 4}, ["0", "1"], "take a GPU each, but 2 may be used here; accelerator=cpu trains without"),
        ({"devices": 2, "images": 3}, [], "devices=2 need 4 training images, but got 3"),
        ({"devices": 2, "transfer": Transfer(weights="a", style="unfreeze")}, [], "transfer.style=unfreeze is for a"),
    ],
)
def test_what_cannot_train_together_is_said(
    settings: dict[str, Any], gpus: list[str], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(devices_module, "gpu_devices", lambda: gpus)
    with pytest.raises(ConfigError, match=words):
        check_devices(recipe=RECIPE, **settings)


def test_what_can_train_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices_module, "gpu_devices", lambda: ["0", "1"])
    check_devices(1, replace(RECIPE, batch_size=17))
    check_devices(2, RECIPE, images=4)
    check_devices(8, RECIPE, accelerator="cpu")


def test_workers_of_a_finish_have_gpus_of_their_own() -> None:
    assert gpu_groups(["0", "1", "GPU-a", "3", "4"], 2) == ["0,1", "GPU-a,3"]
    assert gpu_groups(["0", "1"], 1) == ["0", "1"]
    assert gpu_groups([], 2) == []
