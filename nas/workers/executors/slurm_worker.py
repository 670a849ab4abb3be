"""What runs as a job of Slurm: a worker that does one trial after another, until the driver or its wall time ends it.

It is two processes. The first, which loads nothing heavy, keeps the connection to the driver, hears the signals of
Slurm and outlives a trial that brings its process down. The second does the trials. So no such trial costs a place in
the queue, and the last state of a training comes back also where its process hangs.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from collections.abc import Sequence
from multiprocessing import AuthenticationError
from multiprocessing.connection import Client, Connection, wait
from pathlib import Path

from nas.errors import ConfigError
from nas.workers.executors import slurm_commands as slurm
from nas.workers.executors.channel import end_where_silent
from nas.workers.executors.executor import Alive, Lost, this_worker
from nas.workers.executors.slurm_messages import (
    Answer,
    Arrived,
    Do,
    Freed,
    Leave,
    Leaving,
    Meeting,
    Stop,
)
from nas.workers.executors.slurm_trials import SIGNALS, Trials
from nas.workers.executors.versions import check_versions
from nas.workers.keeper import Keeper

_TRIES = 5
_TRY_SECONDS = 1.0


class _Worker:
    """The first process."""

    def __init__(self, driver: Connection, slurm_job: str, signals: socket.socket) -> None:
        self._driver, self._slurm_job, self._signals = driver, slurm_job, signals
        self._me = this_worker(os.environ.get("SLURMD_NODENAME", ""))
        self.name = f"{self._me.host}-{self._me.process}-{os.urandom(4).hex()}"
        self._trials: Trials | None = None

    def run(self, seconds: float | None, keeper: Keeper) -> str:
        """Work until something ends it; returns what."""
        self._driver.send(Arrived(self.name, self._slurm_job, self._me, seconds))
        try:
            setup = self._driver.recv()
            self._trials = Trials(keeper, setup)
            self._trials.start()
            while True:
                ready = wait([self._driver, self._signals, *self._trials.waited_for])
                if self._signals in ready:
                    return self._leave(self._trials, signal.Signals(self._signals.recv(1)[0]))
                if self._driver in ready:
                    message = self._driver.recv()
                    if isinstance(message, Leave):
                        return "the search needs it no more"
                    self._told(self._trials, message)
                elif self._trials.waited_for:
                    self._pass_on(self._trials)
        except (EOFError, OSError):
            return "the search has ended, or cannot be reached any more"
        finally:
            if self._trials is not None:
                self._trials.close()

    def _told(self, trials: Trials, message: object) -> None:
        if isinstance(message, Do):
            trials.do(message)
        elif isinstance(message, Answer):
            trials.answer(message)
        elif isinstance(message, Stop):
            if message.lease == trials.lease:
                trials.end()
            self._driver.send(Freed(self.name))
            trials.start()

    def _pass_on(self, trials: Trials) -> None:
        """Send what the second process has said, and how it ended where it did."""
        ended = trials.ended  # what it said is read after that is known
        for message in trials.heard():
            self._driver.send_bytes(message)
        if ended:
            lease, (reason, memory) = trials.lease, trials.how_it_ended()
            self._send_state(lease, trials.end())
            if lease is not None:
                self._driver.send(Lost(lease, f"{reason} (Slurm job {self._slurm_job})", out_of_memory=memory))

    def _leave(self, trials: Trials, number: signal.Signals) -> str:
        """Give back what there is of the trial that runs, within the few seconds that Slurm leaves."""
        lease = trials.lease
        self._send_state(lease, trials.end())
        why = "the end of its wall time" if number is signal.SIGUSR1 else "preempted or cancelled"
        reason = f"Slurm job {self._slurm_job} on {self._me.host} was told to end by {number.name} ({why})"
        self._driver.send(Leaving(self.name, reason))
        return reason

    def _send_state(self, lease: str | None, state: bytes | None) -> None:
        if lease is not None and state is not None:
            self._driver.send(Alive(lease, state))


def _seconds_left(minutes: float | None) -> float | None:
    """Return what is left of the wall time of this job: Slurm says when it ends, in newer versions."""
    end = os.environ.get("SLURM_JOB_END_TIME", "")
    if end.isdigit():
        return int(end) - time.time()
    return slurm.seconds_left(os.environ.get("SLURM_JOB_ID", "")) if minutes is None else 60 * minutes


def slurm_job_here() -> str:
    """Return the job of Slurm that this process runs in, as Slurm's commands name it."""
    array, task = os.environ.get("SLURM_ARRAY_JOB_ID"), os.environ.get("SLURM_ARRAY_TASK_ID")
    return f"{array}_{task}" if array and task else os.environ.get("SLURM_JOB_ID", "")


def _connected(meeting: Meeting) -> Connection:
    """Return a connection to the driver; raises `ConfigError` where there is none."""
    for left in reversed(range(_TRIES)):
        try:
            connection = Client((meeting.host, meeting.port), family="AF_INET", authkey=bytes.fromhex(meeting.key))
            end_where_silent(connection, meeting.silent_seconds)
            return connection
        except AuthenticationError:
            raise ConfigError(f"what listens at {meeting.host}:{meeting.port} is not the search of this job") from None
        except (OSError, EOFError) as error:
            if not left:
                raise ConfigError(
                    f"the search cannot be reached at {meeting.host}:{meeting.port} ({error}): it has ended, or "
                    "executor.host must be another address of its machine"
                ) from None
            time.sleep(_TRY_SECONDS)
    raise AssertionError


def main(arguments: Sequence[str]) -> int:
    """Work for the search that has written a file; returns the exit code."""
    theirs, ours = socket.socketpair()
    ours.setblocking(False)
    signal.set_wakeup_fd(ours.fileno(), warn_on_full_buffer=False)
    for number in SIGNALS:
        signal.signal(number, lambda *_: None)
    try:
        meeting = Meeting.read(Path(arguments[0]))
        check_versions(meeting.versions)
        driver = _connected(meeting)
    except FileNotFoundError:
        print(f"{arguments[0]} is gone: the search of this job has ended", file=sys.stderr)
        return 0
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 2
    keeper = Keeper()
    try:
        why = _Worker(driver, slurm_job_here(), theirs).run(_seconds_left(meeting.minutes), keeper)
    finally:
        driver.close()
        keeper.close()
    print(f"this worker has ended: {why}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
