"""Charts as SVG: scales, axes with ticks, and the marks on them. Colours come from the style of the page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import ceil, floor, log10

from markupsafe import Markup

from nas.reports.markup import compact, element

WIDTH, HEIGHT = 360, 250
"""Of a chart, in pixels of a narrow screen; on a wide one it is drawn larger."""
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 12, 24, 40
_LOG_FROM = 8
"""From this ratio of the largest to the smallest value an axis is logarithmic."""
LARGEST = 1e150
"""Differences and ratios of larger numbers may be infinite."""
_MAX_TICKS = 6
_DENSE = 500
"""Of more marks each is paler."""
_CHARACTER = 6.2
"""Width of a digit of the labels, in pixels."""


@dataclass(frozen=True)
class Scale:
    """Maps values to positions along an axis."""

    low: float
    high: float
    """Ends of the axis; `low` is below `high`."""
    start: float
    end: float
    """Positions of the ends, in pixels."""
    log: bool = False
    """Whether equal distances are equal ratios."""

    def __call__(self, value: float) -> float:
        """Return the position of a value, in pixels; what lies beyond an end is put there."""
        value = min(max(value, self.low), self.high)
        if self.log:
            share = (log10(value) - log10(self.low)) / (log10(self.high) - log10(self.low))
        else:
            share = (value - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)

    @property
    def ticks(self) -> list[float]:
        """Round values along the axis, rising."""
        if self.log:
            decades = range(floor(log10(self.low)), ceil(log10(self.high)) + 1)
            found: list[float] = []
            for steps in ((1.0, 2.0, 5.0), (1.0, 3.0), (1.0,)):
                found = [s * 10.0**d for d in decades for s in steps if self.low <= s * 10.0**d <= self.high]
                if len(found) <= _MAX_TICKS:
                    break
            return found[:: ceil(len(found) / _MAX_TICKS)] if found else []
        step = _round_step((self.high - self.low) / 6)
        first = ceil(self.low / step - 1e-9)
        return [index * step for index in range(first, floor(self.high / step + 1e-9) + 1)]

    def labels(self) -> list[str]:
        """Return the text of each tick, all with as many decimals as tell them apart."""
        ticks = self.ticks
        if self.log or not ticks or max(map(abs, ticks)) >= 1000:
            return [compact(tick) for tick in ticks]
        step = min((later - earlier for earlier, later in pairwise(ticks)), default=max(abs(ticks[0]), 1.0))
        decimals = max(0, -floor(log10(step) + 1e-9)) if step > 0 else 0
        return [f"{tick:.{decimals}f}" for tick in ticks]


def _round_step(step: float) -> float:
    """Return the next larger one of 1, 2 and 5 times a power of ten."""
    power = 10.0 ** floor(log10(step))
    return next(times * power for times in (1.0, 2.0, 5.0, 10.0) if times * power >= step * 0.999)


def scale_for(values: Sequence[float], start: float, end: float, *, log: bool | None = None) -> Scale:
    """Return a scale that holds some values, with a little room at both ends.

    Args:
        values: what is drawn; those that are not finite, or too large to reckon with, are left out.
        start: position of the low end, in pixels.
        end: position of the high end.
        log: None: logarithmic where the values span a factor of 8 or more.
    """
    finite = [value for value in values if abs(value) <= LARGEST]
    low, high = (min(finite), max(finite)) if finite else (0.0, 1.0)
    if log is None:
        log = low > 0 and high / low >= _LOG_FROM
    if log and low >= 1 / LARGEST and high > low:
        room = (high / low) ** 0.04
        return Scale(low / room, high * room, start, end, log=True)
    room = 0.05 * (high - low) or 0.05 * abs(high) or 0.5
    floor_at_zero = low >= 0 and low - room < 0
    return Scale(0.0 if floor_at_zero else low - room, high + room, start, end)


@dataclass(frozen=True)
class Chart:
    """An area with two axes, to put marks on."""

    x: Scale
    y: Scale
    x_label: str
    """With the unit."""
    y_label: str
    width: int = WIDTH
    height: int = HEIGHT

    def draw(self, marks: Sequence[Markup], description: str) -> Markup:
        """Return the chart with its marks.

        Args:
            marks: what is drawn on it, the last on top.
            description: what it shows, for those who do not see it.
        """
        return element(
            "svg",
            element("title", description),
            *self._grid(),
            *marks,
            viewBox=f"0 0 {self.width} {self.height}",
            role="img",
            class_="chart dense" if len(marks) > _DENSE else "chart",
        )

    @property
    def bottom(self) -> float:
        """Where the horizontal axis is, in pixels from above."""
        return float(self.height - _BOTTOM)

    def _grid(self) -> list[Markup]:
        left, right, bottom = float(_LEFT), float(self.width - _RIGHT), self.bottom
        parts = [element("text", self.y_label, x=4, y=13, class_="axis-title")]
        for tick, label in zip(self.y.ticks, self.y.labels(), strict=True):
            at = self.y(tick)
            parts.append(element("line", x1=left, x2=right, y1=at, y2=at, class_="grid"))
            parts.append(element("text", label, x=left - 6, y=at + 4, class_="tick end"))
        for tick, label in self._x_labels():
            at = self.x(tick)
            parts.append(element("line", x1=at, x2=at, y1=bottom, y2=bottom + 4, class_="axis"))
            parts.append(element("text", label, x=at, y=bottom + 16, class_="tick middle"))
        parts.append(element("line", x1=left, x2=right, y1=bottom, y2=bottom, class_="axis"))
        middle = (left + right) / 2
        parts.append(element("text", self.x_label, x=middle, y=self.height - 6, class_="axis-title middle"))
        return parts

    def _x_labels(self) -> list[tuple[float, str]]:
        """Return the ticks along the bottom, without those whose labels would touch the one before."""
        shown: list[tuple[float, str]] = []
        free_from = 0.0
        for tick, label in zip(self.x.ticks, self.x.labels(), strict=True):
            half = len(label) * _CHARACTER / 2
            if self.x(tick) - half >= free_from and self.x(tick) + half <= self.width:
                shown.append((tick, label))
                free_from = self.x(tick) + half + 6
        return shown


def chart(
    xs: Sequence[float],
    ys: Sequence[float],
    x_label: str,
    y_label: str,
    *,
    y_range: tuple[float, float] | None = None,
    x_log: bool | None = None,
    y_log: bool = False,
) -> Chart:
    """Return a chart whose axes hold some values.

    Args:
        xs: along the bottom.
        ys: upwards.
        x_label: what they are, with the unit.
        y_label: the same of the others.
        y_range: of the vertical axis, where it is not to hold all values.
        x_log: whether the axis along the bottom is logarithmic; None: where the values ask for it.
        y_log: whether the vertical axis is logarithmic.
    """
    heights = ys if y_range is None else y_range
    return Chart(
        scale_for(xs, _LEFT, WIDTH - _RIGHT, log=x_log),
        scale_for(heights, HEIGHT - _BOTTOM, _TOP, log=y_log),
        x_label,
        y_label,
    )


def steps(chart: Chart, points: Sequence[tuple[float, float]], class_: str) -> Markup:
    """Return a line that keeps each height until the next point."""
    if not points:
        return Markup("")
    parts = [f"M{chart.x(points[0][0]):.1f} {chart.y(points[0][1]):.1f}"]
    parts += [f"H{chart.x(x):.1f}V{chart.y(y):.1f}" for x, y in points[1:]]
    return element("path", d="".join(parts), class_=class_)


def line(chart: Chart, points: Sequence[tuple[float, float]], class_: str) -> Markup:
    """Return a line through points."""
    if not points:
        return Markup("")
    path = "L".join(f"{chart.x(x):.1f} {chart.y(y):.1f}" for x, y in points)
    return element("path", d=f"M{path}", class_=class_)


def band(chart: Chart, points: Sequence[tuple[float, float, float]], class_: str) -> Markup:
    """Return the area between two lines: `(x, low, high)` for each point."""
    if not points:
        return Markup("")
    there = [f"{chart.x(x):.1f} {chart.y(high):.1f}" for x, _, high in points]
    back = [f"{chart.x(x):.1f} {chart.y(low):.1f}" for x, low, _ in reversed(points)]
    return element("path", d=f"M{'L'.join([*there, *back])}Z", class_=class_)


SHAPES = {
    "circle": "M-3.2 0a3.2 3.2 0 1 0 6.4 0a3.2 3.2 0 1 0 -6.4 0Z",
    "triangle": "M0 -4L3.7 2.8H-3.7Z",
    "down": "M0 4L3.7 -2.8H-3.7Z",
    "diamond": "M0 -4.4L3.6 0L0 4.4L-3.6 0Z",
    "square": "M-3 -3H3V3H-3Z",
    "cross": "M-3 -3L3 3M3 -3L-3 3",
    "tick": "M0 -5V5",
    "star": "M0 -7L1.9 -2.3L6.9 -2L3 1.2L4.3 6.1L0 3.4L-4.3 6.1L-3 1.2L-6.9 -2L-1.9 -2.3Z",
}
"""Outlines of marks around their centre: told apart without colour."""


def mark(x: float, y: float, shape: str, class_: str, *, trial: int | None = None, label: str | None = None) -> Markup:
    """Return a mark at a position in pixels.

    Args:
        x: from the left.
        y: from above.
        shape: a name in `SHAPES`.
        class_: its class in the style of the page.
        trial: number of the trial whose row of the table is shown when the pointer is on it.
        label: text that is shown instead.
    """
    return element(
        "path",
        d=SHAPES[shape],
        transform=f"translate({x:.1f} {y:.1f})",
        class_=class_,
        data_trial=trial,
        data_label=label,
    )
