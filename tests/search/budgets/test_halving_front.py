"""Successive halving with several objectives: who is promoted, and what the front is taken from."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

import nas
from nas.search.budgets.halving import Halving
from nas.search.budgets.pruning import HALVING
from nas.search.objectives import objectives_from
from nas.search.reporting.summary import print_best
from nas.search.study import Study, front_of
from nas.search.trial import State, Trial

SPACE: dict[str, Any] = {
    "name": "widths",
    "assume": {"channels": 1, "resolution": 8, "num_classes": 10},
    "stages": [{"block": "conv", "out_channels": {"range": [2, 54], "step": 2}}],
    "head": {"block": "classifier"},
}
"""27 networks, of which each larger one costs more."""


def test_one_in_three_of_a_front_is_promoted_from_all_over_it() -> None:
    """Nine that none dominates, and nine behind them with better first objectives than some of the front."""
    halving = Halving([1, 3, 9], 3, total=18, synchronous=True)
    for number in range(18):
        halving.begin(number)
    for number in range(9):
        halving.ended(number, (float(number), float(-number)))
        halving.ended(9 + number, (number - 0.5, -number - 0.5))
    promoted = []
    while (job := halving.next()) is not None:
        promoted.append(job[0])
    assert len(promoted) == 6
    assert set(promoted) <= set(range(9)), "those behind the front come after all of it"
    assert promoted[:3] == [8, 0, 4]


def _score(arch: nas.Architecture, budget: nas.Budget, seed: int) -> float:
    assert budget.epochs is not None
    return float((1 - nas.cost_of(arch).params ** -0.5) * (1 - 0.5**budget.epochs))


def _search(pruner: str, **arguments: Any) -> Study:
    given: dict[str, Any] = {"trials": 18, "seed": 0, "sampler": "random", "budget": nas.Budget(epochs=9)}
    space = nas.SearchSpace.from_dict(SPACE)
    return nas.run_search(space, _score, objective=["val_accuracy", "macs"], pruner=pruner, **given | arguments)


@pytest.mark.parametrize("pruner", ["none", *HALVING])
@pytest.mark.parametrize("sampler", ["random", "default"])
def test_networks_that_none_dominates_are_all_on_the_front(pruner: str, sampler: str) -> None:
    """Each larger one scores higher and costs more, on every rung."""
    study = _search(pruner, sampler=sampler)
    networks = {trial.arch_id for trial in study.trials if trial.trained}
    assert {trial.arch_id for trial in study.front()} == networks
    if pruner == "successive_halving":  # which knows all of a rung before it promotes
        promoted = [trial.cost.macs for trial in study.trials if (trial.rung or 0) >= 2 and trial.cost]
        every = [trial.cost.macs for trial in study.trials if trial.cost]
        assert {min(every), max(every)} <= set(promoted), "the ends of the front are promoted"


def _trial(number: int, *scores: float, macs: int, first: int = 0) -> Trial:
    """One that had these scores on its rungs."""
    return Trial(
        number=number,
        state=State.COMPLETED if first + len(scores) == 3 else State.PRUNED,
        genotype={},
        cost=nas.Cost(macs=macs),
        scores={"val_accuracy": scores[-1]},
        steps=tuple((first + place, (score, float(macs))) for place, score in enumerate(scores, start=1)),
        first_rung=first,
    )


def test_trials_are_compared_on_a_rung_that_both_have_ended() -> None:
    study = Study("s", "id", nas.SearchSpace.from_dict(SPACE), objectives_from(["val_accuracy", "macs"]), rungs=3)
    study.trials = [
        _trial(0, 0.5, 0.7, 0.9, macs=100),
        _trial(1, 0.4, macs=110),  # trial 0 was better there, and is cheaper
        _trial(2, 0.62, macs=110),  # it was not: with more epochs this one may be better
        _trial(3, 0.6, 0.65, macs=90),
        _trial(4, 0.55, 0.6, macs=95),  # trial 3 was better on rung 2
        _trial(5, 0.8, 0.85, macs=105, first=1),  # trial 0 is better on rung 3
        _trial(6, 0.3, macs=120, first=0),
        replace(_trial(7, 0.99, macs=1), state=State.FAILED, scores={}),
    ]
    assert [trial.number for trial in study.front()] == [0, 2, 3]
    assert study.knee() is study.trials[0]
    # Of trials that are compared in the end, that is the area above the worst of each: 120 macs and .3.
    assert study.hypervolume()[-1] == pytest.approx(0.6 * 20 + 0.35 * 10)


def test_what_was_promoted_is_marked(tmp_path: Path) -> None:
    study = _search("asha", run_dir=tmp_path / "run")
    assert study.rungs == 3
    for entry, trial in zip(front_of(study), study.best(99), strict=True):
        epochs = {1: 1, 2: 3, 3: 9}[entry["rung"]]
        assert entry["rungs"] == 3
        architecture = nas.Architecture.from_dict(entry["architecture"])
        assert entry["objectives"]["val_accuracy"] == _score(architecture, nas.Budget(epochs=epochs), 0)
        assert study.rung_text(trial) == f"{entry['rung']} of 3"
    shown = io.StringIO()
    print_best(Console(file=shown, width=200), study)
    assert "highest rung" in shown.getvalue()
    assert "2 of 3" in shown.getvalue()
    whole = _search("none")
    assert {"rung", "rungs"}.isdisjoint(front_of(whole)[0])
    assert whole.rung_text(whole.trials[0]) == ""


def test_a_resumed_search_has_the_same_front(tmp_path: Path) -> None:
    whole = _search("asha")
    _search("asha", run_dir=tmp_path / "run", minutes=1e-3)
    study = _search("asha", run_dir=tmp_path / "run", resume=True)
    # Trials that wait paused are ended in the order of their numbers after a resume.
    assert sorted((t.number, t.rung) for t in study.front()) == sorted((t.number, t.rung) for t in whole.front())
