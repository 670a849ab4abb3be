"""Names of classes that are hardly told apart. Never loads torch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from nas.errors import in_a_line

_MOST_NAMED = 3


def alike(classes: Sequence[str]) -> Iterator[str]:
    """Yield a sentence on classes whose names differ in capitals or in spaces at their ends alone, where some do.

    They may be one, of which a system that ignores capitals, or a person who typed, has made several.
    """
    by_name: dict[str, list[str]] = {}
    for name in classes:
        by_name.setdefault(name.strip().casefold(), []).append(name)
    same = [" and ".join(f"'{in_a_line(name)}'" for name in names) for names in by_name.values() if len(names) > 1]
    if same:
        some = "; ".join(same[:_MOST_NAMED]) + (", ..." if len(same) > _MOST_NAMED else "")
        yield f"classes whose names differ in capitals or spaces alone are told apart: {some}"
