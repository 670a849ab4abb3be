"""The blocks, one file a family. Importing this package registers them all."""

from nas.network.blocks import (
    classifier,
    combine,
    conv,
    dense,
    fire,
    inception,
    mbconv,
    pool,
    preact,
    residual,
    shuffle,
    vit,
)

__all__ = [
    "classifier",
    "combine",
    "conv",
    "dense",
    "fire",
    "inception",
    "mbconv",
    "pool",
    "preact",
    "residual",
    "shuffle",
    "vit",
]
