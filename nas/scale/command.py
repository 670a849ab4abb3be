"""`python -m nas.scale`: families of networks from one base."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from nas.console import run
from nas.cost import cost_of
from nas.runs import new_folder
from nas.scale.base import read_base
from nas.scale.config import ScaleConfig
from nas.scale.family import family, table, write_family
from nas.scale.solve import counted
from nas.settings import settings_from


def scale_command(values: Mapping[str, Any]) -> int:
    """Do what some settings say; returns the exit code."""
    return run("nas.scale", lambda: _scale(settings_from(ScaleConfig, values)))


def _scale(config: ScaleConfig) -> None:
    base = read_base(config.space, config.base, config.resolution)
    cost = cost_of(base)
    members = [
        one
        for rule in config.rules()
        for one in family(
            base,
            rule,
            phis=config.phi or ([] if config.times else [0, 1, 2, 3]),
            times=config.times,
            metric=config.budget,
            measure=counted(config.budget),
            rounding=config.rounding,
            tolerance=config.tolerance,
        )
    ]
    folder = _folder(config)
    write_family(members, cost, folder)
    for rule in config.rules():
        print(f"{rule.name}: {rule.formula}")
    print("\n".join(table(members, cost)))
    print(f"\nArchitectures and table: {folder}")


def _folder(config: ScaleConfig) -> Path:
    name = config.name or f"scale-{datetime.now(UTC):%Y%m%d-%H%M%S}"
    folder = new_folder(Path(config.records.dir).expanduser() / name, "give another name")
    (folder / "settings.json").write_text(json.dumps(asdict(config), indent=1) + "\n")
    return folder
