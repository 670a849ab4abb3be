"""What a comparison found: tables, curves, a chart."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nas.compare.curves import Array, Curve, at, at_time
from nas.compare.statistics import Difference, median_interval, paired
from nas.run_folder import writing


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

    def difference(
        self, one: str, other: str, place: float, found_at: Callable[[Curve, Any], float] = at
    ) -> Difference:
        """Say how much better a strategy is than another."""
        values = [np.array([found_at(curve, place) for curve in self.curves[name]]) for name in (one, other)]
        return paired(values[0], values[1])


def report_of(comparison: Comparison) -> list[str]:
    """Return the lines of a Markdown report: at equal numbers of evaluations, at equal times, and what they took."""
    lines = _tables(comparison, comparison.places, [f"after {place}" for place in comparison.places], at)
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
        lines += _tables(comparison, comparison.times, heads, at_time)
        lines += [
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
    if not any(name in ("random", "uniform") for name in comparison.curves):
        lines += [
            "",
            "No random search is among the strategies, so this does not say whether any is better than chance.",
        ]
    return lines


def _tables(
    comparison: Comparison, places: Sequence[float], heads: Sequence[str], found_at: Callable[[Curve, Any], float]
) -> list[str]:
    """Each strategy at each place, and the first one against the others."""
    names = list(comparison.curves)
    first = names[0]
    lines = [
        f"Median {comparison.what} over {len(comparison.curves[first])} seeds, with its 95 % interval:",
        "",
        "| strategy | " + " | ".join(heads) + " |",
        "| --- |" + " --: |" * len(heads),
    ]
    for name in names:
        cells = []
        for place in places:
            values = comparison.shown(name, place, found_at)
            middle, low, high = median_interval(values)
            cells.append("nothing yet" if np.isnan(values).any() else f"{middle:.4g} ({low:.4g} to {high:.4g})")
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    if len(names) > 1:
        lines += [
            "",
            f"How much better {first} is, as the mean of the differences with the same seed, with its 95 % interval:",
            "",
            "| than | " + " | ".join(heads) + " |",
            "| --- |" + " --: |" * len(heads),
        ]
        for name in names[1:]:
            cells = []
            for place in places:
                found = comparison.difference(first, name, place, found_at)
                says = f"{found.mean:+.4g} ({found.low:+.4g} to {found.high:+.4g}): {found.verdict}"
                cells.append("nothing yet" if np.isnan(found.mean) else says)
            lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return lines


def reach_of(comparison: Comparison, target: str, evaluations: int) -> list[str]:
    """Say after how many evaluations each strategy is, in the median, where one of them is after so many."""
    goal = float(np.median(comparison.shown(target, evaluations)))
    lower = comparison.best is not None
    lines = []
    for name, curves in comparison.curves.items():
        longest = max(1, *(len(curve.quality) for curve in curves))
        for count in range(1, longest + 1):
            middle = float(np.median(comparison.shown(name, count)))
            if (middle <= goal) if lower else (middle >= goal):
                lines.append(f"{name} is there after {count}")
                break
        else:
            lines.append(f"{name} is not there after {longest}")
    return [f"Where {target} is after {evaluations} evaluations ({goal:.4g}): " + "; ".join(lines)]


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
