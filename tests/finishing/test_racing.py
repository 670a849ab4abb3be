"""The race among finalists: who is dropped, who wins, and what becomes of failures and of a limit of time."""

from __future__ import annotations

import numpy as np
import pytest

from nas.errors import NasError
from nas.finishing.bench import Job, Measure
from nas.finishing.racing import beaten, race
from tests.finishing.simulated import RuleBench, contestants

ACCURACY = Measure("val_accuracy")
SEEDS = (11, 22, 33)


def table(*rows: tuple[float, ...]) -> RuleBench:
    """A bench with a row of scores a network, one a seed of `SEEDS`."""
    return RuleBench(lambda job: rows[int(job.name)][SEEDS.index(job.seed)])


def test_the_highest_mean_over_all_seeds_wins() -> None:
    bench = table((0.90, 0.91, 0.92), (0.91, 0.90, 0.95), (0.905, 0.91, 0.915))
    found = race(contestants(3), SEEDS, bench, ACCURACY)
    assert found.winner == 1
    assert found.scores == ((0.90, 0.91, 0.92), (0.91, 0.90, 0.95), (0.905, 0.91, 0.915))
    assert found.dropped == ("", "", "")
    assert {job.seed for job in bench.done} == set(SEEDS)


def test_of_equal_ones_the_better_of_the_search_wins() -> None:
    assert race(contestants(3), SEEDS, table(*[(0.9, 0.8, 0.7)] * 3), ACCURACY).winner == 0


def test_a_loss_is_minimized() -> None:
    bench = RuleBench(lambda job: [0.3, 0.2, 0.4][int(job.name)] + job.seed / 1e4, metric="val_loss")
    assert race(contestants(3), SEEDS, bench, Measure("val_loss", -1)).winner == 1


def test_who_can_no_longer_win_is_not_trained_again() -> None:
    bench = table((0.92, 0.921, 0.92), (0.90, 0.899, 1.0), (0.9205, 0.9203, 0.93))
    found = race(contestants(3), SEEDS, bench, ACCURACY)
    assert found.winner == 2
    assert found.dropped[1].startswith("after 2 seeds its chance to win was 0%")
    assert [job.name for job in bench.done if job.seed == 33] == ["0", "2"]


def test_the_chance_of_winning_is_the_predictive_one() -> None:
    """By drawing: means and variance of two finalists as 2 seeds leave them known, then the remaining seed."""
    rng = np.random.default_rng(0)
    scores = {0: (1.0, 1.4), 1: (0.6, 0.9), 2: (0.9, 0.8)}
    pooled, freedom = np.mean([np.var(values, ddof=1) for values in scores.values()]), 3
    draws = 400_000
    # Student's: the variance drawn as its posterior has it, then the true means, then the last scores.
    variance = pooled * freedom / rng.chisquare(freedom, draws)
    final = []
    for i in (0, 1):
        mean = rng.normal(np.mean(scores[i]), np.sqrt(variance / 2))
        final.append((sum(scores[i]) + rng.normal(mean, np.sqrt(variance))) / 3)
    chance = float((final[1] > final[0]).mean())
    assert 0.01 < chance < 0.05
    assert beaten(scores, 1)[1] == pytest.approx(chance, abs=2e-3)


def test_nothing_is_known_of_the_noise_after_one_seed_or_left_after_the_last() -> None:
    assert beaten({0: (1.0,), 1: (0.0,)}, 2) == {}
    assert beaten({0: (1.0, 1.0), 1: (0.0, 0.1)}, 0) == {}


def test_without_any_noise_who_is_behind_is_beaten() -> None:
    assert beaten({0: (1.0, 1.0), 1: (0.9, 0.9), 2: (1.0, 1.0)}, 1) == {1: 0.0}


def test_a_failure_leaves_the_race_with_its_reason() -> None:
    bench = table((0.95, 0.95, 0.95), (0.90, 0.91, 0.92), (0.9, 0.9, 0.9))
    bench.fails = lambda job: "the loss is nan" if job.name == "0" else ""
    found = race(contestants(3), SEEDS, bench, ACCURACY)
    assert found.winner == 1
    assert found.dropped[0] == "its training failed: the loss is nan"
    bench = table(*[(0.95,) * 3] * 2)
    bench.fails = lambda job: "no memory"
    with pytest.raises(NasError, match=r"no finalist could be trained to choose the winner: .*no memory"):
        race(contestants(2), SEEDS, bench, ACCURACY)


def test_when_the_time_is_up_the_seeds_that_all_have_decide() -> None:
    """8 trainings of a second: the third seed was trained for two of three, the best by then, and counts for none."""
    bench = table((0.90, 0.92, 0.10), (0.90, 0.911, 0.99), (0.91, 0.90, 0.99))
    found = race(contestants(3), SEEDS, bench, ACCURACY, until=8)
    assert found.out_of_time
    assert [len(scores) for scores in found.scores] == [3, 3, 2]
    assert found.winner == 0


def test_where_the_time_holds_no_training_the_best_of_the_search_wins() -> None:
    found = race(contestants(2), SEEDS, table((0.9,) * 3, (0.95,) * 3), ACCURACY, until=0.5)
    assert (found.winner, found.scores, found.dropped, found.out_of_time) == (0, ((), ()), ("", ""), True)


def test_one_finalist_alone_wins_without_a_training() -> None:
    bench = table((0.9,) * 3)
    bench.fails = lambda job: "it was trained"
    found = race(contestants(1), SEEDS, bench, ACCURACY)
    assert (found.winner, found.scores, found.dropped, found.out_of_time) == (0, ((),), ("",), False)


def test_an_interrupted_race_goes_on_to_the_same_end() -> None:
    rows = ((0.90, 0.905, 0.92), (0.91, 0.90, 0.95), (0.905, 0.91, 0.915))
    whole = race(contestants(3), SEEDS, table(*rows), ACCURACY)

    class KilledError(Exception):
        pass

    for after in range(1, 9):
        bench = table(*rows)
        score = bench.score

        def dies(job: Job, bench: RuleBench = bench, score: object = score, after: int = after) -> float:
            if len(bench.done) > after:
                raise KilledError
            assert callable(score)
            return float(score(job))

        bench.score = dies
        with pytest.raises(KilledError):
            race(contestants(3), SEEDS, bench, ACCURACY)
        bench.score = score
        assert race(contestants(3), SEEDS, bench, ACCURACY) == whole
        assert len(bench.trials) == 9
