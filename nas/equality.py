"""Equality of plain values that tells `True` from `1`, which are equal in Python."""

from __future__ import annotations


def value_key(value: object) -> tuple[bool, object]:
    """Return a key that only equal values share, `True` and `1` not among them; hashable where the value is."""
    return isinstance(value, bool), value


def same_value(first: object, second: object) -> bool:
    """Return whether two values are equal and both or neither are truth values."""
    return first == second and isinstance(first, bool) is isinstance(second, bool)
