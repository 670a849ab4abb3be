"""The numbers of one operation, taken from those of the one in whose place it stands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from nas.network import ops
from nas.training.inheritance.channels import Numbers
from nas.training.inheritance.correspondence import PER_CHANNEL

_LAST_AXIS = (ops.ClassToken, ops.PositionEmbedding)


@dataclass
class Taken:
    """What an operation takes over."""

    tensors: dict[str, Tensor] = field(default_factory=dict)
    """By their names within the operation, e.g. `weight`."""
    numbers: dict[str, int] = field(default_factory=dict)
    """How many of each are the parent's."""
    whole: bool = False
    """Whether it computes what the parent's computes, of the channels that both have, from equal inputs."""


@dataclass(frozen=True, slots=True)
class Pair:
    """An operation of a child and the parent's in whose place it stands."""

    op: ops.Op
    other: ops.Op
    given: Numbers
    """Where the parent's has each channel that the child's gives; -1 for new ones."""
    read: Numbers
    """Where the parent's has each channel that the child's reads; -1 for new ones."""
    factor: float = 1.0
    """What the child's reads is, as a multiple of what the parent's reads."""


def take(pair: Pair, fresh: Mapping[str, Tensor], trained: Mapping[str, Tensor]) -> Taken:
    """Return what an operation takes over.

    Args:
        pair: the two operations, and which channels are one.
        fresh: initial tensors of the child's, by name.
        trained: tensors of the parent's, by name.
    """
    if type(pair.op) in PER_CHANNEL:
        return _per_channel(pair, fresh, trained)
    if type(pair.op) in ops.BUILT_IN:
        return _mixing(pair, fresh, trained)
    return _as_it_is(pair, fresh, trained)


def _as_it_is(pair: Pair, fresh: Mapping[str, Tensor], trained: Mapping[str, Tensor]) -> Taken:
    """Take all over where nothing about the operation has changed, whatever it is."""
    alike = all(name in trained and trained[name].shape == value.shape for name, value in fresh.items())
    if not alike or not (_in_order(pair.given) and _in_order(pair.read)):
        return Taken()
    tensors = {name: trained[name].clone() for name in fresh}
    return Taken(tensors, {name: value.numel() for name, value in tensors.items()}, pair.factor == 1)


def _in_order(positions: Numbers) -> bool:
    return bool((positions == np.arange(len(positions))).all())


