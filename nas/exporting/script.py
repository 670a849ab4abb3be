"""The predict.py that ships: one file, which needs no nas."""

from __future__ import annotations

import re
from pathlib import Path

from nas.exporting import class_maps, predict, reading

_START = "from __future__ import annotations\n"
_IMPORT = re.compile(r"^from nas\.exporting\.(reading|class_maps) import (\([^)]*\)|[^\n]*)\n", re.MULTILINE)


def script() -> str:
    """Return `nas.exporting.predict` with the code of what it imports of nas in its place.

    So a picture is read by the code that training reads it by, and the file needs no other beside it.
    """
    code, read, maps = (
        Path(str(module.__file__)).read_text(encoding="utf-8") for module in (predict, reading, class_maps)
    )
    parts = {"reading": read.partition(_START)[2], "class_maps": _IMPORT.sub("", maps.partition(_START)[2])}
    shipped, count = _IMPORT.subn(lambda found: parts[found[1]], code)
    assert count == len(parts), "predict.py imports each of them once"
    return shipped
