"""Reports of comparisons: corrected for all their cells, few seeds, equal strategies, and where a goal is reached."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import quantile_test

from nas.compare.strategies.curves import Curve, quality_after
from nas.compare.strategies.report import (
    StrategyComparison,
    evaluations_to_reach,
    first_reached,
    report_of,
    verdicts_of,
)
from nas.statistics import Array, paired


def _comparison(scores: Array, places: list[int]) -> StrategyComparison:
    """Strategies a, b, ... with the scores `(strategies, seeds, places)`."""
    names = [chr(ord("a") + number) for number in range(len(scores))]
    curves = {
        name: [Curve(name, seed, row, np.zeros(len(row)), 0.0, 0.0, len(row)) for seed, row in enumerate(rows)]
        for name, rows in zip(names, scores, strict=True)
    }
    return StrategyComparison(curves=curves, measure="score", best=None, evaluations=places, timed=False)


def test_a_report_corrects_for_all_of_its_cells() -> None:
    """A p of 2 / 2^8 is enough beside eight others, one of 2 / 2^7 only alone; corrected ones are printed."""
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(4, 10, 3))
    scores[0, :, 2] = scores[1, :, 2] + np.array([1.0, 2, 3, 1, 2, 3, 1, 2, 1, 0])
    for ahead, text in ((9, "better"), (8, "not shown")):
        scores[0, ahead:, 2] = scores[1, ahead:, 2]
        alone = paired(scores[0, :, 2], scores[1, :, 2])
        assert (alone.ahead, alone.verdict) == (ahead, "better")
        comparison = _comparison(scores, [1, 2, 3])
        verdicts = verdicts_of(comparison)
        assert list(verdicts) == [(rival, count, quality_after) for rival in "bcd" for count in (1, 2, 3)]
        difference, verdict = verdicts["b", 3, quality_after]
        assert difference == alone
        assert verdict.p == pytest.approx(9 * alone.p)
        assert verdict.text == text
        (row,) = (line for line in report_of(comparison) if line.startswith("| b |") and " : " in line)
        assert row.split("|")[4].strip().endswith(f"{ahead} : 0, p {verdict.p:.2g}: {text}")


def test_a_report_of_few_seeds_says_how_many_it_takes() -> None:
    scores = np.random.default_rng(0).normal(size=(4, 5, 3)) + np.array([9.0, 0, 0, 0])[:, None, None]
    comparison = _comparison(scores, [1, 2, 3])
    assert {verdict.text for _, verdict in verdicts_of(comparison).values()} == {"too few seeds to tell: at least 9"}
    lines = report_of(comparison)
    assert sum(line.count("(too few)") for line in lines) == 12
    assert "Too few: an exact 95 % interval of a median takes 6 seeds." in lines


@pytest.mark.parametrize("draw", ["normal", "ties", "skewed"])
def test_reports_of_equal_strategies_say_so(draw: str) -> None:
    """Three equal rivals at three places: a wrong word in 5 % of 150 reports at most, and three standard errors."""
    rng, wrong = np.random.default_rng(5), 0
    for number in range(150):
        scores = rng.normal(size=(4, 9 + number % 22, 3))
        scores = {"normal": scores, "ties": np.round(scores), "skewed": np.exp(2 * scores)}[draw]
        verdicts = verdicts_of(_comparison(scores, [1, 2, 3])).values()
        wrong += any(verdict.text in ("better", "worse") for _, verdict in verdicts)
    assert wrong / 150 <= 0.05 + 0.053


def test_where_a_strategy_gets_there_has_an_interval() -> None:
    """Of nine searches the second and the eighth to get there are the ends, which hold the median with 96 %."""
    hits = np.array([3, 9, 4, 12, 6, 7, 5, 8, 20])
    curves = np.array([[float(count >= hit) for count in range(1, 21)] for hit in hits])
    slow = np.array([[float(count >= 19) for count in range(1, 21)] for _ in hits])
    never = np.zeros((9, 20))
    comparison = _comparison(np.stack([curves, slow, never]), [20])
    reached = [first_reached(comparison, name, 1.0, 20) for name in "abc"]
    interval = quantile_test(hits, p=0.5).confidence_interval(0.95)
    assert reached == [(np.median(hits), interval.low, interval.high), (19, 19, 19), (None, None, None)]
    (line,) = evaluations_to_reach(comparison, "b", 20)
    assert line == (
        "Where b is after 20 evaluations (1): a is there after 7 (95 %: 4 to 12); b is there after 19 (95 %: 19 to 19)"
        "; c is not there after 20 (95 %: later than 20)"
    )
