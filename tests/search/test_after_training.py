"""Limits and objectives that only training shows: accuracy and latency in 8 bits."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.samplers import RandomSampler
from optuna.trial import FrozenTrial, TrialState

import nas
from nas.cost import AFTER_TRAINING, Workload
from nas.errors import ConfigError, DeviceError, SpaceError
from nas.evaluators.training import TrainingEvaluator
from nas.latency.deployment import Deployment, this_device
from nas.latency.measure import Latency
from nas.search import run as module
from nas.search.config import Config
from nas.search.trial import State, Trial
from nas.workers.in_process import InThisProcess
from tests.search.conftest import SAMPLERS, SMALL


def right(macs: float) -> float:
    """The share that a network is right in, in 8 bits: more with more multiply-adds."""
    return 1 - 1 / (1 + macs / 1e5)


def ms_of(macs: float) -> float:
    """What it takes where 100,000 multiply-adds take 1 ms."""
    return macs / 1e5


class In8Bits:
    """Scores networks by formulas, and leaves a file for each that says how many multiply-adds it has."""

    after_training = AFTER_TRAINING
    missing: Mapping[str, str] = {}

    def __call__(self, arch: nas.Architecture, budget: nas.Budget, seed: int) -> nas.Evaluation:
        cost = nas.cost_of(arch)
        assert budget.int8 is not None
        (Path(budget.int8) / f"{arch.arch_id}.onnx").write_text(str(cost.macs))
        return nas.Evaluation({"val_accuracy": cost.params / 1e5, "int8_accuracy": right(cost.macs)})


class NotIn8Bits:
    """Scores networks that nobody can quantise."""

    after_training = AFTER_TRAINING

    def __call__(self, arch: nas.Architecture, budget: nas.Budget, seed: int) -> nas.Evaluation:
        why = dict.fromkeys(AFTER_TRAINING, "onnxruntime cannot quantise the network: no")
        return nas.Evaluation({"val_accuracy": 0.5}, missing=why)


class Forgetful:
    """Says that it gives what is asked for, and does not."""

    after_training = AFTER_TRAINING

    def __call__(self, arch: nas.Architecture, budget: nas.Budget, seed: int) -> float:
        return 0.5


class FakeMeter:
    """Measures the files of `In8Bits` by the formula."""

    def __init__(self, deployment: Deployment, *, usual_ms: float = math.inf) -> None:
        self.deployment, self.device = deployment, this_device(deployment.runtime)

    def measure_model(self, model: bytes) -> Latency:
        ms = ms_of(float(model))
        return Latency(ms, ms, 2 * ms, 0.0, 15, 5, 5, self.deployment, self.device, "2026-01-01T00:00:00+00:00")


@pytest.fixture(autouse=True)
def meter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "Meter", FakeMeter)


def _search(space: nas.SearchSpace, evaluate: Any = None, **arguments: Any) -> Any:
    return nas.run_search(space, evaluate or In8Bits(), **{"trials": 15, "sampler": "random", "seed": 3, **arguments})


def _over(trial: Trial, least: float, most: float) -> bool:
    assert trial.cost is not None
    return right(trial.cost.macs) < least or ms_of(trial.cost.macs) > most


def test_what_is_over_a_limit_was_trained_and_is_not_accepted(space: nas.SearchSpace, tmp_path: Path) -> None:
    limits = {"int8_accuracy": [0.3, None], "int8_latency_ms": 1.5}
    study = _search(space, constraints=limits, run_dir=tmp_path / "run")
    trained = [trial for trial in study.trials if trial.trained]
    assert len(trained) == 15, "each counts as a trial of the search"
    assert {trial.state for trial in trained} == {State.COMPLETED, State.OVER_LIMIT}
    for trial in trained:
        assert (trial.state is State.OVER_LIMIT) == _over(trial, 0.3, 1.5)
        assert trial.scores["int8_accuracy"] == right(trial.cost.macs)
        assert trial.scores["int8_latency_ms"] == trial.int8_latency.ms == ms_of(trial.cost.macs)
        assert trial.int8_latency.deployment == Deployment("onnxruntime", 1, 1)
    slow = next(trial for trial in trained if ms_of(trial.cost.macs) > 1.5)
    assert slow.reason == f"int8_latency_ms {ms_of(slow.cost.macs):,.6g} is over 1.5"
    assert study.rejections() == {
        "int8_latency_ms": sum(ms_of(trial.cost.macs) > 1.5 for trial in trained),
        "int8_accuracy": sum(right(trial.cost.macs) < 0.3 for trial in trained),
    }
    held = sorted((trial for trial in trained if not _over(trial, 0.3, 1.5)), key=lambda trial: -trial.cost.params)
    assert [trial.number for trial in study.best(99)] == [trial.number for trial in held]
    assert study.counts()["over_limit"] == len(trained) - len(held)
    lines = [json.loads(line) for line in (tmp_path / "run" / "trials.jsonl").read_text().splitlines()]
    assert [line["state"] for line in lines] == [trial.state.value for trial in study.trials]
    assert not (tmp_path / "run" / "int8").exists()
    assert json.loads((tmp_path / "run" / "study.json").read_text())["int8"]["deployment"]["runtime"] == "onnxruntime"


def test_another_genotype_of_the_same_network_is_over_the_limit_too(space: nas.SearchSpace) -> None:
    study = _search(space, constraints={"int8_latency_ms": 1.5}, trials=60)
    by_number = {trial.number: trial for trial in study.trials}
    repeated = [trial for trial in study.trials if trial.state is State.DUPLICATE]
    over = [trial for trial in repeated if ms_of(trial.cost.macs) > 1.5]
    assert over
    for trial in repeated:
        original = by_number[trial.duplicate_of]
        assert (trial.scores, trial.reason) == (original.scores, original.reason)
        assert trial.violations == original.violations


class Watched(RandomSampler):
    """Keeps what it is told."""

    def __init__(self) -> None:
        super().__init__(seed=0)
        self.told: list[tuple[TrialState, Any, Mapping[str, float]]] = []

    def after_trial(self, study: optuna.Study, trial: FrozenTrial, state: TrialState, values: Any) -> None:
        self.told.append((state, values, study.get_trials()[trial.number].constraints))


def test_the_sampler_is_told_of_a_broken_constraint(space: nas.SearchSpace) -> None:
    sampler = Watched()
    study = _search(space, sampler=sampler, constraints={"int8_latency_ms": 1.5})
    assert len(sampler.told) == len(study.trials)
    for trial, (state, values, constraints) in zip(study.trials, sampler.told, strict=True):
        if trial.state is State.DUPLICATE:
            continue
        assert (state, values) == (TrialState.COMPLETE, [trial.cost.params / 1e5])
        assert constraints == {"int8_latency_ms": pytest.approx(ms_of(trial.cost.macs) / 1.5 - 1)}


def test_the_default_sampler_finds_the_best_that_holds_the_limit(space: nas.SearchSpace) -> None:
    """The score rises with what the limit forbids; of networks over it the largest would be best of all."""
    study = _search(space, sampler="default", constraints={"int8_latency_ms": 6}, trials=40)
    held = {cost.params for cost in map(nas.cost_of, map(space.decode, space.enumerate())) if ms_of(cost.macs) <= 6}
    (best,) = study.best(1)
    assert best.cost.params in sorted(held)[-4:]
    over = [trial.cost.params for trial in study.trials if trial.state is State.OVER_LIMIT]
    assert max(over) > best.cost.params


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_every_sampler_goes_on(space: nas.SearchSpace, sampler: str) -> None:
    limits = {"int8_accuracy": [0.3, None], "int8_latency_ms": 1.5}
    study = _search(space, sampler=sampler, constraints=limits, trials=12)
    assert sum(trial.trained for trial in study.trials) == 12
    assert study.counts()["completed"] > 0


def _line(trial: Trial) -> dict[str, Any]:
    return {name: value for name, value in trial.to_dict().items() if name not in ("seconds", "finished", "elapsed")}


@pytest.mark.parametrize("sampler", ["default", "tpe"])
def test_a_resumed_search_goes_the_same_way(space: nas.SearchSpace, tmp_path: Path, sampler: str) -> None:
    how: dict[str, Any] = {"sampler": sampler, "constraints": {"int8_latency_ms": 4}, "soft": {"macs": 2e5}}
    whole = _search(space, **how, trials=20)
    _search(space, **how, trials=9, run_dir=tmp_path / "run")
    both = _search(space, **how, trials=20, run_dir=tmp_path / "run", resume=True)
    assert {State.OVER_LIMIT, State.COMPLETED} <= {trial.state for trial in both.trials}
    assert [_line(trial) for trial in both.trials] == [_line(trial) for trial in whole.trials]


def test_it_is_resumed_on_its_own_device_only(
    space: nas.SearchSpace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    how: dict[str, Any] = {"objective": ["val_accuracy", "int8_latency_ms"], "run_dir": tmp_path / "run"}
    _search(space, **how, trials=2)

    class Elsewhere(FakeMeter):
        def __init__(self, deployment: Deployment, **_: Any) -> None:
            super().__init__(deployment)
            self.device = replace(self.device, hardware="Another")

    monkeypatch.setattr(module, "Meter", Elsewhere)
    with pytest.raises(ConfigError, match=r"resume: int8 was .* but is now .*Another"):
        _search(space, **how, resume=True)


def test_the_front_is_of_accuracy_and_latency_in_8_bits(space: nas.SearchSpace) -> None:
    study = _search(space, objective=["val_accuracy", "int8_latency_ms"], constraints={"int8_accuracy": [0.3, None]})
    points = {
        trial.number: (trial.cost.params, -trial.cost.macs)
        for trial in study.trials
        if trial.trained and right(trial.cost.macs) >= 0.3
    }
    front = {
        number
        for number, one in points.items()
        if not any(other != one and all(b >= a for a, b in zip(one, other, strict=True)) for other in points.values())
    }
    assert {trial.number for trial in study.front()} == front
    assert [objective.direction for objective in study.objectives] == ["maximize", "minimize"]


def test_it_may_be_the_objective_and_a_soft_limit(space: nas.SearchSpace) -> None:
    study = _search(space, objective="int8_accuracy", soft={"int8_latency_ms": 1.0}, soft_weight=0.5)
    assert study.direction == "maximize"
    assert "over_limit" not in study.counts()
    for trial in study.trials:
        expected = right(trial.cost.macs) - 0.5 * max(0.0, ms_of(trial.cost.macs) - 1)
        assert study.judged(trial) == pytest.approx(expected)


@pytest.mark.parametrize(
    "asked",
    [
        {"constraints": {"int8_accuracy": [0.9, None]}},
        {"soft": {"int8_latency_ms": 1}},
        {"objective": "int8_accuracy"},
        {"objective": ["val_accuracy", "int8_latency_ms"]},
    ],
    ids=str,
)
def test_what_cannot_be_quantised_is_over_each_limit(space: nas.SearchSpace, asked: dict[str, Any]) -> None:
    sampler = Watched()
    study = _search(space, NotIn8Bits(), sampler=sampler, **asked, max_equal_failures=3)
    (name,) = {*asked.get("constraints", ()), *asked.get("soft", ()), *str(asked.get("objective", "")).split("'")} & {
        *AFTER_TRAINING
    }
    trained = [trial for trial in study.trials if trial.trained]
    assert (len(trained), {trial.state for trial in trained}) == (15, {State.OVER_LIMIT}), "it ends no study"
    assert {trial.reason for trial in trained} == {f"no {name}: onnxruntime cannot quantise the network: no"}
    assert study.rejections() == {name: 15}
    assert not study.best(1)
    assert {constraints[name] for _, _, constraints in sampler.told} == {1.0}


def test_a_model_that_cannot_be_measured_is_over_the_limit(
    space: nas.SearchSpace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def measure(self: FakeMeter, model: bytes) -> Latency:
        raise DeviceError("onnxruntime cannot run the network: no")

    monkeypatch.setattr(module, "Meter", type("Broken", (FakeMeter,), {"measure_model": measure}))
    study = _search(space, constraints={"int8_latency_ms": 1})
    assert {trial.reason for trial in study.trials} == {"no int8_latency_ms: onnxruntime cannot run the network: no"}


def test_an_evaluator_that_does_not_give_it_is_told_so(space: nas.SearchSpace) -> None:
    study = _search(space, Forgetful(), constraints={"int8_accuracy": [0.5, None], "int8_latency_ms": 1}, trials=2)
    assert {trial.state for trial in study.trials if trial.trained} == {State.OVER_LIMIT}
    assert study.trials[0].reason == (
        "no int8_latency_ms: the evaluator left no network in 8 bits to measure: No such file or directory; "
        "no int8_accuracy: the evaluator gave none"
    )


def test_workers_stand_still_while_it_is_measured(space: nas.SearchSpace, monkeypatch: pytest.MonkeyPatch) -> None:
    paused: list[bool] = []

    class Pool(InThisProcess):
        @contextmanager
        def paused(self) -> Iterator[None]:
            paused.append(True)
            yield
            paused.append(False)

    def measure(self: FakeMeter, model: bytes) -> Latency:
        assert paused[-1]
        return Latency(1, 1, 1, 0.0, 15, 5, 5, self.deployment, self.device, "2026-01-01T00:00:00+00:00")

    monkeypatch.setattr(module, "Meter", type("Watching", (FakeMeter,), {"measure_model": measure}))
    pool = Pool(In8Bits(), "val_accuracy")
    study = _search(space, None, pool=pool, objective=["val_accuracy", "int8_latency_ms"], trials=3)
    assert study.counts()["completed"] == 3
    assert paused == [True, False] * 3


def test_it_is_asked_of_evaluators_that_train_only(space: nas.SearchSpace) -> None:
    with pytest.raises(ConfigError, match=r"int8_accuracy is known of networks that are trained: of evaluator=train"):
        _search(space, lambda *_: 1.0, constraints={"int8_accuracy": [0.5, None]})
    with pytest.raises(ConfigError, match=r"int8_latency_ms is known .* this evaluator does not give it"):
        _search(space, lambda *_: 1.0, objective=["val_accuracy", "int8_latency_ms"])
    with pytest.raises(ConfigError, match=r"int8_accuracy is known of networks that are trained"):
        Config.from_values(
            {"space": "mbconv", "evaluator": {"name": "proxy"}, "search": {"objective": "int8_accuracy"}}
        )
    assert TrainingEvaluator.after_training == AFTER_TRAINING


@pytest.mark.parametrize("pruner", ["asha", "median"])
def test_networks_are_not_compared_before_it_is_known(space: nas.SearchSpace, pruner: str) -> None:
    with pytest.raises(ConfigError, match=rf"int8_accuracy is known .* while pruner={pruner} compares .* pruner=none"):
        _search(space, constraints={"int8_accuracy": [0.5, None]}, pruner=pruner, budget=nas.Budget(epochs=9))


@pytest.mark.parametrize(
    ("bound", "problem"),
    [
        (0.9, r"constraints.int8_accuracy=0.9 would be the most accurate .* at least that is .*=\[0.9,null\]"),
        ([90, None], r"constraints.int8_accuracy: an accuracy is a share from 0 to 1, but got \[90, inf\]"),
        ([0.5, 90], r"a share from 0 to 1"),
    ],
)
def test_bounds_that_nobody_means_are_refused(space: nas.SearchSpace, bound: object, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        _search(space, constraints={"int8_accuracy": bound})


def test_where_it_does_not_belong(space: nas.SearchSpace) -> None:
    with pytest.raises(SpaceError, match=r"only training shows it; a search limits it: constraints.int8_latency_ms"):
        nas.SearchSpace.from_dict({**SMALL, "limits": {"int8_latency_ms": 2}})
    with pytest.raises(ConfigError, match=r"a list of different names that begins with one"):
        _search(space, objective="int8_latency_ms")
    with pytest.raises(ConfigError, match=r"finish=true reports what holds on the test split, where int8_accuracy"):
        Config.from_values({"space": "mbconv", "finish": True, "search": {"objective": "int8_accuracy"}})


def test_latency_in_8_bits_has_the_threads_and_the_batch_of_the_other(space: nas.SearchSpace) -> None:
    deployment = Deployment("torch", 4, 2)
    workload = Workload(batch=4)
    study = _search(space, constraints={"int8_latency_ms": 99}, deployment=deployment, workload=workload, trials=1)
    (latency,) = [trial.int8_latency for trial in study.trials]
    assert latency.deployment == Deployment("onnxruntime", 4, 2)
