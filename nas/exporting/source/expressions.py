"""What stands in model.py where a module is made, as values that can be compared before they are written as text."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Literal

Plain = int | float | bool | str | tuple[int, ...] | None
"""A value that is written as it is."""
Role = Literal[
    "in_channels",
    "out_channels",
    "channels",
    "groups",
    "kernel_size",
    "stride",
    "padding",
    "dilation",
    "inplace",
    "other",
]
"""What an argument says, so that arguments of one meaning can become one parameter of a class."""
CHANNEL_ROLES = ("in_channels", "out_channels", "channels", "groups")
"""The roles that count channels."""
SEQUENTIAL = "nn.Sequential"
"""What makes a chain of modules."""
_SHORTEST_RUN = 3


@dataclass(frozen=True, slots=True)
class Required:
    """In the place of the default of an argument that has none."""


REQUIRED = Required()
"""The argument has to be given."""


@dataclass(slots=True, eq=False)
class Parameter:
    """A parameter of the constructor of a class."""

    role: Role
    """What it says."""
    base: str
    """Name of the argument inside the class that it was made for."""
    unit: str
    """Name of the part of the class that it was made for first."""
    column: list[Value]
    """Its value in each use of the class."""
    is_module: bool = False
    """Whether its values are modules, or None for none."""
    default: Plain | Required = REQUIRED
    """Its default."""
    name: str = ""
    """In the signature."""
    users: set[str] = field(default_factory=set)
    """Names of the parts of the class that read it."""
    num_reads: int = 0
    """How often it is read."""
    formula: Derived | None = None
    """What it is worked out of, where the constructor does that and no caller gives it."""


@dataclass(frozen=True, slots=True)
class Derived:
    """A value worked out of parameters, e.g. `kernel_size // 2`."""

    pattern: str
    """Text with `{0}`, `{1}`, ... for the names of the parameters."""
    parameters: tuple[Parameter, ...]
    """Of the class that it stands in."""


@dataclass(slots=True, eq=False)
class ClassName:
    """The name of a class of model.py, which is chosen when all classes are known."""

    text: str = ""
    """The name."""


@dataclass(frozen=True, slots=True)
class Make:
    """A module being made: `head(arguments)`."""

    head: str | ClassName
    """A class of torch, or of model.py."""
    arguments: tuple[Argument, ...] = ()
    """In the order of the signature."""


Value = Plain | Make | Derived
"""The value of an argument."""


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument of a call."""

    name: str
    """Of the parameter."""
    value: Value
    """What is given."""
    role: Role = "other"
    """What it says."""
    positional: bool = False
    """Whether it is written without its name."""
    default: Plain | Required = REQUIRED
    """With this value it is not written at all."""


def chain_of(modules: Sequence[Make]) -> Make:
    """Return modules behind each other as one `nn.Sequential`."""
    return Make(SEQUENTIAL, tuple(Argument(str(i), module, positional=True) for i, module in enumerate(modules)))


def is_listing(make: Make) -> bool:
    """Whether the arguments are modules in a row, as those of `nn.Sequential`."""
    return bool(make.arguments) and all(argument.name.isdecimal() for argument in make.arguments)


def write_value(value: Value) -> str:
    """Write a value as Python, in one line."""
    if isinstance(value, Make):
        head = value.head if isinstance(value.head, str) else value.head.text
        return f"{head}({', '.join(_arguments(value))})"
    if isinstance(value, Derived):
        return value.pattern.format(*(parameter.name for parameter in value.parameters))
    if isinstance(value, float):
        return repr(value).replace("e-0", "e-")
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(value)


def scalar(value: Plain) -> Plain:
    """Return a size a dimension as one number where all are equal, as torch reads it."""
    return value[0] if isinstance(value, tuple) and value and len(set(value)) == 1 else value


def _arguments(make: Make) -> list[str]:
    if is_listing(make):
        return _runs([argument.value for argument in make.arguments])
    return [
        write_value(argument.value) if argument.positional else f"{argument.name}={write_value(argument.value)}"
        for argument in make.arguments
        if isinstance(argument.value, Make | Derived) or not _same(argument.value, argument.default)
    ]


def _same(value: object, default: object) -> bool:
    return type(value) is type(default) and value == default


def _runs(elements: Sequence[Value]) -> list[str]:
    """Write elements in a row; three and more that are equal, or count up evenly, as a loop."""
    written: list[str] = []
    start = 0
    while start < len(elements):
        end, loop = start + 1, write_value(elements[start])
        for other in range(len(elements), start + _SHORTEST_RUN - 1, -1):
            counted = _counted(elements[start:other])
            if counted is not None:
                end = other
                loop = f"*({write_value(counted[0])} for {counted[1]} in range({end - start}))"
                break
        written.append(loop)
        start = end
    return written


def _counted(run: Sequence[Value]) -> tuple[Value, str] | None:
    """Return one value for all of a run and the name of the number that it counts with, or None where there is none."""
    if all(value == run[0] for value in run):
        return run[0], "_"
    makes = [value for value in run if isinstance(value, Make)]
    if len(makes) < len(run) or any(make.head is not makes[0].head and make.head != makes[0].head for make in makes):
        return None
    if len({len(make.arguments) for make in makes}) > 1:
        return None
    arguments = []
    for column in zip(*(make.arguments for make in makes), strict=True):
        value = _evenly([argument.value for argument in column])
        if value is None:
            return None
        arguments.append(replace(column[0], value=value[0]))
    return Make(makes[0].head, tuple(arguments)), "i"


def _evenly(values: Sequence[Value]) -> tuple[Value] | None:
    if all(value == values[0] and type(value) is type(values[0]) for value in values):
        return (values[0],)
    numbers = [value for value in values if type(value) is int]
    if len(numbers) < len(values):
        return None
    step = numbers[1] - numbers[0]
    if step > 0 and all(b - a == step for a, b in pairwise(numbers)):
        return (Derived(f"{numbers[0]} + {step} * i" if step > 1 else f"{numbers[0]} + i", ()),)
    return None
