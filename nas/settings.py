"""From a config's plain values to frozen dataclasses, with every name, type and range checked.

A setting is declared once, as a field: its type, its default, what it means, and what it may be. The files in `conf/`,
the help texts and docs/settings.md are written from these declarations (`nas.commands.settings_text`).
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import MISSING, Field, asdict, dataclass, field, fields, is_dataclass
from functools import cache, partial
from math import inf
from numbers import Integral, Real
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from nas.errors import ConfigError, nearest

T = TypeVar("T")
Typed = Literal["", "text", "path", "paths", "code", "codes"]
"""How a value is typed, see `Declaration`."""


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


SEED = Range(0, 2**32 - 1, whole=True)
"""A seed that every library takes."""


@dataclass(frozen=True, slots=True)
class Declaration:
    """What is said of a setting beside its type and its default."""

    doc: str
    """What it means, as a phrase."""
    allowed: Range | tuple[str, ...] | None = None
    """What it may be: a range of a number, or a choice of words; None leaves it to the type and to further checks."""
    may_change: bool = False
    """Whether it may differ when a run is gone on with: it decides how long and where that runs, not what it is."""
    keys: Mapping[str, str] | None = None
    """What a mapping may hold, each with what it means."""
    by_name: Mapping[str, type] | None = None
    """Of a group whose `name` says which class its settings are of: these classes."""
    typed: Typed = ""
    """`text` where whatever a user types is taken as it stands, such as a name; `path` where it is a path, too, which
    is made absolute in the record of a run. Anything else is read by Hydra's grammar, also `paths`, a list of them.
    `code` is something in a Python file of the user's, `codes` a list of such (`nas.own_code`)."""
    example: str = ""
    """A value of a setting that the files in `conf/` do not hold, since it is given with a plus or as words."""
    before: Any = None
    """What was done in runs whose record is older than this setting; None is its default."""
    words: tuple[str, ...] = ()
    """What a `path` may be that is none, such as auto."""


def setting(
    default: Any,
    doc: str,
    allowed: Range | Collection[str] | None = None,
    *,
    may_change: bool = False,
    keys: Mapping[str, str] | None = None,
    by_name: Mapping[str, type] | None = None,
    typed: Typed = "",
    example: str = "",
    before: Any = None,
    words: Collection[str] = (),
) -> Any:
    """Declare a field of a dataclass of settings.

    Args:
        default: its value where nothing is said. A class is called for it; lists and mappings are copied.
        doc: what it means, as a phrase that follows `name: value  #` in a file of `conf/`.
        allowed: see `Declaration`.
        may_change: see `Declaration`.
        keys: see `Declaration`.
        by_name: see `Declaration`.
        typed: see `Declaration`.
        example: see `Declaration`.
        before: see `Declaration`.
        words: see `Declaration`.
    """
    allowed = allowed if allowed is None or isinstance(allowed, Range) else tuple(allowed)
    metadata = {"declared": Declaration(doc, allowed, may_change, keys, by_name, typed, example, before, tuple(words))}
    if isinstance(default, type):
        return field(default_factory=default, metadata=metadata)
    if isinstance(default, list | dict):
        return field(default_factory=partial(copy.deepcopy, default), metadata=metadata)
    return field(default=default, metadata=metadata)


def declarations(kind: type) -> Iterator[tuple[Field[Any], Declaration]]:
    """Yield the fields of a dataclass of settings, each with what is said of it."""
    for member in fields(kind):
        declared = member.metadata.get("declared")
        if isinstance(declared, Declaration):
            yield member, declared


def changeable(kind: type, where: str = "", *, inside: bool = True) -> Iterator[str]:
    """Yield the paths of settings that may change when a run is gone on with.

    Args:
        kind: a dataclass of settings.
        where: what a path begins with.
        inside: also those in groups that may not change as a whole.
    """
    for member, declared in declarations(kind):
        path = f"{where}{member.name}"
        if declared.may_change:
            yield path
        elif inside:
            for group in _groups(kind, member.name, declared):
                yield from changeable(group, f"{path}.")


def paths(kind: type, where: str = "") -> Iterator[tuple[str, Declaration]]:
    """Yield every single setting by its path, those of groups too, with what is said of it."""
    yield from ((path, declared) for path, declared, _ in _typed_paths(kind, where))


