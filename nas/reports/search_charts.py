"""The charts of a search's report."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import inf, isfinite, nan

import numpy as np
from markupsafe import Markup

from nas.reports.markup import compact, element, percent, score_text
from nas.reports.plot import LARGEST, WIDTH, Chart, Scale, band, chart, line, mark, steps
from nas.reports.search_figures import CostFigure, ProgressFigure, ScoredTrial, TimeShare
from nas.search.reporting.progress import duration
from nas.search.reporting.rungs import RungCorrelation
from nas.search.trial import State

_ROOM_BELOW = 2.0
"""Scores worse than the median by so many times what the best is better are drawn at the edge of a chart."""


@dataclass(frozen=True)
class Key:
    """What a mark of a chart stands for."""

    sample: Markup
    text: str


@dataclass(frozen=True)
class Figure:
    """A chart with its title, its keys and a note."""

    title: str
    drawing: Markup
    legend: tuple[Key, ...] = ()
    note: str = ""


_STATE_MARKS = {
    State.COMPLETED: ("circle", "dot", "evaluated"),
    State.PRUNED: ("diamond", "dot partial", "ended early, with less than the full budget"),
    State.PAUSED: ("diamond", "dot partial", "ended early, with less than the full budget"),
    State.OVER_LIMIT: ("cross", "dot over", "over a limit that only training shows"),
}
_ORIGIN_MARKS = {"random": ("triangle", "dot random", "random"), "design": ("square", "dot design", "known design")}


def _look(trial: ScoredTrial) -> tuple[str, str, str]:
    """Return shape, class and words of a trial's mark."""
    if trial.state is State.COMPLETED and trial.origin in _ORIGIN_MARKS:
        return _ORIGIN_MARKS[trial.origin]
    return _STATE_MARKS.get(trial.state, _STATE_MARKS[State.COMPLETED])


def sample_of(shape: str, class_: str) -> Markup:
    """Return a mark as it stands beside its words."""
    return element("svg", mark(9, 8, shape, class_), width=18, height=16, viewBox="0 0 18 16", aria_hidden="true")


def line_sample(class_: str) -> Markup:
    """Return a piece of line as it stands beside its words."""
    piece = element("path", d="M1 8H17", class_=class_)
    return element("svg", piece, width=18, height=16, viewBox="0 0 18 16", aria_hidden="true")


def score_range(scores: Sequence[float], sign: int) -> tuple[float, float] | None:
    """Return the range of a vertical axis that far outliers on the worse side do not stretch; None for no scores.

    Args:
        scores: what is drawn.
        sign: 1 where larger is better, else -1.
    """
    finite = sign * np.array([score for score in scores if abs(score) <= LARGEST])
    if not len(finite):
        return None
    best, middle = float(finite.max()), float(np.median(finite))
    worst = max(float(finite.min()), middle - _ROOM_BELOW * (best - middle)) if best > middle else float(finite.min())
    low, high = sorted((sign * worst, sign * best))
    return low, high


def _beyond(scores: Sequence[float], ends: tuple[float, float] | None) -> int:
    return 0 if ends is None else sum(not ends[0] <= score <= ends[1] for score in scores)


def _edge_note(count: int) -> str:
    return f"{count} far worse one{'s are' if count > 1 else ' is'} drawn at the edge." if count else ""


def cost_chart(figure: CostFigure, objective: str, sign: int) -> Figure:
    """Return the first objective against a cost, with limits, rejected candidates, front and knee."""
    scores = [trial.score for trial in figure.trials]
    ends = score_range(scores, sign)
    bounds = [bound for bound in (figure.low, figure.high, figure.soft_high) if isfinite(bound)]
    seen = [trial.x for trial in figure.trials]
    xs = [*seen, *bounds, *_near(seen + bounds, [x for _, x in figure.rejected])]
    area = chart(xs, scores, axis_text(figure.metric), goal_text(objective, sign), y_range=ends)
    marks = [*_limits(area, figure), *_ticks(area, figure.rejected)]
    marks += [
        mark(area.x(trial.x), area.y(trial.score), *_look(trial)[:2], trial=trial.number)
        for trial in sorted(figure.trials, key=lambda one: one.state is State.COMPLETED)
    ]
    marks.append(steps(area, [(trial.x, trial.score) for trial in figure.front], "front"))
    if figure.knee is not None:
        knee = figure.knee
        marks.append(mark(area.x(knee.x), area.y(knee.score), "star", "knee", trial=knee.number))
    words = f"{objective} of {len(figure.trials)} networks against {figure.metric}"
    return Figure(
        f"{objective} against {figure.metric}",
        area.draw(marks, words),
        tuple(_cost_keys(figure)),
        " ".join(filter(None, [f"{figure.metric}: {figure.doc}.", _edge_note(_beyond(scores, ends))])),
    )


