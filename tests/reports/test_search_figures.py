"""The figures of a search's report against independent counts."""

from __future__ import annotations

import math
from itertools import combinations, permutations
from pathlib import Path

import numpy as np
import pytest

from nas.cost import Constraint, Violation
from nas.reports.search_figures import (
    cost_figure,
    normalised_hypervolume,
    progress_figure,
    random_course,
    scored_on,
    shared_values,
    shown_metrics,
    telling_rung,
    time_shares,
)
from nas.search.reporting.rejections import rejections
from nas.search.trial import State
from tests.reports.studies import over, searched, study, trial


def test_the_front_holds_what_none_is_better_than_in_both() -> None:
    rng = np.random.default_rng(0)
    macs, scores = rng.integers(1, 40, 60), rng.integers(0, 30, 60) / 30
    made = study(
        *(trial(i, float(score), macs=int(cost)) for i, (cost, score) in enumerate(zip(macs, scores, strict=True)))
    )
    figure = cost_figure(made, "macs", ())
    points = {(int(cost), float(score)) for cost, score in zip(macs, scores, strict=True)}
    best = {p for p in points if not any(q != p and q[0] <= p[0] and q[1] >= p[1] for q in points)}
    assert {(one.x, one.score) for one in figure.front} == best
    assert [one.x for one in figure.front] == sorted(one.x for one in figure.front)


def test_the_knee_is_no_end_of_the_front() -> None:
    bend = study(trial(0, 0.1, macs=10), trial(1, 0.8, macs=20), trial(2, 0.9, macs=100))
    knee = cost_figure(bend, "macs", ()).knee
    assert knee is not None
    assert knee.number == 1
    hollow = study(trial(0, 0.1, macs=10), trial(1, 0.2, macs=90), trial(2, 0.9, macs=100))
    assert cost_figure(hollow, "macs", ()).knee is None


def test_limits_and_what_they_rejected_are_in_the_figure() -> None:
    limits = (Constraint("macs", 5, 50), Constraint("macs", high=30, soft=True))
    made = study(
        trial(0, 0.5, macs=20),
        trial(1, macs=70, violations=(over("macs", 70, 50),)),
        trial(2, 0.4, state=State.PRUNED, macs=25),
        trial(3, 0.3, state=State.FAILED),
        trial(4, 0.5, state=State.DUPLICATE, macs=20),
    )
    figure = cost_figure(made, "macs", limits)
    assert (figure.low, figure.high, figure.soft_high) == (5, 50, 30)
    assert figure.rejected == ((1, 70.0),)
    assert [one.number for one in figure.trials] == [0, 2]
    assert [one.number for one in figure.front] == [0]
    assert shown_metrics(made, limits) == ["macs"]
    assert shown_metrics(made, ()) == ["params", "macs"]


def test_the_best_of_random_candidates_is_that_over_all_orders() -> None:
    scores = [0.3, 0.9, 0.5, 0.7, 0.4]
    for sign, best_of in ((1, max), (-1, min)):
        course = random_course(np.array(scores), sign)
        for count, one in enumerate(course, start=1):
            drawn = [best_of(some) for some in combinations(scores, count)]
            assert one.evaluations == count
            assert one.expected == pytest.approx(np.mean(drawn))
            assert min(drawn) <= one.low <= one.high <= max(drawn)
        assert course[-1].low == course[-1].high == best_of(scores)
    assert random_course(np.array([]), 1) == []


def test_most_orders_of_random_candidates_stay_in_the_band() -> None:
    scores = list(np.random.default_rng(1).random(6))
    course = random_course(np.array(scores), 1)
    for count in (2, 3):
        best = [max(order[:count]) for order in permutations(scores)]
        inside = np.mean([course[count - 1].low <= value <= course[count - 1].high for value in best])
        assert inside >= 0.9


def test_the_best_so_far_is_that_of_the_search_without_its_random_candidates() -> None:
    made = study(trial(0, 0.5), trial(1, 0.9, baseline=True), trial(2), trial(3, 0.4), trial(4, 0.6))
    figure = progress_figure(made)
    assert figure.best == ((1, 0.5), (4, 0.6))
    assert [one.number for one in figure.trials] == [0, 1, 3, 4]
    assert [(one.evaluations, one.expected) for one in figure.random] == [(1, 0.9)]


def test_errors_are_better_when_they_are_smaller() -> None:
    trials = [trial(i, None, state=State.COMPLETED, macs=10 + i) for i in range(3)]
    made = study(objective="val_loss")
    for one, loss in zip(trials, (0.5, 0.7, 0.3), strict=True):
        object.__setattr__(one, "scores", {"val_loss": loss})
        made.trials.append(one)
    assert progress_figure(made).best == ((1, 0.5), (3, 0.3))
    assert [one.number for one in cost_figure(made, "macs", ()).front] == [0, 2]


