"""The arithmetic of how long a search takes, against figures by hand."""

from __future__ import annotations

from math import sqrt

import pytest

from nas.evaluation import Budget
from nas.search.reporting.estimate import (
    Candidates,
    Estimate,
    Measuring,
    Probed,
    Range,
    Rung,
    about,
    estimate,
    estimate_from_trials,
)

TWO_EPOCHS = Budget(epochs=2)
PROBED = [Probed(work, start_up=1, train_epoch=2 * work, validation=1) for work in (1, 2, 3)]
"""On a line: two epochs take 1 + 2 (2 work + 1) seconds, 7, 11 and 15."""
ALIKE = Candidates(first=(), drawn=(2.0, 2.0, 2.0), random_trials=None)


def test_trials_one_after_the_other() -> None:
    found = estimate([Rung(10, 2, TWO_EPOCHS)], PROBED, ALIKE, trials=10, workers=1)
    assert found.seconds == pytest.approx((110, 110, 110))  # the line leaves no error
    assert found.trial_seconds == pytest.approx(11)


def test_at_the_end_a_worker_waits_half_an_evaluation_for_the_other() -> None:
    found = estimate([Rung(10, 2, TWO_EPOCHS)], PROBED, ALIKE, trials=10, workers=2)
    assert found.seconds.middle == pytest.approx(110 / 2 + 11 / 2 / 2)
    assert found.trial_seconds == pytest.approx(11)


def test_rungs_of_asha() -> None:
    """9, 3 and 1 trials are trained 1, 2 and 6 epochs more: 21 epochs of 3 work seconds, and 13 times 1 to start."""
    probed = [Probed(work, start_up=1, train_epoch=2 * work, validation=work) for work in (1, 2, 3)]
    rungs = [Rung(9, 1, Budget(epochs=1)), Rung(3, 2, Budget(epochs=3)), Rung(1, 6, Budget(epochs=9))]
    found = estimate(rungs, probed, ALIKE, trials=9, workers=1)
    assert found.seconds.middle == pytest.approx(13 + 21 * 6)
    assert found.trial_seconds == pytest.approx((13 + 21 * 6) / 9)
    # The last one may be on the highest rung: 1 + 6 * 6 seconds.
    two = estimate(rungs, probed, ALIKE, trials=9, workers=2)
    assert two.seconds.middle == pytest.approx((13 + 21 * 6) / 2 + 37 / 4)


def test_less_data_shortens_training_and_a_lower_resolution_validation_too() -> None:
    probed = Probed(1, start_up=1, train_epoch=8, validation=4)
    assert Rung(1, 3, Budget(epochs=3, data_fraction=0.25)).seconds(probed, 1) == pytest.approx(1 + 3 * (2 + 4))
    assert Rung(1, 3, Budget(epochs=3, resolution_fraction=0.5)).seconds(probed, 1) == pytest.approx(1 + 3 * 12 / 4)


def test_workers_stand_still_while_latency_is_measured() -> None:
    """Half of the random candidates hold it: 1 to 2 measurements a trial, of a second each."""
    found = estimate(
        [Rung(10, 2, TWO_EPOCHS)], PROBED, ALIKE, trials=10, workers=1, measuring=Measuring(seconds=1, share=0.5)
    )
    assert found.seconds == pytest.approx((125, 120, 130))


def test_a_worker_waits_for_the_proposals_of_a_sampler_that_has_learned() -> None:
    """Of 20 trials the first 8 are random, 12 are proposed in half a second each."""
    learning = Candidates(first=(2.0,) * 3, drawn=(2.0,) * 3, random_trials=8)
    found = estimate([Rung(20, 2, TWO_EPOCHS)], PROBED, learning, trials=20, workers=1, proposal=0.5)
    assert found.seconds.middle == pytest.approx(20 * 11 + 12 * 0.5)
    known = Candidates(first=(2.0,) * 12, drawn=(2.0,) * 3, random_trials=8)
    found = estimate([Rung(20, 2, TWO_EPOCHS)], PROBED, known, trials=20, workers=1, proposal=0.5)
    assert found.seconds.middle == pytest.approx(20 * 11 + 8 * 0.5)
    found = estimate([Rung(20, 2, TWO_EPOCHS)], PROBED, learning, trials=20, workers=2, proposal=0.5)
    assert found.seconds.middle == pytest.approx(20 * 11 / 2 + 11 / 2 / 2 + 12 * 0.5 / 2)


