"""Successive halving in given seconds."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from nas.errors import NasError
from nas.finishing.bench import Job, Measure
from nas.finishing.halving import epochs_of_rungs, successive_halving
from tests.finishing.simulated import RuleBench, contestants

ACCURACY = Measure("val_accuracy")


def by_name(job: Job) -> float:
    """The higher the number of a network, the better it is; more epochs are better too."""
    return int(job.name) + job.recipe.epochs / 100


def epochs(job: Job) -> float:
    """A second an epoch."""
    return float(job.recipe.epochs)


@pytest.mark.parametrize(
    ("whole", "rungs"), [(9, [1, 3, 9]), (90, [10, 30, 90]), (4, [1, 4]), (1, [1]), (12, [1, 4, 12])]
)
def test_rungs_have_a_ninth_a_third_and_all_epochs(whole: int, rungs: list[int]) -> None:
    assert epochs_of_rungs(whole) == rungs


def test_the_better_third_gets_three_times_the_epochs() -> None:
    bench = RuleBench(by_name, epochs)
    found = successive_halving(contestants(9), bench, ACCURACY, phase="published", seconds=27.0, seed=0)
    # 9 of 1 epoch in 9 s, the best 3 of 3 epochs in 9 s, the best of 9 epochs in 9 s.
    assert [(job.name, job.recipe.epochs) for job in bench.done] == [
        *((str(i), 1) for i in range(9)),
        ("8", 3),
        ("7", 3),
        ("6", 3),
        ("8", 9),
    ]
    assert (found.chosen.name, found.tried, found.candidates, found.spent) == ("8", 9, 9, 27.0)


def test_time_that_is_left_trains_further_ones_in_full() -> None:
    bench = RuleBench(by_name, epochs)
    found = successive_halving(contestants(9), bench, ACCURACY, phase="published", seconds=60.0, seed=0)
    assert [job.name for job in bench.done if job.recipe.epochs == 9] == ["8", "7", "6"]
    assert found.spent == 9 + 9 + 27


def test_the_first_rung_tries_as_many_as_its_time_holds() -> None:
    bench = RuleBench(by_name, lambda job: 9 * epochs(job))
    found = successive_halving(contestants(9), bench, ACCURACY, phase="published", seconds=99.0, seed=0)
    assert found.tried == 3  # a third of 99 s, at 9 s each
    assert found.chosen.name == "2"
    assert bench.clocks["published"] <= 99


def test_each_training_is_a_whole_schedule_with_a_seed_of_its_rung() -> None:
    bench = RuleBench(by_name, epochs)
    successive_halving(contestants(9), bench, ACCURACY, phase="published", seconds=60.0, seed=4)
    seeds = {job.recipe.epochs: job.seed for job in bench.done}
    assert len(set(seeds.values())) == 3
    assert all(job.seed == seeds[job.recipe.epochs] for job in bench.done)


def test_failures_are_left_out_and_no_result_is_an_error() -> None:
    bench = RuleBench(by_name, epochs, fails=lambda job: "no memory" if job.name == "8" else "")
    assert successive_halving(contestants(9), bench, ACCURACY, phase="p", seconds=60.0, seed=0).chosen.name == "7"
    with pytest.raises(NasError, match="no training of 1 epoch ended within 0 s, one of 3 equal parts"):
        successive_halving(contestants(3), RuleBench(by_name, epochs), ACCURACY, phase="p", seconds=0.5, seed=0)
    with pytest.raises(NasError, match="no network was found that holds the limits"):
        successive_halving([], RuleBench(by_name), ACCURACY, phase="p", seconds=60.0, seed=0)


@given(st.integers(1, 12), st.floats(1.5, 400), st.integers(1, 30))
@example(1, 2.722506189552001, 1)  # a third of thrice this is more than this
def test_it_never_takes_more_than_its_seconds(count: int, seconds: float, whole: int) -> None:
    bench = RuleBench(by_name, lambda job: 0.4 * job.recipe.epochs + 0.1 * int(job.name))
    try:
        found = successive_halving(contestants(count), bench, ACCURACY, phase="p", seconds=seconds, seed=0)
    except NasError:
        return
    assert bench.clocks["p"] <= seconds
    assert found.spent <= seconds
    assert found.chosen.name in {trial.name for trial in found.rungs[-1].trials}
