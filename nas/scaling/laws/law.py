"""Scaling laws: loss as a function of size, fitted to trained networks, and forecasts with an interval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import hypot, inf, isfinite, log, sqrt
from numbers import Integral, Real

import numpy as np
from scipy.stats import norm, t

from nas.errors import NasError
from nas.scaling.laws.form_fits import SPAN, fit_means, free_fit, lack_of_fit, off_trend, spans
from nas.scaling.laws.forms import ASYMPTOTE, LOSSES, Array, Form
from nas.scaling.laws.least_squares import fit_many
from nas.scaling.laws.observations import Means, Observation, means_of
from nas.scaling.laws.profile_interval import Fit, Functional, leaning, profile
from nas.scaling.laws.refusal import why_no_law

DRAWS = 20
_INFLUENCE = 0.8
"""How much of what leaving out small sizes moves a forecast by widens it, for each standard deviation of the normal."""
DOUBTED = 0.05
"""Probability of so bad a fit below which an interval is widened by the error on held-out sizes."""
_NOTHING = 1e-12
"""Share of the mean loss below which none is left."""
ANY = 1e6
"""So many times what was found, an end of an interval says nothing."""
_TRACE = 1e-9
"""A loss that is said to be 0."""
_LAST = 3
"""Largest sizes whose line is as good a guess as a law that does not fit."""


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

    @property
    def text(self) -> str:
        """What is expected and the interval: 0 and `any` where runs leave a side of it open."""
        low = f"{self.low:.4g}" if self.low > max(self.loss / ANY, _TRACE) else "0"
        high = f"{self.high:.4g}" if self.high < self.loss * ANY else "any"
        return f"{self.loss if self.loss > _TRACE else 0:.4g} ({low} to {high})"


@dataclass(frozen=True, eq=False)
class Law:
    """A fitted law with what its intervals are made of. Made by `fit_law`."""

    form: Form
    unit: tuple[float, ...]
    """Sizes are fitted relative to it."""
    theta: Array
    """`(constants,)` as `form.log_loss` takes them."""
    draws: Array = field(repr=False)
    """`(draws, constants)`: what else could have been."""
    noise: float
    """Standard deviation between runs of one size, as a share of the loss; where no size has two, that of sizes."""
    scatter: float
    """Standard deviation of sizes around the law beyond what their runs explain, as a share of the loss."""
    freedom: int
    """Degrees of freedom of the intervals: sizes, or runs where they are fewer, less constants."""
    lack_of_fit: float | None
    """How likely sizes are as far from the law as these, were it true: small where no such law fits. None where no size
    has two runs that differ."""
    off: tuple[float, float]
    """Where the fit is doubted, by how much held-out sizes lie below it and above it, in logarithms for each unit of
    the logarithm of the size beyond the largest that is kept."""
    smallest: tuple[float, ...]
    largest: tuple[float, ...]
    most: float
    """What no loss can be above: 1 for an error rate."""
    _means: Means = field(repr=False)
    _bound: Fit = field(repr=False)
    """Of `form.log_loss`."""
    _free: Fit = field(repr=False)
    """Of `form.free`."""

    def loss(self, *size: float) -> float:
        """What the law says of a size; raises `NasError` for sizes that are no positive numbers, or too few or many."""
        return _exp(float(self.form.log_loss(self.theta[None], self._at(size))[0, 0]) + self._means.level)

    def forecast(self, *size: float, confidence: float = 0.9, seeds: int | None = None) -> Forecast:
        """Say what to expect of a size, with its interval.

        Args:
            size: what the law is in.
            confidence: of the interval.
            seeds: the mean of so many runs of one further network, whose own noise and scatter widen the interval;
                None: the law's value.

        Raises:
            NasError: sizes that are no positive numbers, or not as many as the law has; a confidence outside 0 to 1;
                fewer than one run.
        """
        if seeds is not None and not (_is(Integral, seeds) and seeds >= 1):
            raise NasError(
                f"seeds, the runs whose mean is forecast, must be a whole number from 1 on, but got {seeds!r}"
            )
        x, level = self._at(size), self._means.level
        found = self._ends(self._free, lambda theta: self.form.free(theta, x)[:, 0], confidence)
        low, high = (_log(end) + level for end in found[1:])
        # Where no E below 0 is believed but the data ask for one, the nearest end of the interval is the best guess.
        centre = min(max(float(self.form.log_loss(self.theta[None], x)[0, 0]) + level, low), high)
        own = 0.0 if seeds is None else self._own(seeds, confidence)
        below, above = self._beyond(size)
        straight = self._straight(x) if self.doubted and self.form.axes == 1 else centre
        low = min(centre - hypot(max(centre - low, below), own), straight)
        high = max(centre + hypot(max(high - centre, above), own), straight)
        loss, low, high = (min(_exp(end), self.most) for end in (centre, low, high))
        return Forecast(loss, low, high, confidence)

    def constants(self, confidence: float = 0.9) -> dict[str, Forecast]:
        """The constants in the unit that the observations have, each with its interval."""
        return {name: self._constant(i, confidence) for i, name in enumerate(self.form.constants)}

    def interval(self, functional: Functional, confidence: float = 0.9) -> tuple[float, float, float]:
        """What the free form says of a value that hangs on its constants, with its interval."""
        return self._ends(self._free, functional, confidence)

    def _constant(self, place: int, confidence: float) -> Forecast:
        unit = np.log(self.unit)
        value, low, high = self._ends(self._bound, lambda theta: self.form.log_plain(theta, unit)[:, place], confidence)
        level = self._means.level if self.form.constants[place] in LOSSES else 0.0
        return Forecast(_exp(value + level), _exp(low + level), _exp(high + level), confidence)

    def _at(self, size: tuple[float, ...]) -> Array:
        """`(axes, 1)` logarithms of a size relative to the unit."""
        if len(size) != self.form.axes:
            raise NasError(f"{self.form.formula} is in {self.form.axes} sizes, but got {len(size)}: {size!r:.80}")
        for one in size:
            if not (_is(Real, one) and isfinite(one) and one > 0):
                raise NasError(f"a size must be a number > 0, but got {one!r:.80}")
        return self._means.relative([size])

    def _ends(self, fit: Fit, functional: Functional, confidence: float) -> tuple[float, float, float]:
        """A value with the ends of its interval: Student's for the scatter, and where leaving sizes out moves it."""
        if not (_is(Real, confidence) and 0 < confidence < 1):
            raise NasError(
                f"the confidence of an interval must be a number between 0 and 1, but got {confidence!r:.80}"
            )
        lean = leaning(fit, functional, self._left_out)
        upper = (1 + confidence) / 2
        of_scatter = float(t.ppf(upper, self.freedom)) * fit.scatter
        unit = _INFLUENCE * float(norm.ppf(upper)) / max(lean.error, 1e-9)
        low, high = (hypot(of_scatter, unit * moved) for moved in lean.moved)
        return (lean.value, *profile(fit, functional, lean, (low, high)))

    @property
    def doubted(self) -> bool:
        """Whether the test of fit says that sizes are further from the law than their runs explain."""
        return self.lack_of_fit is not None and self.lack_of_fit < DOUBTED

    @property
    def _left_out(self) -> list[list[int]]:
        """Sizes that a value is tried without: those that are off trend most often, the smallest and the two smallest.

        None where the scatter around the law shows what is off: where the fit is doubted, and among the many cells of a
        law in two sizes.
        """
        return [] if self.doubted or self.form.axes > 1 else [[0], [0, 1]]

    def _straight(self, x: Array) -> float:
        """What the line through the largest sizes says: the law since a bend that no law of this form may have."""
        means = self._means
        line = np.polyfit(means.x.sum(axis=0)[-_LAST:], means.y[-_LAST:], 1)
        return float(np.polyval(line, x.sum()))

    def _beyond(self, size: tuple[float, ...]) -> tuple[float, float]:
        """How far below and above a law that the test of fit doubts a size may be, as held-out ones are."""
        further = max(0.0, float(np.sum(np.log(size)) - np.sum(np.log(self._means.sizes[-1]))))
        return self.off[0] * further, self.off[1] * further

    def _own(self, seeds: int, confidence: float) -> float:
        """Half the interval of the mean of so many runs of a further network around the law."""
        upper = (1 + confidence) / 2
        of_size = float(t.ppf(upper, self.freedom)) * self.scatter
        return hypot(of_size, float(t.ppf(upper, self._means.repeated or self.freedom)) * self.noise / sqrt(seeds))


