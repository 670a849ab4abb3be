"""Pickers, which make the choices of a walk: by a rank, as a genotype or a trial says, and one that records another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from nas.errors import SpaceError
from nas.network.settings import Scalar
from nas.space.tree.genotype import Genotype, Names
from nas.space.tree.nodes import Choice, Pick


class Suggester(Protocol):
    """What `pick_by_trial` asks: an `optuna.Trial`, or anything with these two methods."""

    def suggest_categorical(self, name: str, choices: Any, /) -> Any:
        """Return one of the choices."""

    def suggest_int(self, name: str, low: int, high: int, /, *, step: int) -> int:
        """Return a number from low to high, both included, in steps from low."""


def option_at(rank: int, sizes: Sequence[int]) -> tuple[int, int]:
    """Return the index of the option that holds way number `rank` of all, and the number of the way inside it.

    Args:
        rank: `0 <= rank < sum(sizes)`.
        sizes: number of ways of each option.
    """
    for index, size in enumerate(sizes):
        if rank < size:
            return index, rank
        rank -= size
    raise AssertionError("the rank is below the sum of the sizes")


def pick_by_rank(rank: int) -> Pick:
    """Return a picker under which `resolve` gives the genotype number `rank` of `size()`.

    Each choice takes its part of the number as a digit in mixed radix: the rest chooses among the options and inside
    them, in the order of the walk.
    """
    state = rank

    def pick(choice: Choice, path: str, copies: int, names: Names) -> int:
        nonlocal state
        sizes = choice.option_sizes(copies, names)
        rest, digit = divmod(state, sum(sizes))
        index, inside = option_at(digit, sizes)
        state = rest * sizes[index] + inside
        return index

    return pick


def recording(pick: Pick, genotype: Genotype) -> Pick:
    """Return a picker that picks as `pick` does and writes each decision to `genotype`."""

    def record(choice: Choice, path: str, copies: int, names: Names) -> int:
        index = pick(choice, path, copies, names)
        genotype[path] = choice.values[index]
        return index

    return record


def pick_from(genotype: Mapping[str, Scalar]) -> Pick:
    """Return a picker that takes the decisions of a genotype; it raises `SpaceError` for a missing or wrong one."""

    def pick(choice: Choice, path: str, copies: int, names: Names) -> int:
        if path not in genotype:
            raise SpaceError(f"genotype: decision {path!r} is missing; its options are {list(choice.values)}")
        index = choice.index_of(genotype[path])
        if index is None:
            raise SpaceError(f"genotype: {path} must be one of {list(choice.values)}, but got {genotype[path]!r}")
        return index

    return pick


def pick_by_trial(trial: Suggester) -> Pick:
    """Return a picker that asks a trial for an integer of a range, or for one of the options."""

    def pick(choice: Choice, path: str, copies: int, names: Names) -> int:
        if choice.int_range is None:
            # Not `index_of`: Optuna takes `True` for 1 where it stores a trial, and a genotype is what it stores.
            return choice.values.index(trial.suggest_categorical(path, choice.values))
        span = choice.int_range
        value = trial.suggest_int(path, span.low, span.high, step=span.step)
        return (value - span.low) // span.step

    return pick
