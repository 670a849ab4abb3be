"""`python -m nas.spaces compare A B [more] [setting=value ...]`."""

from __future__ import annotations

import sys
from typing import Any

from nas.commands.hydra_main import hydra_main
from nas.commands.spaces_words import overrides_from
from nas.console import run


def _compare(values: dict[str, Any], _: list[str]) -> int:
    from nas.commands.spaces import compare

    return compare(values)


if __name__ == "__main__":
    taken: list[str] = []
    code = run("nas.spaces", lambda: taken.extend(overrides_from(sys.argv[1:])))
    if code:
        sys.exit(code)
    sys.argv[1:] = taken
    hydra_main("spaces", _compare)
