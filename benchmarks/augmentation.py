"""Images a second of training with an augmentation, against training without one, side by side.

    python -m benchmarks.augmentation
    python -m benchmarks.augmentation --size 128 --batch 32 --rounds 15

A round is a step of each: a batch made from pixels of 8 bits, forward, backward, update. All take turns, in an order
that changes; the ratio to the step without any augmentation in the same round is what counts. Of 100 random networks of
a space the cheapest, where augmentation weighs most, and the median one are trained, on pictures of three channels.
Times are those of the processor, on one thread, so that other work on the machine counts little.
"""

from __future__ import annotations

import argparse
import random
import statistics
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

import nas
from nas.training.data.batches import Batches
from nas.training.data.config import DataConfig
from nas.training.data.load import load_data
from nas.training.data.splits import ImageData, MemoryImages
from nas.training.recipe import Recipe
from nas.training.task import TaskModule

_STANDARD = {"flip": True, "erase": 0.25, "label_smoothing": 0.1}
_COLOURS = {"brightness": 0.4, "contrast": 0.4, "saturation": 0.4, "hue": 0.1}
AUGMENTATIONS: Mapping[str, Mapping[str, Any]] = {
    "none": {},
    "none again": {},
    "`standard`": _STANDARD,
    "shift": {"shift": 0.125},
    "random resized crop": {"crop_scale": 0.08},
    "crop and rotation": {"crop_scale": 0.08, "rotation": 15.0},
    "brightness, contrast, saturation": _COLOURS | {"hue": 0.0},
    "these and hue": _COLOURS,
    "RandAugment, 2 operations": {"rand_augment": 2},
    "TrivialAugment": {"trivial_augment": True},
    "mixup and CutMix": {"mixup": 0.2, "cutmix": 1.0},
    "`standard`, crop, TrivialAugment": _STANDARD | {"crop_scale": 0.08, "trivial_augment": True},
}
"""What each adds to a recipe without any."""


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--space", default="mbconv")
    parser.add_argument("--size", type=int, default=32, help="side of the images, in pixels")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=40, help="steps of each, a network")
    given = parser.parse_args()
    torch.set_num_threads(1)
    random.seed(0)
    space = nas.load_space(given.space).for_data((3, given.size, given.size), 10)
    networks = sorted((space.decode(space.sample(seed)) for seed in range(100)), key=lambda one: nas.cost_of(one).macs)
    print("| network, MMACs | images/s without | augmentation | ratio (median) | 5 % to 95 % of the rounds |")
    print("| --: | --: | --- | --: | --: |")
    for architecture in (networks[0], networks[50]):
        seconds = _seconds(architecture, _pictures(given.size), given.batch, given.rounds)
        without = seconds.pop("none")
        start = f"| {nas.cost_of(architecture).macs / 1e6:.2f} | {given.batch / statistics.median(without):.0f} |"
        for name, taken in seconds.items():
            ratios = sorted(plain / more for plain, more in zip(without, taken, strict=True))
            spread = f"{ratios[len(ratios) // 20]:.2f} to {ratios[-1 - len(ratios) // 20]:.2f}"
            print(f"{start} {name} | {statistics.median(ratios):.3f} | {spread} |", flush=True)


def _pictures(size: int) -> ImageData:
    data = load_data(DataConfig(name="synthetic", num_classes=10, resolution=size))
    pixels = torch.randint(256, (512, 3, size, size), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    return replace(data, train=MemoryImages(pixels, torch.arange(512) % 10))


def _seconds(architecture: nas.Architecture, data: ImageData, batch: int, rounds: int) -> dict[str, list[float]]:
    """Return the seconds of each step, by augmentation; all train one network, since no time depends on its weights."""
    network = nas.build(architecture).to(memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3, fused=True)
    recipes = {name: Recipe(batch_size=batch, **settings) for name, settings in AUGMENTATIONS.items()}
    tasks = {name: TaskModule(network, recipe) for name, recipe in recipes.items()}
    walks = {name: _walk(data, recipe, architecture) for name, recipe in recipes.items()}
    seconds: dict[str, list[float]] = {name: [] for name in recipes}
    for turn in range(rounds + 3):
        for name in random.sample(list(recipes), len(recipes)):
            started = time.process_time()
            optimizer.zero_grad()
            tasks[name].training_step(next(walks[name]), 1).backward()
            optimizer.step()
            if turn >= 3:  # the first ones warm up
                seconds[name].append(time.process_time() - started)
    return seconds


def _walk(data: ImageData, recipe: Recipe, architecture: nas.Architecture) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield training batches without an end, as `ImageModule` makes them of images that may be mirrored."""
    batches = Batches(
        data.train,
        data,
        recipe.batch_size,
        architecture.input_shape,
        shuffle=True,
        shift=recipe.shift,
        flip=recipe.flip,
        recipe=recipe,
    )
    while True:
        yield from batches


if __name__ == "__main__":
    main()
