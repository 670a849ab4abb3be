"""The settings of a block: types, bounds and defaults, read from the signature of its function."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from nas.errors import NasError
from nas.network.ops import ActivationName
from nas.network.section import Section

Scalar = str | int | float | bool | None
"""A single value."""
Branches = tuple[Section, ...]
"""Parallel branches, each a chain of blocks."""
SettingValue = Scalar | Section | Branches
"""What a block takes for a setting."""


@dataclass(frozen=True, slots=True)
class AtLeast:
    """Lower bound of a number, the bound included."""

    bound: float
    """The least value."""


@dataclass(frozen=True, slots=True)
class Below:
    """Upper bound of a number, the bound excluded."""

    bound: float
    """What all values are below."""


@dataclass(frozen=True, slots=True)
class Odd:
    """Only odd numbers: a window with a centre, which keeps the map size with padding (k-1)/2."""


@dataclass(frozen=True, slots=True)
class Role:
    """How `nas.scale` treats a number: channels grow with the width, groups stay, heads divide channels."""

    name: Literal["channels", "groups", "heads"]
    """Of what a number counts."""


# The kinds of settings that blocks share; a block's signature uses them as annotations.
Count = Annotated[int, AtLeast(1)]
"""A whole number >= 1."""
Channels = Annotated[int, AtLeast(1), Role("channels")]
"""A number of channels or features."""
Groups = Annotated[int, AtLeast(1), Role("groups")]
"""A number of groups of channels."""
Heads = Annotated[int, AtLeast(1), Role("heads")]
"""A number of heads of attention."""
OddKernel = Annotated[int, AtLeast(1), Odd()]
"""Size of a window with a centre."""
Padding = Annotated[int, AtLeast(0)]
"""Positions added on both sides of a map."""
Ratio = Annotated[float, AtLeast(0)]
"""A share or multiple of a number of channels."""
ExpandRatio = Annotated[float, AtLeast(1)]
"""A multiple of a number of channels."""
Reduction = Annotated[float, AtLeast(1 / 64)]
"""A divisor of a number of channels."""
Rate = Annotated[float, AtLeast(0), Below(1)]
"""A probability."""
ActivationKind = ActivationName | None
"""A non-linearity; None: none."""
NormKind = Literal["batch", "batch_fixed", "group", "layer"] | None
"""A normalisation, see `GraphBuilder.norm`; None: none."""

# No dimension of a network is larger; a bound keeps a typing slip from asking for terabytes.
_LARGEST = 2**20


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting of a block: its type, its bounds and its default."""

    name: str
    """Of the parameter of the block's function."""
    kind: type
    """int, float, bool, str, `Section` (blocks) or tuple (branches)."""
    options: tuple[str, ...] = ()
    """The words allowed, for a `str`."""
    low: float = -math.inf
    """The least value of a number."""
    below: float = math.inf
    """What all values of a number are below."""
    odd: bool = False
    """Whether only odd numbers are values."""
    optional: bool = False
    """Whether null is a value."""
    role: str = ""
    """`channels`, `groups` or `heads`: what becomes of it when a network is made wider."""
    default: Any = inspect.Parameter.empty
    """`inspect.Parameter.empty` where a space has to say it."""

    @property
    def required(self) -> bool:
        """Whether there is no default."""
        return self.default is inspect.Parameter.empty

    @property
    def holds_blocks(self) -> bool:
        """Whether it takes blocks, or branches of them, in place of a single value."""
        return self.kind in (Section, tuple)

    def rule(self) -> str:
        """Say what this setting takes, e.g. `a whole number >= 1`."""
        if self.holds_blocks:
            text = "a list of blocks" if self.kind is Section else "a list of branches, each of blocks"
        elif self.options:
            text = f"one of {', '.join(self.options)}"
        else:
            words = {int: "a whole number", float: "a number", bool: "true or false", str: "a word"}
            text = "an odd whole number" if self.odd else words[self.kind]
            text += f" >= {self.low:g}" if self.low > -math.inf else ""
            text += f" and < {self.below:g}" if self.below < math.inf else ""
        return text + (" or null" if self.optional else "")

    def check(self, value: object) -> SettingValue:
        """Return `value` in this setting's type; raises `NasError` with the rule and the value."""
        if value is None and self.optional:
            return None
        if self.holds_blocks:
            if isinstance(value, Section) and self.kind is Section:
                return value
            if isinstance(value, tuple) and self.kind is tuple and all(isinstance(branch, Section) for branch in value):
                return value
            raise NasError(f"{self.name} must be {self.rule()}, but got {value!r}")
        if isinstance(value, int | float) and abs(value) > _LARGEST:
            large = isinstance(value, int) and value.bit_length() > 64
            got = f"a number of {int(value).bit_length()} bits" if large else str(value)
            raise NasError(f"{self.name} must be {self.rule()} and at most 2^20, but got {got}")
        if self.kind is float and type(value) is int:
            value = float(value)
        right_type = type(value) is self.kind
        if right_type and isinstance(value, str) and value in self.options:
            return value
        if right_type and isinstance(value, bool):
            return value
        if right_type and isinstance(value, int | float) and self._holds(value):
            return value
        raise NasError(f"{self.name} must be {self.rule()}, but got {value!r}")

    def _holds(self, value: float) -> bool:
        return self.low <= value < self.below and not (self.odd and value % 2 == 0)


def settings_of(function: Callable[..., Any]) -> dict[str, Setting]:
    """Read the keyword-only parameters of a block function as settings; raises `NasError` for one without a type."""
    hints = get_type_hints(function, include_extras=True)
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY and name not in hints:
            raise NasError(f"block {function.__name__!r}: setting {name!r} needs a type, as in `{name}: Count`")
    return {
        name: _setting(name, hints[name], parameter.default)
        for name, parameter in inspect.signature(function).parameters.items()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY
    }


def _setting(name: str, hint: Any, default: object) -> Setting:
    optional = False
    if get_origin(hint) in (Union, UnionType):
        members = [member for member in get_args(hint) if member is not NoneType]
        optional = len(members) < len(get_args(hint))
        assert len(members) == 1, f"{name}: a setting is of one type, or null"
        hint = members[0]
    low, below, odd, role = -math.inf, math.inf, False, ""
    if get_origin(hint) is Annotated:
        hint, *bounds = get_args(hint)
        for bound in bounds:
            low = bound.bound if isinstance(bound, AtLeast) else low
            below = bound.bound if isinstance(bound, Below) else below
            odd = odd or isinstance(bound, Odd)
            role = bound.name if isinstance(bound, Role) else role
    if get_origin(hint) is Literal:
        return Setting(name, str, options=get_args(hint), optional=optional, default=default)
    if hint == Branches:
        return Setting(name, tuple, optional=optional, default=default)
    if hint is Section:
        return Setting(name, Section, optional=optional, default=default)
    assert hint in (int, float, bool), f"{name}: settings are int, float, bool or Literal, not {hint!r}"
    return Setting(name, hint, low=low, below=below, odd=odd, optional=optional, role=role, default=default)
