"""A calibration from end to end, with a device that follows a law in place of this machine's clock."""

from __future__ import annotations

import json
import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nas
from nas.commands import calibrate as command
from nas.errors import ConfigError
from nas.latency import calibrate as module
from nas.latency.calibrate import accuracy, calibrate
from nas.latency.deployment import Deployment, this_device
from nas.latency.device_profile import DeviceProfile, profile_path
from nas.latency.features import network_features
from nas.latency.measure import Latency

HERE = Deployment("torch")


class LawfulMeter:
    """Takes 5 us an operation, and 1 ns for ten multiply-adds."""

    usual_ms = 0.2

    def __init__(self, deployment: Deployment) -> None:
        self.deployment, self.device = deployment, this_device(deployment.runtime)

    def measure_all(self, architectures: Any, *, seed: int = 0) -> list[Latency]:
        found = []
        for one in architectures:
            ms = 0.005 * len(network_features(one)) + nas.cost_of(one).macs * 1e-7
            found.append(Latency(ms, ms, ms, 0.0, 15, 5, 5, self.deployment, self.device, "2026-01-01T00:00:00+00:00"))
        return found


@pytest.fixture
def lawful(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "Meter", LawfulMeter)
    monkeypatch.setattr(module, "_MOST", 120)


@pytest.fixture(scope="module")
def profile() -> DeviceProfile:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "Meter", LawfulMeter)
        patch.setattr(module, "_MOST", 150)
        return calibrate([nas.load_space("mbconv"), nas.load_space("resnet")], HERE, seconds=60)


def test_the_law_is_found(profile: DeviceProfile) -> None:
    assert profile.accuracy.within_5 > 0.99
    assert profile.accuracy.rank_correlation > 0.99
    assert profile.macs_only.within_10 < 0.9, "multiply-adds alone miss the operations"
    space = nas.load_space("mbconv")
    drawn = [space.decode(space.sample(seed)) for seed in range(1000, 1020)]
    known = [arch for arch in drawn if not profile.predict(arch).unknown]
    assert len(known) >= 16
    for arch, true in zip(known, LawfulMeter(HERE).measure_all(known), strict=True):
        found = profile.predict(arch)
        assert found.ms == pytest.approx(true.ms, rel=0.05)
        assert found.low_ms < found.ms < found.high_ms
        assert profile.interval(arch) == found[:3]


def test_an_unlike_network_is_never_surely_over(profile: DeviceProfile) -> None:
    space = nas.load_space("vit")
    assert profile.interval(space.decode(space.sample(0)))[1:] == (0, math.inf)


def test_saved_and_read_again(profile: DeviceProfile, tmp_path: Path) -> None:
    path = profile_path(tmp_path, HERE)
    assert path == tmp_path / "devices" / "torch-batch1-threads1.json"
    profile.save(path)
    again = DeviceProfile.load(path)
    for name in ("deployment", "device", "spaces", "accuracy", "macs_only", "quiet", "reference_ms", "date"):
        assert getattr(again, name) == getattr(profile, name)
    space = nas.load_space("mbconv")
    arch = space.decode(space.sample(3))
    assert again.predict(arch)[:3] == pytest.approx(profile.predict(arch)[:3])


def test_it_holds_for_nothing_else(profile: DeviceProfile) -> None:
    assert profile.why_not(HERE) == ""
    assert profile.why_not(Deployment("torch", 2)) == "it is for torch, batch 1, 1 thread, not torch, batch 2, 1 thread"
    others: dict[str, Any] = {"hardware": "A phone", "cores": 64, "versions": {"torch": "0.1"}}
    for name, other in others.items():
        elsewhere = replace(profile, device=replace(profile.device, **{name: other}))
        assert f"its {name} was " in elsewhere.why_not(HERE)


