"""The two main charts of a search as PNG, for papers and slides."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from math import isfinite, nan
from typing import Any

from nas.reports.plot import LARGEST
from nas.reports.search_charts import axis_text, goal_text, score_range
from nas.reports.search_figures import (
    CostFigure,
    ProgressFigure,
    ScoredTrial,
    cost_figure,
    progress_figure,
    shown_metrics,
)
from nas.reports.search_record import SearchRecord
from nas.search.trial import State

_BLUE, _ORANGE, _RED, _INK, _GREY = "#0072b2", "#8a5a00", "#b8420a", "#1c2430", "#566070"
_SIZE = 4.4, 3.4
"""Of a chart, in inches."""
_LOG_FROM = 8


def pictures(record: SearchRecord) -> dict[str, bytes]:
    """Return the charts of a search as PNG files, by their names: costs and progress."""
    study = record.study
    objective, sign = study.objective, study.objectives[0].sign
    figures = [cost_figure(study, metric, record.limits) for metric in shown_metrics(study, record.limits)]
    costs, axes = _figure(len(figures))
    for area, figure in zip(axes, figures, strict=True):
        _draw_cost(area, figure)
        _finish(area, axis_text(figure.metric), goal_text(objective, sign), [one.score for one in figure.trials], sign)
    progress, (area,) = _figure(1)
    course = progress_figure(study)
    _draw_progress(area, course)
    _finish(area, "evaluated networks", goal_text(objective, sign), [one.score for one in course.trials], sign)
    return {"report_costs.png": _png(costs), "report_progress.png": _png(progress)}


def _figure(count: int) -> tuple[Any, Sequence[Any]]:
    # Without pyplot, which would keep every figure and ask for a screen.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    columns = min(3, count)
    rows = -(-count // columns)
    width, height = _SIZE[0] * columns, _SIZE[1] * rows
    figure = Figure(figsize=(width, height))
    FigureCanvasAgg(figure)
    # Fixed margins, in inches: a layout that is solved for draws everything several times.
    sides = {"left": 0.75 / width, "right": 1 - 0.15 / width, "bottom": 0.55 / height, "top": 1 - 0.15 / height}
    figure.subplots_adjust(**sides, wspace=0.28, hspace=0.28)
    return figure, list(figure.subplots(rows, columns, squeeze=False).ravel()[:count])


def _png(figure: Any) -> bytes:
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=150)
    return file.getvalue()


def _xy(trials: Sequence[ScoredTrial]) -> tuple[list[float], list[float]]:
    return [one.x for one in trials], _drawn(one.score for one in trials)


def _drawn(scores: Iterable[float]) -> list[float]:
    """Return scores without those that matplotlib cannot reckon with."""
    return [score if abs(score) <= LARGEST else nan for score in scores]


def _draw_cost(area: Any, figure: CostFigure) -> None:
    done = [one for one in figure.trials if one.state is State.COMPLETED]
    others = [one for one in figure.trials if one.state is not State.COMPLETED]
    if others:
        area.plot(*_xy(others), "x", color=_GREY, markersize=4, label="ended early or over a limit")
    area.plot(*_xy(done), "o", color=_BLUE, markersize=4, alpha=0.75, label="evaluated")
    if figure.front:
        area.step(*_xy(figure.front), where="post", color=_INK, linewidth=1, label="front")
    if figure.knee is not None:
        area.plot([figure.knee.x], [figure.knee.score], "*", color="#e6a000", markersize=13, label="knee")
    bounds = [bound for bound in (figure.low, figure.high) if isfinite(bound)]
    for bound in bounds:
        area.axvline(bound, color=_RED, linestyle="--", linewidth=1.2, label="limit")
    seen = [one.x for one in figure.trials] + bounds
    rejected = [x for _, x in figure.rejected if seen and min(seen) / 4 <= x <= max(seen) * 4]
    if rejected:
        area.plot(
            rejected, [0.02] * len(rejected), "|", color=_RED, transform=area.get_xaxis_transform(), label="rejected"
        )
    if seen and min(seen) > 0 and max(seen) / min(seen) >= _LOG_FROM:
        area.set_xscale("log")


def _draw_progress(area: Any, figure: ProgressFigure) -> None:
    for origin, shape, colour in (("search", "o", _BLUE), ("design", "s", "#7a3d8f"), ("random", "^", _ORANGE)):
        some = [one for one in figure.trials if one.origin == origin]
        if some:
            area.plot(*_xy(some), shape, color=colour, markersize=4, alpha=0.75, label=origin)
    if len(figure.random) > 1:
        counts = [one.evaluations for one in figure.random]
        area.plot(counts, [one.expected for one in figure.random], "--", color=_ORANGE, label="best random, expected")
        ends = [one.low for one in figure.random], [one.high for one in figure.random]
        area.fill_between(counts, *ends, color=_ORANGE, alpha=0.16, linewidth=0)
    if figure.best:
        places = [place for place, _ in figure.best] + [len(figure.trials)]
        scores = _drawn(score for _, score in figure.best)
        area.step(places, [*scores, scores[-1]], where="post", color=_BLUE, label="best so far")


def _finish(area: Any, x_label: str, y_label: str, scores: Sequence[float], sign: int) -> None:
    ends = score_range(scores, sign)
    if ends is not None and ends[0] < ends[1]:
        room = 0.06 * (ends[1] - ends[0])
        area.set_ylim(ends[0] - room, ends[1] + room)
        beyond = sum(not ends[0] <= score <= ends[1] for score in scores)
        if beyond:
            words = f"{beyond} far worse not shown"
            area.text(0.99, 0.07, words, ha="right", fontsize="x-small", transform=area.transAxes)
    area.set_xlabel(x_label)
    area.set_ylabel(y_label.replace("$", r"\$"))
    area.grid(alpha=0.3)
    if area.get_legend_handles_labels()[0]:
        handles = dict(zip(*reversed(area.get_legend_handles_labels()), strict=True))
        area.legend(handles.values(), handles.keys(), fontsize="x-small")
