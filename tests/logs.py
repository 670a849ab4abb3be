"""Logs of studies as they were before their lines had checksums, for tests that change what is in them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any


def rewrite(log: Path, change: Callable[[int, dict[str, Any]], dict[str, Any]]) -> None:
    """Write a log anew, without checksums, each line as `change` makes it of its number and its values."""
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    for values in lines:
        values.pop("check", None)
    log.write_text("".join(json.dumps(change(number, values)) + "\n" for number, values in enumerate(lines)))
