"""The driver: limits, duplicates, failures, repetition, resume."""

from __future__ import annotations

import json
import math
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.trial import TrialState

import nas
from nas.errors import ConfigError, SpaceError
from nas.search.stop_reason import StopReason
from nas.search.study import Study
from nas.search.trial import State, Trial
from tests.frozen import changeable
from tests.logs import rewrite
from tests.search.conftest import SAMPLERS, SMALL


def score(arch: nas.Architecture, budget: nas.Budget, seed: int) -> float:
    """Best at 3,000 parameters."""
    return -abs(nas.cost_of(arch).params - 3000)


def _facts(study: Study) -> list[tuple[Any, ...]]:
    return [(t.number, t.state, t.genotype, t.arch_id, dict(t.scores), t.seed) for t in study.trials]


def test_limits_hold_and_the_counts_add_up(space: nas.SearchSpace) -> None:
    seen: list[nas.Architecture] = []

    def spy(arch: nas.Architecture, budget: nas.Budget, seed: int) -> float:
        seen.append(arch)
        return score(arch, budget, seed)

    study = nas.run_search(
        space, spy, trials=15, sampler="tpe", constraints={"params": (1500, 4000), "macs": 4e5}, seed=1
    )
    assert len(seen) == 15
    assert all(1500 <= nas.cost_of(a).params <= 4000 and nas.cost_of(a).macs <= 4e5 for a in seen)
    assert study.counts()["completed"] == 15
    assert sum(study.counts().values()) == len(study.trials)
    assert study.counts()["rejected"] > 0
    for trial in study.trials:
        assert trial.cost is not None
        inside = 1500 <= trial.cost.params <= 4000 and trial.cost.macs <= 4e5
        assert (trial.state is State.REJECTED) != inside


def test_a_rejection_names_metric_value_and_bound(space: nas.SearchSpace) -> None:
    study = nas.run_search(space, score, trials=10, sampler="tpe", constraints={"params": 3000}, seed=0)
    rejected = next(t for t in study.trials if t.state is State.REJECTED)
    assert rejected.cost is not None
    (violation,) = rejected.violations
    assert (violation.metric, violation.value, violation.bound) == ("params", rejected.cost.params, 3000)
    assert violation.excess == pytest.approx(rejected.cost.params / 3000 - 1)
    assert rejected.reason == f"params {rejected.cost.params:,} is over 3,000"


class _Witness(optuna.samplers.RandomSampler):
    """Keeps what Optuna shows a sampler of the trials so far."""

    trials: list[optuna.trial.FrozenTrial]

    def before_trial(self, study: optuna.Study, trial: optuna.trial.FrozenTrial) -> None:
        self.trials = study.get_trials()[:-1]


def test_optuna_is_told_of_rejections_as_infeasible(space: nas.SearchSpace) -> None:
    witness = _Witness(seed=0)
    study = nas.run_search(space, score, trials=20, constraints={"params": 3000}, sampler=witness)
    assert len(witness.trials) == len(study.trials) - 1
    for told, trial in zip(witness.trials, study.trials, strict=False):
        assert told.params == trial.genotype
        if trial.state is State.REJECTED:
            assert told.state is TrialState.PRUNED
            assert told.constraints["params"] > 0
        else:
            assert told.state is TrialState.COMPLETE
            assert told.constraints["params"] <= 0


@pytest.mark.slow  # ten searches
def test_the_sampler_learns_from_rejections(space: nas.SearchSpace) -> None:
    """TPE is rejected less often than random choice, over 5 seeds together."""
    rejected = Counter[str]()
    for name in ("tpe", "random"):
        for seed in range(5):
            study = nas.run_search(
                nas.load_space("mbconv"), score, trials=40, constraints={"params": 2.5e5}, sampler=name, seed=seed
            )
            rejected[name] += study.counts()["rejected"]
    assert rejected["tpe"] < 0.8 * rejected["random"]


def test_an_impossible_limit_ends_the_search(space: nas.SearchSpace) -> None:
    study = nas.run_search(space, score, trials=5, constraints={"params": 10, "macs": 1e4}, max_rejections=12)
    assert study.counts() == {"completed": 0, "failed": 0, "rejected": 12, "duplicate": 0}
    assert study.rejections()["params"] == 12
    assert study.stop is not None
    assert study.stop.reason is StopReason.PROPOSALS_REJECTED
    assert "12 proposals in a row" in study.stop_reason
    assert "params 12" in study.stop_reason


