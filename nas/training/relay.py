"""What a process that trains tells the one that started it, where Lightning trains in processes of its own."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Mapping
from contextlib import suppress
from multiprocessing.connection import Connection, Pipe
from types import TracebackType

from nas.training.epoch_reports import Tell


class _Remote:
    """Tells through a pipe; it goes with the callback to the other process."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def __call__(self, row: Mapping[str, float]) -> bool:
        self._connection.send(dict(row))
        return bool(self._connection.recv())


class Relay:
    """Gives what is to be told to a training run: `tell` itself, or what reaches it from another process."""

    def __init__(self, tell: Tell, *, processes: int) -> None:
        self._tell, self._several = tell, processes > 1

    def __enter__(self) -> Tell:
        if not self._several:
            return self._tell
        self._ours, self._theirs = Pipe()
        context = contextvars.copy_context()
        self._thread = threading.Thread(target=context.run, args=(self._serve,), daemon=True)
        self._thread.start()
        return _Remote(self._theirs)

    def _serve(self) -> None:
        with suppress(EOFError, OSError):
            while True:
                self._ours.send(self._tell(self._ours.recv()))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._several:
            self._theirs.close()
            self._thread.join(timeout=10)
            self._ours.close()
