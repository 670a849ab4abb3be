"""Long lines of Python broken as `ruff format` breaks them."""

from __future__ import annotations

WIDTH = 120
"""The longest line."""
_OPEN, _CLOSE = "([{", ")]}"


def laid_out(line: str, indent: int = 0) -> list[str]:
    """Break one logical line where it is too long: at its last brackets, one element a line."""
    pad = " " * indent
    if len(pad) + len(line) <= WIDTH:
        return [pad + line]
    head, value = _before_value(line)
    for words in ((" if ", " else "), (" + ",)):
        parts = _split(value, words)
        if len(parts) > 1:
            parts = [value] if indent + 4 + len(value) <= WIDTH else parts
            return [f"{pad}{head}(", *_broken(parts, indent + 4), f"{pad})"]
    span = _last_brackets(line)
    if span is None:
        return [pad + line]
    start, end = span
    inner = line[start + 1 : end]
    loop = _split(inner, (" for ",))
    lines = [pad + line[: start + 1]]
    if len(loop) > 1:
        lines += _broken(loop, indent + 4)
    else:
        for element in _elements(inner):
            lines += laid_out(f"{element},", indent + 4)
    return [*lines, pad + line[end:]]


def _broken(parts: list[str], indent: int) -> list[str]:
    return [line for part in parts for line in laid_out(part, indent)]


def _before_value(line: str) -> tuple[str, str]:
    """Split off `return ` or `x = `, behind which brackets may be put."""
    if line.startswith("return "):
        return "return ", line[len("return ") :]
    parts = _split(line, (" = ",))
    if len(parts) == 2 and "(" not in parts[0]:
        return f"{parts[0]} = ", parts[1].removeprefix("= ")
    return "", ""


def _split(text: str, words: tuple[str, ...]) -> list[str]:
    """Split before words that stand outside of brackets; each part begins with its word."""
    parts, start = [], 0
    for place, depth in _depths(text):
        if depth == 0 and any(text.startswith(word, place) for word in words):
            parts.append(text[start:place])
            start = place + 1
    return [*parts, text[start:]]


def _elements(text: str) -> list[str]:
    """Split at commas outside of brackets."""
    elements, start = [], 0
    for place, depth in _depths(text):
        if depth == 0 and text[place] == ",":
            elements.append(text[start:place].strip())
            start = place + 1
    last = text[start:].strip()
    return [*elements, last] if last else elements


def _depths(text: str) -> list[tuple[int, int]]:
    """Return each place outside of quotes, with how many brackets are open there."""
    depth, quoted, places = 0, False, []
    for place, character in enumerate(text):
        if character == '"':
            quoted = not quoted
        if quoted:
            continue
        depth -= character in _CLOSE
        places.append((place, depth))
        depth += character in _OPEN
    return places


def _last_brackets(text: str) -> tuple[int, int] | None:
    """Return the places of the last brackets outside of others that hold something."""
    found, start = None, 0
    for place, depth in _depths(text):
        if depth == 0 and text[place] in _OPEN:
            start = place
        elif depth == 0 and text[place] in _CLOSE and place > start + 1:
            found = start, place
    return found
