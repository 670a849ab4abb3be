"""The words of the language that become blocks: entries, kinds, settings, branches."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from types import NoneType
from typing import Any

from nas.errors import NasError, nearest
from nas.network.registry import BlockKind, block_kind
from nas.network.section import Section
from nas.network.settings import Setting
from nas.space.language.source import Source
from nas.space.language.values import (
    EACH,
    Context,
    Leaves,
    Let,
    at_least_one,
    distinct,
    mapping,
    named_options,
    read_formula,
    read_if,
    read_per,
    read_value,
)
from nas.space.tree.blocks import STRIDE, Copies, Depths, Kind, Merged, Repeat
from nas.space.tree.formula import is_formula
from nas.space.tree.joint import JointChoice
from nas.space.tree.nodes import Choice, Const, Node, Option, Per, Record
from nas.space.tree.references import Named
from nas.space.tree.sections import Body, Chain, Each, Inside, Ways

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
        context: what is known already.
        prefix: path of the entries relative to the scope of the chain.
    """
    one = isinstance(source.value, dict) or is_formula(source.value)
    sources = [source] if one else at_least_one(source, path, MAX_ENTRIES)
    return Chain(tuple(_numbered(entry, i, path, context, prefix) for i, entry in enumerate(sources)))


def _numbered(source: Source, number: int, path: str, context: Context, prefix: str) -> tuple[str, Node]:
    context.places[f"{path}.{number}"] = source
    return f"{prefix}{number}", read_entry(source, f"{path}.{number}", context)


def read_entry(source: Source, path: str, context: Context) -> Node:
    """Read blocks from one description; the node's value is a tuple of blocks for each copy.

    `block`, its settings, `depth` for how many copies and `optional` for whether there are any; or `choose` with named
    entries, a condition, or `= name` of blocks.
    """
    if is_formula(source.value):
        return _named(source, path, context, "blocks")
    entry = mapping(source, path, None, "a block")

    def part(inner: Source, where: str, side: str) -> Node:
        return Inside(side, _blocks(inner, where, context))

    if "if" in entry:
        return read_if(source, path, context, part)
    if "choose" in entry:
        words = mapping(source, path, {"choose"}, "a choice of blocks")
        items = named_options(words["choose"], path, "a choice of blocks, by name,")
        options = tuple(Option(name, part(option, f"{path}.{name}", name)) for name, option in items.items())
        return Choice("choose", options, _of_parts(context))
    if "block" not in entry:
        raise source.error(f"needs 'block', the kind of block. It has {source.describe()}", path)
    node = _repeated(entry, source, path, context)
    if "optional" not in entry:
        return node
    if entry["optional"].value is not True:
        raise entry["optional"].error(f"optional is true or left out, but got {entry['optional'].describe()}", path)
    nothing = Copies(0, Const(None), numbered=False)
    return Choice("present", (Option(True, node), Option(False, nothing)), _of_parts(context))


def _of_parts(context: Context) -> Per:
    """What a choice between parts is of, which no `per` can say."""
    return "network" if context.level == "network" else "stage"


def _named(source: Source, path: str, context: Context, what: str) -> Named:
    """`= name` where the name stands for a block, or for blocks."""
    read = str(source.value).strip().removeprefix("=").strip()
    let = context.lets.get(read)
    if let is None:
        raise source.error(f"unknown name {read!r}. {nearest(read, context.lets)}", path)
    if let.what != what:
        needed = {"block": "a block", "blocks": "a list of blocks"}[what]
        raise source.error(f"{read!r} stands for a {let.what}, but here {needed} is needed", path)
    return Named(read, f"{context.prefix}.let.{read}" if context.prefix else f"let.{read}", let.node)


def _repeated(entry: Mapping[str, Source], source: Source, path: str, context: Context) -> Node:
    block = read_block(entry, source, path, context)
    place = source.place()

    @cache
    def copies(count: int) -> Node:
        return Copies(count, block, numbered=True, where=f"{place}: {path}")

    if "depth" not in entry:
        return Copies(1, block, numbered=False, where=f"{place}: {path}")
    leaves = Leaves(
        const=copies,
        derived=lambda read, values: Repeat(read, copies, max(values, default=0)),
        choice=Depths,
        structural=True,
    )
    return read_value(entry["depth"], f"{path}.depth", "depth", _DEPTH.check, context, may=("stage",), leaves=leaves)


