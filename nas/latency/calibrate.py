"""Calibration: measure random networks of some spaces on this device, and learn to predict others."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nas.cost import cost_of
from nas.errors import ConfigError, NasError
from nas.latency.deployment import Deployment
from nas.latency.device_profile import Accuracy, DeviceProfile
from nas.latency.features import OpFeatures, network_features
from nas.latency.fitting import conformal_bound, fit
from nas.latency.measure import Latency, Meter
from nas.network.architecture import Architecture
from nas.space import SearchSpace

_GROUP = 36
_GROUP_PARAMS = 60_000_000
"""Networks that are open at one time: so many, or so many parameters of them."""
_LEAST = 40
"""Networks without which nothing can be learned."""
_MOST = 720
"""Networks beyond which predictions hardly get better, while learning takes the cube of their number."""
_REPEATED = 12
"""One in so many networks is measured twice."""
_LEARNING = 0.12
"""Share of the time that is left for learning, and for measuring twice."""

Progress = Callable[[int, float], None]
"""Called with the number of networks measured so far, and the share of the time that has passed."""


def calibrate(
    spaces: Sequence[SearchSpace],
    deployment: Deployment,
    *,
    seconds: float = 285.0,
    seed: int = 0,
    progress: Progress = lambda networks, share: None,
) -> DeviceProfile:
    """Measure as many networks as the time allows, from each space in turn, and learn from them.

    Raises:
        ConfigError: the time is too short for this device, or the spaces have too few networks.
    """
    started = time.monotonic()
    meter = Meter(deployment)
    drawn = _networks(spaces, seed)
    networks: list[Architecture] = []
    latencies: list[Latency] = []
    ends = started + (1 - _LEARNING) * seconds
    size, longest, group = _GROUP // 3, 0.0, list[Architecture]()
    while time.monotonic() + longest < ends and len(latencies) < _MOST:
        begun = time.monotonic()
        group = _group(drawn, size)
        if not group:
            break
        latencies += meter.measure_all(group, seed=seed + len(latencies))
        networks += group
        longest = time.monotonic() - begun
        # A group takes no more than a tenth of the time, on slow devices too.
        size = min(_GROUP, max(_GROUP // 6, int(len(group) * seconds / 10 / longest)))
        progress(len(latencies), (time.monotonic() - started) / seconds)
    if len(latencies) < _LEAST:
        raise ConfigError(_too_few(len(latencies), seconds, exhausted=not group))
    features, measured_ms = [network_features(arch) for arch in networks], [latency.ms for latency in latencies]
    ms = _measured_again(meter, networks, features, measured_ms, seed)
    predictor, errors = fit(features, ms, judged=measured_ms)
    macs = np.array([cost_of(arch).macs for arch in networks])
    return DeviceProfile(
        deployment=deployment,
        device=meter.device,
        spaces={space.name: space.input_shape for space in spaces},
        accuracy=accuracy(np.array(measured_ms), errors),
        macs_only=accuracy(np.array(measured_ms), _macs_only(macs, np.array(measured_ms))),
        quiet=sum(latency.quiet_visits > 0 for latency in latencies) / len(latencies),
        reference_ms=meter.usual_ms,
        seconds=time.monotonic() - started,
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        measured={arch.arch_id: value for arch, value in zip(networks, ms, strict=True)},
        predictor=predictor,
    )


def _measured_again(
    meter: Meter,
    networks: Sequence[Architecture],
    features: Sequence[Sequence[OpFeatures]],
    measured_ms: Sequence[float],
    seed: int,
) -> list[float]:
    """Measure the networks once more that the others contradict most, since that was most likely the machine.

    Returns:
        The latency of every network, the lower one of those that were measured twice.
    """
    ms = list(measured_ms)
    _, errors = fit(features, measured_ms)
    doubtful = np.argsort(-np.abs(errors))[: len(ms) // _REPEATED]
    for start in range(0, len(doubtful), _GROUP):
        group = doubtful[start : start + _GROUP]
        for index, again in zip(group, meter.measure_all([networks[i] for i in group], seed=seed), strict=True):
            ms[index] = min(ms[index], again.ms)
    return ms


def _too_few(count: int, seconds: float, *, exhausted: bool) -> str:
    if exhausted:
        return f"the spaces have only {count} different networks, but {_LEAST} are needed: measure them one by one"
    more = f": give about {1.5 * seconds * _LEAST / count / 60:.1f} minutes, on a quiet machine" if count else ""
    return f"only {count} networks could be measured in {seconds:g} s, but {_LEAST} are needed{more}"


def _networks(spaces: Sequence[SearchSpace], seed: int) -> Iterator[Architecture]:
    """Draw different networks, from each space in turn, until 1,000 draws in a row give no new one."""
    rng = random.Random(seed)
    yielded: set[str] = set()
    stale = 0
    while stale < 1000:
        for space in spaces:
            architecture = space.decode(space.sample(rng))
            stale += 1
            try:
                if architecture.arch_id not in yielded:
                    yielded.add(architecture.arch_id)
                    stale = 0
                    yield architecture
            except NasError:  # shapes do not fit
                continue


def _group(drawn: Iterator[Architecture], size: int) -> list[Architecture]:
    group: list[Architecture] = []
    params = 0
    for architecture in drawn:
        group.append(architecture)
        params += cost_of(architecture).params
        if len(group) == size or params > _GROUP_PARAMS:
            break
    return group


def accuracy(ms: NDArray[Any], errors: NDArray[Any]) -> Accuracy:
    """Judge predictions of measured figures by their errors, predicted / measured - 1."""
    from scipy.stats import spearmanr

    off = np.abs(errors)
    return Accuracy(
        networks=len(ms),
        within_5=float((off <= 0.05).mean()),
        within_10=float((off <= 0.10).mean()),
        mean_error=float(off.mean()),
        rank_correlation=float(spearmanr(ms, ms * (1 + errors)).statistic),
        interval=float(np.expm1(conformal_bound(errors))),
    )


def _macs_only(macs: NDArray[Any], ms: NDArray[Any]) -> NDArray[Any]:
    """The errors of a power law in multiply-adds, leaving each network out (by the diagonal of the hat matrix)."""
    design = np.stack([np.ones(len(ms)), np.log(macs)], axis=1)
    hat = design @ np.linalg.pinv(design)
    residual = (np.log(ms) - hat @ np.log(ms)) / (1 - np.diag(hat))
    return np.asarray(np.expm1(-residual))
