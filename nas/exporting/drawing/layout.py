"""The layout of the picture of a network: a row a section, a box a block, the map's shape on every arrow."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from nas.cost import BlockCost, block_costs, cost_of
from nas.network.architecture import Architecture
from nas.network.ops import Shape
from nas.network.registry import Block, block_kind
from nas.network.section import Section

CHAR, LINE = 6.6, 15
"""Width of a character and height of a line, in pixels, of the 11-pixel typeface."""

_GAP = 84
_LEFT, _TOP = 92, 46
_ROW_GAP = 34
_MAX_WIDTH = 1500
_MAX_NESTED_LINES, _MAX_LINE = 24, 72

# Settings that are shown also where they have their default.
_ALWAYS_SHOWN = (
    "out_channels",
    "features",
    "kernel",
    "stride",
    "expand_ratio",
    "se_ratio",
    "heads",
    "mlp_ratio",
    "growth",
)

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
    """Left edge, in pixels."""
    y: float
    """Upper edge, in pixels."""
    width: float
    """In pixels."""
    height: float
    """In pixels."""
    colour: str
    """Of the inside, as `#rrggbb`."""
    lines: tuple[str, ...]
    """Text, the first line in bold."""


class Point(NamedTuple):
    """A position in the picture."""

    x: float
    """From the left edge, in pixels."""
    y: float
    """From the upper edge, in pixels."""


@dataclass(frozen=True, slots=True)
class Arrow:
    """A line through points with its head at the last; `text` stands over its beginning."""

    points: tuple[Point, ...]
    """Corners of the line."""
    text: str
    """The shape of the value that passes."""


@dataclass(frozen=True, slots=True)
class Label:
    """Text that stands by itself."""

    x: float
    """Left end, in pixels."""
    y: float
    """Base line, in pixels."""
    text: str
    """A line."""
    large: bool = False
    """Whether it is set larger, in bold."""


@dataclass(frozen=True, slots=True)
class Picture:
    """All that is to be drawn."""

    width: float
    """In pixels."""
    height: float
    """In pixels."""
    boxes: tuple[Box, ...]
    """The blocks in order."""
    arrows: tuple[Arrow, ...]
    """The values between blocks, from the input on."""
    labels: tuple[Label, ...]
    """Title, costs and names of sections."""


def short(number: float) -> str:
    """Return `5.29 M` for 5,288,548."""
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if abs(number) >= size:
            return f"{number / size:.3g} {unit}"
    return f"{number:g}"


def shape_text(shapes: Sequence[Shape]) -> str:
    """Return `64x56x56`."""
    return ", ".join("x".join(map(str, shape)) for shape in shapes)


def groups(blocks: Sequence[BlockCost]) -> list[list[BlockCost]]:
    """Put blocks together that follow each other and are equal but for the first one's stride."""
    grouped: list[list[BlockCost]] = []
    for cost in blocks:
        before = grouped[-1][-1] if grouped else None
        if before is not None and before.block == cost.block and before.in_shape == cost.in_shape:
            grouped[-1].append(cost)
        else:
            grouped.append([cost])
    return grouped


def describe(group: Sequence[BlockCost]) -> tuple[str, ...]:
    """Return the lines of a box: kind, settings, blocks inside it, cost."""
    first = group[0]
    title = first.block.kind + (f"  x{len(group)}" if len(group) > 1 else "")
    params, macs = sum(block.cost.params for block in group), sum(block.cost.macs for block in group)
    nested = list(_nested_lines(first.block))
    if len(nested) > _MAX_NESTED_LINES:
        nested = [*nested[: _MAX_NESTED_LINES - 1], f"... {len(nested) - _MAX_NESTED_LINES + 1} more lines"]
    settings = _wrapped(_settings(first.block), 26, 6)
    return (title, *settings, *nested, f"{short(params)} params, {short(macs)} MACs")


def _settings(block: Block) -> list[str]:
    """The settings that matter most of a block, and those that are not the default."""
    declared = block_kind(block.kind).settings
    values = {name: value for name, value in block.settings if not declared[name].holds_blocks}
    gated = bool(values.get("se_ratio", True))
    shown = [
        name
        for name, value in values.items()
        if (name in _ALWAYS_SHOWN and value not in (None, 0, False)) or value != declared[name].default
    ]
    shown = [name for name in shown if gated or not name.startswith("se_")]
    shown.sort(key=lambda name: name not in _ALWAYS_SHOWN)
    return [f"{name} {_value(values[name])}" for name in shown]


