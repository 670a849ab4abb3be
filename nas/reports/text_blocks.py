"""The Markdown of our own reports as blocks: headings, tables, paragraphs, the names of pictures. Text stays text."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from nas.errors import plain
from nas.reports.tables import Cell, Head, Row, Table

_PICTURE = re.compile(r"!\[[^\]]*\]\(([\w.-]+\.svg)\)")
_HEADING = re.compile(r"(#{1,4}) (.*)")
_BOLD = re.compile(r"\*\*(.+)\*\*")
_RULER = re.compile(r"\|[\s:|-]+\|")
_LONGEST = 100_000
"""Letters of a line: all candidates of a finish stand in one."""
_ESCAPED = re.compile(r"\\([\\`*_#|~\[\]<>+=-])")


@dataclass(frozen=True)
class Block:
    """A part of a text; one of the fields says what it is."""

    heading: str = ""
    lines: tuple[str, ...] = ()
    """Of a paragraph, or of a list."""
    is_list: bool = False
    is_bold: bool = False
    table: Table | None = None
    picture: str = ""
    """The name of a file beside the text."""


def blocks(text: str) -> list[Block]:
    """Return the blocks of a text in the Markdown that reports of ours have."""
    found: list[Block] = []
    for (kind, _), group in groupby(_numbered(text.splitlines()), key=lambda one: one[0]):
        lines = [line for _, line in group]
        if kind == "table":
            found.append(Block(table=_table(lines)))
        elif kind == "list":
            found.append(Block(lines=tuple(_shown(line.removeprefix("- ")) for line in lines), is_list=True))
        elif kind == "bold":
            found += [
                Block(lines=(_shown(match[1]),), is_bold=True) for one in lines if (match := _BOLD.fullmatch(one))
            ]
        elif kind == "text":
            found.append(Block(lines=tuple(_shown(line) for line in lines)))
        elif kind == "picture":
            found += [Block(picture=match[1]) for line in lines if (match := _PICTURE.fullmatch(line.strip()))]
        elif kind == "heading":
            found += [Block(heading=_shown(match[2])) for line in lines if (match := _HEADING.fullmatch(line))]
    return found


def _numbered(lines: Sequence[str]) -> Iterator[tuple[tuple[str, int], str]]:
    """Yield each line with its kind, and a number that is another for each paragraph."""
    number = 0
    for line in lines:
        number += not line.strip()
        yield (_kind(line), number), line


def _kind(line: str) -> str:
    if not line.strip():
        return "nothing"
    if line.startswith("|"):
        return "table"
    if _PICTURE.fullmatch(line.strip()):
        return "picture"
    if line.startswith("- "):
        return "list"
    if _BOLD.fullmatch(line):
        return "bold"
    return "heading" if _HEADING.fullmatch(line) else "text"


def _shown(line: str) -> str:
    return _ESCAPED.sub(r"\1", plain(line.strip(), longest=_LONGEST))


def _table(lines: Sequence[str]) -> Table:
    """Return a table, whose columns are text where the line under the head does not put them to the right."""
    split = [[_shown(cell) for cell in re.split(r"(?<!\\)\|", line.strip().strip("|"))] for line in lines]
    ruled = len(lines) > 1 and _RULER.fullmatch(lines[1].strip()) is not None
    rights = [cell.endswith(":") for cell in split[1]] if ruled else [False] * len(split[0])
    heads = [Head(name, "" if right else "text") for name, right in zip(split[0], rights, strict=False)]
    width = len(heads)
    rows = [[*cells, *[""] * width][:width] for cells in split[2 if ruled else 1 :]]
    return Table(tuple(heads), tuple(Row(tuple(map(Cell, cells))) for cells in rows))
