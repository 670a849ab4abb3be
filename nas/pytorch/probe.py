"""Copies of a network to measure on, which leave the network as it is."""

from __future__ import annotations

import copy
from typing import TypeVar

from torch import nn

Network = TypeVar("Network", bound=nn.Module)

BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


def probe_of(network: Network) -> Network:
    """Return a copy that normalises by the batch, as in training, and has no dropout and no auxiliary classifiers."""
    probe = copy.deepcopy(network).eval()
    for module in probe.modules():
        if isinstance(module, BATCH_NORMS):
            module.train()
    probe.requires_grad_(True).zero_grad(set_to_none=True)
    return probe
