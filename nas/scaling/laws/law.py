"""Scaling laws fitted to the losses of trained networks, and forecasts with an interval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import hypot, inf, isfinite, log, sqrt
from numbers import Integral, Real

import numpy as np
from scipy.stats import norm, t

from nas.errors import NasError
from nas.scaling.laws.form_fits import MIN_SPAN, fit_form, fit_unbounded, held_out_rates, lack_of_fit, wide_enough
from nas.scaling.laws.forms import ASYMPTOTE, LOSSES, Array, Form
from nas.scaling.laws.least_squares import fit_many
from nas.scaling.laws.observations import Observation, SizeMeans, size_means
from nas.scaling.laws.profile_interval import Fit, Functional, linearise, profile_interval
from nas.scaling.laws.refusal import why_no_law

DRAWS = 20
"""Number of laws that the parametric bootstrap draws by default."""
_INFLUENCE = 0.8
"""Share of the shift by leaving out small sizes that widens a forecast, per standard deviation of the normal."""
POOR_FIT = 0.05
"""The p-value of the test of fit below which intervals are widened by the error on held-out sizes."""
_MIN_LOSS_SHARE = 1e-12
"""Share of the mean loss below which a loss counts as no smaller."""
UNBOUNDED_RATIO = 1e6
"""An end of an interval so many times the estimate, or its inverse, counts as open."""
_ZERO_LOSS = 1e-9
"""A loss below it is printed as 0."""
_TREND_SIZES = 3
"""Number of largest sizes through which a line is drawn where the law fits poorly."""


@dataclass(frozen=True)
class Forecast:
    """An expected loss, with the interval that holds the true one in a share of `confidence` of all studies."""

    loss: float
    low: float
    high: float
    confidence: float = 0.9

    @property
    def width(self) -> float:
        """The width of the interval, as a share of the loss."""
        return (self.high - self.low) / self.loss

    @property
    def text(self) -> str:
        """The loss and its interval, in words: 0 and `any` where the runs leave a side of it open."""
        low = f"{self.low:.4g}" if self.low > max(self.loss / UNBOUNDED_RATIO, _ZERO_LOSS) else "0"
        high = f"{self.high:.4g}" if self.high < self.loss * UNBOUNDED_RATIO else "any"
        return f"{self.loss if self.loss > _ZERO_LOSS else 0:.4g} ({low} to {high})"


@dataclass(frozen=True, eq=False)
class Law:
    """A fitted law, with the fits that its intervals are made of. Made by `fit_law`."""

    form: Form
    unit: tuple[float, ...]
    """The size, `(axes,)`, that sizes are relative to in the fit."""
    theta: Array
    """`(constants,)`, the parameters of `form.log_loss`."""
    draws: Array = field(repr=False)
    """`(draws, constants)`, the parameters of laws that are as possible: a parametric bootstrap."""
    noise: float
    """Standard deviation between runs of a size, as a share of the loss; where no size has two, that of sizes."""
    scatter: float
    """Standard deviation of sizes around the law beyond the noise of their runs, as a share of the loss."""
    freedom: int
    """Degrees of freedom of the intervals: sizes, or runs where they are fewer, less constants."""
    lack_of_fit: float | None
    """The p-value of the test of fit: small where no such law fits. None where no size has two runs that differ."""
    held_out_rates: tuple[float, float]
    """How far held-out sizes lie below the law and above it, in logarithms per unit of the logarithm of the size beyond
    the largest that is kept; 0 where the fit is good."""
    smallest: tuple[float, ...]
    """The smallest size, `(axes,)`."""
    largest: tuple[float, ...]
    """The largest size, `(axes,)`."""
    max_loss: float
    """No loss can be above it: 1 for an error rate."""
    _means: SizeMeans = field(repr=False)
    _bounded: Fit = field(repr=False)
    """The fit of `form.log_loss`."""
    _unbounded: Fit = field(repr=False)
    """The fit of `form.unbounded`."""

    def loss(self, *size: float) -> float:
        """Return the law's loss at a size; raises `NasError` for sizes that are not positive or not one per axis."""
        return _exp(float(self.form.log_loss(self.theta[None], self._log_size(size))[0, 0]) + self._means.mean_log_loss)

    def forecast(self, *size: float, confidence: float = 0.9, seeds: int | None = None) -> Forecast:
        """Return the expected loss of a size with its interval.

        Args:
            size: in the unit of the observations, a number per axis.
            confidence: of the interval.
            seeds: forecasts the mean of that many runs of a further network, whose own noise and scatter widen the
                interval; None forecasts the law's value.

        Raises:
            NasError: sizes that are no positive numbers, or not as many as the law has; a confidence outside 0 to 1;
                fewer than one run.
        """
        if seeds is not None and not (_is_number(Integral, seeds) and seeds >= 1):
            raise NasError(
                f"seeds, the runs whose mean is forecast, must be a whole number from 1 on, but got {seeds!r}"
            )
        x, mean_log_loss = self._log_size(size), self._means.mean_log_loss
        ends = self._interval(self._unbounded, lambda theta: self.form.unbounded(theta, x)[:, 0], confidence)
        low, high = (_log(end) + mean_log_loss for end in ends[1:])
        # Where the data ask for an E below 0, which the law excludes, the nearest end of the interval is the estimate.
        centre = min(max(float(self.form.log_loss(self.theta[None], x)[0, 0]) + mean_log_loss, low), high)
        run_error = 0.0 if seeds is None else self._run_half_width(seeds, confidence)
        below, above = self._held_out_error(size)
        trend = self._trend(x) if self.poor_fit and self.form.axes == 1 else centre
        low = min(centre - hypot(max(centre - low, below), run_error), trend)
        high = max(centre + hypot(max(high - centre, above), run_error), trend)
        loss, low, high = (min(_exp(end), self.max_loss) for end in (centre, low, high))
        return Forecast(loss, low, high, confidence)

    def constants(self, confidence: float = 0.9) -> dict[str, Forecast]:
        """Return the constants in the unit of the observations, by name, each with its interval."""
        return {name: self._constant(i, confidence) for i, name in enumerate(self.form.constants)}

    def interval(self, functional: Functional, confidence: float = 0.9) -> tuple[float, float, float]:
        """Return a function of the unbounded parameters at the fit, and the ends of its interval."""
        return self._interval(self._unbounded, functional, confidence)

    def _constant(self, index: int, confidence: float) -> Forecast:
        unit = np.log(self.unit)
        logs = self._interval(self._bounded, lambda theta: self.form.log_constants(theta, unit)[:, index], confidence)
        mean_log_loss = self._means.mean_log_loss if self.form.constants[index] in LOSSES else 0.0
        value, low, high = (_exp(log_value + mean_log_loss) for log_value in logs)
        return Forecast(value, low, high, confidence)

    def _log_size(self, size: tuple[float, ...]) -> Array:
        """Return the logarithms of a size relative to the unit, `(axes, 1)`."""
        if len(size) != self.form.axes:
            raise NasError(f"{self.form.formula} is in {self.form.axes} sizes, but got {len(size)}: {size!r:.80}")
        for value in size:
            if not (_is_number(Real, value) and isfinite(value) and value > 0):
                raise NasError(f"a size must be a number > 0, but got {value!r:.80}")
        return self._means.relative([size])

    def _interval(self, fit: Fit, functional: Functional, confidence: float) -> tuple[float, float, float]:
        """Return a value and the ends of its interval: Student's by the scatter, wider where left-out sizes shift it.

        Raises:
            NasError: a confidence outside 0 to 1.
        """
        if not (_is_number(Real, confidence) and 0 < confidence < 1):
            raise NasError(
                f"the confidence of an interval must be a number between 0 and 1, but got {confidence!r:.80}"
            )
        linear = linearise(fit, functional, self._left_out)
        upper = (1 + confidence) / 2
        scatter_width = float(t.ppf(upper, self.freedom)) * fit.scatter
        per_shift = _INFLUENCE * float(norm.ppf(upper)) / max(linear.error, 1e-9)
        low, high = (hypot(scatter_width, per_shift * shift) for shift in linear.left_out_shift)
        return (linear.value, *profile_interval(fit, functional, linear, (low, high)))

    @property
    def poor_fit(self) -> bool:
        """Whether sizes are further from the law than the noise of their runs explains, by the test of fit."""
        return self.lack_of_fit is not None and self.lack_of_fit < POOR_FIT

    @property
    def _left_out(self) -> list[list[int]]:
        """Indices of sizes that are left out in turn: the smallest and the two smallest, which are off trend most
        often.

        None are left out where the scatter around the law shows such sizes: where the fit is poor, and among the many
        cells of a law in two sizes.
        """
        return [] if self.poor_fit or self.form.axes > 1 else [[0], [0, 1]]

    def _trend(self, x: Array) -> float:
        """Return the logarithm of the loss on the line through the largest sizes, which are all behind a bend."""
        means = self._means
        line = np.polyfit(means.x.sum(axis=0)[-_TREND_SIZES:], means.y[-_TREND_SIZES:], 1)
        return float(np.polyval(line, x.sum()))

    def _held_out_error(self, size: tuple[float, ...]) -> tuple[float, float]:
        """Return how far below and above a poorly fitting law a size may be: as far as held-out sizes are."""
        distance = max(0.0, float(np.sum(np.log(size)) - np.sum(np.log(self._means.sizes[-1]))))
        return self.held_out_rates[0] * distance, self.held_out_rates[1] * distance

    def _run_half_width(self, seeds: int, confidence: float) -> float:
        """Return half the width of the interval of the mean of some runs of a further network around the law."""
        upper = (1 + confidence) / 2
        size_width = float(t.ppf(upper, self.freedom)) * self.scatter
        run_width = float(t.ppf(upper, self._means.noise_freedom or self.freedom)) * self.noise / sqrt(seeds)
        return hypot(size_width, run_width)


