"""The folder of a run: claimed by one process at a time, and written so that no file outside it is ever touched.

A run folder may come from a stranger. Its files are opened without following links, and one that holds a link, a pipe
or a device is refused before anything in it is written.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import stat
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO, TypeVar

from filelock import BaseFileLock, FileLock, Timeout

from nas.errors import ConfigError, NasError, of_system, why_unreadable

T = TypeVar("T")

LOCK, WORKERS_LOG, WEIGHTS, CHECKPOINTS = "lock", "workers.log", "weights", "checkpoints"
_LOCK_SECONDS = 0.1
_BEFORE_A_RECORD = {LOCK, WORKERS_LOG}
"""Files that are there before a run has a record."""


def user_path(path: str | os.PathLike[str]) -> Path:
    """Return a path that a user typed, with `~` and `~USER` as the folders that they mean.

    Raises:
        ConfigError: there is no such user, or no system can have such a path; names it.
    """
    if "\0" in os.fspath(path):
        raise ConfigError(f"a path must not hold a NUL, but got {str(path)!a:.200}")
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise ConfigError(
            f"the path {str(path)!a} cannot be read: {error}; write ./~... for a file of that name"
        ) from None


def user_cache() -> Path:
    """Return `nas` in the user's folder for caches, which need not be there: `$XDG_CACHE_HOME`, else `~/.cache`.

    Source: https://specifications.freedesktop.org/basedir-spec/latest/.
    """
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if os.path.isabs(base) else user_path("~/.cache").absolute()) / "nas"


BEST_ARCHITECTURE, FINISH = "best_architecture.json", "finish"
"""In the run folder of a search: the file with its best network, and the folder of its finish."""


def is_run_id(value: object) -> bool:
    """Whether a value may be what a run is known by: records are asked for it, in a language of their own."""
    return isinstance(value, str) and re.fullmatch("[0-9A-Za-z-]{1,64}", value) is not None


BEST_RECIPE = "best_recipe.json"
"""Beside the best network: what a search has decided of the recipe that it was trained by, where it did."""


def trained_id(arch_id: str, recipe: Mapping[str, Any]) -> str:
    """Return what a training of a search is known by.

    Args:
        arch_id: of the network.
        recipe: what was decided of the recipe, of which a hash of 8 digits is added; empty where nothing is.
    """
    if not recipe:
        return arch_id
    return f"{arch_id}-{hashlib.sha256(json.dumps(dict(recipe), sort_keys=True).encode()).hexdigest()[:8]}"


def weights_file(run: Path, trained: str) -> Path:
    """Return where a run folder keeps the trained weights of a network, if it does, by its `trained_id`."""
    return run / WEIGHTS / f"{trained}.safetensors"


def best_recipe(run: Path) -> dict[str, Any]:
    """Return what was decided of the recipe of the best network of a search; empty where nothing is.

    Raises:
        ConfigError: the file that says it cannot be read.
    """
    if not (run / BEST_RECIPE).is_file():
        return {}
    return read_json(run / BEST_RECIPE, "the recipe of the best network", lambda values: dict(values["recipe"]))


def best_weights_file(run: Path, arch_id: str) -> Path:
    """Return where a run folder keeps the weights of its best network, if it does; raises what `best_recipe` does."""
    return weights_file(run, trained_id(arch_id, best_recipe(run)))


class FolderTakenError(ConfigError):
    """A folder that is in use, or holds something already."""


class Held:
    """A folder that belongs to this process until it is released; a context, which releases it."""

    def __init__(self, path: Path, lock: BaseFileLock) -> None:
        self.path, self._lock = path.absolute(), lock
        """Absolute, since an evaluator may change the current folder of the process."""
        self.made = False
        """Whether this process made the folder."""

    def release(self) -> None:
        """Let others have the folder; doing it again does nothing."""
        self._lock.release()

    def discard(self) -> None:
        """Release the folder; where this process made it and nothing was begun in it, it is removed first."""
        with suppress(OSError):
            if self._lock.is_locked and self.made and not _used(self.path, None):
                # The lock last: whoever claims the folder from then on finds nothing of ours to be removed.
                (self.path / WORKERS_LOG).unlink(missing_ok=True)
                (self.path / LOCK).unlink()
                self.path.rmdir()
        self.release()

    def __enter__(self) -> Held:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def claim(path: Path, what: str, way_out: str, *, records: Collection[str] | None = None) -> Held:
    """Make the folder of a new run and hold it, in one step that only one of several processes can take.

    A folder in which an earlier one left nothing but its lock and its log is taken over.

    Args:
        path: of the folder.
        what: the run is, for messages.
        way_out: what the user can do where the folder is taken.
        records: names of files that a run of this kind has; where the folder holds others it is taken too. None: it
            may hold none at all.

    Raises:
        FolderTakenError: it holds something, or another process has it. ConfigError: it cannot be made.
    """
    taken = f"{path} is there already; {way_out}"
    made = False
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir()
        made = True
    except FileExistsError as error:
        if not os.path.lexists(path):
            raise ConfigError(f"the folder {path} cannot be made: {error}") from None
        if not path.is_dir():
            raise FolderTakenError(taken) from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in it
        raise ConfigError(f"the folder {str(path)!a} cannot be made: {error}") from None
    if _used(path, records):  # seen before a lock is put into a folder that is none of ours
        raise FolderTakenError(taken)
    held = hold(path, what)
    held.made = made
    if _used(path, records):
        held.release()
        raise FolderTakenError(taken)
    return held


def _used(path: Path, records: Collection[str] | None) -> bool:
    names = set(os.listdir(path)) - _BEFORE_A_RECORD
    return bool(names if records is None else names & set(records))


def folders_in(records: Path) -> list[Path]:
    """Return the folders in a folder of runs, by name; links are left out. Raises `ConfigError` where it is none."""
    if not records.is_dir():
        raise ConfigError(f"there is no folder {records}; --records names the folder of the runs")
    return sorted(path for path in records.iterdir() if path.is_dir() and not path.is_symlink())


def shown(path: Path) -> Path:
    """Return a path as it is to be shown: what is in the current folder without the folders above that."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def first_free(root: Path, stem: str, make: Callable[[Path], T]) -> T:
    """Make a folder under the first name that is free: `stem`, or `stem-2` and so on where that is taken."""
    for number in count(1):
        with suppress(FolderTakenError):
            return make(root / (stem if number == 1 else f"{stem}-{number}"))
    raise AssertionError("there is always a further name")


