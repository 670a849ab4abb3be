"""Texts of others, such as names of classes, as they stand in card.md: words, and nothing that a reader could obey."""

from __future__ import annotations

import re

_HTML = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})
_MARKS = re.compile(
    r"[\\`*#|~]"  # code, emphasis, headings, tables
    r"|\](?=[(\[:])"  # links and pictures
    r"|(?<!\w)_|_(?!\w)"  # emphasis; within a word it is none
    r"|^[-+=](?=\s|[-+=]|$)"  # lists, rules and headings
)


def markdown(text: str) -> str:
    r"""Return a text as Markdown that shows it in one line, letter by letter.

    What is no visible letter, such as the end of a line, is shown as Python writes it: `\n`.
    """
    visible = "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)
    return _MARKS.sub(r"\\\g<0>", visible.strip()).translate(_HTML)
