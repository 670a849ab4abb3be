"""What the end of a search shows."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.console import Console

import nas
from nas.search.progress import print_best
from nas.search.study import Study
from nas.search.trial import State
from tests.search.conftest import SMALL


def _study(trials: int, objective: str | list[str] = "val_accuracy") -> Study:
    space = nas.SearchSpace.from_dict(SMALL)
    return nas.run_search(
        space, lambda arch, budget, seed: float(arch.arch_id[0] < "8"), trials=trials, objective=objective
    )


def _shown(study: Study) -> str:
    console = Console(file=io.StringIO(), soft_wrap=True, markup=False, emoji=False)
    print_best(console, study)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize(
    ("objective", "text"),
    [
        ("val_accuracy", "The best was selected out of 7 by this very val_accuracy on the validation split, which is"),
        (["val_accuracy", "macs"], "They were selected out of 7 by this very val_accuracy on the validation split"),
    ],
)
def test_the_scores_of_the_best_are_marked_as_selected(objective: str | list[str], text: str) -> None:
    lines = _shown(_study(7, objective)).splitlines()
    assert [line for line in lines if line.startswith(text)] == [lines[-1]]
    assert "optimistic" in lines[-1]


def test_pruned_candidates_were_tried_too_and_proxies_have_no_validation() -> None:
    study = _study(6)
    study.trials[0] = replace(study.trials[0], state=State.PRUNED)
    study.trials[1] = replace(study.trials[1], state=State.FAILED)
    study.notes["config"] = {"evaluator": {"name": "proxy"}}
    assert "selected out of 5 by this very val_accuracy, which" in _shown(study)
    assert "selected" not in _shown(_study(1))
