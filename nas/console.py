"""What the commands share: help, errors in one line, exit codes, streams that cannot end a command, and signals."""

from __future__ import annotations

import argparse
import io
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from nas.errors import EvaluationError, NasError

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

INTERRUPTED = 130
"""The exit code of a command that was interrupted."""


def parser(name: str, description: str, examples: str) -> argparse.ArgumentParser:
    """Return the parser of `python -m NAME`, whose help ends with examples."""
    steady()
    return argparse.ArgumentParser(
        prog=f"python -m {name}",
        description=description,
        epilog=f"\nexamples\n{examples}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def run(name: str, work: Callable[[], None]) -> int:
    """Do a command's work and return its exit code.

    2 with one line on stderr where the user's input is wrong, 1 where evaluations fail one like the other, 130 where it
    was interrupted.
    """
    steady()
    interruptible()
    try:
        work()
    except NasError as error:
        print(f"{name}: {error}", file=sys.stderr)
        return 1 if isinstance(error, EvaluationError) else 2
    except KeyboardInterrupt:
        print(f"{name}: interrupted", file=sys.stderr)
        return INTERRUPTED
    return 0


# What is shown


class _Steady(io.FileIO):
    """A file descriptor to write to; what cannot be written any more goes nowhere, and is no error."""

    def write(self, data: ReadableBuffer, /) -> int:
        rest = memoryview(data).cast("B")
        size = len(rest)
        while rest:
            try:
                written = super().write(rest)
            except OSError:  # `... | head` has read enough, the terminal was closed, the disk is full
                self._to_nowhere()
                break
            if written is None:  # somebody else has made it one that does not wait
                select.select([], [self], [])
            else:
                rest = rest[written:]
        return size

    def _to_nowhere(self) -> None:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self.fileno())
        os.close(nowhere)


def steady() -> None:
    """Let nothing that is shown end what this process does.

    Standard output and error take any text in any encoding, what they lack escaped, and go on where nobody reads them.
    Streams that are not the process's own, such as those of a notebook, stay as they are.
    """
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # closed before the start: the next file that is opened must not get its number
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_WRONLY), "w", encoding="utf-8"))
        elif stream is getattr(sys, f"__{name}__") and isinstance(stream, io.TextIOWrapper):
            with suppress(OSError):
                stream.flush()
            setattr(sys, name, _steady_copy(stream))


def _steady_copy(stream: io.TextIOWrapper) -> io.TextIOWrapper:
    raw = _Steady(stream.fileno(), "wb", closefd=False)
    # As `python -u` has it, nothing is kept back; its stream is on the file itself.
    through = stream.write_through
    return io.TextIOWrapper(
        cast("BinaryIO", raw) if through else io.BufferedWriter(raw),
        stream.encoding,
        errors="backslashreplace",
        line_buffering=stream.line_buffering,
        write_through=through,
    )


# Signals

_ONCE_SECONDS = 2.0


class _Interrupt:
    """Turns signals into `KeyboardInterrupt`; several at once are one."""

    def __init__(self) -> None:
        self._last = -_ONCE_SECONDS

    def __call__(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if now - self._last >= _ONCE_SECONDS:
            self._last = now
            raise KeyboardInterrupt


_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def interruptible() -> None:
    """Let the end of the terminal, and a request to end, interrupt a command as Ctrl-C does, once.

    A signal that is ignored, as under `nohup`, stays ignored.
    """
    _handle(_Interrupt())


@contextmanager
def undisturbed(what: str, *, interrupted: bool = False) -> Iterator[None]:
    """Do something to its end, whatever signal comes meanwhile, which is told what is being done and comes afterwards.

    Args:
        what: is being done.
        interrupted: it is done because the user has interrupted, so that doing so again changes nothing.
    """
    came: list[int] = []

    def wait(number: int, frame: FrameType | None) -> None:
        if not came:
            with suppress(OSError):
                os.write(2, f"\n{what}; Ctrl-\\ ends at once\n".encode())
        came.append(number)

    before = _handle(wait)
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
    for number in dict.fromkeys(came):
        if not interrupted or before[signal.Signals(number)] is signal.SIG_DFL:
            signal.raise_signal(number)


_Handler = Callable[[int, FrameType | None], Any] | int


def _handle(handler: _Handler) -> dict[signal.Signals, _Handler]:
    """Handle signals that are not ignored, where this thread may; returns what handled them before."""
    if threading.current_thread() is not threading.main_thread():
        return {}
    now = {number: signal.getsignal(number) for number in _SIGNALS}
    # None is a handler that is not Python's.
    mine = {number: old for number, old in now.items() if old is not None and old != signal.SIG_IGN}
    for number in mine:
        signal.signal(number, handler)
    return mine