def _per_channel(pair: Pair, fresh: Mapping[str, Tensor], trained: Mapping[str, Tensor]) -> Taken:
    taken = Taken(whole=set(trained) == set(fresh) and pair.factor == 1)
    positions = torch.from_numpy(pair.given)
    for name in fresh.keys() & trained.keys():
        own, theirs = fresh[name], trained[name]
        if own.dim() == 0:  # the count of batches
            taken.tensors[name] = theirs.clone()
            continue
        axis = own.dim() - 1 if type(pair.op) in _LAST_AXIS else 0
        if own.dim() > 1 and own.shape[1:-1] != theirs.shape[1:-1]:  # of another number of tokens
            taken.whole = False
            continue
        has = positions >= 0
        values = own.clone()
        values.index_copy_(axis, has.nonzero()[:, 0], theirs.index_select(axis, positions[has]).to(own.dtype))
        taken.tensors[name] = values
        taken.numbers[name] = int(has.sum()) * (own.numel() // own.shape[axis])
    return taken


def _mixing(pair: Pair, fresh: Mapping[str, Tensor], trained: Mapping[str, Tensor]) -> Taken:
    """Take the weights of a convolution or a matrix product, each for the channels between which it is.

    What a channel that stands for one of the parent's reads of new channels, or beyond the parent's window, is zero;
    new channels keep the initial weights.
    """
    transposed = type(pair.op) is ops.ConvTranspose
    own, theirs = fresh["weight"], trained["weight"]
    if transposed:
        own, theirs = own.transpose(0, 1), theirs.transpose(0, 1)
    inputs = _inputs(pair, own.shape[1], theirs.shape[1])
    taps = _taps(pair.op, pair.other)
    rows = torch.from_numpy(pair.given)
    has_row = (rows >= 0) & (inputs >= 0).any(1)
    if not has_row.any() or any(not (tap >= 0).any() for tap in taps):
        return Taken()
    values = theirs[rows.clamp(min=0)[:, None], inputs.clamp(min=0)]
    has = has_row[:, None] & (inputs >= 0)
    for axis, tap in enumerate(taps, 2):
        values = values.index_select(axis, tap.clamp(min=0))
        has = has[..., None] & (tap >= 0)
    values = torch.where(has, values / pair.factor, torch.zeros(()).to(values))
    keep = has_row.view(-1, *(1,) * (own.dim() - 1))
    weight = torch.where(keep, values.to(own.dtype), own)
    taken = Taken({"weight": weight.transpose(0, 1).contiguous() if transposed else weight}, {"weight": int(has.sum())})
    if "bias" in fresh:
        bias = trained["bias"][rows.clamp(min=0)] if "bias" in trained else torch.zeros(())
        taken.tensors["bias"] = torch.where(has_row, bias, fresh["bias"])
        taken.numbers["bias"] = int(has_row.sum()) if "bias" in trained else 0
    every_input = bool(((inputs >= 0).sum(1) == theirs.shape[1])[rows >= 0].all())
    every_tap = all(len(tap[tap >= 0]) == size for tap, size in zip(taps, theirs.shape[2:], strict=True))
    taken.whole = every_input and every_tap and set(trained) <= set(fresh) and _moves_alike(pair.op, pair.other)
    return taken


def _inputs(pair: Pair, own: int, theirs: int) -> Tensor:
    """Return for each channel that the child's gives which of those that the parent's reads for it each input is.

    Shape (out_channels, in_channels / groups); -1 for what the parent's does not read for that channel.
    """
    groups = [op.groups if type(op) is ops.Conv else 1 for op in (pair.op, pair.other)]
    out_of_group = len(pair.given) // groups[0]
    first = np.arange(len(pair.given)) // out_of_group * own
    read = pair.read[first[:, None] + np.arange(own)]
    outputs = pair.other.out_channels if isinstance(pair.other, ops.Conv) else 1
    group = pair.given // (outputs // groups[1]) if groups[1] > 1 else np.zeros_like(pair.given)
    local = read - group[:, None] * theirs
    local[(read < 0) | (local < 0) | (local >= theirs) | (pair.given < 0)[:, None]] = -1
    return torch.from_numpy(local)


def _taps(op: ops.Op, other: ops.Op) -> list[Tensor]:
    """Return for each dimension of a window which of the parent's positions each position is, -1 for none.

    They are those that see the same position of the input, or lie in the middle where the distances differ.
    """
    if not isinstance(op, ops.Conv | ops.ConvTranspose) or not isinstance(other, ops.Conv | ops.ConvTranspose):
        return []
    found = []
    for axis, (size, before) in enumerate(zip(op.kernel, other.kernel, strict=True)):
        steps = [one.dilation[axis] if isinstance(one, ops.Conv) else 1 for one in (op, other)]
        if size > 1 and before > 1 and steps[0] != steps[1]:
            tap = np.arange(size) - (size - before) // 2
        else:
            seen = steps[0] * np.arange(size) - op.padding[axis] + other.padding[axis]
            step = steps[1] if before > 1 else 1
            tap = np.where(seen % step == 0, seen // step, -1)
        tap[(tap < 0) | (tap >= before)] = -1
        found.append(torch.from_numpy(tap))
    return found


def _moves_alike(op: ops.Op, other: ops.Op) -> bool:
    """Whether two windows move by the same steps, over positions at the same distances."""
    if isinstance(op, ops.Conv) and isinstance(other, ops.Conv):
        distances = zip(op.kernel, op.dilation, other.kernel, other.dilation, strict=True)
        alike = all(d == e or k == 1 or m == 1 for k, d, m, e in distances)
        return op.stride == other.stride and alike
    if isinstance(op, ops.ConvTranspose) and isinstance(other, ops.ConvTranspose):
        return op.stride == other.stride
    return True
