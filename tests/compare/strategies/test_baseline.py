"""Random candidates among those of a search, and what they say of it."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import nas
from nas.compare.strategies.baseline import _expected_best, baseline_lines
from nas.search.trial import State
from tests.search.conftest import SMALL


def score(arch: nas.Architecture, budget: nas.Budget, seed: int) -> float:
    return -abs(nas.cost_of(arch).params - 3000)


def test_a_share_of_random_candidates(tmp_path: Path) -> None:
    space = nas.SearchSpace.from_dict(SMALL)
    limits = {"params": 6000}
    study = nas.run_search(
        space, score, trials=80, constraints=limits, baseline_fraction=0.3, seed=1, run_dir=tmp_path / "a"
    )
    drawn = [trial for trial in study.trials if trial.baseline]
    assert 15 <= len(drawn) <= 34  # 24 expected, standard deviation 4
    assert all(trial.state in (State.COMPLETED, State.DUPLICATE) for trial in drawn)
    first, second = baseline_lines(study)
    assert "the search beat it" in first
    assert second.startswith("Best of the")
    part = nas.run_search(
        space, score, trials=30, constraints=limits, baseline_fraction=0.3, seed=1, run_dir=tmp_path / "b"
    )
    again = nas.run_search(
        space, score, trials=80, constraints=limits, baseline_fraction=0.3, seed=1, run_dir=tmp_path / "b", resume=True
    )
    assert len(part.trials) < len(again.trials)
    assert [(t.genotype, t.baseline) for t in again.trials] == [(t.genotype, t.baseline) for t in study.trials]


def test_the_random_ones_are_those_of_a_random_search() -> None:
    """Their mean is that of all candidates that hold the limit, within four standard errors."""
    space = nas.load_space("nasbench_macro")
    every = [nas.cost_of(space.decode(genotype)).macs for genotype in space.enumerate()]
    held = np.array([macs for macs in every if macs <= 6e7])
    study = nas.run_search(
        space,
        lambda arch, budget, seed: float(nas.cost_of(arch).params),
        trials=300,
        constraints={"macs": 6e7},
        baseline_fraction=0.5,
        sampler="random",
    )
    drawn = [trial.cost.macs for trial in study.trials if trial.baseline and trial.cost]
    assert max(drawn) <= 6e7
    assert np.mean(drawn) == pytest.approx(held.mean(), abs=4 * held.std() / np.sqrt(len(drawn)))


def test_a_random_candidate_that_was_evaluated_before_counts() -> None:
    """Random search would have found it too: without it the others seem worse than random ones are."""
    study = nas.run_search(nas.SearchSpace.from_dict(SMALL), score, trials=14, seed=3)
    own = study.trials[:8]
    drawn = [replace(trial, baseline=True) for trial in study.trials[8:]]
    best = max(own, key=lambda trial: trial.scores["val_accuracy"])
    again = replace(drawn[0], number=99, genotype=best.genotype).answered_by(best)
    study.trials = [*own, *drawn, again]
    values = [trial.scores["val_accuracy"] for trial in [*drawn, best]]
    (first, second) = baseline_lines(study)
    assert first.startswith("Random baseline: 7 of 15 candidates.")
    assert f"of the random ones {np.mean(values):.4f}" in first
    assert second.startswith(f"Best of the 7 random ones {max(values):.4f}")


def test_random_candidates_too_few_to_tell() -> None:
    study = nas.run_search(nas.SearchSpace.from_dict(SMALL), score, trials=5, seed=3)
    study.trials = [replace(trial, baseline=number < 2) for number, trial in enumerate(study.trials)]
    assert baseline_lines(study)[0].endswith("too few to tell: at least 4 of each")


def test_nothing_is_said_without_random_candidates() -> None:
    space = nas.SearchSpace.from_dict(SMALL)
    assert baseline_lines(nas.run_search(space, score, trials=5)) == []


def test_the_expected_best_is_the_mean_over_all_draws() -> None:
    values = np.array([0.1, 0.5, 0.2, 0.9])
    draws = [max(draw) for draw in itertools.product(values, repeat=3)]
    assert _expected_best(values, 3) == pytest.approx(np.mean(draws))