def why_not_shown_to_fall(without: Law) -> str:
    """Return why the runs do not show that the loss falls with the size, or nothing.

    Args:
        without: the law without an asymptote, whose exponent decides.
    """
    exponent = without.constants()["a"]
    if exponent.low > exponent.loss / UNBOUNDED_RATIO:
        return ""
    return (
        f"the runs do not show that the loss falls with the size: the {exponent.confidence:.0%} interval of a in "
        f"{without.form.formula} reaches 0"
    )


def _is_number(kind: type, value: object) -> bool:
    """Return whether a value is a number of a kind; True and False are none."""
    return isinstance(value, kind) and not isinstance(value, bool)


def _exp(value: float) -> float:
    """Return the exponential; inf where that is too large, since an interval may have no end."""
    with np.errstate(over="ignore"):
        return float(np.exp(value))


def _log(value: float) -> float:
    """Return the logarithm; for a loss of 0 or below, as the form without bounds may have it, that of almost 0."""
    return log(max(value, _MIN_LOSS_SHARE))


def why_insufficient(observations: Sequence[Observation], form: Form = ASYMPTOTE) -> str:
    """Return why there are too few observations, or too narrow ones, to fit a law; or nothing."""
    axes = list(zip(*(each.size for each in observations), strict=True))
    if len(axes) != form.axes:
        return f"{form.formula} is in {form.axes} sizes, but the observations have {len(axes)}"
    sizes, runs = {each.size for each in observations}, {each.run for each in observations}
    if len(sizes) < form.sizes_needed:
        return f"{len(sizes)} sizes, but {form.formula} needs {form.sizes_needed}"
    for axis in axes:
        if not wide_enough(min(axis), max(axis)):
            times = max(axis) / min(axis)
            return f"the largest size is {times:.3g} times the smallest, but a law needs {MIN_SPAN:g} times"
    if len(runs) <= len(form.constants):
        return f"{len(runs)} runs, but {form.formula} has {len(form.constants)} constants"
    return ""


