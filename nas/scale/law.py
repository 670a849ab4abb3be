"""Scaling laws: loss as a function of size, fitted to trained networks, and forecasts with an interval."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import hypot, inf, isfinite, log, sqrt

import numpy as np
from scipy.stats import f, norm, t

from nas.errors import NasError
from nas.scale.fitting import fit_many
from nas.scale.forms import ASYMPTOTE, Array, Form
from nas.scale.means import Means, Observation, means_of
from nas.scale.profile import Fit, Functional, fitted, leaning, profile

SPAN = 8.0
"""A law needs sizes whose largest is this many times the smallest: over less, many laws look alike."""
_MISS = 0.05
"""Sizes that are solved for may miss by so much, so 8 times as asked for is enough."""
DRAWS = 20
_INFLUENCE = 0.5
"""How much of what one size moves a forecast by widens its interval, for each standard deviation of the normal."""
DOUBTED = 0.05
"""Probability of so bad a fit below which an interval is widened by the error on held-out sizes."""
REFUSED = 0.01
"""The same below which a law is refused, where it misses the sizes by more than `_SCATTER`."""
_NOTHING = 1e-12
"""Share of the mean loss below which none is left."""
_FAINT = 60.0
"""A loss that is so many powers of e below 1 counts as no less: where a fit goes below 0, it must come back."""
_LEVEL = 1e-9
"""An exponent so small is none."""
_SCATTER = 0.05
"""Rounding of channels and such scatters sizes around a law by a few percent; more is another law."""
_LAST = 3
"""Largest sizes whose line is as good a guess as a law that does not fit."""
LEFT_OUT = 2
"""Largest sizes, and smallest, that a law is tried without."""


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
    off: float
    """Where the fit is doubted, by how much it misses held-out sizes, in logarithms for each unit of the logarithm of
    the size beyond the largest that is kept."""
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
        """What the law says of a size."""
        return _exp(float(self.form.log_loss(self.theta[None], self._means.relative([size]))[0, 0]))

    def forecast(self, *size: float, confidence: float = 0.9, seeds: int | None = None) -> Forecast:
        """Say what to expect of a size, with its interval.

        Args:
            size: what the law is in.
            confidence: of the interval.
            seeds: the mean of so many runs of one further network, whose own noise and scatter widen the interval;
                None: the law's value.
        """
        x, scale = self._means.relative([size]), float(np.exp(self._means.y.mean()))
        found = self._ends(self._free, lambda theta: self.form.free(theta, x)[:, 0] / scale, confidence)
        low, high = (_log(end) + log(scale) for end in found[1:])
        # Where no E below 0 is believed but the data ask for one, the nearest end of the interval is the best guess.
        centre = min(max(float(self.form.log_loss(self.theta[None], x)[0, 0]), low), high)
        own = 0.0 if seeds is None else self._own(seeds, confidence)
        beyond, straight = self._beyond(size), self._straight(x) if self.doubted and self.form.axes == 1 else centre
        low = min(centre - hypot(max(centre - low, beyond), own), straight)
        high = max(centre + hypot(max(high - centre, beyond), own), straight)
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
        return Forecast(_exp(value), _exp(low), _exp(high), confidence)

    def _ends(self, fit: Fit, functional: Functional, confidence: float) -> tuple[float, float, float]:
        """A value with the ends of its interval: Student's for the scatter, and what leaving sizes out moves it by."""
        lean = leaning(fit, functional, _left_out(self._means, len(fit.theta)))
        upper = (1 + confidence) / 2
        moved = _INFLUENCE * float(norm.ppf(upper)) * lean.moved / max(lean.error, 1e-9)
        reach = hypot(float(t.ppf(upper, self.freedom)) * fit.scatter, moved)
        return (lean.value, *profile(fit, functional, lean, reach))

    @property
    def doubted(self) -> bool:
        """Whether the test of fit says that sizes are further from the law than their runs explain."""
        return self.lack_of_fit is not None and self.lack_of_fit < DOUBTED

    def _straight(self, x: Array) -> float:
        """What the line through the largest sizes says: the law since a bend that no law of this form may have."""
        means = self._means
        line = np.polyfit(means.x.sum(axis=0)[-_LAST:], means.y[-_LAST:], 1)
        return float(np.polyval(line, x.sum()))

    def _beyond(self, size: tuple[float, ...]) -> float:
        """What a law that the test of fit doubts may miss a size by, from what it misses held-out ones by."""
        return self.off * max(0.0, float(np.sum(np.log(size)) - np.sum(np.log(self._means.sizes[-1]))))

    def _own(self, seeds: int, confidence: float) -> float:
        """Half the interval of the mean of so many runs of a further network around the law."""
        upper = (1 + confidence) / 2
        of_size = float(t.ppf(upper, self.freedom)) * self.scatter
        return hypot(of_size, float(t.ppf(upper, self._means.repeated or self.freedom)) * self.noise / sqrt(seeds))


def _exp(value: float) -> float:
    """The exponential, inf where that is too large: an interval may have no end."""
    with np.errstate(over="ignore"):
        return float(np.exp(value))


def _log(value: float) -> float:
    """The logarithm; of a loss that is 0 or below, as the free form may have it, that of next to nothing."""
    return log(max(value, _NOTHING))


def stretch(tail: float, freedom: int) -> float:
    """How much further out a quantile of Student's distribution is than of the normal one."""
    return float(t.ppf(tail, freedom) / norm.ppf(tail))


