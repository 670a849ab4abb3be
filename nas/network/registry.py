"""The registered blocks by name, and `Block`: a registered block with its settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from types import FunctionType
from typing import Any

from nas.errors import NasError, ShapeError, check_kind, nearest
from nas.names import name_problem
from nas.network.builder import GraphBuilder, Value
from nas.network.graph import ANY, Graph, ValueRange
from nas.network.ops import Shape
from nas.network.section import Section
from nas.network.settings import Setting, SettingValue, settings_of

BlockFunction = Callable[..., Value | Sequence[Value]]
"""Takes a `GraphBuilder`, the input and settings by keyword, and returns the output, or several."""


@dataclass(frozen=True, slots=True)
class BlockKind:
    """A registered block: the function that writes it to a graph, and the settings it takes."""

    name: str
    """Of the function, as a space names it."""
    function: BlockFunction
    """Writes the block to a graph."""
    settings: Mapping[str, Setting]
    """What a space may set, by name."""

    def setting(self, name: str) -> Setting:
        """Return one setting; raises `NasError` with the nearest names where there is none."""
        if name not in self.settings:
            raise NasError(f"block {self.name!r} has no setting {name!r}. {nearest(name, self.settings)}")
        return self.settings[name]


_KINDS: dict[str, BlockKind] = {}


def block(function: BlockFunction) -> BlockFunction:
    """Register a function as a block under its own name.

    The function takes a `GraphBuilder`, the input `Value` and keyword-only settings whose annotations come from
    `nas.network.settings`; it returns the output, or several where it can only be the last block of a network.
    """
    check_kind("block: what is registered", function, FunctionType, "a function")
    name = function.__name__
    if name_problem(name) or "." in name:
        raise NasError(f"the name of a block is a word: {name_problem(name) or f'{name!r} holds a dot'}")
    if name in _KINDS:
        raise NasError(f"a block named {name!r} is registered already")
    _KINDS[name] = BlockKind(name, function, settings_of(function))
    return function


def block_names() -> list[str]:
    """Names of all registered blocks."""
    return sorted(_KINDS)


def block_kind(name: object) -> BlockKind:
    """Return the block of that name; raises `NasError` with the nearest names where there is none."""
    if not isinstance(name, str) or name not in _KINDS:
        raise NasError(f"unknown block {name!r}. {nearest(name, _KINDS)}")
    return _KINDS[name]


@dataclass(frozen=True, slots=True)
class Block:
    """A block with all its settings, defaults included. Made by `Block.of`."""

    kind: str
    """Name of the registered block."""
    settings: tuple[tuple[str, SettingValue], ...]
    """In the order of the block's signature."""
    _hash: int = field(default=0, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # Blocks are keys of the memo tables that make lowering fast, so each hashes itself once.
        object.__setattr__(self, "_hash", hash((self.kind, self.settings)))

    def __hash__(self) -> int:
        return self._hash

    def __reduce__(self) -> tuple[Any, ...]:
        # Hashes of words differ between processes, so another process works out its own.
        return Block, (self.kind, self.settings)

    @classmethod
    def of(cls, kind: object, settings: Mapping[str, object]) -> Block:
        """Check settings against the block and fill in its defaults.

        Raises:
            NasError: unknown block or setting, missing setting, or a value that breaks its rule.
        """
        registered = block_kind(kind)
        for name in settings:
            registered.setting(name)
        values: list[tuple[str, SettingValue]] = []
        for name, setting in registered.settings.items():
            if name not in settings and setting.required:
                raise NasError(f"block {registered.name!r} needs {name!r}: {setting.rule()}")
            values.append((name, setting.check(settings.get(name, setting.default))))
        return cls(registered.name, tuple(values))

    def to_dict(self) -> dict[str, Any]:
        """Return `{"block": kind, setting: value, ...}`; blocks inside are lists of such."""
        return {"block": self.kind, **{name: _plain(value) for name, value in self.settings}}


def _plain(value: SettingValue) -> Any:
    if isinstance(value, Section):
        return [block.to_dict() for block in value.blocks]
    if isinstance(value, tuple):
        return [_plain(branch) for branch in value]
    return value


@lru_cache(maxsize=65536, typed=True)  # tokens are equal to a map of one dimension, but not the same
def block_graph(
    block: Block,
    in_shape: Shape,
    num_classes: int,
    simplified: bool = True,
    in_range: ValueRange = ANY,
) -> Graph:
    """Write a block to a graph of its own. The same block on the same shape is lowered once.

    Args:
        block: what to write.
        in_shape: of its input; `Tokens` for tokens.
        num_classes: of the data, for blocks that classify.
        simplified: leave out what has no effect on its output.
        in_range: bounds of the numbers of its input, so that a `relu` of what is not negative has no effect.

    Raises:
        ShapeError: the block cannot take that input.
    """
    builder = GraphBuilder(in_shape, num_classes)
    output = block_kind(block.kind).function(builder, builder.input, **dict(block.settings))
    return builder.finish(output, simplified=simplified, in_range=in_range)


def add_section(g: GraphBuilder, x: Value, section: Section, name: str) -> Value:
    """Add the blocks of a section, for blocks that are made of others; their names start with `name`."""
    for i, block in enumerate(section.blocks):
        with g.scope(f"{name}.{i}"):
            try:
                graph = block_graph(block, x.shape, g.num_classes, False)
            except ShapeError as error:
                raise error.inside(f"{name}.{i}") from None
            x = g.insert(graph, x)
    return x
