"""Values worked out from other values of a space: `= 32 * width`. Parsed, never evaluated as Python."""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from nas.errors import NasError, nearest
from nas.network.rounding import round_to

MARK = "="
"""The first character of a formula."""

_MAX_TEXT = 300
_LARGEST = 1e15

_BINARY: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}
_COMPARE: dict[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}


def _round(value: float, digits: int = 0) -> float:
    if not isinstance(digits, int) or abs(digits) > 15:
        raise ValueError(f"round takes up to 15 digits, not {digits}")
    return round(value, digits) if digits else round(value)


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "round_to": round_to,
    "round": _round,
    "ceil": math.ceil,
    "floor": math.floor,
    "int": int,
    "min": min,
    "max": max,
}
"""What a formula may call. `round_to(x, 8)` is the multiple of 8 nearest to x, never below 90 % of it."""

_Run = Callable[[Mapping[str, Any]], Any]


@dataclass(frozen=True, eq=False, slots=True)
class Formula:
    """An expression over named values."""

    text: str
    names: frozenset[str]
    """The names that it reads."""
    _run: _Run

    def value(self, names: Mapping[str, Any]) -> Any:
        """Return the value under these names; raises `NasError` with the formula and the values where it has none."""
        try:
            value = self._run(names)
        except (ArithmeticError, TypeError, ValueError) as error:
            given = ", ".join(f"{name}={names[name]!r}" for name in sorted(self.names))
            raise NasError(f"formula {self.text!r} with {given or 'no names'}: {error}") from None
        # 2.0 * 16 is a whole number to whoever writes a number of channels.
        return int(value) if isinstance(value, float) and value.is_integer() else value


def is_formula(value: object) -> bool:
    """Return whether a value of a space file is a formula."""
    return isinstance(value, str) and value.lstrip().startswith(MARK)


def formula(text: str) -> Formula:
    """Read a formula; raises `NasError` for anything but arithmetic, comparison and the functions of `FUNCTIONS`."""
    source = text.strip().removeprefix(MARK).strip()
    if len(source) > _MAX_TEXT:
        raise NasError(f"a formula may have {_MAX_TEXT} characters, but this one has {len(source)}")
    try:
        tree = ast.parse(source, mode="eval")
        names: set[str] = set()
        run = _compile(tree.body, names)
    except (SyntaxError, RecursionError, MemoryError, ValueError) as error:
        if isinstance(error, NasError):
            raise
        problem = str(getattr(error, "msg", error))
        if source.count("(") > source.count(")"):
            problem += "; inside {...} a comma ends a value, so put quotes around a formula that has one"
        raise NasError(f"formula {source!r} is not an expression: {problem}") from None
    return Formula(source, frozenset(names), run)


def _bounded(value: Any) -> Any:
    if isinstance(value, int | float) and not abs(value) <= _LARGEST:
        raise ValueError(f"a value over {_LARGEST:g}")
    return value


def _compile(node: ast.expr, names: set[str]) -> _Run:
    """Compile an expression to a function of the named values, and add the names that it reads to `names`."""
    reader = _READERS.get(type(node))
    run = reader(node, names) if reader is not None else None
    if run is None:
        raise NasError(f"a formula has numbers, names, arithmetic, comparisons, functions, not {ast.unparse(node)!r}")
    return run


def _constant(node: ast.Constant, names: set[str]) -> _Run | None:
    if not isinstance(node.value, int | float | str | None):
        return None
    constant = _bounded(node.value)
    return lambda _: constant


def _name(node: ast.Name, names: set[str]) -> _Run:
    name = node.id
    names.add(name)
    return lambda values: values[name]


def _binary(node: ast.BinOp, names: set[str]) -> _Run | None:
    function = _BINARY.get(type(node.op))
    if function is None:
        return None
    left, right = _compile(node.left, names), _compile(node.right, names)
    return lambda values: _bounded(function(_number(left(values)), _number(right(values))))


def _unary(node: ast.UnaryOp, names: set[str]) -> _Run | None:
    inner = _compile(node.operand, names)
    if isinstance(node.op, ast.Not):
        return lambda values: not inner(values)
    return (lambda values: -_number(inner(values))) if isinstance(node.op, ast.USub) else None


def _logic(node: ast.BoolOp, names: set[str]) -> _Run:
    parts, combine = [_compile(part, names) for part in node.values], all if isinstance(node.op, ast.And) else any
    return lambda values: combine(part(values) for part in parts)


def _if_else(node: ast.IfExp, names: set[str]) -> _Run:
    test, yes, no = (_compile(part, names) for part in (node.test, node.body, node.orelse))
    return lambda values: yes(values) if test(values) else no(values)


def _number(value: Any) -> Any:
    """Return a number as it is; raises `TypeError` for anything else, since `"ab" * 10 ** 9` would be large."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{value!r} is not a number")
    return value


def _comparison(node: ast.Compare, names: set[str]) -> _Run:
    if len(node.ops) != 1 or type(node.ops[0]) not in _COMPARE:
        raise NasError(f"a formula compares two values with == != < <= > >=, not {ast.unparse(node)!r}")
    function = _COMPARE[type(node.ops[0])]
    left, right = _compile(node.left, names), _compile(node.comparators[0], names)
    return lambda values: function(left(values), right(values))


def _call(node: ast.Call, names: set[str]) -> _Run:
    called = node.func.id if isinstance(node.func, ast.Name) else ast.unparse(node.func)
    if called not in FUNCTIONS:
        raise NasError(f"a formula has no function {called!r}. {nearest(called, FUNCTIONS)}")
    if node.keywords or not node.args:
        raise NasError(f"{called} takes values in order, as in {called}(x), not {ast.unparse(node)!r}")
    function, arguments = FUNCTIONS[called], [_compile(part, names) for part in node.args]
    return lambda values: _bounded(function(*[_number(argument(values)) for argument in arguments]))


_READERS: dict[type[ast.expr], Callable[[Any, set[str]], _Run | None]] = {
    ast.Constant: _constant,
    ast.Name: _name,
    ast.BinOp: _binary,
    ast.UnaryOp: _unary,
    ast.Compare: _comparison,
    ast.BoolOp: _logic,
    ast.IfExp: _if_else,
    ast.Call: _call,
}
