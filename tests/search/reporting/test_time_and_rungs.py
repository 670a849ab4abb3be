"""Where the time of a session went, and how well a rung orders what the next one does."""

from __future__ import annotations

from math import isnan

import numpy as np

import nas
from nas.search.reporting.rungs import rung_correlations
from nas.search.reporting.summary import time_summary
from nas.search.trial import State, Trial


def _trial(number: int, **seconds: float) -> Trial:
    return Trial(number=number, state=State.COMPLETED, genotype={}, seconds=seconds)


def test_shares_of_the_time_of_all_workers() -> None:
    trials = [_trial(0, evaluation=40.0, train_steps=25.0), _trial(1, evaluation=20.0, train_steps=5.0), _trial(2)]
    line = time_summary(trials, 50.0, workers=2)  # 100 seconds of workers: 30 in steps, 60 in evaluations
    assert "30.0% in training steps" in line
    assert "30.0% in the rest of training" in line
    assert "40.0% idle" in line


def test_rungs_of_equal_scores_have_no_correlation_and_any_is_possible() -> None:
    (correlation,) = rung_correlations(
        [{1: 0.5, 2: 0.1}, {1: 0.5, 2: 0.2}, {1: 0.5, 2: 0.3}, {1: 0.4}, {1: 0.3}, {1: 0.2}]
    )
    assert isnan(correlation.tau)
    assert (correlation.low, correlation.high) == (-1.0, 1.0)
    assert (correlation.trials, correlation.of) == (3, 6)


def test_a_rung_that_orders_as_the_next_one_does() -> None:
    rng = np.random.default_rng(0)
    scores = [float(score) for score in rng.normal(size=30)]
    curves = [{1: score, 2: 2 * score} if number < 12 else {1: score} for number, score in enumerate(scores)]
    (correlation,) = rung_correlations(curves)
    assert correlation.tau > 0.95
    assert correlation.low > 0.5
    assert correlation.high <= 1.0


def test_the_front_is_listed_by_the_first_objective() -> None:
    space = nas.SearchSpace.from_dict(
        {
            "name": "tiny",
            "assume": {"channels": 1, "resolution": 8, "num_classes": 2},
            "stages": [{"block": "conv", "out_channels": {"range": [1, 12]}}],
            "head": {"block": "classifier"},
        }
    )
    study = nas.run_search(
        space,
        lambda arch, *_: {"val_accuracy": nas.cost_of(arch).params / 1e4},
        trials=8,
        sampler="random",
        objective=["val_accuracy", "params"],
    )
    scores = [trial.scores["val_accuracy"] for trial in study.best(5)]
    assert len(scores) == 5
    assert scores == sorted(scores, reverse=True)
