"""The concrete description of one network, and its JSON form."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from types import NoneType
from typing import Any

from nas.errors import NasError, check_kind
from nas.network.ops import MAX_DIMS, Shape
from nas.network.registry import Block, block_kind
from nas.network.section import Section

FORMAT = "nas.architecture/1"
"""Of the JSON form, in its field `format`."""
_MAX_NESTED = 64
_FIELDS = {"format", "input_shape", "num_classes", "stem", "stages", "head"}


@dataclass(frozen=True)
class Architecture:
    """One network, without any choice left: frozen, comparable, JSON in and out."""

    input_shape: Shape
    """`(channels, height, width)`, or `(channels, length)` for series, without the batch."""
    num_classes: int
    """Of the data, for blocks that classify."""
    stem: Section
    """The blocks before the first stage."""
    stages: tuple[Section, ...]
    """The body of the network, mostly a stage for each size of the map."""
    head: Section
    """The blocks behind the last stage, which end in the prediction."""

    def sections(self) -> Iterator[tuple[str, Section]]:
        """Yield the sections in order with the prefix that their blocks have as names of parameters."""
        yield "stem", self.stem
        for i, stage in enumerate(self.stages):
            yield f"stages.{i}.blocks", stage
        yield "head", self.head

    def blocks(self) -> Iterator[Block]:
        """Yield the blocks of all sections in order."""
        yield from self.stem.blocks
        for stage in self.stages:
            yield from stage.blocks
        yield from self.head.blocks

    def named_blocks(self) -> Iterator[tuple[str, Block]]:
        """Yield the blocks in order with the prefix of the names of their parameters, e.g. `stages.2.blocks.0`."""
        for name, section in self.sections():
            for i, block in enumerate(section.blocks):
                yield f"{name}.{i}", block

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
        check_kind("to_json: indent", indent, (int, NoneType), "a number of spaces, or None")
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
            missing, unknown = sorted(_FIELDS - set(values)), sorted(map(str, set(values) - _FIELDS))
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
        check_kind("architecture", text, (str, bytes), "JSON text")
        try:
            values = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise NasError(f"architecture: not JSON: {error}") from None
        return cls.from_dict(values)


def _plain(section: Section) -> list[dict[str, Any]]:
    return [block.to_dict() for block in section.blocks]


def _section(where: str, values: object, depth: int = 0) -> Section:
    if not isinstance(values, list):
        raise NasError(f"architecture: {where} must be a list of blocks, but got {values!r:.80}")
    if depth > _MAX_NESTED:
        raise NasError(f"architecture: {where}: blocks nested deeper than {_MAX_NESTED} levels")
    return Section(tuple(_block(f"{where}.{i}", value, depth) for i, value in enumerate(values)))


def _block(where: str, value: object, depth: int) -> Block:
    if not isinstance(value, Mapping) or "block" not in value:
        raise NasError(f'architecture: {where} must be a mapping with "block", but got {value!r:.80}')
    settings = {name: setting for name, setting in value.items() if name != "block"}
    try:
        declared = block_kind(value["block"]).settings
    except NasError as error:
        raise NasError(f"architecture: {where}: {error}") from None
    for name, setting in settings.items():
        path = f"{where}.{name}"
        kind = declared[name].kind if name in declared else None
        if kind is Section:
            settings[name] = _section(path, setting, depth + 1)
        elif kind is tuple:
            if not isinstance(setting, list):
                raise NasError(f"architecture: {path} must be a list of branches, but got {setting!r:.80}")
            settings[name] = tuple(_section(f"{path}.{i}", branch, depth + 1) for i, branch in enumerate(setting))
    try:
        return Block.of(value["block"], settings)
    except NasError as error:
        raise NasError(f"architecture: {where}: {error}") from None


def _positive(name: str, value: object) -> int:
    if type(value) is not int or not 1 <= value <= 2**20:
        raise NasError(f"architecture: {name} must be a whole number from 1 to 2^20, but got {value!r:.40}")
    return value


def _shape(value: object) -> Shape:
    if not isinstance(value, list | tuple) or not 2 <= len(value) <= 1 + MAX_DIMS:
        raise NasError(f"architecture: input_shape must be [channels, size, ...], but got {value!r:.80}")
    return tuple(_positive("input_shape", size) for size in value)


def checked_architecture(value: object, function: str) -> Architecture:
    """Return an argument of a function, which is named in the error, as an architecture.

    Raises:
        NasError: it is none; says how to make one.
    """
    if not isinstance(value, Architecture):
        how = "space.decode(space.sample(seed=0)), or space.decode(genotype), gives one"
        if isinstance(value, str):
            how = "nas.load_space(NAME).decode({}) gives that of a space without choices"
        raise NasError(f"{function} takes an Architecture, but got {value!r:.80}; {how}")
    return value


def check_input(input_shape: object, num_classes: object) -> tuple[Shape, int]:
    """Return a network's input shape and number of classes, checked.

    Raises:
        NasError: the shape is not `(channels, size, ...)`, or something is not a whole number from 1 to 2^20.
    """
    return _shape(input_shape), _positive("num_classes", num_classes)
