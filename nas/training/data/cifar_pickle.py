"""The pickles that CIFAR is distributed as, read without pickle: nothing that a file names is imported or called.

A pickle is a program. The one here knows the few instructions of these files (protocol 2, written by Python 2), and of
what they may call only that which makes an array of bytes, which it makes by itself. It refuses all others.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

_MOST_STEPS = 1_000_000
"""Instructions of a file; that of CIFAR-100's training images, the longest, has about 200,000."""
_RECONSTRUCT = ("numpy.core.multiarray _reconstruct", "numpy._core.multiarray _reconstruct")
_NDARRAY, _DTYPE = "numpy ndarray", "numpy dtype"
_UINT8_STATE = (3, "|", None, None, None, -1, -1, 0)


def read_pickle(data: bytes) -> dict[str, Any]:
    """Return the dictionary of a pickle, which holds lists, texts, whole numbers, and at most one array of bytes.

    Raises:
        ValueError: it has, or is, something else; says what.
    """
    machine = _Machine()
    try:
        for count, (opcode, argument, position) in enumerate(pickletools.genops(data)):
            step = _STEPS.get(opcode.name)
            if step is None:
                raise ValueError(f"the instruction {opcode.name} at byte {position:,}")
            if count == _MOST_STEPS:
                raise ValueError(f"more than {_MOST_STEPS:,} instructions")
            step(machine, argument)
    except (IndexError, KeyError):
        raise ValueError("instructions that ask for what is not there") from None
    found = machine.stack[-1] if machine.stack else None
    if not isinstance(found, dict):
        raise ValueError("no dictionary")
    return {name: value.values if isinstance(value, _Array) else value for name, value in found.items()}


@dataclass(frozen=True)
class _Global:
    """The name of something that a file would have imported."""

    name: str


@dataclass(frozen=True)
class _Uint8:
    """numpy's type of a byte."""


@dataclass(eq=False)
class _Array:
    """An array, which is empty until it is built."""

    values: NDArray[np.uint8] | None = None


class _Machine:
    """The stack that a pickle works on, and what it has kept by number."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.kept: dict[int, Any] = {}
        self._marks: list[int] = []
        self._arrays = 0

    def mark(self) -> None:
        self._marks.append(len(self.stack))

    def since_mark(self) -> list[Any]:
        return self.last(len(self.stack) - self._marks.pop())

    def last(self, count: int) -> list[Any]:
        """Take the last values from the stack."""
        if not 0 <= count <= len(self.stack):
            raise IndexError
        values = self.stack[len(self.stack) - count :]
        del self.stack[len(self.stack) - count :]
        return values

    def extend(self, values: list[Any]) -> None:
        if not isinstance(self.stack[-1], list):
            raise ValueError("something appended to what is no list")
        self.stack[-1].extend(values)

    def update(self, values: list[Any]) -> None:
        if not isinstance(self.stack[-1], dict) or not all(isinstance(key, str) for key in values[::2]):
            raise ValueError("an entry of what is no dictionary, or whose key is no text")
        if len(values) % 2:
            raise ValueError("an entry without a value")
        self.stack[-1].update(zip(values[::2], values[1::2], strict=True))

    def refer(self, name: str) -> None:
        if name not in (*_RECONSTRUCT, _NDARRAY, _DTYPE):
            raise ValueError(f"the name {name.replace(' ', '.')[:80]!r}, which is none of numpy's arrays of bytes")
        self.stack.append(_Global(name))

    def call(self) -> None:
        function, arguments = self.last(2)
        name = function.name if isinstance(function, _Global) else None
        if name in _RECONSTRUCT and arguments == (_Global(_NDARRAY), (0,), "b"):
            self.stack.append(_Array())
        elif name == _DTYPE and isinstance(arguments, tuple) and arguments in (("u1", 0, 1), ("u1", 0, 0)):
            self.stack.append(_Uint8())
        else:
            raise ValueError(f"a call of {name or 'what is no name'} that makes no array of bytes")

    def build(self) -> None:
        built, state = self.last(2)
        if isinstance(built, _Array) and not self._arrays:
            built.values = _array(state)
            self._arrays += 1
        elif not (isinstance(built, _Uint8) and isinstance(state, tuple) and state == _UINT8_STATE):
            raise ValueError("a state of what is no array of bytes, or of a second one")
        self.stack.append(built)


def _array(state: object) -> NDArray[np.uint8]:
    """Return the array of the state that numpy keeps of it: version, shape, type, order of columns first, bytes."""
    if not isinstance(state, tuple) or len(state) != 5:
        raise ValueError("an array without a state")
    _, shape, kind, columns_first, values = state
    if not (isinstance(shape, tuple) and all(isinstance(size, int) and size >= 0 for size in shape)):
        raise ValueError("an array without a shape")
    if not (isinstance(kind, _Uint8) and isinstance(values, str)):
        raise ValueError("an array of something else than bytes")
    if len(values) != prod(shape):
        raise ValueError(f"an array of {prod(shape):,} bytes that has {len(values):,}")
    data = np.frombuffer(values.encode("latin-1"), np.uint8)
    return data.reshape(shape, order="F" if columns_first else "C")


def _keep(machine: _Machine, number: int) -> None:
    machine.kept[number] = machine.stack[-1]


def _nothing(machine: _Machine, argument: object) -> None:
    """Do nothing, at the beginning and at the end."""


def _push(machine: _Machine, value: Any) -> None:
    machine.stack.append(value)


_Step = Callable[[_Machine, Any], None]
_STEPS: Mapping[str, _Step] = {
    **dict.fromkeys(("PROTO", "STOP"), _nothing),
    **dict.fromkeys(("BININT", "BININT1", "BININT2", "LONG1", "SHORT_BINSTRING", "BINSTRING"), _push),
    "NONE": lambda machine, _: machine.stack.append(None),
    "NEWTRUE": lambda machine, _: machine.stack.append(True),
    "NEWFALSE": lambda machine, _: machine.stack.append(False),
    "EMPTY_DICT": lambda machine, _: machine.stack.append({}),
    "EMPTY_LIST": lambda machine, _: machine.stack.append([]),
    "EMPTY_TUPLE": lambda machine, _: machine.stack.append(()),
    "MARK": lambda machine, _: machine.mark(),
    "TUPLE": lambda machine, _: machine.stack.append(tuple(machine.since_mark())),
    "TUPLE1": lambda machine, _: machine.stack.append(tuple(machine.last(1))),
    "TUPLE2": lambda machine, _: machine.stack.append(tuple(machine.last(2))),
    "TUPLE3": lambda machine, _: machine.stack.append(tuple(machine.last(3))),
    "APPEND": lambda machine, _: machine.extend(machine.last(1)),
    "APPENDS": lambda machine, _: machine.extend(machine.since_mark()),
    "SETITEM": lambda machine, _: machine.update(machine.last(2)),
    "SETITEMS": lambda machine, _: machine.update(machine.since_mark()),
    **dict.fromkeys(("BINPUT", "LONG_BINPUT"), _keep),
    **dict.fromkeys(("BINGET", "LONG_BINGET"), lambda machine, number: machine.stack.append(machine.kept[number])),
    "GLOBAL": lambda machine, name: machine.refer(name),
    "REDUCE": lambda machine, _: machine.call(),
    "BUILD": lambda machine, _: machine.build(),
}
"""What each instruction does; `pickletools` reads their arguments, and runs none."""
