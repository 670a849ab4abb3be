"""Weights and states of trainings take no more of the disk than they may."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import nas
from nas.errors import ConfigError
from nas.evaluation import Evaluation
from nas.search.budgets.pruning import Pruning
from nas.search.disk_budget import DiskBudget
from nas.search.study import Study
from nas.search.trial import State, Trial
from tests.search.conftest import SMALL

_KIB = 1024


def _writes(arch: nas.Architecture, budget: nas.Budget, seed: int) -> Evaluation:
    """Leave 100 KiB of weights and 200 KiB of a state; more parameters are better, and more epochs."""
    for name, size in ((budget.weights, 100 * _KIB), (budget.checkpoint, 200 * _KIB)):
        if name is not None:
            Path(name).parent.mkdir(exist_ok=True)
            Path(name).write_bytes(bytes(size))
    return Evaluation({"score": nas.cost_of(arch).params + (budget.epochs or 0) / 100})


class _Sizes:
    """A recorder that notes after each trial what the files take."""

    def __init__(self, run: Path) -> None:
        self.run, self.kib = run, list[int]()

    def begin(self, study: Study) -> None: ...

    def proposed(self, study: Study, running: int) -> None: ...

    def paused(self, study: Study, trial: Trial) -> None:
        files = [*self.run.glob("weights/*"), *self.run.glob("checkpoints/*")]
        self.kib.append(sum(path.stat().st_size for path in files) // _KIB)

    ended = paused

    def end(self, study: Study) -> None: ...


class _EndsAfter(_Sizes):
    """Breaks a search off after some paused trials."""

    def __init__(self, count: int) -> None:
        super().__init__(Path())
        self.count = count

    def paused(self, study: Study, trial: Trial) -> None:
        self.count -= 1
        assert 1 / self.count


def _search(run: Path, **changes: Any) -> tuple[Study, _Sizes]:
    sizes = _Sizes(run)
    study = nas.run_search(
        nas.SearchSpace.from_dict(SMALL),
        _writes,
        run_dir=run,
        **{
            "recorders": [sizes],
            "trials": 18,
            "sampler": "random",
            "objective": "score",
            "direction": "maximize",
            "pruner": Pruning(name="asha", eta=3),
            "budget": nas.Budget(epochs=9),
            **changes,
        },
    )
    return study, sizes


def test_a_search_keeps_within_it_and_comes_to_the_same(tmp_path: Path) -> None:
    (free, without), (held, within) = _search(tmp_path / "free"), _search(tmp_path / "held", disk_mib=1)
    assert max(without.kib) > 2 * _KIB  # of which there is more to be had
    assert _KIB - 300 < max(within.kib) <= _KIB
    assert [(trial.number, trial.scores) for trial in held.trials] == [
        (trial.number, trial.scores) for trial in free.trials
    ]
    assert held.winner is not None
    assert (tmp_path / "held" / "weights" / f"{held.winner.arch_id}.safetensors").is_file()


def test_a_resumed_search_sees_to_what_an_earlier_session_left(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        _search(tmp_path / "run", recorders=[_EndsAfter(9)])
    assert len([*(tmp_path / "run").glob("checkpoints/*")]) > 2
    study, sizes = _search(tmp_path / "run", trials=12, resume=True, disk_mib=0.3)
    assert max(sizes.kib) <= 307
    assert study.counts()["completed"]


def test_states_go_first_and_the_worst_of_all_before_others(tmp_path: Path) -> None:
    whole, _ = _search(tmp_path / "whole", pruner="none", trials=5, budget=nas.Budget(epochs=1))
    *worse, best = sorted(whole.trials, key=lambda trial: trial.scores["score"])
    assert len(worse) >= 3
    run = tmp_path / "run"
    for folder in ("weights", "checkpoints"):
        (run / folder).mkdir(parents=True)
    for trial in whole.trials:
        (run / "weights" / f"{trial.arch_id}.safetensors").write_bytes(bytes(100 * _KIB))
    waiting = {}
    for number, (rung, score) in enumerate([(1, 5.0), (2, 1.0), (1, 7.0)], start=100):
        (run / "checkpoints" / f"{number}.ckpt").write_bytes(bytes(100 * _KIB))
        waiting[number] = replace(
            worse[0],
            number=number,
            arch_id=f"of {number}",
            state=State.PAUSED,
            first_rung=0,
            steps=tuple((step, (score,)) for step in range(1, rung + 1)),
        )
    (run / "checkpoints" / "200.ckpt").write_bytes(bytes(100 * _KIB))  # of one that runs

    def left(files: int) -> tuple[set[str], set[str]]:
        DiskBudget(run, files * 100 / _KIB, waiting.values()).begin(whole)
        states, weights = ({path.stem for path in (run / name).iterdir()} for name in ("checkpoints", "weights"))
        return states, weights

    names = [str(trial.arch_id) for trial in (*worse, best)]
    assert left(len(names) + 4) == ({"100", "101", "102", "200"}, {*names})
    assert left(len(names) + 3) == ({"101", "102", "200"}, {*names})
    assert left(len(names) + 2) == ({"101", "200"}, {*names})
    assert left(len(names)) == ({"200"}, {*names[1:]})
    assert left(1) == ({"200"}, {names[-1]})  # never the best, nor that of one that runs


def test_it_must_be_more_than_nothing() -> None:
    with pytest.raises(ConfigError, match=r"search.disk_mib must be > 0, but got 0"):
        nas.run_search(nas.SearchSpace.from_dict(SMALL), lambda *_: 1.0, disk_mib=0)
