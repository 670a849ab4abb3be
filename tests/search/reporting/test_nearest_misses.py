"""A search that found nothing says how near it came."""

from __future__ import annotations

import re

import nas
from nas.search.reporting.rejections import nearest_misses
from nas.search.trial import State
from tests.search.conftest import SMALL

SPACE = nas.SearchSpace.from_dict(SMALL)


def test_the_nearest_candidate_of_each_limit_is_named() -> None:
    study = nas.run_search(
        SPACE,
        lambda *_: 1.0,
        trials=5,
        sampler="random",
        seed=0,
        constraints={"params": 1, "macs": 2},
        max_rejections=20,
    )
    assert study.counts()["completed"] == 0
    costs = {
        trial.number: nas.cost_of(SPACE.decode(trial.genotype))
        for trial in study.trials
        if trial.state is State.REJECTED
    }
    lines = sorted(nearest_misses(study))
    assert [line.split(":")[0] for line in lines] == ["Nearest to the limit on macs", "Nearest to the limit on params"]
    for line, metric in zip(lines, ("macs", "params"), strict=True):
        number = int(re.search(r"trial (\d+)", line)[1])  # type: ignore[index]
        least = min(getattr(cost, metric) for cost in costs.values())
        assert getattr(costs[number], metric) == least
        assert f"{metric} {least:,.6g} is over" in line
        assert "over no other limit" not in line


def test_where_something_was_found_nothing_is_said() -> None:
    study = nas.run_search(SPACE, lambda *_: 1.0, trials=3, sampler="random", seed=0, constraints={"params": 3_000})
    assert study.rejections()
    assert study.counts()["completed"]
    assert nearest_misses(study) == []


def test_one_limit_alone_is_said_to_be_alone() -> None:
    study = nas.run_search(
        SPACE, lambda *_: 1.0, trials=2, sampler="random", constraints={"params": 1}, max_rejections=5
    )
    (line,) = nearest_misses(study)
    assert line.endswith("is over 1, and over no other limit")