def test_the_error_of_the_line() -> None:
    """Of 1, 2 and 6 seconds at 1, 2 and 3: slope 2.5, squared residuals .25, 1, .25, with one degree of freedom."""
    probed = [Probed(work, 0, seconds, 0) for work, seconds in ((1, 1), (2, 2), (3, 6))]
    found = estimate([Rung(1, 1, Budget(epochs=1))], probed, ALIKE, trials=1, workers=1).seconds
    assert found.middle == pytest.approx(3)
    assert found.high == pytest.approx(3 + 6.3138 * sqrt(1.5 / 3), rel=1e-4)
    assert found.low == pytest.approx(0.5)  # half of the shortest, where the error is larger than that


def test_the_error_grows_away_from_what_was_probed() -> None:
    probed = [Probed(work, 0, seconds, 0) for work, seconds in ((1, 1), (2, 2), (3, 6))]
    far = Candidates(first=(), drawn=(4.0,), random_trials=None)
    found = estimate([Rung(1, 1, Budget(epochs=1))], probed, far, trials=1, workers=1).seconds
    assert found.middle == pytest.approx(3 + 2.5 * 2)
    assert found.high == pytest.approx(8 + 6.3138 * sqrt(1.5 * (1 / 3 + 4 / 2)), rel=1e-4)


def test_larger_networks_are_never_taken_to_be_faster() -> None:
    probed = [Probed(work, 0, seconds, 0) for work, seconds in ((1, 6), (2, 2), (3, 1))]
    far = Candidates(first=(), drawn=(9.0,), random_trials=None)
    assert estimate([Rung(1, 1, Budget(epochs=1))], probed, far, trials=1, workers=1).seconds.middle == pytest.approx(3)


EIGHT = tuple(float(work) for work in range(1, 9))
CHANCE = 1.645 * sqrt(6) * sqrt(8)
"""Of the sum of eight that are drawn from the numbers 1 to 8."""


def test_mean_work_of_known_random_and_learned_candidates() -> None:
    """2 of 10 each, then 6 random ones of 4.5, then 2 learned ones: 6.5, at least 2.5, at most 7.5."""
    found = Candidates(first=(10.0, 10.0), drawn=EIGHT, random_trials=8).mean_work(10)
    assert found.middle == pytest.approx((20 + 6 * 4.5 + 2 * 6.5) / 10)
    assert found.low == pytest.approx(found.middle - sqrt(8**2 + CHANCE**2) / 10)
    assert found.high == pytest.approx(found.middle + sqrt(2**2 + CHANCE**2) / 10)


def test_mean_work_where_nothing_is_learned_or_costs_are_objectives() -> None:
    never = Candidates(first=(), drawn=EIGHT, random_trials=None).mean_work(8)
    assert never == pytest.approx((4.5, 4.5 - CHANCE / 8, 4.5 + CHANCE / 8))
    several = Candidates(first=(), drawn=EIGHT, random_trials=0, objectives=2).mean_work(8)
    assert several.middle == pytest.approx(4.5)
    assert several.low == pytest.approx(4.5 - sqrt(16**2 + CHANCE**2) / 8)
    assert several.high == pytest.approx(4.5 + sqrt(16**2 + CHANCE**2) / 8)


def test_more_known_candidates_than_trials() -> None:
    found = Candidates(first=(10.0, 20.0, 99.0), drawn=EIGHT, random_trials=8).mean_work(2)
    assert found == pytest.approx((15, 15, 15))


def test_the_rest_of_a_search_from_its_own_trials() -> None:
    """Mean 20, deviation 10; of 3 that are left the error is 2.92 deviations times the root of 9/3 + 3."""
    found = estimate_from_trials([10.0, 20.0, 30.0], left=3, workers=1)
    assert found.seconds == pytest.approx((60, 30, 60 + 2.91999 * 10 * sqrt(6)), rel=1e-4)
    assert estimate_from_trials([10.0, 20.0, 30.0], left=3, workers=2).seconds.middle == pytest.approx(30 + 5)


def test_trials_that_fit_in_a_time() -> None:
    found = Estimate(trials=10, seconds=Range(100, 80, 200), trial_seconds=10)
    assert found.fitting(300) == pytest.approx((30, 15, 37.5))


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        ((26.4, 19.2, 33.0), "26 s (19 to 33)"),
        ((840, 660, 1080), "14 min (11 to 18)"),
        ((100, 60, 130), "1.7 min (1.0 to 2.2)"),
        ((9000, 7200, 36000), "2.5 h (2.0 to 10)"),
        ((259_200, 172_800, 345_600), "3.0 days (2.0 to 4.0)"),
    ],
)
def test_times_as_text(seconds: tuple[float, float, float], text: str) -> None:
    assert about(Range(*seconds)) == text
