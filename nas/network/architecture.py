"""The concrete description of one network, and its JSON form."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from nas.errors import NasError
from nas.network.ops import Shape
from nas.network.registry import Block

FORMAT = "nas.architecture/1"
_FIELDS = {"format", "input_shape", "num_classes", "stem", "stages", "head"}


@dataclass(frozen=True, slots=True)
class Section:
    """Blocks one behind the other: the stem, a stage or the head."""

    blocks: tuple[Block, ...]
    _hash: int = field(default=0, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # A key of the memo tables, as Block is.
        object.__setattr__(self, "_hash", hash(self.blocks))

    def __hash__(self) -> int:
        return self._hash

    def __reduce__(self) -> tuple[Any, ...]:
        return Section, (self.blocks,)


@dataclass(frozen=True)
class Architecture:
    """One network, without any choice left: frozen, comparable, JSON in and out."""

    input_shape: Shape
    """`(channels, height, width)`, without the batch."""
    num_classes: int
    stem: Section
    stages: tuple[Section, ...]
    head: Section

    def sections(self) -> Iterator[tuple[str, Section]]:
        """Yield the sections in order with the prefix that their blocks have as names of parameters."""
        yield "stem", self.stem
        for i, stage in enumerate(self.stages):
            yield f"stages.{i}.blocks", stage
        yield "head", self.head

    @cached_property
    def arch_id(self) -> str:
        """Hash of the canonical graph: two descriptions of one network share it."""
        from nas.network.identity import graph_id
        from nas.network.lower import lower

        return graph_id(lower(self))

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON or YAML."""
        return {
            "format": FORMAT,
            "input_shape": list(self.input_shape),
            "num_classes": self.num_classes,
            "stem": _plain(self.stem),
            "stages": [_plain(stage) for stage in self.stages],
            "head": _plain(self.head),
        }

    def to_json(self, indent: int | None = None) -> str:
        """Return JSON text; `from_json` gives an equal architecture back."""
        return json.dumps(self.to_dict(), indent=indent)

    @classmethod
    def from_dict(cls, values: object) -> Architecture:
        """Read what `to_dict` wrote, checking every value.

        Raises:
            NasError: wrong format, a missing or unknown field, an unknown block or a setting that breaks its rule.
        """
        if not isinstance(values, Mapping) or values.get("format") != FORMAT:
            raise NasError(f'architecture: not a description with "format": "{FORMAT}"')
        if set(values) != _FIELDS:
            missing, unknown = sorted(_FIELDS - set(values)), sorted(set(values) - _FIELDS)
            raise NasError(f"architecture: missing fields {missing}, unknown fields {unknown}")
        stages = values["stages"]
        if not isinstance(stages, list):
            raise NasError(f"architecture: stages must be a list, but got {stages!r}")
        return cls(
            input_shape=_shape(values["input_shape"]),
            num_classes=_positive("num_classes", values["num_classes"]),
            stem=_section("stem", values["stem"]),
            stages=tuple(_section(f"stages.{i}", stage) for i, stage in enumerate(stages)),
            head=_section("head", values["head"]),
        )

    @classmethod
    def from_json(cls, text: str) -> Architecture:
        """Read what `to_json` wrote; raises `NasError` as `from_dict` does, also for text that is not JSON."""
        try:
            values = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise NasError(f"architecture: not JSON: {error}") from None
        return cls.from_dict(values)


def _plain(section: Section) -> list[dict[str, Any]]:
    return [block.to_dict() for block in section.blocks]


def _section(where: str, values: object) -> Section:
    if not isinstance(values, list):
        raise NasError(f"architecture: {where} must be a list of blocks, but got {values!r}")
    blocks = []
    for i, value in enumerate(values):
        if not isinstance(value, Mapping) or "block" not in value:
            raise NasError(f'architecture: {where}.{i} must be a mapping with "block", but got {value!r}')
        try:
            blocks.append(Block.of(value["block"], {k: v for k, v in value.items() if k != "block"}))
        except NasError as error:
            raise NasError(f"architecture: {where}.{i}: {error}") from None
    return Section(tuple(blocks))


def _positive(name: str, value: object) -> int:
    if type(value) is not int or not 1 <= value <= 2**20:
        raise NasError(f"architecture: {name} must be a whole number from 1 to 2^20, but got {str(value)[:40]}")
    return value


def _shape(value: object) -> Shape:
    if not isinstance(value, list) or len(value) < 2:
        raise NasError(f"architecture: input_shape must be [channels, size, ...], but got {value!r}")
    return tuple(_positive("input_shape", size) for size in value)
