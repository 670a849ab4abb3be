"""`nas search --dry-run`, and what a search says of its time."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

import nas
from nas.commands.search_outlook import data_summary, say_time, time_lines
from nas.errors import ConfigError
from nas.evaluation import Budget, Evaluation
from nas.evaluators.training import TrainingEvaluator
from nas.network.architecture import Architecture
from nas.search.config import Config
from nas.search.reporting import probing
from nas.search.reporting.estimate import Estimate, Range
from nas.search.reporting.probing import probe, worth_probing
from nas.search.trial import State, Trial
from nas.space.feasible import examine
from nas.training.data.config import DataConfig
from nas.training.recipe import Recipe
from nas.workers.in_process import InThisProcess
from tests.run_command import run
from tests.search.conftest import SMALL

QUICK = ["data=synthetic", "data.channels=1", "data.samples=100", "train.epochs=1", "workers=1", "search.trials=5"]


@pytest.fixture
def space() -> nas.SearchSpace:
    return nas.SearchSpace.from_dict(SMALL)


def _config(**changes: Any) -> Config:
    return Config.from_values({"space": "mbconv", "records": {"mlflow": False}, **changes})


def _said(config: Config, trials: list[Trial], *, dry_run: bool = False) -> list[str]:
    lines: list[str] = []

    def unused(*_: object) -> float:
        raise AssertionError("nothing is to be trained for the estimate")

    space, data = nas.load_space("mbconv"), {"train_images": 1000}
    pool = InThisProcess(unused, "val_accuracy")
    say_time(config, space, data, pool, at_once=1, trials=trials, dry_run=dry_run, say=lines.append)
    return lines


def _trials(*seconds: float) -> list[Trial]:
    return [
        Trial(number=i, state=State.COMPLETED, genotype={}, seconds={"evaluation": each}, elapsed=100.0)
        for i, each in enumerate(seconds)
    ]


def test_a_dry_run_says_what_is_to_come_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "small.yaml").write_text(yaml.safe_dump(SMALL))
    result = run("nas.search", "--dry-run", "+space=small.yaml", "constraints.params=4000", *QUICK, cwd=tmp_path)
    assert (result.returncode, result.stderr) == (0, "")
    for words in ("training, ", "genotypes hold params <= 4,000", "Time: about ", " for 5 trials with 1 worker"):
        assert words in result.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["small.yaml"]


@pytest.mark.slow
def test_a_dry_run_finds_what_the_search_would_not_begin_with(tmp_path: Path) -> None:
    (tmp_path / "small.yaml").write_text(yaml.safe_dump(SMALL))
    for arguments, message in (
        (["+space=small.yaml", "constraints.params=1"], "no network of the space holds the limits"),
        (["+space=auto", "constraints.params=1e5"], "--dry-run: +space=auto"),
        (["+space=small.yaml", "data=image_folder", "data.root=nowhere"], "nowhere"),
    ):
        result = run("nas.search", *QUICK, *arguments, "--dry-run", cwd=tmp_path)
        assert result.returncode == 2
        assert message in result.stderr
        assert [path.name for path in tmp_path.iterdir()] == ["small.yaml"]


@pytest.mark.slow
def test_an_estimate_changes_nothing_in_the_search(space: nas.SearchSpace) -> None:
    data, recipe = DataConfig(name="synthetic", channels=1, samples=100, num_classes=4, resolution=16), Recipe(epochs=1)
    evaluator = TrainingEvaluator(data, recipe)
    config = replace(_config(search={"trials": 4}), data=data, train=recipe)

    def trials(asked: bool) -> list[tuple[Any, ...]]:
        pool = InThisProcess(evaluator, "val_accuracy")
        if asked:
            timer = config.evaluator.probe(data, recipe, "cpu")
            assert timer is not None
            assert probe(config, space, timer, pool, at_once=1).estimate is not None
        study = nas.run_search(space, pool=pool, trials=4, seed=5)
        return [(trial.genotype, dict(trial.scores)) for trial in study.trials]

    assert trials(asked=True) == trials(asked=False)


@pytest.fixture
def proposals_take_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the sampler, whose time the machine decides, out of an estimate."""
    monkeypatch.setattr(probing, "proposal_seconds", lambda *given: 0.0)


