"""The report of a comparison or a scaling study: its text, and charts of what stands in its CSV files."""

from __future__ import annotations

import base64
import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite, nan
from pathlib import Path
from typing import Any

import numpy as np

from nas.errors import ConfigError, plain
from nas.reports.markup import compact
from nas.reports.plot import band, chart, line, mark
from nas.reports.render import render
from nas.reports.search_charts import Figure, Key, axis_text, line_sample
from nas.reports.text_blocks import Block, blocks
from nas.run_folder import read_inside, read_json, shown
from nas.to_type import to_type

TEXT, _CURVES, _RUNS, _SETTINGS = "report.md", "curves.csv", "runs.csv", "settings.json"
_UNNAMED = ("edf.svg",)
"""Pictures that the text does not name."""
_COLOURS = 6
_MOST_EVALUATIONS = 400
"""Points of a curve that are drawn."""


@dataclass(frozen=True)
class FolderPage:
    """What the template of a comparison or a scaling study shows."""

    charts: tuple[Figure, ...]
    blocks: tuple[Block, ...]
    pictures: Mapping[str, str]
    """By the name of the file, what it holds as the address of an `img`, in which no script runs."""
    settings: str
    command: str


def folder_page(folder: Path) -> str:
    """Return the text of the page of a comparison or a scaling study.

    Raises:
        ConfigError: there is no report of one, or a file cannot be read.
    """
    text = _read(folder / TEXT)
    if text is None:
        raise ConfigError(
            f"{folder} holds no study.json of a search, and no {TEXT} of a finish, a comparison or a scaling study; "
            f"for the folder of a training {to_type('evaluate', shown(folder.absolute()))} writes a page"
        )
    parts = blocks(text)
    parts += [Block(picture=name) for name in _UNNAMED if (folder / name).is_file()]
    title = next((part.heading for part in parts if part.heading), folder.absolute().name)
    page = FolderPage(
        charts=tuple(_charts(folder)),
        blocks=tuple(part for part in parts if part.heading != title),
        pictures={part.picture: address for part in parts if (address := _picture(folder, part.picture))},
        settings=_settings(folder),
        command=to_type("report", shown(folder.absolute())),
    )
    return render("folder.html", title, page=page)


def _read(file: Path) -> str | None:
    """Return a text file of the folder; None where it is not there."""
    try:
        return read_inside(file).decode("utf-8", errors="replace")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigError(f"{file} cannot be read: {error.strerror or error}") from None


def _picture(folder: Path, name: str) -> str:
    text = _read(folder / name) if name else None
    return f"data:image/svg+xml;base64,{base64.b64encode(text.encode()).decode()}" if text else ""


def _settings(folder: Path) -> str:
    if not (folder / _SETTINGS).is_file():
        return ""
    values: Any = read_json(folder / _SETTINGS, "settings", lambda found: found)
    return plain(json.dumps(values, indent=1), longest=100_000)


def _charts(folder: Path) -> Iterator[Figure]:
    curves, runs = _read(folder / _CURVES), _read(folder / _RUNS)
    if curves is not None:
        rows = list(csv.DictReader(io.StringIO(curves)))
        if rows and {"strategy", "seed", "evaluation"} <= rows[0].keys():
            yield _course(rows)
    if runs is not None:
        rows = list(csv.DictReader(io.StringIO(runs)))
        if rows and {"rule", "macs", "loss"} <= rows[0].keys():
            yield from (_sizes(rows, axis) for axis in ("macs", "params") if axis in rows[0])


def _number(text: str | None) -> float:
    try:
        return float(text or nan)
    except ValueError:
        return nan


def _course(rows: Sequence[Mapping[str, str]]) -> Figure:
    """Return median and quartiles of each strategy over its seeds, by the number of evaluations."""
    names = list(dict.fromkeys(row["strategy"] for row in rows))[:_COLOURS]
    columns = list(rows[0])
    regret = any(row.get("regret") for row in rows)
    measure = "regret" if regret else columns[columns.index("seconds") + 1 if "seconds" in columns else -1]
    courses = {name: _quartiles([row for row in rows if row["strategy"] == name], measure) for name in names}
    ys = [y for course in courses.values() for _, *ends in course for y in ends]
    xs = [x for course in courses.values() for x, *_ in course]
    label = f"{'regret' if regret else measure} ({'lower' if regret else 'higher'} is better)"
    area = chart(xs, ys, "evaluations", label, x_log=False)
    bands = [
        band(area, [(x, low, high) for x, low, _, high in course], f"run-band run{place}")
        for place, course in enumerate(courses.values())
    ]
    lines = [
        line(area, [(x, middle) for x, _, middle, _ in course], f"run run{place}")
        for place, course in enumerate(courses.values())
    ]
    legend = [Key(line_sample(f"run run{place}"), plain(name)) for place, name in enumerate(names)]
    note = f"{plain(measure)} so far: medians over the seeds, and the quartiles as bands."
    return Figure("Course of the searches", area.draw([*bands, *lines], note), tuple(legend), note)


def _quartiles(rows: Sequence[Mapping[str, str]], measure: str) -> list[tuple[float, float, float, float]]:
    """Return evaluations, lower quartile, median and upper quartile; a search that ended holds its last value."""
    by_seed: dict[str, list[float]] = {}
    for row in rows:
        by_seed.setdefault(row["seed"], []).append(_number(row.get(measure)))
    last = max(map(len, by_seed.values()))
    table = np.array([values + [values[-1]] * (last - len(values)) for values in by_seed.values()])
    found = np.nanpercentile(table, [25, 50, 75], axis=0).T
    kept = np.unique(np.linspace(0, last - 1, min(last, _MOST_EVALUATIONS)).round().astype(int))
    quartiles = [tuple(map(float, found[place])) for place in kept]
    return [(float(place + 1), low, middle, high) for place, (low, middle, high) in zip(kept, quartiles, strict=True)]


def _sizes(rows: Sequence[Mapping[str, str]], axis: str) -> Figure:
    """Return the loss of every training against a cost, and the mean of each size, by rule."""
    names = list(dict.fromkeys(row["rule"] for row in rows))[:_COLOURS]
    points = [(row["rule"], _number(row[axis]), _number(row["loss"]), row) for row in rows]
    points = [point for point in points if isfinite(point[1]) and isfinite(point[2])]
    area = chart([x for _, x, _, _ in points], [y for _, _, y, _ in points], axis_text(axis), "loss (lower is better)")
    marks = []
    for place, name in enumerate(names):
        own = [(x, y) for rule, x, y, _ in points if rule == name]
        means = [(x, float(np.mean([y for at, y in own if at == x]))) for x in sorted({x for x, _ in own})]
        marks.append(line(area, means, f"run run{place}"))
    for name, x, y, row in points:
        if name in names:
            label = f"{plain(name)}, phi {plain(row.get('phi', ''))}\nloss {y:.4g}\n{axis} {compact(x)}"
            marks.append(mark(area.x(x), area.y(y), "circle", f"run-dot run{names.index(name)}", label=label))
    legend = [Key(line_sample(f"run run{place}"), plain(name)) for place, name in enumerate(names)]
    note = "Each training as a point, the mean of each size as a line."
    return Figure(f"Loss against {axis}", area.draw(marks, note), tuple(legend), note)
