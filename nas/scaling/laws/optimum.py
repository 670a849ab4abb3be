"""The best size for a cost of training, from a law in size and training: where it is, and how it grows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, isfinite, log

import numpy as np

from nas.scaling.laws.forms import PARAMS_DATA, Array
from nas.scaling.laws.law import Law, fit_law
from nas.scaling.laws.observations import Observation

_NONE = 1e-12
"""A slope below it says that more brings nothing."""
_FLAT = 1e-3
_FARTHEST = 30.0


@dataclass(frozen=True)
class Best:
    """A best size, or the power with which it grows, with its 90 % interval."""

    value: float
    low: float
    high: float


def joint_law(observations: Sequence[Observation], *, seed: int = 0) -> Law:
    """Fit E + A N^-a + B D^-b to sizes N and lengths of training D (Hoffmann et al. 2022, section 3.3, approach 3).

    Raises:
        NasError: as `fit_law`.
    """
    return fit_law(observations, PARAMS_DATA, seed=seed)


def best_size(law: Law, work: float) -> Best:
    """Return the N with the least loss of all with N D = `work`.

    There a A N^-a = b B D^-b (Hoffmann et al. 2022, equation 4). The interval is the profile of the law without bounds.
    """
    whole = log(work) - float(np.log(law.unit).sum())

    def least(theta: Array) -> Array:
        of_size, of_data = np.maximum(theta[:, 1], _NONE), np.maximum(theta[:, 3], _NONE)
        bend = np.maximum(theta[:, 2] + theta[:, 4], _FLAT)
        place: Array = (theta[:, 4] * whole + np.log(of_size / of_data)) / bend
        return np.clip(place, -_FARTHEST, _FARTHEST)

    value, low, high = (law.unit[0] * _exp(end) for end in law.interval(least))
    return Best(value, low, high)


def growth(law: Law) -> Best:
    """Return the power of the cost of training with which the best size grows: b / (a + b)."""

    def power(theta: Array) -> Array:
        bend: Array = theta[:, 4] / np.maximum(theta[:, 2] + theta[:, 4], _FLAT)
        return bend

    return Best(*law.interval(power))


def lowest_point(sizes: Sequence[float], losses: Sequence[float]) -> float | None:
    """Return the lowest point of a parabola through the logarithms of sizes and losses; None where it has none.

    Hoffmann et al. 2022, section 3.2 (approach 2). A check of the law alone: far from its lowest point a profile is no
    parabola, and the wider the sizes, the further off it is.
    """
    x, y = np.log(np.array(sizes)), np.log(np.array(losses))
    curve, slope, _ = np.polyfit(x - x.mean(), y, 2)
    place = x.mean() - slope / (2 * curve) if curve > 0 else float("nan")
    return exp(place) if isfinite(place) and x.min() <= place <= x.max() else None


def _exp(value: float) -> float:
    with np.errstate(over="ignore"):
        return float(np.exp(value))
