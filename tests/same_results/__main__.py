"""Write down the results of studies anew: `python -m tests.same_results [NAME ...]`.

To be done in a commit of its own that says why numbers are others now.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.same_results.studies import RESULTS, STUDIES, file_of


def lines_of(found: Any) -> str:
    """JSON with an item a line, so that a difference shows which."""
    if isinstance(found, list):
        return "[\n" + ",\n".join(map(json.dumps, found)) + "\n]"
    return json.dumps(found, indent=1)


if __name__ == "__main__":
    RESULTS.mkdir(exist_ok=True)
    for name in sys.argv[1:] or STUDIES:
        with TemporaryDirectory() as folder:
            found = STUDIES[name](Path(folder))
        file_of(name).write_text(lines_of(found) + "\n")
        print(name, flush=True)
