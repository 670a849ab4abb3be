"""The blocks, one file a family. Importing this package registers them all."""

from nas.network.blocks import classifier, conv, mbconv, pool, residual

__all__ = ["classifier", "conv", "mbconv", "pool", "residual"]
