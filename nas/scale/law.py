"""Scaling laws: loss as a function of size, fitted to trained networks, and forecasts with an interval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import isfinite, sqrt

import numpy as np
from scipy.stats import norm, t

from nas.errors import NasError
from nas.scale.fitting import fit_many
from nas.scale.forms import ASYMPTOTE, Array, Form

SPAN = 8.0
"""A law needs sizes whose largest is this many times the smallest: over less, many laws look alike."""
_MISS = 0.05
"""Sizes that are solved for may miss by so much, so 8 times as asked for is enough."""
DRAWS = 400
_ROUNDS = 3
_NORMAL_MEDIAN = 1.4826
"""Standard deviations of normal noise that the median of its absolute values is."""
_LEAST_NOISE = 1e-6
"""Standard deviation, in logarithms, below which losses count as exact."""


@dataclass(frozen=True)
class Observation:
    """What one trained network showed."""

    size: tuple[float, ...]
    """What the law is in, e.g. multiply-adds of the network, or parameters and training examples."""
    loss: float
    """Positive; an error rate, or a loss."""
    run: str
    """What trained it: observations of one run are not independent, as those of several epochs."""


@dataclass(frozen=True)
class Forecast:
    """A loss that is expected, with the interval that holds it in `confidence` of all studies."""

    loss: float
    low: float
    high: float
    confidence: float = 0.9

    @property
    def width(self) -> float:
        """How wide the interval is, as a share of the loss."""
        return (self.high - self.low) / self.loss


@dataclass(frozen=True, eq=False)
class Law:
    """A fitted law with what a bootstrap says of its constants. Made by `fit_law`."""

    form: Form
    unit: tuple[float, ...]
    """Sizes are fitted relative to it."""
    theta: Array
    """`(constants,)` as `form.log_loss` takes them."""
    draws: Array = field(repr=False)
    """`(draws, constants)`: what else could have been."""
    noise: float
    """Standard deviation between runs of one size, as a share of the loss."""
    freedom: int
    """Degrees of freedom that the noise is estimated with."""
    smallest: tuple[float, ...]
    largest: tuple[float, ...]

    def loss(self, *size: float) -> float:
        """What the law says of a size."""
        return _exp(float(self._log(self.theta[None], size)[0]))

    def forecast(self, *size: float, confidence: float = 0.9, seeds: int | None = None) -> Forecast:
        """Say what to expect of a size, with its interval.

        Args:
            size: what the law is in.
            confidence: of the interval.
            seeds: the mean of so many runs, whose own noise widens the interval; None: the law's value, that of
                infinitely many.
        """
        centre = float(self._log(self.theta[None], size)[0])
        moved = self._log(self.draws, size) - centre
        if seeds is not None:
            rng = np.random.default_rng(len(moved) + seeds)
            moved = moved + rng.normal(0.0, self.noise / sqrt(seeds), len(moved))
        low, high = _stretched(moved, confidence, self.freedom)
        return Forecast(_exp(centre), _exp(centre + low), _exp(centre + high), confidence)

    def constants(self, confidence: float = 0.9) -> dict[str, Forecast]:
        """The constants in the unit that the observations have, each with its interval."""
        values, draws = self._plain(self.theta[None])[0], self._plain(self.draws)
        found = {}
        for i, name in enumerate(self.form.constants):
            low, high = _stretched(np.log(draws[:, i]) - np.log(values[i]), confidence, self.freedom)
            found[name] = Forecast(values[i], values[i] * _exp(low), values[i] * _exp(high), confidence)
        return found

    def _log(self, theta: Array, size: tuple[float, ...]) -> Array:
        x = np.log([[one / unit] for one, unit in zip(size, self.unit, strict=True)])
        return self.form.log_loss(theta, x)[:, 0]

    def _plain(self, theta: Array) -> Array:
        return self.form.plain(theta, np.log(self.unit))


def _exp(value: float) -> float:
    """The exponential, inf where that is too large: an interval may have no end."""
    with np.errstate(over="ignore"):
        return float(np.exp(value))


def stretch(tail: float, freedom: int) -> float:
    """How much further out a quantile of Student's distribution is than of the normal one."""
    return float(t.ppf(tail, freedom) / norm.ppf(tail))


def _stretched(moved: Array, confidence: float, freedom: int) -> tuple[float, float]:
    """Quantiles of what a bootstrap moved, as much further out as Student's are for so few runs than normal ones."""
    tail = (1 - confidence) / 2
    further = stretch(tail, freedom)
    low, high = np.quantile(moved, [tail, 1 - tail])
    return min(0.0, float(low)) * further, max(0.0, float(high)) * further