class _Timer:
    """Says that an epoch takes 3 seconds, and of which networks it was asked."""

    def __init__(self) -> None:
        self.asked: list[Architecture] = []

    def __call__(self, architecture: Architecture, budget: Budget, seed: int) -> Evaluation:
        self.asked.append(architecture)
        return Evaluation({}, seconds={"start_up": 0.0, "train_epoch": 2.0, "validation": 1.0})


@pytest.mark.usefixtures("proposals_take_no_time")
def test_the_estimate_is_of_networks_within_the_limits(space: nas.SearchSpace) -> None:
    timer = _Timer()
    config = replace(_config(constraints={"params": 4000}, search={"trials": 10}), train=Recipe(epochs=2))
    outlook = probe(config, space, timer, InThisProcess(timer, "val_accuracy"), at_once=2)
    assert outlook.estimate is not None
    assert outlook.estimate.trial_seconds == pytest.approx(6)
    assert outlook.estimate.seconds == pytest.approx((31.5, 31.5, 31.5))  # half of 60, and at the end a quarter of 6
    assert outlook.probed == 6  # three for each worker
    assert len(timer.asked) == 6 + 1  # the first one of the one process here does not count
    assert max(nas.cost_of(architecture).params for architecture in timer.asked) <= 4000


@pytest.mark.usefixtures("proposals_take_no_time")
def test_as_many_trials_as_fit_into_the_minutes(space: nas.SearchSpace) -> None:
    timer = _Timer()
    config = replace(_config(search={"minutes": 1}), train=Recipe(epochs=2))
    outlook = probe(config, space, timer, InThisProcess(timer, "val_accuracy"), at_once=1)
    assert outlook.estimate is not None
    assert outlook.estimate.fitting(60).middle == pytest.approx(10)


def test_known_designs_are_probed_in_their_share(space: nas.SearchSpace) -> None:
    """Of three trials of ten it is known what they will be, so two of six candidates are of these."""
    candidates = [examine(space, space.sample(seed=seed), ()) for seed in range(40)]
    known, drawn = candidates[:3], candidates[3:]
    work = probing._work_among(drawn)
    chosen = probing._chosen(known, drawn, work, 6, trials=10)
    assert [candidate in known for candidate in chosen] == [True, True, False, False, False, False]
    assert [work(one) for one in chosen[2:]] == sorted(work(one) for one in chosen[2:])
    assert probing._chosen(known, drawn, work, 6, trials=None) == probing._chosen([], drawn, work, 6, trials=10)


def test_work_counts_arithmetic_and_memory_alike(space: nas.SearchSpace) -> None:
    candidate = examine(space, space.sample(seed=0), ())
    assert candidate.cost is not None
    work = probing._Work(candidate.cost.macs / 3, candidate.cost.activations)
    assert work(candidate) == pytest.approx((3 + 1) / 2)


def test_candidates_that_cannot_be_trained_are_told(space: nas.SearchSpace) -> None:
    def fails(architecture: Architecture, budget: Budget, seed: int) -> float:
        raise ConfigError("no such luck")

    outlook = probe(_config(), space, fails, InThisProcess(fails, "val_accuracy"), at_once=1)
    assert (outlook.estimate, outlook.probed, outlook.problem) == (None, 0, "ConfigError: no such luck")


def test_what_is_worth_a_probe() -> None:
    """12 trials of 12 epochs are 144 walks; 695 images a walk are 100,080."""
    assert worth_probing(_config(), 695)
    assert not worth_probing(_config(), 694)
    assert not worth_probing(_config(search={"minutes": 5, "trials": 1000}), 1000)
    # By asha 12, 4 and 1 trials are trained 1, 3 and 8 epochs more: 32 walks.
    assert worth_probing(_config(pruner={"name": "asha"}), 3125)
    assert not worth_probing(_config(pruner={"name": "asha"}), 3124)


