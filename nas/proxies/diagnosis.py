"""Whether proxies order networks as training does, and better than their size alone would."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from nas.errors import ConfigError

Array = NDArray[np.float64]

BASELINE = "params"
"""The key of what proxies have to beat."""
LEAST_TRIALS = 10
"""With fewer trials nothing is said to beat anything: a bootstrap interval of so few is too narrow."""
_DRAWS = 2000


@dataclass(frozen=True, slots=True)
class ProxyReport:
    """How well a proxy orders networks."""

    name: str
    tau: float
    """Kendall's tau-b with what training found; 0 where one of the two is the same for all networks."""
    low: float
    high: float
    """Ends of the 95 % bootstrap interval of tau."""
    trials: int
    beats_params: bool
    """Whether the 95 % interval of its tau minus that of `params` is above zero, both taken over the same resampled
    trials, and its own interval is too: beating a count that orders networks backwards takes no knowledge."""
    rho: float
    """Spearman's rank correlation with what training found; 0 as for tau."""


def diagnose(
    values: Sequence[float], proxies: Mapping[str, Sequence[float]], *, minimize: bool = False, seed: int = 0
) -> list[ProxyReport]:
    """Compare proxies with what training found, over the trials that completed.

    The bootstrap resamples trials 2,000 times (Efron & Tibshirani 1993, chapter 13), the same ones for all proxies. For
    n trials it holds a few arrays of n x n.

    Args:
        values: the objective of each trial.
        proxies: by name, for each trial in the same order; larger is better. `params` is one of them.
        minimize: whether a smaller objective is better.
        seed: of the bootstrap.

    Returns:
        A report a proxy, in the order of `proxies`.

    Raises:
        ConfigError: no `params`, fewer than two trials, another number of scores than of trials, or no finite number.
    """
    truth, columns = _checked(values, proxies)
    truth = -truth if minimize else truth
    rng = np.random.default_rng(seed)
    count = len(truth)
    once = np.ones((1, count))
    draws = rng.multinomial(count, np.full(count, 1 / count), size=_DRAWS).astype(np.float64)
    taus = {name: _taus(column, truth, np.concatenate([once, draws])) for name, column in columns.items()}
    return [_report(name, columns[name], truth, taus[name], taus[BASELINE]) for name in columns]


def lines(reports: Sequence[ProxyReport]) -> list[str]:
    """Say for each proxy how well it orders networks, and whether it is switched off: it does not beat `params`."""
    width = max((len(one.name) for one in reports), default=0)
    verdicts = {True: "on: better than params", False: "off: not shown to be better than params"}
    return [
        f"{one.name:<{width}}  tau {one.tau:+.2f} [{one.low:+.2f}, {one.high:+.2f}], rho {one.rho:+.2f}, "
        f"{one.trials} trials; {'the baseline' if one.name == BASELINE else verdicts[one.beats_params]}"
        for one in reports
    ]


def _checked(values: Sequence[float], proxies: Mapping[str, Sequence[float]]) -> tuple[Array, dict[str, Array]]:
    if BASELINE not in proxies:
        raise ConfigError(f"proxies are compared with {BASELINE!r}, which is not among {sorted(proxies)}")
    columns = {name: np.asarray(column, dtype=np.float64) for name, column in proxies.items()}
    truth = np.asarray(values, dtype=np.float64)
    if len(truth) < 2:
        raise ConfigError(f"two trials are the least that have an order, but got {len(truth)}")
    for name, column in [("values", truth), *columns.items()]:
        if column.shape != truth.shape:
            raise ConfigError(f"{name} has {len(column)} scores for {len(truth)} trials")
        if not np.isfinite(column).all():
            raise ConfigError(f"{name} has scores that are no finite numbers; leave those trials out")
    return truth, columns


def _taus(one: Array, other: Array, draws: Array) -> Array:
    """Return Kendall's tau-b in each of some resamples.

    Args:
        one: `(n,)`.
        other: `(n,)`.
        draws: `(resamples, n)`, how often each trial is drawn.

    With sign matrices A and B, the sums over pairs of a resample are w (A B) w, w |A| w and w |B| w: no sorting.
    """
    a, b = (np.sign(x[:, None] - x[None, :]) for x in (one, other))
    both, first, second = (((draws @ pairs) * draws).sum(axis=1) for pairs in (a * b, abs(a), abs(b)))
    scale = np.sqrt(first * second)
    taus: Array = np.divide(both, scale, out=np.zeros_like(both), where=scale > 0)
    return taus


def _report(name: str, column: Array, truth: Array, taus: Array, baseline: Array) -> ProxyReport:
    low, high = np.percentile(taus[1:], [2.5, 97.5])
    gap = np.percentile(taus[1:] - baseline[1:], 2.5)
    constant = np.ptp(column) == 0 or np.ptp(truth) == 0
    return ProxyReport(
        name=name,
        tau=float(taus[0]),
        low=float(low),
        high=float(high),
        trials=len(truth),
        beats_params=bool(len(truth) >= LEAST_TRIALS and gap > 0 and low > 0),
        rho=0.0 if constant else float(stats.spearmanr(column, truth).statistic),
    )
