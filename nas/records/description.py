"""What MLflow's page of a search says in words, and the table of what was rejected."""

from __future__ import annotations

import csv
import html
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from nas.cost import constraints_from
from nas.errors import NasError, plain
from nas.records.values import MAX_TEXT, mlflow_text
from nas.search.study import Study
from nas.search.trial import Trial
from nas.to_type import to_type

_SHOWN = 5
_SHOWN_OF_FRONT = 20
"""Networks in the table: a tag of MLflow takes so much text, and the artifacts have all."""
_FEW = 3
"""Where the names in it are so long that this is too many."""
_LARGE = 1e6
"""From here on a score is told with its exponent."""
_SPECIAL = re.compile(r"([\\`*_{}\[\]()#+!|~>-])")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What spreadsheets take for the beginning of a formula."""


def description_of(study: Study, pages: Mapping[int, str], most_rejected: int) -> str:
    """Return a study in Markdown: what was asked, what came out, and how to go on.

    Args:
        study: that has ended, or was interrupted.
        pages: of its trials that have runs, by number: their path behind the address of the server.
        most_rejected: of the rejected trials that have runs of their own.
    """
    counts, then = _counts(study, most_rejected), _next(study)
    for rows in (_SHOWN_OF_FRONT if len(study.objectives) > 1 else _SHOWN, _FEW):
        text = "\n\n".join(filter(None, (_asked(study), _found(study, pages, rows), counts, then)))
        if len(text) <= MAX_TEXT:  # what is longer is cut, and a table that is cut is none
            break
    return text


def as_text(text: str) -> str:
    """Return a text so that Markdown shows it as it is, what is no visible letter as Python writes it."""
    line = " ".join(text.split())
    return _SPECIAL.sub(r"\\\1", html.escape(plain(line, len(line)), quote=False))


def _asked(study: Study) -> str:
    config = study.notes.get("config", {})
    aims = " and ".join(f"{one.direction} {as_text(one.name)}" for one in study.objectives)
    said = f"Search of **{as_text(study.space.name)}** to {aims}"
    given = {name: bound for name, bound in _mapping(config, "constraints").items() if bound is not None}
    limits = ""
    with suppress(NasError):  # of a record that somebody edited
        limits = ", ".join(as_text(str(limit)) for limit in constraints_from(given)) if given else ""
    data = _mapping(config, "data").get("name")
    return said + (f", within {limits}" if limits else "") + (f", on {as_text(str(data))}" if data else "") + "."


def _mapping(config: Any, name: str) -> Mapping[str, Any]:
    value = config.get(name) if isinstance(config, Mapping) else None
    return value if isinstance(value, Mapping) else {}


def _found(study: Study, pages: Mapping[int, str], most: int) -> str:
    every = study.best(len(study.trials) if len(study.objectives) > 1 else most)
    if not every:
        return "Nothing was found."
    knee = study.knee() if len(study.objectives) > 1 else None
    best = [trial for place, trial in enumerate(every) if place < most or trial is knee]
    names = dict.fromkeys([*(one.name for one in study.objectives if not one.is_cost)])
    timed = any(trial.latency for trial in best)
    head = ["trial", *map(as_text, names), "params", "MACs", *(["ms"] if timed else [])]
    rows = [head, ["---"] + ["--:"] * (len(head) - 1)]
    rows += [[_named(trial, pages, knee), *_figures(trial, names, timed=timed)] for trial in best]
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    count = study.compared
    chosen = (
        f"The Pareto front of {count} networks, its knee in bold{_left_out(len(every) - len(best))}:"
        if knee is not None
        else f"The best of {count} networks. The score of the best is the best of many, so too high:"
    )
    return f"{chosen}\n\n{table}"


def _left_out(count: int) -> str:
    return f"; {count} further networks on it are in the artifact pareto_front.json" if count else ""


def _named(trial: Trial, pages: Mapping[int, str], knee: Trial | None) -> str:
    page = pages.get(trial.number)
    text = f"[{trial.number}]({page[1:]})" if page else str(trial.number)  # without the slash, it is this server's
    return f"**{text}**" if trial is knee else text


def _figures(trial: Trial, names: Mapping[str, None], *, timed: bool) -> Iterator[str]:
    for name in names:
        score = trial.scores.get(name)
        yield "" if score is None else f"{score:.4f}" if abs(score) < _LARGE else f"{score:.6g}"
    yield f"{trial.cost.params:,}" if trial.cost else ""
    yield f"{trial.cost.macs:,}" if trial.cost else ""
    if timed:
        yield f"{trial.latency.ms:.3f}" if trial.latency else ""


def _counts(study: Study, most_rejected: int) -> str:
    counts = study.counts()
    said = "Trials: " + ", ".join(f"{count:,} {as_text(state)}" for state, count in counts.items()) + "."
    rejected = counts.get("rejected", 0)
    if rejected > most_rejected:
        said += f" Of the rejected ones the first {most_rejected} are runs; all are in the artifact rejected.csv."
    return said + (f" It ended: {as_text(study.stop_reason)}." if study.stop_reason else "")


def _next(study: Study) -> str:
    if study.folder is None:
        return ""
    return "\n".join(
        f"    {' '.join(line.split())}"
        for line in (to_type("finish", study.folder), to_type("search", f"resume={study.folder}"))
    )


def rejected_table(rejected: Sequence[Trial]) -> str:
    """Return rejected trials as CSV: number, why, costs that are limited, and the decisions.

    A text that a spreadsheet would take for a formula begins with an apostrophe.
    """
    limited = dict.fromkeys(violation.metric for trial in rejected for violation in trial.violations)
    decided = dict.fromkeys(name for trial in rejected for name in trial.decisions)
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(map(_cell, ("trial", "reason", *limited, *decided)))
    for trial in rejected:
        values = {violation.metric: violation.value for violation in trial.violations}
        row = (trial.number, trial.reason, *map(values.get, limited), *map(trial.decisions.get, decided))
        writer.writerow(map(_cell, row))
    return file.getvalue()


def _cell(value: object) -> object:
    if not isinstance(value, str):
        return value
    return ("'" if value.startswith(_FORMULA) else "") + mlflow_text(value)
