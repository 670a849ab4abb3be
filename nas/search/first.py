"""What a search evaluates before any other: networks of the user's own, an earlier search's best, known designs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from nas.cost import Constraint, Workload
from nas.errors import ConfigError, SpaceError
from nas.network.architecture import Architecture
from nas.network.architecture_file import read_architecture
from nas.network.rounding import resized
from nas.run_folder import user_path
from nas.search.settings import SearchSettings
from nas.search.warm_start import WARM_STARTS, EarlierResult
from nas.space import Genotype, SearchSpace
from nas.space.designs import Examine, uniform_designs


@dataclass(frozen=True, slots=True)
class First:
    """A network that is proposed before the sampler is asked."""

    genotype: Genotype
    design: str = ""
    """What it is, where it is a known design."""
    recipe: Mapping[str, Any] = field(default_factory=dict)
    """What is known to suit it of the recipe; what is decided there comes nearest to this, or else to `train`."""


def first_proposals(
    search: SearchSettings,
    space: SearchSpace,
    earlier: Sequence[EarlierResult],
    examine: Examine,
    *,
    limits: Sequence[Constraint],
    workload: Workload,
) -> list[First]:
    """Return what a search begins with, in order.

    Args:
        search: its settings.
        space: made for its data.
        earlier: the results of the search that it learns from, the best first.
        examine: checks a genotype against the limits that are counted and predicted.
        limits: of the search.
        workload: how the networks are to run.

    Raises:
        ConfigError: a network of the user's own cannot be read, or is not in the space.
    """
    own = [First(genotype) for genotype in first_networks(search.first, space)]
    best = [First(result.genotype, recipe=result.recipe) for result in earlier[:WARM_STARTS]]
    designs = uniform_designs(space, examine, limits, search.portfolio, workload) if search.portfolio else []
    return [*own, *best, *(First(design.candidate.genotype, design.name) for design in designs)]


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
