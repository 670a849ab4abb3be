"""The words of the language that become blocks: entries, kinds, settings, branches."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from types import NoneType
from typing import Any

from nas.errors import NasError, nearest
from nas.network.registry import BlockKind, block_kind
from nas.network.section import Section
from nas.network.settings import Setting
from nas.space.language.source import Source
from nas.space.language.values import (
    PER_WORDS,
    Context,
    ValueNodes,
    check_distinct,
    read_formula,
    read_if,
    read_list,
    read_mapping,
    read_options,
    read_per,
    read_value,
)
from nas.space.tree.blocks import STRIDE, BlockNode, Copies, DepthChoice, DerivedCopies, KindNode
from nas.space.tree.derived import Record
from nas.space.tree.formula import MARK, Formula, is_formula
from nas.space.tree.joint import JointChoice
from nas.space.tree.nodes import Choice, Const, Node, Option, Per
from nas.space.tree.references import Let, Reference
from nas.space.tree.sections import Branches, Chain, Nested, PerCopy, SectionNode

MAX_ENTRIES = 256
_MAX_DEPTH = 512
_MAX_BRANCHES = 256

_DEPTH = Setting("depth", int, low=0, below=_MAX_DEPTH + 1)
_COUNT = Setting("count", int, low=1, below=_MAX_BRANCHES + 1)
_NOT_SETTINGS = ("block", "depth", "optional")

_Kinds = list[tuple[BlockKind, frozenset[str]]]
"""The kinds that can be chosen, each with the settings that are given under it."""


def read_chain(source: Source, path: str, context: Context, prefix: str = "") -> Chain:
    """Read the stem, the head, a branch or the blocks of a stage: one entry, or a list of them.

    Args:
        source: what is written.
        path: its place in the space.
        context: names that it may use.
        prefix: path of the entries relative to the scope of the chain.

    Raises:
        SpaceError: anything that is not in the language, with file, line, path, rule and value.
    """
    single = isinstance(source.value, dict) or is_formula(source.value)
    sources = [source] if single else read_list(source, path, MAX_ENTRIES)
    return Chain(tuple(_read_numbered(entry, i, path, context, prefix) for i, entry in enumerate(sources)))


def _read_numbered(source: Source, number: int, path: str, context: Context, prefix: str) -> tuple[str, Node]:
    context.sources[f"{path}.{number}"] = source
    return f"{prefix}{number}", read_entry(source, f"{path}.{number}", context)


def read_entry(source: Source, path: str, context: Context) -> Node:
    """Read blocks from one description; the node's value is a tuple of blocks for each copy.

    `block`, its settings, `depth` for how many copies and `optional` for whether there are any; or `choose` with named
    entries, a condition, or `= name` of blocks.

    Raises:
        SpaceError: anything that is not in the language, with file, line, path, rule and value.
    """
    if is_formula(source.value):
        return _read_reference(source, path, context, "blocks")
    entry = read_mapping(source, path, None, "a block")

    def part(inner: Source, where: str, side: str) -> Node:
        return Nested(side, _read_blocks(inner, where, context))

    if "if" in entry:
        return read_if(source, path, context, part)
    if "choose" in entry:
        words = read_mapping(source, path, {"choose"}, "a choice of blocks")
        items = read_options(words["choose"], path, "a choice of blocks, by name,")
        options = tuple(Option(name, part(option, f"{path}.{name}", name)) for name, option in items.items())
        return context.stated(Choice("choose", options, _per_of_parts(context)), source)
    if "block" not in entry:
        raise source.error(f"needs 'block', the kind of block. It has {source.describe()}", path)
    node = _read_copies(entry, source, path, context)
    if "optional" not in entry:
        return node
    parts = {True: node, False: Copies(0, Const(None), numbered=False)}
    options = tuple(Option(present, parts[present]) for present in _read_optional(entry["optional"], path))
    return context.stated(Choice("present", options, _per_of_parts(context)), source)


def _read_optional(source: Source, path: str) -> list[bool]:
    """Return the options of `optional: true`; of `[true]` or `[false]` the one that it is fixed to."""
    given = source.plain()
    if given is True:
        return [True, False]
    if not (isinstance(given, list) and len(given) == 1 and isinstance(given[0], bool)):
        raise source.error(
            f"optional is true or left out, or [true] or [false] where that is fixed, but got {source.describe()}", path
        )
    return given


def _per_of_parts(context: Context) -> Per:
    """Return what a choice between parts is of, which no `per` can say."""
    return "network" if context.level == "network" else "stage"


def _read_reference(source: Source, path: str, context: Context, what: str) -> Reference:
    """Read `= name` where the name must stand for `what`: a block, or blocks."""
    name = _name_in(source)
    let = context.lets.get(name)
    if let is None:
        raise source.error(f"unknown name {name!r}. {nearest(name, context.lets)}", path)
    if let.what != what:
        needed = {"block": "a block", "blocks": "a list of blocks"}[what]
        raise source.error(f"{name!r} stands for a {let.what}, but here {needed} is needed", path)
    return Reference(name, f"{context.prefix}.let.{name}" if context.prefix else f"let.{name}", let.node)


def _name_in(source: Source) -> str:
    """Return the name in `= name`."""
    return str(source.value).strip().removeprefix(MARK).strip()


def _read_copies(entry: Mapping[str, Source], source: Source, path: str, context: Context) -> Node:
    """Read a block with its `depth`."""
    block = _read_block(entry, source, path, context)
    where = f"{source.location()}: {path}"

    @cache
    def copies(count: int) -> Node:
        return Copies(count, block, numbered=True, where=where)

    if "depth" not in entry:
        return Copies(1, block, numbered=False, where=where)
    nodes = ValueNodes(
        const=copies,
        derived=lambda read, values: DerivedCopies(read, copies, max(values, default=0)),
        choice=DepthChoice,
        structural=True,
    )
    return read_value(entry["depth"], f"{path}.depth", "depth", _DEPTH.check, context, may=("stage",), nodes=nodes)


def _read_block(entry: Mapping[str, Source], source: Source, path: str, context: Context) -> BlockNode:
    """Read the kind of a block and its settings, and check that every kind gets the settings that it requires."""
    given = {key: value for key, value in entry.items() if key not in _NOT_SETTINGS}
    block, kinds = _read_kind_and_settings(entry["block"], given, path, context)
    for kind, own in kinds:
        for name, setting in kind.settings.items():
            if setting.required and name not in own:
                raise source.error(f"block {kind.name!r} needs {name!r}: {setting.rule()}", path)
    return block


def _read_kind_and_settings(
    kind: Source, given: Mapping[str, Source], path: str, context: Context
) -> tuple[BlockNode, _Kinds]:
    """Read a kind, or a choice of kinds, with the settings beside it; no setting may be given twice."""
    node, kinds = _read_kind(kind, f"{path}.block", context)
    settings = _read_settings(given, path, "", [block for block, _ in kinds], context)
    for block, own in kinds:
        for name in sorted(own & set(given)):
            raise given[name].error(f"{name!r} is given here and under block {block.name!r}", path)
    return BlockNode(node, settings), [(block, own | set(given)) for block, own in kinds]


def _read_let_block(source: Source, path: str, context: Context) -> Let:
    """Read a block that has a name; its value is `(kind, settings)`."""
    entry = read_mapping(source, path, None, "a block")
    for word in ("depth", "optional"):
        if word in entry:
            raise entry[word].error(f"{word!r} belongs where the block is used", path)
    given = {key: value for key, value in entry.items() if key != "block"}
    block, kinds = _read_kind_and_settings(entry["block"], given, path, context)
    return Let(block, "block", tuple(kinds))


def _read_kind(source: Source, path: str, context: Context) -> tuple[Node, _Kinds]:
    """Read the kind of a block, a choice of kinds, each with settings of its own or without, or `= name`."""
    if is_formula(source.value):
        reference = _read_reference(source, path, context, "block")
        return reference, list(context.lets[reference.name].kinds)
    if not isinstance(source.value, dict):
        block = _registered(source, source.value, path)
        return KindNode(block.name, Record(())), [(block, frozenset())]
    choice = read_mapping(source, path, {"choose", "per"}, "a choice")
    if "choose" not in choice:
        raise source.error("needs 'choose'", path)
    options, per = choice["choose"], read_per(choice, path, context, PER_WORDS)
    if context.level != "copy":
        context = context.at(per)
    if isinstance(options.value, dict) and options.value:
        items = list(read_options(options, path, "a choice of kinds, by name,").items())
    else:
        items = [(str(option.value), option) for option in _kind_names(options, path)]
    with_settings = isinstance(options.value, dict)
    read = [_read_kind_option(option, name, path, context, per, with_settings=with_settings) for name, option in items]
    check_distinct(options, [name for name, _ in items], path)
    nodes = [node for _, node in read]
    shares = per == "block" and any("stage" in node.decides for node in nodes)
    named = tuple(Option(name, node) for (name, _), node in zip(items, nodes, strict=True))
    node = context.stated((JointChoice if shares else Choice)("block", named, per), source)
    return node, [(kind, frozenset(key for key, _ in own.settings.items)) for kind, own in read]


def _read_kind_option(
    option: Source, name: str, path: str, context: Context, per: Per, *, with_settings: bool
) -> tuple[BlockKind, KindNode]:
    """Read one kind of a choice: a word, or below its name a mapping of its settings or nothing."""
    own = dict(option.value) if isinstance(option.value, dict) else {}
    if with_settings and not isinstance(option.value, dict | NoneType):
        raise option.error(f"the settings of {name!r} are a mapping, but got {option.describe()}", f"{path}.{name}")
    # An option is named after its kind, unless it says which kind it is.
    block = own.pop("block", None)
    kind = _registered(block or option, block.value if block else name, f"{path}.{name}" if block else path)
    if STRIDE in own and per == "block":
        raise own[STRIDE].error(
            "'stride' is of the first block of a stage, so it cannot stand under a kind chosen per block",
            f"{path}.{name}.{STRIDE}",
        )
    settings = _read_settings(own, f"{path}.{name}", f"block.{name}", [kind], context)
    return kind, KindNode(kind.name, settings)


def _kind_names(source: Source, path: str) -> list[Source]:
    options = read_list(source, path)
    for option in options:
        if isinstance(option.value, dict | list):
            raise option.error(f"an option is one value, but got {option.describe()}", path)
    return options


def _registered(source: Source, name: object, path: str) -> BlockKind:
    if isinstance(name, list):
        raise source.error(f"must be one kind, but got {source.describe()}; write {{choose: [...]}} to choose", path)
    try:
        return block_kind(name)
    except NasError as error:
        raise source.error(str(error), path) from None


def _read_settings(
    items: Mapping[str, Source], path: str, prefix: str, kinds: list[BlockKind], context: Context
) -> Record:
    """Read settings, each of which every one of `kinds` must take."""
    nodes: list[tuple[str, Node]] = []
    for key, value in items.items():
        at = f"{path}.{key}"
        try:
            settings = [kind.setting(key) for kind in kinds]
        except NasError as error:
            raise value.error(str(error), at) from None
        name = f"{prefix}.{key}" if prefix else key
        if settings[0].holds_blocks:
            read = _read_section if settings[0].kind is Section else _read_branches
            inside = context.at("copy") if context.level == "block" else context
            inner = Nested(name, read(value, at, inside))
            nodes.append((key, PerCopy(inner) if context.level == "block" else inner))
            continue

        def check(given: object, settings: list[Setting] = settings) -> Any:
            for setting in settings:
                checked = setting.check(given)
            return checked

        nodes.append((key, read_value(value, at, name, check, context, may=("stage",) if key == STRIDE else PER_WORDS)))
    return Record(tuple(nodes))


def _read_section(source: Source, path: str, context: Context) -> Node:
    """Read the blocks of a section inside a block."""
    return SectionNode(_read_blocks(source, path, context))


def _read_blocks(source: Source, path: str, context: Context) -> Node:
    """Read blocks inside a block or under an option: one entry, a list, which may be empty, or `= name` of blocks."""
    if is_formula(source.value):
        return _read_reference(source, path, context, "blocks")
    if isinstance(source.value, dict):
        context.sources[path] = source
        return Chain((("", read_entry(source, path, context)),))
    if isinstance(source.value, list) and not source.value:
        return Chain(())
    return read_chain(source, path, context)


def _read_branches(source: Source, path: str, context: Context) -> Node:
    """Read branches: a list of them, or `count` branches from one description, each of which decides for itself."""
    if isinstance(source.value, dict):
        words = read_mapping(source, path, {"count", "each"}, "branches")
        for word in ("count", "each"):
            if word not in words:
                raise source.error(
                    f"branches are a list, or a mapping with 'count' and 'each'; {word!r} is missing", path
                )
        each = _read_section(words["each"], f"{path}.each", context)
        nodes = ValueNodes(const=lambda count: Branches((each,) * count), derived=_refuse_formula(words["count"], path))
        return read_value(words["count"], f"{path}.count", "count", _COUNT.check, context, may=("stage",), nodes=nodes)
    branches = read_list(source, path)
    if len(branches) > _MAX_BRANCHES:
        raise source.error(f"a block may have {_MAX_BRANCHES} branches, but got {len(branches)}", path)
    return Branches(tuple(_read_section(branch, f"{path}.{i}", context) for i, branch in enumerate(branches)))


def _refuse_formula(source: Source, path: str) -> Callable[[Formula, list[Any]], Node]:
    def refuse(read: Formula, values: list[Any]) -> Node:
        raise source.error("count is a number or a choice of numbers, not a formula", path)

    return refuse


def read_let(source: Source, path: str, name: str, context: Context) -> Let:
    """Read what a name stands for: a value, a block, or blocks.

    Args:
        source: what is written.
        path: its place in the space, for messages.
        name: of the value.
        context: names that it may use, which stand before it.

    Raises:
        SpaceError: anything that is not in the language, with file, line, path, rule and value.
    """
    given = context.at("network")
    if isinstance(source.value, dict) and "block" in source.value:
        return _read_let_block(source, path, given)
    if isinstance(source.value, list):
        return Let(read_chain(source, path, given), "blocks")
    if _states_blocks(source, context):
        return Let(_read_blocks(source, path, given), "blocks")

    def any_scalar(value: object) -> object:
        return value

    if is_formula(source.value):
        read_formula(source, path, context)
    return Let(read_value(source, path, name, any_scalar, context, may=()), "value")


def _states_blocks(source: Source, context: Context) -> bool:
    """Return whether a choice, a condition or a name is of blocks, not of values."""
    value = source.value
    if is_formula(value):
        let = context.lets.get(_name_in(source))
        return let is not None and let.what == "blocks"
    if isinstance(value, list):
        return True
    if not isinstance(value, dict):
        return False
    if "if" in value:
        return any(_states_blocks(value[side], context) for side in ("then", "else") if side in value)
    return "block" in value or ("choose" in value and isinstance(value["choose"].value, dict))
