"""Which space to take: the verdicts by hand, and turns within a time by a clock that is moved by hand."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nas
from nas.compare.spaces import population
from nas.compare.spaces.choice import SpaceChoice
from nas.compare.spaces.difference import compare_errors
from nas.compare.spaces.population import Drawn, EvaluatedNetwork, Population, evaluate_populations
from nas.compare.spaces.report import SpaceComparison
from nas.errors import NasError, SpaceError
from nas.search.settings import PYTHON_SETTINGS, with_keywords


def _population(name: str, errors: list[float]) -> Population:
    networks = tuple(EvaluatedNetwork(f"{name}{place}", error, nas.Cost()) for place, error in enumerate(errors))
    return Population(name=name, networks=networks, share=0.25)


def _choice(**errors: list[float]) -> SpaceChoice:
    populations = [_population(name, values) for name, values in errors.items()]
    return SpaceChoice(SpaceComparison(populations, 20, "1 - val_accuracy", None))


def _around(mean: float, seed: int) -> list[float]:
    return list(np.random.default_rng(seed).normal(mean, 0.02, 20))


def test_the_smallest_mean_is_taken_and_shown_where_it_is() -> None:
    choice = _choice(first=_around(0.3, 0), second=_around(0.1, 1), third=_around(0.2, 2))
    assert (choice.best, choice.name, choice.shown) == (1, "second", True)
    assert sorted(choice.against) == [0, 2]
    for other, (difference, verdict) in choice.against.items():
        means = [float(one.errors.mean()) for one in choice.comparison.populations]
        assert difference.mean == pytest.approx(means[other] - means[1])
        assert verdict.text == "worse"
    sentence = choice.sentence()
    assert sentence.startswith("Take second: its random networks have the smallest mean error (1 - val_accuracy), 0.")
    assert sentence.endswith("It is better than each other one (p <= 0.05, corrected for 3 pairs of spaces).")


def test_what_is_not_shown_is_said() -> None:
    choice = _choice(near=_around(0.1005, 0), far=_around(0.3, 1), taken=_around(0.095, 2))
    assert (choice.name, choice.shown) == ("taken", False)
    assert {other: verdict.text for other, (_, verdict) in choice.against.items()} == {0: "not shown", 1: "worse"}
    assert "That it is better than near is not shown (p <= 0.05" in choice.sentence()
    few = _choice(one=[0.1, 0.2], two=[0.8, 0.9])
    assert (few.name, few.shown) == ("one", False), "two of each cannot show anything"
    assert "That it is better than two is not shown (p <= 0.05, corrected for 1 pair of spaces)" in few.sentence()


def test_verdicts_are_corrected_for_all_pairs() -> None:
    """Also for the one between the two that lost, since any could have been the best."""
    errors = {"a": _around(0.1, 3), "b": _around(0.112, 4), "c": _around(0.118, 5)}
    choice = _choice(**errors)
    assert choice.best == 0
    none = np.zeros(20, np.int64)
    of = {
        pair: compare_errors((np.array(errors[pair[0]]), none), (np.array(errors[pair[1]]), none)).p
        for pair in ("ba", "ca", "bc")
    }
    ranked = sorted(of.values())
    by_hand, largest = {}, 0.0
    for place, p in enumerate(ranked):  # Holm 1979
        largest = max(largest, min(1.0, p * (3 - place)))
        by_hand[p] = largest
    assert choice.against[1][1].p == pytest.approx(by_hand[of["ba"]])
    assert choice.against[2][1].p == pytest.approx(by_hand[of["ca"]])


def test_of_equal_spaces_the_first_is_taken() -> None:
    assert _choice(one=[0.2, 0.1], two=[0.1, 0.2]).name == "one"


# Turns


@dataclass
class _Clock:
    """Time that passes with what is evaluated."""

    cost: dict[str, float]
    """Seconds of a network, by the space."""
    broken: str = ""
    now: float = 1000.0
    done: dict[str, int] = field(default_factory=dict)
    asked: list[tuple[str, int]] = field(default_factory=list)

    def evaluate(self, drawn: Drawn, *, count: int, **_: Any) -> Population:
        if drawn.name == self.broken:
            raise SpaceError(f"{drawn.name}: lost")
        self.asked.append((drawn.name, count))
        self.now += self.cost[drawn.name] * (count - self.done.get(drawn.name, 0))
        self.done[drawn.name] = count
        return _population(drawn.name, [0.1] * count)


def _turns(
    clock: _Clock, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *, trials: int = 40, **given: Any
) -> list[tuple[str, int]]:
    monkeypatch.setattr(population, "evaluate_population", clock.evaluate)
    monkeypatch.setattr("nas.compare.spaces.population.time.monotonic", lambda: clock.now)
    space = nas.load_space("mbconv")
    drawn = [Drawn(space=space, name=name, share=1.0, run_dir=tmp_path / name) for name in (*clock.cost, clock.broken)]
    found = evaluate_populations(
        [one for one in drawn if one.name],
        pool=None,  # type: ignore[arg-type]  # what it is for is replaced
        settings=with_keywords(PYTHON_SETTINGS, {"trials": trials}),
        budget=None,
        **given,
    )
    return [(one.name, len(one.networks)) for one in found]


def test_spaces_take_turns_until_the_time_is_over(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    clock = _Clock({"slow": 3.0, "fast": 1.0})
    # A round of 2 of each takes 8 s: after three, 24 s, a fourth would end at 32 s.
    assert _turns(clock, monkeypatch, tmp_path, most_seconds=31) == [("slow", 6), ("fast", 6)]
    assert clock.asked == [("slow", 2), ("fast", 2), ("slow", 4), ("fast", 4), ("slow", 6), ("fast", 6)]
    assert _turns(_Clock({"slow": 3.0}), monkeypatch, tmp_path, most_seconds=24) == [("slow", 8)]
    assert _turns(_Clock({"slow": 3.0}), monkeypatch, tmp_path, most_seconds=1, at_once=5) == [("slow", 5)]
    assert _turns(_Clock({"slow": 3.0}), monkeypatch, tmp_path, most_seconds=1e9, trials=5) == [("slow", 5)]
    assert _turns(_Clock({"slow": 3.0}), monkeypatch, tmp_path, most_seconds=1e9, trials=1) == [("slow", 1)]


def test_without_a_time_there_are_no_turns(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    clock = _Clock({"slow": 3.0, "fast": 1.0})
    assert _turns(clock, monkeypatch, tmp_path) == [("slow", 40), ("fast", 40)]
    assert clock.asked == [("slow", 40), ("fast", 40)]


def test_a_space_that_fails_is_dropped_where_that_is_asked_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(SpaceError, match="lost"):
        _turns(_Clock({"good": 1.0}, broken="bad"), monkeypatch, tmp_path)
    dropped: list[str] = []

    def drop(one: Drawn, error: NasError) -> None:
        dropped.append(str(error))

    clock = _Clock({"good": 1.0}, broken="bad")
    assert _turns(clock, monkeypatch, tmp_path, most_seconds=5, drop=drop) == [("good", 4)]
    assert dropped == ["bad: lost"]
