"""Ctrl-C while a command loads its libraries, and its end. Imports next to nothing: it is there before all else."""

from __future__ import annotations

import atexit
import gc
import os
import signal
import sys
from contextlib import suppress
from types import FrameType

INTERRUPTED = 130
"""The exit code of a command that was interrupted."""
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""What interrupts a command."""


def command() -> str:
    """Return the command of ours that this process is being started as, `nas.search` or `nas`; empty where it is none.

    `python -m NAME` has `-m` in the place of the script until the module is found, after its package is loaded.
    """
    if sys.argv[:1] != ["-m"]:
        return ""
    word = sys.orig_argv[-len(sys.argv)]
    name = word.partition("m")[2] if word.startswith("-") else word  # `-mNAME`, also behind other letters
    return name if name == "nas" or name.startswith("nas.") else ""


class Ending:
    """Ends the process at a signal, at once and with one line.

    An exception would come out of the middle of an import, where libraries hide it or make another error of it.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """Handle a signal: end the process."""
        try:
            with suppress(Exception):  # in the middle of a write, or where nobody reads
                sys.stdout.flush()
            os.write(2, f"{self._name}: interrupted\n".encode())
        finally:
            os._exit(INTERRUPTED)


def end_at_once(name: str) -> None:
    """Let signals end a command at once, while it has nothing yet that is to be brought to an end.

    A signal that is ignored, as under `nohup`, stays ignored. At its own end the process does not search all that was
    loaded for garbage once more: with torch and MLflow that takes seconds, in which nothing is said.
    """
    atexit.register(gc.freeze)
    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, Ending(name))
