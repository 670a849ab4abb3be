"""Measuring: real runs in processes of their own, and what counts where the machine is busy."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import nas
from nas.errors import ConfigError, DeviceError, WorkerError
from nas.exporting.onnx.graph import to_onnx
from nas.latency import measure as module
from nas.latency.deployment import PACKAGES, RUNTIMES, Deployment, deployment, this_device
from nas.latency.measure import Latency, Meter
from nas.latency.measuring_process import Visit
from nas.machine import cores
from nas.network.lower import lower

HERE = [name for name in RUNTIMES if name != "cuda"]


def _architecture(name: str = "reference/lenet5") -> nas.Architecture:
    space = nas.load_space(name)
    return space.decode(space.sample(seed=0))


@pytest.mark.parametrize(
    "runtime", [pytest.param(name, marks=() if name == "onnxruntime" else pytest.mark.slow) for name in HERE]
)
def test_networks_are_measured(runtime: str) -> None:
    for package in PACKAGES[runtime]:
        pytest.importorskip(package)
    meter = Meter(Deployment(runtime))
    small, large = meter.measure_all([_architecture(), _architecture("reference/small_cnn")])
    for found in (small, large):
        # The median is over visits of a busy machine too, and may be below what a quiet one had.
        assert found.ms > 0
        assert 0 < found.median_ms <= found.p95_ms
        assert found.visits >= 5
        assert found.runs >= 3 * found.visits
        assert found.deployment == Deployment(runtime)
        assert Latency.from_dict(json.loads(json.dumps(found.to_dict()))) == found
    assert small.ms < large.ms, "416,520 multiply-adds take less than some millions"
    assert runtime in str(small)


def test_a_network_that_cannot_run_is_an_error_that_says_so() -> None:
    broken = replace(_architecture(), input_shape=(1, 2, 2))
    with pytest.raises(DeviceError, match=r"torch cannot run the network: ShapeError"):
        Meter(Deployment("torch")).measure(broken)


def test_a_model_that_is_a_file_is_measured() -> None:
    arch = _architecture("reference/small_cnn")
    module = nas.build(arch)
    weights = {name: value.detach().numpy() for name, value in module.state_dict().items()}
    meter = Meter(Deployment("onnxruntime", batch=2))
    found = meter.measure_model(to_onnx(lower(arch), weights))
    assert 0 < found.ms <= found.median_ms <= found.p95_ms
    assert found.deployment == Deployment("onnxruntime", batch=2)
    with pytest.raises(DeviceError, match="onnxruntime cannot run the network"):
        meter.measure_model(b"no model")


def _no_answer(connection: Any, *_: object) -> None:
    connection.recv()


def _dies(*_: object) -> None:
    sys.exit(3)


def test_a_process_that_dies_or_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    meter = Meter(Deployment("torch"))
    monkeypatch.setattr(module, "serve", _dies)
    with pytest.raises(WorkerError, match=r"died. Where a script of yours starts it"):
        meter.measure(_architecture())
    meter._works = True  # one has started before: it is this network
    with pytest.raises(DeviceError, match="died"):
        meter.measure(_architecture())
    monkeypatch.setattr(module, "serve", _no_answer)
    monkeypatch.setattr(module, "_TIMEOUT", 1.0)
    with pytest.raises(DeviceError, match="did not answer within 1 s"):
        Meter(Deployment("torch")).measure(_architecture())


class _Machine:
    """Answers visits from a list, the last one for ever."""

    def __init__(self, visits: list[Visit]) -> None:
        self.visits, self.asked = visits, 0

    def send(self, _: object) -> None:
        self.asked += 1

    def poll(self, _: float) -> bool:
        return True

    def recv(self) -> Visit:
        return self.visits[min(self.asked, len(self.visits)) - 1]


def _visit(low: float, reference: float = 1.0, others: float = 0.0) -> Visit:
    return Visit(low_seconds=low, reference_seconds=reference, others_share=others, run_seconds=np.full(4, low))


@pytest.mark.parametrize(
    ("visits", "ms", "made", "quiet"),
    [
        ([_visit(10.0)], 10_000, 5, 5),
        # The least of those that count, not of those while the reference was slow or others were at work.
        ([_visit(9.0, reference=1.2), _visit(8.0, others=0.8), _visit(10.1), _visit(10.0)], 10_000, 5, 3),
        # Two that agree are wanted: the machine is looked at until there are.
        ([*[_visit(12.0, others=1.0)] * 7, _visit(10.0)], 10_000, 9, 2),
        # A machine that is never quiet gives a figure all the same, and says so.
        ([_visit(12.0, others=1.0), _visit(11.0, others=1.0)], 11_000, 15, 0),
    ],
)
def test_what_counts(visits: list[Visit], ms: float, made: int, quiet: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "sleep", lambda _: None)
    machine, meter = _Machine(visits), Meter(Deployment("torch"))
    monkeypatch.setattr(meter, "_start", lambda _: SimpleNamespace(process=_Process(), connection=machine))
    machine.close = lambda: None  # type: ignore[attr-defined]  # of a connection
    found = meter.measure(_architecture())
    assert (found.ms, found.visits, found.quiet_visits) == (ms, made, quiet)


class _Process:
    def kill(self) -> None: ...

    def join(self) -> None: ...


def test_a_slow_reference_is_seen_in_later_measurements(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "sleep", lambda _: None)
    meter = Meter(Deployment("torch"))
    machine = _Machine([_visit(1.0)])
    machine.close = lambda: None  # type: ignore[attr-defined]  # of a connection
    monkeypatch.setattr(meter, "_start", lambda _: SimpleNamespace(process=_Process(), connection=machine))
    assert meter.measure(_architecture()).quiet_visits == 5
    machine.visits = [_visit(2.0, reference=2.0)]
    assert meter.measure(_architecture()).quiet_visits == 0


@pytest.mark.parametrize(("usual_ms", "quiet"), [(950.0, 5), (800.0, 0), (2000.0, 5)])
def test_what_the_reference_takes_may_be_known(usual_ms: float, quiet: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "sleep", lambda _: None)
    meter = Meter(Deployment("torch"), usual_ms=usual_ms)
    machine = _Machine([_visit(1.0)])
    machine.close = lambda: None  # type: ignore[attr-defined]  # of a connection
    monkeypatch.setattr(meter, "_start", lambda _: SimpleNamespace(process=_Process(), connection=machine))
    assert meter.measure(_architecture()).quiet_visits == quiet


def test_deployments() -> None:
    assert deployment().runtime in HERE
    assert deployment("torch", 8, 1) == Deployment("torch", 8, 1)
    assert str(Deployment("torch", 8, 2)) == "torch, batch 8, 2 threads"
    device = this_device("torch")
    assert device.cores == cores() >= 1
    assert set(device.versions) == {"torch"}
    with pytest.raises(ConfigError, match=r"unknown 'onnxruntme'. Did you mean 'onnxruntime'"):
        deployment("onnxruntme")
    with pytest.raises(ConfigError, match=r"inference.threads=1000, but this machine lends"):
        deployment("torch", threads=1000)
    with pytest.raises(ConfigError, match=r"inference.batch must be >= 1, but got 0"):
        deployment("torch", batch=0)


def test_a_runtime_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    from nas.latency import deployment as here

    monkeypatch.setattr(here, "find_spec", lambda package: None if package == "openvino" else object())
    with pytest.raises(ConfigError, match=r"inference.runtime=openvino is not there: pip install openvino onnx"):
        deployment("openvino")
    monkeypatch.setattr(here, "_gpu", lambda: None)
    with pytest.raises(ConfigError, match="no NVIDIA GPU is found"):
        deployment("cuda")
    monkeypatch.setattr(here, "find_spec", lambda package: object() if package == "torch" else None)
    assert deployment().runtime == "torch"
    monkeypatch.setattr(here, "_gpu", lambda: "A GPU")
    monkeypatch.setattr(here, "_version", lambda _: "2.13.0+cpu")
    assert deployment().runtime == "torch", "a GPU is of no use to a torch that is built without CUDA"
    monkeypatch.setattr(here, "_version", lambda _: "2.13.0+cu130")
    assert deployment().runtime == "cuda"
    assert this_device("cuda").hardware == "A GPU"
