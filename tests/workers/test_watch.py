"""When an evaluation is taken to hang, by what the others took."""

from __future__ import annotations

from typing import Any

import nas
from nas.workers.evaluating import Outcome
from nas.workers.giving_up import Watch


class _Running:
    """A pool in which nothing runs."""

    def running(self) -> dict[int, float]:
        return {}


def _watch(*ended: tuple[float | None, float]) -> Watch:
    """A watch that has seen evaluations of so many seconds and so much work."""
    pool: Any = _Running()
    watch = Watch(pool)
    for number, (seconds, work) in enumerate(ended):
        watch.began(number, work)
        spent = {} if seconds is None else {"evaluation": seconds}
        watch.ended(Outcome(number, nas.Evaluation({"score": 1.0}, seconds=spent)))
    return watch


def test_quick_ones_let_a_large_one_take_longer_by_its_work() -> None:
    watch = _watch((0.1, 2.0), (0.2, 2.0), (0.1, 1.0))
    assert watch.limit(2) == 60
    assert watch.limit(200) == 10 * 0.2 * 100


def test_the_most_work_and_the_longest_time_count_whoever_had_them() -> None:
    watch = _watch((30.0, 10.0), (20.0, 40.0), (None, 20.0))
    assert watch.limit(40) == 300
    assert watch.limit(80) == 600


def test_work_below_one_is_no_less_than_one() -> None:
    """So that a table, whose work is 0, divides nothing by 0."""
    assert _watch((9.0, 0.0), (9.0, 0.0), (9.0, 0.0)).limit(3) == 10 * 9 * 3
