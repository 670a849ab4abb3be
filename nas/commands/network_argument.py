"""What commands take for one network: an architecture file, a run folder, or a space whose choices are made."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from nas.errors import ConfigError, SpaceError, nearest, why_unreadable
from nas.network.architecture import Architecture
from nas.network.architecture_file import read_architecture
from nas.resources import space_names
from nas.run_folder import user_path
from nas.space import load_space
from nas.space.task import Task as NetworkTask
from nas.training.data.recorded import recorded_data

if TYPE_CHECKING:
    from nas.training.data.splits import ImageData

WAYS = "give an architecture file (.json), a run folder, or a space: reference/NAME, or NAME with genotype="


def read_network(
    name: str,
    genotype: str | None,
    input_shape: tuple[int, ...],
    num_classes: int,
    task: NetworkTask = "classification",
) -> Architecture:
    """Return the network that a word of a command line means.

    Args:
        name: of a file, of a run folder, which means the best network of a search, or of a space.
        genotype: the decisions of a space with choices: JSON, or a `.json` file.
        input_shape: of the data, which a space is decoded for; a network in a file keeps its own.
        num_classes: of the data.
        task: what a network of a space must give.

    Raises:
        NasError: there is no such thing, or it leaves choices open.
    """
    path = user_path(name)
    is_space = not (name.endswith(".json") or path.is_dir()) or name in space_names()
    if genotype is not None and not is_space:
        raise ConfigError(f"genotype is for a space, but {name} is one network with all that is decided")
    if is_space:
        return _of_space(name, genotype, input_shape, num_classes, task)
    return read_architecture(path, "network")


def read_for_data(name: str, genotype: str | None, resolution: int | None, data: ImageData) -> Architecture:
    """Return the network that is to learn some data, see `read_network`.

    Args:
        name: of a file, of a run folder or of a space.
        genotype: the decisions of a space with choices.
        resolution: size of the images that a network of a space takes; None: theirs.
        data: what it learns.

    Raises:
        NasError: there is no such network, or it does not fit the data or the resolution.
    """
    channels, *size = data.input_shape
    wanted = size if resolution is None else [resolution for _ in size]
    architecture = read_network(name, genotype, (channels, *wanted), data.num_classes, data.task.network)
    if resolution is not None and architecture.input_shape[1:] != tuple(wanted):
        raise ConfigError(
            f"resolution={resolution} is for a network of a space, but {name} takes images of "
            f"{'x'.join(map(str, architecture.input_shape[1:]))}"
        )
    data.check_fits(architecture)
    return architecture


def _of_space(
    name: str, genotype: str | None, input_shape: tuple[int, ...], num_classes: int, task: NetworkTask
) -> Architecture:
    if not name.endswith((".yaml", ".yml")) and name not in space_names():
        raise ConfigError(f"network: there is no {name!r}. {nearest(name, space_names())} Or {WAYS}")
    space = load_space(name).for_data(input_shape, num_classes, task=task)
    if genotype is None:
        if space.size() > 1:
            raise ConfigError(
                f"network: space {name!r} leaves choices open: search it with nas search +space={name} and give its "
                "run folder, or make the choices with genotype='{...}'"
            )
        return space.decode({})
    return space.decode(_genotype(genotype))


def _genotype(text: str) -> dict[str, Any]:
    try:
        read = user_path(text).read_text() if text.endswith(".json") else text
        found = json.loads(read)
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(f"genotype={text!r:.80} cannot be read as JSON: {why_unreadable(error)}") from None
    if not isinstance(found, dict):
        raise SpaceError(f"genotype is a mapping from decisions to values, but got {found!r:.80}")
    return found


def types_data(typed: Iterable[str]) -> bool:
    """Whether the user typed anything of the data: the data set, or a setting of it."""
    return any(path == "data" or path.startswith("data.") for path in typed)


def with_recorded_data(values: Mapping[str, Any], typed: Collection[str], folder: str | None) -> dict[str, Any]:
    """Return settings with the data of the run that a folder holds, where the user typed no data set.

    Settings of the data that the user typed stay: `data.root=FOLDER` alone says where those of the run are now.

    Args:
        values: settings as plain values.
        typed: paths of those that the user typed.
        folder: that the user named; may be no run folder.
    """
    place = user_path(folder) if folder else None
    if place is None or "data" in typed or not place.is_dir():
        return dict(values)
    known = recorded_data(place)
    if known is None:
        return dict(values)
    own = [path.removeprefix("data.") for path in typed if path.startswith("data.")]
    return {**values, "data": {**known, **{name: values["data"][name] for name in own}}}
