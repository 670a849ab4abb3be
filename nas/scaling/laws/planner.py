"""What to train next: the sizes and seeds that narrow a forecast most for what they cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from math import isfinite

import numpy as np
from scipy.stats import t

from nas.errors import NasError
from nas.scaling.laws.form_fits import SPAN, spans
from nas.scaling.laws.forms import ASYMPTOTE, Array, Form
from nas.scaling.laws.law import fit_law, fit_untested, why_insufficient
from nas.scaling.laws.observations import Observation

_STEP = 1e-4
_LEAST_NOISE = 1e-6
"""Standard deviation, in logarithms, below which losses count as exact."""
_PRIOR = 1e-3
"""Information, in runs, that every constant has before anything is trained: it keeps the first runs comparable."""
_GUESSES = ((0.2, 0.3), (0.2, 0.7), (0.6, 0.3), (0.6, 0.7))
"""Share of the irreducible loss at the smallest size, and exponent, of the laws that a first plan is made for."""
_NOISE, _SCATTER = 0.02, 0.005
"""Of runs, and of sizes beyond that, in a first plan."""


@dataclass(frozen=True)
class Plan:
    """Runs to do next."""

    runs: tuple[float, ...]
    """The size of each, in the order in which they pay."""
    cost: float
    """What they cost together, in the unit of the budget."""
    width: float
    """Of the 90 % interval at the target that is expected after them, as a share of the loss."""
    width_now: float | None
    """The same before them; None where nothing is known yet."""

    @property
    def counts(self) -> Mapping[float, int]:
        """Seeds of each size."""
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
    added one by one, each the one that narrows most for its cost, then exchanged while that helps (a c-optimal design
    under costs: Elfving 1952; Fedorov 1972). First come the sizes without which there is no law at all.

    Args:
        costs: what a run of each size costs.
        target: the size that is to be forecast.
        budget: what may be spent.
        observations: what is known already.
        form: the law's.
        until: width of the interval at which it is narrow enough.

    Raises:
        NasError: a budget that no run fits in, or sizes or costs that are not positive.
    """
    _check(costs, target, budget)
    design = _Design(costs, target, observations, form)
    needed = _needed(design.sizes, observations, form)
    counts = np.bincount(needed, minlength=len(design.sizes)).astype(float)
    order: list[int] = []
    left = budget - sum(design.costs[i] for i in needed)
    if left < 0:
        raise NasError(f"the budget of {budget:g} does not hold what a law needs: {budget - left:g}")
    while design.width(counts) > until:
        gains = [(design.gain(counts, i) / design.costs[i], i) for i in range(len(counts)) if design.costs[i] <= left]
        if not gains:
            break
        _, best = max(gains)
        counts[best] += 1
        order.append(best)
        left -= design.costs[best]
    if not needed and not order and design.width(counts) > until:
        cheapest = min(costs.values())
        raise NasError(f"the budget of {budget:g} is less than the cheapest run costs: {cheapest:g}")
    runs = tuple(design.sizes[i] for i in [*needed, *_exchanged(design, needed, order, budget, until)])
    spent = sum(costs[size] for size in runs)
    final = np.array([runs.count(size) for size in design.sizes], dtype=float)
    return Plan(runs, spent, design.width(final), design.width(0 * final) if observations else None)


def _check(costs: Mapping[float, float], target: float, budget: float) -> None:
    for size, cost in costs.items():
        if not (isfinite(size) and size > 0 and isfinite(cost) and cost > 0):
            raise NasError(f"sizes and costs must be > 0, but got a run of size {size} for {cost}")
    for name, value in (("target", target), ("budget", budget)):
        if not (isfinite(value) and value > 0):
            raise NasError(f"the {name} must be > 0, but got {value}")


