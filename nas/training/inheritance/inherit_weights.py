"""Weights survive a change of the network: what a trained network learned as initial weights of another one.

After Chen et al. 2016, "Net2Net: accelerating learning via knowledge transfer": where the child is its parent with
more, it begins as the same function. In the place of their copies of channels, new channels here begin with weights of
their own that nothing reads yet (zero outgoing weights), which also holds for sums, joined maps and depthwise
convolutions, and leaves no two channels alike. See docs/decisions/039-inherited-weights.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from nas.errors import DataError, check_kind
from nas.network.architecture import Architecture, checked_architecture
from nas.network.lower import lower
from nas.pytorch.build import build, state_shapes
from nas.settings import SEED
from nas.training.inheritance.correspondence import Correspondence
from nas.training.inheritance.walk import Walk

_TRAINING_ONLY = "auxiliary."


@dataclass(frozen=True, slots=True)
class Inherited:
    """What a network took over from another one."""

    share: float
    """Of its parameters, from 0 to 1, how many have a number that was trained; those of auxiliary classifiers, which
    are never taken over, are not counted."""
    exact: bool
    """Whether it computes what its parent does, up to rounding, in inference (dropout and batch statistics aside)."""


def inherit(
    parent: Architecture, parent_weights: Mapping[str, Tensor], child: Architecture, seed: int = 0
) -> tuple[dict[str, Tensor], Inherited]:
    """Return initial weights of a network, from those of a trained one wherever it has something like them.

    Any two networks will do. Blocks stand for those of the parent at the same place in the same stage, where they are
    of the same kind. The function is kept exactly where channels, positions of a kernel, residual blocks or branches
    are only added, and normalisation is by channel; of what gets smaller the channels that are read with the largest
    weights stay, the middle of kernels, and the first blocks. All else begins with fresh values.

    Args:
        parent: the trained network.
        parent_weights: its state dict, as `nas.build` names it; auxiliary classifiers may be left out.
        child: the network that takes over.
        seed: of the fresh values.

    Returns:
        The whole state dict of `nas.build(child)`, on the CPU; and what of it was taken over.

    Raises:
        DataError: the weights are not those of the parent. NasError: an argument is something else.
    """
    checked_architecture(child, "inherit")
    checked_architecture(parent, "inherit")
    check_kind("inherit: parent_weights", parent_weights, Mapping, "a state dict, as module.state_dict() gives it")
    SEED.checked("inherit: seed", seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = build(child)
    inherited = inherit_into(network, child, parent, parent_weights)
    return dict(network.state_dict()), inherited


def inherit_into(
    network: nn.Module, child: Architecture, parent: Architecture, parent_weights: Mapping[str, Tensor]
) -> Inherited:
    """Put weights of a trained network into one with fresh initial weights. See `inherit`.

    Args:
        network: as `nas.build` makes it of `child`, on the CPU.
        child: its description.
        parent: the trained network.
        parent_weights: its state dict.

    Raises:
        DataError: the weights are not those of the parent.
    """
    graphs = lower(parent), lower(child)
    _check_weights(state_shapes(graphs[0]), parent_weights)
    trained = {name: value.detach().cpu() for name, value in parent_weights.items()}
    state = {name: value.detach().clone() for name, value in network.state_dict().items()}
    counted = {name for name, _ in network.named_parameters() if not name.startswith(_TRAINING_ONLY)}
    correspondence = Correspondence((parent, graphs[0]), (child, graphs[1]), trained)
    walk = Walk(correspondence, trained, state, counted)
    exact = walk.run()
    network.load_state_dict(walk.state)
    total = sum(state[name].numel() for name in counted)
    return Inherited(walk.taken / total if total else 0.0, exact)


def _check_weights(shapes: Mapping[str, tuple[int, ...]], weights: Mapping[str, Tensor]) -> None:
    for name, shape in shapes.items():
        if name.startswith(_TRAINING_ONLY):
            continue
        if not isinstance(weights.get(name), Tensor):
            raise DataError(f"inherit: the parent has {name!r}, which its weights lack: they are of another network")
        if tuple(weights[name].shape) != shape:
            raise DataError(
                f"inherit: {name!r} of the parent's weights has shape {tuple(weights[name].shape)}, but the parent's "
                f"has {shape}: they are of another network"
            )
