"""A laid-out picture as SVG text, PNG file or Graphviz text."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Any

from nas.cost import block_costs
from nas.errors import ConfigError
from nas.exporting.drawing.layout import (
    CHAR,
    LINE,
    Arrow,
    Box,
    Label,
    Picture,
    Point,
    describe,
    groups,
    picture,
    shape_text,
)
from nas.network.architecture import Architecture

_INK, _PALE = "#222222", "#666666"


def draw(arch: Architecture, path: str | Path, *, title: str = "") -> Path:
    """Write a picture of a network.

    Args:
        arch: the network.
        path: a file that ends in .svg, .png or .dot (Graphviz).
        title: what stands over it; by default the `arch_id`.

    Raises:
        ConfigError: another ending, or a file that cannot be written.
    """
    path = check_drawing(path)
    name = _printable(title) or f"network {arch.arch_id}"
    try:
        if path.suffix == ".svg":
            path.write_text(to_svg(arch, title=name))
        elif path.suffix == ".dot":
            path.write_text(to_dot(arch, title=name))
        else:
            _png(picture(arch, name)).save(path)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} cannot be written: {error}") from None
    return path


def check_drawing(path: str | Path) -> Path:
    """Return the path of a drawing; raises `ConfigError` for an ending that stands for no format."""
    path = Path(path)
    if path.suffix not in (".svg", ".png", ".dot"):
        raise ConfigError(f"a drawing ends in .svg, .png or .dot, but got {path.name!r}")
    return path


def to_svg(arch: Architecture, *, title: str = "") -> str:
    """Return a picture of a network as SVG: a row a section, a box a block, shapes on the arrows."""
    drawn = picture(arch, _printable(title) or f"network {arch.arch_id}")
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{drawn.width:.0f}" height="{drawn.height:.0f}" '
        f'viewBox="0 0 {drawn.width:.0f} {drawn.height:.0f}" font-family="DejaVu Sans Mono, monospace" font-size="11">',
        f'<defs><marker id="end" markerWidth="8" markerHeight="8" refX="7" refY="4" orient="auto">'
        f'<path d="M0,1 L7,4 L0,7 z" fill="{_PALE}"/></marker></defs>',
        '<rect width="100%" height="100%" fill="white"/>',
        *map(_svg_arrow, drawn.arrows),
        *map(_svg_box, drawn.boxes),
        *map(_svg_label, drawn.labels),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _printable(title: str) -> str:
    """The first 200 characters of a title without those that no picture can show: controls, halves of characters."""
    return "".join(character for character in title[:200] if character.isprintable())


def _svg_arrow(arrow: Arrow) -> str:
    points = " ".join(f"{x:.0f},{y:.0f}" for x, y in arrow.points)
    start = arrow.points[0]
    return (
        f'<polyline points="{points}" fill="none" stroke="{_PALE}" marker-end="url(#end)"/>'
        f'<text x="{start.x + 3:.0f}" y="{start.y - 5:.0f}" fill="{_PALE}" font-size="10">{escape(arrow.text)}</text>'
    )


def _svg_box(box: Box) -> str:
    lines = ""
    for i, line in enumerate(box.lines):
        weight = ' font-weight="bold"' if i == 0 else ""
        at = f'x="{box.x + 7:.0f}" y="{box.y + LINE * (i + 1):.0f}"'
        lines += f'<text {at} fill="{_INK}"{weight}>{escape(line)}</text>'
    return (
        f'<rect x="{box.x:.0f}" y="{box.y:.0f}" width="{box.width:.0f}" height="{box.height:.0f}" rx="4" '
        f'fill="{box.colour}" stroke="{_PALE}"/>{lines}'
    )


def _svg_label(label: Label) -> str:
    size = ' font-size="15" font-weight="bold"' if label.large else ""
    return f'<text x="{label.x:.0f}" y="{label.y:.0f}" fill="{_INK}"{size}>{escape(label.text)}</text>'


def to_dot(arch: Architecture, *, title: str = "") -> str:
    """Return a network as Graphviz text: a cluster a section, a node a block, shapes on the edges."""
    name = _printable(title) or f"network {arch.arch_id}"
    lines = [f"digraph {_quoted(name)} {{", "  node [shape=box, fontname=monospace]; edge [fontname=monospace];"]
    lines.append("  input [shape=plaintext]; output [shape=plaintext];")
    last, shape, number = "input", shape_text([arch.input_shape]), 0
    costs = block_costs(arch)
    for section, _ in arch.sections():
        row = [cost for cost in costs if cost.name.rpartition(".")[0] == section]
        nodes, edges = [], []
        for group in groups(row):
            node, text = f"b{number}", "\\n".join(line.replace("\\", "").replace('"', "'") for line in describe(group))
            nodes.append(f'    {node} [label="{text}"];')
            edges.append(f'  {last} -> {node} [label="{shape}"];')
            last, shape, number = node, shape_text(group[-1].out_shapes), number + 1
        if nodes:
            label = section.removesuffix(".blocks")
            lines += [f"  subgraph {_quoted(f'cluster_{label}')} {{ label={_quoted(label)};", *nodes, "  }", *edges]
    lines += [f'  {last} -> output [label="{shape}"];', "}"]
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "").replace('"', "'") + '"'


def _png(drawn: Picture, scale: int = 2) -> Any:
    """Draw with Pillow, which only this needs."""
    from PIL import Image, ImageDraw, ImageFont

    image = Image.new("RGB", (round(drawn.width) * scale, round(drawn.height) * scale), "white")
    pen = ImageDraw.Draw(image)
    small, large = ImageFont.load_default(CHAR * 1.7 * scale), ImageFont.load_default(15 * scale)
    for arrow in drawn.arrows:
        points = [Point(point.x * scale, point.y * scale) for point in arrow.points]
        pen.line([(point.x, point.y) for point in points], fill=_PALE, width=scale)
        start, (x, y) = points[0], points[-1]
        pen.polygon([(x, y), (x - 7 * scale, y - 3 * scale), (x - 7 * scale, y + 3 * scale)], fill=_PALE)
        pen.text((start.x + 3 * scale, start.y - 17 * scale), arrow.text, fill=_PALE, font=small)
    for box in drawn.boxes:
        corners = [box.x * scale, box.y * scale, (box.x + box.width) * scale, (box.y + box.height) * scale]
        pen.rounded_rectangle(corners, radius=4 * scale, fill=box.colour, outline=_PALE)
        for i, line in enumerate(box.lines):
            pen.text(((box.x + 7) * scale, (box.y + 4 + LINE * i) * scale), line, fill=_INK, font=small)
    for label in drawn.labels:
        font, rise = (large, 15) if label.large else (small, 11)
        pen.text((label.x * scale, (label.y - rise) * scale), label.text, fill=_INK, font=font)
    return image
