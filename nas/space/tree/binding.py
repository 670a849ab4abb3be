"""Deciding names while a network is encoded, in a bounded number of tries."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from nas.errors import SpaceError
from nas.space.tree.matching import PartialMatch
from nas.space.tree.part import Part

_MAX_BINDINGS = 100_000
_MAX_BLOCKS = 200_000


class NameBinder:
    """The `Binder` of one match: tries the values of names, the first ones first."""

    def __init__(self, lets: Mapping[str, Part]) -> None:
        """Take the parts that names stand for."""
        self._lets = lets
        self._bindings_left = _MAX_BINDINGS
        self._blocks_left = _MAX_BLOCKS

    def count_blocks(self, number: int) -> None:
        """Count blocks that are compared; raises `SpaceError` where there have been too many."""
        self._blocks_left -= number
        if self._blocks_left < 0:
            raise SpaceError(
                f"there are too many ways to share out the blocks of a network among the entries of the space "
                f"({_MAX_BLOCKS:,} blocks tried)"
            )

    def __call__(self, name: str, partial: PartialMatch) -> Iterator[PartialMatch]:
        """Yield the match with each value of a name; raises `SpaceError` where there have been too many."""
        part = self._lets[name]
        missing = [read for read in part.reads if read not in partial.names]
        if missing:
            for extended in self(missing[0], partial):
                yield from self(name, extended)
            return
        for own, value in part.assignments(partial.names):
            self._bindings_left -= 1
            if self._bindings_left < 0:
                raise SpaceError(
                    f"the names under let have too many values to find those of a network ({_MAX_BINDINGS:,} tried)"
                )
            yield replace(partial, names={**partial.names, name: value}, shared={**partial.shared, **own})
