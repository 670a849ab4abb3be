"""Where things stand in the picture of a network: a row a section, a box a block, the map's shape on every arrow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nas.cost import BlockProfile, cost_of, profile
from nas.network.architecture import Architecture
from nas.network.ops import Shape

CHAR, LINE = 6.6, 15
"""Width of a character and height of a line, in pixels, of the 11-pixel typeface."""

_BOX_HEIGHT = 6 * LINE + 8
_GAP = 84
_LEFT, _TOP = 92, 46
_ROW_GAP = 34
_MAX_WIDTH = 1500

_COLOURS = {
    "mbconv": "#e6dcf2",
    "classifier": "#e3e3e3",
    "conv": "#d6e4f5",
    "pool": "#f5e3c8",
    "residual": "#dcefd8",
    "preact": "#dcefd8",
    "dense": "#f5d9d6",
    "inception": "#f7efc5",
    "transformer": "#d5efef",
}
_PLAIN = "#eeeeee"


@dataclass(frozen=True, slots=True)
class Box:
    """A block, or several equal ones behind each other."""

    x: float
    y: float
    width: float
    height: float
    colour: str
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Arrow:
    """A line through points with its head at the last; `text` stands over its beginning."""

    points: tuple[tuple[float, float], ...]
    text: str


@dataclass(frozen=True, slots=True)
class Label:
    """Text that stands by itself."""

    x: float
    y: float
    text: str
    large: bool = False


@dataclass(frozen=True, slots=True)
class Picture:
    """All that is to be drawn."""

    width: float
    height: float
    boxes: tuple[Box, ...]
    arrows: tuple[Arrow, ...]
    labels: tuple[Label, ...]


def short(number: float) -> str:
    """Return `5.29 M` for 5,288,548."""
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if abs(number) >= size:
            return f"{number / size:.3g} {unit}"
    return f"{number:g}"


def shape_text(shapes: Sequence[Shape]) -> str:
    """Return `64x56x56`."""
    return ", ".join("x".join(map(str, shape)) for shape in shapes)


def groups(blocks: Sequence[BlockProfile]) -> list[list[BlockProfile]]:
    """Put blocks together that follow each other and are equal but for the first one's stride."""
    found: list[list[BlockProfile]] = []
    for one in blocks:
        before = found[-1][-1] if found else None
        if before is not None and before.block == one.block and before.in_shape == one.in_shape:
            found[-1].append(one)
        else:
            found.append([one])
    return found


def describe(group: Sequence[BlockProfile]) -> tuple[str, ...]:
    """Return the lines of a box: kind, settings, cost."""
    first = group[0]
    title = first.block.kind + (f"  x{len(group)}" if len(group) > 1 else "")
    settings = [f"{name} {_value(value)}" for name, value in first.settings().items()]
    params, macs = (sum(getattr(one.cost, name) for one in group) for name in ("params", "macs"))
    return (title, *_wrapped(settings, 24, 4), f"{short(params)} params, {short(macs)} MACs")


def _value(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _wrapped(words: Sequence[str], width: int, most: int) -> list[str]:
    lines: list[str] = [""]
    for word in words:
        if lines[-1] and len(lines[-1]) + len(word) + 2 > width:
            lines.append("")
        lines[-1] += (", " if lines[-1] else "") + word
    if len(lines) > most:
        lines = [*lines[: most - 1], "..."]
    return [line for line in lines if line]


def _colour(kind: str) -> str:
    return next((colour for part, colour in _COLOURS.items() if part in kind), _PLAIN)


def picture(arch: Architecture, title: str) -> Picture:
    """Lay a network out; raises `ShapeError` where it is none."""
    profiles = profile(arch)
    boxes: list[Box] = []
    arrows: list[Arrow] = []
    labels = [Label(12, 26, title, large=True), Label(12, _TOP + 6, _summary(arch))]
    y, right = _TOP + 24.0, 0.0
    end: tuple[float, float] | None = None
    shape = shape_text([arch.input_shape])
    for name, section in arch.sections():
        row = [one for one in profiles if one.name.rpartition(".")[0] == name]
        if not section.blocks:
            continue
        labels.append(Label(12, y + _BOX_HEIGHT / 2, name.removesuffix(".blocks")))
        x = float(_LEFT + _GAP)
        for group in groups(row):
            lines = describe(group)
            width = max(len(line) for line in lines) * CHAR + 14
            if x + width > _MAX_WIDTH and x > _LEFT + _GAP:
                x, y = float(_LEFT + _GAP), y + _BOX_HEIGHT + _ROW_GAP
            boxes.append(Box(x, y, width, _BOX_HEIGHT, _colour(group[0].block.kind), lines))
            arrows.append(_arrow(end, (x, y + _BOX_HEIGHT / 2), shape))
            end, shape = (x + width, y + _BOX_HEIGHT / 2), shape_text(group[-1].out_shapes)
            right = max(right, x + width)
            x += width + _GAP
        y += _BOX_HEIGHT + _ROW_GAP
    if end is not None:
        arrows.append(Arrow((end, (end[0] + _GAP, end[1])), shape))
    width = max(right + 2 * _GAP, max(len(label.text) * CHAR * 1.3 for label in labels) + 24)
    return Picture(width, y + 4, tuple(boxes), tuple(arrows), tuple(labels))


def _summary(arch: Architecture) -> str:
    cost = cost_of(arch)
    field = "all of the input" if cost.receptive_field is None else f"{cost.receptive_field} positions"
    return (
        f"{short(cost.params)} params, {short(cost.macs)} MACs, {cost.size_mib:.2f} MiB, "
        f"peak {cost.peak_memory_mib:.2f} MiB, sees {field}"
    )


def _arrow(start: tuple[float, float] | None, end: tuple[float, float], text: str) -> Arrow:
    """From box to box in a row; to the row below around the boxes between."""
    if start is None:
        return Arrow(((end[0] - _GAP, end[1]), end), text)
    if start[1] == end[1]:
        return Arrow((start, end), text)
    between = end[1] - _BOX_HEIGHT / 2 - _ROW_GAP / 2
    turn = end[0] - _GAP / 2
    return Arrow(
        (start, (start[0] + 14, start[1]), (start[0] + 14, between), (turn, between), (turn, end[1]), end), text
    )
