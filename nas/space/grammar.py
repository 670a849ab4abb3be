"""The search-space language: from values with places to a tree of choices, every value checked on the way."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from nas.errors import NasError, nearest
from nas.network.registry import BlockKind, block_kind
from nas.network.settings import Scalar, Setting
from nas.space.blocks import STRIDE, Chain, Copies, Kind
from nas.space.source import Source
from nas.space.tree import Choice, Const, IntRange, Node, Option, Record

_MAX_DEPTH = 512
_MAX_OPTIONS = 4096

_TOP = {"name", "description", "assume", "resolution", "stem", "stages", "head"}
_ASSUME = {"channels": 3, "resolution": 224, "num_classes": 1000}
_CHOICE_WORDS = {"choose", "range", "step", "per"}

_DEPTH = Setting("depth", int, low=0, below=_MAX_DEPTH + 1)
_SIZE = Setting("size", int, low=1)


@dataclass(frozen=True)
class Layout:
    """A space file, understood."""

    name: str
    description: str
    assumed: Mapping[str, int]
    """`channels`, `resolution` and `num_classes` where no data set says otherwise."""
    resolution: Node | None
    """Input size that the space decides on; None leaves it to the data."""
    stem: Chain
    stages: tuple[Chain, ...]
    head: Chain
    places: Mapping[str, Source]
    """Where each part is written, by its path."""


def parse(source: Source, name: str) -> Layout:
    """Read a space.

    Raises:
        SpaceError: anything that is not in the language, with file, line, path, rule and value.
    """
    top = _mapping(source, "", _TOP, "a space")
    for key in ("stages", "head"):
        if key not in top:
            raise source.error(f"a space needs {key!r}")
    places: dict[str, Source] = {}
    stages = _list(top["stages"], "stages")
    resolution = top.get("resolution")
    return Layout(
        name=_word(top.get("name"), "name", name),
        description=_word(top.get("description"), "description", ""),
        assumed=_assumed(top.get("assume")),
        resolution=None
        if resolution is None or resolution.value == "data"
        else _value(resolution, "resolution", "resolution", _SIZE.check, per_copy=False),
        stem=_chain(top["stem"], "stem", places) if "stem" in top else Chain(()),
        stages=tuple(_stage(stage, f"stages.{i}", places) for i, stage in enumerate(stages)),
        head=_chain(top["head"], "head", places),
        places=places,
    )


def _mapping(source: Source, path: str, known: Iterable[str] | None, what: str) -> dict[str, Source]:
    if not isinstance(source.value, dict):
        raise source.error(f"{what} is a mapping, but got {source.describe()}", path)
    for key, value in source.value.items():
        if known is not None and key not in known:
            raise value.error(f"unknown key {key!r}. {nearest(key, known)}", path)
    return source.value


def _list(source: Source, path: str) -> list[Source]:
    if not isinstance(source.value, list) or not source.value:
        raise source.error(f"must be a list with at least one entry, but got {source.describe()}", path)
    return source.value


def _word(source: Source | None, path: str, default: str) -> str:
    if source is None:
        return default
    if not isinstance(source.value, str):
        raise source.error(f"must be text, but got {source.describe()}", path)
    return source.value


def _assumed(source: Source | None) -> dict[str, int]:
    given = _mapping(source, "assume", _ASSUME, "assume") if source is not None else {}
    for key, value in given.items():
        _checked(value, f"assume.{key}", _SIZE.check)
    return {**_ASSUME, **{key: value.value for key, value in given.items()}}


def _stage(source: Source, path: str, places: dict[str, Source]) -> Chain:
    """A stage is one description with a depth, or a list of entries under `blocks`."""
    if isinstance(source.value, dict) and "blocks" in source.value:
        stage = _mapping(source, path, {"blocks"}, "a stage with `blocks`")
        return _chain(stage["blocks"], f"{path}.blocks", places)
    places[path] = source
    return Chain(((path, _entry(source, path)),))


def _chain(source: Source, path: str, places: dict[str, Source]) -> Chain:
    """The stem, the head or the blocks of a stage: one entry, or a list of them."""
    sources = [source] if isinstance(source.value, dict) else _list(source, path)
    paths = [f"{path}.{i}" for i in range(len(sources))]
    places.update(zip(paths, sources, strict=True))
    return Chain(tuple((at, _entry(entry, at)) for at, entry in zip(paths, sources, strict=True)))


def _entry(source: Source, path: str) -> Node:
    """Blocks from one description: `block`, its settings, and `depth` for how many copies."""
    entry = _mapping(source, path, None, "a block")
    if "block" not in entry:
        raise source.error(f"needs 'block', the kind of block. It has {source.describe()}", path)
    kind, kinds, own = _kind(entry["block"], f"{path}.block")
    settings = _settings({key: value for key, value in entry.items() if key not in ("block", "depth")}, path, "", kinds)
    for block in kinds:
        given = {key for key, _ in settings.items} | own[block.name]
        for name, setting in block.settings.items():
            if setting.required and name not in given:
                raise source.error(f"block {block.name!r} needs {name!r}: {setting.rule()}", path)
        for name in own[block.name] & {key for key, _ in settings.items}:
            raise entry[name].error(f"{name!r} is given here and under block {block.name!r}", path)
    if "depth" not in entry:
        return Copies(1, kind, settings, named=False)
    depth = _value(entry["depth"], f"{path}.depth", "depth", _DEPTH.check, per_copy=False)
    if isinstance(depth, Const):
        return Copies(depth.value, kind, settings, named=True)
    assert isinstance(depth, Choice)
    options = tuple(Option(o.value, Copies(_int(o.value), kind, settings, named=True)) for o in depth.options)
    return Choice("depth", options, int_range=depth.int_range)


def _int(value: Scalar) -> int:
    assert isinstance(value, int)
    return value


def _kind(source: Source, path: str) -> tuple[Node, list[BlockKind], dict[str, set[str]]]:
    """The kind of a block, or a choice of kinds, each with settings of its own or without.

    Returns the node, the kinds that can be chosen, and the settings given under each.
    """
    if not isinstance(source.value, dict):
        block = _block(source, source.value, path)
        return Kind(block.name, Record(())), [block], {block.name: set()}
    choice = _mapping(source, path, {"choose", "per"}, "a choice")
    if "choose" not in choice:
        raise source.error("needs 'choose'", path)
    options, per_block = choice["choose"], _per_block(choice, path, True)
    if isinstance(options.value, dict) and options.value:
        items = list(options.value.items())
    else:
        items = [(str(option.value), option) for option in _options(options, path)]
    nodes, kinds = [], []
    for name, option in items:
        block = _block(option, name, path)
        own = option.value if isinstance(option.value, dict) else {}
        if isinstance(options.value, dict) and option.value not in (None, own):
            raise option.error(f"the settings of {name!r} are a mapping, but got {option.describe()}", f"{path}.{name}")
        if STRIDE in own and per_block:
            raise own[STRIDE].error(
                "'stride' is of the first block of a stage, so it cannot stand under a kind chosen per block",
                f"{path}.{name}.{STRIDE}",
            )
        nodes.append(Kind(name, _settings(own, f"{path}.{name}", f"block.{name}", [block])))
        kinds.append(block)
    _distinct(options, [name for name, _ in items], path)
    node = Choice(
        "block",
        tuple(Option(kind.name, node) for kind, node in zip(kinds, nodes, strict=True)),
        per_block,
    )
    return node, kinds, {node.kind: {key for key, _ in node.settings.items} for node in nodes}


def _block(source: Source, name: object, path: str) -> BlockKind:
    if isinstance(name, list):
        raise source.error(f"must be one kind, but got {source.describe()}; write {{choose: [...]}} to choose", path)
    try:
        return block_kind(name)
    except NasError as error:
        raise source.error(str(error), path) from None


def _settings(items: Mapping[str, Source], path: str, prefix: str, kinds: list[BlockKind]) -> Record:
    """Settings that every one of `kinds` must take."""

    def check_for(key: str) -> Callable[[object], Scalar]:
        def check(value: object) -> Scalar:
            checked = [kind.setting(key).check(value) for kind in kinds]
            return checked[0]

        return check

    nodes = []
    for key, value in items.items():
        at = f"{path}.{key}"
        for kind in kinds:
            try:
                kind.setting(key)
            except NasError as error:
                raise value.error(str(error), at) from None
        name = f"{prefix}.{key}" if prefix else key
        nodes.append((key, _value(value, at, name, check_for(key), per_copy=key != STRIDE)))
    return Record(tuple(nodes))


def _value(source: Source, path: str, name: str, check: Callable[[object], Scalar], *, per_copy: bool) -> Node:
    """A scalar, or a choice of scalars: `choose: [...]` or `range: [low, high]`."""
    if not isinstance(source.value, dict):
        if isinstance(source.value, list):
            raise source.error(
                f"must be one value, but got {source.describe()}; write {{choose: [...]}} to choose", path
            )
        _checked(source, path, check)
        return Const(source.value)
    choice = _mapping(source, path, _CHOICE_WORDS, "a choice")
    if ("choose" in choice) == ("range" in choice):
        raise source.error("a choice has either 'choose' or 'range'", path)
    if "choose" in choice and "step" in choice:
        raise choice["step"].error("'step' goes with 'range'", path)
    int_range = _range(choice, path) if "range" in choice else None
    if int_range:
        sources = [
            Source(value, choice["range"].file, choice["range"].line)
            for value in range(int_range.low, int_range.high + 1, int_range.step)
        ]
    else:
        sources = _options(choice["choose"], path)
    for option in sources:
        _checked(option, path, check)
    _distinct(choice.get("choose", source), [option.value for option in sources], path)
    return Choice(
        name,
        tuple(Option(option.value, Const(option.value)) for option in sources),
        _per_block(choice, path, per_copy),
        int_range,
    )


def _options(source: Source, path: str) -> list[Source]:
    options = _list(source, path)
    for option in options:
        if isinstance(option.value, dict | list):
            raise option.error(f"an option is one value, but got {option.describe()}", path)
    return options


def _checked(source: Source, path: str, check: Callable[[object], Scalar]) -> None:
    if isinstance(source.value, dict | list):
        raise source.error(f"must be one value, but got {source.describe()}", path)
    try:
        check(source.value)
    except NasError as error:
        raise source.error(str(error), path) from None


def _distinct(source: Source, values: list[Scalar], path: str) -> None:
    seen: set[tuple[type, Scalar]] = set()
    for value in values:
        key = (bool, value) if isinstance(value, bool) else (float, value)
        if key in seen:
            raise source.error(f"option {value!r} is there twice", path)
        seen.add(key)


def _range(choice: Mapping[str, Source], path: str) -> IntRange:
    source = choice["range"]
    ends = [end.value for end in source.value] if isinstance(source.value, list) else []
    step = choice["step"].plain() if "step" in choice else 1
    if len(ends) != 2 or any(type(n) is not int for n in (*ends, step)):
        raise source.error(
            f"range takes [low, high] and step, all whole numbers, but got {source.plain()!r}, step {step!r}",
            path,
        )
    low, high = ends
    if low > high or step < 1 or (high - low) % step:
        raise source.error(
            f"`low <= high`, `step >= 1` and a high end that is met must hold, "
            f"but got (low={low}, high={high}, step={step})",
            path,
        )
    if (high - low) // step >= _MAX_OPTIONS:
        raise source.error(f"a range may have {_MAX_OPTIONS} values, but got {(high - low) // step + 1}", path)
    return IntRange(low, high, step)


def _per_block(choice: Mapping[str, Source], path: str, allowed: bool) -> bool:
    """`per: block` lets every copy choose for itself; `per: stage`, the default, makes one choice for all."""
    if "per" not in choice:
        return False
    source = choice["per"]
    if source.value not in ("block", "stage"):
        raise source.error(f"per must be 'block' or 'stage', but got {source.describe()}", path)
    if source.value == "block" and not allowed:
        raise source.error("this is one decision for all blocks, so it cannot be chosen per block", path)
    return bool(source.value == "block")
