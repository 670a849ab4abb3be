"""Limits on latency in a search: predicted, then measured, and never trained where they do not hold."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import nas
from nas.cost import Interval
from nas.errors import ConfigError, DeviceError, SpaceError
from nas.latency.deployment import Deployment, this_device
from nas.latency.measure import Latency
from nas.search import run as module
from nas.search.config import Config, calibration
from nas.search.reporting import feasibility
from nas.search.trial import State
from nas.workers.processes import WorkerPool
from tests.search import evaluators

HERE = Deployment("torch")


def ms_of(arch: nas.Architecture) -> float:
    """The latency of a device on which 100,000 multiply-adds take 1 ms."""
    return nas.cost_of(arch).macs / 1e5


class FakeMeter:
    """Measures by a formula."""

    measured: list[str]

    def __init__(self, deployment: Deployment, *, usual_ms: float = 1.0) -> None:
        self.deployment, self.device = deployment, this_device(deployment.runtime)
        type(self).measured = []

    def measure(self, arch: nas.Architecture) -> Latency:
        self.measured.append(arch.arch_id)
        ms = ms_of(arch)
        return Latency(ms, ms, ms, 0.0, 15, 5, 5, self.deployment, self.device, "2026-01-01T00:00:00+00:00")


@pytest.fixture(autouse=True)
def meter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "Meter", FakeMeter)


class Profile:
    """Predicts within 20 %."""

    reference_ms = 0.2

    def __init__(self, why_not: str = "", width: float = 0.2) -> None:
        self._why_not, self.width = why_not, width

    def why_not(self, _: Deployment) -> str:
        return self._why_not

    def interval(self, arch: nas.Architecture) -> Interval:
        ms = ms_of(arch) * random.Random(arch.arch_id).uniform(1 - self.width, 1 + self.width)
        return Interval(ms, ms / (1 + self.width), ms / (1 - self.width))


def _search(space: nas.SearchSpace, evaluate: Any = None, **arguments: Any) -> Any:
    return nas.run_search(
        space,
        evaluate or (lambda arch, *_: nas.cost_of(arch).params / 1e6),
        **{"trials": 15, "sampler": "random", "deployment": HERE, "seed": 3, **arguments},
    )


def test_nothing_over_a_limit_is_evaluated(space: nas.SearchSpace) -> None:
    seen: list[float] = []

    def evaluate(arch: nas.Architecture, *_: Any) -> float:
        seen.append(ms_of(arch))
        return 1.0

    study = _search(space, evaluate, constraints={"latency_ms": (0.3, 2.0)})
    assert len(seen) == 15
    assert all(0.3 <= ms <= 2.0 for ms in seen)
    rejected = [trial for trial in study.trials if trial.state is State.REJECTED]
    assert study.rejections() == {"latency_ms": len(rejected)}
    assert {trial.violations[0].value > 2 for trial in rejected} == {True, False}
    for trial in study.trials:
        if trial.state is not State.DUPLICATE:
            assert trial.latency is not None
            assert trial.latency.ms == pytest.approx(trial.cost.macs / 1e5)
    assert len(FakeMeter.measured) == len(set(FakeMeter.measured)), "one network is measured once"


def test_counted_limits_come_first(space: nas.SearchSpace) -> None:
    study = _search(space, constraints={"latency_ms": 2.0, "params": 20_000})
    for trial in study.trials:
        if trial.cost.params > 20_000:
            assert trial.latency is None
            assert [v.metric for v in trial.violations if v.rejects] == ["params"]
    assert sum(study.counts().values()) == len(study.trials)


def test_what_is_surely_over_is_not_measured(space: nas.SearchSpace) -> None:
    limits = {"latency_ms": 2.0}
    measured, predicted = _search(space, constraints=limits), None
    alone = len(FakeMeter.measured)
    predicted = _search(space, constraints=limits, profile=Profile())
    assert len(FakeMeter.measured) < alone
    for trial in predicted.trials:
        (violation,) = trial.violations or [None]
        if trial.latency is None and trial.state is State.REJECTED:
            assert violation.predicted
            assert "(predicted) is over 2" in trial.reason
            assert trial.cost.macs / 1e5 > 2.0, "a prediction within its interval rejects nothing that holds"
        elif trial.state is not State.DUPLICATE:
            assert not violation.predicted
    # The same candidates are accepted either way: predictions save measurements, and decide nothing that is close.
    accepted = [[t.genotype for t in study.trials if t.state is State.COMPLETED] for study in (measured, predicted)]
    assert accepted[0] == accepted[1]


def test_a_soft_limit_costs_score(space: nas.SearchSpace) -> None:
    study = _search(space, lambda *_: 1.0, soft={"latency_ms": 1.0}, soft_weight=0.5)
    assert study.counts()["rejected"] == 0
    for trial in study.trials:
        if trial.state is State.COMPLETED:
            assert study.judged(trial) == pytest.approx(1 - 0.5 * max(0, trial.cost.macs / 1e5 - 1))


def test_rare_candidates_are_found_by_predictions() -> None:
    space = nas.load_space("mbconv")
    bound = sorted(ms_of(space.decode(space.sample(seed))) for seed in range(2000))[2]
    study = _search(space, constraints={"latency_ms": bound}, profile=Profile(width=0.01), trials=4)
    assert study.counts()["completed"] == 4
    assert study.guided()[0] > 0
    assert len(FakeMeter.measured) < 40


def test_a_network_that_cannot_run_fails_alone(space: nas.SearchSpace, monkeypatch: pytest.MonkeyPatch) -> None:
    def measure(self: FakeMeter, arch: nas.Architecture) -> Latency:
        if nas.cost_of(arch).params % 3 == 0:
            raise DeviceError("torch cannot run the network: RuntimeError: no")
        return FakeMeter.measure(self, arch)

    monkeypatch.setattr(module, "Meter", type("Broken", (FakeMeter,), {"measure": measure}))
    study = _search(space, constraints={"latency_ms": 1e9})
    counts = study.counts()
    assert counts["failed"] > 0
    assert counts["completed"] > 0
    assert counts["completed"] + counts["failed"] == 15


def test_a_study_is_resumed_on_its_own_device_only(
    space: nas.SearchSpace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "study"
    limits: Mapping[str, object] = {"latency_ms": 2.0}
    whole = _search(space, constraints=limits)
    first = _search(space, constraints=limits, trials=6, run_dir=folder)
    known = {trial.arch_id for trial in first.trials if trial.latency}
    both = _search(space, constraints=limits, run_dir=folder, resume=True)
    assert [trial.genotype for trial in both.trials] == [trial.genotype for trial in whole.trials]
    assert not known & set(FakeMeter.measured), "what was measured once is in the record"
    line = json.loads((folder / "trials.jsonl").read_text().splitlines()[0])
    assert line["latency"]["deployment"] == {"runtime": "torch", "batch": 1, "threads": 1}
    assert line["latency"]["device"]["versions"].keys() == {"torch"}

    class Elsewhere(FakeMeter):
        def __init__(self, deployment: Deployment, **_: Any) -> None:
            super().__init__(deployment)
            self.device = replace(self.device, hardware="Another")

    monkeypatch.setattr(module, "Meter", Elsewhere)
    with pytest.raises(ConfigError, match=r"resume: device was .* but is now .*Another"):
        _search(space, constraints=limits, run_dir=folder, resume=True)


def test_a_profile_of_something_else_is_refused(space: nas.SearchSpace) -> None:
    with pytest.raises(ConfigError, match=r"device profile does not hold here: its cores was 64, but here it is 2"):
        _search(space, constraints={"latency_ms": 1}, profile=Profile("its cores was 64, but here it is 2"))
    with pytest.raises(ConfigError, match=r"deployment.batch 4 is not workload.batch 1"):
        _search(space, constraints={"latency_ms": 1}, deployment=Deployment("torch", 4))


def test_workers_stand_still_while_paused() -> None:
    pool = WorkerPool(evaluators.params, 2, trial_seconds=1000)
    try:
        while not all(worker.ready for worker in pool._workers):
            with pool.paused():
                starting = [worker for worker in pool._workers if not worker.ready]
                assert "T" not in _states(starting), "one that starts could not be killed with its driver"
            pool.wait(0.1)
        with pool.paused():
            _wait(lambda: _states(pool._workers) == {"T"})
        _wait(lambda: "T" not in _states(pool._workers))
    finally:
        pool.close()


def test_a_pause_is_not_of_a_trials_time(monkeypatch: pytest.MonkeyPatch) -> None:
    pool = WorkerPool(evaluators.params, 1)
    try:
        pool._workers[0].began = 1000.0
        now = iter([100.0, 160.0])
        monkeypatch.setattr(time, "monotonic", lambda: next(now))
        with pool.paused():
            pass
        assert pool._workers[0].began == 1060.0
    finally:
        monkeypatch.undo()
        pool.close()


def _states(every: Sequence[Any]) -> set[str]:
    """What the processes do, each by the letter that Linux has for it; T: stopped."""
    stats = [Path(f"/proc/{worker.process.pid}/stat").read_text() for worker in every]
    return {stat.rsplit(")", 1)[1].split()[0] for stat in stats}


def _wait(condition: Callable[[], bool]) -> None:
    for _ in range(500):
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError("did not happen within 5 s")


def _config(**values: Any) -> Config:
    return Config.from_values({"space": "mbconv", **values})


def test_a_limit_that_the_smallest_networks_do_not_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    class Batch(FakeMeter):
        def measure_all(self, architectures: Sequence[nas.Architecture]) -> list[Latency]:
            return [self.measure(one) for one in architectures]

    monkeypatch.setattr(feasibility, "Meter", Batch)
    space = nas.load_space("mbconv")
    least = min(ms_of(space.decode(space.sample(seed))) for seed in range(2000))
    where: dict[str, Any] = {"inference": {"runtime": "torch", "profile": None}}
    said: list[str] = []
    feasibility.report_feasibility(_config(**where, constraints={"latency_ms": least}), space, said.append)
    assert said == [
        "Latency: torch, batch 1, 1 thread; latency is measured for every candidate that holds the others",
        "Measuring the smallest networks of the space ...",
    ]
    assert len(Batch.measured) == 3
    with pytest.raises(SpaceError, match=r"no network of the space holds latency_ms <= 0.01, as far as the smallest"):
        feasibility.report_feasibility(_config(**where, constraints={"latency_ms": 0.01}), space, said.append)


def test_what_is_said_of_a_profile(tmp_path: Path) -> None:
    where: dict[str, Any] = {"inference": {"runtime": "torch"}, "records": {"dir": str(tmp_path)}}
    profile, how = _config(**where).profile()
    assert profile is None
    assert "no device profile" in how
    assert "python -m nas.calibrate makes one" in how
    with pytest.raises(ConfigError, match=r"device profile none.json cannot be read"):
        _config(inference={"runtime": "torch", "profile": "none.json"}).profile()
    with pytest.raises(ConfigError, match=r"inference.runtime: unknown 'onnx'"):
        _config(inference={"runtime": "onnx"})


@pytest.mark.parametrize(
    ("inference", "options"),
    [
        ({}, ""),
        ({"batch": 4}, " --batch 4"),
        ({"runtime": "torch", "threads": 2}, " --runtime torch --threads 2"),
    ],
)
def test_the_command_that_makes_a_profile_says_what_is_not_usual(inference: dict[str, Any], options: str) -> None:
    config = Config.from_values({"space": "mbconv", "inference": inference})
    space = nas.load_space("mbconv").for_data((1, 8, 8), 10)
    assert calibration(config, space) == f"python -m nas.calibrate --space mbconv --data 1x8x8{options}"
