"""The forms of scaling laws: loss as a function of size, and the starting points of its fit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

LOSSES = frozenset("EAB")
"""The constants of a formula that are in the unit of the loss."""
_MIN_EXPONENT = 1e-6
"""A smaller exponent counts as 0, so that the power is a logarithm."""
_MAX_LOG = 60.0


@dataclass(frozen=True)
class Form:
    """A law as a function of unbounded parameters, of which all give positive constants."""

    name: str
    formula: str
    constants: tuple[str, ...]
    """Names of the constants, as the formula has them."""
    log_loss: Callable[[Array, Array], Array]
    """`(K, constants)` parameters and `(axes, n)` logarithms of relative sizes -> `(K, n)` logarithms of losses, in the
    unit of the losses that `starts` was given."""
    starts: Callable[[Array, Array], Array]
    """`(axes, n)` logarithms of relative sizes and `(n,)` of losses -> `(S, constants)` parameters to start from."""
    log_constants: Callable[[Array, Array], Array]
    """`(K, constants)` parameters and `(axes,)` logarithms of the unit of size -> `(K, constants)` logarithms of the
    formula's constants, for sizes in their own unit."""
    unbounded: Callable[[Array, Array], Array]
    """`(K, constants)` parameters and sizes as for `log_loss` -> `(K, n)` losses, whose constants have no bounds: E,
    and so a loss, may be below 0, and exponents are of either sign. Intervals are made by it, since at a bound there is
    no room for an estimate to err on both sides."""
    unbounded_starts: Callable[[Array, Array], Array]
    """As `starts`, for `unbounded`."""
    axes: int = 1
    """Number of sizes that the loss depends on: 1 (compute, parameters or data), or 2 (parameters and data)."""

    @property
    def sizes_needed(self) -> int:
        """Number of different sizes that a fit needs: more than the form has constants, and at least four."""
        return max(4, len(self.constants) + 1)


def _sum(*logs: Array) -> Array:
    """Return the logarithm of a sum, from those of its terms."""
    total = logs[0]
    for log in logs[1:]:
        total = np.logaddexp(total, log)
    return total


def _power(theta: Array, x: Array) -> Array:
    return _sum(theta[:, :1] - np.exp(theta[:, 1:2]) * x[0])


def _power_starts(x: Array, y: Array) -> Array:
    middle = float(np.mean(y))
    return np.array([[middle, np.log(a)] for a in (0.05, 0.2, 0.5, 1.0)])


def _asymptote(theta: Array, x: Array) -> Array:
    return _sum(theta[:, :1], theta[:, 1:2] - np.exp(theta[:, 2:3]) * x[0])


def _asymptote_starts(x: Array, y: Array) -> Array:
    least, middle = float(np.min(y)), float(np.mean(y))
    return np.array(
        [
            [least + np.log(share), middle + np.log(1 - 0.8 * share), np.log(a)]
            for share in (1e-3, 0.4, 0.8)
            for a in (0.1, 0.4, 1.2)
        ]
    )


def _params_data(theta: Array, x: Array) -> Array:
    of_params = theta[:, 1:2] - np.exp(theta[:, 2:3]) * x[0]
    of_data = theta[:, 3:4] - np.exp(theta[:, 4:5]) * x[1]
    return _sum(theta[:, :1], of_params, of_data)


def _params_data_starts(x: Array, y: Array) -> Array:
    least, middle = float(np.min(y)), float(np.mean(y)) + np.log(0.3)
    return np.array(
        [
            [least + np.log(share), middle, np.log(a), middle, np.log(b)]
            for share in (1e-3, 0.5, 0.9)
            for a in (0.2, 0.6)
            for b in (0.2, 0.6)
        ]
    )


def _broken(theta: Array, x: Array) -> Array:
    # A single break, at d, over a width of f: the exponent is a before and a + c behind it.
    slope, more = np.exp(theta[:, 2:3]), np.exp(theta[:, 3:4])
    sharp = np.exp(theta[:, 5:6])
    bend = more * sharp * np.logaddexp(0.0, (x[0] - theta[:, 4:5]) / sharp)
    return _sum(theta[:, :1], theta[:, 1:2] - slope * x[0] - bend)


def _broken_starts(x: Array, y: Array) -> Array:
    low, high = float(np.min(x[0])), float(np.max(x[0]))
    return np.array(
        [
            [*start[:3], np.log(0.3), low + share * (high - low), np.log(0.2)]
            for start in _asymptote_starts(x, y)[::2]
            for share in (0.3, 0.7)
        ]
    )


