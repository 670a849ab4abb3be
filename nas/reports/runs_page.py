"""Several searches side by side on one page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nas.errors import ConfigError, plain
from nas.pareto import hypervolume
from nas.reports.markup import percent, score_text
from nas.reports.plot import chart, mark, steps
from nas.reports.render import render
from nas.reports.search_charts import Figure, Key, axis_text, goal_text, line_sample, score_range
from nas.reports.search_figures import CostFigure, ProgressFigure, cost_figure, progress_figure, shown_metrics
from nas.reports.search_record import SearchRecord, read_record
from nas.reports.search_words import asked, limit_text
from nas.reports.tables import Head, Table, number, table_of, whole, words
from nas.run_folder import shown
from nas.search.reporting.progress import duration
from nas.search.trial import State
from nas.to_type import to_type

_COLOURS = 6
"""Colours and patterns of lines, by which runs are told apart."""
_MOST_COSTS = 4


@dataclass(frozen=True)
class SearchOfSeveral:
    """One of several searches, with its figures."""

    record: SearchRecord
    name: str
    progress: ProgressFigure
    costs: dict[str, CostFigure]


@dataclass(frozen=True)
class RunsPage:
    """What the template of several searches shows."""

    summary: tuple[str, ...]
    table: Table
    progress: tuple[Figure, ...]
    costs: tuple[Figure, ...]
    asked: tuple[tuple[str, str], ...]
    command: str


def runs_page(folders: Sequence[Path]) -> str:
    """Return the text of the page of several searches.

    Raises:
        ConfigError: there are too many, they have other objectives, or one cannot be read.
    """
    if len(folders) > _COLOURS:
        raise ConfigError(f"{len(folders)} runs are too many for one page: {_COLOURS} can be told apart")
    records = [read_record(folder) for folder in folders]
    _check_alike(records)
    metrics = _common_metrics(records)
    searches = [
        SearchOfSeveral(
            record,
            plain(name),
            progress_figure(record.study),
            {metric: cost_figure(record.study, metric, record.limits) for metric in metrics},
        )
        for record, name in zip(records, _names(folders), strict=True)
    ]
    return render("runs.html", f"{', '.join(one.name for one in searches)}", page=_page(searches, metrics))


def _check_alike(records: Sequence[SearchRecord]) -> None:
    first = records[0]
    goal = first.study.objectives[0]
    for record in records[1:]:
        other = record.study.objectives[0]
        if other != goal:
            raise ConfigError(
                f"searches side by side need the same first objective, but {first.folder} is to {goal.direction} "
                f"{goal.name}, and {record.folder} to {other.direction} {other.name}"
            )


def _names(folders: Sequence[Path]) -> list[str]:
    """Return the names of the folders, with those above where two have the same."""
    names = [folder.absolute().name for folder in folders]
    return names if len(set(names)) == len(names) else [str(shown(folder.absolute())) for folder in folders]


def _common_metrics(records: Sequence[SearchRecord]) -> list[str]:
    """Return the costs that some run has a chart of, those of the first one first."""
    metrics = [metric for record in records for metric in shown_metrics(record.study, record.limits)]
    return list(dict.fromkeys(metrics))[:_MOST_COSTS]


def _page(searches: Sequence[SearchOfSeveral], metrics: Sequence[str]) -> RunsPage:
    objective = searches[0].record.study.objectives[0]
    volumes = {metric: _volumes(searches, metric, objective.sign) for metric in metrics}
    best = [one for one in searches if one.progress.best]
    summary = [f"{len(searches)} searches for the {'highest' if objective.sign > 0 else 'lowest'} {objective.name}."]
    if best:
        ranked = sorted(best, key=lambda one: -objective.sign * one.progress.best[-1][1])
        found = "; ".join(f"{one.name} {score_text(one.progress.best[-1][1])}" for one in ranked)
        summary.append(f"The best score that each found without its random candidates: {found}.")
    summary.append(
        "Each is the best of many in a single search, so that a difference may be luck: nas compare repeats searches "
        "over seeds and tests the difference."
    )
    charts = [_front_chart(searches, metric, volumes[metric]) for metric in metrics]
    return RunsPage(
        tuple(summary),
        _table(searches, metrics, volumes),
        (_progress_chart(searches),),
        tuple(charts),
        tuple((one.name, asked(one.record)) for one in searches),
        to_type("report", *(shown(one.record.folder.absolute()) for one in searches)),
    )


def _volumes(searches: Sequence[SearchOfSeveral], metric: str, sign: int) -> list[float]:
    """Return the hypervolume of each front, as a share of the box between the worst and the best of all the runs."""
    points = [
        np.array(
            [(sign * one.score, -one.x) for one in search.costs[metric].trials if one.state is State.COMPLETED]
        ).reshape(-1, 2)
        for search in searches
    ]
    every = np.concatenate(points)
    if not len(every) or not np.all(np.ptp(every, axis=0) > 0):
        return [float("nan")] * len(searches)
    worst, box = every.min(axis=0), float(np.prod(np.ptp(every, axis=0)))
    return [hypervolume(one, worst) / box for one in points]


def _table(searches: Sequence[SearchOfSeveral], metrics: Sequence[str], volumes: dict[str, list[float]]) -> Table:
    objective = searches[0].record.study.objective
    heads = [
        *(Head("run", "text"), Head("space", "text"), Head("sampler", "text"), Head("seed"), Head("limits", "text")),
        *(Head("evaluated"), Head("rejected"), Head("time"), Head(f"best {objective}"), Head("params"), Head("macs")),
        *(Head(f"front, {metric}") for metric in metrics),
    ]
    rows = []
    for place, one in enumerate(searches):
        study, saved = one.record.study, one.record.saved
        winner, counts = study.winner, study.counts()
        cost = winner.cost if winner else None
        limits = ", ".join(map(limit_text, one.record.limits)) or "none"
        elapsed = max((trial.elapsed for trial in study.trials), default=0.0)
        score = study.judged(winner) if winner else float("nan")
        cells = [
            words(one.name),
            words(study.space.name),
            words(saved.get("sampler", "")),
            words(saved.get("seed", "")),
        ]
        cells += [words(limits), whole(study.evaluated), whole(counts["rejected"])]
        cells += [words(duration(elapsed)), number(score, score_text(score))]
        cells += [whole(cost.params if cost else float("nan")), whole(cost.macs if cost else float("nan"))]
        cells += [number(volumes[metric][place], percent(volumes[metric][place])) for metric in metrics]
        rows.append(cells)
    return table_of(heads, rows)


def _progress_chart(searches: Sequence[SearchOfSeveral]) -> Figure:
    objective = searches[0].record.study.objectives[0]
    scores = [score for one in searches for _, score in one.progress.best]
    last = max([1, *(len(one.progress.trials) for one in searches)])
    ends = score_range(scores, objective.sign)
    label = goal_text(objective.name, objective.sign)
    area = chart([1, last], scores, "evaluated networks", label, y_range=ends, x_log=False)
    marks, legend = [], []
    for place, one in enumerate(searches):
        points = [(float(x), y) for x, y in one.progress.best]
        end = [(float(len(one.progress.trials)), points[-1][1])] if points else []
        marks.append(steps(area, points + end, f"run run{place}"))
        legend.append(Key(line_sample(f"run run{place}"), one.name))
    return Figure("Best so far of the search's own", area.draw(marks, "best score by run"), tuple(legend))


def _front_chart(searches: Sequence[SearchOfSeveral], metric: str, volumes: Sequence[float]) -> Figure:
    objective = searches[0].record.study.objectives[0]
    fronts = [one.costs[metric].front for one in searches]
    points = [point for front in fronts for point in front]
    area = chart(
        [point.x for point in points],
        [point.score for point in points],
        axis_text(metric),
        goal_text(objective.name, objective.sign),
    )
    marks, legend = [], []
    for place, (one, front, volume) in enumerate(zip(searches, fronts, volumes, strict=True)):
        marks.append(steps(area, [(point.x, point.score) for point in front], f"run run{place}"))
        for point in front:
            label = (
                f"{one.name}, trial {point.number}\n{objective.name} {score_text(point.score)}\n{metric} {point.x:,.6g}"
            )
            at = area.x(point.x), area.y(point.score)
            marks.append(mark(*at, "circle", f"run-dot run{place}", label=label))
        legend.append(Key(line_sample(f"run run{place}"), f"{one.name}: {percent(volume)}"))
    note = (
        f"Behind each name the share of all combinations of {objective.name} and {metric}, between the worst and the "
        "best that any of these runs found, that its front is at least as good as in both (hypervolume, 100 % being "
        "the ideal)."
    )
    return Figure(f"Fronts: {objective.name} against {metric}", area.draw(marks, "fronts by run"), tuple(legend), note)
