"""What a measuring process does: it has networks open, and times a few runs of one on request."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nas.latency.deployment import Deployment
from nas.machine import cores
from nas.network.architecture import Architecture
from nas.space import load_space

if TYPE_CHECKING:
    from nas.latency.runtimes import Timer

_PERCENTILE = 10
"""Of the runs of a visit."""
_SECONDS = 0.04
"""Of a visit, for the network."""
_MOST_RUNS = 500
_REFERENCE_SECONDS = 0.008
"""Of a visit, for the reference network."""


class Visit(NamedTuple):
    """A short series of runs of a network."""

    low_seconds: float
    """The low percentile of its runs, in seconds."""
    reference_seconds: float
    """That of the reference network just before, over as long as a run takes."""
    others_share: float
    """Share of the cores that other processes used meanwhile."""
    run_seconds: NDArray[np.float64]
    """Of each run."""


def serve(connection: Connection, networks: Sequence[str | bytes], deployment: Deployment) -> None:
    """Open networks, then time runs of the one whose index is received, until the other side is gone.

    A network is the JSON text of an architecture, or the bytes of an ONNX model.

    Sends True when all are open, a `Visit` for each request, or a text that says what went wrong.
    """
    try:
        from nas.latency.runtimes import open_model, open_network

        space = load_space("reference/small_cnn").for_data((3, 32, 32), 10)
        reference = open_network(space.decode(space.sample(seed=0)), deployment)
        reference(20)
        timers = [
            open_network(Architecture.from_json(network), deployment)
            if isinstance(network, str)
            else open_model(network, deployment)
            for network in networks
        ]
        for timer in timers:
            timer(2)
        connection.send(True)
        while True:
            connection.send(_visit(reference, timers[connection.recv()]))
    except (EOFError, ConnectionError):
        return
    except BaseException as error:  # whatever a runtime raises; the other side says which network it was
        connection.send(f"{deployment.runtime} cannot run the network: {type(error).__name__}: {error}")


def _visit(reference: Timer, timer: Timer) -> Visit:
    started, ticks = time.perf_counter(), _others_ticks()
    before = _times(reference, _REFERENCE_SECONDS, least=10)
    seconds = _times(timer, _SECONDS, least=3)
    others = (_others_ticks() - ticks) / _TICKS / (time.perf_counter() - started) / cores()
    low = _low_percentile(seconds)
    return Visit(low, _over_stretches(low, before), others, seconds)


def _over_stretches(run: float, reference: NDArray[Any]) -> float:
    """Return the low percentile of the reference over stretches as long as a run of the network.

    What comes and goes within a millisecond slows every long run, while short ones fit in between.
    """
    count = min(max(1, round(run / float(np.median(reference)))), len(reference) // 2)
    return _low_percentile(np.convolve(reference, np.full(count, 1 / count), "valid"))


def _times(timer: Timer, seconds: float, least: int) -> NDArray[Any]:
    """Time as many runs as the seconds take, after two that warm the caches and say how many that are."""
    per_run = min(timer(2))
    return np.array(timer(min(max(int(seconds / per_run), least), _MOST_RUNS)))


def _low_percentile(seconds: NDArray[Any]) -> float:
    return float(np.percentile(seconds, _PERCENTILE))


_STAT = Path("/proc/stat")
_TICKS = os.sysconf("SC_CLK_TCK")
"""Of the system's clock in a second."""


def _others_ticks() -> float:
    """Return the work of other processes so far on the cores that this one may use, in ticks of the system's clock.

    0 where the system does not count it.
    """
    if not _STAT.exists():
        return 0.0
    usable = {f"cpu{number}" for number in os.sched_getaffinity(0)}
    busy = 0
    for line in _STAT.read_text().splitlines():
        name, *ticks = line.split()
        if name in usable:
            user, nice, system, _, _, *rest = map(int, ticks[:8])
            busy += user + nice + system + sum(rest)
    this_process = os.times()
    return busy - _TICKS * (this_process.user + this_process.system)
