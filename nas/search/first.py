"""Networks of the user's own that a search evaluates before any other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from nas.errors import ConfigError, SpaceError
from nas.network.architecture import Architecture
from nas.network.architecture_file import read_architecture
from nas.network.rounding import resized
from nas.run_folder import user_path
from nas.space import Genotype, SearchSpace


def first_networks(paths: Sequence[str], space: SearchSpace) -> list[Genotype]:
    """Return the networks of some files as genotypes of a space.

    Args:
        paths: of architecture files, or of run folders, which mean their best network.
        space: made for its data. A network for other data is taken with the input and classes of these.

    Raises:
        ConfigError: a file cannot be read, or its network is not in the space; says which part is not.
    """
    found = []
    for path in paths:
        architecture = read_architecture(user_path(path), "search.first")
        try:
            found.append(space.encode(_for_data(architecture, space)))
        except SpaceError as error:
            raise ConfigError(f"search.first: {path} is {error}") from None
    return found


def _for_data(architecture: Architecture, space: SearchSpace) -> Architecture:
    size = max(architecture.input_shape[1:]) if space.chooses_resolution else max(space.input_shape[1:])
    return replace(architecture, input_shape=resized(space.input_shape, size), num_classes=space.num_classes)
