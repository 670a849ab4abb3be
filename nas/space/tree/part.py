"""One part of a layout, which is counted, drawn and decoded on its own, with a memory of what it gave."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import repeat
from typing import Any

from nas.equality import value_key
from nas.network.settings import Scalar
from nas.space.tree.genotype import Genotype, Names
from nas.space.tree.nodes import Node, Pick, Scope
from nas.space.tree.pickers import pick_by_rank, recording
from nas.space.tree.references import specialise

_MAX_MEMO = 65536
_ABSENT = object()


@dataclass(eq=False)
class Part:
    """The resolution, the stem, a stage, the head, or what a name stands for.

    Candidates share most of their parts, so what a part gives for its own decisions is remembered.
    """

    name: str
    node: Node
    scope: Scope
    reads: tuple[str, ...]
    """Every name that it depends on, also through others, in an order in which they can be worked out."""
    stands_for_blocks: bool
    """Whether it is a name that stands for blocks: its value then is `Specialised`."""
    own_paths: tuple[str, ...]
    """Every decision that it can make."""
    key_paths: tuple[str, ...]
    """Decisions that settle its value: its own, and those of the names that it reads."""
    sizes: dict[Any, int] = field(default_factory=dict)
    """By `switch_key`, its number of ways."""
    by_rank: dict[Any, Genotype] = field(default_factory=dict)
    """By rank, and `switch_key` where it has switches, its decisions."""
    by_decisions: dict[tuple[Any, ...], tuple[Any, int]] = field(default_factory=dict)
    """By `key`, its value, and the number of decisions that it took."""

    def scope_with(self, names: Names) -> Scope:
        """Return its scope with the values of the names that it reads."""
        return replace(self.scope, names=names) if self.reads else self.scope

    def resolve(self, names: Names, pick: Pick) -> Any:
        """Make its decisions with `pick` and return its value."""
        if self.stands_for_blocks:
            return specialise(self.node, self.scope_with(names), pick)
        return self.node.resolve(self.scope_with(names), pick)[0]

    def count(self, names: Names) -> int:
        """Count the ways to decide this part."""
        return self.node.size(len(self.scope.copies), names)

    def assignments(self, names: Names) -> Iterator[tuple[Genotype, Any]]:
        """Yield all ways to decide this part, each with its decisions and its value."""
        for rank in range(self.count(names)):
            own: Genotype = {}
            yield own, self.resolve(names, recording(pick_by_rank(rank), own))

    def key(self, genotype: Mapping[str, Scalar]) -> tuple[Any, ...]:
        """Return the decisions of a genotype that settle this part's value, as a key."""
        key: tuple[Any, ...] = tuple(map(genotype.get, self.key_paths, repeat(_ABSENT)))
        if bool in map(type, key):  # few parts have truth values, and decoding is frequent
            key = tuple(map(value_key, key))
        return key

    def switch_key(self, names: Names) -> tuple[Any, ...]:
        """Return the values of the names that switch its decisions on and off, as a key."""
        return tuple(names[name] for name in sorted(self.node.switches))

    def size(self, names: Names) -> int:
        """Return the number of ways to decide this part, under the names that switch decisions on and off."""
        key = self.switch_key(names) if self.node.switches else ()
        if key not in self.sizes:
            self.sizes[key] = self.count(names)
        return self.sizes[key]


def remember(memo: dict[Any, Any], key: Any, value: Any) -> None:
    """Put a value into a memo of a part; a full one begins anew."""
    if len(memo) >= _MAX_MEMO:
        memo.clear()
    memo[key] = value
