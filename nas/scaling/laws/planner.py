"""Plans of training runs: the sizes and seeds that narrow a forecast most for their cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from math import isfinite

import numpy as np
from scipy.stats import t

from nas.errors import NasError
from nas.scaling.laws.form_fits import MIN_SPAN, wide_enough
from nas.scaling.laws.forms import ASYMPTOTE, Array, Form
from nas.scaling.laws.law import fit_law, fit_untested, why_insufficient
from nas.scaling.laws.observations import Observation

_STEP = 1e-4
_LEAST_NOISE = 1e-6
"""Standard deviation, in logarithms, below which losses count as exact."""
_PRIOR = 1e-3
"""Information, in runs, on every constant before any run: it keeps the designs of the first runs comparable."""
_FIRST_LAWS = ((0.2, 0.3), (0.2, 0.7), (0.6, 0.3), (0.6, 0.7))
"""The laws that a first plan is made for: share of the irreducible loss at the smallest size, and exponent."""
_NOISE, _SCATTER = 0.02, 0.005
"""Standard deviations of runs, and of sizes beyond that, in a first plan."""


@dataclass(frozen=True)
class Plan:
    """Training runs to do next."""

    runs: tuple[float, ...]
    """The size of each, the one that narrows most for its cost first."""
    cost: float
    """Their cost together, in the unit of the budget."""
    width: float
    """Expected width of the 90 % interval at the target after them, as a share of the loss."""
    width_now: float | None
    """The width before them; None where nothing was observed yet."""

    @property
    def counts(self) -> Mapping[float, int]:
        """Number of runs of each size."""
        return {size: self.runs.count(size) for size in sorted(set(self.runs))}


def plan(
    costs: Mapping[float, float],
    target: float,
    budget: float,
    observations: Sequence[Observation] = (),
    *,
    form: Form = ASYMPTOTE,
    until: float = 0.0,
) -> Plan:
    """Choose the runs that are expected to narrow the forecast at the target most.

    The variance of a forecast follows from the slopes of the law at the sizes that are trained (the delta method); it
    is averaged over laws that the observations leave possible, or before there are any over typical ones. Runs are
    added greedily, each the one that narrows most for its cost, then exchanged while that helps (a c-optimal design
    under costs: Elfving 1952; Fedorov 1972). First come the sizes without which no law can be fitted.

    Args:
        costs: cost of a run by its size.
        target: the size whose loss is forecast.
        budget: the most that the runs may cost together.
        observations: of runs that are done.
        form: of the law.
        until: width of the interval, as a share of the loss, at which no run is added.

    Raises:
        NasError: a budget that does not hold the runs that a law needs, sizes or costs that are not positive, or sizes
            that are too few or span too little for a law.
    """
    _check(costs, target, budget)
    design = _Design(costs, target, observations, form)
    required = _required_sizes(design.sizes, observations, form)
    counts = np.bincount(required, minlength=len(design.sizes)).astype(float)
    order: list[int] = []
    remaining = budget - sum(design.costs[i] for i in required)
    if remaining < 0:
        raise NasError(f"the budget of {budget:g} does not hold what a law needs: {budget - remaining:g}")
    while design.width(counts) > until:
        affordable = [i for i in range(len(counts)) if design.costs[i] <= remaining]
        gains = [(design.gain(counts, i) / design.costs[i], i) for i in affordable]
        if not gains:
            break
        _, best = max(gains)
        counts[best] += 1
        order.append(best)
        remaining -= design.costs[best]
    if not required and not order and design.width(counts) > until:
        cheapest = min(costs.values())
        raise NasError(f"the budget of {budget:g} is less than the cheapest run costs: {cheapest:g}")
    runs = tuple(design.sizes[i] for i in [*required, *_exchanged(design, required, order, budget, until)])
    cost = sum(costs[size] for size in runs)
    final = np.array([runs.count(size) for size in design.sizes], dtype=float)
    return Plan(runs, cost, design.width(final), design.width(0 * final) if observations else None)


def _check(costs: Mapping[float, float], target: float, budget: float) -> None:
    for size, cost in costs.items():
        if not (isfinite(size) and size > 0 and isfinite(cost) and cost > 0):
            raise NasError(f"sizes and costs must be > 0, but got a run of size {size} for {cost}")
    for name, value in (("target", target), ("budget", budget)):
        if not (isfinite(value) and value > 0):
            raise NasError(f"the {name} must be > 0, but got {value}")


class _Design:
    """A design of runs, which says how wide the interval of the forecast is after any runs."""

    def __init__(
        self, costs: Mapping[float, float], target: float, observations: Sequence[Observation], form: Form
    ) -> None:
        self.sizes = sorted(costs)
        self.costs = [costs[size] for size in self.sizes]
        observed = [observation.size[0] for observation in observations]
        all_sizes = [*self.sizes, *sorted({*observed} - {*self.sizes})]
        self._done = np.array([observed.count(size) for size in all_sizes], dtype=float)
        self._form, self._target = form, target
        self._stretch = 1.0
        laws, unit, (self._noise, self._scatter), width = self._laws(observations)
        self._rows = _slopes(form, laws, np.log(np.array([all_sizes], dtype=float) / unit))
        self._goal = _slopes(form, laws, np.log(np.array([[target]]) / unit))[:, 0]
        self._prior = _PRIOR / self._noise**2 * np.eye(laws.shape[1])
        if width is not None and isfinite(width):
            # Slopes say how a width changes; the law's own interval says better how wide it is now.
            self._stretch = width / self.width(np.zeros(len(self.sizes)))

    def _laws(self, observations: Sequence[Observation]) -> tuple[Array, float, tuple[float, float], float | None]:
        """Return parameters of possible laws, the unit of size, the noise of runs and of sizes, and the width now."""
        if observations and not why_insufficient(observations, self._form):
            no_repeats = len({each.size for each in observations}) == len({each.run for each in observations})
            # Where no size has two runs, more of them will tell whether the law is wrong or the runs are noisy.
            law = (fit_untested if no_repeats else fit_law)(observations, self._form)
            width = law.forecast(self._target).width
            laws = np.concatenate([law.theta[None], law.draws])
            return laws, law.unit[0], (max(law.noise, _LEAST_NOISE), law.scatter), width
        unit = self.sizes[0]
        starts = [[np.log(share), np.log(1 - share), np.log(a)] for share, a in _FIRST_LAWS]
        return np.array(starts), unit, (_NOISE, _SCATTER), None

    def width(self, counts: Array) -> float:
        """Return the expected width of the interval after some further runs, as a share of the loss.

        The precision of a size is limited by its scatter and by the noise of its runs, and there are as many degrees of
        freedom as sizes beyond the constants: a further size is worth more than a further run of a size.

        Args:
            counts: `(sizes,)`, number of further runs of each.
        """
        runs = self._done.copy()
        runs[: len(counts)] += counts
        precision = runs / (self._scatter**2 * runs + self._noise**2)
        info = self._prior + np.einsum("n,kni,knj->kij", precision, self._rows, self._rows)
        variance = np.einsum("ki,kij,kj->k", self._goal, np.linalg.inv(info), self._goal)
        freedom = max(1, int((runs > 0).sum()) - len(self._form.constants))
        return float(2 * _student(freedom) * self._stretch * np.exp(np.mean(np.log(variance)) / 2))

    def gain(self, counts: Array, index: int) -> float:
        """Return by how much a further run of a size narrows the interval, in logarithms of its width."""
        more = counts.copy()
        more[index] += 1
        return float(np.log(self.width(counts)) - np.log(self.width(more)))


@cache
def _student(freedom: int) -> float:
    return float(t.ppf(0.95, freedom))


def _slopes(form: Form, laws: Array, x: Array) -> Array:
    """Return the derivatives of the logarithm of the loss at each size by each parameter, `(K, n, constants)`."""
    columns = []
    for i in range(laws.shape[1]):
        up, down = laws.copy(), laws.copy()
        up[:, i] += _STEP
        down[:, i] -= _STEP
        columns.append((form.log_loss(up, x) - form.log_loss(down, x)) / (2 * _STEP))
    return np.stack(columns, axis=-1)


def _required_sizes(sizes: Sequence[float], observations: Sequence[Observation], form: Form) -> list[int]:
    """Return the indices of the cheapest sizes that a law needs beyond the observed ones, for its number and its span.

    Raises:
        NasError: the sizes to choose from do not span what a law needs.
    """
    observed = {observation.size[0] for observation in observations}
    smallest = min([*observed, sizes[0]])
    far = [i for i, size in enumerate(sizes) if wide_enough(smallest, size)]
    if not far and not wide_enough(smallest, max(observed, default=0)):
        span = sizes[-1] / smallest
        raise NasError(f"the sizes to choose from span {span:.3g} times, but a law needs {MIN_SPAN:g} times")
    required = [] if any(wide_enough(smallest, size) for size in observed) else far[:1]
    missing = form.sizes_needed - len(observed) - len(required)
    others = [i for i, size in enumerate(sizes) if size not in observed and i not in required]
    if missing > len(others):
        number = len(observed) + len(required) + len(others)
        raise NasError(f"a law needs {form.sizes_needed} sizes, but there are {number}")
    return sorted([*required, *others[: max(0, missing)]])


def _exchanged(design: _Design, required: list[int], order: list[int], budget: float, until: float) -> list[int]:
    """Replace or drop runs while that makes the interval narrower or, once it is narrow enough, the plan cheaper."""
    num_sizes = len(design.sizes)

    def measure(runs: list[int]) -> tuple[float, float]:
        counts = np.array([runs.count(i) + required.count(i) for i in range(num_sizes)], dtype=float)
        return design.width(counts), sum(design.costs[i] for i in [*runs, *required])

    width, cost = measure(order)
    improved = True
    while improved:
        improved = False
        for position in range(len(order)):
            for other in [None, *range(num_sizes)]:
                changed = [*order[:position], *([other] if other is not None else []), *order[position + 1 :]]
                if changed == order or not (changed or required):
                    continue
                new_width, new_cost = measure(changed)
                narrower = new_width < width * (1 - 1e-9) and new_cost <= budget
                cheaper = new_width <= until and new_cost < cost * (1 - 1e-9)
                if cheaper or (narrower and width > until):
                    order, width, cost, improved = changed, new_width, new_cost, True
                    break
            if improved:
                break
    return order
