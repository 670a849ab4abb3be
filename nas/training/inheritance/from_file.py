"""Takes weights over from the file of a trained network, which says itself of which."""

from __future__ import annotations

import logging
from pathlib import Path

from torch import nn

from nas.errors import NasError
from nas.evaluation import InheritedWeights
from nas.network.architecture import Architecture
from nas.training.inheritance.inherit_weights import inherit_into
from nas.training.weights import load_metadata, load_weights

_LOG = logging.getLogger(__name__)


def inherit_from(path: Path, network: nn.Module, architecture: Architecture) -> InheritedWeights:
    """Put the weights in a file into a network, as `nas.inherit` does; where that cannot be, they stay fresh.

    Args:
        path: of weights as `nas.training.weights.save_weights` writes them.
        network: with fresh initial weights.
        architecture: that it was built of.
    """
    try:
        parent = Architecture.from_json(load_metadata(path).get("architecture", ""))
        return InheritedWeights(inherit_into(network, architecture, parent, load_weights(path)).share)
    except NasError as error:
        problem = f"fresh weights: {error}" if path.exists() else f"fresh weights: {path.name} is gone"
        _LOG.warning("%s", problem)
        return InheritedWeights(0.0, problem)