def hold(path: Path, what: str) -> Held:
    """Hold a folder that is there.

    Raises:
        FolderTakenError: another process has it. ConfigError: it cannot be written, or holds something else than plain
            files and folders.
    """
    refuse_link(path / LOCK)
    # It opens without following links, and tries again where the file was removed by a process that gave the folder up.
    lock = FileLock(path / LOCK, timeout=_LOCK_SECONDS, thread_local=False)
    try:
        lock.acquire()
    except Timeout:
        raise FolderTakenError(f"{path}: a {what} is running in this folder") from None
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error}") from None
    held = Held(path, lock)
    try:
        refuse_links(path)
    except BaseException:
        held.release()
        raise
    return held


def in_use(path: Path) -> bool:
    """Return whether a process holds a folder; one that is not there is in nobody's use."""
    if not (path / LOCK).is_file():
        return False
    refuse_link(path / LOCK)
    lock = FileLock(path / LOCK, timeout=0, thread_local=False)
    try:
        with lock:  # for so short that whoever wants the folder now waits for it
            return False
    except Timeout:
        return True
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error}") from None


def refuse_links(folder: Path) -> None:
    """Raise `ConfigError` where a folder holds a link, a pipe or a device, at any depth: no run puts one there."""
    for where, folders, files in os.walk(folder):
        for name in (*folders, *files):
            refuse_link(Path(where, name))


def refuse_link(path: Path) -> None:
    """Raise `ConfigError` where a path is a link, a pipe or a device; where nothing is, nothing happens."""
    with suppress(FileNotFoundError):
        mode = os.lstat(path).st_mode
        if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
            raise _no_plain_file(path)


def open_inside(path: Path, flags: int) -> int:
    """Open a file of a run folder that is no link and no device; returns its descriptor.

    Raises:
        ConfigError: it is something else than a plain file. OSError: as `os.open`.
    """
    try:
        # Without O_NONBLOCK opening a pipe waits for its other end.
        descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, 0o644)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO):
            raise _no_plain_file(path) from None
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise _no_plain_file(path)
    return descriptor


