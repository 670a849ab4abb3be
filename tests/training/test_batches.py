"""Batches: order, normalisation, size, augmentation."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from nas.training.data.augmented_pixels import sent
from nas.training.data.batches import Batches
from nas.training.data.config import DataConfig
from nas.training.data.load import load_data
from nas.training.data.registry import may_mirror
from nas.training.data.splits import ImageData, MemoryImages
from nas.training.recipe import Recipe
from nas.training.task import ImageModule


@pytest.fixture
def data() -> ImageData:
    # Of which 64 are for training, as this scheme splits.
    return load_data(DataConfig(name="synthetic", samples=100, num_classes=4, split_scheme=1))


def _batches(data: ImageData, size: int = 16, **settings: Any) -> Batches:
    return Batches(data.train, data, size, data.input_shape, **settings)


def _restored(data: ImageData, inputs: Tensor) -> Tensor:
    """Pixels of normalised inputs."""
    mean, std = (torch.tensor(v).view(-1, 1, 1) for v in (data.mean, data.std))
    return ((inputs * std + mean) * 255).round()


def test_inputs_are_normalised_pixels_in_channels_last(data: ImageData) -> None:
    inputs, labels = next(iter(_batches(data)))
    assert inputs.dtype == torch.float32
    assert inputs.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(_restored(data, inputs).to(torch.uint8), data.train.read(torch.arange(16)))
    assert torch.equal(labels, data.train.labels[:16])


def test_every_image_comes_once_an_epoch_in_a_new_order(data: ImageData) -> None:
    numbered = replace(data, train=MemoryImages(data.train.read(torch.arange(64)), torch.arange(64)))
    batches, again = (_batches(numbered, shuffle=True, seed=5) for _ in range(2))
    epochs = [torch.cat([labels for _, labels in batches]).tolist() for _ in range(2)]
    assert sorted(epochs[0]) == sorted(epochs[1]) == list(range(64))
    assert epochs[0] != epochs[1]
    assert epochs == [torch.cat([labels for _, labels in again]).tolist() for _ in range(2)]
    other = _batches(numbered, shuffle=True, seed=6)
    assert torch.cat([labels for _, labels in other]).tolist() != epochs[0]


@pytest.mark.parametrize(
    ("size", "shuffle", "sizes"), [(9, True, [9] * 7), (9, False, [9] * 7 + [1]), (10, True, [10] * 6 + [4])]
)
def test_a_last_batch_of_one_is_left_out_of_training(
    data: ImageData, size: int, shuffle: bool, sizes: list[int]
) -> None:
    # 64 training images; one image alone has no batch statistics.
    batches = _batches(data, size, shuffle=shuffle)
    assert [len(labels) for _, labels in batches] == sizes
    assert len(batches) == len(sizes)


def test_other_input_sizes_are_interpolated(data: ImageData) -> None:
    flat = replace(data, train=MemoryImages(torch.full((4, 3, 16, 16), 77, dtype=torch.uint8), torch.zeros(4).long()))
    inputs, _ = next(iter(Batches(flat.train, flat, 4, (3, 24, 12))))
    assert tuple(inputs.shape) == (4, 3, 24, 12)
    assert set(_restored(flat, inputs).flatten().tolist()) == {77}


def _shifted(image: Tensor, down: int, right: int) -> Tensor:
    """Move an image pixel by pixel, the nearest edge pixel filling the gap."""
    height, width = image.shape[1:]
    moved = image.clone()
    for row, column in itertools.product(range(height), range(width)):
        source = min(max(row + down, 0), height - 1), min(max(column + right, 0), width - 1)
        moved[:, row, column] = image[:, source[0], source[1]]
    return moved


def test_shift_moves_each_image_by_up_to_an_eighth(data: ImageData) -> None:
    original = data.train.read(torch.arange(64))
    seen = set()
    inputs = torch.cat([x for x, _ in _batches(data, augment="shift", seed=1)])
    for image, found in zip(original, _restored(data, inputs).to(torch.uint8), strict=True):
        moves = [m for m in itertools.product(range(-2, 3), repeat=2) if torch.equal(found, _shifted(image, *m))]
        assert len(moves) == 1
        seen.update(moves)
    assert {down for down, _ in seen} == {right for _, right in seen} == {-2, -1, 0, 1, 2}


def test_flip_mirrors_about_half_of_the_images(data: ImageData) -> None:
    plain = torch.cat([x for x, _ in _batches(data, augment="shift", seed=1, size=64)])
    both = torch.cat([x for x, _ in _batches(data, augment="shift_flip", seed=1, size=64)])
    mirrored = [torch.equal(b, p.flip(-1)) for p, b in zip(plain, both, strict=True)]
    same = [torch.equal(b, p) for p, b in zip(plain, both, strict=True)]
    assert all(m != s for m, s in zip(mirrored, same, strict=True))
    assert 16 <= sum(mirrored) <= 48  # binomial(64, 1/2): outside with probability 1e-4


def test_a_recipe_says_how_far_images_move(data: ImageData) -> None:
    """A share of 0.07 of 16 pixels is one pixel; it takes the place of the eighth that the data say."""
    original = data.train.read(torch.arange(64))
    for augment in ("none", "shift"):
        inputs = torch.cat([x for x, _ in _batches(data, augment=augment, shift=0.07, seed=1)])
        seen = set()
        for image, found in zip(original, _restored(data, inputs).to(torch.uint8), strict=True):
            moves = [m for m in itertools.product(range(-2, 3), repeat=2) if torch.equal(found, _shifted(image, *m))]
            assert len(moves) == 1
            seen.update(moves)
        assert seen == set(itertools.product((-1, 0, 1), repeat=2))


def test_a_recipe_mirrors_where_the_data_set_allows_it(data: ImageData) -> None:
    """Clothes may be mirrored, digits may not."""
    assert may_mirror("fashion_mnist")
    assert not may_mirror("digits")
    assert not may_mirror("something else")
    original = data.train.read(torch.arange(64))
    for name, mirrored in (("fashion_mnist", True), ("digits", False)):
        module = ImageModule(replace(data, name=name), Recipe(flip=True, batch_size=64), data.input_shape, seed=1)
        batches = module.train_dataloader()
        batches.shuffle = False
        inputs, _ = next(iter(batches))
        pixels = _restored(data, inputs).to(torch.uint8)
        flipped = [torch.equal(found, image.flip(-1)) for found, image in zip(pixels, original, strict=True)]
        same = [torch.equal(found, image) for found, image in zip(pixels, original, strict=True)]
        assert all(f != s for f, s in zip(flipped, same, strict=True))
        assert (16 <= sum(flipped) <= 48) if mirrored else not any(flipped)


def test_augmentation_leaves_the_data_set_alone(data: ImageData) -> None:
    before = data.train.read(torch.arange(64)).clone()
    for _ in _batches(data, augment="shift_flip"):
        pass
    assert torch.equal(data.train.read(torch.arange(64)), before)


def _everything(policy: Mapping[str, Any]) -> Recipe:
    """A recipe that changes pixels in every way, by one of the two policies."""
    return Recipe(
        flip_vertical=True,
        crop_scale=0.3,
        rotation=20.0,
        brightness=0.3,
        contrast=0.3,
        saturation=0.3,
        hue=0.3,
        **policy,
    )


_POLICIES: list[dict[str, Any]] = [{"rand_augment": 3}, {"trivial_augment": True}]


def test_what_a_recipe_does_to_pixels_follows_from_seed_walk_and_rank(data: ImageData) -> None:
    """Not from what was walked through before, so that training can go on elsewhere; in each process another."""

    def inputs(walk: int, seed: int = 1, **settings: Any) -> Tensor:
        made = _batches(data, recipe=_everything(_POLICIES[0]), seed=seed, walk=lambda: walk, **settings)
        return torch.cat([x for x, _ in made])

    counted = _batches(data, recipe=_everything(_POLICIES[0]), seed=1)
    walks = [torch.cat([x for x, _ in counted]) for _ in range(2)]
    assert torch.equal(inputs(0), walks[0])
    assert torch.equal(inputs(1), walks[1])
    assert not torch.equal(walks[0], walks[1])
    assert not torch.equal(inputs(0), inputs(0, seed=2))
    same = replace(data, train=MemoryImages(data.train.read(torch.zeros(64).long()), torch.zeros(64).long()))
    ranks = [
        torch.cat([x for x, _ in _batches(same, recipe=_everything(_POLICIES[1]), seed=1, rank=rank, ranks=2)])
        for rank in range(2)
    ]
    assert not torch.equal(*ranks)


def test_a_module_does_to_training_images_what_its_recipe_says(data: ImageData) -> None:
    """And nothing to those of validation, or to those that statistics are computed of."""
    plain, changed = (
        ImageModule(data, recipe, data.input_shape, seed=1) for recipe in (Recipe(), Recipe(trivial_augment=True))
    )
    (before, labels), (after, same) = (next(iter(module.train_dataloader())) for module in (plain, changed))
    assert torch.equal(labels, same)
    assert 16 < (before != after).flatten(1).any(1).sum() < 64
    for name in ("val_dataloader", "some_training_batches"):
        first, second = (next(iter(getattr(module, name)()))[0] for module in (plain, changed))
        assert torch.equal(first, second)


@pytest.mark.parametrize("policy", [{}, *_POLICIES])
def test_a_walk_never_waits_for_its_device(data: ImageData, policy: dict[str, Any]) -> None:
    """Tensors of `meta` have no values, so that a look at one is an error."""
    recipe = _everything(policy) if policy else None
    settings: dict[str, Any] = {"shuffle": True, "augment": "shift", "flip": True, "recipe": recipe, "seed": 1}
    made = Batches(data.train, data, 16, (3, 24, 24), device=torch.device("meta"), **settings)
    batches = list(made)
    assert [tuple(inputs.shape) for inputs, _ in batches] == [(16, 3, 24, 24)] * 4
    assert {tensor.device.type for batch in batches for tensor in batch} == {"meta"}


def test_what_goes_to_a_gpu_is_pinned_and_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = list[tuple[str, dict[str, Any]]]()
    values, pinned, there = (torch.full((2,), float(number)) for number in range(3))

    def to(tensor: torch.Tensor, *args: Any, **options: Any) -> torch.Tensor:
        assert tensor is (pinned if args[0].type == "cuda" else values)
        calls.append((args[0].type, options))
        return there

    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: pinned if tensor is values else tensor)
    monkeypatch.setattr(torch.Tensor, "to", to)
    assert sent(values, torch.device("cuda", 0)) is there
    assert sent(values, torch.device("cpu")) is there
    assert calls == [("cuda", {"non_blocking": True}), ("cpu", {"non_blocking": True})]