def why_not_shown(without: Law) -> str:
    """Say where runs do not show that the loss falls with the size, by the law without an asymptote; or nothing."""
    exponent = without.constants()["a"]
    if exponent.low > exponent.loss / ANY:
        return ""
    return (
        f"the runs do not show that the loss falls with the size: the {exponent.confidence:.0%} interval of a in "
        f"{without.form.formula} reaches 0"
    )


def _is(kind: type, value: object) -> bool:
    """Whether a value is a number of a kind; True and False are none."""
    return isinstance(value, kind) and not isinstance(value, bool)


def _exp(value: float) -> float:
    """The exponential, inf where that is too large: an interval may have no end."""
    with np.errstate(over="ignore"):
        return float(np.exp(value))


def _log(value: float) -> float:
    """The logarithm; of a loss that is 0 or below, as the free form may have it, that of next to nothing."""
    return log(max(value, _NOTHING))


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


def fit_law(
    observations: Sequence[Observation],
    form: Form = ASYMPTOTE,
    *,
    most: float = inf,
    draws: int = DRAWS,
    seed: int = 0,
) -> Law:
    """Fit a law to the means of the sizes, and test it.

    Intervals are profiles of the fit whose noise is the scatter of the sizes around it, with as many degrees of freedom
    as there are sizes beyond the constants: runs of one size share what its rounded channels are off by, so many of
    them are no more sizes (Knapp & Hartung 2003, "Improved tests for a random effects meta-regression").

    Args:
        observations: what was trained; several of one run belong together.
        form: what shape the law has.
        most: what no loss can be above; forecasts end there.
        draws: laws that could have been, by a parametric bootstrap, for who plans with them.
        seed: of the bootstrap.

    Raises:
        NasError: a size or a loss that is not positive; too few sizes, too little span or too few runs, and it then
            says "insufficient"; a loss that does not fall with the size, or sizes that no such law fits.
    """
    law = fit_untested(observations, form, most=most, draws=draws, seed=seed)
    if reason := why_no_law(form, law._means, law._bound, law._free, law.lack_of_fit):
        raise NasError(reason)
    return law


