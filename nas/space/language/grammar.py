"""The search-space language: from values with places to a tree of choices, every value checked on the way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from keyword import iskeyword

from nas.cost import Constraint, constraints_from
from nas.errors import NasError
from nas.names import name_problem
from nas.network.settings import Setting
from nas.space.language.entries import MAX_ENTRIES, read_chain, read_entry, read_let
from nas.space.language.source import WORDS, Source
from nas.space.language.values import Context, Leaves, Let, at_least_one, checked, mapping, named_options, read_value
from nas.space.tree.nodes import Node
from nas.space.tree.sections import Body, Chain

_HEADER = {"name", "description", "assume", "limits"}
_NETWORK = {"let", "resolution", "stem", "stages", "head"}
_ASSUME = {"channels": 3, "resolution": 224, "num_classes": 1000, "dims": 2}

DATA = "data"
"""What leaves the resolution to the data, and as the value of a name stands for their map size."""

_MAX_TEXT = 500
_SIZE = Setting("size", int, low=1)
_DIMS = Setting("dims", int, low=1, below=4)


@dataclass(frozen=True)
class Layout:
    """The networks of one description: stem, stages and head, with the names that they use."""

    prefix: str
    """Path before all its decisions; empty unless a space chooses between descriptions."""
    lets: Mapping[str, Let]
    """In the order in which they may use each other."""
    resolution: Node | None
    """Input size that the space decides on; None leaves it to the data."""
    stem: Body
    stages: tuple[Body, ...]
    head: Body
    places: Mapping[str, Source]
    """Where each part is written, by its path without the prefix."""
    reads_size: bool
    """Whether a name stands for the map size of the data."""


@dataclass(frozen=True)
class SpaceFile:
    """A space file, understood."""

    name: str
    description: str
    assumed: Mapping[str, int]
    """`channels`, `resolution`, `num_classes` and `dims` where no data set says otherwise."""
    limits: tuple[Constraint, ...]
    """Hard limits that belong to the space."""
    layouts: Mapping[str, Layout]
    """The descriptions that it chooses between, by name; a single one has the name ""."""

    @property
    def reads_size(self) -> bool:
        """Whether a name stands for the map size of the data."""
        return any(layout.reads_size for layout in self.layouts.values())

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
    top = mapping(source, "", None, "a space")
    chooses = "choose" in top
    top = mapping(source, "", _HEADER | ({"choose"} if chooses else _NETWORK), "a space")
    assumed = _assumed(top.get("assume"))
    size = size or assumed["resolution"]
    if chooses:
        options = named_options(top["choose"], "choose", "a choice of networks, by name,")
        layouts = {key: _layout(option, key, size) for key, option in options.items()}
    else:
        layouts = {"": _layout(source, "", size)}
    return SpaceFile(
        name=_name(source, top.get("name"), name),
        description=_word(top.get("description"), "description", ""),
        assumed=assumed,
        limits=_limits(top.get("limits")),
        layouts=layouts,
    )


def _refuse_other(source: Source) -> None:
    """Refuse a file that is none of ours without a word of what is in it: a link may lead to any."""
    if isinstance(source.value, str):
        raise source.error("a space is a mapping, but got a text")
    if isinstance(source.value, dict) and not source.value.keys() & set(WORDS):
        raise source.error(f"no search space: it has none of the words {', '.join(WORDS)}")


def _layout(source: Source, prefix: str, size: int) -> Layout:
    at = f"choose.{prefix}" if prefix else ""
    # An included space brings its own header, which is of no use here.
    top = mapping(source, at, _NETWORK | _HEADER, "a space")
    for key in ("stages", "head"):
        if key not in top:
            raise source.error(f"a space needs {key!r}", at)
    context, reads_size = Context(prefix), False
    for name, value in (mapping(top["let"], "let", None, "let") if "let" in top else {}).items():
        if not name.isidentifier() or not name.isascii() or iskeyword(name):
            raise value.error(
                f"a name is a word of letters, digits and _, and no word of formulas, but got {name!r}", "let"
            )
        of_data = value.value == DATA
        reads_size = reads_size or of_data
        held = Source(size, value.file, value.line) if of_data else value
        context.lets[name] = read_let(held, f"let.{name}", name, context)
    stages = at_least_one(top["stages"], "stages", MAX_ENTRIES)
    resolution = top.get("resolution")
    return Layout(
        prefix=prefix,
        lets=context.lets,
        resolution=None
        if resolution is None or resolution.value == DATA
        else read_value(
            resolution, "resolution", "resolution", _SIZE.check, context, may=("stage",), leaves=Leaves(structural=True)
        ),
        stem=Body(read_chain(top["stem"], "stem", context) if "stem" in top else Chain(())),
        stages=tuple(Body(_stage(stage, f"stages.{i}", context)) for i, stage in enumerate(stages)),
        # A network of several maps has nothing behind them.
        head=Body(Chain(()) if top["head"].value == [] else read_chain(top["head"], "head", context)),
        places=context.places,
        reads_size=reads_size,
    )


def _name(space: Source, given: Source | None, default: str) -> str:
    """The name of a space, which becomes that of its run folders and records."""
    name = _word(given, "name", default)
    problem = name_problem(name)
    if problem:
        way_out = "" if given is not None else "; give the space a `name`"
        raise (given or space).error(f"{problem}{way_out}", "name")
    return name


def _word(source: Source | None, path: str, default: str) -> str:
    if source is None:
        return default
    if not isinstance(source.value, str):
        raise source.error(f"must be text, but got {source.describe()}", path)
    if len(source.value) > _MAX_TEXT:
        raise source.error(f"may have {_MAX_TEXT} characters, but has {len(source.value)}", path)
    return source.value


def _assumed(source: Source | None) -> dict[str, int]:
    given = mapping(source, "assume", _ASSUME, "assume") if source is not None else {}
    for key, value in given.items():
        checked(value, f"assume.{key}", (_DIMS if key == "dims" else _SIZE).check)
    return {**_ASSUME, **{key: value.value for key, value in given.items()}}


def _limits(source: Source | None) -> tuple[Constraint, ...]:
    """Limits in the words of `constraints`: an upper bound, or [lower, upper]."""
    if source is None:
        return ()
    found: list[Constraint] = []
    for metric, bound in mapping(source, "limits", None, "limits").items():
        try:
            found += constraints_from({metric: bound.plain()})
        except NasError as error:
            raise bound.error(str(error).replace("constraints", "limits"), f"limits.{metric}") from None
    return tuple(found)


def _stage(source: Source, path: str, context: Context) -> Chain:
    """A stage is one description with a depth, or a list of entries under `blocks`."""
    if isinstance(source.value, dict) and "blocks" in source.value:
        stage = mapping(source, path, {"blocks"}, "a stage with `blocks`")
        return read_chain(stage["blocks"], f"{path}.blocks", context, prefix="blocks.")
    context.places[path] = source
    return Chain((("", read_entry(source, path, context)),))
