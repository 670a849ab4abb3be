"""A forecast that is written down before the network it is about is trained."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from nas.errors import ConfigError, NasError
from nas.run_folder import read_inside, write_whole
from nas.scaling.laws.forms import POWER
from nas.scaling.laws.law import Forecast, Law, fit_untested, why_not_shown_to_fall
from nas.scaling.laws.observations import Observation
from nas.scaling.study.sizes import Shown

FORECAST = "forecast.json"
_FORMAT = "nas.forecast/2"
"""The first had no test of fit."""


@dataclass(frozen=True)
class Subject:
    """What a forecast is about: the mean loss of some runs of a network."""

    arch_id: str
    size: tuple[float, ...]
    """As the law has it."""
    seeds: int


@dataclass(frozen=True)
class Frozen:
    """What was said of a network before it was trained."""

    subject: Subject
    forecast: Forecast
    digest: str
    """SHA-256 of what was written down: the forecast, the law, and every observation behind it."""
    lack_of_fit: float | None = None
    """As `Law.lack_of_fit`; None also where it was written before there was a test."""
    mind: str = ""
    """Why the runs behind it do not show that the loss falls with the size, where they do not."""

    def verdict(self, losses: Sequence[float]) -> str:
        """Say how far off it was; `losses` are those of the runs that were done since."""
        if not losses:
            return "every run of its network failed, so it was not tried"
        mean = sum(losses) / len(losses)
        held = self.forecast.low <= mean <= self.forecast.high
        return (
            f"forecast {self.forecast.text}, measured {mean:.4g} over {len(losses)} runs: "
            f"off by {mean / self.forecast.loss - 1:+.1%}, "
            f"{'inside' if held else 'OUTSIDE'} the {self.forecast.confidence:.0%} interval"
            + ("" if self.lack_of_fit is None else f"; p of the law's fit {self.lack_of_fit:.2g}")
            + (f"; mind: {self.mind}" if self.mind else "")
        )


@dataclass(frozen=True)
class Tried:
    """A forecast, and what came of it."""

    frozen: Frozen
    shown: Shown


def freeze(
    law: Law, observations: Sequence[Observation], subject: Subject, folder: Path, *, earlier: str = ""
) -> Frozen:
    """Write a forecast down, once: a study that is gone on with keeps what it said.

    Args:
        law: what foretells.
        observations: what it was fitted to.
        subject: what is foretold.
        folder: of the study.
        earlier: the id that the network had under an earlier scheme, by which the folder may know it.

    Raises:
        NasError: another network, or another number of seeds, was forecast in this folder.
    """
    path = folder / FORECAST
    if path.exists():
        found = read_frozen(path)
        if found.subject not in (subject, replace(subject, arch_id=earlier)):
            raise NasError(
                f"{path} has a forecast for {found.subject.seeds} runs of {found.subject.arch_id}, not {subject.seeds} "
                f"of {subject.arch_id}: what was written down stays; give another name for another study"
            )
        return found
    forecast = law.forecast(*subject.size, seeds=subject.seeds)
    content: dict[str, Any] = {
        "format": _FORMAT,
        "frozen": datetime.now(UTC).isoformat(timespec="seconds"),
        "subject": asdict(subject),
        "forecast": asdict(forecast),
        "law": law.form.formula,
        "constants": {name: asdict(one) for name, one in law.constants().items()},
        "noise": law.noise,
        "scatter": law.scatter,
        "lack_of_fit": law.lack_of_fit,
        "mind": why_not_shown_to_fall(fit_untested(observations, POWER)) if law.form.axes == 1 else "",
        "observations": [asdict(one) for one in observations],
    }
    write_whole(path, json.dumps({**content, "sha256": _digest(content)}, indent=1) + "\n")
    return read_frozen(path)


def read_frozen(path: Path) -> Frozen:
    """Read what `freeze` wrote.

    Raises:
        ConfigError: it cannot be read, or was changed since.
    """
    try:
        content = dict(json.loads(read_inside(path)))
        digest = content.pop("sha256")
        found = Frozen(
            Subject(**{**content["subject"], "size": tuple(content["subject"]["size"])}),
            Forecast(**content["forecast"]),
            str(digest),
            content.get("lack_of_fit"),
            str(content.get("mind", "")),
        )
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise ConfigError(f"{path} is no forecast: {error}") from None
    if digest != _digest(content):
        raise ConfigError(f"{path} was changed since it was frozen: its content does not have the hash {digest}")
    return found


def _digest(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
