"""Who makes the choices of a walk: a rank, a genotype, or another picker that is written down."""

from __future__ import annotations

from collections.abc import Mapping

from nas.errors import SpaceError
from nas.network.settings import Scalar
from nas.space.tree.matching import Genotype, Names
from nas.space.tree.nodes import Choice, Pick


def pick_by_rank(rank: int) -> Pick:
    """Return a picker under which `resolve` gives the genotype number `rank` of `size()`.

    Each choice takes its part of the number as a digit in mixed radix: what is left chooses among the options and
    inside them, in the order of the walk.
    """
    state = rank

    def pick(choice: Choice, path: str, copies: int, names: Names) -> int:
        nonlocal state
        sizes = choice.option_sizes(copies, names)
        rest, digit = divmod(state, sum(sizes))
        for index, size in enumerate(sizes):
            if digit < size:
                state = rest * size + digit
                return index
            digit -= size
        raise AssertionError("the rank is below the size")

    return pick


def recording(pick: Pick, genotype: Genotype) -> Pick:
    """Return `pick`, writing what it picks to `genotype`."""

    def record(choice: Choice, path: str, copies: int, names: Names) -> int:
        index = pick(choice, path, copies, names)
        genotype[path] = choice.values[index]
        return index

    return record


def pick_from(genotype: Mapping[str, Scalar]) -> Pick:
    """Return a picker that takes what a genotype says; it raises `SpaceError` where that is nothing possible."""

    def pick(choice: Choice, path: str, copies: int, names: Names) -> int:
        if path not in genotype:
            raise SpaceError(f"genotype: decision {path!r} is missing; its options are {list(choice.values)}")
        value = genotype[path]
        for index, option in enumerate(choice.values):
            if option == value and isinstance(option, bool) == isinstance(value, bool):
                return index
        raise SpaceError(f"genotype: {path} must be one of {list(choice.values)}, but got {value!r}")

    return pick
