"""What the commands share: help, errors in one line, exit codes, streams that cannot end a command, and signals."""

from __future__ import annotations

import argparse
import errno
import io
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from contextvars import ContextVar
from types import FrameType
from typing import TYPE_CHECKING, BinaryIO, ClassVar, NoReturn, cast

from nas.errors import EvaluationError, NasError, of_system, plain
from nas.json_output import FLAG, FLAG_HELP, add_error, json_document
from nas.meanwhile import meanwhile
from nas.starting import INTERRUPTED, SIGNALS

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

_SILENT_SECONDS = 30.0
"""After which a line says that the work goes on."""
_LOOK_SECONDS = 1.0
"""Between two looks at whether anything was written."""


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are in the JSON document too."""

    def error(self, message: str) -> NoReturn:
        """End the process, with the usage and the message on stderr."""
        add_error(message)
        super().error(message)


def parser(prog: str, description: str, examples: str, *, json: bool = True) -> argparse.ArgumentParser:
    """Return the parser of a command, whose help ends with examples.

    Args:
        prog: how it is typed.
        description: what it does.
        examples: lines of them.
        json: whether it has facts to print as JSON.
    """
    guard_streams()
    made = _Parser(
        prog=prog,
        description=description,
        epilog=f"\nexamples\n{examples}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    if json:
        made.add_argument(FLAG, action="store_true", help=FLAG_HELP)
    return made


def run(name: str, work: Callable[[], None], *, json: bool = False, may_be_silent: bool = False) -> int:
    """Do a command's work and return its exit code.

    2 with one line on stderr where the user's input is wrong or the system refuses a file, 1 where evaluations fail one
    like the other, 130 where it was interrupted.

    Where nothing is printed for half a minute, a line says that the work goes on.

    Args:
        name: of the command, for its messages.
        work: what it does; tells its facts by `nas.json_output.add_facts`.
        json: whether these are printed as JSON.
        may_be_silent: whether it waits for its user, or prints what programs read.
    """
    guard_streams()
    with json_document(json), interruptible() as interrupt:
        try:
            with nullcontext() if may_be_silent else _breaking_silence(name):
                work()
        except NasError as error:
            say_error(name, error)
            return 1 if isinstance(error, EvaluationError) else 2
        except BaseException as error:
            if interrupt.caused(error):
                say_error(name, "interrupted")
                return INTERRUPTED
            if not isinstance(error, OSError) or error.errno is None:
                raise
            say_error(name, of_system(error))  # a disk that is full, a folder that may not be written
            return 2
    return 0


def say_error(name: str, message: object) -> None:
    """Say why a command fails, in a line on stderr and in the JSON document."""
    text = str(message)
    print(f"{name}: {plain(text, len(text))}", file=sys.stderr)  # names of files and classes may control a terminal
    add_error(message)


# What is shown


class _GuardedFile(io.FileIO):
    """A file descriptor to write to; what cannot be written any more goes nowhere, and ends nothing."""

    last_write: ClassVar[float] = 0.0
    """When anything was written to any of them, by `time.monotonic`."""
    lost: OSError | None = None
    """Why what was written is not whole, as where the disk is full; None also where nobody reads it."""

    def write(self, data: ReadableBuffer, /) -> int:
        _GuardedFile.last_write = time.monotonic()
        rest = memoryview(data).cast("B")
        size = len(rest)
        while rest:
            try:
                written = super().write(rest)
            except OSError as error:  # `... | head` has read enough, the terminal was closed, the disk is full
                if error.errno not in (errno.EPIPE, errno.EIO):
                    self.lost = error
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


def guard_streams() -> None:
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
            setattr(sys, name, _guarded_copy(stream))


def lost_output() -> OSError | None:
    """Return why what was printed on standard output is not whole; None where it is, or where nobody reads it."""
    sys.stdout.flush()
    buffer = getattr(sys.stdout, "buffer", None)
    raw = getattr(buffer, "raw", buffer)
    return raw.lost if isinstance(raw, _GuardedFile) else None


def _guarded_copy(stream: io.TextIOWrapper) -> io.TextIOWrapper:
    raw = _GuardedFile(stream.fileno(), "wb", closefd=False)
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


class Interrupt:
    """Turns signals into `KeyboardInterrupt`; several at once are one."""

    def __init__(self) -> None:
        self._last = -_ONCE_SECONDS
        self._came = False

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """Handle a signal: raise `KeyboardInterrupt`, but not again within moments of the last one."""
        now = time.monotonic()
        if now - self._last >= _ONCE_SECONDS:
            self._last, self._came = now, True
            raise KeyboardInterrupt

    def caused(self, error: BaseException) -> bool:
        """Whether an error is an interrupt, or what a library that was interrupted while it was loaded made of one."""
        return isinstance(error, KeyboardInterrupt) or self._came


@contextmanager
def interruptible() -> Iterator[Interrupt]:
    """Let the end of the terminal, and a request to end, interrupt a command as Ctrl-C does, once.

    A signal that is ignored, as under `nohup`, stays ignored.
    """
    interrupt, here = Interrupt(), threading.current_thread() is threading.main_thread()
    before = {number: signal.getsignal(number) for number in SIGNALS if here}
    before = {number: old for number, old in before.items() if old not in (signal.SIG_IGN, None)}
    try:
        for number in before:
            signal.signal(number, interrupt)
        yield interrupt
    finally:
        for number, old in before.items():
            signal.signal(number, old)


class DeferredSignals:
    """Keeps signals until what is being done can take them.

    An exception that a signal raises wherever the program is can leave a lock of the standard library held for ever.
    """

    def __init__(self, what: str) -> None:
        """Take what is being done once a signal has come, for those who send another."""
        self._what = what
        self._came = self._raised = False
        self._interrupts_at_once = False

    def check(self) -> None:
        """Raise `KeyboardInterrupt` where a signal has come."""
        if self._came and not self._raised:
            self._raised = True
            raise KeyboardInterrupt

    def stop_deferring(self) -> None:
        """Hear that what is done is being ended, wherever that came from: a signal changes nothing more."""
        self._came = self._raised = True

    def hear(self, number: int, frame: FrameType | None) -> None:
        """Handle a signal."""
        if self._came:
            with suppress(OSError):
                os.write(2, f"\n{self._what}; Ctrl-\\ ends at once\n".encode())
        self._came = True
        if self._interrupts_at_once:
            self.check()

    @contextmanager
    def interrupt_at_once(self) -> Iterator[None]:
        """Do something that may take long, and that a signal ends at once."""
        self.check()
        self._interrupts_at_once = True
        try:
            yield
        finally:
            self._interrupts_at_once = False


_DEFERRED: ContextVar[DeferredSignals | None] = ContextVar("deferred", default=None)
"""What hears signals now; without one, they raise as usual."""


@contextmanager
def defer_signals(what: str) -> Iterator[DeferredSignals]:
    """Do something that ends in order where a signal comes that raises `KeyboardInterrupt` otherwise.

    One that came and was not taken by `DeferredSignals.check` raises at the end.

    Args:
        what: is being done once a signal has come.
    """
    mine = DeferredSignals(what)
    before = {number: signal.getsignal(number) for number in SIGNALS}
    if threading.current_thread() is not threading.main_thread():
        before = {}
    before = {number: old for number, old in before.items() if _raises(old)}
    token = _DEFERRED.set(mine)
    try:
        for number in before:
            signal.signal(number, mine.hear)
        yield mine
    finally:
        _DEFERRED.reset(token)
        for number, old in before.items():
            signal.signal(number, old)
    mine.check()


def interrupt_at_once() -> AbstractContextManager[None]:
    """Do something that may take long, and that a signal ends at once also where others wait."""
    deferred = _DEFERRED.get()
    return deferred.interrupt_at_once() if deferred is not None else nullcontext()


def _raises(handler: object) -> bool:
    return isinstance(handler, Interrupt) or handler is signal.default_int_handler


def _print(line: str) -> None:
    print(line, flush=True)


@contextmanager
def long_step(what: str, say: Callable[[str], object] = _print) -> Iterator[None]:
    """Say what is done in a step that tells nothing itself, and now and then that it goes on.

    Args:
        what: in words that a full sentence can begin with, such as `Writing the model`.
        say: told a line; called from another thread too.
    """
    began = time.monotonic()

    def go_on(over: threading.Event) -> None:
        while not over.wait(_SILENT_SECONDS):
            say(f"{what}: {time.monotonic() - began:.0f} s by now ...")

    say(f"{what} ...")
    with meanwhile(go_on, "nas-long-step"):
        yield


@contextmanager
def _breaking_silence(name: str) -> Iterator[None]:
    """Say that a command goes on, each time that nothing was written for a while."""
    began = _GuardedFile.last_write = time.monotonic()

    def watch(over: threading.Event) -> None:
        while not over.wait(_LOOK_SECONDS):
            now = time.monotonic()
            if now - _GuardedFile.last_write >= _SILENT_SECONDS:
                _GuardedFile.last_write = now  # also where the stream is not the process's own
                _print(f"{name} goes on: {now - began:.0f} s by now ...")

    with meanwhile(watch, "nas-silence"):
        yield
