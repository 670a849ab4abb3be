"""A search that ends when its model expects no further gain."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from optuna.distributions import CategoricalDistribution
from optuna.samplers import TPESampler

import nas
from nas.errors import ConfigError
from nas.search.reporting.summary import expected_gain
from nas.search.samplers.encoding import Encoding
from nas.search.samplers.surrogate import Features, Surrogate
from nas.search.stop_reason import StopReason
from nas.search.study import Study
from tests.search.conftest import SMALL

SPACE = nas.SearchSpace.from_dict(SMALL)


def near_3000_params(arch: nas.Architecture, budget: nas.Budget, seed: int) -> float:
    """Best at 3,000 parameters; chance moves the score by some .05."""
    return -abs(math.log(nas.cost_of(arch).params / 3000)) + random.Random(seed).gauss(0, 0.05)


def _search(**changes: Any) -> Study:
    return nas.run_search(SPACE, near_3000_params, **{"trials": 80, "patience": 4, "seed": 3, **changes})


@pytest.fixture(scope="module")
def ended() -> Study:
    return _search()


def _without_gain(study: Study) -> list[int]:
    """Return after each trial how many in a row had promised less than 3 % of the noise."""
    counts = [0]
    for trial in sorted(study.trials, key=lambda trial: trial.number):
        if trial.expected_gain is not None:
            assert trial.noise_sd is not None
            counts.append(counts[-1] + 1 if trial.expected_gain < 0.03 * trial.noise_sd else 0)
    return counts[1:]


def test_it_ends_after_so_many_proposals_without_gain_and_not_before(ended: Study) -> None:
    assert ended.stop is not None
    assert ended.stop.reason is StopReason.NO_GAIN_EXPECTED
    assert ended.stop_reason.startswith("no further gain is expected: 4 proposals in a row promised less than 3 % of")
    counts = _without_gain(ended)
    assert counts[-1] == 4
    assert max(counts[:-1]) < 4
    assert 8 < len(ended.trials) < 80
    assert not ended.can_go_on
    best = max(trial.scores["val_accuracy"] for trial in ended.trials if trial.scores)
    assert best > -0.2  # it did not end before it had found what there is


def test_without_patience_it_goes_on_and_tells_the_same_gains(ended: Study) -> None:
    whole = _search(patience=None, trials=len(ended.trials) + 2)
    assert whole.stop is not None
    assert whole.stop.reason is StopReason.TRIALS_DONE
    gains = [(trial.number, trial.expected_gain, trial.noise_sd) for trial in whole.trials]
    assert gains[: len(ended.trials)] == [(trial.number, trial.expected_gain, trial.noise_sd) for trial in ended.trials]
    assert {gain for number, gain, _ in gains if number < 8} == {None}
    assert all(gain is not None and gain >= 0 for number, gain, _ in gains if number >= 8)


def test_a_search_that_was_cut_off_goes_on_counting(ended: Study, tmp_path: Path) -> None:
    whole = ended
    last = len(whole.trials)
    _search(trials=last - 2, run_dir=tmp_path / "run")
    again = _search(run_dir=tmp_path / "run", resume=True)
    assert [trial.genotype for trial in again.trials] == [trial.genotype for trial in whole.trials]
    assert again.stop_reason == whole.stop_reason
    assert len(_search(run_dir=tmp_path / "run", resume=True).trials) == last  # nothing more is expected
    assert len(_search(run_dir=tmp_path / "run", resume=True, patience=6).trials) >= last + 2


def test_records_of_other_samplers_hold_no_gain(tmp_path: Path) -> None:
    study = _search(sampler="random", patience=None, trials=10, run_dir=tmp_path / "run")
    lines = [json.loads(line) for line in (tmp_path / "run" / "trials.jsonl").read_text().splitlines()]
    assert len(lines) == len(study.trials)
    assert not any({"expected_gain", "noise_sd"} & line.keys() for line in lines)
    assert expected_gain(study) == []


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"sampler": "evolution"}, "sampler=predictor expects; sampler=evolution expects none"),
        (
            {"sampler": TPESampler(seed=0)},
            "search.patience goes by the gain that sampler=predictor expects; TPESampler",
        ),
        ({"objective": ["val_accuracy", "params"]}, "search.patience is for one objective"),
        ({"patience": 0}, "search.patience must be > 0, but got 0"),
    ],
)
def test_what_cannot_be_is_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        _search(**changes)


def test_the_end_of_a_search_tells_the_largest_of_the_latest_gains(ended: Study) -> None:
    latest = sorted((trial for trial in ended.trials if trial.expected_gain is not None), key=lambda one: one.number)
    gain, noise = max((trial.expected_gain, trial.noise_sd) for trial in latest[-5:])
    assert gain is not None
    assert noise is not None
    (line,) = expected_gain(ended)
    assert f"latest 5 proposals were expected to improve the best val_accuracy by {gain:.2g} at most" in line
    assert f"{gain / noise:.2g} times the noise" in line


@pytest.mark.parametrize("noise", [0.05, 0.5])
def test_the_noise_of_scores_is_found(noise: float) -> None:
    """Scores of networks by their decisions with effects of sd 1, and noise of a known sd."""
    chance = np.random.default_rng(5)
    options = {f"decision{index}": CategoricalDistribution((0, 1, 2, 3)) for index in range(4)}
    encoding, effects = Encoding(options), chance.normal(0, 1, (4, 4))
    chosen = chance.integers(0, 4, (150, 4))
    params = [{name: int(option) for name, option in zip(options, row, strict=True)} for row in chosen]
    scores = effects[np.arange(4), chosen].sum(axis=1) + chance.normal(0, noise, 150)
    surrogate = Surrogate(encoding, Features(encoding.levels(params), np.zeros((150, 0))), scores)
    assert noise / 2 < surrogate.noise_sd < 2 * noise