class _Design:
    """What each run tells of the forecast."""

    def __init__(
        self, costs: Mapping[float, float], target: float, observations: Sequence[Observation], form: Form
    ) -> None:
        self.sizes = sorted(costs)
        self.costs = [costs[size] for size in self.sizes]
        seen = [one.size[0] for one in observations]
        every = [*self.sizes, *sorted({*seen} - {*self.sizes})]
        self._done = np.array([seen.count(size) for size in every], dtype=float)
        self._form, self._target = form, target
        self._stretch = 1.0
        laws, unit, (self._noise, self._scatter), width = self._laws(observations)
        self._rows = _slopes(form, laws, np.log(np.array([every], dtype=float) / unit))
        self._goal = _slopes(form, laws, np.log(np.array([[target]]) / unit))[:, 0]
        self._prior = _PRIOR / self._noise**2 * np.eye(laws.shape[1])
        if width is not None and isfinite(width):
            # Slopes say how a width changes; how wide it is now the law knows better.
            self._stretch = width / self.width(np.zeros(len(self.sizes)))

    def _laws(self, observations: Sequence[Observation]) -> tuple[Array, float, tuple[float, float], float | None]:
        """Constants of laws that may be true, the unit of their size, the noise of runs and sizes, the width now."""
        if observations and not why_insufficient(observations, self._form):
            alone = len({one.size for one in observations}) == len({one.run for one in observations})
            # Where no size has two runs, more of them will tell whether the law or their noise is what is off.
            law = (fit_untested if alone else fit_law)(observations, self._form)
            width = law.forecast(self._target).width
            laws = np.concatenate([law.theta[None], law.draws])
            return laws, law.unit[0], (max(law.noise, _LEAST_NOISE), law.scatter), width
        unit = self.sizes[0]
        starts = [[np.log(share), np.log(1 - share), np.log(a)] for share, a in _GUESSES]
        return np.array(starts), unit, (_NOISE, _SCATTER), None

    def width(self, counts: Array) -> float:
        """The expected width of the interval, as a share of the loss.

        A size says as much as its scatter and the noise of its runs together let it, and there are as many degrees of
        freedom as sizes beyond the constants: a further size is worth more than a further run of one.
        """
        runs = self._done.copy()
        runs[: len(counts)] += counts
        worth = runs / (self._scatter**2 * runs + self._noise**2)
        info = self._prior + np.einsum("n,kni,knj->kij", worth, self._rows, self._rows)
        variance = np.einsum("ki,kij,kj->k", self._goal, np.linalg.inv(info), self._goal)
        freedom = max(1, int((runs > 0).sum()) - len(self._form.constants))
        return float(2 * _student(freedom) * self._stretch * np.exp(np.mean(np.log(variance)) / 2))

    def gain(self, counts: Array, place: int) -> float:
        """By how much one more run narrows the interval, in logarithms of its width."""
        more = counts.copy()
        more[place] += 1
        return float(np.log(self.width(counts)) - np.log(self.width(more)))


@cache
def _student(freedom: int) -> float:
    return float(t.ppf(0.95, freedom))


def _slopes(form: Form, laws: Array, x: Array) -> Array:
    """`(K, n, constants)`: how the logarithm of the loss at each size changes with each constant."""
    columns = []
    for i in range(laws.shape[1]):
        up, down = laws.copy(), laws.copy()
        up[:, i] += _STEP
        down[:, i] -= _STEP
        columns.append((form.log_loss(up, x) - form.log_loss(down, x)) / (2 * _STEP))
    return np.stack(columns, axis=-1)


def _needed(sizes: Sequence[float], observations: Sequence[Observation], form: Form) -> list[int]:
    """Places of the cheapest sizes that a law needs and that are not known yet: so many, over such a span.

    Raises:
        NasError: the sizes to choose from do not span what a law needs.
    """
    known = {one.size[0] for one in observations}
    least = min([*known, sizes[0]])
    wide = [i for i, size in enumerate(sizes) if spans(least, size)]
    if not wide and not spans(least, max(known, default=0)):
        raise NasError(f"the sizes to choose from span {sizes[-1] / least:.3g} times, but a law needs {SPAN:g} times")
    found = [] if any(spans(least, size) for size in known) else wide[:1]
    missing = form.sizes_needed - len(known) - len(found)
    others = [i for i, size in enumerate(sizes) if size not in known and i not in found]
    if missing > len(others):
        raise NasError(f"a law needs {form.sizes_needed} sizes, but there are {len(known) + len(found) + len(others)}")
    return sorted([*found, *others[: max(0, missing)]])


def _exchanged(design: _Design, needed: list[int], order: list[int], budget: float, until: float) -> list[int]:
    """Replace one run by another, or drop it, while that is narrower or, once it is narrow enough, cheaper."""
    places = len(design.sizes)

    def measure(runs: list[int]) -> tuple[float, float]:
        counts = np.array([runs.count(i) + needed.count(i) for i in range(places)], dtype=float)
        return design.width(counts), sum(design.costs[i] for i in [*runs, *needed])

    width, cost = measure(order)
    improved = True
    while improved:
        improved = False
        for at in range(len(order)):
            for other in [None, *range(places)]:
                tried = [*order[:at], *([other] if other is not None else []), *order[at + 1 :]]
                if tried == order or not (tried or needed):
                    continue
                new_width, new_cost = measure(tried)
                narrower = new_width < width * (1 - 1e-9) and new_cost <= budget
                cheaper = new_width <= until and new_cost < cost * (1 - 1e-9)
                if cheaper or (narrower and width > until):
                    order, width, cost, improved = tried, new_width, new_cost, True
                    break
            if improved:
                break
    return order
