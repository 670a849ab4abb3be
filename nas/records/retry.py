"""When a server that is away is asked again: one rule for all records."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from nas.records.server import ServerAwayError, answers, no_answer, shown_server, told
from nas.records.store import Store

_LOG = logging.getLogger(__name__)
_FIRST_SECONDS, _MOST_SECONDS = 2.0, 30.0
"""How long until a server that is away is asked again, at first and at most."""
LAST_SECONDS = 30.0
"""How long it is asked again at the end of a study, in all."""
INTERRUPTED_SECONDS = 5.0
"""How long who interrupts a study waits for a server at most: whoever goes on with it writes what is missing."""


class Retry:
    """Writes to a store, and notes whether it is to be tried again since the server was away."""

    def __init__(self, store: Store) -> None:
        """Take an open database, which is never away, or a server."""
        self.store = store
        self.wait: float | None = None
        """Seconds until a server that did not answer is asked again; None where it did."""
        self._why = ""
        """What it gave instead of an answer."""
        self._due = 0.0
        """When it is asked again, by `time.monotonic`."""
        self._waited = 0.0
        """Seconds in `last_attempts`."""

    @property
    def is_due(self) -> bool:
        """Whether the server may be asked now."""
        return self.wait is None or time.monotonic() >= self._due

    def attempt(self, write: Callable[[], object]) -> None:
        """Write what may be written again; where the server is away, `wait` says so.

        Raises:
            Exception: of MLflow, where the server is there.
        """
        if self.wait is not None and not self.store.is_there():  # which takes less time than a write that has no answer
            self._wait_longer()
            return
        try:
            write()
            self.wait = None
        except Exception as error:
            if not isinstance(error, ServerAwayError) and not self.store.is_away(error):
                raise
            self._why = told(error)
            self._wait_longer()

    def _wait_longer(self) -> None:
        self.wait = min(2 * (self.wait or _FIRST_SECONDS / 2), _MOST_SECONDS)
        self._due = time.monotonic() + self.wait

    def last_attempts(self, write: Callable[[], object], seconds: float) -> None:
        """Write what may be written again, and ask a server that is away a few times more.

        Args:
            write: the writing.
            seconds: how long a server that is away is asked again, over all such calls.

        Raises:
            ServerAwayError: it is still away; what was to be written is left to be written later.
            Exception: of MLflow, where the server is there.
        """
        self.attempt(write)
        if self.wait is not None and self._waited < seconds:
            _LOG.warning("%s is away; it is asked again for %.0f s", self._shown, seconds - self._waited)
        while self.wait is not None and self._waited < seconds:
            began = time.monotonic()
            time.sleep(_FIRST_SECONDS)
            self.attempt(write)
            self._waited += time.monotonic() - began
        if self.wait is not None:
            server = self.store.server or ""
            if not answers(server):
                raise no_answer(server)
            raise ServerAwayError(f"{self._shown} takes no records: {self._why}")

    @property
    def _shown(self) -> str:
        return shown_server(self.store.server or "")