def test_a_search_that_is_gone_on_with_is_judged_by_its_own_trials() -> None:
    (line,) = _said(_config(search={"trials": 6}), _trials(20, 20, 20))
    assert line == "Time: about 60 s (60 to 60) for 3 trials with 1 worker, 20 s each; from its own 3 trials"
    (line,) = _said(_config(search={"trials": 4}), _trials(20, 20, 20))
    assert "for 1 trial with 1 worker" in line
    assert _said(_config(search={"trials": 3}), _trials(20, 20, 20)) == []
    # 100 of the 300 seconds are over.
    (line,) = _said(_config(search={"minutes": 5}), _trials(20, 20, 20), dry_run=True)
    assert "about 10 trials (10 to 10) fit in" in line


def test_without_a_probe() -> None:
    assert _said(_config(search={"minutes": 5}), []) == [
        "Time: ends after search.minutes=5 at the latest (--dry-run says how many trials that is)"
    ]
    assert _said(_config(search={"trials": 2}), []) == []  # a short one
    proxies = _config(evaluator={"name": "proxy"}, search={"objective": "naswot"})
    assert _said(proxies, []) == []
    assert _said(proxies, [], dry_run=True) == ["Time: not estimated, since evaluator=proxy trains nothing"]


def test_minutes_that_end_before_the_trials_do() -> None:
    found = Estimate(trials=20, seconds=Range(600, 500, 800), trial_seconds=30)
    (line,) = time_lines(_config(search={"trials": 20, "minutes": 5}), found, "from x", at_once=1)
    assert "ends after search.minutes=5; about 10 of 20 trials (8 to 12) fit in" in line
    (line,) = time_lines(_config(search={"trials": 20, "minutes": 14}), found, "from x", at_once=1)
    assert line.startswith("Time: about 10 min (8.3 to 13) for 20 trials")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"pruner": {"name": "median"}}, "pruner=median ends trials on the way"),
        ({"finish": True}, "finish=true comes on top"),
        ({"constraints": {"int8_accuracy": [0.9, None]}}, "8 bits"),
    ],
)
def test_what_cannot_be_known_is_said(changes: dict[str, Any], words: str) -> None:
    found = Estimate(trials=12, seconds=Range(60, 50, 70), trial_seconds=5)
    first, note = time_lines(_config(**changes), found, "from x", at_once=1)
    assert words in note
    assert first.startswith("Time: about 60 s (50 to 70)")


def test_the_data_in_a_line() -> None:
    data = {
        "name": "mine",
        "input_shape": [3, 32, 16],
        "num_classes": 2,
        "train_images": 1500,
        "val_images": 200,
        "test_images": 100,
        "images_by_class": {"train": [1000, 500], "val": [100, 100], "test": [50, 50]},
    }
    assert data_summary(data) == (
        "Data mine: 1,500 training, 200 validation and 100 test images of 3x32x16; 2 classes with 500 to 1,000 "
        "training images each"
    )
    assert data_summary({"name": "table", "networks": 5}) == ""
    series = {**data, "input_shape": [2, 50]}
    assert data_summary(series).endswith("test series of 2x50; 2 classes with 500 to 1,000 training series each")
    one = {**data, "task": "regression", "num_classes": 1, "images_by_class": {"train": [1500]}}
    assert data_summary(one).endswith("test images of 3x32x16; 1 number")


def test_the_flag_is_the_searchs_own(tmp_path: Path) -> None:
    for command, word, message in (
        ("nas.limits", "--dry-run", "unknown flag '--dry-run'"),
        ("nas.search", "--dry-rum", "Did you mean '--dry-run'"),
        ("nas.search", "--dry-run=yes", "--dry-run is a flag without a value"),
    ):
        result = run(command, "+space=mbconv", word, cwd=tmp_path)
        assert result.returncode == 2
        assert message in result.stderr
