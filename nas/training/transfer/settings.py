"""What a training begins with, and what of the network learns when. Never loads torch."""

from __future__ import annotations

from dataclasses import dataclass, fields

from nas.errors import ConfigError
from nas.settings import Range, check_settings, setting

STYLES = ("fine_tune", "features", "unfreeze")
"""Words of `transfer.style`."""
PIXELS = ("weights", "data", "imagenet", "half")
"""Words of `transfer.pixels`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Transfer:
    """A training that begins with the weights of another one."""

    weights: str | None = setting(
        None,
        "file to begin with: weights.safetensors of a training or a search, or a state dict of torchvision or timm for "
        "a network in reference/ (safetensors or torch.save); null: fresh weights",
        may_change=True,
        typed="path",
    )
    network: str | None = setting(
        None,
        "space of the network that the weights of another library are of, such as reference/resnet18, from which "
        "another network takes over what it can; null: the one that is trained",
        typed="text",
    )
    style: str = setting(
        "fine_tune",
        "fine_tune trains the whole network; features its last layer alone, on what the rest gives for each image, "
        "computed once, of unchanged images; unfreeze begins with the last layer, and adds block by block those before",
        STYLES,
    )
    lr_decay: float = setting(
        1.0,
        "factor of the learning rate from one block to the one before it, 1: none; Howard & Ruder 2018, Universal "
        "language model fine-tuning, 3.2, has 0.38 for layers",
        Range(0, 1, above=True),
    )
    unfreeze_share: float = setting(
        0.5, "of style=unfreeze: share of the epochs in which blocks are added, evenly", Range(0, 1)
    )
    freeze_norm: bool = setting(
        False, "keep the statistics of batch normalisation as they are in the file, also in training"
    )
    pixels: str = setting(
        "weights",
        "mean and deviation that pixels are normalised by: those that the weights were trained with, where they are "
        "known, those of the training split (data), of ImageNet, or one half each",
        PIXELS,
    )

    def __post_init__(self) -> None:
        check_settings(self, "transfer")
        if self.weights is not None:
            return
        for member in fields(self):
            if getattr(self, member.name) != member.default:
                raise ConfigError(
                    f"transfer.{member.name}={getattr(self, member.name)} is for a training that begins with other "
                    "weights: give transfer.weights=FILE, too"
                )


SCRATCH = Transfer()
"""A training from fresh weights."""
