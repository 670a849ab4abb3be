"""From a config's plain values to frozen dataclasses, with every name and type checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from math import inf
from numbers import Integral, Real
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from nas.errors import ConfigError, nearest

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Range:
    """What a number may be: from `low` to `high`, without the ends that are `above` and `below`."""

    low: float
    high: float = inf
    whole: bool = False
    above: bool = False
    """Whether it must be more than `low`."""
    below: bool = False
    """Whether it must be less than `high`."""

    def checked(self, name: str, value: object) -> Any:
        """Return a number of Python's own type, also from one of numpy.

        Raises:
            ConfigError: no number, none that is finite, or one outside; with the rule and the value.
        """
        kind = Integral if self.whole else Real
        if isinstance(value, bool) or not isinstance(value, kind):
            raise ConfigError(f"{name} must be {'a whole number' if self.whole else 'a number'}, but got {value!r:.80}")
        number: Any = int(value) if isinstance(value, Integral) else float(value)
        short = name.replace(" ", ".").rsplit(".", 1)[-1]
        less, more = "<" if self.above else "<=", "<" if self.below else "<="
        if self.low < number < self.high or (number == self.low and not self.above):
            return number
        if number == self.high < inf and not self.below:
            return number
        if self.high <= 1:
            rule = f": `{self.low:g} {less} {short} {more} {self.high:g}` must hold"
        elif number > self.low:
            rule = f" must be {more} {self.high:,.12g}" if self.high < inf else " must be finite"
        else:
            rule = f" must be {'>' if self.above else '>='} {self.low:g}"
        got = f"a number of {number.bit_length()} bits" if isinstance(number, int) and abs(number) > 2**64 else number
        raise ConfigError(f"{name}{rule}, but got {got}")


def check_ranges(settings: object, where: str, ranges: Mapping[str, Range]) -> None:
    """Check fields of a frozen dataclass and bring them to Python's own types; None is for the field's type to allow.

    Raises:
        ConfigError: see `Range.checked`.
    """
    for name, allowed in ranges.items():
        value = getattr(settings, name)
        if value is not None:
            object.__setattr__(settings, name, allowed.checked(f"{where}.{name}" if where else name, value))


def settings_from(kind: type[T], values: object, where: str = "") -> T:
    """Make a dataclass of `kind` from a mapping.

    Args:
        kind: a dataclass; its fields may be scalars, optional scalars, literals, mappings, or dataclasses.
        values: plain values as YAML gives them.
        where: path of `values` in the config, for messages.

    Raises:
        ConfigError: an unknown name (the nearest are given), or a value of another type.
    """
    if not isinstance(values, Mapping):
        raise ConfigError(f"{where or 'config'} must be a mapping, but got {values!r}")
    assert is_dataclass(kind)
    hints = get_type_hints(kind)
    names = [field.name for field in fields(kind)]
    given = {}
    for name, value in values.items():
        path = f"{where}.{name}" if where else str(name)
        if name not in names:
            inside = [] if where else _inside(hints, str(name))
            hint = f"Did you mean {' or '.join(map(repr, inside))}?" if inside else nearest(name, names)
            raise ConfigError(f"unknown setting {path!r}. {hint}")
        given[str(name)] = _value(hints[name], value, path)
    needed = [one.name for one in fields(kind) if one.default is MISSING and one.default_factory is MISSING]
    missing = [name for name in needed if name not in given]
    if missing:
        raise ConfigError(f"{where or 'config'}: {', '.join(missing)} is missing")
    return kind(**given)


def _inside(hints: Mapping[str, Any], name: str) -> list[str]:
    """Return the settings of the groups that have exactly this name."""
    return [
        f"{group}.{name}"
        for group, kind in hints.items()
        if is_dataclass(kind) and name in (one.name for one in fields(kind))
    ]


def _value(hint: Any, value: object, path: str) -> Any:
    if is_dataclass(hint) and isinstance(hint, type):
        return settings_from(hint, value, path)
    if get_origin(hint) is Literal:
        if value not in get_args(hint):
            raise ConfigError(f"{path}: unknown {value!r}. {nearest(value, get_args(hint))}")
        return value
    hints = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    kinds = [get_origin(kind) or kind for kind in hints]
    if isinstance(value, list) and list in kinds:
        of = get_args(hints[kinds.index(list)])
        return [_value(of[0], one, f"{path}[{place}]") for place, one in enumerate(value)] if of else value
    for kind in kinds:
        if type(value) is kind or (kind is Mapping and isinstance(value, Mapping)):
            return value
        if kind is float and type(value) is int:
            return float(value)
        # 1e3 is a float in YAML, and a whole number to its writer.
        if kind is int and isinstance(value, float) and value.is_integer():
            return int(value)
    words = {int: "a whole number", float: "a number", bool: "true or false", str: "text", NoneType: "null"}
    words[list] = "a list"
    expected = " or ".join(words.get(kind, "a mapping") for kind in kinds)
    raise ConfigError(f"{path} must be {expected}, but got {value!r}")
