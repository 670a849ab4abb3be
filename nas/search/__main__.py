"""`python -m nas.search +space=NAME [setting=value ...]`.

Heavy packages are imported when a search starts, so that `--help` answers at once.
"""

from __future__ import annotations

from typing import Any

from nas.commands.hydra_main import hydra_main


def _search(values: dict[str, Any], overrides: list[str]) -> int:
    from nas.commands.search import search

    return search(values, overrides)


if __name__ == "__main__":
    hydra_main("search", _search, text=("resume",))
