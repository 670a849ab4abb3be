"""Variation of genotypes: mutation, crossover, neighbours, one genotype of each network. All follow from the seed."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import lru_cache
from typing import Protocol

from nas.equality import same_value
from nas.errors import NasError, ShapeError, SpaceError
from nas.network.architecture import Architecture
from nas.network.settings import Scalar
from nas.space.tree.genotype import Genotype, Names, count_text
from nas.space.tree.nodes import Choice, Pick
from nas.space.tree.pickers import option_at

_MAX_NETWORKS = 200_000
_MAX_IDENTIFIED = 1024
"""Genotypes of a space whose networks are all made to find one by its `arch_id`."""


class Space(Protocol):
    """What variation needs of a `SearchSpace`, which is made with it."""

    @property
    def name(self) -> str:
        """Its name, for errors."""

    def __hash__(self) -> int:
        """Return a hash: what is enumerated of a space is kept."""

    def size(self) -> int:
        """Return the number of genotypes."""

    def unrank(self, rank: int) -> Genotype:
        """Return genotype number `rank`."""

    def decisions(self) -> dict[str, Choice]:
        """Return every decision that can become active, by its path."""

    def resolve(self, pick: Pick) -> Genotype:
        """Make every decision with `pick`."""

    def decode(self, genotype: Mapping[str, Scalar]) -> Architecture:
        """Return the network of a genotype; raises `SpaceError` where it is none of the space."""


def repaired(space: Space, genotype: Mapping[str, Scalar], rng: random.Random) -> Genotype:
    """Return a genotype with the given decisions where they are active, and random ones where they are missing.

    Decisions that are not active under the others fall away; so do values that are no options.
    """
    with suppress(SpaceError):  # mostly it is valid already, and decoding is far quicker than deciding
        space.decode(genotype)
        return dict(genotype)

    def pick(choice: Choice, path: str, copies: int, names: Names) -> int:
        index = choice.index_of(genotype[path]) if path in genotype else None
        if index is not None:
            return index
        # As many chances for an option as it has ways to go on, so that what is new is uniform.
        sizes = choice.option_sizes(copies, names)
        return option_at(rng.randrange(sum(sizes)), sizes)[0]

    return space.resolve(pick)


def mutate(space: Space, genotype: Mapping[str, Scalar], rng: random.Random, count: int) -> Genotype:
    """Return a genotype with `count` decisions changed to other options, and what depends on them repaired.

    Raises:
        SpaceError: a count that is no whole number >= 1, or a space of one network.
    """
    if type(count) is not int or count < 1:
        raise SpaceError(f"mutate: decisions must be a whole number >= 1, but got {count!r}")
    decisions = space.decisions()
    # Sorted, so that equal genotypes have equal mutants, whatever the order in which they came to be.
    changeable = sorted(path for path in genotype if len(decisions[path].values) > 1)
    if not changeable:
        raise SpaceError(f"space {space.name!r} has one network, so nothing can be mutated")
    changed = dict(genotype)
    for path in rng.sample(changeable, min(count, len(changeable))):
        changed[path] = rng.choice(_other_values(decisions[path], genotype[path]))
    return repaired(space, changed, rng)


def _other_values(choice: Choice, value: Scalar) -> list[Scalar]:
    return [other for other in choice.values if not same_value(other, value)]


def crossover(space: Space, first: Mapping[str, Scalar], second: Mapping[str, Scalar], rng: random.Random) -> Genotype:
    """Return a genotype that takes each decision from one of two parents, or from the one that has it."""
    child = {}
    for path in sorted({*first, *second}):
        parents = [parent for parent in (first, second) if path in parent]
        child[path] = rng.choice(parents)[path]
    return repaired(space, child, rng)


def neighbours(space: Space, genotype: Mapping[str, Scalar], rng: random.Random) -> Iterator[Genotype]:
    """Yield a genotype for each other option of each decision, in order; decisions that appear are drawn."""
    decisions = space.decisions()
    for path, value in genotype.items():
        for other in _other_values(decisions[path], value):
            yield repaired(space, {**genotype, path: other}, rng)


@lru_cache(maxsize=8)
def networks(space: Space) -> tuple[Genotype, ...]:
    """Return one genotype for each different network of a space, the first of each; what is no network is left out.

    Raises:
        SpaceError: more genotypes than can be enumerated, or none that is a network.
    """
    if space.size() > _MAX_NETWORKS:
        raise SpaceError(
            f"networks are told apart up to {_MAX_NETWORKS:,} genotypes; {space.name!r} has {count_text(space.size())}"
        )
    first = _first_by_id(space, ShapeError)
    if not first:
        raise SpaceError(f"space {space.name!r}: none of its {space.size():,} genotypes is a network")
    return tuple(first.values())


def identified(space: Space, arch_id: str) -> Genotype | None:
    """Return the first genotype of the network with that id; None where there is none, or the space is large."""
    return _identities(space).get(arch_id) if space.size() <= _MAX_IDENTIFIED else None


@lru_cache(maxsize=8)
def _identities(space: Space) -> dict[str, Genotype]:
    return _first_by_id(space, NasError)


def _first_by_id(space: Space, skipped: type[NasError]) -> dict[str, Genotype]:
    """Return the first genotype of each network, by `arch_id`, without those whose error is `skipped`."""
    first: dict[str, Genotype] = {}
    for rank in range(space.size()):
        genotype = space.unrank(rank)
        with suppress(skipped):
            first.setdefault(space.decode(genotype).arch_id, genotype)
    return first