def test_a_network_is_evaluated_once(space: nas.SearchSpace) -> None:
    calls = Counter[str]()

    def spy(arch: nas.Architecture, budget: nas.Budget, seed: int) -> float:
        calls[arch.arch_id] += 1
        return score(arch, budget, seed)

    study = nas.run_search(space, spy, trials=200, sampler="random", seed=0)
    assert set(calls.values()) == {1}
    by_number = {t.number: t for t in study.trials}
    duplicates = [t for t in study.trials if t.state is State.DUPLICATE]
    assert duplicates
    for trial in duplicates:
        assert trial.duplicate_of is not None
        original = by_number[trial.duplicate_of]
        assert original.state is State.COMPLETED
        assert (trial.arch_id, trial.scores) == (original.arch_id, original.scores)


def test_a_space_that_is_used_up_ends_the_search() -> None:
    study = nas.run_search(nas.load_space("reference/resnet18"), score, trials=5)
    assert study.counts()["completed"] == 1
    assert study.stop == StopReason.SPACE_EXHAUSTED.stop(size=1)


def _grumble(arch: nas.Architecture, budget: nas.Budget, seed: int) -> Any:
    """Ends in every way in turn, by the seed."""
    case = seed % 8
    if case == 5:
        raise ZeroDivisionError("division by zero")
    if case == 6:
        raise RecursionError("too deep")
    return {0: 1.0, 1: math.nan, 2: math.inf, 3: {"other": 1.0}, 4: "no number", 7: None}[case]


def test_a_failed_trial_never_ends_a_study(space: nas.SearchSpace) -> None:
    study = nas.run_search(space, _grumble, trials=60, seed=0)
    assert study.counts()["completed"] + study.counts()["failed"] == 60
    assert all(t.seed % 8 == 0 for t in study.trials if t.state is State.COMPLETED)
    reasons = {t.seed % 8: t.reason for t in study.trials if t.state is State.FAILED}
    assert reasons[1] == "val_accuracy is nan"
    assert reasons[2] == "val_accuracy is inf"
    assert "gave no 'val_accuracy', but ['other']" in reasons[3]
    assert reasons[4].startswith("TypeError: val_accuracy must be a number")
    assert reasons[5] == "ZeroDivisionError: division by zero"
    assert reasons[6] == "RecursionError: too deep"
    assert reasons[7].startswith("TypeError")


@pytest.mark.parametrize("name", SAMPLERS)
def test_same_seed_same_trials(space: nas.SearchSpace, name: str) -> None:
    runs = [
        _facts(nas.run_search(space, score, trials=15, constraints={"params": 4000}, sampler=name, seed=seed))
        for seed in (3, 3, 4)
    ]
    assert runs[0] == runs[1]
    assert [genotype for _, _, genotype, *_ in runs[0]] != [genotype for _, _, genotype, *_ in runs[2]]


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_resumed_search_is_as_if_it_was_never_interrupted(space: nas.SearchSpace, name: str, tmp_path: Path) -> None:
    def search(trials: int, resume: bool) -> Study:
        return nas.run_search(
            space,
            score,
            trials=trials,
            constraints={"params": 4000},
            sampler=name,
            run_dir=tmp_path / "a",
            resume=resume,
        )

    search(7, resume=False)
    search(11, resume=True)
    resumed = search(16, resume=True)
    whole = nas.run_search(space, score, trials=16, constraints={"params": 4000}, sampler=name, run_dir=tmp_path / "b")
    assert _facts(resumed) == _facts(whole)
    lines = (tmp_path / "a" / "trials.jsonl").read_text().splitlines()
    assert [json.loads(line)["number"] for line in lines] == [t.number for t in whole.trials]


def test_ctrl_c_keeps_what_is_done(space: nas.SearchSpace, tmp_path: Path) -> None:
    calls = 0

    def impatient(arch: nas.Architecture, budget: nas.Budget, seed: int) -> float:
        nonlocal calls
        calls += 1
        if calls == 4:
            raise KeyboardInterrupt
        return 1.0

    study = nas.run_search(space, impatient, trials=10, run_dir=tmp_path / "a")
    assert (study.interrupted, study.counts()["completed"]) == (True, 3)
    again = nas.run_search(space, impatient, trials=10, run_dir=tmp_path / "a", resume=True)
    assert again.counts()["completed"] == 10
    assert len({t.number for t in again.trials}) == len(again.trials)


