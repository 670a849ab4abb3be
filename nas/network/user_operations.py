"""Operations that a user adds: what their class states, and the label by which two of them differ.

A class may be derived from an operation that comes with nas. It has other code then, so what holds of that operation
does not hold of it, but for its output shape and its window, which go together.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import is_dataclass
from enum import Enum
from fractions import Fraction
from functools import cached_property, lru_cache
from types import FunctionType, NoneType
from weakref import WeakValueDictionary

from nas.errors import NasError
from nas.network import ops
from nas.network.ops import Op
from nas.network.ops.base import Memory

_PLAIN = (NoneType, bool, int, float, complex, str, bytes, Fraction)
_ARRAYS = ("numpy", "torch")
_CLASSES: WeakValueDictionary[str, type] = WeakValueDictionary()
"""The classes that were named so far, by name."""


def states(op: Op, name: str) -> bool:
    """Whether the class of a user's operation states something itself, and does not inherit it from `Op` or from an
    operation of nas, which has other code.
    """
    source = next(kind for kind in type(op).__mro__ if name in vars(kind))
    return source is not Op and source not in ops.BUILT_IN


def memory_of(op: Op) -> Memory:
    """Return where an operation writes in inference: to new memory, unless it states otherwise."""
    return op.memory if type(op) in ops.BUILT_IN or states(op, "memory") else "new"


def state_of(value: object) -> tuple[tuple[str, object], ...]:
    """Return all attributes of an operation, or another dataclass, by name: its fields, and what else was set."""
    pickled = object.__getstate__(value)
    parts = pickled if isinstance(pickled, tuple) else (pickled,)
    state = {name: attribute for part in parts if isinstance(part, dict) for name, attribute in part.items()}
    return tuple((name, state[name]) for name in sorted(state) if not _is_cached(type(value), name))


def _is_cached(kind: type, name: str) -> bool:
    return isinstance(getattr(kind, name, None), cached_property)


def label(op: Op) -> str:
    """Return a text that is equal for equal operations, in every process.

    Raises:
        NasError: an operation of a user holds something that cannot be written in full, or another class has its name.
    """
    return _built_in_label(op) if type(op) in ops.BUILT_IN else _spelled(op, state_of(op), "it")


@lru_cache(maxsize=65536)
def _built_in_label(op: Op) -> str:
    return repr(op)


def name_of(kind: type) -> str:
    """Return module and qualified name of a class, the same in a worker process, to which the script is a module.

    Raises:
        NasError: another class has that name.
    """
    name = _qualified(kind)
    if _CLASSES.setdefault(name, kind) is not kind:
        raise NasError(f"two classes are named {name}, so that networks of one and the other would be one; rename one")
    return name


def _qualified(named: type | FunctionType) -> str:
    module = "__main__" if named.__module__ == "__mp_main__" else named.__module__
    return f"{module}.{named.__qualname__}"


def _spelled(value: object, state: tuple[tuple[str, object], ...], where: str) -> str:
    parts = ", ".join(f"{name}={_spell(part, f'{where}.{name}'.removeprefix('it.'))}" for name, part in state)
    return f"{name_of(type(value))}({parts})"


def _spell(value: object, where: str) -> str:
    """Write a value in full; `where` it is held is for the error."""
    kind = type(value)
    if kind in _PLAIN:
        return repr(value)
    if isinstance(value, Enum):
        return f"{name_of(kind)}.{value.name}"
    if isinstance(value, type):
        return name_of(value)
    if isinstance(value, FunctionType) and "<" not in value.__qualname__:  # no lambda, and nothing inside a function
        return _qualified(value)
    return _spelled(value, state_of(value), where) if is_dataclass(value) else _spell_many(value, where)


def _spell_many(value: object, where: str) -> str:
    kind = type(value)
    if isinstance(value, Mapping):
        items = sorted(f"{_spell(key, where)}: {_spell(item, f'{where}[{key!r}]')}" for key, item in value.items())
    elif isinstance(value, Set):
        items = sorted(_spell(item, where) for item in value)
    elif isinstance(value, list | tuple):
        items = [_spell(item, f"{where}[{i}]") for i, item in enumerate(value)]
    elif kind.__module__.split(".")[0] in _ARRAYS and hasattr(value, "tolist") and hasattr(value, "dtype"):
        items = [str(value.dtype), _spell(value.tolist(), where)]
    else:
        raise NasError(
            f"an operation of a user holds at {where} {value!r}, which cannot be told from others of its kind; it may "
            "hold numbers, words, classes, named functions, arrays, and tuples, dicts or dataclasses of those"
        )
    return f"{_qualified(kind)}({', '.join(items)})"
