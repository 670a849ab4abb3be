"""The best size for a cost of training, and how it grows with the cost, by a law in size and length of training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, isfinite, log

import numpy as np

from nas.scaling.laws.forms import PARAMS_DATA, Array
from nas.scaling.laws.law import Law, fit_law
from nas.scaling.laws.observations import Observation

_MIN_SLOPE = 1e-12
"""A smaller slope counts as this: more of the axis brings nothing."""
_MIN_EXPONENT = 1e-3
_MAX_LOG = 30.0


@dataclass(frozen=True)
class Estimate:
    """The best size for a cost, or the exponent with which it grows, with its 90 % interval."""

    value: float
    low: float
    high: float


def joint_law(observations: Sequence[Observation], *, seed: int = 0) -> Law:
    """Fit E + A N^-a + B D^-b to sizes N and lengths of training D (Hoffmann et al. 2022, section 3.3, approach 3).

    Raises:
        NasError: as `fit_law`.
    """
    return fit_law(observations, PARAMS_DATA, seed=seed)


def best_size(law: Law, work: float) -> Estimate:
    """Return the size N with the least loss of all with N D = `work`.

    There a A N^-a = b B D^-b (Hoffmann et al. 2022, equation 4). The interval is the profile of the law without bounds.

    Args:
        law: in N and D, of `joint_law`.
        work: cost of training, N times D.
    """
    log_work = log(work) - float(np.log(law.unit).sum())

    def log_size(theta: Array) -> Array:
        size_slope, data_slope = np.maximum(theta[:, 1], _MIN_SLOPE), np.maximum(theta[:, 3], _MIN_SLOPE)
        exponents = np.maximum(theta[:, 2] + theta[:, 4], _MIN_EXPONENT)
        optimum: Array = (theta[:, 4] * log_work + np.log(size_slope / data_slope)) / exponents
        return np.clip(optimum, -_MAX_LOG, _MAX_LOG)

    value, low, high = (law.unit[0] * _exp(end) for end in law.interval(log_size))
    return Estimate(value, low, high)


def growth_exponent(law: Law) -> Estimate:
    """Return the exponent with which the best size grows with the cost of training: b / (a + b)."""

    def power(theta: Array) -> Array:
        exponent: Array = theta[:, 4] / np.maximum(theta[:, 2] + theta[:, 4], _MIN_EXPONENT)
        return exponent

    return Estimate(*law.interval(power))


def parabola_minimum(sizes: Sequence[float], losses: Sequence[float]) -> float | None:
    """Return the size at the minimum of a parabola through the logarithms of sizes and losses; None where it has none.

    Hoffmann et al. 2022, section 3.2 (approach 2). It only checks the law: far from its minimum a profile is no
    parabola, and the wider the sizes, the further off its minimum is.
    """
    x, y = np.log(np.array(sizes)), np.log(np.array(losses))
    curve, slope, _ = np.polyfit(x - x.mean(), y, 2)
    minimum = x.mean() - slope / (2 * curve) if curve > 0 else float("nan")
    return exp(minimum) if isfinite(minimum) and x.min() <= minimum <= x.max() else None


def _exp(value: float) -> float:
    with np.errstate(over="ignore"):
        return float(np.exp(value))
