"""A chain of blocks."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nas.network.registry import Block


@dataclass(frozen=True, slots=True)
class Section:
    """A chain of blocks: the stem, a stage, the head, or a branch inside a block."""

    blocks: tuple[Block, ...]
    """In the order in which they run."""
    _hash: int = field(default=0, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # A key of the memo tables, as Block is.
        object.__setattr__(self, "_hash", hash(self.blocks))

    def __hash__(self) -> int:
        return self._hash

    def __reduce__(self) -> tuple[Any, ...]:
        return Section, (self.blocks,)
