"""The report of a search as one page."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from random import Random
from typing import Any

from markupsafe import Markup

from nas.compare.strategies.baseline import baseline_lines
from nas.errors import NasError, plain
from nas.exporting.drawing import to_svg
from nas.finishing.folder import REPORT_MD
from nas.reports import search_words
from nas.reports.commands_to_repeat import search_command, train_command
from nas.reports.importance import Importance, importance
from nas.reports.markup import compact, percent, score_text
from nas.reports.render import render
from nas.reports.search_charts import (
    Figure,
    bars,
    cost_chart,
    hypervolume_chart,
    progress_chart,
    rung_chart,
    time_chart,
)
from nas.reports.search_figures import (
    SharedValue,
    completed,
    cost_columns,
    cost_figure,
    counted_value,
    origin_of,
    progress_figure,
    scored_on,
    shared_values,
    shown_metrics,
    telling_rung,
    time_shares,
)
from nas.reports.search_record import SearchRecord
from nas.reports.tables import Cell, Head, Row, Table, number, table_of, whole, words
from nas.run_folder import FINISH, shown, understood
from nas.search.log import STUDY
from nas.search.reporting.progress import duration
from nas.search.reporting.rejections import Rejection, rejections
from nas.search.reporting.rungs import rung_correlations
from nas.search.study import Study
from nas.search.trial import State, Trial
from nas.to_type import to_type
from nas.training.recipe_decisions import recipe_text, value_text, with_prefix

_DRAWN = 1000
"""Networks of the space over which the variance of scores is meant."""
_MOST_DECISIONS = 12
"""Of which the chart shows what they explain."""
_WHOLE = frozenset({"params", "macs", "activations", "receptive_field"})


@dataclass(frozen=True)
class Tile:
    """A figure in large type."""

    value: str
    what: str


@dataclass(frozen=True)
class SearchPage:
    """What the template of a search shows."""

    objective: str
    summary: tuple[str, ...]
    tiles: tuple[Tile, ...]
    sections: tuple[tuple[str, str], ...]
    costs: tuple[Figure, ...]
    progress: tuple[Figure, ...]
    baseline: tuple[str, ...]
    importance_words: str
    importance: Figure | None
    shared: Table
    shared_words: str
    rejections: Table
    rejection_words: str
    rungs: tuple[Figure, ...]
    drawing: Markup | None
    winner_title: str
    winner_words: str
    trials: Table
    time: Figure
    environment: tuple[tuple[str, str], ...]
    commands: tuple[tuple[str, str], ...]
    settings: str


def search_page(record: SearchRecord, *, reload_seconds: float | None = None) -> str:
    """Return the text of the page of a search; where that runs yet, one that reads itself again after some seconds."""
    study = record.study
    best = study.best(len(study.trials))
    front = f"front of {len(best)} networks, " if len(study.objectives) > 1 else ""
    score = f": {front}best {study.objective} {score_text(best[0].scores[study.objective])}" if best else ""
    return render("search.html", f"{study.name}{score}", reload_seconds=reload_seconds, page=_page(record))


def _page(record: SearchRecord) -> SearchPage:
    study, sign = record.study, record.study.objectives[0].sign
    rung = telling_rung(study)
    found, shared, rejected = _importance(study, rung), shared_values(study), rejections(study)
    progress = progress_figure(study)
    charts = [progress_chart(progress, study.objective, sign)]
    charts += [hypervolume_chart(progress.hypervolume)] * bool(progress.hypervolume)
    rungs, drawing = _rungs(study), _drawing(study)
    winner = study.winner
    return SearchPage(
        objective=study.objective,
        summary=(search_words.asked(record), *search_words.came_out(record)),
        tiles=tuple(_tiles(record)),
        sections=_sections(rungs=bool(rungs), drawing=drawing is not None),
        costs=tuple(
            cost_chart(cost_figure(study, metric, record.limits), study.objective, sign)
            for metric in shown_metrics(study, record.limits)
        ),
        progress=tuple(charts),
        baseline=tuple(baseline_lines(study)),
        importance_words=search_words.importance_words(found, study),
        importance=_importance_figure(found, rung) if found is not None else None,
        shared=_shared_table(shared),
        shared_words=_shared_words(shared, study),
        rejections=_rejection_table(rejected),
        rejection_words=search_words.rejection_words(rejected, record),
        rungs=rungs,
        drawing=drawing,
        winner_title="The knee of the front" if len(study.objectives) > 1 else "The best network",
        winner_words=search_words.winner_words(study, winner) if winner else "",
        trials=_trial_table(record),
        time=time_chart(time_shares(study, record.workers)),
        environment=tuple(_environment(record)),
        commands=tuple(_commands(record)),
        settings=plain(json.dumps(record.config or dict(record.saved), indent=1, default=str), longest=100_000),
    )


def _sections(*, rungs: bool, drawing: bool) -> tuple[tuple[str, str], ...]:
    return (
        ("costs", "costs"),
        ("progress", "progress"),
        ("decisions", "decisions"),
        ("rejections", "rejections"),
        *([("rungs", "rungs")] * rungs),
        *([("winner", "best network")] * drawing),
        ("all", "all trials"),
        ("time", "time"),
        ("environment", "repeat it"),
    )


def _tiles(record: SearchRecord) -> Iterator[Tile]:
    study, winner = record.study, record.study.winner
    if winner is not None:
        for objective in study.objectives:
            text = search_words.objective_text(study, objective, winner)
            yield Tile(text, f"{objective.name} of trial {winner.number}")
        for limit in record.limits:
            value = counted_value(study, winner, limit.metric)
            if isfinite(value) and isfinite(limit.high):
                what = f"{limit.metric}, {percent(value / limit.high) if limit.high else 'all'} of the limit"
                yield Tile(compact(value), what)
    yield Tile(f"{study.evaluated:,}", "networks evaluated")
    yield Tile(f"{study.counts()['rejected']:,}", "rejected before training")
    yield Tile(
        duration(max((trial.elapsed for trial in study.trials), default=0.0)), "from first proposal to last trial"
    )


def _importance(study: Study, rung: int | None) -> Importance | None:
    random = Random(0)
    drawn = [study.space.sample(random) for _ in range(_DRAWN)]
    drawn = [{**genotype, **with_prefix(study.recipe.draw(random))} for genotype in drawn]
    done = scored_on(study, rung)
    return importance([trial.decisions for trial, _ in done], [score for _, score in done], drawn)


def _importance_figure(found: Importance, rung: int | None) -> Figure:
    named = list(found.decisions.items())[:_MOST_DECISIONS]
    rows = [(name, one.share, one.low, one.high, search_words.share_text(one)) for name, one in named]
    rest = found.rest
    rows.append(("together only, and noise", rest.share, rest.low, rest.high, search_words.share_text(rest)))
    left = len(found.decisions) - len(named)
    note = (
        f"What each decision explains by itself of the variance over the space, with the 95 % interval, from "
        f"{found.trials} evaluated networks by an analysis of variance with random effects."
    )
    note += (
        f" {found.outliers} of them are far off what their decisions say, and hardly count." if found.outliers else ""
    )
    note += f" Scores are those on rung {rung}, which most networks have had." if rung is not None else ""
    note += f" {left} further decisions explain less." if left > 0 else ""
    return Figure("Share of the variance", bars(rows, max(row[3] for row in rows)), (), note)


def _shared_table(shared: Sequence[SharedValue]) -> Table:
    heads = (Head("decision", "text"), Head("value", "text"), Head("of the best"), Head("of all"))
    return table_of(
        heads,
        (
            (
                words(one.decision),
                words(search_words.value_text(one.value)),
                words(f"{one.among_best} of {one.best}"),
                words(f"{one.among_all} of {one.evaluated}"),
            )
            for one in shared
        ),
    )


def _shared_words(shared: Sequence[SharedValue], study: Study) -> str:
    if shared:
        return (
            "Values that clearly more of the best tenth have than of all evaluated networks. The search tries again "
            "what was good, so that this shows what it came to, and not by itself a cause."
        )
    few = len(completed(study)) < 10
    return "Too few networks to tell." if few else "No value is clearly more frequent among the best than among all."


def _rejection_table(found: Sequence[Rejection]) -> Table:
    names = ("rejected", "by it alone", "nearest miss", "its bound", "over by", "trial")
    heads = (Head("limit", "text"), *map(Head, names))
    return table_of(heads, (_rejection_row(one) for one in found))


def _rejection_row(one: Rejection) -> list[Cell]:
    cells = [words(one.metric or one.what), whole(one.count), whole(one.alone)]
    if one.nearest is None:
        return [*cells, *(Cell("") for _ in range(4))]
    miss = one.nearest
    return [
        *cells,
        *(words(search_words.cost_text(value)) for value in (miss.violation.value, miss.violation.bound)),
        words(percent(miss.violation.excess)),
        whole(miss.number),
    ]


def _rungs(study: Study) -> tuple[Figure, ...]:
    curves = study.rung_scores
    numbers = [trial.number for trial in study.trials if trial.first_rung is not None]
    return tuple(rung_chart(curves, numbers, rho) for rho in rung_correlations(curves))


def _drawing(study: Study) -> Markup | None:
    winner = study.winner
    if winner is None:
        return None
    try:
        drawn = to_svg(study.space.decode(winner.genotype), title=f"trial {winner.number}")
    except NasError:  # a space that has changed since
        return None
    return Markup(drawn)


def _trial_table(record: SearchRecord) -> Table:
    study = record.study
    scores = [one.name for one in study.objectives if not one.is_cost]
    folds = [name for name in scores if any(trial.deviation(name) is not None for trial in study.trials)]
    soft, measured = any(trial.soft_excess for trial in study.trials), any(trial.latency for trial in study.trials)
    costs = [cost for cost in cost_columns(study, record.limits) if cost != "latency_ms" or measured]
    heads = [
        *(Head("trial"), Head("state", "text"), *map(Head, scores)),
        *(Head(f"{name}, sd of folds") for name in folds),
        *([Head("judged")] * soft),
        *map(Head, costs),
        *map(Head, study.recipe.decisions),
        *(Head("seconds"), Head("origin", "text"), *([Head("rung")] * (study.rungs > 1))),
        *(Head("reason", "text long"), Head("network", "text"), Head("decisions", "text long")),
    ]
    rows = []
    for trial in _best_first(study):
        cells = [whole(trial.number), words(trial.state.replace("_", " "))]
        cells += [_score_cell(trial.scores.get(name)) for name in scores]
        cells += [_score_cell(trial.deviation(name)) for name in folds]
        cells += [_score_cell(study.judged(trial) if trial.state is State.COMPLETED else None)] * soft
        cells += [_cost_cell(study, trial, cost) for cost in costs]
        cells += [_recipe_cell(trial.recipe.get(name)) for name in study.recipe.decisions]
        seconds = trial.seconds.get("evaluation", float("nan"))
        cells += [number(seconds, f"{seconds:.1f}"), words(_origin(trial))]
        cells += [words(study.rung_text(trial))] * (study.rungs > 1)
        cells += [words(trial.reason), words(trial.arch_id or ""), words(_decisions(trial))]
        rows.append(Row(tuple(cells), str(trial.number)))
    return Table(tuple(heads), tuple(rows))


def _best_first(study: Study) -> list[Trial]:
    sign = study.objectives[0].sign

    def key(trial: Trial) -> tuple[bool, float, int]:
        values = study.values(trial) if trial.state is State.COMPLETED else None
        known = values is not None and isfinite(values[0])
        return not known, -sign * values[0] if known and values else 0.0, trial.number

    return sorted(study.trials, key=key)


def _score_cell(value: float | None) -> Cell:
    return Cell("") if value is None else number(value, score_text(value))


def _cost_cell(study: Study, trial: Trial, metric: str) -> Cell:
    value = counted_value(study, trial, metric)
    return whole(value) if metric in _WHOLE else number(value, f"{value:.4g}")


def _recipe_cell(value: Any) -> Cell:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return number(value, value_text(value))
    return words("" if value is None else value_text(value))


def _origin(trial: Trial) -> str:
    names = {"search": "", "random": "random"}
    if trial.duplicate_of is not None:
        return f"same as trial {trial.duplicate_of}"
    origin = trial.design or names.get(origin_of(trial), "")
    inherited = f"weights of trial {trial.inherited_from}" if trial.inherited_share else ""
    again = f"trial {trial.rerun_of} run again" if trial.rerun_of is not None else ""
    return ", ".join(filter(None, [origin, again, inherited]))


def _decisions(trial: Trial) -> str:
    return " ".join(f"{name}={search_words.value_text(value)}" for name, value in trial.genotype.items())


def _environment(record: SearchRecord) -> Iterator[tuple[str, str]]:
    notes, study = record.study.notes, record.study
    yield "run folder", plain(str(shown(record.folder)))
    yield "study", study.study_id
    data = record.data
    for name in ("name", "train_images", "val_images", "fold_images", "split_fingerprint"):
        if name in data:
            yield f"data: {name.replace('_', ' ')}", plain(str(data[name]))
    for name in ("evaluator", "pruner"):
        group = record.config.get(name)
        if isinstance(group, dict) and "name" in group:
            yield name, plain(str(group["name"]))
    for name in ("workers", "accelerator", "seed"):
        if name in record.config:
            yield name, plain(str(record.config[name]))
    versions = notes.get("versions", {})
    if isinstance(versions, dict):
        yield "versions", plain(", ".join(f"{name} {version}" for name, version in versions.items()) or "not recorded")


def _by_settings(record: SearchRecord, command: Callable[[Mapping[str, Any]], str]) -> str:
    """Return a command that is made of the settings in the record, or why that cannot be."""
    try:
        with understood("the settings in", record.folder / STUDY):
            return command(record.config)
    except NasError as error:
        return f"its settings cannot be read any more: {error}"


def _commands(record: SearchRecord) -> Iterator[tuple[str, str]]:
    folder = shown(record.folder)
    if record.config:
        again = "The same search again, trial by trial:"
        if record.workers != 1:
            again = "A search by the same settings; what several workers try depends on which of them is first:"
        yield again, _by_settings(record, search_command)
    else:
        yield "It was made from Python:", "nas.run_search(space, evaluate, ...) with the settings below"
    winner = record.study.winner
    if winner is not None and winner.recipe and record.config:
        again = f"The best network, trained again by its recipe ({recipe_text(winner.recipe)}):"
        yield again, _by_settings(record, lambda config: train_command(folder, config, winner))
    if winner is not None and (record.folder / FINISH / REPORT_MD).is_file():
        yield "What its best networks are worth, trained anew:", to_type("report", shown(record.folder / FINISH))
    elif winner is not None and record.config:
        yield (
            "Is the best network really better than a published one? Trained anew, on the test split:",
            to_type("finish", folder),
        )
    yield "This report again:", to_type("report", folder)
