"""The course of a finish: which seeds do what, what is compared, and what is recommended."""

from __future__ import annotations

import numpy as np
import pytest

from nas.finishing.bench import CHOOSE, REPORT, TEST, Contestant, Job, Measure
from nas.finishing.settings import NONE, PUBLISHED, RANDOM, FinishSettings
from nas.finishing.study import WINNER, Finish, Rival, carry_out, choosing_seeds, choosing_share, reporting_seeds
from nas.seeds import derived_seed
from nas.training.recipe import Recipe
from tests.finishing.simulated import RECIPE, RuleBench, contestants

ACCURACY = Measure("val_accuracy")
FULL = Recipe(epochs=27, lr=0.1)


def noisy(job: Job) -> float:
    """The number of the network, and noise that the seed, the network and the phase decide."""
    rng = np.random.default_rng([job.seed, int(job.name), len(job.phase)])
    return int(job.name) + 0.1 * float(rng.normal())


def finish(bench: RuleBench, *, baseline: str = PUBLISHED, minutes: float = 240.0) -> Finish:
    networks = contestants(6)
    rivals = [Rival(baseline, [networks[5]])] if baseline != NONE else []
    return carry_out(
        FinishSettings(baseline=baseline),
        [network.by(FULL) for network in networks[:3]],
        rivals,
        bench,
        ACCURACY,
        study_seed=7,
        search_seconds=100.0,
        limit_seconds=60 * minutes,
    )


def test_choosing_and_reporting_never_share_a_seed() -> None:
    bench = RuleBench(noisy)
    found = finish(bench)
    by_phase = {phase: {job.seed for job in bench.done if job.phase == phase} for phase in (CHOOSE, REPORT, PUBLISHED)}
    assert not by_phase[CHOOSE] & by_phase[REPORT]
    assert not by_phase[PUBLISHED] & by_phase[REPORT]
    # Nor with a search, whose trials have seeds of their own by number (nas/search/driver.py).
    assert not by_phase[REPORT] & {derived_seed(7, number) for number in range(10_000)}
    assert len(by_phase[REPORT]) == 8
    assert set(found.finals[WINNER].scores(ACCURACY)) == by_phase[REPORT]


@pytest.mark.parametrize("seed", range(50))
def test_the_seeds_of_every_study_are_apart(seed: int) -> None:
    assert not set(choosing_seeds(seed, 1000)) & set(reporting_seeds(seed, 1000))


def test_only_the_winner_and_the_baseline_are_reported_by_the_same_seeds_and_recipe() -> None:
    bench = RuleBench(noisy)
    found = finish(bench)
    reported = [job for job in bench.done if job.phase == REPORT]
    assert {job.name for job in reported} == {"2", "5"}
    assert {job.recipe for job in reported} == {FULL}
    assert {job.recipe for job in bench.done if job.phase == PUBLISHED} == {
        Recipe(epochs=epochs) for epochs in (1, 3, 9)
    }
    # The test split is read once for each training that is reported, after the last of them.
    tests = [place for place, job in enumerate(bench.done) if job.phase == TEST]
    assert len(tests) == len(reported) == 16
    assert min(tests) == len(bench.done) - 16
    assert found.recommended == PUBLISHED
    assert found.on_test[PUBLISHED].difference.mean == pytest.approx(-3, abs=0.2)


def test_the_winner_is_recommended_where_it_is_better_on_the_test_split() -> None:
    def better_on_validation_only(job: Job) -> float:
        return noisy(job) if job.phase != TEST else -noisy(job)

    assert finish(RuleBench(better_on_validation_only)).recommended == WINNER
    assert finish(RuleBench(noisy), baseline=NONE).recommended == WINNER


def test_a_baseline_keeps_its_multiple_of_the_learning_rate() -> None:
    bench, networks = RuleBench(noisy), contestants(6)
    tripled = [Contestant(one.name, one.architecture, RECIPE, 3.0).by(RECIPE) for one in networks[4:]]
    carry_out(
        FinishSettings(),
        [networks[0].by(FULL)],
        [Rival(RANDOM, tripled)],
        bench,
        ACCURACY,
        study_seed=0,
        search_seconds=100.0,
    )
    rates = {job.name: job.recipe.lr for job in bench.done if job.phase == REPORT}
    assert rates == pytest.approx({"0": 0.1, "5": 0.3})
    assert [job.recipe.lr for job in bench.done if job.phase == RANDOM] == pytest.approx([3 * RECIPE.lr] * 4)


