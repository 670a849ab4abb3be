"""Successive halving: every candidate gets a small budget, and the better ones get more."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from nas.pareto import farthest_first_order, non_dominated_sort

Values = tuple[float, ...]
"""Objectives of a trial; larger is better."""


@dataclass
class _Rung:
    """One budget of one bracket."""

    ended: dict[int, Values] = field(default_factory=dict)
    """Trials that have had this budget, by number."""
    promoted: set[int] = field(default_factory=set)
    """Those of them that get, or have had, the next one."""


class Halving:
    """Decides which trial gets more budget.

    Asynchronous (Li et al. 2020, "A system for massively parallel hyperparameter tuning", algorithm 2): a trial is
    promoted as soon as it is among the best `1 / eta` of those that have ended its rung; unlike there no
    more than that share is promoted in all, so that early luck does not cost more epochs. Synchronous (Jamieson &
    Talwalkar 2016): a rung is decided when all of its trials have ended. With several brackets (Hyperband, Li et al.
    2018) some trials begin on a higher rung, so that what is slow at first has its chance too.

    With several objectives the trials of a rung are ordered by non-dominated sorting, and those of one front so that
    each is as unlike those before it as can be (Schmucker et al. 2021, "Multi-objective asynchronous successive
    halving").
    """

    def __init__(
        self, costs: Sequence[float], eta: int, *, total: int, brackets: int = 1, synchronous: bool = False
    ) -> None:
        """Take the budgets.

        Args:
            costs: what a trial has cost when it has ended each rung, rising.
            eta: one in so many is promoted.
            total: trials that will begin.
            brackets: kinds of trials: those of bracket b begin on rung b.
            synchronous: see above.
        """
        self._costs, self._eta, self._total, self._synchronous = tuple(costs), eta, total, synchronous
        self._rungs = [[_Rung() for _ in costs] for _ in range(brackets)]
        self._bracket: dict[int, int] = {}
        self._running: dict[int, int] = {}
        """The rung that a trial is on its way to the end of."""
        self._gone: set[int] = set()
        """Trials that were given up."""

    @property
    def last(self) -> int:
        """The rung after which a trial is complete."""
        return len(self._costs) - 1

    def begin(self, number: int) -> int:
        """Place a new trial; return the rung that it begins on.

        Each rung of a bracket costs about what its first one does, so trials are shared out inversely to that: all
        brackets cost about the same.
        """
        begun = Counter(self._bracket.values())
        shares = [1 / ((len(self._costs) - b) * self._costs[b]) for b in range(len(self._rungs))]
        wanted = [share / sum(shares) * (len(self._bracket) + 1) - begun[b] for b, share in enumerate(shares)]
        bracket = wanted.index(max(wanted))
        self._place(number, bracket)
        return bracket

    def _place(self, number: int, bracket: int) -> None:
        self._bracket[number] = self._running[number] = bracket

    def ended(self, number: int, values: Values) -> bool:
        """Hear that a trial has had the budget of its rung; return whether it is complete."""
        rung = self._running.pop(number)
        self._rungs[self._bracket[number]][rung].ended[number] = values
        return rung == self.last

    def dropped(self, number: int) -> None:
        """Hear that a trial has failed on the way to the end of a rung: another is promoted in its place."""
        bracket, rung = self._bracket[number], self._running.pop(number)
        if rung > bracket:
            below = self._rungs[bracket][rung - 1]
            below.promoted.discard(number)
            below.ended.pop(number)

    @property
    def closed(self) -> bool:
        """Whether no other trial will begin."""
        return len(self._bracket) >= self._total

    def close(self) -> None:
        """No other trial will begin."""
        self._total = len(self._bracket)

    def restore(
        self, number: int, bracket: int, rungs: Sequence[tuple[int, Values]], *, alive: bool, failed: bool = False
    ) -> None:
        """Take a trial of an earlier session with the rungs that it has ended; only if `alive` can it be promoted."""
        self._place(number, bracket)
        self._running.pop(number)
        for rung, values in rungs:
            if rung > bracket:
                self._rungs[bracket][rung - 1].promoted.add(number)
            self._running[number] = rung
            self.ended(number, values)
        if failed and rungs:
            self._running[number] = rungs[-1][0] + 1
            self.dropped(number)
        elif not alive:
            self._gone.add(number)

    def next(self) -> tuple[int, int] | None:
        """Return a trial to promote and the rung that it now gets; None where there is none yet."""
        for rung in range(self.last - 1, -1, -1):
            for bracket, rungs in enumerate(self._rungs):
                found = self._best(bracket, rung)
                if found is not None:
                    rungs[rung].promoted.add(found)
                    self._running[found] = rung + 1
                    return found, rung + 1
        return None

    def _best(self, bracket: int, rung: int) -> int | None:
        """Return the trial of a rung that is to be promoted next."""
        here = self._rungs[bracket][rung]
        closed = self._closed(bracket, rung)
        if self._synchronous and not closed:
            return None
        allowed = len(here.ended) // self._eta
        # However few there are, one goes all the way.
        if closed and here.ended:
            allowed = max(1, allowed)
        if len(here.promoted) >= allowed:
            return None
        order = _order(here.ended, here.promoted)
        return next((number for number in order[:allowed] if number not in here.promoted | self._gone), None)

    def _closed(self, bracket: int, rung: int) -> bool:
        """Whether no other trial will end a rung."""
        if not self.closed:
            return False
        if any(at <= rung for number, at in self._running.items() if self._bracket[number] == bracket):
            return False
        return all(self._best(bracket, lower) is None for lower in range(rung))


def _order(ended: dict[int, Values], promoted: set[int]) -> list[int]:
    """Return trials, best first; those of one front by how unlike they are to each other and to those promoted."""
    numbers = sorted(ended)
    values = np.array([ended[number] for number in numbers])
    if values.shape[1] == 1:
        return [numbers[place] for place in np.argsort(-values[:, 0], kind="stable")]
    found: list[int] = []
    for places in non_dominated_sort(values):
        taken = [here for here, place in enumerate(places) if numbers[place] in promoted]
        found += [numbers[places[here]] for here in farthest_first_order(values[places], taken)]
    return found


def rungs_of(most: int, least: int, eta: int) -> tuple[int, ...]:
    """Return epochs for the rungs: `most`, a share `1 / eta` of it, and so on down to `least`."""
    found = [most]
    share = most / eta
    while share >= least:
        found.append(round(share))
        share /= eta
    return tuple(sorted({max(1, one) for one in found}))