def _near(seen: Sequence[float], rejected: Sequence[float]) -> list[float]:
    """Return the rejected costs that the axis reaches out to: not those at many times what is drawn otherwise."""
    if not seen:
        return list(rejected)
    low, high = min(seen), max(seen)
    return [x for x in rejected if low / 4 <= x <= high * 4]


_UNITS = {"params": "parameters", "macs": "multiply-adds", "latency_ms": "latency, ms", "activations": "activations"}


def axis_text(metric: str) -> str:
    """Return the title of the axis of a cost, with its unit."""
    if metric.endswith("_mib"):
        return f"{metric.removesuffix('_mib').replace('_', ' ')}, MiB"
    return _UNITS.get(metric, metric)


def goal_text(objective: str, sign: int) -> str:
    """Return the title of the axis of an objective, with its good direction."""
    return f"{objective} ({'higher' if sign > 0 else 'lower'} is better)"


def _limits(area: Chart, figure: CostFigure) -> Iterator[Markup]:
    """Yield the limits as lines, and the forbidden side shaded."""
    hard = (figure.low, area.x.low, "limit"), (figure.high, area.x.high, "limit")
    for bound, far, class_ in (*hard, (figure.soft_high, None, "limit soft")):
        if not isfinite(bound):
            continue
        at, top = area.x(bound), area.y.end
        if far is not None:
            left, right = sorted((at, area.x(far)))
            yield element("rect", x=left, y=top, width=right - left, height=area.bottom - top, class_="forbidden")
        yield element("line", x1=at, x2=at, y1=top, y2=area.bottom, class_=class_)


def _ticks(area: Chart, rejected: Sequence[tuple[int, float]]) -> list[Markup]:
    """Return rejected candidates as ticks above the axis; where several fall on one pixel, one of them."""
    at = {round(2 * area.x(x)): number for number, x in reversed(rejected)}
    return [mark(place / 2, area.bottom - 6, "tick", "reject", trial=number) for place, number in sorted(at.items())]


def _cost_keys(figure: CostFigure) -> Iterator[Key]:
    for shape, class_, words in dict.fromkeys(_look(trial) for trial in figure.trials):
        yield Key(sample_of(shape, class_), words)
    if figure.front:
        yield Key(line_sample("front"), "front: none is better in both")
    if figure.knee is not None:
        yield Key(sample_of("star", "knee"), f"knee of the front (trial {figure.knee.number})")
    if figure.low > -inf or figure.high < inf:
        bounds = " to ".join(compact(bound) for bound in (figure.low, figure.high) if isfinite(bound))
        yield Key(line_sample("limit"), f"limit {bounds}")
    if isfinite(figure.soft_high):
        yield Key(line_sample("limit soft"), f"soft limit {compact(figure.soft_high)}")
    if figure.rejected:
        yield Key(sample_of("tick", "reject"), f"rejected before training ({len(figure.rejected):,})")


def progress_chart(figure: ProgressFigure, objective: str, sign: int) -> Figure:
    """Return the best score so far, with what random candidates alone would have reached."""
    scores = [trial.score for trial in figure.trials]
    ends = score_range(scores, sign)
    last = max(1, len(scores))
    area = chart([1, last], scores, "evaluated networks", goal_text(objective, sign), y_range=ends, x_log=False)
    marks = [band(area, [(one.evaluations, one.low, one.high) for one in figure.random], "random-band")]
    marks += [
        mark(area.x(trial.x), area.y(trial.score), *_look(trial)[:2], trial=trial.number) for trial in figure.trials
    ]
    marks.append(line(area, [(one.evaluations, one.expected) for one in figure.random], "random-line"))
    keys = [Key(sample_of(*look[:2]), look[2]) for look in dict.fromkeys(map(_look, figure.trials))]
    if not figure.best:
        note = "Nothing of the search's own was evaluated to its end."
        return Figure("Best so far", area.draw(marks, note), tuple(keys), note)
    best = [(float(place), score) for place, score in figure.best]
    marks.append(steps(area, [*best, (float(last), best[-1][1])], "best"))
    keys.append(Key(line_sample("best"), "best so far, without random candidates"))
    note = "No random candidates to compare with; search.baseline_fraction=0.1 spends one in ten on them."
    if len(figure.random) == 1:
        note = "One random candidate alone is nothing to compare with."
    if len(figure.random) > 1:
        keys.append(Key(line_sample("random-line"), "best of so many random ones, expected, with 90 % of the orders"))
        note = (
            f"The random line ends with the {len(figure.random)} random candidates that there are: what more of them "
            "would have reached is not known."
        )
    note = " ".join(filter(None, [note, _edge_note(_beyond(scores, ends))]))
    return Figure("Best so far", area.draw(marks, f"best {objective} by evaluated networks"), tuple(keys), note)


