"""Python files of the user's own, named on a command line or by `nas.own`: `FILE.py:NAME`.

Running a file is trusting it, and settings also come from records of runs, which may be a stranger's. So a file is run
only where its user has named it: then the reference is given the SHA-256 of its content, and that name in that content
is what is trusted from then on, and what records keep. A file that has been changed since is another one.
"""

from __future__ import annotations

import ast
import hashlib
import re
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from nas.errors import ConfigError, NasError, nearest, reason_of, why_unreadable
from nas.run_folder import user_cache, user_path

FORM = "FILE.py:NAME"
_REFERENCE = re.compile(r"(?P<path>.+\.py):(?P<name>[^\W\d]\w*)(?:#(?P<sha256>[0-9a-f]{64}))?", re.DOTALL)
_LOCK = threading.RLock()
_SOURCES: dict[tuple[str, str], bytes] = {}
"""Files of which this process may run something, by SHA-256 and its name: those that were named to it, or that its
evaluator has brought."""
_MODULES: dict[tuple[Path, str], ModuleType] = {}
"""What it has run, by path and SHA-256: a copy elsewhere has another `__file__`."""


@dataclass(frozen=True, slots=True)
class Reference:
    """Something in a file of the user's, at one state of that file."""

    path: Path
    name: str
    sha256: str
    """Of the content of the file."""

    def __str__(self) -> str:
        return f"{self.path}:{self.name}#{self.sha256}"

    @property
    def short(self) -> str:
        """As people call it."""
        return f"{self.path.name}:{self.name}"


def own(reference: str) -> str:
    """Name something in a Python file of yours, so that settings may hold it: `Recipe(loss=nas.own("my.py:focal"))`.

    The file is read, not run. What is returned states its absolute path and the SHA-256 of its content.

    Args:
        reference: `FILE.py:NAME`.

    Raises:
        ConfigError: there is no such file or no such name in it (the nearest are given), or it is no Python.
    """
    return named(reference, "own")


def named(text: object, where: str) -> str:
    """Return a reference that the user has typed, as settings hold it, and trust the file as it is now.

    Args:
        text: `FILE.py:NAME`; also as this returns it, and then the file must be as it was.
        where: path of the setting, for messages.

    Raises:
        ConfigError: see `own`, or the file has been changed.
    """
    match = _REFERENCE.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise ConfigError(f"{where} must be {FORM}, but got {text!r:.80}")
    path = user_path(match["path"]).absolute()
    source = _read(path, where)
    reference = Reference(path, match["name"], hashlib.sha256(source).hexdigest())
    if match["sha256"] not in (None, reference.sha256):
        raise ConfigError(f"{where}: {path} {_changed(match['sha256'], reference.sha256)}")
    _check_name(reference, source, where)
    with _LOCK:
        _SOURCES[reference.sha256, reference.name] = source
    with suppress(OSError):  # it is named again then, in each command
        mark = _mark(reference)
        mark.parent.mkdir(parents=True, exist_ok=True)
        mark.touch()
    return str(reference)


def referred(text: object, where: str) -> Reference:
    """Return the reference that a setting holds; raises `ConfigError` for one that nobody has named."""
    match = _REFERENCE.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise ConfigError(f"{where} must be {FORM}, but got {text!r:.80}")
    if match["sha256"] is None:
        raise ConfigError(
            f"{where}: a file of your own is run only where you name it: on the command line, {where}={match[0]}, or "
            f"in Python, nas.own({match[0]!r})"
        )
    return Reference(Path(match["path"]), match["name"], match["sha256"])


def check_own(text: str, where: str) -> None:
    """Make sure that what a setting holds can be run, without running it.

    Raises:
        ConfigError: the file is gone, was changed since it was named, or was never named by this user.
    """
    reference = referred(text, where)
    _check_name(reference, _source(reference, where), where)


def load_own(text: str, where: str) -> Any:
    """Run the file that a setting holds, once a process, and return what it names.

    Raises:
        ConfigError: as `check_own`, or the file fails; with its line.
    """
    reference = referred(text, where)
    source = _source(reference, where)
    with _LOCK:
        module = _MODULES.get((reference.path, reference.sha256))
        if module is None:
            module = _run(reference, source, where)
            _MODULES[reference.path, reference.sha256] = module
    if not hasattr(module, reference.name):
        known = [name for name in vars(module) if not name.startswith("_")]
        raise ConfigError(f"{where}: {reference.path} has no {reference.name!r}. {nearest(reference.name, known)}")
    return getattr(module, reference.name)


def sent() -> Mapping[tuple[str, str], bytes]:
    """Return what this process may run, for another one that works for it."""
    with _LOCK:
        return dict(_SOURCES)


def take(sources: Mapping[tuple[str, str], bytes]) -> None:
    """Take over what `sent` has returned in the process that this one works for."""
    with _LOCK:
        _SOURCES.update(sources)


