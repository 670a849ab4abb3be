"""Latencies that earlier searches measured: what is kept, for what it holds, and what is measured again."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import nas
from nas.latency.deployment import Deployment, Device
from nas.latency.known import KnownLatencies
from nas.latency.measure import Latency
from nas.search.config import Config

_PLAIN = Deployment("onnxruntime")
HERE = Device("a processor", 2, "Linux x86_64", {"onnxruntime": "1.31.1"})


class _Meter:
    """Says 1 ms for the first network that it measures, 2 ms for the second, and so on."""

    def __init__(self, deployment: Deployment = _PLAIN, device: Device = HERE, quiet: int = 5) -> None:
        self.deployment, self.device, self.measured, self._quiet = deployment, device, 0, quiet

    def measure(self, _: nas.Architecture) -> Latency:
        self.measured += 1
        ms = float(self.measured)
        return Latency(ms, ms, ms, 0.0, 25, 5, self._quiet, self.deployment, self.device, "2026-11-30T00:00:00")


def _networks() -> list[nas.Architecture]:
    space = nas.load_space("mbconv")
    return [space.decode(space.sample(seed)) for seed in (0, 1)]


def _known(folder: Path, meter: Any) -> KnownLatencies:
    return KnownLatencies(meter, folder)


def test_a_network_is_measured_once_for_all_searches(tmp_path: Path) -> None:
    one, other = _networks()
    first = _known(tmp_path / "devices", _Meter())
    assert [first.measure(arch).ms for arch in (one, other, one)] == [1.0, 2.0, 1.0]
    meter = _Meter()
    later = _known(tmp_path / "devices", meter)
    assert len(later) == 2
    assert later.measure(other) == first.measure(other)
    assert meter.measured == 0


@pytest.mark.parametrize(
    "meter",
    [
        _Meter(Deployment("onnxruntime", batch=2)),
        _Meter(Deployment("onnxruntime", threads=2)),
        _Meter(device=replace(HERE, hardware="another")),
        _Meter(device=replace(HERE, versions={"onnxruntime": "1.32.0"})),
    ],
    ids=["batch", "threads", "hardware", "versions"],
)
def test_it_holds_for_nothing_else(tmp_path: Path, meter: _Meter) -> None:
    one, _ = _networks()
    _known(tmp_path, _Meter()).measure(one)
    assert len(_known(tmp_path, meter)) == 0


def test_what_was_measured_on_a_busy_machine_is_not_kept(tmp_path: Path) -> None:
    one, _ = _networks()
    _known(tmp_path, _Meter(quiet=0)).measure(one)
    assert len(_known(tmp_path, _Meter())) == 0


def test_lines_that_cannot_be_read_are_left_out(tmp_path: Path) -> None:
    one, other = _networks()
    known = _known(tmp_path, _Meter())
    known.measure(one)
    known.measure(other)
    (path,) = tmp_path.iterdir()
    good, second = filter(None, path.read_text().splitlines())
    older = json.dumps(json.loads(second) | {"id_scheme": 0})
    deep = "[" * 100_000
    odd = [second.replace('"ms": 2.0', f'"ms": {value}') for value in ("Infinity", "NaN", "true", '"2"', "1e999")]
    for bad in (
        deep,
        *odd,
        "",
        "{",
        "[]",
        "3",
        '{"latency": {}}',
        older,
        second.replace('"ms": 2.0', '"ms": -1'),
        second[:-20],
    ):
        path.write_bytes(f"{bad}\n{good}\n".encode() + b"\xff\n" + bad.encode())
        assert len(_known(tmp_path, _Meter())) == 1, bad


def test_a_folder_that_cannot_be_written_ends_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    one, _ = _networks()
    assert _known(tmp_path / "file", _Meter()).measure(one).ms == 1.0


def test_a_search_asks_for_what_is_known_unless_it_is_told_not_to(tmp_path: Path) -> None:
    values: dict[str, Any] = {"space": "mbconv", "records": {"dir": str(tmp_path)}}
    assert Config.from_values(values).known_latencies == tmp_path / "devices"
    assert Config.from_values({**values, "inference": {"remeasure": True}}).known_latencies is None


def test_a_line_that_was_cut_off_costs_no_other(tmp_path: Path) -> None:
    one, other = _networks()
    _known(tmp_path, _Meter()).measure(one)
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:-20])  # the disk was full
    _known(tmp_path, _Meter()).measure(other)
    later = _known(tmp_path, _Meter())
    assert len(later) == 1
    assert later.measure(other).ms == 1.0