def fit_law(
    observations: Sequence[Observation],
    form: Form = ASYMPTOTE,
    *,
    max_loss: float = inf,
    draws: int = DRAWS,
    seed: int = 0,
) -> Law:
    """Fit a law to the means of the sizes, and test it.

    Intervals are profiles of the fit whose noise is the scatter of the sizes around it, with as many degrees of freedom
    as there are sizes beyond the constants: runs of the same size share the error of its rounded channels, so that many
    of them count as no more sizes (Knapp & Hartung 2003, "Improved tests for a random effects meta-regression").

    Args:
        observations: sizes and losses of trained networks; those of the same run are not independent.
        form: of the law.
        max_loss: no loss can be above it; forecasts end there.
        draws: number of laws that a parametric bootstrap draws, for planning.
        seed: of the bootstrap.

    Raises:
        NasError: a size or a loss that is not positive; too few sizes, too little span or too few runs, and it then
            says "insufficient"; a loss that does not fall with the size, or sizes that no such law fits.
    """
    law = fit_untested(observations, form, max_loss=max_loss, draws=draws, seed=seed)
    if reason := why_no_law(form, law._means, law._bounded, law._unbounded, law.lack_of_fit):
        raise NasError(reason)
    return law


def fit_untested(
    observations: Sequence[Observation],
    form: Form = ASYMPTOTE,
    *,
    max_loss: float = inf,
    draws: int = DRAWS,
    seed: int = 0,
) -> Law:
    """Fit a law as `fit_law` does, but do not refuse one that fits badly.

    Raises:
        NasError: as `fit_law`, but for a law that does not fit.
    """
    for observation in observations:
        if not all(isfinite(value) and value > 0 for value in (*observation.size, observation.loss)):
            raise NasError(f"a scaling law needs sizes and losses > 0, but got {observation}")
    if reason := why_insufficient(observations, form):
        raise NasError(f"insufficient: {reason}")
    means = size_means(observations)
    unbounded, scatter = fit_unbounded(means, form)
    bounded = fit_form(means, form, unbounded.weights)
    p, sizes = lack_of_fit(bounded, means), np.array(means.sizes)
    return Law(
        form,
        means.unit,
        bounded.theta,
        _drawn(bounded, draws, seed),
        means.noise or bounded.scatter,
        scatter if means.noise else 0.0,
        bounded.freedom,
        p,
        held_out_rates(means, form) if p is not None and p < POOR_FIT else (0.0, 0.0),
        tuple(sizes.min(axis=0)),
        tuple(sizes.max(axis=0)),
        max_loss,
        means,
        bounded,
        unbounded,
    )


def _drawn(fit: Fit, draws: int, seed: int) -> Array:
    """Return the parameters of laws fitted to losses that this law and its scatter generate, `(draws, constants)`."""
    predicted = fit.predict(fit.theta[None])
    noise = fit.scatter / np.sqrt(fit.weights) * np.random.default_rng(seed).normal(size=(draws, len(fit.y)))
    return fit_many(fit.predict, predicted + noise, fit.weights, fit.theta[None]).theta