def _typed_paths(kind: type, where: str = "") -> Iterator[tuple[str, Declaration, Any]]:
    for member, declared in declarations(kind):
        path = f"{where}{member.name}"
        inner = _groups(kind, member.name, declared)
        for group in inner:
            yield from _typed_paths(group, f"{path}.")
        if not inner:
            yield path, declared, _hints(kind)[member.name]


def single_settings(kind: type) -> dict[str, str]:
    """Return the settings below which there are no others, by path, each with what its value must be, in words."""
    found: dict[str, tuple[Any, ...]] = {}
    for path, _, hint in _typed_paths(kind):
        found[path] = (*found.get(path, ()), *_kinds(hint))
    return {path: _expected(kinds) for path, kinds in found.items() if not {Mapping, dict, Any} & {*kinds}}


def _groups(kind: type, name: str, declared: Declaration) -> list[type]:
    """Return the dataclasses whose settings a setting holds as a group; empty where it is a single one."""
    hint = _hints(kind)[name]
    if declared.by_name:
        return [*declared.by_name.values()]
    return [hint] if is_dataclass(hint) and isinstance(hint, type) else []


def as_before(settings: object) -> dict[str, Any]:
    """Return settings as plain values, without those that are younger than some records and as they were then.

    What is made of it, such as the key of a run, stays what it was before those settings were there. So a setting that
    is null where nothing is said is left out where it is null.
    """
    kind: Any = type(settings)
    then = {
        member.name: declared.before
        for member, declared in declarations(kind)
        if declared.before is not None or member.default is None
    }
    values: dict[str, Any] = asdict(settings)  # type: ignore[call-overload]  # a dataclass, as all settings are
    return {name: value for name, value in values.items() if name not in then or value != then[name]}


