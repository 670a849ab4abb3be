"""Preregistered forecasts: written to disk, with a hash, before the network that they are about is trained."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from nas.errors import ConfigError, NasError
from nas.run_folder import read_json, write_whole
from nas.scaling.laws.forms import POWER
from nas.scaling.laws.law import Forecast, Law, fit_untested, why_not_shown_to_fall
from nas.scaling.laws.observations import Observation
from nas.scaling.study.sizes import SizeResult

FORECAST = "forecast.json"
"""The file of the forecast in the folder of its study."""
_FORMAT = "nas.forecast/2"
"""Format 1 had no test of fit."""


@dataclass(frozen=True)
class ForecastTarget:
    """The subject of a forecast: the mean loss of some runs of a network."""

    arch_id: str
    size: tuple[float, ...]
    """The network's size on the axes of the law."""
    seeds: int
    """Number of runs."""


@dataclass(frozen=True)
class RegisteredForecast:
    """A forecast that was written down before its network was trained."""

    target: ForecastTarget
    forecast: Forecast
    digest: str
    """SHA-256 of the written content: the forecast, the law, and every observation behind it."""
    lack_of_fit: float | None = None
    """As `Law.lack_of_fit`; None also in files of format 1."""
    caveat: str = ""
    """Why the runs behind it do not show that the loss falls with the size, or nothing."""

    def verdict(self, losses: Sequence[float]) -> str:
        """Return how far off the forecast was, in words.

        Args:
            losses: of the runs of its network.
        """
        if not losses:
            return "every run of its network failed, so it was not tried"
        mean = sum(losses) / len(losses)
        inside = self.forecast.low <= mean <= self.forecast.high
        return (
            f"forecast {self.forecast.text}, measured {mean:.4g} over {len(losses)} runs: "
            f"off by {mean / self.forecast.loss - 1:+.1%}, "
            f"{'inside' if inside else 'OUTSIDE'} the {self.forecast.confidence:.0%} interval"
            + ("" if self.lack_of_fit is None else f"; p of the law's fit {self.lack_of_fit:.2g}")
            + (f"; mind: {self.caveat}" if self.caveat else "")
        )


@dataclass(frozen=True)
class CheckedForecast:
    """A registered forecast with the runs that check it."""

    registered: RegisteredForecast
    result: SizeResult


def register_forecast(
    law: Law, observations: Sequence[Observation], target: ForecastTarget, folder: Path, *, earlier: str = ""
) -> RegisteredForecast:
    """Write a forecast down, or return the one that the folder of a resumed study has.

    Args:
        law: forecasts the loss.
        observations: those that it was fitted to.
        target: the runs whose loss is forecast.
        folder: of the study.
        earlier: the id that the network had under an earlier scheme, which the file may have.

    Raises:
        NasError: another network, or another number of seeds, was forecast in this folder.
    """
    path = folder / FORECAST
    if path.exists():
        registered = read_forecast(path)
        if registered.target not in (target, replace(target, arch_id=earlier)):
            raise NasError(
                f"{path} has a forecast for {registered.target.seeds} runs of {registered.target.arch_id}, not "
                f"{target.seeds} of {target.arch_id}: what was written down stays; give another name for another study"
            )
        return registered
    forecast = law.forecast(*target.size, seeds=target.seeds)
    content: dict[str, Any] = {
        "format": _FORMAT,
        "frozen": datetime.now(UTC).isoformat(timespec="seconds"),
        "subject": asdict(target),
        "forecast": asdict(forecast),
        "law": law.form.formula,
        "constants": {name: asdict(value) for name, value in law.constants().items()},
        "noise": law.noise,
        "scatter": law.scatter,
        "lack_of_fit": law.lack_of_fit,
        "mind": why_not_shown_to_fall(fit_untested(observations, POWER)) if law.form.axes == 1 else "",
        "observations": [asdict(value) for value in observations],
    }
    write_whole(path, json.dumps({**content, "sha256": _digest(content)}, indent=1) + "\n")
    return read_forecast(path)


def read_forecast(path: Path) -> RegisteredForecast:
    """Read a file of `register_forecast`.

    Raises:
        ConfigError: it cannot be read, or was changed since.
    """
    return read_json(path, "forecast", partial(_registered, path))


def _registered(path: Path, values: Any) -> RegisteredForecast:
    content = dict(values)
    digest = content.pop("sha256")
    registered = RegisteredForecast(
        ForecastTarget(**{**content["subject"], "size": tuple(content["subject"]["size"])}),
        Forecast(**content["forecast"]),
        str(digest),
        content.get("lack_of_fit"),
        str(content.get("mind", "")),
    )
    if digest != _digest(content):
        raise ConfigError(f"{path} was changed since it was frozen: its content does not have the hash {digest}")
    return registered


def _digest(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