def hypervolume_chart(volumes: Sequence[float]) -> Figure:
    """Return the growth of the hypervolume, as a share of the box between the worst and the best values found."""
    points = [(float(place), volume) for place, volume in enumerate(volumes, start=1)]
    area = chart(
        [1, len(points)], [0.0, 1.0], "evaluated networks", "share of the box", y_range=(0.0, 1.0), x_log=False
    )
    title = "How much the front covers"
    return Figure(title, area.draw([steps(area, points, "best")], "hypervolume by evaluated networks"))


_ROW, _BAR_WIDTH = 34, 240


def bars(rows: Sequence[tuple[str, float, float, float, str]], most: float) -> Markup:
    """Return horizontal bars with intervals, the name of each above it.

    Args:
        rows: name, value, ends of the interval (nan for none), and the text behind the bar.
        most: the value at the right end.
    """
    scale = Scale(0.0, most or 1.0, 2, _BAR_WIDTH)
    parts = []
    for place, (name, value, low, high, text) in enumerate(rows):
        top = place * _ROW
        parts.append(element("text", _cut(name), x=2, y=top + 12, class_="name"))
        parts.append(element("rect", x=2, y=top + 17, width=max(0.5, scale(value) - 2), height=10, class_="bar"))
        if isfinite(low) and isfinite(high):
            at, ends = top + 22.0, (scale(low), scale(high))
            whisker = (
                f"M{ends[0]:.1f} {at - 4}V{at + 4}M{ends[0]:.1f} {at}H{ends[1]:.1f}M{ends[1]:.1f} {at - 4}V{at + 4}"
            )
            parts.append(element("path", d=whisker, class_="whisker"))
        parts.append(element("text", text, x=_BAR_WIDTH + 8, y=top + 26, class_="tick"))
    height = max(1, len(rows)) * _ROW
    return element("svg", *parts, viewBox=f"0 0 {WIDTH} {height}", role="img", class_="chart")


def _cut(name: str, longest: int = 54) -> str:
    return name if len(name) <= longest else f"{name[: longest - 15]}…{name[-14:]}"


def time_chart(shares: Sequence[TimeShare]) -> Figure:
    """Return what the seconds went to as bars."""
    total = sum(share.seconds for share in shares) or 1.0
    texts = [f"{duration(share.seconds)} ({percent(share.seconds / total)})" for share in shares]
    rows = [(share.what, share.seconds, nan, nan, text) for share, text in zip(shares, texts, strict=True)]
    longest = max((share.seconds for share in shares), default=1.0)
    note = "From the first proposal to the end of the last trial; what comes before and after is in none of it."
    return Figure("Where the time went", bars(rows, longest), note=note)


def rung_chart(curves: Sequence[dict[int, float]], numbers: Sequence[int], rho: RungCorrelation) -> Figure:
    """Return the scores on one rung against those on the next, of the trials that have had both."""
    both = [
        (number, curve[rho.lower], curve[rho.upper])
        for number, curve in zip(numbers, curves, strict=True)
        if rho.lower in curve and rho.upper in curve
    ]
    xs, ys = [x for _, x, _ in both], [y for _, _, y in both]
    area = chart(xs, ys, f"score on rung {rho.lower}", f"score on rung {rho.upper}", x_log=False)
    marks = [mark(area.x(x), area.y(y), "circle", "dot", trial=number) for number, x, y in both]
    note = (
        f"Kendall's tau over all {rho.of} trials of rung {rho.lower}: {score_text(rho.tau)[:5]} "
        f"({rho.low:.2f} to {rho.high:.2f}); over the {rho.trials} that had both: {score_text(rho.promoted_tau)[:5]}."
    )
    if rho.doubtful:
        note += f" Rung {rho.lower} hardly tells what rung {rho.upper} would."
    return Figure(f"Rung {rho.lower} against rung {rho.upper}", area.draw(marks, note), (), note)
