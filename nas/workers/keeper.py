"""Ends worker processes and all that they have started when their driver is gone, however it ended.

A driver that is killed outright cannot end anything, and its workers may stand still or hang. So a small process waits
for its end. It runs this file alone, which therefore needs nothing but the standard library.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from contextlib import suppress

_LOOK_SECONDS = 1.0
_END = 0
"""Said in place of a group when there is nothing more to come."""


class Keeper:
    """The driver's side: names the process groups that must not outlive it."""

    def __init__(self) -> None:
        """Start the process, in a session of its own, so that no Ctrl-C reaches it."""
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", __file__, str(os.getpid())],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def watch(self, group: int) -> None:
        """End a process group with this process."""
        self._say(group)

    def forget(self, group: int) -> None:
        """Leave a group that has ended, whose number may be given anew."""
        self._say(-group)

    def _say(self, number: int) -> None:
        assert self._process.stdin is not None
        with suppress(OSError):  # somebody ended it; a worker still ends when it finds its driver gone
            self._process.stdin.write(b"%d\n" % number)
            self._process.stdin.flush()

    def close(self) -> None:
        """End what it still watches."""
        assert self._process.stdin is not None
        self._say(_END)  # closing the pipe is not enough: what it watches may have been forked, and hold it open too
        with suppress(OSError):
            self._process.stdin.close()
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def kill_group(group: int, number: int = signal.SIGKILL) -> None:
    """Send a signal to the leader of a process group and to all that is in it; one that has ended is no error."""
    for send in (os.killpg, os.kill):  # a process that has just been started is not in a group of its own yet
        with suppress(ProcessLookupError, PermissionError):
            send(group, number)


def _keep(driver: int) -> None:
    """Wait until the driver says so or is gone, then end what it has named and not taken back."""
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    groups: set[int] = set()
    rest = b""
    ended = False
    # A process that the driver has forked holds the pipe open too, so its end alone is not enough.
    while os.getppid() == driver and not ended:
        if not select.select([0], [], [], _LOOK_SECONDS)[0]:
            continue
        data = os.read(0, 1 << 16)
        if not data:
            break
        *lines, rest = (rest + data).split(b"\n")
        for number in map(int, lines):
            ended = ended or number == _END
            (groups.add if number > 0 else groups.discard)(abs(number))
    for group in groups:
        kill_group(group)


if __name__ == "__main__":
    _keep(int(sys.argv[1]))
