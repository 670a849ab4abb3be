"""`SearchSpace`: count, sample, decode, encode and suggest the networks of a space."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from numbers import Integral
from pathlib import Path
from typing import Any, Literal, get_args

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
from nas.space.tree.genotype import Genotype, Names, count_text
from nas.space.tree.genotypes import Genotypes
from nas.space.tree.nodes import Choice, Const, Option, Pick
from nas.space.tree.pickers import Suggester, pick_by_trial, pick_from
from nas.space.tree.sections import Chain, SectionNode

Over = Literal["genotypes", "networks", "decisions"]
"""What a sample is uniform over."""

NETWORK = "network"
"""The decision of a space that chooses between whole layouts."""


@dataclass(frozen=True, eq=False, repr=False)
class SearchSpace:
    """A set of networks, each of which has a genotype. Made by `load_space` or `SearchSpace.from_dict`."""

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
        """Read a space from Python values that state it as a space file does; raises `SpaceError`."""
        return cls.from_source(from_python(values), name)

    def __repr__(self) -> str:
        return f"SearchSpace({self.name!r}, {count_text(self.size())} genotypes)"

    @property
    def name(self) -> str:
        """Its name, which becomes that of run folders and records."""
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
        """Whether every layout decides its map size, so that none is taken from the data."""
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
                    raise self._source_of(error.where, genotype).error(
                        f"{error.problem} (input {'x'.join(map(str, self.input_shape))}; "
                        f"so it is in all {min(tries, self.size())} networks tried)",
                        error.where,
                    ) from None

    def _source_of(self, where: str, genotype: Genotype) -> Source:
        """Return what the file says of an operation of a network, given by its hierarchical name."""
        name, genotypes = self._layout_of(genotype)
        words = where.split(".")
        if words[0] == "stages":  # stages.2.blocks.1. ...
            section, index = ".".join(words[:2]), int(words[3])
        else:  # stem.0. ... or head.1. ...
            section, index = words[0], int(words[1])
        part = next(part for part in genotypes.sections if part.name == section)
        assert isinstance(part.node, SectionNode)
        chain = part.node.blocks
        assert isinstance(chain, Chain)
        entry = chain.entry_of(index, part.scope_with(genotypes.names(part, genotype)), pick_from(genotype))
        return self.file.sources[name][f"{section}.{entry}" if entry else section]

    @cached_property
    def _genotypes(self) -> dict[str, Genotypes]:
        """The genotypes of each layout, by its name, without the decision between layouts."""
        return {name: Genotypes(layout) for name, layout in self.file.layouts.items()}

    @property
    def _chooses_layout(self) -> bool:
        return "" not in self.file.layouts

    @cached_property
    def _layout_choice(self) -> Choice:
        """The choice between layouts, for a space that has one."""
        options = [Option(name, _LayoutNode(name, own.size())) for name, own in self._genotypes.items()]
        return Choice(NETWORK, tuple(options))

    def _layout_of(self, genotype: Mapping[str, Scalar]) -> tuple[str, Genotypes]:
        """Return the layout that a genotype chooses; raises `SpaceError` where it chooses none."""
        check_kind("genotype", genotype, Mapping, "a mapping from decisions to values", SpaceError)
        if not self._chooses_layout:
            return "", self._genotypes[""]
        index = pick_from(genotype)(self._layout_choice, NETWORK, 1, {})
        name = str(self._layout_choice.values[index])
        return name, self._genotypes[name]

    def _with_layout(self, name: str, genotype: Genotype) -> Genotype:
        """Return a genotype of a layout as one of the space."""
        return {NETWORK: name, **genotype} if self._chooses_layout else genotype

    def decisions(self) -> dict[str, Choice]:
        """Return every decision that can become active, by its path."""
        return dict(self._decisions)

    @cached_property
    def _decisions(self) -> dict[str, Choice]:
        decisions = {NETWORK: self._layout_choice} if self._chooses_layout else {}
        for genotypes in self._genotypes.values():
            decisions |= genotypes.decisions()
        return decisions

    def size(self) -> int:
        """Return the exact number of genotypes, those included that give no network since shapes do not fit."""
        return sum(genotypes.size() for genotypes in self._genotypes.values())

    def unrank(self, rank: int) -> Genotype:
        """Return genotype number `rank`, 0 <= rank < size(), a bijection; raises `SpaceError` for another rank."""
        if type(rank) is not int or not 0 <= rank < self.size():
            raise SpaceError(f"`0 <= rank < size()` must hold, size {count_text(self.size())}, but got {rank!r:.80}")
        for name, genotypes in self._genotypes.items():
            if rank < genotypes.size():
                return self._with_layout(name, genotypes.unrank(rank))
            rank -= genotypes.size()
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
        """Return the genotype with that number of decisions changed; what depends on them is repaired.

        Raises:
            SpaceError: no genotype of the space, an invalid number, or a space of one network.
        """
        self.decode(genotype)
        return variation.mutate(self, genotype, _generator(seed), decisions)

    def crossover(
        self, first: Mapping[str, Scalar], second: Mapping[str, Scalar], seed: int | random.Random
    ) -> Genotype:
        """Return a genotype that takes each decision from one of two parents; what does not fit is repaired.

        Raises:
            SpaceError: a parent is no genotype of the space.
        """
        self.decode(first)
        self.decode(second)
        return variation.crossover(self, first, second, _generator(seed))

    def neighbours(self, genotype: Mapping[str, Scalar], seed: int | random.Random = 0) -> Iterator[Genotype]:
        """Yield a genotype for each other option of each decision; decisions that only then appear are drawn.

        Raises:
            SpaceError: no genotype of the space.
        """
        self.decode(genotype)
        return variation.neighbours(self, genotype, _generator(seed))

    def suggest(self, trial: Suggester) -> Genotype:
        """Let an Optuna trial decide; its params then are the genotype."""
        if not hasattr(trial, "suggest_categorical"):
            raise SpaceError(f"suggest: trial must be an Optuna trial, but got {trial!r:.80}")
        return self.resolve(pick_by_trial(trial))

    def resolve(self, pick: Pick) -> Genotype:
        """Make every decision with `pick`, which gets the choice, its path, its number of copies and the names."""
        if not callable(pick):
            raise SpaceError(f"resolve: pick must be a function, but got {pick!r:.80}")
        if not self._chooses_layout:
            return self._genotypes[""].decide(pick)
        name = str(self._layout_choice.values[pick(self._layout_choice, NETWORK, 1, {})])
        return self._with_layout(name, self._genotypes[name].decide(pick))

    def decode(self, genotype: Mapping[str, Scalar]) -> Architecture:
        """Return the network of a genotype.

        Raises:
            SpaceError: a decision is missing, unknown, or not one of its options.
        """
        _, genotypes = self._layout_of(genotype)
        values, taken = genotypes.decode(genotype)
        if taken + self._chooses_layout != len(genotype):
            genotypes.refuse_inactive(genotype, self.decisions())
        shape = self.input_shape
        if genotypes.layout.resolution is not None:
            shape = resized(shape, values.pop(0))
        return Architecture(shape, self.num_classes, values[0], tuple(values[1:-1]), values[-1])

    def encode(self, arch: Architecture) -> Genotype:
        """Return the genotype of a network of this space: `decode(encode(arch)) == arch`.

        Where several genotypes give one network, the one with the earliest options is returned. Of a network that the
        space only states by another description (a stage with an identity for one without blocks), it is a genotype of
        that: `decode(encode(arch)).arch_id == arch.arch_id`.

        Raises:
            SpaceError: the network is not in this space; says which part is not.
        """
        problem, fitting = "", {}
        arch = checked_architecture(arch, "encode")
        for name, genotypes in self._genotypes.items():
            genotype = self._encode_as(genotypes, arch)
            if not isinstance(genotype, str):
                return self._with_layout(name, genotype)
            problem = problem or genotype
            if arch.input_shape == self._expected_input(genotypes, arch) and arch.num_classes == self.num_classes:
                fitting[name] = genotypes
        equal = self._encode_equal(fitting, arch) if fitting else None
        if equal is None:
            raise SpaceError(f"not in space {self.name!r}: {problem}")
        return equal

    def _encode_equal(self, layouts: Mapping[str, Genotypes], arch: Architecture) -> Genotype | None:
        """Return the genotype of a network with the `arch_id` of another; None where none is found."""
        equal = equal_genotype(layouts, arch)
        if equal is not None:
            return self._with_layout(*equal)
        with suppress(NasError):  # `arch` is no network
            return variation.identified(self, arch.arch_id)
        return None

    def _expected_input(self, genotypes: Genotypes, arch: Architecture) -> Shape:
        """Return the input of a layout's networks, with the map size of `arch` where that is decided."""
        if genotypes.layout.resolution is None:
            return self.input_shape
        return resized(self.input_shape, max(arch.input_shape[1:]))

    def _encode_as(self, genotypes: Genotypes, arch: Architecture) -> Genotype | str:
        """Return the genotype under one layout, or why there is none."""
        values: list[Any] = [arch.stem, *arch.stages, arch.head]
        expected = self._expected_input(genotypes, arch)
        if genotypes.layout.resolution is not None:
            values.insert(0, max(arch.input_shape[1:]))
        if arch.input_shape != expected or arch.num_classes != self.num_classes:
            return (
                f"it takes input {expected} and {self.num_classes} classes, "
                f"the network has {arch.input_shape} and {arch.num_classes}"
            )
        if len(values) != len(genotypes.sections):
            return f"it has {len(genotypes.layout.stages)} stages"
        encoded = genotypes.encode(values)
        return f"{encoded} of the network is not one it can choose" if isinstance(encoded, str) else encoded


@dataclass(frozen=True, eq=False)
class _LayoutNode(Const):
    """One of the layouts that a space chooses between."""

    genotypes: int
    """Their number."""

    def size(self, copies: int, names: Names) -> int:
        """Return the number of genotypes of the layout."""
        return self.genotypes


def _generator(seed: object) -> random.Random:
    if isinstance(seed, random.Random):
        return seed
    if isinstance(seed, bool) or not isinstance(seed, Integral):
        raise SpaceError(f"seed must be a whole number, or a random.Random to go on with, but got {seed!r:.80}")
    return random.Random(int(seed))


def load_space(name: str | Path, **let: Any) -> SearchSpace:
    """Load a space that comes with nas by name ("mbconv", "reference/resnet50"), or one of your own by path.

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
