"""A forecast that is written down: with its test of fit, and as it was written before there was one."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from nas.errors import ConfigError
from nas.scaling.laws.law import fit_law, fit_untested
from nas.scaling.laws.observations import Observation
from nas.scaling.study.preregistration import ForecastTarget, read_forecast, register_forecast

_OLD = {
    "format": "nas.forecast/1",
    "frozen": "2026-11-22T03:36:00+00:00",
    "subject": {"arch_id": "abc", "size": [32.0], "seeds": 3},
    "forecast": {"loss": 0.14, "low": 0.13, "high": 0.15, "confidence": 0.9},
    "law": "E + A C^-a",
    "constants": {"E": {"loss": 0.1, "low": 0.0, "high": 0.12, "confidence": 0.9}},
    "noise": 0.03,
    "observations": [{"size": [1.0], "loss": 0.2, "run": "a"}],
}
"""As the first version wrote it."""


def test_a_forecast_of_the_first_format_is_read_and_checked(tmp_path: Path) -> None:
    digest = hashlib.sha256(json.dumps(_OLD, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
    path = tmp_path / "forecast.json"
    path.write_text(json.dumps({**_OLD, "sha256": digest}, indent=1) + "\n")
    found = read_forecast(path)
    assert (found.forecast.low, found.forecast.high, found.lack_of_fit) == (0.13, 0.15, None)
    assert "inside the 90% interval" in found.verdict([0.14, 0.141])
    assert "p of" not in found.verdict([0.14])
    path.write_text(path.read_text().replace("0.15", "0.16"))
    with pytest.raises(ConfigError, match="changed since it was frozen"):
        read_forecast(path)


def test_a_forecast_says_how_well_its_law_fits(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    observations = [
        Observation((size,), float((0.3 + size**-0.5) * np.exp(0.02 * rng.normal())), f"{size} {run}")
        for size in (1.0, 2.0, 4.0, 8.0, 16.0)
        for run in range(3)
    ]
    law = fit_law(observations)
    found = register_forecast(law, observations, ForecastTarget("abc", (32.0,), 3), tmp_path)
    assert found.lack_of_fit == law.lack_of_fit
    assert f"p of the law's fit {law.lack_of_fit:.2g}" in found.verdict([0.5])
    assert json.loads((tmp_path / "forecast.json").read_text())["lack_of_fit"] == law.lack_of_fit


def test_no_interval_of_an_error_rate_is_above_one() -> None:
    losses = np.array([0.9, 0.5, 0.88, 0.5, 0.8])
    observations = [
        Observation((2.0**i,), float(loss) + 0.02 * run, f"{i} {run}")
        for i, loss in enumerate(losses)
        for run in (0, 1)
    ]
    found = [fit_untested(observations, max_loss=most).forecast(64.0) for most in (1.0, float("inf"))]
    assert found[0].high == 1 < found[1].high


def test_a_forecast_of_runs_that_show_no_fall_says_so(tmp_path: Path) -> None:
    sizes, rng = (1.0, 2.0, 4.0, 8.0, 16.0), np.random.default_rng(3)
    for name, exponent in (("level", 0.004), ("falls", 0.5)):
        observations = [
            Observation((size,), float(size**-exponent * np.exp(0.03 * rng.normal())), f"{size} {run}")
            for size in sizes
            for run in range(3)
        ]
        law = fit_untested(observations)
        (tmp_path / name).mkdir()
        found = register_forecast(law, observations, ForecastTarget("abc", (32.0,), 3), tmp_path / name)
        said = "do not show that the loss falls with the size"
        assert (said in found.caveat, said in found.verdict([0.5])) == (name == "level", name == "level")
        assert json.loads((tmp_path / name / "forecast.json").read_text())["mind"] == found.caveat
