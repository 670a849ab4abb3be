"""The whole of a space file: from values with places to layouts of choices, every value checked on the way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from keyword import iskeyword

from nas.cost import AFTER_TRAINING, Constraint, constraints_from
from nas.errors import NasError
from nas.names import name_problem
from nas.network.settings import Setting
from nas.space.language.entries import MAX_ENTRIES, read_chain, read_entry, read_let
from nas.space.language.source import WORDS, Source
from nas.space.language.values import (
    Context,
    ValueNodes,
    read_list,
    read_mapping,
    read_options,
    read_scalar,
    read_value,
)
from nas.space.tree.layout import Layout
from nas.space.tree.nodes import Choice, Node
from nas.space.tree.sections import Chain, SectionNode

_HEADER = {"name", "description", "assume", "limits"}
_NETWORK = {"let", "resolution", "stem", "stages", "head"}
_ASSUME = {"channels": 3, "resolution": 224, "num_classes": 1000, "dims": 2}

DATA = "data"
"""As a resolution: the data decide it. As the value of a name: the map size of the data."""

_MAX_TEXT = 500
_SIZE = Setting("size", int, low=1)
_DIMS = Setting("dims", int, low=1, below=4)


@dataclass(frozen=True)
class SpaceFile:
    """What a space file states."""

    name: str
    description: str
    assumed: Mapping[str, int]
    """`channels`, `resolution`, `num_classes` and `dims` where no data set says otherwise."""
    limits: tuple[Constraint, ...]
    """Hard limits that belong to the space."""
    layouts: Mapping[str, Layout]
    """The descriptions that it chooses between, by name; a single one has the name ""."""
    sources: Mapping[str, Mapping[str, Source]]
    """For each of them where its parts are written, by their paths without the prefix."""
    reads_size: bool
    """Whether a name stands for the map size of the data."""
    choices: tuple[tuple[Choice, Source], ...]
    """Each choice of the layouts with the mapping that states it."""

    @property
    def let_names(self) -> tuple[str, ...]:
        """The names whose values can be given from outside."""
        return tuple(self.layouts[""].lets) if "" in self.layouts else ()


def parse(source: Source, name: str, size: int | None = None) -> SpaceFile:
    """Read a space.

    Args:
        source: what is written.
        name: of the space, where it says none.
        size: map size of the data, for names that stand for it; None takes what the space assumes.

    Raises:
        SpaceError: anything that is not in the language, with file, line, path, rule and value.
    """
    _refuse_other(source)
    top = read_mapping(source, "", None, "a space")
    chooses = "choose" in top
    top = read_mapping(source, "", _HEADER | ({"choose"} if chooses else _NETWORK), "a space")
    assumed = _assumed(top.get("assume"))
    descriptions = {"": source}
    if chooses:
        descriptions = read_options(top["choose"], "choose", "a choice of networks, by name,")
    contexts = {prefix: Context(prefix) for prefix in descriptions}
    layouts = {
        prefix: _layout(description, contexts[prefix], size or assumed["resolution"])
        for prefix, description in descriptions.items()
    }
    return SpaceFile(
        name=_name(source, top.get("name"), name),
        description=_text(top.get("description"), "description", ""),
        assumed=assumed,
        limits=_limits(top.get("limits")),
        layouts=layouts,
        sources={prefix: context.sources for prefix, context in contexts.items()},
        reads_size=any(_reads_size(description) for description in descriptions.values()),
        choices=tuple(stated for context in contexts.values() for stated in context.choices),
    )


def _refuse_other(source: Source) -> None:
    """Raise `SpaceError` for what is no search space, and quote none of it: a link may lead to any file."""
    if isinstance(source.value, str):
        raise source.error("a space is a mapping, but got a text")
    if isinstance(source.value, dict) and not source.value.keys() & set(WORDS):
        raise source.error(f"no search space: it has none of the words {', '.join(WORDS)}")


def _layout(source: Source, context: Context, size: int) -> Layout:
    """Read one description; `context` takes its names and where its parts are written."""
    path = f"choose.{context.prefix}" if context.prefix else ""
    # An included space brings its own header, which is of no use here.
    top = read_mapping(source, path, _NETWORK | _HEADER, "a space")
    for key in ("stages", "head"):
        if key not in top:
            raise source.error(f"a space needs {key!r}", path)
    _read_lets(top.get("let"), context, size)
    stages = read_list(top["stages"], "stages", MAX_ENTRIES)
    return Layout(
        prefix=context.prefix,
        lets=context.lets,
        resolution=_resolution(top.get("resolution"), context),
        stem=SectionNode(read_chain(top["stem"], "stem", context) if "stem" in top else Chain(())),
        stages=tuple(SectionNode(_stage(stage, f"stages.{i}", context)) for i, stage in enumerate(stages)),
        # A network of several maps has nothing behind them.
        head=SectionNode(Chain(()) if top["head"].value == [] else read_chain(top["head"], "head", context)),
    )


def _read_lets(source: Source | None, context: Context, size: int) -> None:
    """Read what names stand for into `context`, one after the other; `data` is the map size."""
    for name, value in (read_mapping(source, "let", None, "let") if source is not None else {}).items():
        if not name.isidentifier() or not name.isascii() or iskeyword(name):
            raise value.error(
                f"a name is a word of letters, digits and _, and no word of formulas, but got {name!r}", "let"
            )
        meant = Source(size, value.file, value.line) if value.value == DATA else value
        context.lets[name] = read_let(meant, f"let.{name}", name, context)


def _reads_size(description: Source) -> bool:
    """Return whether a name of a description that was read stands for the map size of the data."""
    let = description.value.get("let")
    return let is not None and any(value.value == DATA for value in let.value.values())


def _resolution(source: Source | None, context: Context) -> Node | None:
    """Read the map size that the space decides on; None where it leaves it to the data."""
    if source is None or source.value == DATA:
        return None
    nodes = ValueNodes(structural=True)
    return read_value(source, "resolution", "resolution", _SIZE.check, context, may=("stage",), nodes=nodes)


def _name(space: Source, given: Source | None, default: str) -> str:
    """Return the name of a space, which becomes that of its run folders and records."""
    name = _text(given, "name", default)
    problem = name_problem(name)
    if problem:
        remedy = "" if given is not None else "; give the space a `name`"
        raise (given or space).error(f"{problem}{remedy}", "name")
    return name


def _text(source: Source | None, path: str, default: str) -> str:
    if source is None:
        return default
    if not isinstance(source.value, str):
        raise source.error(f"must be text, but got {source.describe()}", path)
    if len(source.value) > _MAX_TEXT:
        raise source.error(f"may have {_MAX_TEXT} characters, but has {len(source.value)}", path)
    return source.value


def _assumed(source: Source | None) -> dict[str, int]:
    given = read_mapping(source, "assume", _ASSUME, "assume") if source is not None else {}
    for key, value in given.items():
        read_scalar(value, f"assume.{key}", (_DIMS if key == "dims" else _SIZE).check)
    return {**_ASSUME, **{key: value.value for key, value in given.items()}}


def _limits(source: Source | None) -> tuple[Constraint, ...]:
    """Read limits in the words of `constraints`: an upper bound, or [lower, upper]."""
    if source is None:
        return ()
    limits: list[Constraint] = []
    for metric, bound in read_mapping(source, "limits", None, "limits").items():
        try:
            limits += constraints_from({metric: bound.plain()})
        except NasError as error:
            raise bound.error(str(error).replace("constraints", "limits"), f"limits.{metric}") from None
        if metric in AFTER_TRAINING:
            raise bound.error(f"only training shows it; a search limits it: constraints.{metric}", f"limits.{metric}")
    return tuple(limits)


def _stage(source: Source, path: str, context: Context) -> Chain:
    """Read a stage: one description with a depth, or a list of entries under `blocks`."""
    if isinstance(source.value, dict) and "blocks" in source.value:
        stage = read_mapping(source, path, {"blocks"}, "a stage with `blocks`")
        return read_chain(stage["blocks"], f"{path}.blocks", context, prefix="blocks.")
    context.sources[path] = source
    return Chain((("", read_entry(source, path, context)),))