def _straight(theta: Array, x: Array) -> Array:
    return _exp(theta[:, :1] - theta[:, 1:2] * x[0])


def _straight_starts(x: Array, y: Array) -> Array:
    return _line(x, y)[None]


def _exp(logs: Array) -> Array:
    values: Array = np.exp(np.clip(logs, -_MAX_LOG, _MAX_LOG))
    return values


def _line(x: Array, y: Array) -> Array:
    """Return the least-squares line through the logarithms: its value at the unit, and its fall along each axis."""
    columns = np.concatenate([np.ones((1, len(y))), -x]).T
    solution: Array = np.linalg.lstsq(columns, y, rcond=None)[0]
    return solution


def box_cox(theta: Array, x: Array) -> Array:
    """Return m (1 - sum of b_i (1 - x_i^-a_i) / a_i), `(K, n)`, with theta = (log m, b_1, a_1, ...).

    E + A x^-a is m (1 - b (1 - x^-a) / a) with m = E + A and b = a A / m; at a = 0 it is the straight line in log x,
    and below that a loss that falls ever faster (the transformation of Box & Cox 1964, "An analysis of
    transformations"). m is the loss at the unit and b its relative slope there, so that both are settled by the data
    even where E and A are not.

    Args:
        theta: `(K, 1 + 2 axes)`.
        x: `(axes, n)` logarithms of relative sizes.
    """
    share = np.ones_like(theta[:, :1] * x[0])
    for i, axis in enumerate(x):
        slope, exponent = theta[:, 1 + 2 * i : 2 + 2 * i], theta[:, 2 + 2 * i : 3 + 2 * i]
        nonzero = np.where(np.abs(exponent) < _MIN_EXPONENT, _MIN_EXPONENT, exponent)
        share = share + slope * np.expm1(np.clip(-nonzero * axis, -_MAX_LOG, _MAX_LOG)) / nonzero
    losses: Array = _exp(theta[:, :1]) * share
    return losses


def _box_cox_starts(x: Array, y: Array) -> Array:
    middle, *steep = _line(x, y)
    return np.array([[middle, *(value for b in steep for value in (b, a))] for a in (-0.5, 0.1, 0.5, 1.5)])


def _power_constants(theta: Array, unit: Array) -> Array:
    return np.stack([theta[:, 0] + np.exp(theta[:, 1]) * unit[0], theta[:, 1]], axis=1)


def _asymptote_constants(theta: Array, unit: Array) -> Array:
    return np.concatenate([theta[:, :1], _power_constants(theta[:, 1:], unit)], axis=1)


def _params_data_constants(theta: Array, unit: Array) -> Array:
    return np.concatenate([_asymptote_constants(theta[:, :3], unit), _power_constants(theta[:, 3:], unit[1:])], axis=1)


def _broken_constants(theta: Array, unit: Array) -> Array:
    of_break = [theta[:, 3:4], theta[:, 4:5] + unit[0], theta[:, 5:6]]
    return np.concatenate([_asymptote_constants(theta[:, :3], unit), *of_break], axis=1)


POWER = Form("power", "A C^-a", ("A", "a"), _power, _power_starts, _power_constants, _straight, _straight_starts)
"""A power law without an asymptote."""
ASYMPTOTE = Form(
    "asymptote",
    "E + A C^-a",
    ("E", "A", "a"),
    _asymptote,
    _asymptote_starts,
    _asymptote_constants,
    box_cox,
    _box_cox_starts,
)
"""Hestness et al. 2017, "Deep learning scaling is predictable, empirically"; Henighan et al. 2020."""
PARAMS_DATA = Form(
    "params_data",
    "E + A N^-a + B D^-b",
    ("E", "A", "a", "B", "b"),
    _params_data,
    _params_data_starts,
    _params_data_constants,
    box_cox,
    _box_cox_starts,
    2,
)
"""Hoffmann et al. 2022, "Training compute-optimal large language models", equation 2."""
BROKEN = Form(
    "broken",
    "E + A C^-a (1 + (C/d)^(1/f))^(-c f)",
    ("E", "A", "a", "c", "d", "f"),
    _broken,
    _broken_starts,
    _broken_constants,
    lambda theta, x: _exp(_broken(theta, x)),
    _broken_starts,
)
"""Caballero et al. 2023, "Broken neural scaling laws", equation 1 with a single break."""
