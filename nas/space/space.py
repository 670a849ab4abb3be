"""`SearchSpace`: count, sample, decode, encode and suggest the networks of a space."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from numbers import Integral
from pathlib import Path
from typing import Any, Literal, Protocol, get_args

from nas.cost import Constraint, constraints_from, tightest
from nas.errors import NasError, ShapeError, SpaceError, check_kind, nearest
from nas.network.architecture import Architecture, check_input, checked_architecture
from nas.network.lower import lower
from nas.network.ops import Shape
from nas.network.rounding import resized
from nas.network.settings import Scalar
from nas.space import variation
from nas.space.language.files import find_space
from nas.space.language.grammar import SpaceFile, parse
from nas.space.language.source import Source, from_python, read_file, with_values
from nas.space.task import Task, check_task
from nas.space.tree.equal import equal_genotype
from nas.space.tree.genotypes import Parts
from nas.space.tree.matching import Genotype, Names
from nas.space.tree.nodes import Choice, Const, Option, Pick, count_text
from nas.space.tree.pickers import pick_from
from nas.space.tree.sections import Body, Chain


class Suggester(Protocol):
    """What `suggest` asks: an `optuna.Trial`, or anything with its two methods."""

    def suggest_categorical(self, name: str, choices: Any, /) -> Any: ...

    def suggest_int(self, name: str, low: int, high: int, /, *, step: int) -> int: ...


Over = Literal["genotypes", "networks", "decisions"]
"""What a sample is uniform over."""

NETWORK = "network"
"""The decision of a space that chooses between whole descriptions."""


@dataclass(frozen=True, eq=False, repr=False)
class SearchSpace:
    """A set of networks, each stated by a genotype. Made by `load_space` or `SearchSpace.from_dict`."""

    file: SpaceFile
    source: Source
    input_shape: Shape
    """`(channels, height, width)`; the map size holds where the space leaves the resolution open."""
    num_classes: int
    task: Task = "open"
    """What its networks are for, as far as that was said."""

    @classmethod
    def from_source(cls, source: Source, name: str) -> SearchSpace:
        """Read a space from values with places; raises `SpaceError`."""
        check_kind("from_source: source", source, Source, "what nas.space.language.source.read_file gives", SpaceError)
        file = parse(source, name)
        assumed = file.assumed
        shape = (assumed["channels"], *(assumed["resolution"],) * assumed["dims"])
        return cls(file, source, shape, assumed["num_classes"])

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], name: str = "space") -> SearchSpace:
        """Read a space from Python values that say what a space file says; raises `SpaceError`."""
        return cls.from_source(from_python(values), name)

    def __repr__(self) -> str:
        return f"SearchSpace({self.name!r}, {count_text(self.size())} genotypes)"

    @property
    def name(self) -> str:
        return self.file.name

    @property
    def limits(self) -> tuple[Constraint, ...]:
        """Hard limits that belong to the space; a search keeps them beside its own."""
        return self.file.limits

    def limits_with(
        self, constraints: Mapping[str, object] | None = None, soft: Mapping[str, object] | None = None
    ) -> tuple[Constraint, ...]:
        """Return the limits of a search, hard ones and soft ones, together with those of the space.

        Raises:
            ConfigError: an unknown metric, a bound that is no number, or limits that nothing can hold.
        """
        return tightest([*constraints_from(constraints or {}), *self.limits, *constraints_from(soft or {}, soft=True)])

    @property
    def chooses_resolution(self) -> bool:
        """Whether a map size is decided, everywhere, and not taken from the data."""
        return all(layout.resolution is not None for layout in self.file.layouts.values())

    def to_dict(self) -> dict[str, Any]:
        """Return the space as plain values, includes resolved; `from_dict` reads them."""
        values = self.source.plain()
        assert isinstance(values, dict)
        return {**values, "name": self.name}

    def for_data(self, input_shape: Shape, num_classes: int, *, task: Task | None = None) -> SearchSpace:
        """Return this space for a data set: its channels, its classes, its map size where that is open.

        Args:
            input_shape: `(channels, height, width)` of the data, or `(channels, length)`.
            num_classes: of the data.
            task: what the networks are for, see `Task`; by default what was said of the space before.

        Raises:
            SpaceError: no network of the space takes such input, or gives what the task asks for; names the place in
                the file.
        """
        try:
            shape, classes = check_input(input_shape, num_classes)
        except NasError as error:
            raise SpaceError(str(error).replace("architecture:", f"space {self.name!r}:", 1)) from None
        file = parse(self.source, self.name, max(shape[1:])) if self.file.reads_size else self.file
        space = replace(self, file=file, input_shape=shape, num_classes=classes, task=task or self.task)
        space._check_shapes()
        return space

    def _check_shapes(self, tries: int = 64) -> None:
        """Lower some networks; one that works is enough, since a search rejects the others one by one."""
        rng = random.Random(0)
        for attempt in range(tries):
            genotype = self.sample(rng)
            try:
                arch = self.decode(genotype)
                lower(arch)
                check_task(arch, self.task)
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
        parts = self._parts_of(genotype)
        layout, words = parts.layout, where.split(".")
        if words[0] == "stages":  # stages.2.blocks.1. ...
            name, index = ".".join(words[:2]), int(words[3])
        else:  # stem.0. ... or head.1. ...
            name, index = words[0], int(words[1])
        part = next(part for part in parts.sections if part.name == name)
        assert isinstance(part.node, Body)
        chain = part.node.blocks
        assert isinstance(chain, Chain)
        entry = chain.entry_of(index, part.at(parts.names(part, genotype)), pick_from(genotype))
        return layout.places[f"{name}.{entry}" if entry else name]

    @cached_property
    def _layouts(self) -> dict[str, Parts]:
        return {name: Parts(layout) for name, layout in self.file.layouts.items()}

    @property
    def _chooses(self) -> bool:
        return "" not in self.file.layouts

    @cached_property
    def _network(self) -> Choice:
        """The choice between descriptions, for a space that has one."""
        options = [Option(name, _Described(name, parts.size())) for name, parts in self._layouts.items()]
        return Choice(NETWORK, tuple(options))

    def _parts_of(self, genotype: Mapping[str, Scalar]) -> Parts:
        check_kind("genotype", genotype, Mapping, "a mapping from decisions to values", SpaceError)
        if not self._chooses:
            return self._layouts[""]
        index = pick_from(genotype)(self._network, NETWORK, 1, {})
        return self._layouts[str(self._network.values[index])]

    def decisions(self) -> dict[str, Choice]:
        """Return every decision that can become active, by its path."""
        return dict(self._decisions)

    @cached_property
    def _decisions(self) -> dict[str, Choice]:
        found = {NETWORK: self._network} if self._chooses else {}
        for parts in self._layouts.values():
            found |= parts.decisions()
        return found

    def size(self) -> int:
        """Return the exact number of genotypes, those included that state no network since shapes do not fit."""
        return sum(parts.size() for parts in self._layouts.values())

    def unrank(self, rank: int) -> Genotype:
        """Return genotype number `rank`, 0 <= rank < size(); a bijection, so it also enumerates a space."""
        if type(rank) is not int or not 0 <= rank < self.size():
            raise SpaceError(f"`0 <= rank < size()` must hold, size {count_text(self.size())}, but got {rank!r:.80}")
        for name, parts in self._layouts.items():
            if rank < parts.size():
                return ({NETWORK: name} if self._chooses else {}) | parts.unrank(rank)
            rank -= parts.size()
        raise AssertionError("the rank is below the size")

    def sample(self, seed: int | random.Random, *, over: Over = "genotypes") -> Genotype:
        """Draw one genotype.

        Args:
            seed: a number, or a generator to go on with.
            over: uniform over all genotypes; over all different networks, which takes an enumeration of the space at
                the first call; or over the options of each decision in turn, as Optuna's random sampler draws.

        Raises:
            SpaceError: too many genotypes to tell the networks apart, or another word for `over`.
        """
        rng = _generator(seed)
        if over == "networks":
            return dict(rng.choice(variation.networks(self)))
        if over == "decisions":
            return self.resolve(lambda choice, path, copies, names: rng.randrange(len(choice.options)))
        if over != "genotypes":
            raise SpaceError(f"sample: unknown over={over!r}. {nearest(over, get_args(Over))}")
        return self.unrank(rng.randrange(self.size()))

    def enumerate(self) -> Iterator[Genotype]:
        """Yield every genotype, in order of rank."""
        return map(self.unrank, range(self.size()))

    def networks(self) -> tuple[Genotype, ...]:
        """Return one genotype for each different network; genotypes that are no network are left out.

        Raises:
            SpaceError: too many genotypes to enumerate.
        """
        return variation.networks(self)

    def mutate(self, genotype: Mapping[str, Scalar], seed: int | random.Random, *, decisions: int = 1) -> Genotype:
        """Return the genotype with so many decisions changed; what depends on them is repaired."""
        self.decode(genotype)
        return variation.mutate(self, genotype, _generator(seed), decisions)

    def crossover(
        self, first: Mapping[str, Scalar], second: Mapping[str, Scalar], seed: int | random.Random
    ) -> Genotype:
        """Return a genotype that takes each decision from one of two parents; what does not fit is repaired."""
        self.decode(first)
        self.decode(second)
        return variation.crossover(self, first, second, _generator(seed))

    def neighbours(self, genotype: Mapping[str, Scalar], seed: int | random.Random = 0) -> Iterator[Genotype]:
        """Yield a genotype for each other option of each decision; decisions that only then appear are drawn."""
        self.decode(genotype)
        return variation.neighbours(self, genotype, _generator(seed))

    def suggest(self, trial: Suggester) -> Genotype:
        """Let an Optuna trial decide; its params then are the genotype."""
        if not hasattr(trial, "suggest_categorical"):
            raise SpaceError(f"suggest: trial must be an Optuna trial, but got {trial!r:.80}")

        def pick(choice: Choice, path: str, copies: int, names: Names) -> int:
            if choice.int_range is None:
                return choice.values.index(trial.suggest_categorical(path, choice.values))
            span = choice.int_range
            value = trial.suggest_int(path, span.low, span.high, step=span.step)
            return (value - span.low) // span.step

        return self.resolve(pick)

    def resolve(self, pick: Pick) -> Genotype:
        """Make every decision with `pick`, a function of the choice, its path, its number of copies and the names."""
        if not callable(pick):
            raise SpaceError(f"resolve: pick must be a function, but got {pick!r:.80}")
        if not self._chooses:
            return self._layouts[""].suggest(pick)
        name = str(self._network.values[pick(self._network, NETWORK, 1, {})])
        return {NETWORK: name} | self._layouts[name].suggest(pick)

    def decode(self, genotype: Mapping[str, Scalar]) -> Architecture:
        """Return the network that a genotype states.

        Raises:
            SpaceError: a decision is missing, unknown, or not one of its options.
        """
        parts = self._parts_of(genotype)
        values, taken = parts.decode(genotype)
        if taken + self._chooses != len(genotype):
            parts.refuse_inactive(genotype, self.decisions())
        shape = self.input_shape
        if parts.layout.resolution is not None:
            shape = resized(shape, values.pop(0))
        return Architecture(shape, self.num_classes, values[0], tuple(values[1:-1]), values[-1])

    def encode(self, arch: Architecture) -> Genotype:
        """Return the genotype of a network of this space: `decode(encode(arch)) == arch`.

        Where several genotypes state one network, the one with the earliest options is returned. Of a network that the
        space only states by another description (a stage with an identity for one without blocks), it is a genotype of
        that: `decode(encode(arch)).arch_id == arch.arch_id`.

        Raises:
            SpaceError: the network is not in this space; says which part is not.
        """
        problem, fits = "", {}
        arch = checked_architecture(arch, "encode")
        for name, parts in self._layouts.items():
            found = self._encode_as(parts, arch)
            if not isinstance(found, str):
                return ({NETWORK: name} if self._chooses else {}) | found
            problem = problem or found
            if arch.input_shape == self._expected(parts, arch) and arch.num_classes == self.num_classes:
                fits[name] = parts
        equal = equal_genotype(self, fits, arch) if fits else None
        if equal is not None:
            name, genotype = equal
            return ({NETWORK: name} if self._chooses else {}) | genotype
        raise SpaceError(f"not in space {self.name!r}: {problem}")

    def _expected(self, parts: Parts, arch: Architecture) -> Shape:
        """The input that a network has under one description, with the map size of `arch` where that is decided."""
        if parts.layout.resolution is None:
            return self.input_shape
        return resized(self.input_shape, max(arch.input_shape[1:]))

    def _encode_as(self, parts: Parts, arch: Architecture) -> Genotype | str:
        """Return the genotype under one description, or why there is none."""
        values: list[Any] = [arch.stem, *arch.stages, arch.head]
        expected = self._expected(parts, arch)
        if parts.layout.resolution is not None:
            values.insert(0, max(arch.input_shape[1:]))
        if arch.input_shape != expected or arch.num_classes != self.num_classes:
            return (
                f"it takes input {expected} and {self.num_classes} classes, "
                f"the network has {arch.input_shape} and {arch.num_classes}"
            )
        if len(values) != len(parts.sections):
            return f"it has {len(parts.layout.stages)} stages"
        found = parts.encode(values)
        return f"{found} of the network is not one it can choose" if isinstance(found, str) else found


@dataclass(frozen=True, eq=False)
class _Described(Const):
    """One of the descriptions that a space chooses between."""

    ways: int

    def size(self, copies: int, names: Names) -> int:
        return self.ways


def _generator(seed: object) -> random.Random:
    if isinstance(seed, random.Random):
        return seed
    if isinstance(seed, bool) or not isinstance(seed, Integral):
        raise SpaceError(f"seed must be a whole number, or a random.Random to go on with, but got {seed!r:.80}")
    return random.Random(int(seed))


def load_space(name: str | Path, **let: Any) -> SearchSpace:
    """Load a space that comes with nas by name ("mbconv", "reference/resnet50"), or your own by path.

    Args:
        name: name or path.
        let: other values for names of the space, e.g. `load_space("reference/mobilenet_v2", width=0.75)`.

    Raises:
        SpaceError: no such space, or one that does not follow the language; names file and line.
    """
    path = find_space(str(name))
    source = read_file(path)
    if let:
        source = with_values(source, from_python(let))
    return SearchSpace.from_source(source, path.stem)
