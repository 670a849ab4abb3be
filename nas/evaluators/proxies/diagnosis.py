"""Whether proxies order networks as training does, and better than all that is counted for nothing would."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from nas.cost.metrics import FREE_METRICS
from nas.errors import ConfigError
from nas.evaluators.proxies.costs import predicted
from nas.statistics import bootstrap_counts, holm

Array = NDArray[np.float64]

BASELINE = "params"
"""A cost that is always among those that proxies have to beat."""
COSTS = "all costs"
"""The name of the model of all of them."""
LEAST_TRIALS = 10
"""With fewer trials nothing is said to beat anything: a bootstrap interval of so few is too narrow."""
_DRAWS = 4000
_LEVEL = 0.025
"""The chance that any proxy is said to be better which is not."""


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
    beats_costs: bool
    """Whether it orders networks better than every cost alone and than the model of all of them; see `diagnose`."""
    p: float
    """The chance of so large a lead over the best of the costs, by the bootstrap, corrected for the number of proxies;
    1 for costs."""
    rho: float
    """Spearman's rank correlation with what training found; 0 as for tau."""


def diagnose(
    values: Sequence[float], proxies: Mapping[str, Sequence[float]], *, minimize: bool = False, seed: int = 0
) -> list[ProxyReport]:
    """Compare proxies with what training found, over the trials that completed.

    A proxy takes time where costs take none, so it has to order networks better than the best of them: than each cost
    alone, and than a model of all of them that predicts each network from the others (`proxies.costs`). It does
    where the bootstrap leaves no doubt of that for any of these, and none that it orders them at all, which beating
    what orders networks backwards would not show; after Holm's correction for the number of proxies. The bootstrap
    resamples trials (Efron & Tibshirani 1993, chapter 13), the same ones for all. For n trials it holds a few arrays of
    n x n.

    Args:
        values: the objective of each trial.
        proxies: by name, for each trial in the same order; larger is better. Those named like a metric that is counted
            (`nas.cost.metrics.FREE_METRICS`) are the costs; `params` is one of them.
        minimize: whether a smaller objective is better.
        seed: of the bootstrap.

    Returns:
        A report a column, in the order of `proxies`, after one of the model.

    Raises:
        ConfigError: no `params`, fewer than two trials, another number of scores than of trials, or no finite number.
    """
    truth, columns = _checked(values, proxies)
    truth = -truth if minimize else truth
    costs = {name: column for name, column in columns.items() if name in FREE_METRICS}
    rng = np.random.default_rng(seed)
    count = len(truth)
    once = np.ones((1, count))
    draws = np.concatenate([once, bootstrap_counts(rng, count, _DRAWS).astype(np.float64)])
    columns = {COSTS: predicted(costs, truth), **columns}
    taus = {name: _taus(column, truth, draws) for name, column in columns.items()}
    rivals = [taus[name] for name in (COSTS, *costs)]
    names = [name for name in proxies if name not in costs]
    p_values = dict(zip(names, holm([_lead_p(taus[name], rivals) for name in names]), strict=True))
    return [_report(name, columns[name], truth, taus[name], p_values.get(name, 1.0)) for name in columns]


def lines(reports: Sequence[ProxyReport]) -> list[str]:
    """Say for each proxy how well it orders networks, and whether it is switched off: it does not beat the costs."""
    width = max((len(report.name) for report in reports), default=0)
    verdicts = {True: "on: better than all costs", False: "off: not shown to be better than all costs"}
    return [
        f"{report.name:<{width}}  tau {report.tau:+.2f} [{report.low:+.2f}, {report.high:+.2f}], rho "
        f"{report.rho:+.2f}, {report.trials} trials; "
        f"{_kind(report.name) or f'{verdicts[report.beats_costs]} (p {report.p:.2g})'}"
        for report in reports
    ]


def _kind(name: str) -> str:
    if name == COSTS:
        return "a model of all costs, each network predicted from the others"
    return "a cost" if name in FREE_METRICS else ""


def _lead_p(taus: Array, rivals: Sequence[Array]) -> float:
    """Return the largest of the shares of the resamples in which a proxy does not lead a rival, or orders nothing."""
    fails = [(taus[1:] <= 0).mean(), *((taus[1:] <= rival[1:]).mean() for rival in rivals)]
    return float((max(fails) * _DRAWS + 1) / (_DRAWS + 1))


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


def _report(name: str, column: Array, truth: Array, taus: Array, p: float) -> ProxyReport:
    low, high = np.percentile(taus[1:], [2.5, 97.5])
    constant = np.ptp(column) == 0 or np.ptp(truth) == 0
    return ProxyReport(
        name=name,
        tau=float(taus[0]),
        low=float(low),
        high=float(high),
        trials=len(truth),
        beats_costs=len(truth) >= LEAST_TRIALS and p <= _LEVEL,
        p=p,
        rho=0.0 if constant else float(stats.spearmanr(column, truth).statistic),
    )