def _nested_lines(block: Block, indent: int = 0) -> Iterator[str]:
    """Yield the blocks that a block is made of: a line a branch, deeper ones further right."""
    for name, value in block.settings:
        branches = [value] if isinstance(value, Section) else value if isinstance(value, tuple) else []
        for i, branch in enumerate(branches):
            label = f"{name}.{i}" if isinstance(value, tuple) else name
            words: list[str] = []
            for nested in branch.blocks:
                words.append(_brief(nested))
                if any(isinstance(setting, tuple | Section) for _, setting in nested.settings):
                    yield _line(indent, label, words)
                    yield from _nested_lines(nested, indent + 1)
                    label, words = "then", []
            if words or not branch.blocks:
                yield _line(indent, label, words or ["as it is"])


def _line(indent: int, label: str, words: Sequence[str]) -> str:
    text = "  " * indent + f"{label}: {' > '.join(words)}"
    return text if len(text) <= _MAX_LINE else f"{text[: _MAX_LINE - 4]} ..."


def _brief(block: Block) -> str:
    """A block in a few words, e.g. `conv 3 to 64`."""
    values = dict(block.settings)
    kernel = f" {values['kernel']}" if values.get("kernel") else ""
    channels = f" to {values['out_channels']}" if values.get("out_channels") else ""
    return f"{block.kind}{kernel}{channels}"


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
    costs = block_costs(arch)
    boxes: list[Box] = []
    arrows: list[Arrow] = []
    labels = [Label(12, 26, title, large=True), Label(12, _TOP + 6, _summary(arch))]
    top, right = _TOP + 24.0, 0.0
    end: Point | None = None
    shape = shape_text([arch.input_shape])
    for name, section in arch.sections():
        row = [cost for cost in costs if cost.name.rpartition(".")[0] == name]
        if not section.blocks:
            continue
        label = name.removesuffix(".blocks")
        for line in _lines_of_boxes(groups(row)):
            height = max(group.height for group in line)
            middle, x = top + height / 2, float(_LEFT + _GAP)
            labels.append(Label(12, middle, label))
            label = ""
            for group in line:
                boxes.append(Box(x, middle - group.height / 2, group.width, group.height, group.colour, group.lines))
                arrows.append(_arrow(end, Point(x, middle), shape, top))
                end, shape = Point(x + group.width, middle), shape_text(group.out_shapes)
                right = max(right, x + group.width)
                x += group.width + _GAP
            top += height + _ROW_GAP
    if end is not None:
        arrows.append(Arrow((end, Point(end.x + _GAP, end.y)), shape))
    width = max(right + 2 * _GAP, max(len(label.text) * CHAR * 1.3 for label in labels) + 24)
    return Picture(width, top + 4, tuple(boxes), tuple(arrows), tuple(labels))


@dataclass(frozen=True, slots=True)
class _Group:
    """Equal blocks behind each other, as a box that has no position yet."""

    lines: tuple[str, ...]
    width: float
    height: float
    colour: str
    out_shapes: tuple[Shape, ...]
    """Of the last block."""

    @classmethod
    def of(cls, blocks: Sequence[BlockCost]) -> _Group:
        lines = describe(blocks)
        width, height = max(map(len, lines)) * CHAR + 14, len(lines) * LINE + 8
        return cls(lines, width, height, _colour(blocks[0].block.kind), blocks[-1].out_shapes)


def _lines_of_boxes(row: Sequence[Sequence[BlockCost]]) -> list[list[_Group]]:
    """Break a section where it is wider than the page."""
    lines: list[list[_Group]] = []
    room = 0.0
    for blocks in row:
        group = _Group.of(blocks)
        if not lines or group.width > room:
            lines.append([])
            room = float(_MAX_WIDTH - _LEFT - _GAP)
        lines[-1].append(group)
        room -= group.width + _GAP
    return lines


def _summary(arch: Architecture) -> str:
    cost = cost_of(arch)
    seen = "all of the input" if cost.receptive_field is None else f"{cost.receptive_field} positions"
    return (
        f"{short(cost.params)} params, {short(cost.macs)} MACs, {cost.size_mib:.2f} MiB, "
        f"peak {cost.peak_memory_mib:.2f} MiB, sees {seen}"
    )


def _arrow(start: Point | None, end: Point, text: str, top: float) -> Arrow:
    """From box to box in a row; to the row below, which begins at `top`, around the boxes between."""
    if start is None:
        return Arrow((Point(end.x - _GAP, end.y), end), text)
    if start.y == end.y:
        return Arrow((start, end), text)
    between, before_end = top - _ROW_GAP / 2, end.x - _GAP / 2
    behind = Point(start.x + 14, start.y)
    around = Point(behind.x, between), Point(before_end, between), Point(before_end, end.y)
    return Arrow((start, behind, *around, end), text)
