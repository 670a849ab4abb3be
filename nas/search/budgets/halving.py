"""Successive halving: all candidates get a small budget, and the better ones get more."""

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
    """By number, the objectives of trials that have had this budget."""
    promoted: set[int] = field(default_factory=set)
    """Numbers of those of them that get, or have had, the next budget."""


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
        """Start without trials.

        Args:
            costs: what a trial has cost by the end of each rung, rising, in any unit.
            eta: one in so many is promoted.
            total: trials that will begin.
            brackets: kinds of trials: those of bracket b begin on rung b.
            synchronous: whether a rung is decided only when all of its trials have ended.
        """
        self._costs, self._eta, self._total, self._synchronous = tuple(costs), eta, total, synchronous
        self._rungs = [[_Rung() for _ in costs] for _ in range(brackets)]
        self._bracket: dict[int, int] = {}
        self._running: dict[int, int] = {}
        """By number, the rung whose budget a trial has now."""
        self._ended_for_good: set[int] = set()
        """Numbers of trials that cannot be promoted."""

    @property
    def last(self) -> int:
        """The rung after which a trial is complete."""
        return len(self._costs) - 1

    def begin(self, number: int) -> int:
        """Add a new trial to a bracket; return the rung that it begins on.

        Each rung of a bracket costs about what its first one does, so trials are shared out inversely to that: all
        brackets cost about the same.
        """
        begun = Counter(self._bracket.values())
        shares = [1 / ((len(self._costs) - b) * self._costs[b]) for b in range(len(self._rungs))]
        missing = [share / sum(shares) * (len(self._bracket) + 1) - begun[b] for b, share in enumerate(shares)]
        bracket = missing.index(max(missing))
        self._bracket[number] = self._running[number] = bracket
        return bracket

    def ended(self, number: int, values: Values) -> bool:
        """Add the objectives of a trial that has had the budget of its rung; return whether that was the last one."""
        rung = self._running.pop(number)
        self._rungs[self._bracket[number]][rung].ended[number] = values
        return rung == self.last

    def dropped(self, number: int) -> None:
        """Remove a trial that failed on its rung, so that another is promoted in its place."""
        bracket, rung = self._bracket[number], self._running.pop(number)
        if rung > bracket:
            below = self._rungs[bracket][rung - 1]
            below.promoted.discard(number)
            below.ended.pop(number)

    def forget(self, number: int) -> None:
        """Remove a trial that failed from all rungs, so that another may begin in its place."""
        bracket = self._bracket.pop(number, None)
        if bracket is None:  # it failed before it began on any
            return
        for rung in self._rungs[bracket]:
            rung.ended.pop(number, None)
            rung.promoted.discard(number)

    @property
    def closed(self) -> bool:
        """Whether no other trial will begin."""
        return len(self._bracket) >= self._total

    def let_begin(self, total: int) -> None:
        """Let so many trials begin in all."""
        self._total = max(total, len(self._bracket))

    def close(self) -> None:
        """Let no other trial begin."""
        self._total = len(self._bracket)

    def restore(
        self, number: int, bracket: int, rungs: Sequence[tuple[int, Values]], *, alive: bool, failed: bool = False
    ) -> None:
        """Add a trial of an earlier session.

        Args:
            number: of the trial.
            bracket: where it began.
            rungs: those that it has ended, rising, and its objectives there.
            alive: whether it can be promoted.
            failed: whether it failed on the rung after these.
        """
        self._bracket[number] = bracket
        for rung, values in rungs:
            if rung > bracket:
                self._rungs[bracket][rung - 1].promoted.add(number)
            self._running[number] = rung
            self.ended(number, values)
        if failed and rungs:
            self._running[number] = rungs[-1][0] + 1
            self.dropped(number)
        elif not alive:
            self._ended_for_good.add(number)

    def next(self) -> tuple[int, int] | None:
        """Promote a trial: return its number and the rung that it gets; None where none can be promoted yet."""
        for rung in range(self.last - 1, -1, -1):
            for bracket, rungs in enumerate(self._rungs):
                number = self._best(bracket, rung)
                if number is not None:
                    rungs[rung].promoted.add(number)
                    self._running[number] = rung + 1
                    return number, rung + 1
        return None

    def _best(self, bracket: int, rung: int) -> int | None:
        """Return the number of the trial of a rung that is to be promoted next; None where there is none."""
        here = self._rungs[bracket][rung]
        closed = self._closed(bracket, rung)
        if self._synchronous and not closed:
            return None
        allowed = len(here.ended) // self._eta
        # However few there are, one gets the full budget in the end.
        if closed and here.ended:
            allowed = max(1, allowed)
        if len(here.promoted) >= allowed:
            return None
        order = _order(here.ended, here.promoted)
        return next((number for number in order[:allowed] if number not in here.promoted | self._ended_for_good), None)

    def _closed(self, bracket: int, rung: int) -> bool:
        """Whether no other trial will end a rung."""
        if not self.closed:
            return False
        if any(current <= rung for number, current in self._running.items() if self._bracket[number] == bracket):
            return False
        return all(self._best(bracket, lower) is None for lower in range(rung))


def _order(ended: dict[int, Values], promoted: set[int]) -> list[int]:
    """Return numbers of trials, best first; those of one front so that each is far from those before and promoted."""
    numbers = sorted(ended)
    values = np.array([ended[number] for number in numbers])
    if values.shape[1] == 1:
        return [numbers[index] for index in np.argsort(-values[:, 0], kind="stable")]
    order: list[int] = []
    for front in non_dominated_sort(values):
        taken = [position for position, index in enumerate(front) if numbers[index] in promoted]
        order += [numbers[front[position]] for position in farthest_first_order(values[front], taken)]
    return order


def rungs_of(most: int, least: int, eta: int) -> tuple[int, ...]:
    """Return the epochs of the rungs, rising: `most`, a share `1 / eta` of it, and so on down to `least`."""
    rungs = [most]
    share = most / eta
    while share >= least:
        rungs.append(round(share))
        share /= eta
    return tuple(sorted({max(1, epochs) for epochs in rungs}))
