"""What a comparison found: tables, curves, a chart."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nas.compare.strategies.curves import Array, Curve, at, at_time
from nas.run_folder import writing
from nas.statistics import LEVEL, MIN_VALUES, Paired, Verdict, judge, median_interval, paired


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Searches of several strategies with the same seeds."""

    curves: Mapping[str, Sequence[Curve]]
    """By strategy, in the order of the seeds."""
    measure: str
    """What quality is: a score, or hypervolume."""
    best: float | None
    """The best quality that there is, where that is known: regret is what is missing to it."""
    places: Sequence[int]
    """Numbers of evaluations at which strategies are compared."""
    timed: bool = True
    """Whether it is known how long searches took."""

    @property
    def what(self) -> str:
        """Name of what is shown."""
        return self.measure if self.best is None else f"regret ({self.measure})"

    @property
    def times(self) -> tuple[float, ...]:
        """Times at which strategies are compared, in seconds: a half and all of the shortest search; may be none."""
        shortest = min(curve.took for every in self.curves.values() for curve in every)
        return (shortest / 2, shortest) if self.timed and shortest > 0 else ()

    def shown(self, strategy: str, place: float, found_at: Callable[[Curve, Any], float] = at) -> Array:
        """Return regret, or quality where the best is not known, for each seed; nan where nothing was found yet."""
        found = np.array([found_at(curve, place) for curve in self.curves[strategy]])
        return found if self.best is None else self.best - found

    def difference(self, one: str, other: str, place: float, found_at: Callable[[Curve, Any], float] = at) -> Paired:
        """Say how much better a strategy is than another."""
        values = [np.array([found_at(curve, place) for curve in self.curves[name]]) for name in (one, other)]
        return paired(values[0], values[1])


Place = tuple[float, Callable[[Curve, Any], float]]
"""A number of evaluations, or a time, and what reads a curve there."""
Judged = Mapping[tuple[str, float, Callable[[Curve, Any], float]], tuple[Paired, Verdict]]
"""By rival and place: how much better the first strategy is there."""


def comparisons_of(strategies: int, places: int, *, timed: bool) -> int:
    """Return how many comparisons a report makes, which its verdicts are corrected for together."""
    return (strategies - 1) * (places + (2 if timed else 0))


def report_of(comparison: Comparison) -> list[str]:
    """Return the lines of a Markdown report: at equal numbers of evaluations, at equal times, and what they took."""
    judged = _judged(comparison)
    lines = _tables(comparison, comparison.places, [f"after {place}" for place in comparison.places], at, judged)
    fewer = [
        f"{name} ({min(len(curve.quality) for curve in curves)})"
        for name, curves in comparison.curves.items()
        if min(len(curve.quality) for curve in curves) < comparison.places[-1]
    ]
    if fewer:
        lines += ["", f"With fewer complete evaluations, of which the last one holds on: {', '.join(fewer)}."]
    if comparison.times:
        heads = [f"at {seconds:.4g} s" for seconds in comparison.times]
        lines += ["", "At equal time, as long as the shortest search:", ""]
        lines += _tables(comparison, comparison.times, heads, at_time, judged)
        lines += _spent(comparison)
    lines += _notes(comparison, judged)
    if not any(name in ("random", "uniform") for name in comparison.curves):
        lines += [
            "",
            "No random search is among the strategies, so this does not say whether any is better than chance.",
        ]
    return lines


def _judged(comparison: Comparison) -> Judged:
    """Compare the first strategy with each other at every place of the report, and judge all of it together."""
    first, *others = comparison.curves
    places: list[Place] = [(place, at) for place in comparison.places]
    places += [(seconds, at_time) for seconds in comparison.times]
    found = {
        (name, place, found_at): comparison.difference(first, name, place, found_at)
        for name in others
        for place, found_at in places
    }
    found = {cell: difference for cell, difference in found.items() if not np.isnan(difference.median)}
    return dict(zip(found, zip(found.values(), judge(list(found.values())), strict=True), strict=True))


def _spent(comparison: Comparison) -> list[str]:
    lines = [
        "",
        "What a search took, on average:",
        "",
        "| strategy | time | evaluations | epochs |",
        "| --- | --: | --: | --: |",
    ]
    for name, curves in comparison.curves.items():
        time = np.mean([curve.took for curve in curves])
        count = np.mean([len(curve.quality) for curve in curves])
        lines.append(f"| {name} | {time:.4g} s | {count:g} | {np.mean([c.epochs for c in curves]):g} |")
    return lines


def _tables(
    comparison: Comparison,
    places: Sequence[float],
    heads: Sequence[str],
    found_at: Callable[[Curve, Any], float],
    judged: Judged,
) -> list[str]:
    """Each strategy at each place, and the first one against the others."""
    first, *others = comparison.curves
    ruler = "| --- |" + " --: |" * len(heads)
    lines = [
        f"Median {comparison.what} over {len(comparison.curves[first])} seeds, with its 95 % interval:",
        "",
        f"| strategy | {' | '.join(heads)} |",
        ruler,
    ]
    for name in comparison.curves:
        cells = [_median_text(comparison.shown(name, place, found_at)) for place in places]
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
        cells = [_difference_text(judged.get((name, place, found_at))) for place in places]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


