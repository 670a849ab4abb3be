"""A space with all its numbers of channels times a number, as another space that says so."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache, partial

from nas.network.registry import block_kind, block_names
from nas.network.rounding import round_to
from nas.space.language.source import Source
from nas.space.language.values import read_range
from nas.space.tree.formula import is_formula

_DIVISOR = 4
"""Numbers of channels are rounded to a multiple of it; with 8 the narrow networks of a space would become alike."""


def with_widths(space: Source, multiplier: float) -> Source:
    """Return a space whose every number of channels is `multiplier` times what it was, rounded to a multiple of 4.

    Options that become equal are one; a formula is multiplied as a whole, so that names under `let` stay what they are.
    So does a number that a user fixed.

    Args:
        space: values with places, as they were read.
        multiplier: above 0.
    """
    return _walk(space, partial(_times, multiplier=multiplier))


@cache
def _channel_settings(kind: str | None) -> frozenset[str]:
    """Return the names of the settings that count channels, of one kind of block, or of any where that is chosen."""
    kinds = map(block_kind, block_names() if kind is None else [kind])
    return frozenset(name for one in kinds for name, rule in one.settings.items() if rule.role == "channels")


def _walk(source: Source, change: Callable[[Source], Source]) -> Source:
    """Return a source with what stands for numbers of channels changed, wherever in it that is."""
    if isinstance(source.value, list):
        return Source([_walk(item, change) for item in source.value], source.file, source.line)
    if not isinstance(source.value, dict):
        return source
    items, names = {}, _channel_settings(_kind(source.value))
    for key, item in source.value.items():
        if key == "let" and isinstance(item.value, dict):  # names, which may be called as settings are
            items[key] = Source({name: _walk(one, change) for name, one in item.value.items()}, item.file, item.line)
        else:
            items[key] = change(item) if key in names else _walk(item, change)
    return Source(items, source.file, source.line)


def _kind(entry: Mapping[str, Source]) -> str | None:
    """Return the kind of block that an entry states; None where it is chosen, has a name, or there is none."""
    kind = entry["block"].value if "block" in entry else None
    return kind if isinstance(kind, str) and kind in block_names() else None


def _times(source: Source, multiplier: float) -> Source:
    """Return a value of a setting that counts channels, times a number: whatever the language has for it."""
    value = source.value
    if source.fixed:
        return source
    if isinstance(value, int) and not isinstance(value, bool):
        return Source(round_to(value * multiplier, _DIVISOR), source.file, source.line)
    if isinstance(value, str) and is_formula(value):
        inner = value.strip().removeprefix("=").strip()
        return Source(f"= round_to(({inner}) * {multiplier!r}, {_DIVISOR})", source.file, source.line)
    if not isinstance(value, dict):
        return source  # null, or what the reader will refuse
    if "if" in value:
        sides = {key: item if key == "if" else _times(item, multiplier) for key, item in value.items()}
        return Source(sides, source.file, source.line)
    scaled = {repr(one.value): one for one in (_times(option, multiplier) for option in _options(value))}
    rest = {key: item for key, item in value.items() if key not in ("choose", "range", "step", "factor")}
    return Source({"choose": Source([*scaled.values()], source.file, source.line), **rest}, source.file, source.line)


def _options(choice: Mapping[str, Source]) -> list[Source]:
    if "choose" in choice:
        return list(choice["choose"].value)
    _, numbers = read_range(choice, "")
    return [Source(number, choice["range"].file, choice["range"].line) for number in numbers]
