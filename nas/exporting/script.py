"""The predict.py that ships: one file, which needs no nas."""

from __future__ import annotations

import re
from pathlib import Path

from nas.exporting import predict, reading

_START = "from __future__ import annotations\n"
_IMPORT = re.compile(r"^from nas\.exporting\.reading import [^\n]*\n", re.MULTILINE)


def script() -> str:
    """Return `nas.exporting.predict` with the code of `nas.exporting.reading` where that is imported.

    So a picture is read by the code that training reads it by, and the file needs no other beside it.
    """
    code, read = (Path(str(module.__file__)).read_text(encoding="utf-8") for module in (predict, reading))
    shipped, count = _IMPORT.subn(lambda found: read.partition(_START)[2], code)
    assert count == 1, "predict.py has one import of nas"
    return shipped
