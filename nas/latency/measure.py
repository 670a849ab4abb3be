"""Latency measured: the low percentile of many short runs, in visits spread over time, beside a reference network.

Other work on a machine comes in bursts, so one long series of runs may be wrong by half; the least of several short
visits repeats within 1 to 2 %. A visit counts where a reference network, timed just before, was as fast as ever and
other processes left the machine alone. Each network has a process of its own, as it will have in use: in a process that
did other things before it takes up to a fifth longer, by where its memory happens to lie.
"""

from __future__ import annotations

import multiprocessing as mp
import random
import time
from bisect import insort
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from math import inf
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any, NamedTuple

import numpy as np

from nas.errors import DeviceError, WorkerError
from nas.latency.deployment import PACKAGES, Deployment, Device, this_device
from nas.latency.measuring_process import Visit, serve
from nas.network.architecture import Architecture

_VISITS = 5
_MOST_VISITS = 15
_QUIET = 1.1
"""A visit counts where the reference then took at most so many times its usual time on a quiet machine."""
_OTHERS = 0.15
"""And where other processes used at most this share of the cores."""
_AGREE = 1.03
"""The two best visits are to agree so well, or there are more."""
_TIMEOUT = 600.0
"""Seconds after which a measuring process is given up."""


@dataclass(frozen=True, slots=True)
class Latency:
    """How long a network takes for one batch, and how that was measured."""

    ms: float
    """The least 10th percentile of the quiet visits, in milliseconds."""
    median_ms: float
    """Over all runs, those while the machine was busy too."""
    p95_ms: float
    """95th percentile of all runs."""
    cv: float
    """Coefficient of variation of all runs: their standard deviation as a share of their mean."""
    runs: int
    """Timed runs of the network."""
    visits: int
    """Short series of runs, spread over time."""
    quiet_visits: int
    """Visits that count; 0: the machine was busy all the time."""
    deployment: Deployment
    """How the network was run."""
    device: Device
    """Where it was run."""
    date: str
    """UTC, ISO 8601."""

    def __str__(self) -> str:
        quiet = f"the machine was quiet in {self.quiet_visits} of {self.visits} visits"
        if not self.quiet_visits:
            quiet = "the machine was busy all the time, so it may be too high"
        return (
            f"{self.ms:.4g} ms ({self.deployment}, on {self.device.hardware}; with what disturbed it: median "
            f"{self.median_ms:.4g}, 95th percentile {self.p95_ms:.4g}; {quiet})"
        )

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {**asdict(self), "device": self.device.to_dict()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Latency:
        """Read what `to_dict` wrote."""
        parts = {"deployment": Deployment(**values["deployment"]), "device": Device(**values["device"])}
        return cls(**{**values, **parts})


class _OpenNetwork:
    """A network that is open in a measuring process, with its visits so far."""

    def __init__(self, connection: Connection, index: int) -> None:
        self._connection, self._index = connection, index
        self.visits: list[Visit] = []

    def visit(self) -> Visit:
        """Time a few runs; raises `DeviceError` where the process fails."""
        self._connection.send(self._index)
        visit: Visit = _answer(self._connection)
        self.visits.append(visit)
        return visit

    def quiet(self, usual_reference: float) -> list[float]:
        """Return the seconds of the visits that count, the least first."""
        return sorted(
            visit.low_seconds
            for visit in self.visits
            if visit.reference_seconds <= _QUIET * usual_reference and visit.others_share <= _OTHERS
        )

    def settled(self, usual_reference: float) -> bool:
        """Whether the two best visits that count agree."""
        quiet = self.quiet(usual_reference)
        return len(quiet) >= 2 and quiet[1] <= _AGREE * quiet[0]


class _Process(NamedTuple):
    """A measuring process."""

    process: BaseProcess
    connection: Connection
    """To it."""


class Meter:
    """Measures networks on this machine. It keeps the times of a reference network, to tell when the machine is busy.

    It never loads a runtime itself: processes that do are forked from one in which nothing has run yet.
    """

    def __init__(self, deployment: Deployment, *, usual_ms: float = inf) -> None:
        """Take how networks are run, and what the reference takes on a quiet machine, where that is known."""
        self.deployment = deployment
        self.device = this_device(deployment.runtime)
        self._context = mp.get_context("forkserver")
        self._context.set_forkserver_preload(["nas.latency.runtimes", *PACKAGES[deployment.runtime]])
        self._references: list[float] = []
        """Times of the reference network so far, in seconds, the least first."""
        self._usual_before = usual_ms / 1e3
        self._works = False
        """Whether a measuring process has ever started."""

    def measure(self, architecture: Architecture) -> Latency:
        """Measure one network; takes about half a second, or 15 runs where one takes longer than that.

        Raises:
            DeviceError: the runtime cannot run it. WorkerError: no measuring process can be started at all.
        """
        return self.measure_all([architecture])[0]

    def measure_model(self, model: bytes) -> Latency:
        """Measure a network that is written as ONNX, likewise; the runtime has to be onnxruntime.

        Raises:
            DeviceError: onnxruntime cannot run it. WorkerError: no measuring process can be started at all.
        """
        return self.measure_all([model])[0]

    def measure_all(self, networks: Sequence[Architecture | bytes], *, seed: int = 0) -> list[Latency]:
        """Measure networks that are all open at the same time, each visited in turn, in an order that changes.

        Raises:
            DeviceError: the runtime cannot run one of them.
        """
        # On a GPU each process has a context of its own, which takes seconds and hundreds of MiB.
        groups = [networks] if self.deployment.runtime == "cuda" else [[network] for network in networks]
        children: list[_Process] = []
        try:
            opened: list[_OpenNetwork] = []
            for group in groups:
                child = self._start(group)
                children.append(child)
                opened += [_OpenNetwork(child.connection, index) for index in range(len(group))]
            self._visit(opened, random.Random(seed))
        finally:
            for child in children:
                child.connection.close()
                child.process.kill()
                child.process.join()
        return [self._latency(network) for network in opened]

    def _start(self, networks: Sequence[Architecture | bytes]) -> _Process:
        ours, theirs = self._context.Pipe()
        sent = [network if isinstance(network, bytes) else network.to_json() for network in networks]
        process = self._context.Process(target=serve, args=(theirs, sent, self.deployment), daemon=True)
        process.start()
        theirs.close()
        try:
            _answer(ours)
        except DeviceError as error:
            process.kill()
            if not self._works and isinstance(error, _DiedError):
                raise WorkerError(f"{error}. {_GUARD}") from None
            raise
        self._works = True
        return _Process(process, ours)

    def _visit(self, networks: Sequence[_OpenNetwork], rng: random.Random) -> None:
        for number in range(_MOST_VISITS):
            unsettled = [net for net in networks if number < _VISITS or not net.settled(self.usual_ms / 1e3)]
            if number >= _VISITS and unsettled:
                time.sleep(0.02 * (number - _VISITS))  # what keeps the machine busy may pass
            rng.shuffle(unsettled)
            for network in unsettled:
                insort(self._references, network.visit().reference_seconds)

    @property
    def usual_ms(self) -> float:
        """What the reference takes on a quiet machine: a low percentile, since the least falls with every visit."""
        low = self._references[len(self._references) // 10] if self._references else inf
        return 1e3 * min(low, self._usual_before)

    def _latency(self, network: _OpenNetwork) -> Latency:
        quiet = network.quiet(self.usual_ms / 1e3)
        runs = 1e3 * np.concatenate([visit.run_seconds for visit in network.visits])
        return Latency(
            ms=1e3 * (quiet or sorted(visit.low_seconds for visit in network.visits))[0],
            median_ms=float(np.median(runs)),
            p95_ms=float(np.percentile(runs, 95)),
            cv=float(runs.std() / runs.mean()),
            runs=len(runs),
            visits=len(network.visits),
            quiet_visits=len(quiet),
            deployment=self.deployment,
            device=self.device,
            date=datetime.now(UTC).isoformat(timespec="seconds"),
        )


class _DiedError(DeviceError):
    """A measuring process that ended without an answer."""


_GUARD = (
    "Where a script of yours starts it, its work has to stand under `if __name__ == '__main__':` in a file, as for all "
    "of Python's multiprocessing"
)


def _answer(connection: Connection) -> Any:
    """Wait for a measuring process; raises `DeviceError` where it failed, died or hangs."""
    try:
        if not connection.poll(_TIMEOUT):
            raise DeviceError(f"a measuring process did not answer within {_TIMEOUT:g} s")
        answer = connection.recv()
    except (EOFError, ConnectionError):
        raise _DiedError("a measuring process died") from None
    if isinstance(answer, str):
        raise DeviceError(answer)
    return answer
