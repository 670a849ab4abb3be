"""The words of the language that stand for a single value: a scalar, a choice, a range, a formula, a condition."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any, Literal

from nas.equality import value_key
from nas.errors import NasError, nearest
from nas.names import name_problem
from nas.network.settings import Scalar
from nas.space.language.source import Source
from nas.space.tree.derived import Derived, If
from nas.space.tree.formula import Formula, formula, is_formula
from nas.space.tree.genotype import Names
from nas.space.tree.nodes import Choice, Const, IntRange, Node, Option, Per, Scope
from nas.space.tree.pickers import pick_by_rank
from nas.space.tree.references import Let

MAX_OPTIONS = 4096
_MAX_TRIED = 2000
_MAX_STRUCTURAL = 20_000
_CHOICE_WORDS = {"choose", "range", "step", "factor", "per"}
_IF_WORDS = {"if", "then", "else"}

Check = Callable[[object], Any]
"""Returns a value in its type; raises `NasError` where it breaks its rule."""

Level = Literal["network", "stage", "block", "copy"]
"""What a choice is of that does not say: what has a name is of the network, other parts are of their stage, settings
under a kind that each block chooses are of the block, and what stands inside such a block is of that one copy."""


@dataclass(frozen=True)
class Context:
    """What is read already of a space, and where in it the reader is."""

    prefix: str = ""
    """Path before all decisions."""
    level: Level = "stage"
    lets: dict[str, Let] = field(default_factory=dict)
    """What the names stand for that are read already."""
    sources: dict[str, Source] = field(default_factory=dict)
    """Where each part is written, by its path."""
    choices: list[tuple[Choice, Source]] = field(default_factory=list)
    """The choices that are read already, each with the mapping that states it."""

    def at(self, level: Level) -> Context:
        """Return this with another level; names and sources are the same ones."""
        return replace(self, level=level)

    def stated(self, choice: Choice, source: Source) -> Choice:
        """Note which mapping states a choice, and return the choice."""
        self.choices.append((choice, source))
        return choice

    def assignments(self, names: Iterable[str], most: int) -> Iterator[Names]:
        """Yield what these names can be at once, up to `most` ways."""
        return islice(self._assignments(sorted(names), {}, most), most)

    def _assignments(self, names: list[str], assigned: Names, most: int) -> Iterator[Names]:
        missing = [name for name in names if name not in assigned]
        if not missing:
            yield assigned
            return
        let = self.lets[missing[0]]
        for outer in self._assignments(sorted(let.node.reads), assigned, most):
            size = let.node.size(1, outer)
            for rank in range(min(size, most)):
                scope = Scope("let", ("let",), outer)
                value = let.node.resolve(scope, pick_by_rank(rank))[0]
                yield from self._assignments(names, {**outer, missing[0]: value}, most)


def read_mapping(source: Source, path: str, keys: Iterable[str] | None, what: str) -> dict[str, Source]:
    """Return the items of a mapping.

    Args:
        source: what is written.
        path: its place in the space, for messages.
        keys: those that it may have; None for any.
        what: it is, for messages.

    Raises:
        SpaceError: no mapping, or a key that it may not have.
    """
    if not isinstance(source.value, dict):
        raise source.error(f"{what} is a mapping, but got {source.describe()}", path)
    for key, value in source.value.items():
        if keys is not None and key not in keys:
            raise value.error(f"unknown key {key!r}. {nearest(key, keys)}", path)
    return source.value


def read_options(source: Source, path: str, what: str) -> dict[str, Source]:
    """Return options that have names, which become words of decision paths.

    Raises:
        SpaceError: no mapping, no option, or a name that is no word.
    """
    items = read_mapping(source, path, None, what)
    if not items:
        raise source.error("a choice needs at least one option", path)
    for name, value in items.items():
        if not name or "." in name:
            raise value.error(f"the name of an option is a word without dots, but got {name!r}", path)
        if name_problem(name):
            raise value.error(f"the name of an option: {name_problem(name)}", path)
    return items


def read_list(source: Source, path: str, most: int = MAX_OPTIONS) -> list[Source]:
    """Return the entries of a list; raises `SpaceError` for anything else, an empty one, and more than `most`."""
    if not isinstance(source.value, list) or not source.value:
        raise source.error(f"must be a list with at least one entry, but got {source.describe()}", path)
    if len(source.value) > most:
        raise source.error(f"a list may have {most} entries here, but this one has {len(source.value)}", path)
    return source.value


def read_scalar(source: Source, path: str, check: Check) -> Any:
    """Return a single value in its type; raises `SpaceError` where it is none or breaks its rule."""
    if isinstance(source.value, dict | list):
        raise source.error(f"must be one value, but got {source.describe()}", path)
    try:
        return check(source.value)
    except NasError as error:
        raise source.error(str(error), path) from None


def read_formula(source: Source, path: str, context: Context) -> Formula:
    """Read a formula over names that stand for values.

    Raises:
        SpaceError: no formula, an unknown name, or one that stands for blocks.
    """
    try:
        read = formula(str(source.value))
    except NasError as error:
        raise source.error(str(error), path) from None
    for name in sorted(read.names):
        let = context.lets.get(name)
        if let is None:
            raise source.error(f"unknown name {name!r} in {read.text!r}. {nearest(name, context.lets)}", path)
        if let.what != "value":
            raise source.error(f"{name!r} stands for blocks, and is no value to compute with", path)
    return read


def possible_values(
    source: Source, path: str, read: Formula, context: Context, check: Check, *, structural: bool
) -> list[Any]:
    """Return what a formula can give, each checked against the rule that it must follow.

    All values are worked out of what settles the structure of a space, which is refused where that is too much; of the
    value of a setting the first few thousand are, and the block checks the rest when a network is decoded.

    Raises:
        SpaceError: a value that breaks the rule, or too many combinations of names.
    """
    values = []
    most = _MAX_STRUCTURAL if structural else _MAX_TRIED
    for count, names in enumerate(context.assignments(read.names, most + 1)):
        if count == most and structural:
            raise source.error(
                f"{read.text!r} settles which blocks or decisions there are, so its names "
                f"({', '.join(sorted(read.names))}) may have {most:,} combinations, but have more",
                path,
            )
        try:
            values.append(check(read.value(names)))
        except NasError as error:
            given = ", ".join(f"{name}={names[name]!r}" for name in sorted(read.names))
            raise source.error(f"{error} (from {read.text!r} with {given or 'no names'})", path) from None
    return values


@dataclass(frozen=True)
class ValueNodes:
    """The nodes that single values become: constants and derived values, or whatever depends on such a value."""

    const: Callable[[Any], Node] = Const
    """Gives the node of a value."""
    derived: Callable[[Formula, list[Any]], Node] = lambda read, values: Derived(read)
    """Gives the node of a formula and its possible values."""
    choice: type[Choice] = Choice
    """The class of a choice of constants."""
    structural: bool = False
    """Whether they settle which blocks or decisions there are."""


def read_value(
    source: Source,
    path: str,
    name: str,
    check: Check,
    context: Context,
    *,
    may: tuple[Per, ...],
    nodes: ValueNodes = ValueNodes(),
) -> Node:
    """Read a scalar, a formula, a choice of scalars, or a condition between them.

    Args:
        source: what is written.
        path: its place in the space, for messages.
        name: path of its decision, relative to the scope.
        check: the rule that every value must follow.
        context: names that formulas may use.
        may: what `per` may say.
        nodes: what a value becomes.

    Raises:
        SpaceError: anything that is not in the language, with file, line, path, rule and value.
    """
    if is_formula(source.value):
        read = read_formula(source, path, context)
        return nodes.derived(read, possible_values(source, path, read, context, check, structural=nodes.structural))
    if isinstance(source.value, list):
        raise source.error(f"must be one value, but got {source.describe()}; write {{choose: [...]}} to choose", path)
    if not isinstance(source.value, dict):
        return nodes.const(read_scalar(source, path, check))

    def part(inner: Source, where: str, side: str) -> Node:
        return read_value(inner, where, f"{name}.{side}", check, context, may=may, nodes=nodes)

    if "if" in source.value:
        return read_if(source, path, context, part)
    choice = read_mapping(source, path, _CHOICE_WORDS, "a choice")
    if ("choose" in choice) == ("range" in choice):
        raise source.error("a choice has either 'choose' or 'range'", path)
    for word in ("step", "factor"):
        if "choose" in choice and word in choice:
            raise choice[word].error(f"{word!r} goes with 'range'", path)
    int_range, sources = None, []
    if "range" in choice:
        int_range, numbers = read_range(choice, path)
        sources = [Source(value, choice["range"].file, choice["range"].line) for value in numbers]
    else:
        sources = _scalar_options(choice["choose"], path)
    values = [(option.value, read_scalar(option, path, check)) for option in sources]
    check_distinct(choice.get("choose", source), [value for value, _ in values], path)
    options = tuple(Option(value, nodes.const(checked)) for value, checked in values)
    per = read_per(choice, path, context, may)
    node = nodes.choice(name, options, per, int_range, met_again=per == "stage" and context.level == "block")
    return context.stated(node, source)


def read_if(source: Source, path: str, context: Context, part: Callable[[Source, str, str], Node]) -> Node:
    """Read `{if: "= formula", then: ..., else: ...}`.

    Args:
        source: what is written.
        path: its place in the space, for messages.
        context: names that the formula may use.
        part: reads what stands under `then` and `else`, each of which has decisions of its own, from a source, its
            place and the word.

    Raises:
        SpaceError: a missing word, or a formula that gives something else than true or false.
    """
    words = read_mapping(source, path, _IF_WORDS, "a condition")
    for word in ("then", "else"):
        if word not in words:
            raise source.error(f"a condition needs {word!r}", path)
    if not is_formula(words["if"].value):
        raise words["if"].error(f"if takes a formula such as '= width > 32', but got {words['if'].describe()}", path)
    test = read_formula(words["if"], path, context)
    possible_values(words["if"], path, test, context, _check_truth, structural=True)
    return If(test, part(words["then"], path, "then"), part(words["else"], path, "else"))


def _check_truth(value: object) -> object:
    if not isinstance(value, bool):
        raise NasError(f"a condition is true or false, but got {value!r}")
    return value


def _scalar_options(source: Source, path: str) -> list[Source]:
    options = read_list(source, path)
    for option in options:
        if isinstance(option.value, dict | list):
            raise option.error(f"an option is one value, but got {option.describe()}", path)
        if is_formula(option.value):
            raise option.error(f"an option is a value, but got the formula {option.value!r}", path)
    return options


def check_distinct(source: Source, values: list[Scalar], path: str) -> None:
    """Raise `SpaceError` where an option is there twice."""
    seen: set[tuple[bool, object]] = set()
    for value in values:
        key = value_key(value)
        if key in seen:
            raise source.error(f"option {value!r} is there twice", path)
        seen.add(key)


def read_range(choice: Mapping[str, Source], path: str) -> tuple[IntRange | None, list[int]]:
    """Read `range: [low, high]` with a `step`, or with a `factor` between neighbours (a logarithmic range).

    Returns:
        The range where its values are evenly spaced, and its values.

    Raises:
        SpaceError: ends that are no whole numbers, or that a step or factor does not meet.
    """
    source = choice["range"]
    if "step" in choice and "factor" in choice:
        raise choice["factor"].error("a range has either 'step' or 'factor'", path)
    ends = [end.value for end in source.value] if isinstance(source.value, list) else []
    word = "factor" if "factor" in choice else "step"
    by = choice[word].plain() if word in choice else 1
    if len(ends) != 2 or any(type(n) is not int for n in (*ends, by)):
        raise source.error(
            f"range takes [low, high] and {word}, all whole numbers, but got {source.plain()!r}, {word} {by!r}", path
        )
    low, high = ends
    if word == "factor":
        return None, _powers(source, path, low, high, by)
    if low > high or by < 1 or (high - low) % by:
        raise source.error(
            f"`low <= high`, `step >= 1` and a high end that is met must hold, "
            f"but got (low={low}, high={high}, step={by})",
            path,
        )
    if (high - low) // by >= MAX_OPTIONS:
        raise source.error(f"a range may have {MAX_OPTIONS} values, but got {(high - low) // by + 1}", path)
    return IntRange(low, high, by), list(range(low, high + 1, by))


def _powers(source: Source, path: str, low: int, high: int, factor: int) -> list[int]:
    numbers = [low]
    while low > 0 and factor > 1 and numbers[-1] < high:
        numbers.append(numbers[-1] * factor)
    if low < 1 or factor < 2 or numbers[-1] != high:
        raise source.error(
            f"`1 <= low <= high`, `factor >= 2` and a high end that is met must hold, "
            f"but got (low={low}, high={high}, factor={factor})",
            path,
        )
    return numbers


PER_WORDS: tuple[Per, ...] = ("stage", "block")
"""What `per` may say of a setting of blocks."""


def read_per(choice: Mapping[str, Source], path: str, context: Context, may: tuple[Per, ...]) -> Per:
    """Read what has one decision: with `per: block` each copy, with `per: stage` all copies of an entry.

    Without the word a choice is of what it stands in: of the stage; of the network, wherever it is used, in what has a
    name; of the block that chose it under a kind chosen per block.

    Raises:
        SpaceError: another word, or one that is not in `may`.
    """
    if "per" not in choice:
        return "stage" if context.level == "copy" else context.level
    source = choice["per"]
    if source.value not in PER_WORDS:
        raise source.error(f"per must be 'block' or 'stage', but got {source.describe()}", path)
    if source.value not in may:
        reason = "one decision for all blocks" if may else "one decision for the network"
        raise source.error(f"this is {reason}, so it cannot be chosen per {source.value}", path)
    if source.value == "stage" and context.level == "copy":
        raise source.error(
            "inside a block whose kind is chosen per block a choice is of that block, so it cannot be per stage", path
        )
    per: Per = source.value
    return per
