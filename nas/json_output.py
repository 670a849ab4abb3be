"""`--json`: what a command found out as one JSON document on standard output; all else goes to standard error."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout, suppress
from contextvars import ContextVar
from pathlib import Path
from typing import Any, TextIO

from nas.errors import reason_of

FLAG = "--json"
"""Every command takes it, but `nas completion`."""
FLAG_HELP = "print what was found as one JSON document; all else goes to standard error"
ERROR = "error"
"""The fact that is there exactly where the exit code is not 0: why."""


class _Document:
    """The document of the command that this process runs, while what is printed goes to standard error."""

    def __init__(self, out: TextIO) -> None:
        self.facts: dict[str, Any] = {}
        self.part = self.facts
        """Where facts are put that come now."""
        self._out, self._printed = out, False
        try:
            self._file: int | None = out.fileno()
        except (OSError, ValueError):  # a stream in memory, as in tests and notebooks
            self._file = None
        self._kept = os.dup(self._file) if self._file is not None else None

    def point_to_errors(self) -> None:
        """Send to standard error what this process, and those that it starts, write to standard output."""
        if self._file is not None:
            with suppress(OSError, ValueError):
                os.dup2(sys.stderr.fileno(), self._file)

    def point_back(self) -> None:
        """Give standard output back."""
        if self._file is not None and self._kept is not None:
            os.dup2(self._kept, self._file)

    def print(self) -> None:
        """Print it, unless it has been."""
        if self._printed:
            return
        self._printed = True
        text = json.dumps(plain_values(self.facts), indent=1, allow_nan=False)
        self.point_back()
        print(text, file=self._out, flush=True)
        self.point_to_errors()

    def close(self) -> None:
        """Print it, and give standard output back."""
        self.print()
        self.point_back()
        if self._kept is not None:
            os.close(self._kept)


_DOCUMENT: ContextVar[_Document | None] = ContextVar("document", default=None)
"""That of the command that runs; None where text alone is asked for."""


@contextmanager
def json_document(asked: bool) -> Iterator[None]:
    """Do a command's work and print one JSON document at its end, also where it fails; nothing where none is asked for.

    Inside of another one it is that one. Until the end standard output is standard error, for processes that are
    started too.
    """
    if not asked or _DOCUMENT.get() is not None:
        yield
        return
    sys.stdout.flush()
    document = _Document(sys.stdout)
    token = _DOCUMENT.set(document)
    document.point_to_errors()
    try:
        with redirect_stdout(sys.stderr):
            yield
    except SystemExit as ended:
        if ended.code:
            add_exit_code(ended.code)
        raise
    except BaseException as error:
        add_error(reason_of(error))
        raise
    finally:
        _DOCUMENT.reset(token)
        document.close()


def add_facts(facts: Mapping[str, Any]) -> None:
    """Put facts into the document of the command that runs; nothing where none is asked for.

    Args:
        facts: by names that stay: the field's terms, with units, such as `latency_ms`. Values as `plain_values` takes
            them.
    """
    document = _DOCUMENT.get()
    if document is not None:
        document.part.update(facts)


def add_error(message: object) -> None:
    """Put why the command fails into its document; the first reason stays."""
    document = _DOCUMENT.get()
    if document is not None:
        document.facts.setdefault(ERROR, str(message))


def add_exit_code(code: object) -> None:
    """Put into the document that the command fails, where nothing said why."""
    add_error(f"exit code {code}; standard error says more")


@contextmanager
def part_of_document(name: str) -> Iterator[None]:
    """Put the facts that come meanwhile under a name: those of a command that another one runs."""
    document = _DOCUMENT.get()
    if document is None:
        yield
        return
    before = document.part
    document.part = before.setdefault(name, {})
    try:
        yield
    finally:
        document.part = before


def print_document() -> None:
    """Print the document now: of a command that goes on until it is interrupted."""
    document = _DOCUMENT.get()
    if document is not None:
        document.print()


def plain_values(value: Any) -> Any:
    """Return a value as JSON has it: mappings, lists, texts, numbers, true, false and null.

    A number that is not finite, or that no double holds, is null. Numbers of NumPy are numbers, paths are absolute.

    Raises:
        TypeError: it is something else.
    """
    if isinstance(value, Mapping):
        return {str(key): plain_values(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain_values(one) for one in value]
    if hasattr(value, "tolist"):  # of NumPy, which is not loaded for this
        return plain_values(value.tolist())
    return _plain_value(value)


def _plain_value(value: Any) -> str | float | bool | None:
    match value:
        case None | bool():
            return value
        case str():
            return str(value)  # also of an enumeration of texts
        case Path():
            return str(value.absolute())
        case int() | float():
            finite = abs(value) <= sys.float_info.max  # compares whole numbers exactly
            return value if finite else None
    raise TypeError(f"{type(value).__name__} is no value of JSON: {value!r:.80}")