def spans(low: float, high: float) -> bool:
    """Whether sizes are far enough apart for a law; sizes that miss what was asked a little count as what was asked."""
    return high >= (1 - _MISS) * SPAN * low


def why_insufficient(observations: Sequence[Observation], form: Form = ASYMPTOTE) -> str:
    """Say why a law cannot be fitted to so little, or nothing."""
    axes = list(zip(*(one.size for one in observations), strict=True))
    if len(axes) != form.axes:
        return f"{form.formula} is in {form.axes} sizes, but the observations have {len(axes)}"
    sizes, runs = {one.size for one in observations}, {one.run for one in observations}
    if len(sizes) < form.sizes_needed:
        return f"{len(sizes)} sizes, but {form.formula} needs {form.sizes_needed}"
    for axis in axes:
        if not spans(min(axis), max(axis)):
            return f"the largest size is {max(axis) / min(axis):.3g} times the smallest, but a law needs {SPAN:g} times"
    if len(runs) <= len(form.constants):
        return f"{len(runs)} runs, but {form.formula} has {len(form.constants)} constants"
    return ""


def fit_law(observations: Sequence[Observation], form: Form = ASYMPTOTE, *, draws: int = DRAWS, seed: int = 0) -> Law:
    """Fit a law: several starts, Huber's loss in logarithms, and a bootstrap of whole runs.

    The noise is pooled over all sizes: a draw gives every run the residuals of another one, widened by what the fit
    took up. Intervals are stretched by Student's t for the degrees of freedom.

    Args:
        observations: what was trained; several of one run belong together.
        form: what shape the law has.
        draws: of the bootstrap.
        seed: of the bootstrap.

    Raises:
        NasError: a size or a loss that is not positive, or too few sizes, too little span, too few runs; it then says
            "insufficient".
    """
    for one in observations:
        if not all(isfinite(value) and value > 0 for value in (*one.size, one.loss)):
            raise NasError(f"a scaling law needs sizes and losses > 0, but got {one}")
    if reason := why_insufficient(observations, form):
        raise NasError(f"insufficient: {reason}")
    unit = tuple(float(np.exp(np.mean(np.log(axis)))) for axis in zip(*(one.size for one in observations), strict=True))
    x = np.log(np.array([one.size for one in observations]) / np.array(unit)).T
    y = np.log([one.loss for one in observations])
    runs = _runs(observations)
    freedom = max(1, len(runs) - len(form.constants))
    spread = sqrt(len(runs) / freedom)
    theta, usual = _best(form, x, y, spread)
    fitted = form.log_loss(theta[None], x)[0]
    # What the fit took up of the noise is put back.
    residual = (y - fitted - (y - fitted).mean()) * spread
    noise = float(np.sqrt(np.mean(residual**2)))
    drawn = fitted + _drawn(residual, runs, draws, np.random.default_rng(seed))
    starts = np.concatenate([theta[None], form.starts(x, y)[::4]])
    others = fit_many(form.log_loss, x, drawn, starts, usual).theta
    sizes = np.array([one.size for one in observations])
    return Law(form, unit, theta, others, noise, freedom, tuple(sizes.min(axis=0)), tuple(sizes.max(axis=0)))


def _runs(observations: Sequence[Observation]) -> list[list[int]]:
    runs: dict[str, list[int]] = {}
    for i, one in enumerate(observations):
        runs.setdefault(one.run, []).append(i)
    return list(runs.values())


def _best(form: Form, x: Array, y: Array, spread: float) -> tuple[Array, float]:
    """The constants, and what is usual noise, by turns: Huber's loss has to know what a large residual is.

    The median of the residuals says that whatever a few of them are, as the standard deviation does not.
    """
    usual = max(float(np.std(y)) / 4, _LEAST_NOISE)
    starts = form.starts(x, y)
    for _ in range(_ROUNDS):
        theta = fit_many(form.log_loss, x, y[None], starts, usual).theta[0]
        residual = y - form.log_loss(theta[None], x)[0]
        usual = max(_NORMAL_MEDIAN * float(np.median(np.abs(residual))) * spread, _LEAST_NOISE)
        starts = np.concatenate([theta[None], starts])
    return theta, usual


def _drawn(residual: Array, runs: list[list[int]], draws: int, rng: np.random.Generator) -> Array:
    """`(draws, n)`: each run has the residuals of another one."""
    drawn = np.empty((draws, len(residual)))
    for own in runs:
        for draw, other in enumerate(rng.integers(len(runs), size=draws)):
            drawn[draw, own] = np.resize(residual[runs[other]], len(own))
    return drawn