def _no_plain_file(path: Path) -> ConfigError:
    return ConfigError(f"{str(path)!a} is a link or no plain file, and no run puts such a thing there; remove it first")


def read_inside(path: Path) -> bytes:
    """Return what is in a file of a run folder; raises as `open_inside`."""
    with os.fdopen(open_inside(path, os.O_RDONLY), "rb") as file:
        return file.read()


def read_json(path: Path, what: str, parse: Callable[[Any], T], *, way_out: str = "", inside: bool = True) -> T:
    """Read a JSON file, which may come from a stranger, and make a value of what it holds.

    Args:
        path: of the file.
        what: the file is, for messages.
        parse: makes the value; what it raises for content of another form is the reason in the message.
        way_out: what the user can do, for messages.
        inside: it is a file of a run folder, which is no link.

    Raises:
        ConfigError: it cannot be read, is no JSON, or holds something else; with file, reason and way out.
    """
    with understood(what, path, way_out=way_out):
        return parse(json.loads(read_inside(path) if inside else path.read_bytes()))


@contextmanager
def kept_where_refused(way_on: str) -> Iterator[None]:
    """Do what is written step by step, and can be gone on with where the system refuses a file, as on a full disk.

    Args:
        way_on: what is kept, and how to go on, a sentence without its full stop.

    Raises:
        ConfigError: the system refuses something; says what, of which file, and the way on.
    """
    try:
        yield
    except OSError as error:
        if error.errno is None:  # none of the system's
            raise
        raise ConfigError(f"{of_system(error)}. {way_on}") from error


_NOT_UNDERSTOOD = (
    *(OSError, ValueError, TypeError, LookupError, AttributeError, ArithmeticError),
    *(AssertionError, RecursionError),
)
"""What code raises on values of another form than a run has written."""


@contextmanager
def understood(what: str, path: Path, *, way_out: str = "") -> Iterator[None]:
    """Make values of what a file holds, which may come from a stranger.

    Args:
        what: the file is, for messages.
        path: of the file.
        way_out: what the user can do, for messages.

    Raises:
        ConfigError: whatever goes wrong inside, with file, reason and way out; an error of the project as it is, but a
            `ConfigError` that names neither the file nor its folder.
    """
    try:
        yield
    except NasError as error:
        if type(error) is not ConfigError or str(path.parent.absolute()) in str(error) or str(path) in str(error):
            raise
        # Such as that of a setting, which is told to those who have typed it.
        raise ConfigError(f"{what} {path}: {error}{way_out}") from None
    except _NOT_UNDERSTOOD as error:
        kind = "" if isinstance(error, OSError | ValueError) else f"{type(error).__name__}: "
        raise ConfigError(f"{what} {path} cannot be read: {kind}{why_unreadable(error)}{way_out}") from None


@contextmanager
def writing(path: Path) -> Iterator[TextIO]:
    """Write a text file whole or not at all: it gets its name when it is on the disk.

    What stands under the name is replaced, never written through, so that it may be a link.
    """
    with _partial(path) as descriptor, os.fdopen(descriptor, "w", encoding="utf-8", newline="", closefd=False) as file:
        yield file


def write_whole(path: Path, text: str) -> Path:
    """Write a small file whole or not at all, as `writing` does; returns its path."""
    with writing(path) as file:
        file.write(text)
    return path


def write_bytes(path: Path, data: bytes) -> Path:
    """Write a file of bytes whole or not at all, as `writing` does; returns its path."""
    with _partial(path) as descriptor, os.fdopen(descriptor, "wb", closefd=False) as file:
        file.write(data)
    return path


@contextmanager
def _partial(path: Path) -> Iterator[int]:
    """Yield the descriptor of a new file, which gets its name when what was written is on the disk."""
    partial = path.with_name(f".{path.name}.partial")
    partial.unlink(missing_ok=True)  # of a process that was killed
    try:
        descriptor = open_inside(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        try:
            yield descriptor
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        partial.replace(path)
    except BaseException as error:
        with suppress(OSError):  # where it could not be made: what was wrong first is told
            partial.unlink(missing_ok=True)
        if isinstance(error, OSError) and str(error.filename) in ("None", str(partial)):
            error.filename, error.filename2 = str(path), None  # the name that the user knows
        raise