def read_block(entry: Mapping[str, Source], source: Source, path: str, context: Context) -> Merged:
    """Read the kind of a block and its settings, and see that every kind gets what it needs."""
    given = {key: value for key, value in entry.items() if key not in _NOT_SETTINGS}
    block, kinds = _merged(entry["block"], given, path, context)
    for kind, own in kinds:
        for name, setting in kind.settings.items():
            if setting.required and name not in own:
                raise source.error(f"block {kind.name!r} needs {name!r}: {setting.rule()}", path)
    return block


def _merged(kind: Source, given: Mapping[str, Source], path: str, context: Context) -> tuple[Merged, _Kinds]:
    """Read a kind, or a choice of kinds, with the settings beside it; no setting may be given twice."""
    node, kinds = _kind(kind, f"{path}.block", context)
    settings = _settings(given, path, "", [block for block, _ in kinds], context)
    for block, own in kinds:
        for name in sorted(own & set(given)):
            raise given[name].error(f"{name!r} is given here and under block {block.name!r}", path)
    return Merged(node, settings), [(block, own | set(given)) for block, own in kinds]


def read_let_block(source: Source, path: str, context: Context) -> Let:
    """Read a block that has a name; its value is `(kind, settings)`."""
    entry = mapping(source, path, None, "a block")
    for word in ("depth", "optional"):
        if word in entry:
            raise entry[word].error(f"{word!r} belongs where the block is used", path)
    given = {key: value for key, value in entry.items() if key != "block"}
    block, kinds = _merged(entry["block"], given, path, context)
    return Let(block, "block", tuple(kinds))


def _kind(source: Source, path: str, context: Context) -> tuple[Node, _Kinds]:
    """The kind of a block, a choice of kinds, each with settings of its own or without, or `= name`."""
    if is_formula(source.value):
        named = _named(source, path, context, "block")
        return named, list(context.lets[named.name].kinds)
    if not isinstance(source.value, dict):
        block = _block(source, source.value, path)
        return Kind(block.name, Record(())), [(block, frozenset())]
    choice = mapping(source, path, {"choose", "per"}, "a choice")
    if "choose" not in choice:
        raise source.error("needs 'choose'", path)
    options, per = choice["choose"], read_per(choice, path, context, EACH)
    if context.level != "copy":
        context = context.at(per)
    if isinstance(options.value, dict) and options.value:
        items = list(named_options(options, path, "a choice of kinds, by name,").items())
    else:
        items = [(str(option.value), option) for option in _kind_names(options, path)]
    found: list[tuple[str, BlockKind, Kind]] = []
    for name, option in items:
        own = dict(option.value) if isinstance(option.value, dict) else {}
        if isinstance(options.value, dict) and not isinstance(option.value, dict | NoneType):
            raise option.error(f"the settings of {name!r} are a mapping, but got {option.describe()}", f"{path}.{name}")
        # An option is named after its kind, unless it says which kind it is.
        kind = own.pop("block", None)
        block = _block(kind or option, kind.value if kind else name, f"{path}.{name}" if kind else path)
        if STRIDE in own and per == "block":
            raise own[STRIDE].error(
                "'stride' is of the first block of a stage, so it cannot stand under a kind chosen per block",
                f"{path}.{name}.{STRIDE}",
            )
        settings = _settings(own, f"{path}.{name}", f"block.{name}", [block], context)
        found.append((name, block, Kind(block.name, settings)))
    distinct(options, [name for name, _ in items], path)
    shares = per == "block" and any("stage" in kind.decides for _, _, kind in found)
    node = (JointChoice if shares else Choice)("block", tuple(Option(name, kind) for name, _, kind in found), per)
    return node, [(block, frozenset(key for key, _ in kind.settings.items)) for _, block, kind in found]


def _kind_names(source: Source, path: str) -> list[Source]:
    options = at_least_one(source, path)
    for option in options:
        if isinstance(option.value, dict | list):
            raise option.error(f"an option is one value, but got {option.describe()}", path)
    return options


