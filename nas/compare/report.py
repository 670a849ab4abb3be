"""What a comparison found: tables, curves, a chart."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nas.compare.curves import Array, Curve, at
from nas.compare.statistics import Difference, median_interval, paired


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

    @property
    def what(self) -> str:
        """Name of what is shown."""
        return self.measure if self.best is None else f"regret ({self.measure})"

    def shown(self, strategy: str, evaluations: int) -> Array:
        """Return regret, or quality where the best is not known, for each seed."""
        found = np.array([at(curve, evaluations) for curve in self.curves[strategy]])
        return found if self.best is None else self.best - found

    def difference(self, one: str, other: str, evaluations: int) -> Difference:
        """Say how much better a strategy is than another."""
        values = [np.array([at(curve, evaluations) for curve in self.curves[name]]) for name in (one, other)]
        return paired(values[0], values[1])


def table_of(comparison: Comparison) -> list[str]:
    """Return the lines of a Markdown table: each strategy at each place, and against the first one."""
    names = list(comparison.curves)
    first = names[0]
    places = comparison.places
    lines = [
        f"Median {comparison.what} over {len(comparison.curves[first])} seeds, with its 95 % interval:",
        "",
        "| strategy | " + " | ".join(f"after {place}" for place in places) + " |",
        "| --- |" + " --: |" * len(places),
    ]
    for name in names:
        cells = []
        for place in places:
            middle, low, high = median_interval(comparison.shown(name, place))
            cells.append(f"{middle:.4g} ({low:.4g} to {high:.4g})")
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    if len(names) > 1:
        lines += [
            "",
            f"How much better {first} is, as the mean of the differences with the same seed, with its 95 % interval:",
            "",
            "| than | " + " | ".join(f"after {place}" for place in places) + " |",
            "| --- |" + " --: |" * len(places),
        ]
        for name in names[1:]:
            cells = []
            for place in places:
                found = comparison.difference(first, name, place)
                cells.append(f"{found.mean:+.4g} ({found.low:+.4g} to {found.high:+.4g}): {found.verdict}")
            lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return lines


def reach_of(comparison: Comparison, target: str, evaluations: int) -> list[str]:
    """Say after how many evaluations each strategy is, in the median, where one of them is after so many."""
    goal = float(np.median(comparison.shown(target, evaluations)))
    lower = comparison.best is not None
    lines = []
    for name, curves in comparison.curves.items():
        longest = max(len(curve.quality) for curve in curves)
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
    with path.open("w", newline="") as file:
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
        counts = np.arange(1, max(len(curve.quality) for curve in curves) + 1)
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
    figure.savefig(path, format="svg")