def test_hypervolume_is_the_share_of_combinations_that_the_front_is_as_good_as() -> None:
    points = [(0.2, 100), (0.5, 400), (0.9, 1000), (0.4, 900)]
    made = study(*(trial(i, s, macs=m) for i, (s, m) in enumerate(points)), objective=["val_accuracy", "macs"])
    rng = np.random.default_rng(0)
    drawn = np.stack([rng.uniform(0.2, 0.9, 200_000), rng.uniform(100, 1000, 200_000)], axis=1)
    covered = np.zeros(len(drawn), bool)
    for score, macs in points:
        covered |= (drawn[:, 0] <= score) & (drawn[:, 1] >= macs)
    assert normalised_hypervolume(made)[-1] == pytest.approx(covered.mean(), abs=0.005)
    assert normalised_hypervolume(study(trial(0, 0.5))) == ()


def test_each_limit_names_its_nearest_miss() -> None:
    made = study(
        trial(0, 0.5),
        trial(1, violations=(over("macs", 60, 50), over("params", 300, 200))),
        trial(2, violations=(over("macs", 51, 50), Violation("params", 100, 200, -0.5))),
        trial(3, violations=(over("macs", 99, 50),)),
        trial(4, out_of_memory=True),
        trial(5),
    )
    macs, params, *others = sorted(rejections(made), key=lambda one: (not one.metric, one.metric))
    assert (macs.count, macs.alone) == (3, 2)
    assert macs.nearest is not None
    miss = macs.nearest.violation
    assert (macs.nearest.number, miss.value, miss.bound) == (2, 51, 50)
    assert miss.excess == pytest.approx(0.02)
    assert (params.count, params.alone) == (1, 0)
    assert {(one.what, one.count) for one in others} == {("ran out of memory", 1), ("no valid network", 1)}


def test_shared_values_are_counted_among_the_best_and_among_all() -> None:
    trials = [trial(i, i / 100, genotype={"kernel": 3 if i < 15 else 5, "depth": i % 2, "same": 1}) for i in range(20)]
    (found,) = shared_values(study(*trials))
    assert (found.decision, found.value) == ("kernel", 5)
    assert (found.among_best, found.best, found.among_all, found.evaluated) == (5, 5, 5, 20)
    assert shared_values(study(*trials[:9])) == []


def test_seconds_add_up_to_those_of_the_workers() -> None:
    seconds = {"evaluation": 3.0, "train_steps": 2.0}
    made = study(trial(0, 0.5, seconds=seconds), trial(1, 0.5, seconds=seconds))  # 2 s of search
    shares = {one.what: one.seconds for one in time_shares(made, 4)}
    assert shares["training steps"] == 4
    assert shares["validation and set-up of trainings"] == 2
    assert sum(shares.values()) == 8
    assert sum(one.seconds for one in time_shares(made, None)) == 6


def test_what_workers_were_stopped_for_is_told_apart() -> None:
    seconds = {"evaluation": 3.0, "train_steps": 2.0, "stopped": 0.5}
    shares = {one.what: one.seconds for one in time_shares(study(trial(0, 0.5, seconds=seconds)), None)}
    assert shares == {
        "training steps": 2,
        "validation and set-up of trainings": 1,
        "stopped, while the latency of others was measured": 0.5,
    }


def test_decisions_are_judged_on_a_rung_that_many_have_had() -> None:
    steps = [((1, (0.1 + i / 100,)), *(((2, (0.5,)),) if i < 3 else ())) for i in range(40)]
    made = study(*(trial(i, 0.5, first_rung=0, steps=one) for i, one in enumerate(steps)), rungs=2)
    assert telling_rung(made) == 1
    assert [score for _, score in scored_on(made, 1)] == pytest.approx([0.1 + i / 100 for i in range(40)])
    assert len(scored_on(made, 2)) == 3
    assert telling_rung(study(trial(0, 0.5))) is None


def test_a_score_that_is_no_number_is_left_out(tmp_path: Path) -> None:
    made = study(trial(0, math.nan), trial(1, 0.5))
    assert [one.number for one in cost_figure(made, "macs", ()).trials] == [1]
    assert [one.number for one in progress_figure(made).trials] == [1]


def test_a_search_that_rejects_is_counted_as_its_trials_say(tmp_path: Path) -> None:
    found = searched(tmp_path / "run", constraints={"params": 15_000})
    rejected = [one for one in found.trials if one.state is State.REJECTED]
    assert rejected
    (limit,) = rejections(found)
    assert limit.count == len(rejected) == found.counts()["rejected"]
    assert limit.nearest is not None
    assert limit.nearest.violation.value == min(one.cost.params for one in rejected if one.cost)