def _left_out(means: Means, constants: int) -> list[list[int]]:
    """Sizes that a forecast is tried without: each alone, and the two smallest, which are off trend most often.

    None of a law in two sizes: its many cells show what is off in their scatter.
    """
    if len(means.unit) > 1:
        return []
    count = len(means.y)
    alone = [[i] for i in range(count)]
    return [*alone, [0, 1]] if count - LEFT_OUT > constants else alone


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
    if reason := why_no_law(law):
        raise NasError(reason)
    return law


def why_no_law(law: Law) -> str:
    """Say why sizes do not follow the law that was fitted to them, or nothing."""
    means, bound = law._means, law._bound
    if len(means.unit) == 1 and np.polyfit(means.x[0], means.y, 1, w=np.sqrt(means.counts))[0] >= -_LEVEL:
        return "the loss does not fall as the size grows"
    if law.lack_of_fit is not None and law.lack_of_fit < REFUSED and bound.scatter > _SCATTER:
        return (
            f"{law.form.formula} does not fit: it misses the sizes by {bound.scatter:.1%}, and their runs differ too "
            f"little to explain that (p = {law.lack_of_fit:.2g})"
        )
    return ""


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
    free, scatter = _free_fit(means, form)
    bound = fit_means(means, form, free.weights)
    likely, ends = _lack_of_fit(bound, means), np.array(means.sizes)
    return Law(
        form,
        means.unit,
        bound.theta,
        _drawn(bound, draws, seed),
        means.noise or bound.scatter,
        scatter if means.noise else 0.0,
        bound.freedom,
        likely,
        _off(means, form) if likely is not None and likely < DOUBTED else 0.0,
        tuple(ends.min(axis=0)),
        tuple(ends.max(axis=0)),
        most,
        means,
        bound,
        free,
    )


def fit_means(means: Means, form: Form, weights: Array | None = None) -> Fit:
    """Fit a law's constants to the means of some sizes, equal weights where none are given."""
    return _fit(means, form.log_loss, form.starts, np.ones(len(means.y)) if weights is None else weights)


def _fit(
    means: Means, log_loss: Callable[[Array, Array], Array], starts: Callable[[Array, Array], Array], weights: Array
) -> Fit:
    x, from_there = means.x, starts(means.x, means.y)
    return fitted(lambda theta: log_loss(theta, x), means.y, weights, from_there, means.freedom(from_there.shape[1]))


def _free_fit(means: Means, form: Form) -> tuple[Fit, float]:
    """The fit without bounds, and how far sizes scatter beyond what their runs explain.

    A size's mean is off by its own scatter and by the noise of its runs. The scatter follows from what an unweighted
    fit leaves (the moment estimate of Hedges & Olkin 1985, "Statistical methods for meta-analysis", section 9.3), and
    the weights, 1 on average, from both.
    """
    equal = _fit(means, _log_free(form), form.free_starts, np.ones(len(means.y)))
    of_runs = means.noise**2 / means.counts
    scatter = sqrt(max(0.0, equal.scatter**2 - float(of_runs.mean())))
    if means.noise == 0 or np.ptp(means.counts) == 0:
        return equal, scatter
    precision = 1 / (scatter**2 + of_runs)
    return _fit(means, _log_free(form), form.free_starts, precision / float(precision.mean())), scatter


def _log_free(form: Form) -> Callable[[Array, Array], Array]:
    def log_loss(theta: Array, x: Array) -> Array:
        found: Array = np.log(np.maximum(form.free(theta, x), np.exp(-_FAINT)))
        return found

    return log_loss


def _lack_of_fit(bound: Fit, means: Means) -> float | None:
    """The F test of lack of fit (Draper & Smith 1998, "Applied regression analysis", section 2.1), in logarithms."""
    spare = len(means.y) - len(bound.theta)
    if spare < 1 or means.squares == 0:
        return None
    missed = float((means.counts * bound.residual**2).sum())
    return float(f.sf((missed / spare) / means.noise**2, spare, means.repeated))


def without_largest(means: Means, form: Form, count: int) -> Array | None:
    """`(count,)`: what a law fitted to the others misses the largest sizes by, in logarithms; None for too few."""
    kept = means.keep(len(means.y) - count)
    few = len(kept.y) < form.sizes_needed or kept.runs <= len(form.constants)
    if few or not all(spans(min(axis), max(axis)) for axis in zip(*kept.sizes, strict=True)):
        return None
    theta = fit_means(kept, form).theta
    found: Array = means.y[-count:] - form.log_loss(theta[None], means.x)[0, -count:]
    return found


def _off(means: Means, form: Form) -> float:
    """The error on held-out sizes for each unit of the logarithm of the size, the largest there is."""
    volumes, most = means.x.sum(axis=0), 0.0
    for count in range(1, LEFT_OUT + 1):
        errors = without_largest(means, form, count)
        if errors is not None:
            beyond = volumes[-count:] - volumes[-count - 1]
            most = max(most, float((np.abs(errors) / np.maximum(beyond, 1e-9)).max()))
    return most


def _drawn(bound: Fit, draws: int, seed: int) -> Array:
    """`(draws, constants)` of laws fitted to what could have been measured, were this law true."""
    said = bound.predict(bound.theta[None])
    noise = bound.scatter / np.sqrt(bound.weights) * np.random.default_rng(seed).normal(size=(draws, len(bound.y)))
    return fit_many(bound.predict, said + noise, bound.weights, bound.theta[None]).theta
