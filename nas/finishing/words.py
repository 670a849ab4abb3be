"""What a finish recommends, and its figures, in words."""

from __future__ import annotations

from dataclasses import dataclass
from math import isnan

from nas.finishing.bench import Measure
from nas.finishing.intervals import MeanInterval
from nas.finishing.study import WINNER, Final, Finish


@dataclass(frozen=True)
class Unit:
    """How scores are shown: shares in per cent, their differences in points."""

    factor: float = 1.0
    name: str = ""
    points: str = ""
    digits: int = 4
    sign: int = 1
    """-1 turns back what was turned so that larger is better: intervals, differences."""

    @classmethod
    def of(cls, measure: Measure) -> Unit:
        """Return the unit of a measure."""
        if measure.is_share:
            return cls(100.0, " %", " points", 2, sign=measure.sign)
        return cls(sign=measure.sign)

    def score(self, value: float) -> str:
        """Return a score in words, as the measure has it."""
        return f"{self.factor * value:.{self.digits}f}{self.name}"

    def size(self, value: float) -> str:
        """Return the size of a difference in words."""
        return f"{self.factor * value:.{self.digits}f}{self.points}"

    def difference(self, value: float) -> str:
        """Return a difference in words; of a loss, where lower is better, what is better by 0.1 has -0.1."""
        return f"{self.factor * self.sign * value:+.{self.digits}f}{self.points}"

    def interval(self, found: MeanInterval) -> str:
        """Return a mean with its interval in words."""
        if not found.count:
            return "none"
        mean = self.score(self.sign * found.mean)
        if isnan(found.low):
            return f"{mean} ({_without_interval(found)})"
        found = found.within(0.0, 1.0) if self.name else found
        ends = (f"{self.factor * end:.{self.digits}f}" for end in self._ends(found))
        return f"{mean} ({' to '.join(ends)})"

    def gap(self, found: MeanInterval) -> str:
        """Return a mean difference with its interval in words."""
        if not found.count:
            return "no seed gave both a score"
        if isnan(found.low):
            return f"{self.difference(found.mean)} ({_without_interval(found)})"
        ends = (f"{self.factor * end:+.{self.digits}f}" for end in self._ends(found))
        return f"{self.difference(found.mean)} (95 % interval {' to '.join(ends)})"

    def _ends(self, found: MeanInterval) -> list[float]:
        return sorted((self.sign * found.low, self.sign * found.high))


def _without_interval(found: MeanInterval) -> str:
    return "one seed" if found.count == 1 else f"the same with all {found.count} seeds: no interval"


def failures(final: Final) -> str:
    """Return how many of the trainings of a network failed in words, or nothing where none did."""
    return f"{len(final.failed)} of {len(final.ended)} trainings failed" if final.failed else ""


def failures_by_name(finish: Finish) -> list[str]:
    """Return how many final trainings failed, a phrase for each network of which any did."""
    return [
        f"{len(final.failed)} of {len(final.ended)} final trainings of the {named(kind)} failed "
        f"({final.failed[0].reason})"
        for kind, final in finish.finals.items()
        if final.failed
    ]


def named(kind: str) -> str:
    """Return what is reported in words, by its kind."""
    return kind if kind == WINNER else f"{kind} baseline"


def recommended_in_short(finish: Finish) -> str:
    """Return what is recommended in a few words."""
    if not finish.ships:
        return "nothing"
    name = f"{named(finish.recommended)} ({finish.finals[finish.recommended].contestant.name})"
    return name if finish.decided else f"{name}, compared with nothing"


def sentence(finish: Finish, measure: Measure) -> str:
    """Return the recommendation in a sentence, without its full stop."""
    failed = " and ".join(failures_by_name(finish))
    if not finish.decided:
        return _undecided(finish, failed)
    winner = _winner(finish)
    if not finish.on_test:
        also = f"; {failed}" if failed else ""
        return f"Recommended: {winner}; nothing tells whether it is better than a published network{also}"
    kind = finish.recommended
    against = kind if kind != WINNER else finish.closest
    network = f"the {kind} network {finish.finals[kind].contestant.name}"
    if len(finish.finals[WINNER].failed) != len(finish.finals[against].failed):
        return (
            f"Recommended: {winner if kind == WINNER else network}, whose training is the more reliable: {failed}. "
            f"On the test split, where both gave a score, winner minus {against} baseline: "
            f"{_how(finish, against, measure)}"
        )
    how = _how(finish, against, measure)
    how += f". {failed[0].upper()}{failed[1:]}: this is of the others" if failed else ""
    if kind == WINNER:
        return f"Recommended: {winner}. On the test split, winner minus {against} baseline: {how}"
    return f"Recommended: {network}. The search has found nothing better: on the test split, winner minus it: {how}"


def _winner(finish: Finish) -> str:
    return f"the winner of the search ({finish.finals[WINNER].contestant.name})"


def _undecided(finish: Finish, failed: str) -> str:
    """Return why nothing is recommended for good; `failed` says which trainings failed."""
    if finish.ships:
        return (
            f"Recommended for now: {_winner(finish)}, compared with nothing: the time was up before a baseline was "
            "trained with a seed of its; the same command with more finish.minutes goes on"
            f"{f'; {failed}' if failed else ''}"
        )
    if finish.finals[WINNER].failed:
        return f"Recommended: nothing: {failed}"
    return (
        "Recommended: nothing yet: the time was up before the winner was trained anew; the same command with more "
        "finish.minutes goes on"
    )


def _how(finish: Finish, against: str, measure: Measure) -> str:
    """Return a comparison in words, with whether it is more than chance."""
    comparison = finish.on_test[against]
    gap = Unit.of(measure).gap(comparison.difference)
    if not comparison.difference.count:
        return gap
    found = comparison.difference
    no_interval = "one seed gives" if found.count == 1 else "equal differences give"
    why = f"{no_interval} no interval" if isnan(found.low) else "the interval holds 0"
    return (
        f"{gap}, better with {comparison.ahead} of {found.count} seeds"
        f"{'' if comparison.shown else f'; {why}, so that this may be chance'}"
    )
