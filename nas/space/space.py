"""`SearchSpace`: count, sample, decode, encode and suggest the networks of a space."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from math import prod
from pathlib import Path
from typing import Any, Protocol

from nas.errors import ShapeError, SpaceError, nearest
from nas.network.architecture import Architecture
from nas.network.lower import lower
from nas.network.ops import Shape
from nas.network.settings import Scalar
from nas.space.files import find_space
from nas.space.grammar import Layout, parse
from nas.space.source import Source, from_python, read_file
from nas.space.tree import Choice, Genotype, Node, Scope, pick_by_rank, pick_from, recording

_ROOT = Scope("", ("",))
_MAX_MEMO = 65536


class Suggester(Protocol):
    """What `suggest` asks: an `optuna.Trial`, or anything with its two methods."""

    def suggest_categorical(self, name: str, choices: Any, /) -> Any: ...

    def suggest_int(self, name: str, low: int, high: int, /, *, step: int) -> int: ...


@dataclass(eq=False)
class _Part:
    """An independent part of a space: the resolution, the stem, a stage or the head.

    Candidates share most of their parts, so what a part gives for its own decisions is remembered.
    """

    name: str
    node: Node
    paths: tuple[str, ...]
    size: int
    by_rank: dict[int, Genotype] = field(default_factory=dict)
    by_decisions: dict[tuple[Any, ...], tuple[Any, int]] = field(default_factory=dict)

    @classmethod
    def of(cls, name: str, node: Node) -> _Part:
        paths = tuple(dict.fromkeys(path for path, _ in node.decisions(_ROOT)))
        return cls(name, node, paths, node.size(1))

    def unrank(self, rank: int) -> Genotype:
        """Return the decisions of this part that have this number below `size`."""
        known = self.by_rank.get(rank)
        if known is None:
            known = {}
            self.node.resolve(_ROOT, recording(pick_by_rank(rank), known))
            _remember(self.by_rank, rank, known)
        return known

    def decode(self, genotype: Mapping[str, Scalar]) -> tuple[Any, int]:
        """Return this part's value, and how many decisions of the genotype it took."""
        key: tuple[Any, ...] = tuple([genotype.get(path, _ABSENT) for path in self.paths])
        if bool in map(type, key):
            key = tuple((type(value), value) for value in key)  # True == 1, but is another value
        try:
            known = self.by_decisions.get(key)
        except TypeError:  # a list, say, which no option is; `pick_from` will say so
            known = None
        if known is None:
            taken: Genotype = {}
            value = self.node.resolve(_ROOT, recording(pick_from(genotype), taken))[0]
            known = value, len(taken)
            _remember(self.by_decisions, key, known)
        return known


_ABSENT = object()


def _remember(memo: dict[Any, Any], key: Any, value: Any) -> None:
    if len(memo) >= _MAX_MEMO:
        memo.clear()
    memo[key] = value