def test_a_seed_counts_where_both_were_trained_with_it() -> None:
    lost = reporting_seeds(7, 8)[2]

    def fails(job: Job) -> str:
        return "the loss is nan" if (job.phase, job.name, job.seed) == (REPORT, "5", lost) else ""

    found = finish(RuleBench(noisy, fails=fails))
    assert found.on_test[PUBLISHED].difference.count == found.on_val[PUBLISHED].difference.count == 7
    assert len(found.finals[WINNER].trained) == 8
    assert [trial.reason for trial in found.finals[PUBLISHED].failed] == ["the loss is nan"]


def test_the_limit_of_time_is_shared_and_held() -> None:
    bench = RuleBench(noisy, lambda job: 20.0)
    settings = FinishSettings()
    assert choosing_share(settings, 1) == 15 / (15 + 16)
    found = finish(bench, minutes=5.0)
    assert bench.clocks[CHOOSE] + bench.clocks[REPORT] <= 300
    assert bench.clocks[PUBLISHED] <= 100
    # Choosing takes 120 s, since two of three finalists are dropped after the second seed; in 180 s there are 9
    # trainings, so 4 seeds of both.
    assert found.on_test[PUBLISHED].difference.count == 4
    longer = finish(bench, minutes=60.0)  # goes on from there
    assert longer.on_test[PUBLISHED].difference.count == 8
    assert bench.clocks[CHOOSE] + bench.clocks[REPORT] <= 3600


def test_what_choosing_leaves_of_its_time_is_for_reporting() -> None:
    def clear(job: Job) -> float:
        return 100 * int(job.name) + (job.seed % 7) / 10

    bench = RuleBench(clear, lambda job: 10.0)
    # Of 310 s choosing may take 150, but two of three finalists are dropped after the second seed: it takes 60.
    found = finish(bench, minutes=310 / 60)
    assert bench.clocks[CHOOSE] == 60
    assert bench.clocks[REPORT] == 160 > 310 * 16 / 31 - 1
    assert found.on_test[PUBLISHED].difference.count == 8
    # In 210 s, of which 102 are for choosing, 150 are left: 7 seeds of both, where the share of reporting holds 5.
    short = finish(RuleBench(clear, lambda job: 10.0), minutes=210 / 60)
    assert short.on_test[PUBLISHED].difference.count == 7


def test_nothing_is_recommended_where_the_time_was_too_short() -> None:
    found = finish(RuleBench(noisy, lambda job: 20.0 if job.phase != REPORT else 40.0), minutes=2.0)
    assert (found.on_test[PUBLISHED].difference.count, found.decided) == (0, False)
    alone = finish(RuleBench(noisy, lambda job: 20.0 if job.phase != REPORT else 400.0), baseline=NONE, minutes=4.0)
    assert (alone.finals[WINNER].trained, alone.decided) == ((), False)


def test_the_weights_that_ship_are_of_the_first_seed_whatever_the_scores_are() -> None:
    first = reporting_seeds(7, 8)[0]
    for best in reporting_seeds(7, 8):
        found = finish(RuleBench(lambda job, best=best: noisy(job) + 9 * (job.seed == best)))  # type: ignore[misc]
        assert found.finals[WINNER].shipped.seed == first


def test_without_time_for_a_baseline_there_is_none_and_it_is_said() -> None:
    bench = RuleBench(noisy, lambda job: 500.0 if job.phase == PUBLISHED else 2.0)
    found = finish(bench, minutes=600.0)
    assert found.halvings == {}
    # A third of the 100 s of the search and of what choosing took.
    chosen = 2 * sum(job.phase == CHOOSE for job in bench.done)
    assert f"no training of 1 epoch ended within {(100 + chosen) / 3:.0f} s" in found.missing[PUBLISHED]
    assert found.recommended == WINNER


def test_a_winner_that_is_a_published_network_is_trained_once() -> None:
    bench, networks = RuleBench(noisy), contestants(1)
    found = carry_out(
        FinishSettings(),
        [networks[0].by(FULL)],
        [Rival(PUBLISHED, networks)],
        bench,
        ACCURACY,
        study_seed=0,
        search_seconds=100.0,
    )
    assert sum(job.phase == REPORT for job in bench.done) == 8
    assert found.on_test[PUBLISHED].difference.mean == 0
    assert found.recommended == PUBLISHED
