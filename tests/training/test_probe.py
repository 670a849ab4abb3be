"""How long a training takes, from a short piece of one: the arithmetic, and how much is trained."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import pytest

import nas
from nas.errors import ConfigError
from nas.pytorch.checkpointing import CheckpointedNetwork
from nas.training import fit as fit_module
from nas.training import probe as probe_module
from nas.training.data.config import DataConfig
from nas.training.data.load import load_data
from nas.training.memory import training_memory
from nas.training.probe import TrainingTimes, _Clock, training_times
from nas.training.recipe import Recipe
from nas.training.weights import Network
from tests.search.conftest import SMALL

ALL: dict[str, Any] = {"name": "synthetic", "channels": 1, "num_classes": 4, "resolution": 16, "augment": "none"}


def test_times_of_a_whole_epoch_from_some_of_its_steps() -> None:
    """Steps of 5, 4, 1, 1 and 1 seconds; statistics of 3; batches of 2, .5 and .5; 20 seconds in all."""
    clock = _Clock(0)
    clock._steps = [0.0, 5.0, 9.0, 10.0, 11.0, 12.0]
    clock._batches = [15.0, 17.0, 17.5, 18.0]
    # 20 - 5 steps of 1 - 3 - 3 batches of .5 is done once, what the first steps take more is among it.
    assert clock.times(20.0, steps=100, batches=8) == TrainingTimes(10.5, 100.0, 3.0 + 8 * 0.5)


def test_times_where_there_is_one_step_only() -> None:
    clock = _Clock(0)
    clock._steps, clock._batches = [0.0, 2.0], [3.0, 4.0]
    assert clock.times(5.0, steps=1, batches=1) == TrainingTimes(1.0, 2.0, 2.0)


def test_what_memory_makes_a_step_take_is_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Under `train.memory_mib` blocks are computed again in each step, as in the training."""
    again: list[Collection[str]] = []

    def checkpointed(network: Network, blocks: Collection[str]) -> CheckpointedNetwork:
        again.append(blocks)
        return CheckpointedNetwork(network, blocks)

    monkeypatch.setattr(fit_module, "CheckpointedNetwork", checkpointed)
    space = nas.SearchSpace.from_dict(SMALL)
    arch, data = space.decode(space.sample(seed=0)), load_data(DataConfig(**ALL, samples=60))
    whole = training_memory(arch, Recipe()).mib
    for share, blocks in ((1.01, False), (0.8, True)):
        recipe = Recipe(memory_mib=share * whole)
        training_times(arch, data, recipe, seed=0, accelerator="cpu", seconds=0.0)
        assert again == ([training_memory(arch, recipe).blocks] if blocks else [])
    with pytest.raises(ConfigError, match=r"train\.memory_mib=0\.001 cannot be held"):
        training_times(arch, data, Recipe(memory_mib=0.001), seed=0, accelerator="cpu", seconds=0.0)


@pytest.mark.parametrize(("seconds", "steps"), [(0.0, 5), (1e9, 8)])
def test_as_many_steps_as_the_time_has_room_for(seconds: float, steps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Five at least, and an epoch at most: about 500 of 750 images are for training, which makes 8 batches of 64."""
    clocks: list[_Clock] = []

    def clock(seconds: float) -> _Clock:
        clocks.append(_Clock(seconds))
        return clocks[-1]

    monkeypatch.setattr(probe_module, "_Clock", clock)
    space = nas.SearchSpace.from_dict(SMALL)
    data = load_data(DataConfig(**ALL, samples=750))
    assert 448 + 1 < len(data.train.labels) <= 512
    times = training_times(
        space.decode(space.sample(seed=0)), data, Recipe(), seed=0, accelerator="cpu", seconds=seconds
    )
    assert min(times.start_up, times.train_epoch, times.validation) > 0
    assert len(clocks[0]._steps) - 1 == steps