def test_time_limit(space: nas.SearchSpace) -> None:
    study = nas.run_search(space, score, trials=10_000, sampler="random", minutes=0.002)
    assert study.stop == StopReason.TIME_OVER.stop(minutes=0.002)
    assert study.trials


def test_minimize_and_best(space: nas.SearchSpace) -> None:
    def loss(arch: nas.Architecture, budget: nas.Budget, seed: int) -> dict[str, float]:
        return {"loss": abs(nas.cost_of(arch).params - 3000)}

    study = nas.run_search(space, loss, trials=40, objective="loss", direction="minimize", seed=0)
    done = sorted(t.scores["loss"] for t in study.trials if t.state is State.COMPLETED)
    assert [t.scores["loss"] for t in study.best(3)] == done[:3]


def test_equal_scores_prefer_the_smaller_network(space: nas.SearchSpace) -> None:
    study = nas.run_search(space, lambda a, b, s: 1.0, trials=20)
    sizes = [t.cost.params for t in study.trials if t.cost is not None and t.state is State.COMPLETED]
    best = study.best(1)[0]
    assert best.cost is not None
    assert best.cost.params == min(sizes)


def test_networks_whose_map_vanishes_are_rejected_not_fatal() -> None:
    space = nas.SearchSpace.from_dict(
        {
            "assume": {"channels": 1, "resolution": 8, "num_classes": 2},
            "stages": [{"block": "max_pool", "depth": {"range": [0, 8]}, "kernel": {"choose": [2, 3]}}],
            "head": {"block": "classifier"},
        }
    )
    study = nas.run_search(space, lambda a, b, s: 1.0, trials=10, sampler="random")
    rejected = [t for t in study.trials if t.state is State.REJECTED]
    assert rejected
    assert all("the map shrinks to nothing" in t.reason and t.arch_id is None for t in rejected)
    assert study.rejections() == {"no valid network": len(rejected)}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"trials": 0}, "trials must be > 0, but got 0"),
        ({"trials": "5"}, "trials must be a whole number, but got '5'"),
        ({"trials": "few"}, "trials must be a whole number, but got .few."),
        ({"trials": 2.0}, "trials must be a whole number, but got 2.0"),
        ({"trials": np.array([3])}, r"trials must be a whole number, but got array\(\[3\]\)"),
        ({"trials": True}, "trials must be a whole number, but got True"),
        ({"minutes": -1}, "minutes must be > 0"),
        ({"minutes": "1"}, "minutes must be a number, but got '1'"),
        ({"minutes": math.inf}, "minutes must be <= 100,000,000, but got inf"),
        ({"max_rejections": 0}, "max_rejections must be > 0"),
        ({"seed": None}, "seed must be a whole number, but got None"),
        ({"seed": 1.5}, "seed must be a whole number, but got 1.5"),
        ({"seed": -1}, "seed must be >= 0"),
        ({"seed": 2**32}, "seed must be <= 4,294,967,295"),
        ({"workers": 10**8}, "workers: at most .* processes on this machine .*, but got 100,000,000"),
        ({"workers": "2"}, "workers must be a whole number"),
        ({"soft_weight": math.nan}, "soft_weight must be >= 0, but got nan"),
        ({"baseline_fraction": 1}, "`0 <= baseline_fraction < 1` must hold, but got 1"),
        ({"budget": 3}, "budget must be a nas.Budget, .*but got 3"),
        ({"sampler": None}, "sampler must be the name of a sampler, or an Optuna sampler, but got None"),
        ({"space": "mbconv"}, "space must be a SearchSpace, .*but got 'mbconv'"),
        ({"direction": "up"}, "maximize or minimize, but got 'up'"),
        ({"sampler": "tpee"}, "sampler: unknown 'tpee'. Did you mean 'tpe'"),
        ({"constraints": {"parms": 1}}, "unknown metric 'parms'. Did you mean 'params'"),
        ({"constraints": {"params": "few"}}, "upper bound or .*, but got 'few'"),
        ({"resume": True, "run_dir": "nowhere"}, "resume: no study in nowhere"),
    ],
)
def test_bad_arguments(space: nas.SearchSpace, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        nas.run_search(arguments.pop("space", space), score, **{"trials": 3, **arguments})


def test_numbers_of_numpy_are_numbers(space: nas.SearchSpace) -> None:
    given: dict[str, Any] = {
        "trials": np.int64(3),
        "seed": np.uint8(1),
        "minutes": np.float32(5),
        "workers": np.int32(0),
    }
    given["soft_weight"] = np.float64(0.5)
    study = nas.run_search(space, score, **given)
    expected = nas.run_search(space, score, trials=3, seed=1, soft_weight=0.5)
    assert [one.genotype for one in study.trials] == [one.genotype for one in expected.trials]


def test_a_space_that_cannot_take_the_data_is_an_error_before_the_search() -> None:
    space = nas.SearchSpace.from_dict(
        {"stages": [{"block": "max_pool", "kernel": 9, "stride": 9}], "head": {"block": "classifier"}}
    )
    with pytest.raises(SpaceError, match="the map shrinks to nothing"):
        nas.run_search(nas.SearchSpace.from_dict({**space.to_dict(), "assume": {"resolution": 8}}), score)


def test_the_run_folder_refuses_another_study(space: nas.SearchSpace, tmp_path: Path) -> None:
    nas.run_search(space, score, trials=2, run_dir=tmp_path, seed=1)
    with pytest.raises(ConfigError, match="is there already; continue it with resume="):
        nas.run_search(space, score, trials=2, run_dir=tmp_path, seed=1)
    for change in ({"seed": 2}, {"sampler": "random"}, {"constraints": {"params": 9}}, {"direction": "minimize"}):
        arguments: dict[str, Any] = {"trials": 2, "run_dir": tmp_path, "resume": True, "seed": 1, **change}
        with pytest.raises(ConfigError, match=f"resume: {next(iter(change))} was .* but is now"):
            nas.run_search(space, score, **arguments)
    with pytest.raises(ConfigError, match="resume: space was"):
        nas.run_search(nas.load_space("mbconv"), score, trials=2, run_dir=tmp_path, resume=True, seed=1)


def test_trials_round_trip(space: nas.SearchSpace) -> None:
    study = nas.run_search(space, _grumble, trials=20, constraints={"params": 3000}, seed=0)
    for trial in study.trials:
        assert Trial.from_dict(json.loads(json.dumps(trial.to_dict()))) == trial


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_a_sampler_that_has_proposed_everything_ends_the_search() -> None:
    # It looks through all trials for each proposal, so the space is a small one.
    space = nas.SearchSpace.from_dict({**SMALL, "stages": SMALL["stages"][1:]})
    assert space.size() == 27
    study = nas.run_search(space, lambda *_: 1.0, trials=10_000, sampler=optuna.samplers.BruteForceSampler(seed=0))
    assert study.stop in (StopReason.SAMPLER_EXHAUSTED.stop(), StopReason.SPACE_EXHAUSTED.stop(size=27))


def test_a_log_of_another_space_is_an_error(space: nas.SearchSpace, tmp_path: Path) -> None:
    nas.run_search(space, lambda *_: 1.0, trials=2, run_dir=tmp_path)

    def other(number: int, values: dict[str, Any]) -> dict[str, Any]:
        genotype = {path.replace("out_channels", "colour"): value for path, value in values["genotype"].items()}
        return {**values, "genotype": genotype}

    rewrite(tmp_path / "trials.jsonl", other)
    with pytest.raises(ConfigError, match="trial 0 does not fit the space"):
        nas.run_search(space, lambda *_: 1.0, trials=4, run_dir=tmp_path, resume=True)


def test_only_what_keeps_account_of_a_search_changes() -> None:
    assert changeable("nas.search") == {"Study", "_Rung"}


def test_rejections_before_a_search_is_resumed_count(space: nas.SearchSpace, tmp_path: Path) -> None:
    """One that ended since no candidate holds does not begin to count anew, or it would never end."""
    arguments: dict[str, Any] = {"sampler": "random", "constraints": {"params": 1}, "run_dir": tmp_path / "run"}
    first = nas.run_search(space, score, max_rejections=6, **arguments)
    assert first.stop is not None
    assert first.stop.reason is StopReason.PROPOSALS_REJECTED
    assert len(first.trials) == 6
    assert len(nas.run_search(space, score, max_rejections=9, resume=True, **arguments).trials) == 9
