"""Neighbours of a genotype: mutation, crossover, enumeration. All follow from the seed."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import lru_cache
from typing import TYPE_CHECKING

from nas.errors import ShapeError, SpaceError
from nas.network.settings import Scalar
from nas.space.tree.matching import Genotype, Names
from nas.space.tree.nodes import Choice, count_text

if TYPE_CHECKING:
    from nas.space.space import SearchSpace

_MAX_NETWORKS = 200_000


def repaired(space: SearchSpace, wanted: Mapping[str, Scalar], rng: random.Random) -> Genotype:
    """Return a genotype with the decisions of `wanted` where they are active, and random ones where they are missing.

    Decisions that are not active under the others fall away; so do values that are no options.
    """
    with suppress(SpaceError):  # mostly it is one already, and decoding is far quicker than deciding
        space.decode(wanted)
        return dict(wanted)

    def pick(choice: Choice, path: str, copies: int, names: Names) -> int:
        if path in wanted:
            for index, option in enumerate(choice.values):
                if option == wanted[path] and isinstance(option, bool) == isinstance(wanted[path], bool):
                    return index
        # As many chances for an option as it has ways to go on, so that what is new is uniform.
        sizes = choice.option_sizes(copies, names)
        rank = rng.randrange(sum(sizes))
        for index, size in enumerate(sizes):
            if rank < size:
                return index
            rank -= size
        raise AssertionError("the rank is below the size")

    return space.resolve(pick)


def mutate(space: SearchSpace, genotype: Mapping[str, Scalar], rng: random.Random, count: int) -> Genotype:
    """Return a genotype with `count` decisions changed to other options, and what depends on them repaired."""
    if type(count) is not int or count < 1:
        raise SpaceError(f"mutate: decisions must be a whole number >= 1, but got {count!r}")
    known = space.decisions()
    # Sorted, so that equal genotypes have equal mutants, whatever the order in which they came to be.
    changeable = sorted(path for path in genotype if len(known[path].values) > 1)
    if not changeable:
        raise SpaceError(f"space {space.name!r} has one network, so nothing can be mutated")
    wanted = dict(genotype)
    for path in rng.sample(changeable, min(count, len(changeable))):
        wanted[path] = rng.choice([value for value in known[path].values if not _same(value, genotype[path])])
    return repaired(space, wanted, rng)


def crossover(
    space: SearchSpace, first: Mapping[str, Scalar], second: Mapping[str, Scalar], rng: random.Random
) -> Genotype:
    """Return a genotype that takes each decision from one of two parents, or from the one that has it."""
    wanted = {}
    for path in sorted({*first, *second}):
        parents = [parent for parent in (first, second) if path in parent]
        wanted[path] = rng.choice(parents)[path]
    return repaired(space, wanted, rng)


def neighbours(space: SearchSpace, genotype: Mapping[str, Scalar], rng: random.Random) -> Iterator[Genotype]:
    """Yield a genotype for each other option of each decision, in order; decisions that appear are drawn."""
    known = space.decisions()
    for path, value in genotype.items():
        for other in known[path].values:
            if not _same(other, value):
                yield repaired(space, {**genotype, path: other}, rng)


def _same(a: Scalar, b: Scalar) -> bool:
    return a == b and isinstance(a, bool) == isinstance(b, bool)


@lru_cache(maxsize=8)
def networks(space: SearchSpace) -> tuple[Genotype, ...]:
    """Return one genotype for each different network of a space, the first of each; what is no network is left out.

    Raises:
        SpaceError: more genotypes than can be enumerated, or none that is a network.
    """
    if space.size() > _MAX_NETWORKS:
        raise SpaceError(
            f"networks are told apart up to {_MAX_NETWORKS:,} genotypes; {space.name!r} has {count_text(space.size())}"
        )
    found: dict[str, Genotype] = {}
    for rank in range(space.size()):
        genotype = space.unrank(rank)
        with suppress(ShapeError):
            found.setdefault(space.decode(genotype).arch_id, genotype)
    if not found:
        raise SpaceError(f"space {space.name!r}: none of its {space.size():,} genotypes is a network")
    return tuple(found.values())
