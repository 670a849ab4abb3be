"""A log with a JSON object a line, each on disk before the program goes on, with a checksum over all lines so far."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from nas.errors import ConfigError, why_unreadable
from nas.run_folder import open_inside, read_inside

T = TypeVar("T")

_CHECK = re.compile(rb',"check":"([0-9a-f]{16})"\}$')
_MAX_SHOWN = 300
"""Characters of what is wrong with a line."""


@dataclass(frozen=True, slots=True)
class _Chain:
    """The running checksum: that of a line is over it and the checksum of the line before.

    So a line that is missing, moved or edited is seen. Lines of an older format have none; they are part of the
    checksums of those that follow.
    """

    last: str = ""
    begun: bool = False
    """Whether a line had one."""

    def after(self, body: bytes, *, begun: bool) -> _Chain:
        """Return the chain with one more line."""
        return _Chain(hashlib.sha256(self.last.encode() + body).hexdigest()[:16], begun)

    def checked(self, line: bytes) -> tuple[bytes, _Chain]:
        """Return a line without its checksum, and the chain after it; raises `ValueError` where that does not fit."""
        found = _CHECK.search(line)
        if found is None:
            if self.begun:
                raise ValueError("it has no checksum, while lines before it have one")
            return line, self.after(line, begun=False)
        body = line[: found.start()] + b"}"
        chain = self.after(body, begun=True)
        if chain.last != found[1].decode():
            raise ValueError(
                "its checksum does not fit: it was edited, or a line before it was edited, moved or taken out"
            )
        return body, chain


def append_in_turn(path: Path, what: str, parse: Callable[[Any], Any], values: Mapping[str, Any]) -> None:
    """Add a line to a log that processes add to which do not hold its folder, one after the other.

    Two at once would each cut off what they have not read, which is the line of the other.

    Args:
        path: of the log.
        what: a line is, for messages.
        parse: reads the object of a line.
        values: for JSON; not empty. The line is on the disk when this returns.

    Raises:
        ConfigError: as `LineLog.read`. OSError: as `LineLog.append`.
    """
    turn = open_inside(path, os.O_RDWR | os.O_CREAT)
    try:
        with suppress(OSError):  # a network's file system that knows no locks
            fcntl.flock(turn, fcntl.LOCK_EX)
        log = LineLog(path)
        try:
            log.read(what, parse)
            log.append(values, durable=True)
        finally:
            log.close()
    finally:
        os.close(turn)


class LineLog:
    """A log that is read, and added to by one process at a time (`nas.run_folder.hold`, `append_in_turn`)."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = -1
        self._size: int | None = None
        """Bytes that are read or written; None before it is read."""
        self._chain = _Chain()

    def read(self, what: str, parse: Callable[[Any], T]) -> list[T]:
        """Return what the lines say; a last one that a crash left unfinished is left out.

        Args:
            what: a line is, for messages.
            parse: reads the object of a line.

        Raises:
            ConfigError: a line was damaged or edited, or one is missing; names file and line, and says what to do.
        """
        data = self._data()
        whole = data[: data.rfind(b"\n") + 1]
        chain, found = _Chain(), []
        for number, line in enumerate(whole.split(b"\n")[:-1], start=1):
            try:
                body, chain = chain.checked(line)
                found.append(parse(json.loads(body)))
            except (ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError) as error:
                keep = f"its first {number - 1} lines (head -n {number - 1})" if number > 1 else "nothing of it"
                raise ConfigError(
                    f"{self._path}:{number}: not {what}, or not as it was written: {str(error)[:_MAX_SHOWN]}. Take the "
                    f"file from a copy, or keep {keep}: what the rest says is then done again"
                ) from None
        self._chain, self._size = chain, len(whole)
        return found

    def _data(self) -> bytes:
        try:
            return read_inside(self._path)
        except FileNotFoundError:
            return b""
        except OSError as error:
            raise ConfigError(f"{self._path} cannot be read: {why_unreadable(error)}") from None

    def append(self, values: Mapping[str, Any], *, durable: bool) -> None:
        """Add a line, or nothing where that fails. A last line that a crash left unfinished is cut off.

        Args:
            values: for JSON; not empty.
            durable: return only when the line is on the disk; without, it survives the death of this process but not
                that of the machine.

        Raises:
            OSError: the disk is full, for example; the log is then as it was.
        """
        if self._size is None:
            self.read("a line of this log", lambda values: values)
        assert self._size is not None
        body = json.dumps(values, separators=(",", ":")).encode()
        chain = self._chain.after(body, begun=True)
        line = b'%b,"check":"%b"}\n' % (body[:-1], chain.last.encode())
        if self._file < 0:
            self._file = open_inside(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
            os.ftruncate(self._file, self._size)
        try:
            written = 0
            while written < len(line):
                written += os.write(self._file, line[written:])
            if durable:
                os.fsync(self._file)
        except BaseException as error:
            with suppress(OSError):
                os.ftruncate(self._file, self._size)
            if isinstance(error, OSError):
                error.filename = str(self._path)  # the system says it of files that are opened, not of what is written
            raise
        self._chain, self._size = chain, self._size + len(line)

    def close(self) -> None:
        """Close the file; nothing waits to be written."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