def fit_untested(
    observations: Sequence[Observation],
    form: Form = ASYMPTOTE,
    *,
    most: float = inf,
    draws: int = DRAWS,
    seed: int = 0,
) -> Law:
    """Fit a law as `fit_law` does, to be shown beside another: it may fit badly.

    Raises:
        NasError: as `fit_law`, but for a law that does not fit.
    """
    for one in observations:
        if not all(isfinite(value) and value > 0 for value in (*one.size, one.loss)):
            raise NasError(f"a scaling law needs sizes and losses > 0, but got {one}")
    if reason := why_insufficient(observations, form):
        raise NasError(f"insufficient: {reason}")
    means = means_of(observations)
    free, scatter = free_fit(means, form)
    bound = fit_means(means, form, free.weights)
    likely, ends = lack_of_fit(bound, means), np.array(means.sizes)
    return Law(
        form,
        means.unit,
        bound.theta,
        _drawn(bound, draws, seed),
        means.noise or bound.scatter,
        scatter if means.noise else 0.0,
        bound.freedom,
        likely,
        off_trend(means, form) if likely is not None and likely < DOUBTED else (0.0, 0.0),
        tuple(ends.min(axis=0)),
        tuple(ends.max(axis=0)),
        most,
        means,
        bound,
        free,
    )


def _drawn(bound: Fit, draws: int, seed: int) -> Array:
    """`(draws, constants)` of laws fitted to what could have been measured, were this law true."""
    said = bound.predict(bound.theta[None])
    noise = bound.scatter / np.sqrt(bound.weights) * np.random.default_rng(seed).normal(size=(draws, len(bound.y)))
    return fit_many(bound.predict, said + noise, bound.weights, bound.theta[None]).theta