def _block(source: Source, name: object, path: str) -> BlockKind:
    if isinstance(name, list):
        raise source.error(f"must be one kind, but got {source.describe()}; write {{choose: [...]}} to choose", path)
    try:
        return block_kind(name)
    except NasError as error:
        raise source.error(str(error), path) from None


def _settings(items: Mapping[str, Source], path: str, prefix: str, kinds: list[BlockKind], context: Context) -> Record:
    """Settings that every one of `kinds` must take."""
    nodes: list[tuple[str, Node]] = []
    for key, value in items.items():
        at = f"{path}.{key}"
        try:
            settings = [kind.setting(key) for kind in kinds]
        except NasError as error:
            raise value.error(str(error), at) from None
        name = f"{prefix}.{key}" if prefix else key
        if settings[0].holds_blocks:
            read = _body if settings[0].kind is Section else _ways
            inside = context.at("copy") if context.level == "block" else context
            inner = Inside(name, read(value, at, inside))
            nodes.append((key, Each(inner) if context.level == "block" else inner))
            continue

        def check(given: object, settings: list[Setting] = settings) -> Any:
            for setting in settings:
                found = setting.check(given)
            return found

        nodes.append((key, read_value(value, at, name, check, context, may=("stage",) if key == STRIDE else EACH)))
    return Record(tuple(nodes))


def _body(source: Source, path: str, context: Context) -> Node:
    """Blocks inside a block, on their own."""
    return Body(_blocks(source, path, context))


def _blocks(source: Source, path: str, context: Context) -> Node:
    """Blocks inside a block or under an option: one entry, a list of them, which may be empty, or `= name` of one."""
    if is_formula(source.value):
        return _named(source, path, context, "blocks")
    if isinstance(source.value, dict):
        context.places[path] = source
        return Chain((("", read_entry(source, path, context)),))
    if isinstance(source.value, list) and not source.value:
        return Chain(())
    return read_chain(source, path, context)


def _ways(source: Source, path: str, context: Context) -> Node:
    """Branches: a list of them, or `count` branches from one description, each of which decides for itself."""
    if isinstance(source.value, dict):
        words = mapping(source, path, {"count", "each"}, "branches")
        for word in ("count", "each"):
            if word not in words:
                raise source.error(
                    f"branches are a list, or a mapping with 'count' and 'each'; {word!r} is missing", path
                )
        each = _body(words["each"], f"{path}.each", context)
        leaves = Leaves(const=lambda count: Ways((each,) * count), derived=_no_formula(words["count"], path))
        return read_value(
            words["count"], f"{path}.count", "count", _COUNT.check, context, may=("stage",), leaves=leaves
        )
    branches = at_least_one(source, path)
    if len(branches) > _MAX_BRANCHES:
        raise source.error(f"a block may have {_MAX_BRANCHES} branches, but got {len(branches)}", path)
    return Ways(tuple(_body(branch, f"{path}.{i}", context) for i, branch in enumerate(branches)))


def _no_formula(source: Source, path: str) -> Any:
    def refuse(read: Any, values: Any) -> Node:
        raise source.error("count is a number or a choice of numbers, not a formula", path)

    return refuse


def read_let(source: Source, path: str, name: str, context: Context) -> Let:
    """Read what a name stands for: a value, a block, or blocks."""
    given = context.at("network")
    if isinstance(source.value, dict) and "block" in source.value:
        return read_let_block(source, path, given)
    if isinstance(source.value, list):
        return Let(read_chain(source, path, given), "blocks")
    if _states_blocks(source, context):
        return Let(_blocks(source, path, given), "blocks")

    def any_scalar(value: object) -> object:
        return value

    if is_formula(source.value):
        read_formula(source, path, context)
    return Let(read_value(source, path, name, any_scalar, context, may=()), "value")


def _states_blocks(source: Source, context: Context) -> bool:
    """Whether a choice, a condition or a name is of blocks, not of values."""
    value = source.value
    if is_formula(value):
        let = context.lets.get(str(value).strip().removeprefix("=").strip())
        return let is not None and let.what == "blocks"
    if isinstance(value, list):
        return True
    if not isinstance(value, dict):
        return False
    if "if" in value:
        return any(_states_blocks(value[side], context) for side in ("then", "else") if side in value)
    return "block" in value or ("choose" in value and isinstance(value["choose"].value, dict))
