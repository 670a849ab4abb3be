"""Whether this process may read the test split: never while it searches, and never in a worker process.

A network that was chosen with a look at test images has a test score that says nothing. So a search forbids itself to
read them, and so do the processes that it starts. This holds against a mistake in an evaluator or in this package; code
that opens the files of a data set by itself is not held back.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from nas.errors import HeldOutError

FORBIDDEN = "NAS_TEST_SPLIT_FORBIDDEN"
"""Is in the environment of a process that may not read it, so that those which it starts may not either."""

_LOCK = threading.Lock()
_searches = 0
"""Searches that run in this process now."""
_for_good = FORBIDDEN in os.environ
"""Whether this process may not read it as long as it lives."""
_reading: ContextVar[bool] = ContextVar("_reading", default=False)


def forbid_test_split() -> None:
    """Forbid it to this process as long as it lives, and to those which it starts from now on."""
    global _for_good  # noqa: PLW0603  (the state of the process)
    _for_good = True
    os.environ[FORBIDDEN] = "1"


@contextmanager
def without_test_split() -> Iterator[None]:
    """Forbid it to this process meanwhile, in all threads, and to those which it starts meanwhile as long as they live.

    Searches may run in one another and beside one another: it is forbidden until the last one has ended.
    """
    global _searches  # noqa: PLW0603  (the state of the process)
    with _LOCK:
        _searches += 1
        os.environ[FORBIDDEN] = "1"
    try:
        yield
    finally:
        with _LOCK:
            _searches -= 1
            if not _searches and not _for_good:
                os.environ.pop(FORBIDDEN, None)


def check_test_split_allowed() -> None:
    """Raise `HeldOutError` in a process that may not read the test split now."""
    if _searches or _for_good:
        where = "this process searches" if _searches else "a search, or one like it, has started this process"
        raise HeldOutError(
            f"the test split cannot be read here: {where}. A network that is chosen with a look at test images has a "
            "test score that says nothing; read them when the search has ended, in the process that started it"
        )


@contextmanager
def reading_test_split() -> Iterator[None]:
    """Have the loaders of data sets keep test images meanwhile, in this thread; elsewhere they drop them.

    Raises:
        HeldOutError: this process may not read them.
    """
    check_test_split_allowed()
    token = _reading.set(True)
    try:
        yield
    finally:
        _reading.reset(token)


def keeps_test_split() -> bool:
    """Whether what a loader returns now is to hold test images."""
    return _reading.get()