@dataclass(frozen=True, eq=False)
class SearchSpace:
    """A set of networks, each stated by a genotype. Made by `load_space` or `SearchSpace.from_dict`."""

    layout: Layout
    source: Source
    input_shape: Shape
    """`(channels, height, width)`; the map size holds where the space leaves the resolution open."""
    num_classes: int

    @classmethod
    def from_source(cls, source: Source, name: str) -> SearchSpace:
        """Read a space from values with places; raises `SpaceError`."""
        layout = parse(source, name)
        size = layout.assumed["resolution"]
        return cls(layout, source, (layout.assumed["channels"], size, size), layout.assumed["num_classes"])

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], name: str = "space") -> SearchSpace:
        """Read a space from Python values that say what a space file says; raises `SpaceError`."""
        return cls.from_source(from_python(values), name)

    @property
    def name(self) -> str:
        return self.layout.name

    def to_dict(self) -> dict[str, Any]:
        """Return the space as plain values, includes resolved; `from_dict` reads them."""
        values = self.source.plain()
        assert isinstance(values, dict)
        return {**values, "name": self.name}

    def for_data(self, input_shape: Shape, num_classes: int) -> SearchSpace:
        """Return this space for a data set: its channels, its classes, its map size where that is open.

        Raises:
            SpaceError: no network of the space takes such input; names the place in the file.
        """
        space = replace(self, input_shape=tuple(input_shape), num_classes=num_classes)
        space._check_shapes()
        return space

    def _check_shapes(self, tries: int = 64) -> None:
        """Lower some networks; one that works is enough, since a search rejects the others one by one."""
        rng = random.Random(0)
        for attempt in range(tries):
            genotype = self.sample(rng)
            try:
                lower(self.decode(genotype))
                return
            except ShapeError as error:
                if attempt == tries - 1 or self.size() == 1:
                    raise self._at(error.where, genotype).error(
                        f"{error.problem} (input {'x'.join(map(str, self.input_shape))}; "
                        f"so it is in all {min(tries, self.size())} networks tried)",
                        error.where,
                    ) from None

    def _at(self, where: str, genotype: Genotype) -> Source:
        """Return the place in the file that made the operation of that name."""
        layout, words = self.layout, where.split(".")
        if words[0] == "stages":  # stages.2.blocks.1. ...
            chain, index = layout.stages[int(words[1])], words[3]
        else:  # stem.0. ... or head.1. ...
            chain, index = (layout.stem if words[0] == "stem" else layout.head), words[1]
        return layout.places[chain.entry_of(int(index), pick_from(genotype))]

    @cached_property
    def _parts(self) -> tuple[_Part, ...]:
        layout = self.layout
        nodes: list[tuple[str, Node]] = [("stem", layout.stem)]
        nodes += [(f"stages.{i}", stage) for i, stage in enumerate(layout.stages)]
        nodes += [("head", layout.head)]
        if layout.resolution is not None:
            nodes.insert(0, ("resolution", layout.resolution))
        return tuple(_Part.of(name, node) for name, node in nodes)

    def decisions(self) -> dict[str, Choice]:
        """Return every decision that can become active, by its path."""
        return {path: choice for part in self._parts for path, choice in part.node.decisions(_ROOT)}

    def size(self) -> int:
        """Return the exact number of genotypes."""
        return prod(part.size for part in self._parts)

    def unrank(self, rank: int) -> Genotype:
        """Return genotype number `rank`, 0 <= rank < size(); a bijection, so it also enumerates a space."""
        if not 0 <= rank < self.size():
            raise SpaceError(f"`0 <= rank < {self.size()}` must hold, but got {rank}")
        genotype: Genotype = {}
        for part in self._parts:
            rank, digit = divmod(rank, part.size)
            genotype.update(part.unrank(digit))
        return genotype

    def sample(self, seed: int | random.Random) -> Genotype:
        """Draw one genotype, uniformly over all of them."""
        rng = seed if isinstance(seed, random.Random) else random.Random(seed)
        return self.unrank(rng.randrange(self.size()))

    def suggest(self, trial: Suggester) -> Genotype:
        """Let an Optuna trial decide; its params then are the genotype."""

        def pick(choice: Choice, path: str, copies: int) -> int:
            if choice.int_range is None:
                return choice.values.index(trial.suggest_categorical(path, choice.values))
            span = choice.int_range
            value = trial.suggest_int(path, span.low, span.high, step=span.step)
            return (value - span.low) // span.step

        genotype: Genotype = {}
        for part in self._parts:
            part.node.resolve(_ROOT, recording(pick, genotype))
        return genotype

    def decode(self, genotype: Mapping[str, Scalar]) -> Architecture:
        """Return the network that a genotype states.

        Raises:
            SpaceError: a decision is missing, unknown, or not one of its options.
        """
        decoded = [part.decode(genotype) for part in self._parts]
        if sum(taken for _, taken in decoded) != len(genotype):
            self._refuse_inactive(genotype)
        values = [value for value, _ in decoded]
        shape = self.input_shape
        if self.layout.resolution is not None:
            size = values.pop(0)
            shape = (shape[0], *(size for _ in shape[1:]))
        return Architecture(shape, self.num_classes, values[0], tuple(values[1:-1]), values[-1])

    def _refuse_inactive(self, genotype: Mapping[str, Scalar]) -> None:
        taken: Genotype = {}
        for part in self._parts:
            part.node.resolve(_ROOT, recording(pick_from(genotype), taken))
        extra = next(path for path in genotype if path not in taken)
        known = self.decisions()
        if extra in known:
            raise SpaceError(f"genotype: decision {extra!r} is not active under the other decisions")
        raise SpaceError(f"genotype: unknown decision {extra!r}. {nearest(extra, known)}")

    def encode(self, arch: Architecture) -> Genotype:
        """Return the genotype of a network of this space: `decode(encode(arch)) == arch`.

        Where several genotypes state one network, the one with the earliest options is returned.

        Raises:
            SpaceError: the network is not in this space; says which part is not.
        """
        values: list[Any] = [arch.stem, *arch.stages, arch.head]
        expected = self.input_shape
        if self.layout.resolution is not None:
            values.insert(0, arch.input_shape[1])
            expected = (expected[0], *(arch.input_shape[1] for _ in expected[1:]))
        if arch.input_shape != expected or arch.num_classes != self.num_classes:
            raise SpaceError(
                f"not in space {self.name!r}: it takes input {expected} and {self.num_classes} classes, "
                f"the network has {arch.input_shape} and {arch.num_classes}"
            )
        if len(values) != len(self._parts):
            raise SpaceError(f"not in space {self.name!r}: it has {len(self.layout.stages)} stages")
        genotype: Genotype = {}
        for part, value in zip(self._parts, values, strict=True):
            found = part.node.match(_ROOT, [value])
            if found is None:
                raise SpaceError(f"not in space {self.name!r}: {part.name} of the network is not one it can choose")
            genotype |= found
        return genotype


def load_space(name: str | Path) -> SearchSpace:
    """Load a space that comes with nas by name ("mbconv", "reference/resnet50"), or your own by path.

    Raises:
        SpaceError: no such space, or one that does not follow the language; names file and line.
    """
    path = find_space(str(name))
    return SearchSpace.from_source(read_file(path), path.stem)
