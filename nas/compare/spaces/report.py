"""What a comparison of spaces found: a table, a file of networks, a chart."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from nas.compare.spaces.complexity import Matching, match, unmatched
from nas.compare.spaces.difference import Gap, gap
from nas.compare.spaces.distribution import Distribution, area_between, distribution_of, ks_distance
from nas.compare.spaces.population import Population
from nas.run_folder import writing
from nas.statistics import LEVEL, Verdict, judge

_RARE = 0.01
"""Where fewer random genotypes hold the limits, some networks come from climbing towards them."""


@dataclass(frozen=True)
class Comparison:
    """Populations of several spaces; the others are compared with the first."""

    populations: Sequence[Population]
    trials: int
    """Networks of each that were asked for."""
    error: str
    """What the error is, e.g. `1 - val_accuracy`."""
    complexity: str | None
    """The cost at which they are compared; None: whatever it is."""
    bins: int | None = None
    """Of the complexity; None: as fits their number."""

    @cached_property
    def matching(self) -> Matching:
        """Which networks count; raises `SpaceError` where there is nothing to compare."""
        if self.complexity is None:
            return unmatched([len(one.networks) for one in self.populations])
        values = [one.values(self.complexity) for one in self.populations]
        return match(values, [one.name for one in self.populations], self.complexity, self.bins)

    @cached_property
    def distributions(self) -> list[Distribution]:
        """The distribution of the errors of each population, weighted."""
        return [distribution_of(one.errors, self.matching.weights(which)) for which, one in enumerate(self.populations)]

    @cached_property
    def gaps(self) -> list[Gap]:
        """The difference of each population but the first from the first."""
        counted = [(one.errors, cells) for one, cells in zip(self.populations, self.matching.cells, strict=True)]
        return [gap(other, counted[0]) for other in counted[1:]]

    @cached_property
    def verdicts(self) -> list[Verdict]:
        """What each of them shows, corrected for all of them."""
        return judge(self.gaps)


def table_of(comparison: Comparison) -> list[str]:
    """Return the lines of the report, in Markdown."""
    first = comparison.populations[0].name
    lines = [
        _heading(comparison),
        "",
        f"| space | networks | of them compared | mean | median | best tenth | best | mean minus that of {first} |",
        "| --- |" + " --: |" * 7,
    ]
    for which, (one, found) in enumerate(zip(comparison.populations, comparison.distributions, strict=True)):
        cells = [one.name, str(len(one.networks)), str(comparison.matching.used(which))]
        cells += [f"{value:.4f}" for value in (found.mean, found.quantile(0.5), found.quantile(0.1), found.best)]
        lines.append(f"| {' | '.join([*cells, _difference(comparison, which)])} |")
    lines += [
        "",
        f"The last column has its 95 % bootstrap interval, which stands for itself. Better or worse is said where p <= "
        f"{LEVEL:g}: the larger p-value of Student's test and of a permutation test, corrected for "
        f"{len(comparison.gaps)} {'comparison' if len(comparison.gaps) == 1 else 'comparisons'} (Holm).",
        "",
        *(_distance(comparison, which) for which in range(1, len(comparison.populations))),
    ]
    notes = [line for one in comparison.populations for line in _notes(one, comparison.trials)]
    return [*lines, *(["", *notes] if notes else [])]


def _heading(comparison: Comparison) -> str:
    matching, metric = comparison.matching, comparison.complexity
    what = f"Errors ({comparison.error}) of networks drawn at random"
    if metric is None:
        return f"{what}, each with the same weight, whatever its complexity:"
    bins = "1 bin" if matching.bins == 1 else f"{matching.bins} bins of the same weight"
    return f"{what}, at equal {metric} from {matching.low:,.0f} to {matching.high:,.0f} ({bins}):"


def _difference(comparison: Comparison, which: int) -> str:
    if which == 0:
        return ""
    found, verdict = comparison.gaps[which - 1], comparison.verdicts[which - 1]
    return f"{found.mean:+.4f} ({found.low:+.4f} to {found.high:+.4f}), p {verdict.p:.2g}: {verdict.text}"


def _distance(comparison: Comparison, which: int) -> str:
    names = [comparison.populations[place].name for place in (which, 0)]
    pair = comparison.distributions[which], comparison.distributions[0]
    return (
        f"- {names[0]} and {names[1]}: area between the distributions {area_between(*pair):.4f}, "
        f"Kolmogorov-Smirnov distance {ks_distance(*pair):.3f}"
    )


def _notes(one: Population, trials: int) -> list[str]:
    """Say what weakens the comparison."""
    notes = []
    if one.failed:
        notes.append(f"- {one.name}: {one.failed} networks gave no score and are left out; the first: {one.reason}")
    if len(one.networks) + one.failed < trials:
        notes.append(f"- {one.name}: no more than {len(one.networks) + one.failed} networks were found, not {trials}")
    if one.share < _RARE:
        notes.append(
            f"- {one.name}: only {one.share:.1%} of random genotypes hold the limits, so that some networks were "
            "brought there by mutation and are not drawn uniformly"
        )
    return notes


def write_populations(comparison: Comparison, path: Path) -> None:
    """Write every network that was evaluated, with its weight, as a CSV file."""
    with writing(path) as file:
        writer = csv.writer(file)
        writer.writerow(["space", "arch_id", "error", "params", "macs", "weight"])
        for which, one in enumerate(comparison.populations):
            for network, weight in zip(one.networks, comparison.matching.weights(which), strict=True):
                cost = network.cost
                writer.writerow(
                    [one.name, network.arch_id, f"{network.error:.8g}", cost.params, cost.macs, f"{weight:.8g}"]
                )


def draw_edf(comparison: Comparison, path: Path) -> None:
    """Draw the distribution functions, and below them their differences from the first with 95 % bands."""
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 8), layout="constrained")
    FigureCanvasSVG(figure)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=[3, 2])
    first = comparison.populations[0].name
    end = max(float(found.errors[-1]) for found in comparison.distributions)
    for which, (one, found) in enumerate(zip(comparison.populations, comparison.distributions, strict=True)):
        errors, shares = [found.errors[0], *found.errors, end], [0.0, *found.shares, 1.0]
        (line,) = above.step(errors, shares, where="post", label=f"{one.name} (mean {found.mean:.4f})")
        if which:
            seen = comparison.gaps[which - 1]
            below.step(seen.errors, seen.apart, where="pre", color=line.get_color(), label=f"{one.name} minus {first}")
            below.fill_between(seen.errors, *seen.band, step="pre", alpha=0.2, color=line.get_color())
    above.set_ylabel("share of networks with a smaller error")
    below.set_ylabel("difference, with 95 % at each error")
    below.set_xlabel(f"error ({comparison.error})")
    below.axhline(0, color="black", linewidth=0.8)
    for axes in (above, below):
        axes.legend()
        axes.grid(alpha=0.3)
    with writing(path) as file:
        figure.savefig(file, format="svg")
