"""Puts the weights of a file into a network: those of our trainings, and those that other libraries publish."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path

import torch
from torch import Tensor, nn

from nas.errors import DataError, NasError, nearest
from nas.network.architecture import Architecture
from nas.network.graph import Graph
from nas.network.lower import lower
from nas.pytorch.build import state_shapes
from nas.training.inheritance.correspondence import has_state
from nas.training.inheritance.inherit_weights import inherit_into
from nas.training.inheritance.positions import Size, position_maps, resized, square
from nas.training.transfer.name_map import EPS, NameMap, name_maps
from nas.training.transfer.same_padding import EPS as TENSORFLOW_EPS
from nas.training.transfer.same_padding import check_same_padding, word_in
from nas.training.transfer.state_file import StateFile, read_state_file
from nas.training.weights import weights_of

_NAMED = 3
"""Names that a message gives of each kind of difference."""
_LEAST = 0.5
"""Share of the names of a network that a file has where it is taken for one of such a network."""
_AUXILIARY = "auxiliary."
"""What the names of auxiliary classifiers begin with."""
_COUNTER = "num_batches_tracked"
"""What batch normalisation counts, which older files lack and nothing here uses."""
Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class Begun:
    """What a network began with."""

    names: str
    """Whose weights they are, for people, e.g. "ResNet of torchvision or timm"."""
    share: float
    """Of its parameters, from 0 to 1, how many have a number from the file."""
    fresh: str
    """The layer of the classes where it begins with fresh weights, since the file has other classes; else empty."""
    mean: tuple[float, ...] | None
    """Of the pixels that the weights were trained on; None where that is not known."""
    std: tuple[float, ...] | None
    """Their deviation."""

    @property
    def sentence(self) -> str:
        """It in a sentence."""
        fresh = f"; {self.fresh} begins with fresh weights, for the classes are others" if self.fresh else ""
        return f"Begins with the weights of {self.names}: {100 * self.share:.1f} % of the parameters{fresh}."


def begin_with(
    path: Path,
    network: nn.Module,
    architecture: Architecture,
    classes: Sequence[str],
    parent: Architecture | None = None,
) -> Begun:
    """Put the weights of a file into a network with fresh initial weights.

    A file of `nas.train` or of a search says itself of which network it is; any network takes over from it what it can,
    see `nas.inherit`. The state dict of another library, or of `nas.build`, must be of `parent`: every name has a
    place and each place a name, but for the layer of the classes, which begins with fresh weights where their number
    differs, for a first convolution of three channels, which is summed over them for a network of one, and for position
    embeddings of square images of another size, which are resized.

    Args:
        path: safetensors, or what `torch.save` makes of a state dict.
        network: as `nas.build` makes it of `architecture`, on the CPU.
        architecture: its description.
        classes: names of those that it is to tell apart.
        parent: the network that the weights are of where the file does not say it, and from which `architecture` takes
            over what it can, with a fresh layer of the classes; None for `architecture` itself.

    Raises:
        DataError: the file cannot be read, or is of another network; names what is missing, unused and of other shape.
    """
    file = read_state_file(path)
    if "architecture" in file.metadata:
        return _of_ours(path, file, network, architecture, classes)
    if parent is not None:
        shapes = {name: shape for name, shape in state_shapes(lower(parent)).items() if not name.startswith(_AUXILIARY)}
        state, begun = matched(path, file.tensors, shapes, parent)
        whole = {name: state.get(name, torch.zeros(shape)) for name, shape in shapes.items()}
        share, last = _taken_over(path, whole, (network, architecture, parent), same_classes=False)
        return replace(begun, share=share, fresh=last)
    own = weights_of(network)
    state, begun = matched(path, file.tensors, {name: tuple(value.shape) for name, value in own.items()}, architecture)
    network.load_state_dict({name: value.to(own[name].dtype) for name, value in state.items()}, strict=False)
    return begun


def matched(
    path: Path, tensors: Mapping[str, Tensor], shapes: Shapes, architecture: Architecture
) -> tuple[dict[str, Tensor], Begun]:
    """Return the state of a network, by the names of `nas.build`, from that of another library, and what it is of.

    Args:
        path: of the file, for messages.
        tensors: by the names of the file.
        shapes: of the network's state dict, without auxiliary classifiers.
        architecture: the network.

    Raises:
        DataError: see `begin_with`.
    """
    table, public = _table(path, tensors, shapes)
    graph = lower(architecture)
    padded = word_in(path, table.same_padding) if table is not None else ""
    first, last = _first_and_last(graph)
    maps = {f"{name}.weight": size for name, size in position_maps(graph).items()}
    state: dict[str, Tensor] = {}
    other, fresh = _Differences([], [], []), False
    for name, shape in shapes.items():
        if name not in public:
            other.missing.extend([] if name.endswith(_COUNTER) else [name])
            continue
        value = tensors[public[name]]
        if name.startswith(f"{first}.") and len(shape) > 1 and (shape[1], *value.shape[1:2]) == (1, 3):
            value = value.sum(1, keepdim=True)
        if name in maps:
            value = _for_map(value, shape, maps[name])
        if name.startswith(f"{last}.") and _differ_in_classes(tuple(value.shape), shape):
            fresh = True
        elif _flat(value.shape) != _flat(shape):
            other.wrong.append(f"{public[name]!r} has shape {tuple(value.shape)}, but {name!r} {shape}")
        else:
            state[name] = value.reshape(shape)
    no_place = table.unused if table is not None else ()
    left = tensors.keys() - public.values()
    other.unused.extend(n for n in tensors if n in left and not n.startswith(no_place) and not n.endswith(_COUNTER))
    if any((other.missing, other.unused, other.wrong)):
        raise other.error(path, table, len(tensors), shapes)
    if padded:
        check_same_padding(path, padded, architecture)
    _check_numbers(path, state)
    if table is not None:
        shift = (TENSORFLOW_EPS if padded else table.eps(shapes)) - EPS
        state |= {name: value + shift for name, value in state.items() if name.endswith(".running_var")}
    parameters = {name for name in shapes if not name.endswith((_COUNTER, ".running_mean", ".running_var"))}
    total = sum(prod(shapes[name]) for name in parameters)
    share = sum(state[name].numel() for name in parameters & state.keys()) / total if total else 0.0
    pixels = (table.mean, table.std) if table is not None else (None, None)
    return state, Begun(table.about if table is not None else "this network", share, last if fresh else "", *pixels)


def _for_map(value: Tensor, shape: tuple[int, ...], size: Size) -> Tensor:
    """Return position embeddings for a map of a size, where they are of a square one, as published ones are."""
    before = (
        square(value.shape[1] - (shape[1] - prod(size))) if value.dim() == 3 and value.shape[2] == shape[2] else None
    )
    return value if before is None or value.shape[1] == shape[1] else resized(value, before, size)


def _of_ours(
    path: Path, file: StateFile, network: nn.Module, architecture: Architecture, classes: Sequence[str]
) -> Begun:
    try:
        parent = Architecture.from_json(file.metadata["architecture"])
        mean, std = (_numbers(file.metadata[name]) if name in file.metadata else None for name in ("mean", "std"))
        known = json.loads(file.metadata.get("classes", "null"))
    except (ValueError, TypeError, RecursionError) as error:  # ValueError: a NasError, too
        raise DataError(f"weights {path}: what their header says cannot be read: {str(error)[:200]}") from None
    same = known == list(classes)
    share, last = _taken_over(path, file.tensors, (network, architecture, parent), same_classes=same)
    return Begun(f"a network of ours ({parent.arch_id})", share, last, mean, std)


def _taken_over(
    path: Path,
    weights: Mapping[str, Tensor],
    networks: tuple[nn.Module, Architecture, Architecture],
    *,
    same_classes: bool,
) -> tuple[float, str]:
    """Have a network take over weights of its parent.

    Args:
        path: of the file, for messages.
        weights: of the parent, by the names of `nas.build`.
        networks: the one that takes over, its description, and that of its parent.
        same_classes: keep the layer of the classes; another one begins with fresh weights.

    Returns:
        The share of the parameters that have a trained number, and the name of the layer of the classes where it is
        fresh.
    """
    network, architecture, parent = networks
    fresh = {name: value.clone() for name, value in network.state_dict().items()}
    try:
        share = inherit_into(network, architecture, parent, weights).share
    except NasError as error:
        raise DataError(f"weights {path}: {error}") from None
    _check_numbers(path, network.state_dict())
    if same_classes:
        return share, ""
    _, last = _first_and_last(lower(architecture))
    own = {name: value for name, value in fresh.items() if name.startswith(f"{last}.")}
    trained = sum(bool((network.state_dict()[name] != value).any()) * value.numel() for name, value in own.items())
    network.load_state_dict(own, strict=False)
    total = sum(value.numel() for name, value in network.named_parameters() if not name.startswith(_AUXILIARY))
    return max(0.0, share - trained / total), last


def _numbers(text: str) -> tuple[float, ...]:
    return tuple(float(value) for value in json.loads(text))


def _table(path: Path, tensors: Mapping[str, Tensor], shapes: Shapes) -> tuple[NameMap | None, dict[str, str]]:
    """Return the table by which a file names most of a network, None for our own names; and its names by ours."""
    best: NameMap | None = None
    found = {name: name for name in shapes if name in tensors}
    for table in name_maps():
        public = table.public_names(shapes)
        names = {own: name for own, some in public.items() for name in some[::-1] if name in tensors}
        if len(names) > len(found):
            best, found = table, names
    wanted = sum(not name.endswith(_COUNTER) for name in shapes)
    if len(found) < _LEAST * wanted:
        kinds = "; ".join(table.about for table in name_maps())
        some = ", ".join(repr(name) for name in [*tensors][:_NAMED])
        raise DataError(
            f"weights {path}: {len(tensors):,} names ({some[:300]}, ...), of which {len(found):,} are known for this "
            f"network, which has {wanted:,}: they are of another network, or named as no library that is known "
            f"({kinds})"
        )
    return best, found


def _first_and_last(graph: Graph) -> tuple[str, str]:
    """Return the names of the first and the last operation with weights."""
    names = [graph.nodes[index].name for index in graph.live() if has_state(graph.nodes[index].op)]
    return (names[0], names[-1]) if names else ("", "")


def _differ_in_classes(one: tuple[int, ...], other: tuple[int, ...]) -> bool:
    """Whether two shapes of the layer of the classes differ in their number alone."""
    return bool(one) and one[0] != other[0] and _flat(one)[1:] == _flat(other)[1:]


def _flat(shape: Sequence[int]) -> tuple[int, ...]:
    """Return the shape of a weight as a matrix: a linear layer and a convolution over all of a map are one thing."""
    return tuple(shape) if len(shape) not in (2, 4) or prod(shape) == 0 else (shape[0], prod(shape[1:]))


@dataclass(frozen=True)
class _Differences:
    """What keeps a file from being of a network."""

    missing: list[str]
    """Names of `nas.build` that the file has nothing for."""
    unused: list[str]
    """Names in the file that have no place in the network."""
    wrong: list[str]
    """Shapes that differ, in words."""

    def error(self, path: Path, table: NameMap | None, count: int, shapes: Shapes) -> DataError:
        """Return the error that says it."""
        said = []
        if self.missing:
            public = table.public_names(shapes) if table is not None else {}
            wanted = [public.get(name, (name,))[0] for name in self.missing]
            close = nearest(wanted[0], self.unused) if self.unused else ""
            said.append(f"{len(wanted):,} missing ({_some(wanted)}). {close}".strip(" ."))
        if self.unused:
            said.append(f"{len(self.unused):,} that this network has no place for ({_some(self.unused)})")
        if self.wrong:
            said.append(f"{len(self.wrong):,} of another shape ({'; '.join(self.wrong[:_NAMED])})")
        whose = table.about if table is not None else "nas.build"
        return DataError(
            f"weights {path}, with {count:,} names as of {whose}, are not of this network: {'; '.join(said)}"
        )


def _some(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names[:_NAMED])) + (", ..." if len(names) > _NAMED else "")


def _check_numbers(path: Path, state: Mapping[str, Tensor]) -> None:
    for name, value in state.items():
        if not bool(torch.isfinite(value).all()):
            raise DataError(f"weights {path}: {name!r} has numbers that are not finite")
