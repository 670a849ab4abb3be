"""A space with some decisions fixed: bound to a value, or to some of their options."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

from nas.equality import value_key
from nas.errors import ConfigError, nearest
from nas.network.settings import Scalar
from nas.space.language.source import Source
from nas.space.space import SearchSpace
from nas.space.tree.nodes import Choice

ANY_WORD = "*"
"""Stands for any one word of a path: `stages.*.kernel`."""


def fixed(space: SearchSpace, fix: Mapping[str, object], where: str = "fix") -> SearchSpace:
    """Return a space whose decisions are bound to what is said of them.

    It is a space like any other, whose source has the options that are left. A decision that is fixed stays a decision,
    with one option; what stands under options that went is gone.

    Args:
        space: whose decisions they are.
        fix: for each path of a decision the value, or a list of the values, that it may have. A `*` in a path stands
            for any one word. The words of a path may also be mappings inside each other.
        where: begins messages.

    Raises:
        ConfigError: no decision has such a path, a value is none of its options, or a path names only some of the
            decisions that the space states in one place.
        SpaceError: what is left is no space, such as one with a formula that breaks a rule.
    """
    decisions = space.decisions()
    left: dict[int, tuple[Choice, list[Scalar]]] = {}
    wanted = dict(_paths(fix))
    for path, given in wanted.items():
        named = {own: choice for own, choice in decisions.items() if _fits(path, own)}
        if not named:
            raise ConfigError(f"{where}: there is no decision {path!r}. {nearest(path, decisions)}")
        _check_whole(path, named, decisions, where)
        for own, choice in named.items():
            _, before = left.get(id(choice), (choice, list(choice.values)))
            left[id(choice)] = choice, _kept(own, choice, before, given, where)
    cut = [(choice, values) for choice, values in left.values() if len(values) < len(choice.values)]
    if not cut:
        return space
    narrowed = _without(space, cut)
    for path in wanted:
        if not any(_fits(path, own) for own in narrowed.decisions()):
            raise ConfigError(f"{where}: {path} is no decision any more beside the others that are fixed")
    return narrowed


def _paths(fix: Mapping[Any, object], outer: str = "") -> Iterator[tuple[str, object]]:
    """Yield the path of each decision with what is said of it; `{stages: {0: {kernel: 3}}}` is a path too."""
    for word, given in fix.items():
        path = f"{outer}.{word}" if outer else str(word)
        if isinstance(given, Mapping):
            yield from _paths(given, path)
        else:
            yield path, given


def _fits(pattern: str, path: str) -> bool:
    words, own = pattern.split("."), path.split(".")
    return len(words) == len(own) and all(word in (ANY_WORD, other) for word, other in zip(words, own, strict=True))


def _check_whole(path: str, named: Mapping[str, Choice], decisions: Mapping[str, Choice], where: str) -> None:
    """Raise `ConfigError` where a choice, which the space states once for some decisions, is named for part of them."""
    choices = {id(choice) for choice in named.values()}
    together = [own for own, choice in decisions.items() if id(choice) in choices]
    others = [own for own in together if own not in named]
    if others:
        more = f" and {len(others) - 1} more" if len(others) > 1 else ""
        raise ConfigError(
            f"{where}: {path} is stated in one place with {others[0]}{more}, so they can only be fixed together: "
            f"{_common(together)}"
        )


def _common(paths: Sequence[str]) -> str:
    """Return the path that names all of some, with `*` where their words differ."""
    lengths = {len(path.split(".")) for path in paths}
    if len(lengths) > 1:
        return ", ".join(paths)
    words = zip(*(path.split(".") for path in paths), strict=True)
    return ".".join(own[0] if len(set(own)) == 1 else ANY_WORD for own in words)


def _kept(path: str, choice: Choice, left: Sequence[Scalar], given: object, where: str) -> list[Scalar]:
    """Return the options of a decision that stay, in their order."""
    wanted = given if isinstance(given, list | tuple) else [given]
    for value in wanted:
        if isinstance(value, list | Mapping) or choice.index_of(value) is None:
            raise ConfigError(f"{where}: {path} must be one of {list(choice.values)}, but got {value!r:.80}")
    keys = {value_key(value) for value in wanted}
    kept = [value for value in left if value_key(value) in keys]
    if not kept:
        raise ConfigError(f"{where}: nothing is left of {path}, one of {list(choice.values)}, by {given!r:.80}")
    return kept


def _without(space: SearchSpace, cut: Sequence[tuple[Choice, Sequence[Scalar]]]) -> SearchSpace:
    """Return a space whose choices have the options that are left."""
    stated = {id(choice): source for choice, source in space.file.choices}
    # What is not stated inside a layout is the choice between layouts, which the whole source states.
    left = {id(stated.get(id(choice), space.source)): (choice, values) for choice, values in cut}
    made = SearchSpace.from_source(_rebuilt(space.source, left), space.name)
    if (made.input_shape, made.num_classes, made.task) == (space.input_shape, space.num_classes, space.task):
        return made
    return made.for_data(space.input_shape, space.num_classes, task=space.task)


def _rebuilt(source: Source, left: Mapping[int, tuple[Choice, Sequence[Scalar]]]) -> Source:
    """Return a source whose mappings that state choices, given by `id`, have the options that are left."""
    value = source.value
    if isinstance(value, dict):
        value = {key: _rebuilt(item, left) for key, item in value.items()}
    elif isinstance(value, list):
        value = [_rebuilt(item, left) for item in value]
    if id(source) not in left:
        return replace(source, value=value)
    return replace(source, value=_stating(value, *left[id(source)], source), fixed=True)


def _stating(
    words: Mapping[str, Source], choice: Choice, values: Sequence[Scalar], source: Source
) -> dict[str, Source]:
    """Return the words of a mapping that states a choice, with the options that are left."""

    def plain(value: Any) -> Source:
        return Source(value, source.file, source.line)

    if choice.name == "present":
        return {**words, "optional": plain([plain(value) for value in values])}
    if "range" in words:
        words = {key: item for key, item in words.items() if key not in ("range", "step", "factor")}
        steps = {after - before for before, after in pairwise(value for value in values if isinstance(value, int))}
        if choice.int_range is None or len(steps) > 1:
            return {**words, "choose": plain([plain(value) for value in values])}
        ends = [plain(values[0]), plain(values[-1])]
        return {**words, "range": plain(ends), "step": plain(steps.pop() if steps else 1)}
    options, keys = words["choose"], {value_key(value) for value in values}
    if isinstance(options.value, dict):
        kept: Any = {name: option for name, option in options.value.items() if value_key(name) in keys}
    else:
        kept = [option for option in options.value if value_key(option.value) in keys]
    return {**words, "choose": replace(options, value=kept)}
