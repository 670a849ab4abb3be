"""The blocks by name, and `Block`: one of them with its settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from nas.errors import NasError, nearest
from nas.network.graph import Graph, GraphBuilder, Value
from nas.network.ops import Shape
from nas.network.settings import Scalar, Setting, settings_of

BlockFunction = Callable[..., Value]


@dataclass(frozen=True, slots=True)
class BlockKind:
    """A registered block: the function that writes it to a graph, and the settings it takes."""

    name: str
    function: BlockFunction
    settings: Mapping[str, Setting]
    """What a space may set, by name."""
    takes_num_classes: bool
    """Whether the network hands it the number of classes, as for the classifier."""

    def setting(self, name: str) -> Setting:
        """Return one setting; raises `NasError` with the nearest names where there is none."""
        if name not in self.settings:
            raise NasError(f"block {self.name!r} has no setting {name!r}. {nearest(name, self.settings)}")
        return self.settings[name]


_KINDS: dict[str, BlockKind] = {}


def block(function: BlockFunction) -> BlockFunction:
    """Register a function as a block under its own name.

    The function takes a `GraphBuilder`, the input `Value` and keyword-only settings whose annotations come from
    `nas.network.settings`; it returns the output. A parameter `num_classes` is given by the network.
    """
    name = function.__name__
    if name in _KINDS:
        raise NasError(f"a block named {name!r} is registered already")
    settings = settings_of(function)
    takes_num_classes = settings.pop("num_classes", None) is not None
    _KINDS[name] = BlockKind(name, function, settings, takes_num_classes)
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
    settings: tuple[tuple[str, Scalar], ...]
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
        known = block_kind(kind)
        for name in settings:
            known.setting(name)
        values: list[tuple[str, Scalar]] = []
        for name, setting in known.settings.items():
            if name not in settings and setting.required:
                raise NasError(f"block {known.name!r} needs {name!r}: {setting.rule()}")
            values.append((name, setting.check(settings.get(name, setting.default))))
        return cls(known.name, tuple(values))

    def to_dict(self) -> dict[str, Scalar]:
        """Return `{"block": kind, setting: value, ...}`."""
        return {"block": self.kind, **dict(self.settings)}


@lru_cache(maxsize=65536)
def block_graph(block: Block, in_shape: Shape, num_classes: int) -> Graph:
    """Write a block to a graph of its own. The same block on the same shape is lowered once.

    Raises:
        ShapeError: the block cannot take that input.
    """
    kind = block_kind(block.kind)
    builder = GraphBuilder(in_shape)
    given: dict[str, Any] = dict(block.settings)
    if kind.takes_num_classes:
        given["num_classes"] = num_classes
    return builder.finish(kind.function(builder, builder.input, **given))
