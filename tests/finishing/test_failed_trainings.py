"""Final trainings that fail: what is recommended then, and what is said of them."""

from __future__ import annotations

from collections.abc import Collection

import pytest

from nas.finishing.bench import REPORT, TEST, Job, Measure
from nas.finishing.intervals import interval_of
from nas.finishing.records import _described
from nas.finishing.settings import PUBLISHED, FinishSettings
from nas.finishing.study import WINNER, Finish, Rival, carry_out, reporting_seeds
from nas.finishing.words import Unit, sentence
from tests.finishing.simulated import RuleBench, contestants

ACCURACY = Measure("val_accuracy")
SEEDS = reporting_seeds(7, 8)
WHY = "TrainingError: val_loss is nan"


def finish(
    winner: Collection[int], baseline: Collection[int], *, score: float = 0.1, alone: bool = False, phase: str = REPORT
) -> Finish:
    """A finish in which networks fail with some of the final seeds; `score` is how much better the winner is."""
    networks = contestants(2)

    def fails(job: Job) -> str:
        lost = [SEEDS[place] for place in (winner if job.name == "0" else baseline)]
        return WHY if job.phase == phase and job.seed in lost else ""

    return carry_out(
        FinishSettings(),
        networks[:1],
        [] if alone else [Rival(PUBLISHED, networks[1:])],
        RuleBench(lambda job: 0.5 + score * (job.name == "0") + job.seed % 9 / 1e4, fails=fails),
        ACCURACY,
        study_seed=7,
        search_seconds=100.0,
    )


@pytest.mark.parametrize(
    ("winner", "baseline", "score", "recommended"),
    [
        (range(1, 8), [], 0.1, PUBLISHED),  # the one survivor is better by 10 points
        ([3], [], 0.1, PUBLISHED),
        ([], [3], -0.1, WINNER),
        ([1, 2], [4], 0.1, PUBLISHED),
        ([1, 2], [4, 5], 0.1, WINNER),  # as many: the others decide
        ([1, 2], [4, 5], -0.1, PUBLISHED),
        (range(8), [], 0.1, PUBLISHED),
        ([], range(8), -0.1, WINNER),
        (range(4), range(4, 8), 0.1, PUBLISHED),  # no seed in common: a tie
    ],
)
def test_fewer_failures_are_recommended_and_scores_where_there_are_as_many(
    winner: Collection[int], baseline: Collection[int], score: float, recommended: str
) -> None:
    for phase in (REPORT, TEST):
        found = finish(winner, baseline, score=score, phase=phase)
        assert (found.recommended, found.decided, found.ships) == (recommended, True, True)
        text = sentence(found, ACCURACY)
        for count, whose in ((len(winner), "winner"), (len(baseline), "published baseline")):
            assert (f"{count} of 8 final trainings of the {whose} failed ({WHY})" in text) == bool(count)
        assert "the time" not in text
        assert "whose training is the more reliable" in text or len(winner) == len(baseline)


def test_the_comparison_is_of_the_seeds_that_gave_both_a_score() -> None:
    found = finish([1, 2], [2, 4])
    assert found.on_test[PUBLISHED].difference.count == 5
    assert found.on_test[PUBLISHED].difference.mean == pytest.approx(0.1)
    assert sentence(found, ACCURACY).endswith(": this is of the others")


def test_nothing_is_recommended_where_every_training_failed() -> None:
    for found in (finish(range(8), range(8)), finish(range(8), [], alone=True)):
        assert (found.decided, found.ships) == (False, False)
        assert sentence(found, ACCURACY).startswith("Recommended: nothing: 8 of 8 final trainings of the winner failed")
        assert "finish.minutes" not in sentence(found, ACCURACY)


def test_without_a_baseline_failures_are_said() -> None:
    found = finish([0, 5], [], alone=True)
    assert found.recommended == WINNER
    assert found.finals[WINNER].shipped.seed == SEEDS[1]
    assert sentence(found, ACCURACY).endswith(f"; 2 of 8 final trainings of the winner failed ({WHY})")


def test_seeds_that_agree_have_no_interval_in_words() -> None:
    unit = Unit.of(ACCURACY)
    assert unit.interval(interval_of([0.9835])) == "98.35 % (one seed)"
    assert unit.interval(interval_of([0.9835] * 2)) == "98.35 % (the same with all 2 seeds: no interval)"
    assert unit.gap(interval_of([0.01] * 3)) == "+1.00 points (the same with all 3 seeds: no interval)"


def test_a_loss_that_is_lower_has_a_difference_below_0_in_words() -> None:
    networks = contestants(2)
    loss = Measure("val_loss", -1)
    bench = RuleBench(lambda job: 0.5 - 0.1 * (job.name == "0"), metric="val_loss")
    found = carry_out(
        FinishSettings(),
        networks[:1],
        [Rival(PUBLISHED, networks[1:])],
        bench,
        loss,
        study_seed=7,
        search_seconds=100.0,
    )
    assert found.recommended == WINNER
    assert "winner minus published baseline: -0.1000 (95 % interval -0.1000 to -0.1000)" in sentence(found, loss)


def test_why_a_training_failed_is_text_on_the_page_of_mlflow() -> None:
    said = "Recommended: nothing: 1 of 2 trainings failed (<img src=x> ![a](http://there/a.png))"
    found = _described(f"# Finish\n| network |\n\n**{said}.**\n\n- the rest\n\n## How the winner was chosen", said)
    assert "<img" not in found
    assert "![a]" not in found
    assert found.count("Recommended") == 1
    assert found.endswith("| network |\n\n\n\n- the rest")
