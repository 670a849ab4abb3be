"""Reports and recommendations of simulated studies against what is true of them."""

from __future__ import annotations

import pytest
from scipy.stats import binom

from benchmarks.honest_finish import reported, simulate, winner_share, wrong_by_rule
from nas.finishing.settings import NONE, FinishSettings

CHANCE = {"noise": 0.5, "spread": 0.5}


def test_what_is_reported_is_true_though_the_search_and_the_choosing_are_too_high() -> None:
    studies = [simulate(seed, FinishSettings(baseline=NONE), **CHANCE) for seed in range(300)]
    found = reported(studies)
    assert abs(found["reported"]) < 0.05
    assert found["search"] > 0.3
    assert 0.05 < found["choosing"] < found["search"]
    # Of 300 intervals that hold the truth in 95 % each.
    assert binom.ppf(1e-4, 300, 0.95) <= 300 * found["covered"] <= binom.ppf(1 - 1e-4, 300, 0.95)


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [3, 8])
def test_2000_studies(seeds: int) -> None:
    """Within .1 points, and 93 to 97 % of the intervals hold the truth."""
    settings = FinishSettings(baseline=NONE, final_seeds=seeds)
    found = reported([simulate(seed, settings, **CHANCE) for seed in range(2000)])
    assert abs(found["reported"]) < 0.1
    assert 0.93 <= found["covered"] <= 0.97


@pytest.mark.slow
@pytest.mark.parametrize("difference", [-0.5, 0.0, 0.5])
def test_500_comparisons_by_the_default_settings(difference: float) -> None:
    """At half a point a wrong recommendation in at most 5 %; without a difference none is wrong."""
    studies = [simulate(seed, FinishSettings(), **CHANCE, difference=difference) for seed in range(500)]
    share = winner_share(studies)
    if difference:
        assert (1 - share if difference > 0 else share) <= 0.05
        gaps = [study.finish.on_test["published"].difference.mean for study in studies]
        assert sum(gaps) / 500 == pytest.approx(difference, abs=0.1)
    else:
        assert 0.4 < share < 0.6


def test_how_many_seeds_the_rules_need() -> None:
    """As the record of the decision has it; by simulation of the two rules with plain arithmetic."""
    assert wrong_by_rule(5, 0.5, 0.5)["mean, better"] > 0.05
    assert wrong_by_rule(6, 0.5, 0.5)["mean, better"] < 0.05
    assert wrong_by_rule(8, 0.5, 0.5)["mean, better"] == pytest.approx(0.0228, abs=1e-4)  # two standard errors
