"""Inside a measuring process: one network open, visited when asked."""

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
from nas.network.architecture import Architecture
from nas.runs import cores
from nas.space import load_space

if TYPE_CHECKING:
    from nas.latency.runtimes import Timer

_PERCENTILE = 10
_SECONDS = 0.04
_MOST_RUNS = 500
_REFERENCE_SECONDS = 0.008


class Visit(NamedTuple):
    """A short look at a network."""

    figure: float
    """The low percentile of its runs, in seconds."""
    reference: float
    """That of the reference network just before, over as long as a run takes."""
    others: float
    """Share of the cores that other processes used meanwhile."""
    seconds: NDArray[Any]
    """Of each run."""


def serve(connection: Connection, architectures: Sequence[str], deployment: Deployment) -> None:
    """Open networks, then visit the one that is asked for by its place, until the other side is gone.

    Sends True when all are open, a `Visit` for each request, or a text that says what went wrong.
    """
    try:
        from nas.latency.runtimes import open_network

        space = load_space("reference/small_cnn").for_data((3, 32, 32), 10)
        reference = open_network(space.decode(space.sample(seed=0)), deployment)
        reference(20)
        timers = [open_network(Architecture.from_json(text), deployment) for text in architectures]
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
    return Visit(_figure(seconds), _over(_figure(seconds), before), others, seconds)


def _over(run: float, reference: NDArray[Any]) -> float:
    """The figure of the reference over stretches as long as a run of the network.

    What comes and goes within a millisecond slows every long run, while short ones fit in between.
    """
    count = min(max(1, round(run / float(np.median(reference)))), len(reference) // 2)
    return _figure(np.convolve(reference, np.full(count, 1 / count), "valid"))


def _times(timer: Timer, seconds: float, least: int) -> NDArray[Any]:
    """Time as many runs as the seconds take, after two that warm the caches and say how many that are."""
    once = min(timer(2))
    return np.array(timer(min(max(int(seconds / once), least), _MOST_RUNS)))


def _figure(seconds: NDArray[Any]) -> float:
    return float(np.percentile(seconds, _PERCENTILE))


_STAT = Path("/proc/stat")
_TICKS = os.sysconf("SC_CLK_TCK")


def _others_ticks() -> float:
    """Work of other processes so far on the cores that this one may use, in ticks of the system's clock.

    0 where the system does not tell.
    """
    if not _STAT.exists():
        return 0.0
    mine = {f"cpu{number}" for number in os.sched_getaffinity(0)}
    busy = 0
    for line in _STAT.read_text().splitlines():
        name, *ticks = line.split()
        if name in mine:
            user, nice, system, _, _, *rest = map(int, ticks[:8])
            busy += user + nice + system + sum(rest)
    own = os.times()
    return busy - _TICKS * (own.user + own.system)
