"""`python -m nas.limits +space=NAME constraints.params=5e5 ...`: the settings of a search, explained before it."""

from __future__ import annotations

from typing import Any

from nas.commands.hydra_main import hydra_main


def _limits(values: dict[str, Any], _: list[str]) -> int:
    from nas.commands.limits import limits

    return limits(values)


if __name__ == "__main__":
    hydra_main("limits", _limits)