def _median_text(values: Array) -> str:
    if np.isnan(values).any():
        return "nothing yet"
    middle, low, high = median_interval(values)
    return f"{middle:.4g} (too few)" if np.isnan(low) else f"{middle:.4g} ({low:.4g} to {high:.4g})"


def _difference_text(cell: tuple[Paired, Verdict] | None) -> str:
    if cell is None:
        return "nothing yet"
    found, verdict = cell
    ends = "" if np.isnan(found.low) else f" ({found.low:+.4g} to {found.high:+.4g})"
    return f"{found.median:+.4g}{ends}, {found.ahead} : {found.behind}, p {verdict.p:.2g}: {verdict.text}"


def _notes(comparison: Comparison, judged: Judged) -> list[str]:
    """Say what the intervals and verdicts are."""
    lines = []
    if len(next(iter(comparison.curves.values()))) < MIN_VALUES:
        lines += ["", f"Too few: an exact 95 % interval of a median takes {MIN_VALUES} seeds."]
    else:
        lines += [
            "",
            "Intervals are between order statistics: by itself each holds its median in at least 95 % of reports, for "
            "any distribution.",
        ]
    if judged:
        lines += [
            "",
            f"Better or worse is said where p <= {LEVEL:g}. It is the larger p-value of the sign test and of a test of "
            f"the mean, corrected for the {len(judged)} comparisons of this report (Holm): where no strategy differs "
            f"from another, at most {LEVEL:.0%} of reports say anywhere that one does.",
        ]
    return lines


def reach_of(comparison: Comparison, target: str, evaluations: int) -> list[str]:
    """Say after how many evaluations each strategy is, in the median, where one of them is after so many.

    The interval is where the ends of that of the median get there: for curves that never get worse it is exact, as the
    one between order statistics of the searches' own numbers of evaluations. It takes the goal as given.
    """
    goal = float(np.median(comparison.shown(target, evaluations)))
    lines = []
    for name, curves in comparison.curves.items():
        longest = max(1, *(len(curve.quality) for curve in curves))
        middle, soonest, latest = _reached(comparison, name, goal, longest)
        if len(curves) < MIN_VALUES:
            ends = ""
        elif soonest is None:
            ends = f" (95 %: later than {longest})"
        else:
            ends = f" (95 %: {soonest} to {latest or f'more than {longest}'})"
        lines.append(
            f"{name} is there after {middle}{ends}" if middle else f"{name} is not there after {longest}{ends}"
        )
    return [f"Where {target} is after {evaluations} evaluations ({goal:.4g}): " + "; ".join(lines)]


def _reached(comparison: Comparison, name: str, goal: float, longest: int) -> tuple[int | None, int | None, int | None]:
    """Return after how many evaluations the median, and the better and the worse end of its interval, are at a goal."""
    lower = comparison.best is not None
    ends = [median_interval(comparison.shown(name, count)) for count in range(1, longest + 1)]

    def first(which: int) -> int | None:
        reached = (found[which] <= goal if lower else found[which] >= goal for found in ends)
        return next((count for count, there in enumerate(reached, start=1) if there), None)

    return first(0), first(1 if lower else 2), first(2 if lower else 1)


def write_curves(comparison: Comparison, path: Path) -> None:
    """Write every search, evaluation by evaluation, as a CSV file."""
    with writing(path) as file:
        writer = csv.writer(file)
        writer.writerow(["strategy", "seed", "evaluation", "seconds", comparison.measure, "regret"])
        for name, curves in comparison.curves.items():
            for curve in curves:
                for place, (quality, seconds) in enumerate(zip(curve.quality, curve.seconds, strict=True), start=1):
                    regret = "" if comparison.best is None else f"{comparison.best - quality:.8g}"
                    writer.writerow([name, curve.seed, place, f"{seconds:.6g}", f"{quality:.8g}", regret])


def draw_curves(comparison: Comparison, path: Path) -> None:
    """Draw medians with their quartiles over the evaluations."""
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5))
    FigureCanvasSVG(figure)
    axes = figure.add_subplot()
    for name, curves in comparison.curves.items():
        counts = np.arange(1, max(1, *(len(curve.quality) for curve in curves)) + 1)
        values = np.array([comparison.shown(name, int(count)) for count in counts])
        low, middle, high = np.percentile(values, [25, 50, 75], axis=1)
        (line,) = axes.plot(counts, middle, label=name)
        axes.fill_between(counts, low, high, alpha=0.15, color=line.get_color())
    axes.set_xlabel("evaluations")
    axes.set_ylabel(f"{comparison.what}: median and quartiles")
    if comparison.best is not None:
        axes.set_yscale("symlog", linthresh=1e-4 * max(1e-12, abs(comparison.best)))
    axes.legend()
    axes.grid(alpha=0.3)
    with writing(path) as file:
        figure.savefig(file, format="svg")
