"""A diagnosis of networks as a page: what sums it up as a table, charts by depth, and receptive fields as pictures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite, nan
from statistics import median
from typing import Any

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from nas.errors import plain
from nas.reports.markup import compact
from nas.reports.plot import chart, line
from nas.reports.render import render
from nas.reports.search_charts import Figure, Key, line_sample
from nas.reports.tables import Head, Table, number, table_of, whole, words
from nas.training.diagnostics.dead_units import Units
from nas.training.diagnostics.results import Diagnosis, Measured, NetworkDiagnosis
from nas.training.evaluation_page import picture

_LINES = 6
"""Lines that can be told apart in a chart."""

COLUMNS: Mapping[str, str] = {
    "loss": "loss",
    "gradient_first": "gradient norm, first layer",
    "gradient_last": "gradient norm, last layer",
    "gradient_ratio": "first / last",
    "signal_ratio": "signal back, first / last but one",
    "output_growth": "output std, last but one / first",
    "dead_share": "dead units",
    "reached_field": "field reached",
    "effective_field": "effective field",
    "shift_variation": "shift variation",
    "shift_variation_anti_aliased": "the same, anti-aliased",
    "shift_consistency": "same class after shift",
    "shift_consistency_anti_aliased": "the same, anti-aliased",
    "largest_eigenvalue": "largest eigenvalue",
    "loss_rise": "loss rise nearby",
}
"""Heads of the numbers that sum a network up."""
MEANINGS = (
    "Gradient norms are Euclidean, of the mean cross-entropy of one batch to the weight of a layer, batch "
    "normalisation as in training; the signal is the root mean square of the gradient of one example to what a layer "
    "gives (Glorot & Bengio 2010, He et al. 2015).",
    "Dead units: channels or features whose activation has the derivative 0 for every image and position (Lu et al. "
    "2019).",
    "Fields are in positions of the input. Theoretical: what the windows allow; reached: the largest side of what has "
    "any influence, so at most the image; effective: the side of a square of what has 4.55 % of the largest influence "
    "or more (Luo et al. 2016).",
    "Shift variation: how far the logits move when the image moves by a pixel, in a circle, over how far those of two "
    "images are apart: 0 is invariant, 1 as if it were another image. Anti-aliased: the same weights, not trained "
    "anew, with a blur before whatever subsamples (Zhang 2019).",
    "Sharpness: the largest eigenvalue of the Hessian of the loss, and how much the loss rises when all weights move "
    "by 0.05 along the gradient (Foret et al. 2021). It depends on the scale of the weights (Dinh et al. 2017).",
)


@dataclass(frozen=True)
class DiagnosisPage:
    """What the template shows."""

    summary: tuple[str, ...]
    table: Table
    charts: tuple[Figure, ...]
    fields: tuple[Figure, ...]
    meanings: tuple[str, ...]


def diagnosis_page(found: Diagnosis) -> str:
    """Return the text of the page of a diagnosis."""
    page = DiagnosisPage(
        summary=tuple(_summary(found)),
        table=_table(found.networks),
        charts=tuple(_charts(found.networks[:_LINES])),
        fields=tuple(_field(one) for one in found.networks if one.runs[0].field is not None),
        meanings=MEANINGS,
    )
    names = ", ".join(plain(one.name) for one in found.networks[:3])
    return render("diagnosis.html", f"Diagnosis: {names}{' ...' * (len(found.networks) > 3)}", page=page)


def _summary(found: Diagnosis) -> list[str]:
    lines = [
        f"{len(found.networks)} networks on {found.images:,} training images of {found.data}, and as many validation "
        "images where they are moved; the test split is not read."
    ]
    seeds = max(len(one.runs) for one in found.networks)
    if any(one.weights is None for one in found.networks):
        lines.append(
            f"Fresh weights: the median over {seeds} seed{'s' * (seeds > 1)}, lines and pictures of the first."
        )
    if len(found.networks) > _LINES:
        lines.append(f"The charts show the first {_LINES} networks, the table all.")
    return lines


def _table(networks: Sequence[NetworkDiagnosis]) -> Table:
    measured = [one.numbers() for one in networks]
    shown = [name for name in COLUMNS if any(name in numbers for numbers in measured)]
    heads = (Head("network", "text"), Head("weights", "text"), Head("depth"), Head("params"), Head("theoretical field"))
    rows = []
    for one, numbers in zip(networks, measured, strict=True):
        field = one.cost.receptive_field
        cells = [words(one.name), words("trained" if one.weights else "fresh"), whole(one.depth)]
        cells += [whole(one.cost.params), words("all") if field is None else whole(field)]
        rows.append([*cells, *(number(numbers.get(name, nan)) for name in shown)])
    return table_of([*heads, *(Head(COLUMNS[name]) for name in shown)], rows)


Points = Sequence[tuple[float, float]]


def _charts(networks: Sequence[NetworkDiagnosis]) -> list[Figure]:
    charts: list[tuple[str, str, Callable[[Measured], Points], bool]] = [
        ("Gradient norm by depth", "norm of the gradient to the weight", _gradients, True),
        ("Signal on its way back", "rms gradient to the output, an example", _signals, True),
        ("Signal on its way forward", "standard deviation of the output", _outputs, True),
        ("Inactive by depth", "share of numbers with derivative 0", _inactive, False),
        ("Dead units by depth", "share of units", _dead, False),
    ]
    made = [_chart(networks, *one) for one in charts]
    return [figure for figure in made if figure is not None]


def _gradients(one: Measured) -> Points:
    return [(layer.depth, layer.gradient_norm) for layer in one.gradients.layers] if one.gradients else []


def _signals(one: Measured) -> Points:
    return [(layer.depth, layer.signal_rms) for layer in one.gradients.layers[:-1]] if one.gradients else []


def _outputs(one: Measured) -> Points:
    return [(layer.depth, layer.std) for layer in one.outputs]


def _inactive(one: Measured) -> Points:
    return [(units.depth, units.inactive) for units in one.units]


def _dead(one: Measured) -> Points:
    def share(units: Units) -> float:
        return units.dead / units.units

    return [(units.depth, share(units)) for units in one.units]


def _chart(
    networks: Sequence[NetworkDiagnosis], title: str, label: str, points_of: Callable[[Measured], Points], log: bool
) -> Figure | None:
    lines = [_by_depth(points_of(one.runs[0]), log=log) for one in networks]
    every = [point for points in lines for point in points]
    if not every:
        return None
    heights = [y for _, y in every]
    area = chart([x for x, _ in every], heights, "depth", label, x_log=False, y_log=log and max(heights) > min(heights))
    marks = [line(area, points, f"run run{place}") for place, points in enumerate(lines)]
    legend = tuple(
        Key(line_sample(f"run run{place}"), plain(one.name))
        for place, (one, points) in enumerate(zip(networks, lines, strict=True))
        if points
    )
    return Figure(title, area.draw(marks, f"{label} by depth, a line a network"), legend)


def _by_depth(points: Points, *, log: bool) -> Points:
    """Return the median at each depth; on a logarithmic axis without what is 0."""
    at: dict[float, list[float]] = {}
    for x, y in points:
        if isfinite(y) and (y > 0 or not log):
            at.setdefault(x, []).append(y)
    return [(x, median(at[x])) for x in sorted(at)]


def _field(one: NetworkDiagnosis) -> Figure:
    """Return the influence of each position as a picture, white for the largest, on a scale of square roots."""
    field = one.runs[0].field
    assert field is not None
    levels: NDArray[np.uint8] = np.round(255 * np.sqrt(field.influence)).astype(np.uint8)
    theoretical = one.cost.receptive_field
    said = "all" if theoretical is None else f"{theoretical:,}"
    note = f"{field.layer}: theoretical {said}, reached {field.reached:,}, effective {compact(field.effective)}"
    drawn: Any = picture(levels[None], f"influence of each position, {plain(one.name)}")
    return Figure(plain(one.name), Markup(drawn), (), note)
