"""The report of a comparison of spaces: a table, a file of networks, a chart."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from nas.compare.spaces.complexity import Matching, match, unmatched
from nas.compare.spaces.difference import ErrorDifference, compare_errors
from nas.compare.spaces.distribution import Distribution, area_between, distribution_of, ks_distance
from nas.compare.spaces.population import Population
from nas.run_folder import writing
from nas.statistics import LEVEL, Verdict, judge

_RARE = 0.01
"""Where a smaller share of random genotypes holds the limits, some networks come from climbing towards them."""


@dataclass(frozen=True)
class SpaceComparison:
    """Populations of several spaces; the others are compared with the first."""

    populations: Sequence[Population]
    trials: int
    """Number of networks of each that were asked for."""
    error: str
    """The formula of the error, one less a score or a loss."""
    complexity: str | None
    """The cost at whose equal values they are compared; None compares them whatever they cost."""
    bins: int | None = None
    """Number of bins of the complexity; None chooses it by the number of networks."""

    @cached_property
    def matching(self) -> Matching:
        """The networks that count, with their bins; raises `SpaceError` where there is nothing to compare."""
        if self.complexity is None:
            return unmatched([len(population.networks) for population in self.populations])
        values = [population.values(self.complexity) for population in self.populations]
        return match(values, [population.name for population in self.populations], self.complexity, self.bins)

    @cached_property
    def distributions(self) -> list[Distribution]:
        """The distribution of the errors of each population, weighted."""
        return [
            distribution_of(population.errors, self.matching.weights(number))
            for number, population in enumerate(self.populations)
        ]

    @cached_property
    def differences(self) -> list[ErrorDifference]:
        """The errors of each further population minus those of the first."""
        counted = [
            (population.errors, bins)
            for population, bins in zip(self.populations, self.matching.bin_numbers, strict=True)
        ]
        return [compare_errors(compared, counted[0]) for compared in counted[1:]]

    @cached_property
    def verdicts(self) -> list[Verdict]:
        """The verdict on each difference, corrected for all of them."""
        return judge(self.differences)


def table_of(comparison: SpaceComparison) -> list[str]:
    """Return the lines of the report, in Markdown."""
    first = comparison.populations[0].name
    lines = [
        _heading(comparison),
        "",
        f"| space | networks | of them compared | mean | median | best tenth | best | mean minus that of {first} |",
        "| --- |" + " --: |" * 7,
    ]
    for number, (population, distribution) in enumerate(
        zip(comparison.populations, comparison.distributions, strict=True)
    ):
        cells = [population.name, str(len(population.networks)), str(comparison.matching.used(number))]
        cells += [
            f"{value:.4f}"
            for value in (distribution.mean, distribution.quantile(0.5), distribution.quantile(0.1), distribution.best)
        ]
        lines.append(f"| {' | '.join([*cells, _difference(comparison, number)])} |")
    lines += [
        "",
        f"The last column has its 95 % bootstrap interval, which stands for itself. Better or worse is said where p <= "
        f"{LEVEL:g}: the larger p-value of Student's test and of a permutation test, corrected for "
        f"{len(comparison.differences)} {'comparison' if len(comparison.differences) == 1 else 'comparisons'} (Holm).",
        "",
        *(_distance(comparison, number) for number in range(1, len(comparison.populations))),
    ]
    notes = [line for population in comparison.populations for line in _notes(population, comparison.trials)]
    return [*lines, *(["", *notes] if notes else [])]


def facts_of(comparison: SpaceComparison) -> dict[str, Any]:
    """Return the figures of the report as plain values, by space; the others are compared with the first."""
    spaces: dict[str, dict[str, Any]] = {}
    for number, (population, found) in enumerate(zip(comparison.populations, comparison.distributions, strict=True)):
        spaces[population.name] = {
            "networks": len(population.networks),
            "compared": comparison.matching.used(number),
            "failed": population.failed,
            "share_within_limits": population.share,
            "mean": found.mean,
            "median": found.quantile(0.5),
            "best_tenth": found.quantile(0.1),
            "best": found.best,
        }
        if number:
            difference, verdict = comparison.differences[number - 1], comparison.verdicts[number - 1]
            ends = {"mean": difference.mean, "low": difference.low, "high": difference.high}
            spaces[population.name]["minus_first"] = {**ends, "p": verdict.p, "verdict": verdict.text}
    return {"error_measure": comparison.error, "complexity": comparison.complexity, "spaces": spaces}


def _heading(comparison: SpaceComparison) -> str:
    matching, metric = comparison.matching, comparison.complexity
    what = f"Errors ({comparison.error}) of networks drawn at random"
    if metric is None:
        return f"{what}, each with the same weight, whatever its complexity:"
    bins = "1 bin" if matching.num_bins == 1 else f"{matching.num_bins} bins of the same weight"
    return f"{what}, at equal {metric} from {matching.low:,.0f} to {matching.high:,.0f} ({bins}):"


def _difference(comparison: SpaceComparison, number: int) -> str:
    if number == 0:
        return ""
    difference, verdict = comparison.differences[number - 1], comparison.verdicts[number - 1]
    return (
        f"{difference.mean:+.4f} ({difference.low:+.4f} to {difference.high:+.4f}), p {verdict.p:.2g}: {verdict.text}"
    )


def _distance(comparison: SpaceComparison, number: int) -> str:
    names = [comparison.populations[index].name for index in (number, 0)]
    pair = comparison.distributions[number], comparison.distributions[0]
    return (
        f"- {names[0]} and {names[1]}: area between the distributions {area_between(*pair):.4f}, "
        f"Kolmogorov-Smirnov distance {ks_distance(*pair):.3f}"
    )


def _notes(population: Population, trials: int) -> list[str]:
    """Return a line for each thing that weakens the comparison."""
    drawn = len(population.networks) + population.failed
    notes = []
    if population.failed:
        notes.append(f"{population.failed} networks gave no score and are left out; the first: {population.reason}")
    if drawn < trials:
        notes.append(f"no more than {drawn} networks were found, not {trials}")
    if population.share < _RARE:
        notes.append(
            f"only {population.share:.1%} of random genotypes hold the limits, so that some networks were brought "
            "there by mutation and are not drawn uniformly"
        )
    return [f"- {population.name}: {note}" for note in notes]


def write_populations(comparison: SpaceComparison, path: Path) -> None:
    """Write every network that was evaluated, with its weight, as a CSV file."""
    with writing(path) as file:
        writer = csv.writer(file)
        writer.writerow(["space", "arch_id", "error", "params", "macs", "weight"])
        for number, population in enumerate(comparison.populations):
            for network, weight in zip(population.networks, comparison.matching.weights(number), strict=True):
                cost = network.cost
                writer.writerow(
                    [population.name, network.arch_id, f"{network.error:.8g}", cost.params, cost.macs, f"{weight:.8g}"]
                )


def draw_edf(comparison: SpaceComparison, path: Path) -> None:
    """Draw the distribution functions, and below them their differences from the first with 95 % bands."""
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 8), layout="constrained")
    FigureCanvasSVG(figure)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=[3, 2])
    first = comparison.populations[0].name
    end = max(float(distribution.errors[-1]) for distribution in comparison.distributions)
    for number, (population, distribution) in enumerate(
        zip(comparison.populations, comparison.distributions, strict=True)
    ):
        errors, shares = [distribution.errors[0], *distribution.errors, end], [0.0, *distribution.shares, 1.0]
        (line,) = above.step(errors, shares, where="post", label=f"{population.name} (mean {distribution.mean:.4f})")
        if number:
            difference = comparison.differences[number - 1]
            below.step(
                difference.errors,
                difference.edf,
                where="pre",
                color=line.get_color(),
                label=f"{population.name} minus {first}",
            )
            below.fill_between(difference.errors, *difference.band, step="pre", alpha=0.2, color=line.get_color())
    above.set_ylabel("share of networks with a smaller error")
    below.set_ylabel("difference, with 95 % at each error")
    below.set_xlabel(f"error ({comparison.error})")
    below.axhline(0, color="black", linewidth=0.8)
    for axes in (above, below):
        axes.legend()
        axes.grid(alpha=0.3)
    with writing(path) as file:
        figure.savefig(file, format="svg")
