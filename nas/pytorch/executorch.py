"""A network for ExecuTorch, which runs on phones and boards; the package is the extra `executorch`."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from nas.errors import ConfigError, DeviceError, reason_of
from nas.network.graph import Graph
from nas.pytorch.build import build_graph


def check_executorch() -> None:
    """Raise `ConfigError` where the package is not there; says how to get it."""
    if find_spec("executorch") is None:
        raise ConfigError(
            "export.executorch=true: model.pte needs the package executorch, which is not installed: pip install "
            "'executorch>=1.2', or install nas with its extra: pip install -c constraints.txt '.[executorch]'"
        )


def to_pte(graph: Graph, weights: Mapping[str, NDArray[Any]]) -> bytes:
    """Return a network as ExecuTorch's program, lowered to XNNPACK: from `(1, *in_shape)`, normalised, to its output.

    Args:
        graph: the network; its auxiliary classifiers are left out.
        weights: its state dict as arrays.

    Raises:
        ConfigError: the package is not installed. DeviceError: it cannot lower the network.
    """
    check_executorch()
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import to_edge_transform_and_lower

    module = build_graph(graph).eval()
    module.load_state_dict({name: torch.from_numpy(np.array(value)) for name, value in weights.items()}, strict=False)
    try:
        program = torch.export.export(module, (torch.zeros(1, *graph.in_shape),))
        lowered = to_edge_transform_and_lower(program, partitioner=[XnnpackPartitioner()]).to_executorch()
    except Exception as error:  # of torch's compiler, which raises all kinds
        raise DeviceError(f"executorch cannot lower the network: {reason_of(error)}") from None
    return bytes(lowered.buffer)
