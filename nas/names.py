"""The one rule for names that become names of folders, files and records: of spaces, studies and blocks."""

from __future__ import annotations

import unicodedata

from nas.errors import ConfigError

MAX_CHARACTERS = 100
_MAX_BYTES = 200
"""A file's name may have 255; a run folder adds the name of the data and the time."""
RULE = (
    f"a name has 1 to {MAX_CHARACTERS} visible characters and single spaces between them; it holds no '/', '\\' or "
    "'${', and does not begin with '-' or '.'"
)


def name_problem(name: str) -> str:
    """Say how a name breaks the rule, with the rule and the name in ASCII; empty where it holds.

    Letters of any script hold. What cannot be seen or changes how the rest is seen (control characters, line breaks,
    marks of writing direction, half characters) does not, nor what a shell, a path or an interpolation reads otherwise.
    """
    problem = _problem(name)
    return f"{RULE}; but {name[:MAX_CHARACTERS]!a} {problem}" if problem else ""


def check_name(name: str | None) -> None:
    """Raise `ConfigError` where the name of a run, which is that of a folder in `records.dir`, breaks the rule."""
    problem = name_problem(name) if name is not None else ""
    if problem:
        raise ConfigError(f"name: {problem}")


def _problem(name: str) -> str:
    if not 1 <= len(name) <= MAX_CHARACTERS:
        return f"has {len(name)} characters"
    for character in name:
        if unicodedata.category(character)[0] in "CZ" and character != " ":
            return f"holds U+{ord(character):04X}, {unicodedata.name(character, 'a control character')}"
    problems = {
        f"has {len(name.encode())} bytes": len(name.encode()) > _MAX_BYTES,
        "has spaces at an end, or several together": name != " ".join(name.split()),
        f"begins with {name[0]!r}": name[0] in "-.",
        **{f"holds {sign!r}": sign in name for sign in ("/", "\\", "${")},
    }
    return next((text for text, holds in problems.items() if holds), "")
