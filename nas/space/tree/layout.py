"""The layout of networks: their sections as trees of choices, and the names that these use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from nas.space.tree.nodes import Node
from nas.space.tree.references import Let
from nas.space.tree.sections import SectionNode


@dataclass(frozen=True)
class Layout:
    """The networks of one description: stem, stages and head, with the names that they use."""

    prefix: str
    """Path before all its decisions; empty unless a space chooses between descriptions."""
    lets: Mapping[str, Let]
    """In the order in which they may use each other."""
    resolution: Node | None
    """Input size that the space decides on; None leaves it to the data."""
    stem: SectionNode
    stages: tuple[SectionNode, ...]
    head: SectionNode
