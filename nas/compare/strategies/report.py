"""The report of a comparison of strategies: tables, a file of curves, a chart."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nas.compare.strategies.curves import Array, Curve, quality_after, quality_at
from nas.run_folder import writing
from nas.statistics import LEVEL, MIN_VALUES, Paired, Verdict, judge, median_interval, paired


@dataclass(frozen=True, kw_only=True)
class StrategyComparison:
    """Searches of several strategies with the same seeds."""

    curves: Mapping[str, Sequence[Curve]]
    """By strategy, in the order of the seeds."""
    measure: str
    """The name of the quality: a score, or hypervolume."""
    best: float | None
    """The best quality of all networks, from which regret is counted; None where it is not known."""
    evaluations: Sequence[int]
    """Numbers of evaluations after which strategies are compared."""
    timed: bool = True
    """Whether the durations of searches mean anything."""

    @property
    def quantity(self) -> str:
        """The name of the quantity in the tables: regret where the best quality is known, else quality."""
        return self.measure if self.best is None else f"regret ({self.measure})"

    @property
    def times(self) -> tuple[float, ...]:
        """Seconds after which strategies are compared: a half and all of the shortest search; may be empty."""
        shortest = min(curve.duration for curves in self.curves.values() for curve in curves)
        return (shortest / 2, shortest) if self.timed and shortest > 0 else ()

    def values_at(self, strategy: str, point: float, read: Callable[[Curve, Any], float] = quality_after) -> Array:
        """Return regret, or quality where the best is not known, at a point of the curves.

        Args:
            strategy: name of the strategy.
            point: a number of evaluations, or seconds.
            read: reads a curve at the point.

        Returns:
            `(seeds,)`; nan where nothing was evaluated yet.
        """
        quality = np.array([read(curve, point) for curve in self.curves[strategy]])
        return quality if self.best is None else self.best - quality

    def difference(
        self, strategy: str, rival: str, point: float, read: Callable[[Curve, Any], float] = quality_after
    ) -> Paired:
        """Return how much better a strategy is than another at a point of the curves; see `values_at`."""
        qualities = [np.array([read(curve, point) for curve in self.curves[name]]) for name in (strategy, rival)]
        return paired(qualities[0], qualities[1])


Point = tuple[float, Callable[[Curve, Any], float]]
"""A number of evaluations, or seconds, with the function that reads a curve there."""
Verdicts = Mapping[tuple[str, float, Callable[[Curve, Any], float]], tuple[Paired, Verdict]]
"""By rival and point: how much better the first strategy is there, and the verdict on that."""


def comparisons_of(strategies: int, points: int, *, timed: bool) -> int:
    """Return the number of comparisons of a report, for which its verdicts are corrected.

    Args:
        strategies: number of strategies.
        points: number of points at which they are compared.
        timed: whether they are compared at two times too.
    """
    return (strategies - 1) * (points + (2 if timed else 0))


def report_of(comparison: StrategyComparison) -> list[str]:
    """Return the lines of a Markdown report: at equal numbers of evaluations, at equal times, and what they took."""
    verdicts = verdicts_of(comparison)
    heads = [f"after {count}" for count in comparison.evaluations]
    lines = _tables(comparison, comparison.evaluations, heads, quality_after, verdicts)
    fewer = [
        f"{name} ({min(len(curve.quality) for curve in curves)})"
        for name, curves in comparison.curves.items()
        if min(len(curve.quality) for curve in curves) < comparison.evaluations[-1]
    ]
    if fewer:
        lines += ["", f"With fewer complete evaluations, of which the last one holds on: {', '.join(fewer)}."]
    if comparison.times:
        heads = [f"at {seconds:.4g} s" for seconds in comparison.times]
        lines += ["", "At equal time, as long as the shortest search:", ""]
        lines += _tables(comparison, comparison.times, heads, quality_at, verdicts)
        lines += _durations(comparison)
    lines += _notes(comparison, verdicts)
    if not any(name in ("random", "uniform") for name in comparison.curves):
        lines += [
            "",
            "No random search is among the strategies, so this does not say whether any is better than chance.",
        ]
    return lines


def verdicts_of(comparison: StrategyComparison) -> Verdicts:
    """Compare the first strategy with each other at every point of the report, and judge all comparisons together.

    Points at which a search has evaluated nothing yet are left out.
    """
    first, *others = comparison.curves
    points: list[Point] = [(point, quality_after) for point in comparison.evaluations]
    points += [(seconds, quality_at) for seconds in comparison.times]
    differences = {
        (name, point, read): comparison.difference(first, name, point, read)
        for name in others
        for point, read in points
    }
    differences = {cell: difference for cell, difference in differences.items() if not np.isnan(difference.median)}
    return dict(
        zip(differences, zip(differences.values(), judge(list(differences.values())), strict=True), strict=True)
    )


def facts_of(comparison: StrategyComparison) -> dict[str, Any]:
    """Return the figures of the report as plain values; a median, end or quality that there is not is nan."""
    verdicts = verdicts_of(comparison)
    points: list[tuple[str, float, Callable[[Curve, Any], float]]] = []
    points += [(f"after {count}", count, quality_after) for count in comparison.evaluations]
    points += [(f"at {seconds:.4g} s", seconds, quality_at) for seconds in comparison.times]
    return {
        "measure": comparison.measure,
        "quantity": comparison.quantity,
        "best": comparison.best,
        "strategies": {
            name: {
                "seeds": [curve.seed for curve in curves],
                "points": {head: _median_facts(comparison.values_at(name, at, read)) for head, at, read in points},
                "mean_seconds": np.mean([curve.duration for curve in curves]),
                "mean_evaluations": np.mean([len(curve.quality) for curve in curves]),
                "mean_epochs": np.mean([curve.epochs for curve in curves]),
            }
            for name, curves in comparison.curves.items()
        },
        "first_against": {
            name: {
                head: _difference_facts(*verdicts[name, at, read])
                for head, at, read in points
                if (name, at, read) in verdicts
            }
            for name in [*comparison.curves][1:]
        },
    }


def _median_facts(values: Array) -> dict[str, float]:
    if np.isnan(values).any():  # a search that has evaluated nothing yet
        return dict.fromkeys(("median", "low", "high"), np.nan)
    return dict(zip(("median", "low", "high"), median_interval(values), strict=True))


def _difference_facts(difference: Paired, verdict: Verdict) -> dict[str, Any]:
    names = ("median", "low", "high", "ahead", "behind")
    return {**{name: getattr(difference, name) for name in names}, "p": verdict.p, "verdict": verdict.text}


def _durations(comparison: StrategyComparison) -> list[str]:
    lines = [
        "",
        "What a search took, on average:",
        "",
        "| strategy | time | evaluations | epochs |",
        "| --- | --: | --: | --: |",
    ]
    for name, curves in comparison.curves.items():
        time = np.mean([curve.duration for curve in curves])
        count = np.mean([len(curve.quality) for curve in curves])
        lines.append(f"| {name} | {time:.4g} s | {count:g} | {np.mean([c.epochs for c in curves]):g} |")
    return lines


def _tables(
    comparison: StrategyComparison,
    points: Sequence[float],
    heads: Sequence[str],
    read: Callable[[Curve, Any], float],
    verdicts: Verdicts,
) -> list[str]:
    """Return a table of each strategy at each point, and one of the first strategy against the others."""
    first, *others = comparison.curves
    ruler = "| --- |" + " --: |" * len(heads)
    lines = [
        f"Median {comparison.quantity} over {len(comparison.curves[first])} seeds, with its 95 % interval:",
        "",
        f"| strategy | {' | '.join(heads)} |",
        ruler,
    ]
    for name in comparison.curves:
        cells = [_median_text(comparison.values_at(name, point, read)) for point in points]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    if others:
        lines += [
            "",
            f"How much better {first} is, as the median of the differences with the same seed, with its 95 % interval; "
            "seeds with which it is ahead : behind; and p:",
            "",
            f"| than | {' | '.join(heads)} |",
            ruler,
        ]
    for name in others:
        cells = [_difference_text(verdicts.get((name, point, read))) for point in points]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


def _median_text(values: Array) -> str:
    if np.isnan(values).any():
        return "nothing yet"
    median, low, high = median_interval(values)
    return f"{median:.4g} (too few)" if np.isnan(low) else f"{median:.4g} ({low:.4g} to {high:.4g})"


def _difference_text(cell: tuple[Paired, Verdict] | None) -> str:
    if cell is None:
        return "nothing yet"
    difference, verdict = cell
    ends = "" if np.isnan(difference.low) else f" ({difference.low:+.4g} to {difference.high:+.4g})"
    return (
        f"{difference.median:+.4g}{ends}, {difference.ahead} : {difference.behind}, p {verdict.p:.2g}: {verdict.text}"
    )


def _notes(comparison: StrategyComparison, verdicts: Verdicts) -> list[str]:
    """Return what intervals and verdicts mean, as lines."""
    lines = []
    if len(next(iter(comparison.curves.values()))) < MIN_VALUES:
        lines += ["", f"Too few: an exact 95 % interval of a median takes {MIN_VALUES} seeds."]
    else:
        lines += [
            "",
            "Intervals are between order statistics: by itself each holds its median in at least 95 % of reports, for "
            "any distribution.",
        ]
    if verdicts:
        lines += [
            "",
            f"Better or worse is said where p <= {LEVEL:g}. It is the larger p-value of the sign test and of a test of "
            f"the mean, corrected for the {len(verdicts)} comparisons of this report (Holm): where no strategy differs "
            f"from another, at most {LEVEL:.0%} of reports say anywhere that one does.",
        ]
    return lines


def evaluations_to_reach(comparison: StrategyComparison, target: str, evaluations: int) -> list[str]:
    """Return after how many evaluations each strategy reaches, in the median, the median of a target strategy.

    The interval is where the ends of the median's interval reach it: for curves that never get worse it is exact, as
    the one between order statistics of the searches' own numbers of evaluations. It takes the goal as given.

    Args:
        comparison: of the strategies.
        target: the strategy whose median is the goal.
        evaluations: number of evaluations after which it is.
    """
    goal = float(np.median(comparison.values_at(target, evaluations)))
    lines = []
    for name, curves in comparison.curves.items():
        longest = max(1, *(len(curve.quality) for curve in curves))
        median, soonest, latest = first_reached(comparison, name, goal, longest)
        if len(curves) < MIN_VALUES:
            ends = ""
        elif soonest is None:
            ends = f" (95 %: later than {longest})"
        else:
            ends = f" (95 %: {soonest} to {latest or f'more than {longest}'})"
        lines.append(
            f"{name} is there after {median}{ends}" if median else f"{name} is not there after {longest}{ends}"
        )
    return [f"Where {target} is after {evaluations} evaluations ({goal:.4g}): " + "; ".join(lines)]


def reach_facts(comparison: StrategyComparison, target: str, evaluations: int) -> dict[str, Any]:
    """Return the figures of `evaluations_to_reach` as plain values: by strategy the median and its interval."""
    goal = float(np.median(comparison.values_at(target, evaluations)))
    reached = {}
    for name, curves in comparison.curves.items():
        longest = max(1, *(len(curve.quality) for curve in curves))
        places = first_reached(comparison, name, goal, longest)
        reached[name] = dict(zip(("evaluations", "soonest", "latest"), places, strict=True))
    return {"strategy": target, "goal": goal, "reached_after": reached}


def first_reached(
    comparison: StrategyComparison, name: str, goal: float, longest: int
) -> tuple[int | None, int | None, int | None]:
    """Return after how many evaluations the median, and the better and the worse end of its interval, reach a goal.

    None where they do not.

    Args:
        comparison: of the strategies.
        name: of the strategy.
        goal: a regret, or a quality where the best is not known.
        longest: number of evaluations up to which it is looked for.
    """
    lower = comparison.best is not None
    ends = [median_interval(comparison.values_at(name, count)) for count in range(1, longest + 1)]

    def first(index: int) -> int | None:
        reached = (interval[index] <= goal if lower else interval[index] >= goal for interval in ends)
        return next((count for count, there in enumerate(reached, start=1) if there), None)

    return first(0), first(1 if lower else 2), first(2 if lower else 1)


def write_curves(comparison: StrategyComparison, path: Path) -> None:
    """Write every search, evaluation by evaluation, as a CSV file."""
    with writing(path) as file:
        writer = csv.writer(file)
        writer.writerow(["strategy", "seed", "evaluation", "seconds", comparison.measure, "regret"])
        for name, curves in comparison.curves.items():
            for curve in curves:
                for evaluation, (quality, seconds) in enumerate(
                    zip(curve.quality, curve.seconds, strict=True), start=1
                ):
                    regret = "" if comparison.best is None else f"{comparison.best - quality:.8g}"
                    writer.writerow([name, curve.seed, evaluation, f"{seconds:.6g}", f"{quality:.8g}", regret])


def draw_curves(comparison: StrategyComparison, path: Path) -> None:
    """Draw medians with their quartiles over the evaluations."""
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5))
    FigureCanvasSVG(figure)
    axes = figure.add_subplot()
    for name, curves in comparison.curves.items():
        counts = np.arange(1, max(1, *(len(curve.quality) for curve in curves)) + 1)
        values = np.array([comparison.values_at(name, int(count)) for count in counts])
        low, middle, high = np.percentile(values, [25, 50, 75], axis=1)
        (line,) = axes.plot(counts, middle, label=name)
        axes.fill_between(counts, low, high, alpha=0.15, color=line.get_color())
    axes.set_xlabel("evaluations")
    axes.set_ylabel(f"{comparison.quantity}: median and quartiles")
    if comparison.best is not None:
        axes.set_yscale("symlog", linthresh=1e-4 * max(1e-12, abs(comparison.best)))
    axes.legend()
    axes.grid(alpha=0.3)
    with writing(path) as file:
        figure.savefig(file, format="svg")