_SHORT = {"prior": [1, 1, 1, 1], "points": [[0.0] * 21], "weights": [1.0, 2.0]}
DAMAGED: dict[str, dict[str, Any]] = {
    "an error that is no number": {"error": "x"},
    "an error of nothing": {"error": None},
    "an endless error": {"error": 1e400},
    "a negative error": {"error": -1},
    "a kernel without width": {"kernel": {"op": 1, "kind": 1, "network": 1, "noise": 1, "stretch": 0}},
    "a kernel of text": {"kernel": {"op": "wide"}},
    "a negative prior": {"kinds": {"conv": {"prior": [-1, 1, 1, 1], "points": [[0.0] * 21], "weights": [1.0]}}},
    "a point too far": {"kinds": {"conv": {"prior": [1, 1, 1, 1], "points": [[10**400] * 21], "weights": [1.0]}}},
    "no kinds": {"kinds": 3},
    "a weight too many": {"kinds": {"conv": _SHORT}},
    "another kernel": {"kernel": {"width": 1}},
    "no networks": {"networks": []},
}


@pytest.mark.parametrize("damage", ["", "[]", "{}", '{"format": "nas.device/1"}', "{" * 100_000, *DAMAGED])
def test_a_damaged_file(damage: str, profile: DeviceProfile, tmp_path: Path) -> None:
    path = tmp_path / "device.json"
    profile.save(path)
    if damage in DAMAGED:
        values = json.loads(path.read_text())
        damage = json.dumps({**values, "predictor": {**values["predictor"], **DAMAGED[damage]}})
    path.write_text(damage)
    with pytest.raises(ConfigError, match=r"device.json"):
        DeviceProfile.load(path)


def test_a_file_that_cannot_be_written_is_known_before(lawful: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["--runtime", "torch", "--records", "/dev/null"]) == 2
    shown = capsys.readouterr()
    assert "device profile /dev/null/devices/" in shown.err
    assert "Measuring" not in shown.out


def test_profiles_saved_at_once_do_not_disturb_each_other(profile: DeviceProfile, tmp_path: Path) -> None:
    path = tmp_path / "device.json"
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: profile.save(path), range(12)))
    assert DeviceProfile.load(path).date == profile.date
    assert [one.name for one in tmp_path.iterdir()] == ["device.json"]


def test_too_few_networks(lawful: None, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="the spaces have only 1 different networks, but 40 are needed"):
        calibrate([nas.load_space("reference/lenet5")], HERE, seconds=60)
    monkeypatch.setattr(module, "_MOST", 10)
    with pytest.raises(ConfigError, match=r"only 12 networks could be measured in 60 s, .*give about 5.0 minutes"):
        calibrate([nas.load_space("mbconv")], HERE, seconds=60)


def test_accuracy_by_hand() -> None:
    found = accuracy(np.array([1.0, 2.0, 3.0, 4.0]), np.array([0.04, -0.08, 0.5, 0.0]))
    assert (found.networks, found.within_5, found.within_10) == (4, 0.5, 0.75)
    assert found.mean_error == pytest.approx(0.155)
    # Predicted 1.04, 1.84, 4.5, 4.0: the last two change places; Spearman: 1 - 6 * 2 / (4 * 15).
    assert found.rank_correlation == pytest.approx(0.8)


def test_the_command(lawful: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--runtime", "torch", "--minutes", "1", "--space", "mbconv", "--data", "1x28x28", "--classes", "10"]
    assert command.main([*options, "--records", str(tmp_path), "--json"]) == 0
    out, shown = capsys.readouterr()
    assert "mbconv (1x28x28)" in shown
    assert "multiply-adds alone" in shown
    saved = DeviceProfile.load(tmp_path / "devices" / "torch-batch1-threads1.json")
    assert saved.spaces == {"mbconv": (1, 28, 28)}
    assert f"{saved.accuracy.networks} networks" in shown
    facts = json.loads(out)
    assert facts["device_profile"] == str(tmp_path / "devices" / "torch-batch1-threads1.json")
    assert (facts["accuracy"], facts["seconds"]) == (asdict(saved.accuracy), saved.seconds)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--space", "mbcon"], "Did you mean 'mbconv'"),
        (["--runtime", "tensorrt"], "unknown 'tensorrt'"),
        (["--minutes", "0"], "--minutes must be between"),
        (["--threads", "0"], "inference.threads must be >= 1"),
    ],
)
def test_bad_options(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(arguments) == 2
    assert message in capsys.readouterr().err