@contextmanager
def telling_place(kind: type[NasError], what: str = "") -> Iterator[None]:
    """Turn an error that comes out of a file of the user's into one of a kind that says the place.

    Others, those of nas, and memory that ran out, which is treated apart, go through as they are.

    Args:
        kind: of the error.
        what: was done, for the message.
    """
    try:
        yield
    except (NasError, MemoryError):
        raise
    except Exception as error:  # code of the user's raises whatever it likes
        place = _place(error)
        if place is None or type(error).__name__ == "OutOfMemoryError":
            raise
        raise kind(f"{place}: {reason_of(error)}{f' ({what})' if what else ''}") from error


def _place(error: BaseException) -> str | None:
    """Return the innermost line of a file of the user's that an error has come through, and the function."""
    files = {module.__file__ for module in _MODULES.values()}
    place, trace = None, error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        if code.co_filename in files:
            place = f"{code.co_filename}:{trace.tb_lineno}, in {code.co_qualname}"
        trace = trace.tb_next
    return place


def _mark(reference: Reference) -> Path:
    """Return the empty file that this user has where the thing was named in a file of this content.

    The name counts, too: that a file may be run does not mean that a stranger may choose what of it is called.
    """
    named = hashlib.sha256(f"{reference.name}#{reference.sha256}".encode()).hexdigest()
    return user_cache() / "own_code" / named


def _read(path: Path, where: str) -> bytes:
    try:
        if not path.is_file():  # a pipe would be waited for, a device read without end
            raise ConfigError(f"{where}: there is no file {path}")
        return path.read_bytes()
    except (OSError, ValueError) as error:
        if isinstance(error, ConfigError):
            raise
        raise ConfigError(f"{where}: {path} cannot be read: {why_unreadable(error)}") from None


def _source(reference: Reference, where: str) -> bytes:
    """Return the content that a reference means; raises `ConfigError` where that is not there or was never named."""
    with _LOCK:
        held = _SOURCES.get((reference.sha256, reference.name))
    if held is not None:
        return held
    source = _read(reference.path, where)
    now = hashlib.sha256(source).hexdigest()
    if now != reference.sha256:
        raise ConfigError(
            f"{where}: {reference.path} {_changed(reference.sha256, now)}. Put it back as it was, or begin a new run "
            "with it"
        )
    if not _mark(reference).exists():
        raise ConfigError(
            f"{where}: {reference.short} was never named by you, and the record of a run may be a stranger's. Look at "
            f"the file; if it may be run, name it: {where}={reference.path}:{reference.name}"
        )
    with _LOCK:
        _SOURCES[reference.sha256, reference.name] = source
    return source


def _changed(was: str | None, now: str) -> str:
    return f"has been changed since it was named: its SHA-256 was {was}, is {now}"


def _run(reference: Reference, source: bytes, where: str) -> ModuleType:
    name = f"nas_own_{hashlib.sha256(f'{reference.path}#{reference.sha256}'.encode()).hexdigest()[:16]}"
    module = ModuleType(name)
    module.__file__ = str(reference.path)
    sys.modules[name] = module  # where dataclasses and pickle look for it
    try:
        exec(compile(source, str(reference.path), "exec", dont_inherit=True), vars(module))
    except Exception as error:  # running a file may raise whatever it likes
        del sys.modules[name]
        line = _line(error, str(reference.path))
        raise ConfigError(f"{where}: {reference.path}{line}: {reason_of(error)}") from error
    return module


def _line(error: BaseException, file: str) -> str:
    """Return the last line of a file that an error has come through, as `:LINE`; empty where it is not known."""
    if isinstance(error, SyntaxError) and error.filename == file:
        return f":{error.lineno}"
    line, trace = "", error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == file:
            line = f":{trace.tb_lineno}"
        trace = trace.tb_next
    return line


def _check_name(reference: Reference, source: bytes, where: str) -> None:
    """Raise `ConfigError` where a file is no Python, or has no such name at its top level, without running it."""
    try:
        tree = ast.parse(source, str(reference.path))
    except (SyntaxError, ValueError, RecursionError) as error:
        line = f":{error.lineno}" if isinstance(error, SyntaxError) else ""
        raise ConfigError(f"{where}: {reference.path}{line}: {reason_of(error)}") from None
    names = set(_names(tree))
    if reference.name not in names and "*" not in names:
        known = sorted(name for name in names if not name.startswith("_"))
        raise ConfigError(f"{where}: {reference.path} has no {reference.name!r}. {nearest(reference.name, known)}")


def _names(tree: ast.AST) -> Iterator[str]:
    """Yield what a file defines at its top level, also under `if` and `try`; `*` where it imports all of another."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Import | ast.ImportFrom):
            yield from ((alias.asname or alias.name).partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif not isinstance(node, ast.Lambda):
            yield from _names(node)