def as_recorded(kind: type, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings from the record of a run, with those that are younger than it as they were done then (`before`).

    Args:
        kind: the dataclass of the settings.
        values: plain values, as they were recorded.
    """
    settings: dict[str, Any] = copy.deepcopy(dict(values))
    for path, declared in paths(kind):
        *groups, name = path.split(".")
        group: Any = settings
        for outer in groups:
            group = group.get(outer) if isinstance(group, dict) else None
        if declared.before is not None and isinstance(group, dict):
            group.setdefault(name, declared.before)
    return settings


@cache
def _hints(kind: Any) -> Mapping[str, Any]:
    return get_type_hints(kind)


def check_settings(settings: object, where: str) -> None:
    """Check the fields of a frozen dataclass by their declarations, and bring numbers to Python's own types.

    Args:
        settings: a dataclass whose fields are made by `setting`; the end of its `__post_init__` calls this.
        where: path of it in the config, for messages; empty at the top.

    Raises:
        ConfigError: a value that a setting may not have; with the path, the rule and the value.
    """
    kind: Any = type(settings)
    for member, declared in declarations(kind):
        value, path = getattr(settings, member.name), f"{where}.{member.name}" if where else member.name
        kinds = _kinds(_hints(kind)[member.name])
        if value is None and NoneType in kinds:
            continue
        if not _fits(_hints(kind)[member.name], value):
            raise ConfigError(f"{path} must be {_expected(kinds)}, but got {value!r:.80}")
        if isinstance(declared.allowed, Range):
            if not (isinstance(value, str) and str in kinds):  # such as auto
                object.__setattr__(settings, member.name, declared.allowed.checked(path, value))
        elif declared.allowed is not None and value not in declared.allowed:
            raise ConfigError(f"{path}: unknown {value!r}. {nearest(value, declared.allowed)}")


def checked_value(kind: type, name: str, value: object, path: str) -> Any:
    """Return a value as a setting of a dataclass takes it.

    Args:
        kind: the dataclass.
        name: of the setting.
        value: plain, as YAML gives it.
        path: of the value, for messages.

    Raises:
        ConfigError: a value that the setting may not have.
    """
    found = _value(_hints(kind)[name], value, path)
    allowed = next(declared.allowed for member, declared in declarations(kind) if member.name == name)
    if found is None or allowed is None:
        return found
    if isinstance(allowed, Range):
        return allowed.checked(path, found)
    if found not in allowed:
        raise ConfigError(f"{path}: unknown {found!r}. {nearest(found, allowed)}")
    return found


def _kinds(hint: Any) -> tuple[Any, ...]:
    """Return what a value of a type may be: the parts of a union, without what they are made of."""
    hints = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    return tuple(get_origin(kind) or kind for kind in hints)


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
    hints = _hints(kind)
    names = [member.name for member in fields(kind)]
    kinds = {member.name: declared.by_name for member, declared in declarations(kind) if declared.by_name}
    given = {}
    for name, value in values.items():
        path = f"{where}.{name}" if where else str(name)
        if name not in names:
            inside = [] if where else _inside(hints, str(name))
            hint = f"Did you mean {' or '.join(map(repr, inside))}?" if inside else nearest(name, names)
            raise ConfigError(f"unknown setting {path!r}. {hint}")
        if chosen := kinds.get(str(name)):
            kind_of_group = _named(chosen, value, path)
            given[str(name)] = _value(kind_of_group, _of_kind(kind_of_group, chosen, value), path)
        else:
            given[str(name)] = _value(hints[name], value, path)
    needed = [member.name for member in fields(kind) if member.default is MISSING and member.default_factory is MISSING]
    missing = [name for name in needed if name not in given]
    if missing:
        raise ConfigError(f"{where or 'config'}: {', '.join(missing)} is missing")
    return kind(**given)


def _named(kinds: Mapping[str, type], values: object, path: str) -> type:
    """Return the class that the `name` in a group of settings means; the first one where none is given."""
    name = values.get("name", next(iter(kinds))) if isinstance(values, Mapping) else next(iter(kinds))
    if not isinstance(name, str) or name not in kinds:
        raise ConfigError(f"{path}.name: unknown {name!r}. {nearest(name, kinds)}")
    return kinds[name]


def _of_kind(kind: type, kinds: Mapping[str, type], values: object) -> object:
    """Return the values of a group without settings that only other kinds of it have: files may hold those of all."""
    if not isinstance(values, Mapping):
        return values
    others = {member.name for other in kinds.values() for member in fields(other)}
    own = {member.name for member in fields(kind)}
    return {name: value for name, value in values.items() if name in own or name not in others}


def _inside(hints: Mapping[str, Any], name: str) -> list[str]:
    """Return the settings of the groups that have exactly this name."""
    return [
        f"{group}.{name}"
        for group, kind in hints.items()
        if is_dataclass(kind) and name in (member.name for member in fields(kind))
    ]


def _value(hint: Any, value: object, path: str) -> Any:
    if is_dataclass(hint) and isinstance(hint, type):
        return settings_from(hint, value, path)
    if get_origin(hint) is Literal:
        if value not in get_args(hint):
            raise ConfigError(f"{path}: unknown {value!r}. {nearest(value, get_args(hint))}")
        return value
    kinds = _kinds(hint)
    listed = next((kind for kind in (list, Sequence) if kind in kinds), None)
    if isinstance(value, list | tuple) and listed is not None:
        hints = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
        of = get_args(hints[kinds.index(listed)])
        return [_value(of[0], item, f"{path}[{place}]") for place, item in enumerate(value)] if of else value
    for kind in kinds:
        if type(value) is kind or (kind is Mapping and isinstance(value, Mapping)):
            return value
        if kind is float and type(value) is int:
            return float(value)
        # 1e3 is a float in YAML, and a whole number to its writer.
        if kind is int and isinstance(value, float) and value.is_integer():
            return int(value)
    raise ConfigError(f"{path} must be {_expected(kinds)}, but got {value!r}")


_WORDS = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "text",
    NoneType: "null",
    list: "a list",
    tuple: "a list",
    Sequence: "a list",
}


def _expected(kinds: Iterable[Any]) -> str:
    return " or ".join(_WORDS.get(kind, "a mapping") for kind in kinds)


def _fits(hint: Any, value: object) -> bool:
    """Whether a value may be what a type says. Numbers are left to their ranges, unions to further checks."""
    kinds = [kind for kind in _kinds(hint) if kind is not NoneType]
    if len(kinds) > 1 or kinds[0] in (int, float, Any):
        return True
    if kinds[0] is Literal:
        return value in get_args(hint)
    if kinds[0] is list:
        return isinstance(value, Sequence) and not isinstance(value, str)
    return isinstance(value, kinds[0])
