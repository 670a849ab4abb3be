"""Reads pages: their elements, their text, the rows of their tables, the marks of their charts."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from html.parser import HTMLParser

VOID = {"meta", "link", "br", "input", "img"}


@dataclass
class Element:
    name: str
    attributes: dict[str, str | None]
    children: list[Element | str] = field(default_factory=list)

    def all(self, name: str, **attributes: str) -> list[Element]:
        """Elements inside of a name whose attributes hold some words."""
        found = []
        for child in self.children:
            if isinstance(child, Element):
                own = {key.rstrip("_"): value for key, value in attributes.items()}
                if child.name == name and all(value in (child.attributes.get(key) or "") for key, value in own.items()):
                    found.append(child)
                found += child.all(name, **attributes)
        return found

    @property
    def text(self) -> str:
        return "".join(child if isinstance(child, str) else child.text for child in self.children)


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.stack = [Element("document", {})]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, dict(attrs))
        self.stack[-1].children.append(element)
        if tag not in VOID:
            self.stack.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.stack[-1].children.append(Element(tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.stack[-1].name == tag, f"<{self.stack[-1].name}> is closed by </{tag}>"
        self.stack.pop()

    def handle_data(self, data: str) -> None:
        self.stack[-1].children.append(data)


def read_page(text: str) -> Element:
    """The elements of a page, which must be closed in order."""
    reader = _Reader()
    reader.feed(text)
    reader.close()
    assert len(reader.stack) == 1, [one.name for one in reader.stack]
    return reader.stack[0]


def rows(table: Element) -> list[dict[str, str]]:
    """The rows of a table, by the names of its columns."""
    heads = [head.text for head in table.all("th")]
    return [
        dict(zip(heads, (cell.text for cell in row.all("td")), strict=True)) for row in table.all("tbody")[0].all("tr")
    ]


def places(chart: Element) -> dict[int, tuple[float, float]]:
    """Where the marks of trials are, in pixels."""
    found = {}
    for mark in chart.all("path"):
        if mark.attributes.get("data-trial") is not None and "reject" not in (mark.attributes["class"] or ""):
            match = re.fullmatch(r"translate\(([\d.]+) ([\d.]+)\)", mark.attributes["transform"] or "")
            assert match is not None
            found[int(mark.attributes["data-trial"] or "")] = (float(match[1]), float(match[2]))
    return found
