"""Build a network, take images, and measure all proxies that are asked for."""

from __future__ import annotations

import time
from collections.abc import Sequence
from itertools import islice

import torch
from torch import Tensor

from nas.errors import ConfigError, DataError
from nas.evaluation import Evaluation
from nas.evaluators.proxies.measures import PROXIES, zico
from nas.network.architecture import Architecture
from nas.pytorch import build
from nas.training.data.batches import Batches
from nas.training.data.splits import ImageData


def score(
    architecture: Architecture,
    data: ImageData,
    names: Sequence[str],
    *,
    seed: int,
    batch_size: int = 64,
    batches: int = 2,
    accelerator: str = "auto",
) -> Evaluation:
    """Build a network from a seed and measure it on batches of the training split, without augmentation.

    Args:
        architecture: of the network.
        data: of which the training split is read.
        names: of proxies.
        seed: of weights and images.
        batch_size: images a batch.
        batches: how many, for `zico`; the others see the first only.
        accelerator: auto, cpu, gpu.

    Raises:
        NasError: a proxy does not apply to the network.
        TrainingError: a proxy is not a number.
        DataError: the data are too few, or do not fit the architecture.
    """
    started = time.perf_counter()
    data.check_fits(architecture)
    device = _device(accelerator)
    inputs, labels = (tensor.to(device) for tensor in _images(architecture, data, seed, batch_size, batches))
    torch.manual_seed(seed)
    network = build(architecture).to(device)
    scores = {}
    for name in names:
        if name == "zico":
            scores[name] = zico(network, inputs, labels, batches=batches)
        else:
            scores[name] = PROXIES[name](network, inputs[:batch_size], labels[:batch_size])
    return Evaluation(scores, seconds={"evaluation": time.perf_counter() - started})


def _images(
    architecture: Architecture, data: ImageData, seed: int, batch_size: int, batches: int
) -> tuple[Tensor, Tensor]:
    """Return the images of all batches, normalised and at the architecture's size, and their labels."""
    have, need = len(data.train.labels), batch_size * batches
    if have < need:
        raise DataError(
            f"data {data.name}: {batches} batches of {batch_size} need {need} training images, but there are {have}; "
            "lower batch_size"
        )
    walk = Batches(data.train, data, batch_size, architecture.input_shape, shuffle=True, seed=seed)
    inputs, labels = zip(*islice(walk, batches), strict=True)
    return torch.cat(inputs), torch.cat(labels)


def _device(accelerator: str) -> torch.device:
    if accelerator == "cpu" or (accelerator == "auto" and not torch.cuda.is_available()):
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise ConfigError(f"accelerator {accelerator!r} needs a GPU that torch can use, and there is none")
    return torch.device("cuda")
