"""From the uses of a class to its parameters: what is equal in all uses stays in the class, what differs is passed."""

from __future__ import annotations

import builtins
import keyword
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from operator import eq, ne
from typing import Any

from nas.exporting.source.expressions import (
    CHANNEL_ROLES,
    REQUIRED,
    SEQUENTIAL,
    Argument,
    Derived,
    Make,
    Parameter,
    Role,
    Value,
    is_listing,
)

_NEUTRAL: dict[str, Any] = {"stride": 1, "dilation": 1, "groups": 1, "padding": 0, "inplace": False}
"""Values that a parameter of a role has by default, as in torch."""
_LARGEST_FACTOR = 8
_RESERVED = {*dir(builtins), "self", "nn", "torch", "math"}
"""Names that mean something else in the file."""


class _Absent:
    """The value of an argument in a use that does not have the part."""

    def __repr__(self) -> str:
        return "absent"


ABSENT: Any = _Absent()


class Parameters:
    """The parameters of one class, found part by part.

    First `generalise` for each part, those in every use first; then `condition` for those that some uses lack; then
    `finish`, which gives names.
    """

    def __init__(
        self, num_uses: int, in_channels: Sequence[int], out_channels: Sequence[int], reads: Mapping[str, str]
    ) -> None:
        """Take how many uses there are, the channels that each reads and gives, and what each part reads first.

        `reads` has the name of the part that it comes from, and "" for what the class itself reads.
        """
        self._num_uses, self._reads = num_uses, reads
        # What the class reads and gives, to be found in the arguments of its parts.
        seeds: list[tuple[Role, Sequence[int]]] = [("in_channels", in_channels), ("out_channels", out_channels)]
        if list(in_channels) == list(out_channels):
            seeds = [("channels", in_channels)]
        self._ends = [Parameter(role, role, "", list(column), name=role) for role, column in seeds if column]
        self._found: list[Parameter] = []
        self._gives: dict[str, Parameter | None] = {}
        """What the channels are that a part gives, by its name; None where they are just a number."""

    def generalise(self, uses: Sequence[Value], unit: str) -> Value:
        """Return one value for a part in all uses, made of constants and parameters; `ABSENT` where a use has none."""
        present = [use for use in uses if use is not ABSENT]
        makes = [use for use in present if isinstance(use, Make)]
        first = makes[0] if makes else None
        if first is None or len(makes) < len(present) or any(not _alike(first, make) for make in makes):
            return self.passed(uses, unit)
        arguments: list[Argument] = []
        for place, argument in enumerate(first.arguments):
            column = [use.arguments[place].value if isinstance(use, Make) else ABSENT for use in uses]
            arguments.append(replace(argument, value=self._argument(column, argument, unit, arguments)))
        for argument in arguments:
            value = argument.value
            if argument.role in ("out_channels", "channels"):
                named = value.parameters if isinstance(value, Derived) and value.pattern == "{0}" else (None,)
                self._gives[unit] = named[0]
        return replace(first, arguments=tuple(arguments))

    def passed(self, uses: Sequence[Value], unit: str) -> Value:
        """Return a parameter for a part that the caller makes, None where a use has none."""
        last = unit.rpartition(".")[2]
        return self._module(uses, Argument(last if last.isidentifier() else unit, None), unit)

    def argument(self, column: Sequence[Value], argument: Argument, unit: str) -> Value:
        """Return the value of an argument of a formula."""
        return self._argument(column, argument, unit, [])

    def _argument(self, column: Sequence[Value], argument: Argument, unit: str, before: Sequence[Argument]) -> Value:
        values = [value for value in column if value is not ABSENT]
        if argument.role == "inplace":  # where all uses may
            return all(values)
        constant = all(_equal(value, values[0]) for value in values) and not isinstance(values[0], Make)
        if constant:
            return self._constant(column, argument.role, unit) or values[0]
        if any(isinstance(value, Make) for value in values):
            if all(isinstance(value, Make) for value in values):
                return self.generalise(column, unit) if not _differ(values) else self._module(column, argument, unit)
            return self._module(column, argument, unit)
        derived = self._padding(column, before) if argument.role == "padding" else None
        return derived or self._known(column, argument.role, unit) or self._parameter(column, argument, unit)

    def _constant(self, column: Sequence[Any], role: Role, unit: str) -> Value:
        """Return a parameter for what is equal in all uses, where that tells more: channels of the class, a stride.

        Whatever may be a coincidence stays a number.
        """
        if role in CHANNEL_ROLES and (role != "groups" or 1 not in column):
            fitting = [end for end in [*self._read_by(unit, role), *self._ends] if _fits(end.column, column)]
            if fitting:
                return self._use(fitting[0], column, unit)
            return self._multiple(column, role, unit) if len(self._ends) == 1 and role != "groups" else None
        if ABSENT in column and role == "stride":
            known = next((p for p in self._found if p.role == role and _fits(p.column, column)), None)
            return self._use(known, column, unit) if known else None
        return None

    def _module(self, column: Sequence[Value], argument: Argument, unit: str) -> Value:
        """Pass a module; the same parameter for two parts where it has no state, as activations."""
        for parameter in self._found:
            if parameter.is_module and parameter.base == argument.name == "act" and _fits(parameter.column, column):
                return self._use(parameter, column, unit)
        return self._parameter(column, argument, unit, is_module=True)

    def _known(self, column: Sequence[Any], role: Role, unit: str) -> Value:
        """Return a parameter of the same meaning and values, or a multiple of one; None where there is none."""
        channels = role in CHANNEL_ROLES
        candidates = [p for p in self._found if (p.role in CHANNEL_ROLES if channels else p.role == role != "other")]
        for parameter in [*self._read_by(unit, role), *(self._ends if channels else ()), *candidates]:
            if _fits(parameter.column, column):
                return self._use(parameter, column, unit)
        return self._multiple(column, role, unit) if channels else None

    def _read_by(self, unit: str, role: Role) -> Sequence[Parameter]:
        """Return the channels that a part reads, by the part that gives them, where they have a name.

        Other numbers of the class may be equal to them in all uses, but need not be in a use that somebody adds.
        """
        if role not in ("in_channels", "channels", "groups"):
            return ()
        before = self._reads.get(unit)
        while before and before not in self._gives:  # an activation, or pooling
            before = self._reads.get(before)
        given = self._ends[0] if before == "" and self._ends else self._gives.get(before or "")
        return [given] if given is not None else ()

    def _multiple(self, column: Sequence[Any], role: Role, unit: str) -> Value:
        """Return what is a multiple of the channels that the class reads or gives, or a part of them."""
        known = next((p for p in self._found if p.formula and _fits(p.column, column)), None)
        if known is not None:
            return self._use(known, column, unit)
        for end in self._ends:
            ends: list[Any] = end.column
            for factor in range(2, _LARGEST_FACTOR + 1):
                for pattern, up, down in ((f"{factor} * {{0}}", factor, 1), (f"{{0}} // {factor}", 1, factor)):
                    if all(v is ABSENT or v * down == n * up for v, n in zip(column, ends, strict=True)):
                        multiple: list[Any] = [n * up // down for n in ends]
                        formula = self._use(end, [ABSENT] * self._num_uses, unit, pattern)
                        self._found.append(Parameter(role, role, unit, multiple, formula=formula))
                        return self._use(self._found[-1], column, unit)
        return None

    def _use(self, parameter: Parameter, column: Sequence[Value], unit: str, pattern: str = "{0}") -> Derived:
        if parameter in self._ends and parameter not in self._found:
            self._found.append(parameter)
        if pattern == "{0}":
            pairs = zip(parameter.column, column, strict=True)
            parameter.column = [new if old is ABSENT else old for old, new in pairs]
        parameter.users.add(unit)
        parameter.num_reads += 1
        return Derived(pattern, (parameter,))

    def _padding(self, column: Sequence[Value], before: Sequence[Argument]) -> Value:
        """Return the padding that keeps the size of a map, worked out of the size of the kernel, where it is that."""
        kernel = next((argument.value for argument in before if argument.role == "kernel_size"), None)
        dilation = next((argument.value for argument in before if argument.role == "dilation"), 1)
        if not isinstance(kernel, Derived) or kernel.pattern != "{0}" or dilation != 1:
            return None
        pairs = zip(column, kernel.parameters[0].column, strict=True)
        sizes = [(padding, size) for padding, size in pairs if padding is not ABSENT]
        if all(type(size) is int and size % 2 and padding == size // 2 for padding, size in sizes):
            return Derived("{0} // 2", kernel.parameters)
        return None

    def _parameter(self, column: Sequence[Value], argument: Argument, unit: str, *, is_module: bool = False) -> Derived:
        """Add a parameter."""
        parameter = Parameter(argument.role, argument.name, unit, list(column), is_module)
        self._found.append(parameter)
        return self._use(parameter, [ABSENT] * self._num_uses, unit)

    def condition(self, present: Sequence[bool], unit: str, *, is_sum: bool) -> Derived:
        """Return what is true in the uses that have a part, in terms of parameters where that is possible."""
        for parameter in self._found:
            defined = [value is not ABSENT and value is not None for value in parameter.column]
            if parameter.unit == unit and defined == list(present):
                return Derived("{0} is not None", (parameter,))
        for pattern, parameters, column in self._conditions(is_sum=is_sum):
            if column == list(present):
                for parameter in parameters:
                    self._use(parameter, [ABSENT] * self._num_uses, unit)
                return Derived(pattern, parameters)
        name = f"with_{_identifier(unit)}"
        return self._parameter(list(present), Argument(name, None), unit)

    def _conditions(self, *, is_sum: bool) -> Iterator[tuple[str, tuple[Parameter, ...], list[bool]]]:
        """Yield conditions with their values, usual ones first: equal shapes for a shortcut, else different ones."""
        strides = [p for p in self._found if p.role == "stride" and ABSENT not in p.column][:1]
        ends = [tuple(self._ends)] if len(self._ends) == 2 else []
        inner = [p for p in self._found if p.role in CHANNEL_ROLES and p not in self._ends and ABSENT not in p.column]
        compare, word, join, combine = (eq, "==", "and", all) if is_sum else (ne, "!=", "or", any)
        by_stride = [[compare(value, 1) for value in p.column] for p in strides]
        pairs = [*ends, *((end, p) for end in self._ends for p in inner)]
        by_pair = [[bool(compare(a, b)) for a, b in zip(one.column, two.column, strict=True)] for one, two in pairs]
        if ends and strides:
            column = [bool(combine(values)) for values in zip(by_stride[0], by_pair[0], strict=True)]
            yield f"{{0}} {word} 1 {join} {{1}} {word} {{2}}", (strides[0], *ends[0]), column
        for (one, two), column in zip(pairs, by_pair, strict=True):
            yield f"{{1}} {word} {{0}}", (one, two), column
        for stride, column in zip(strides, by_stride, strict=True):
            yield f"{{0}} {word} 1", (stride,), [bool(value) for value in column]

    def finish(self, hidden: str = "hidden_channels") -> tuple[Parameter, ...]:
        """Name the parameters, fill in defaults, and return them in the order of the signature.

        Those with a formula are among them.

        Args:
            hidden: the name for channels inside, where they are of one number.
        """
        for parameter in self._found:
            missing = any(value is ABSENT for value in parameter.column)
            parameter.column = [None if value is ABSENT else value for value in parameter.column]
            parameter.default = _default(parameter, missing)
        _name(self._found, hidden)
        order = {name: place for place, name in enumerate(("channels", "in_channels", "out_channels", "kernel_size"))}
        return tuple(
            sorted(self._found, key=lambda p: (p.default is not REQUIRED, p.is_module, order.get(p.name, len(order))))
        )


def _alike(one: Make, other: Make) -> bool:
    """Whether two modules are made by the same call but for the values of arguments."""
    if (one.head is not other.head and one.head != other.head) or len(one.arguments) != len(other.arguments):
        return False
    pairs = list(zip(one.arguments, other.arguments, strict=True))
    if any(a.name != b.name for a, b in pairs):
        return False
    if one.head != SEQUENTIAL and not is_listing(one):
        return True
    return all(isinstance(a.value, Make) and isinstance(b.value, Make) and _alike(a.value, b.value) for a, b in pairs)


def _differ(values: Sequence[Value]) -> bool:
    first = values[0]
    assert isinstance(first, Make)
    return any(not isinstance(value, Make) or not _alike(first, value) for value in values)


def _equal(one: object, other: object) -> bool:
    return type(one) is type(other) and one == other


def _fits(known: Iterable[Value], column: Iterable[Value]) -> bool:
    """Whether a column is equal to a known one where it has values, and says nothing more."""
    return all(new is ABSENT or _equal(old, new) for old, new in zip(known, column, strict=True))


def _default(parameter: Parameter, missing: bool) -> Any:
    if missing or (parameter.is_module and None in parameter.column):
        return None
    if parameter.role in _NEUTRAL and _NEUTRAL[parameter.role] in parameter.column:
        return _NEUTRAL[parameter.role]
    values = [value for value in parameter.column if not isinstance(value, Make)]
    if values and isinstance(values[0], bool):
        return max(True, False, key=values.count)
    return None if None in values else REQUIRED


def _identifier(unit: str) -> str:
    name = re.sub(r"\W", "_", unit, flags=re.ASCII).strip("_").lower() or "part"
    name = f"part_{name}" if name[0].isdigit() else name
    return f"{name}_" if name in _RESERVED or keyword.iskeyword(name) else name


def _name(parameters: Sequence[Parameter], hidden: str) -> None:
    """Name parameters by what they say, with the part before it where several say the same."""
    inner = [p for p in parameters if p.role in CHANNEL_ROLES and not p.name]
    shared = [p for p in inner if len(p.users) > 1]
    wanted: dict[Parameter, str] = {}
    for parameter in parameters:
        if parameter.name:
            wanted[parameter] = parameter.name
        elif parameter in inner and parameter.role == "groups":
            wanted[parameter] = "groups"
        elif parameter in inner:
            alone = shared == [parameter]
            wanted[parameter] = hidden if alone else f"{_identifier(parameter.unit)}_channels"
        else:
            wanted[parameter] = _identifier(parameter.base)
    names = list(wanted.values())
    used: set[str] = set()
    for parameter, name in wanted.items():
        long = name if names.count(name) == 1 else f"{_identifier(parameter.unit)}_{_identifier(parameter.base)}"
        while long in used:
            long += "_"
        used.add(long)
        parameter.name = long
        if parameter.formula is not None and parameter.num_reads == 1:  # it stands where it is read
            formula = parameter.formula
            parameter.name = formula.pattern.format(*(known.name for known in formula.parameters))
