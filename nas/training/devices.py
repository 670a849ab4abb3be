"""How many processes train one network together, and what they need for it. Never loads torch."""

from __future__ import annotations

from nas.errors import ConfigError
from nas.machine import gpu_devices
from nas.settings import Range
from nas.training.recipe import Recipe
from nas.training.transfer.settings import SCRATCH, Transfer

DEVICES = Range(1, 64, whole=True)
"""Processes on one machine that train a network."""
DEVICES_DOC = (
    "processes that train a network together, a GPU each where there are GPUs; each has an equal share of every batch "
    "of train.batch_size images, but statistics of batch normalisation are those of its share"
)
"""What the setting means, for the commands that have it."""

_LEAST_SHARE = 2
"""Images of a batch that a process has at least: of one there are no batch statistics."""


def check_devices(
    devices: int, recipe: Recipe, *, accelerator: str = "auto", transfer: Transfer = SCRATCH, images: int | None = None
) -> None:
    """Make sure that so many processes can train a network together.

    Args:
        devices: processes.
        recipe: whose batches they share.
        accelerator: auto, cpu or gpu.
        transfer: what of the network learns when.
        images: of the training split, where that is known.

    Raises:
        ConfigError: they cannot; says what would do.
    """
    if devices == 1:
        return
    size = recipe.batch_size
    if size % devices or size < _LEAST_SHARE * devices:
        fits = max(_LEAST_SHARE, round(size / devices)) * devices
        raise ConfigError(
            f"devices={devices} share each batch equally, with {_LEAST_SHARE} images each at least, which "
            f"train.batch_size={size} does not allow; train.batch_size={fits} does"
        )
    if images is not None and images < _LEAST_SHARE * devices:
        raise ConfigError(f"devices={devices} need {_LEAST_SHARE * devices} training images, but got {images}")
    if transfer.style != SCRATCH.style:
        raise ConfigError(
            f"transfer.style={transfer.style} is for a training in one process, but got devices={devices}: what "
            f"learns would change while it runs; leave it at {SCRATCH.style}"
        )
    if recipe.own_code:
        raise ConfigError(
            f"{recipe.own_code[0][0]}: code of your own is for a training in one process, but got devices={devices}"
        )
    gpus = gpu_devices() if accelerator != "cpu" else []
    if (gpus or accelerator == "gpu") and len(gpus) < devices:
        raise ConfigError(
            f"devices={devices} take a GPU each, but {len(gpus)} may be used here; accelerator=cpu trains without"
        )
