"""Latency as a budget and on the chart, with a meter whose figures follow a formula."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

import nas
from nas.commands.scale import scale_command
from nas.latency.deployment import Deployment, this_device
from nas.latency.measure import Latency
from nas.scaling.study import measured_latency as latency


class FormulaMeter:
    """Half a millisecond, and one for each million multiply-adds; one size of input cannot be run."""

    refused = 0
    measured = 0

    def __init__(self, deployment: Deployment, *, usual_ms: float) -> None:
        self.deployment, self.device = deployment, this_device(deployment.runtime)

    def measure(self, arch: nas.Architecture) -> Latency:
        FormulaMeter.measured += 1
        if arch.input_shape[1] == FormulaMeter.refused:
            raise nas.errors.DeviceError("cannot be run")
        ms = 0.5 + nas.cost_of(arch).macs / 1e6
        return Latency(ms, ms, ms, 0.0, 10, 3, 3, self.deployment, self.device, "2026-01-01")


@pytest.fixture
def meter(monkeypatch: pytest.MonkeyPatch) -> type[FormulaMeter]:
    monkeypatch.setattr(latency, "Meter", FormulaMeter)
    FormulaMeter.refused = FormulaMeter.measured = 0
    return FormulaMeter


def scaled(tmp_path: Path, **settings: Any) -> int:
    usual = {
        "space": "reference/mobilenet_v2",
        "resolution": 64,
        "training": False,
        "name": "study",
        "records": {"dir": str(tmp_path), "mlflow": False},
        "inference": {"runtime": "torch"},
    }
    return scale_command({**usual, **settings})


def rows(tmp_path: Path) -> list[dict[str, str]]:
    with (tmp_path / "study" / "family.csv").open() as file:
        return list(csv.DictReader(file))


def test_latency_is_a_budget(tmp_path: Path, meter: type[FormulaMeter], capsys: pytest.CaptureFixture[str]) -> None:
    assert scaled(tmp_path, budget="latency_ms", times=[1, 2, 4], rule="compound") == 0
    base, *others = rows(tmp_path)
    start = 0.5 + int(base["macs"]) / 1e6
    for times, row in zip((2, 4), others, strict=True):
        assert float(row["latency_ms"]) == pytest.approx(times * start, rel=0.05)
        assert float(row["latency_ms"]) == 0.5 + int(row["macs"]) / 1e6
    assert "latency: torch, batch 1, 1 thread" in capsys.readouterr().out


def test_a_study_goes_on_with_what_was_measured(tmp_path: Path, meter: type[FormulaMeter]) -> None:
    settings: dict[str, Any] = {"budget": "latency_ms", "times": [1, 2], "rule": "resolution"}
    assert scaled(tmp_path, **settings) == 0
    before, measured = rows(tmp_path), meter.measured
    assert scaled(tmp_path, **settings, resume=True) == 0
    assert rows(tmp_path) == before
    assert meter.measured == measured
    path = tmp_path / "study" / "latency.json"
    path.write_text(json.dumps({"x": {"ms": 1}}))
    assert scaled(tmp_path, **settings, resume=True) == 2


def test_a_network_that_cannot_be_run_has_no_figure(tmp_path: Path, meter: type[FormulaMeter]) -> None:
    meter.refused = 128
    assert scaled(tmp_path, phi=[0, 1, 2], rule="resolution", latency=True) == 0
    base, middle, large = rows(tmp_path)
    assert base["latency_ms"]
    assert middle["latency_ms"]
    assert not large["latency_ms"]


def test_nothing_is_measured_where_nothing_is_trained(tmp_path: Path, meter: type[FormulaMeter]) -> None:
    assert scaled(tmp_path, phi=[0, 1], rule="resolution") == 0
    assert meter.measured == 0
    assert not (tmp_path / "study" / "latency.json").exists()


def test_a_real_network_is_measured(tmp_path: Path) -> None:
    assert scaled(tmp_path, phi=[0], rule="width", latency=True) == 0
    assert float(rows(tmp_path)[0]["latency_ms"]) > 0


@pytest.mark.parametrize("value", ["fast", 2, None])
def test_latency_is_auto_true_or_false(tmp_path: Path, value: object) -> None:
    assert scaled(tmp_path, phi=[0], latency=value) == 2
