"""Which of several spaces to search, by their random networks, and how sure that is."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import combinations

from nas.compare.spaces.difference import ErrorDifference, compare_errors
from nas.compare.spaces.report import SpaceComparison
from nas.statistics import LEVEL, Verdict, judge


@dataclass(frozen=True)
class SpaceChoice:
    """The space of the smallest mean error, held against each other one.

    It is named after the errors are known, so that the verdicts are corrected for all pairs of spaces: whichever came
    out best, the chance that it is wrongly said to be better than any other is at most `LEVEL`.
    """

    comparison: SpaceComparison

    @cached_property
    def best(self) -> int:
        """The index of the population with the smallest mean error; the first of equal ones."""
        means = [distribution.mean for distribution in self.comparison.distributions]
        return means.index(min(means))

    @property
    def name(self) -> str:
        """The name of the space to take."""
        return self.comparison.populations[self.best].name

    @cached_property
    def against(self) -> dict[int, tuple[ErrorDifference, Verdict]]:
        """By the index of each other population, its errors minus those of the best, and the verdict on that."""
        bins = self.comparison.matching.bin_numbers
        counted = [(population.errors, own) for population, own in zip(self.comparison.populations, bins, strict=True)]
        # A pair begins with the one that is called worse where the difference shows.
        pairs = [
            (one, other) if one != self.best else (other, one) for one, other in combinations(range(len(counted)), 2)
        ]
        differences = [compare_errors(counted[one], counted[other]) for one, other in pairs]
        return {
            one: (difference, verdict)
            for (one, other), difference, verdict in zip(pairs, differences, judge(differences), strict=True)
            if other == self.best
        }

    @property
    def shown(self) -> bool:
        """Whether it is shown that the space is better than each other one."""
        return all(verdict.text == "worse" for _, verdict in self.against.values())

    def sentence(self) -> str:
        """Return what to take and how sure that is, in a sentence with figures."""
        populations, means = self.comparison.populations, self.comparison.distributions
        found = [
            f"{populations[other].name} {means[other].mean:.4f} (by {difference.mean:+.4f}, 95 % {difference.low:+.4f} "
            f"to {difference.high:+.4f}, p {verdict.p:.2g})"
            for other, (difference, verdict) in self.against.items()
        ]
        unsure = [populations[other].name for other, (_, verdict) in self.against.items() if verdict.text != "worse"]
        rule = f"p <= {LEVEL:g}, corrected for {_pairs(len(populations))}"
        sure = f"It is better than each other one ({rule})."
        if unsure:
            sure = f"That it is better than {' or '.join(unsure)} is not shown ({rule}); it is what did best here."
        return (
            f"Take {self.name}: its random networks have the smallest mean error ({self.comparison.error}), "
            f"{means[self.best].mean:.4f}; {', '.join(found)}. {sure}"
        )


def _pairs(spaces: int) -> str:
    pairs = spaces * (spaces - 1) // 2
    return f"{pairs} pair{'s' * (pairs != 1)} of spaces"
