"""Progressive resizing: the stages by hand, what a training sees of them, and what cannot take them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import nas
from nas.errors import ConfigError
from nas.training.data.batches import Batches
from nas.training.data.load import load_data
from nas.training.fit import fit
from nas.training.progressive import Stages, check_stages, stages_of
from nas.training.recipe import Recipe
from nas.training.task import TaskModule
from nas.training.weights import load_weights
from tests.training.test_fit import ARCH, DATA, RECIPE

GROWING = replace(RECIPE, progressive_stages=3, progressive_resolution=0.5, progressive_regularisation=0.25, mixup=0.4)


def test_the_stages_of_efficientnet_v2_s() -> None:
    """Tan & Le 2021, table 6: images of 128 to 300, RandAugment of 5 to 15, dropout of 0.1 to 0.3, in 4 stages."""
    recipe = Recipe(
        progressive_stages=4,
        progressive_resolution=128 / 300,
        progressive_regularisation=1 / 3,
        rand_augment=2,
        rand_augment_magnitude=15,
        mixup=0.6,
    )
    stages = Stages(recipe, 352)
    firsts = (0, 88, 176, 264)
    assert [stages.size(epoch, (300, 300))[0] for epoch in firsts] == [128, 185, 243, 300]
    assert [stages.recipe_of(epoch).rand_augment_magnitude for epoch in firsts] == [5, 8, 12, 15]
    assert [0.3 * stages.regularisation(epoch) for epoch in firsts] == pytest.approx([0.1, 0.5 / 3, 0.7 / 3, 0.3])
    assert [stages.recipe_of(epoch).mixup for epoch in firsts] == pytest.approx([0.2, 1 / 3, 1.4 / 3, 0.6])
    assert stages.recipe_of(351) is recipe
    assert [stages.progress(epoch) for epoch in (87, 175, 263, 351)] == pytest.approx([0, 1 / 3, 2 / 3, 1])


def test_stages_are_even_and_the_last_is_whole() -> None:
    assert [Stages(GROWING, 7).progress(epoch) for epoch in range(7)] == [0, 0, 0, 0.5, 0.5, 1, 1]
    assert [Stages(GROWING, 2).size(epoch, (20, 30)) for epoch in range(2)] == [(10, 15), (20, 30)]
    assert Stages(GROWING, 1).size(0, (20, 30)) == (20, 30)
    assert stages_of(RECIPE, 10) is None


def _seen(monkeypatch: pytest.MonkeyPatch) -> tuple[list[Any], set[int]]:
    """Sizes of images and the mixup and dropout of each training step, and the sizes of the validation."""
    steps: list[Any] = []
    validated: set[int] = set()
    train, val = TaskModule.training_step, TaskModule.validation_step

    def trained(task: TaskModule, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        rates = [layer.p for layer in task.network.modules() if isinstance(layer, nn.Dropout)]
        steps.append((task.current_epoch, batch[0].shape[-1], task._now.mixup, *rates))
        return train(task, batch, batch_idx)

    def scored(task: TaskModule, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        validated.add(batch[0].shape[-1])
        val(task, batch, batch_idx)

    monkeypatch.setattr(TaskModule, "training_step", trained)
    monkeypatch.setattr(TaskModule, "validation_step", scored)
    return steps, validated


def test_a_training_goes_through_its_stages(monkeypatch: pytest.MonkeyPatch) -> None:
    steps, validated = _seen(monkeypatch)
    arch = nas.scale(ARCH, dropout=0.4)
    fit(arch, load_data(DATA), GROWING, nas.Budget(epochs=3), seed=0)
    found = list(dict.fromkeys(steps))
    assert found == [(0, 8, 0.1, 0.1), (1, 12, 0.25, 0.25), (2, 16, 0.4, 0.4)]
    assert validated == {16}


def test_a_training_that_goes_on_is_in_the_right_stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps, _ = _seen(monkeypatch)
    data, recipe = load_data(DATA), replace(GROWING, epochs=5, flip=True)

    def run(name: str, *epochs: int) -> tuple[Any, dict[str, Tensor]]:
        path = tmp_path / f"{name}.safetensors"
        for count in epochs:
            budget = nas.Budget(
                epochs=count, schedule_epochs=5, checkpoint=str(tmp_path / f"{name}.ckpt"), weights=str(path)
            )
            found = fit(ARCH, data, recipe, budget, seed=3)
        return found.history, load_weights(path)

    history, weights = run("whole", 5)
    whole = [*steps]
    steps.clear()
    again, state = run("parts", 2, 5)
    assert steps == whole
    assert again == history
    assert all(torch.equal(state[name], weights[name]) for name in weights)


def test_images_are_those_of_the_stage() -> None:
    """The batches of an epoch are those of the whole size, resized."""
    data = load_data(DATA)
    given: dict[str, Any] = {"shuffle": True, "seed": 3, "walk": lambda: 0}
    small = Batches(data.train, data, 8, data.input_shape, stages=Stages(GROWING, 3), **given)
    whole = Batches(data.train, data, 8, (3, 8, 8), **given)
    for (images, labels), (expected, same) in zip(small, whole, strict=True):
        assert torch.equal(labels, same)
        torch.testing.assert_close(images, expected)


def test_the_augmentation_grows_too() -> None:
    data = load_data(DATA)
    recipe = replace(GROWING, rand_augment=2, rand_augment_magnitude=20)
    given: dict[str, Any] = {"shuffle": True, "seed": 3, "walk": lambda: 1}
    grown = Batches(data.train, data, 8, (3, 16, 16), recipe=recipe, stages=Stages(recipe, 3), **given)
    # half of the way from a quarter: 0.625 * 20 = 12.5, and 0.75 of 16 pixels
    plain = Batches(data.train, data, 8, (3, 12, 12), recipe=replace(recipe, rand_augment_magnitude=12), **given)
    for (images, _), (expected, _) in zip(grown, plain, strict=True):
        torch.testing.assert_close(images, expected)


@pytest.mark.parametrize("name", ["vit_tiny_16", "lenet5"])
def test_networks_of_one_size_are_refused(name: str) -> None:
    arch = nas.load_space(f"reference/{name}").for_data((3, 64, 64), 4).decode({})
    with pytest.raises(ConfigError, match=r"=3: the network takes images of 64x64 only, not the 32x32 of an"):
        check_stages(arch, GROWING)
    check_stages(arch, RECIPE)


def test_what_has_no_effect_at_the_whole_size_only_is_refused() -> None:
    """AlexNet pools its map to 6x6, which it has already at this size: the pooling is left out there."""
    small, large = (nas.load_space("reference/alexnet").for_data((3, size, size), 4).decode({}) for size in (224, 256))
    with pytest.raises(
        ConfigError, match=r"112x112 of an earlier stage: head\.0\.pool has no effect here and is left out"
    ):
        check_stages(small, GROWING)
    check_stages(large, GROWING)


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v2", "efficientnet_b0", "densenet121", "convnext_tiny"])
def test_networks_that_pool_take_every_size(name: str) -> None:
    """And run on it, with the parameters that they have."""
    arch = nas.load_space(f"reference/{name}").for_data((3, 64, 64), 4).decode({})
    check_stages(arch, GROWING)
    assert nas.build(arch).eval()(torch.zeros(2, 3, 32, 32)).shape == (2, 4)
