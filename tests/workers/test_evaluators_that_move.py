"""An evaluator may change the current folder, and fork: neither is the search's business."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import nas
from nas.workers.evaluating import Outcome, only_in_this_process
from nas.workers.in_process import InThisProcess
from nas.workers.processes import WorkerPool
from tests.search.trouble import Forking


@pytest.mark.parametrize("pruner", ["none", "asha"])
@pytest.mark.parametrize("goes", ["first", "always"])
def test_an_evaluator_that_changes_the_folder_loses_nothing(
    space: nas.SearchSpace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, goes: str, pruner: str
) -> None:
    """`always` may be to another folder each time, as of a temporary one."""
    monkeypatch.chdir(tmp_path)
    calls: list[int] = []

    def evaluate(arch: nas.Architecture, budget: nas.Budget, seed: int) -> float:
        if goes == "always" or not calls:
            folder = tmp_path / f"other{len(calls)}"
            folder.mkdir()
            os.chdir(folder)
        calls.append(seed)
        if budget.checkpoint is not None:
            Path(budget.checkpoint).write_text("state")
        return nas.cost_of(arch).params / 1e6

    budget = nas.Budget(epochs=9)
    study = nas.run_search(space, evaluate, trials=5, run_dir="runs/a", seed=0, budget=budget, pruner=pruner)
    assert len((tmp_path / "runs/a/trials.jsonl").read_text().splitlines()) >= 5
    assert not list(tmp_path.glob("other*/*"))
    monkeypatch.chdir(tmp_path)
    again = nas.run_search(
        space, evaluate, trials=5, run_dir="runs/a", seed=0, budget=budget, pruner=pruner, resume=True
    )
    scores = [{trial.number: trial.scores for trial in one.trials} for one in (again, study)]
    assert scores[0] == scores[1]


@pytest.mark.parametrize("how", ["returns", "raises", "leaves", "reports"])
@pytest.mark.parametrize("workers", [0, 1])
def test_a_forked_child_that_comes_back_gives_no_answer(
    space: nas.SearchSpace, tmp_path: Path, workers: int, how: str
) -> None:
    """The child comes first: its parent waits for it, and has the score 1."""
    mark = tmp_path / "parents"
    study = nas.run_search(
        space, Forking(how, str(mark)), trials=3, workers=workers, seed=0, sampler="random", run_dir=tmp_path / "run"
    )
    assert [trial.scores for trial in study.trials if trial.trained] == [{"val_accuracy": 1.0}] * 3
    assert len((tmp_path / "run" / "trials.jsonl").read_text().splitlines()) == len(study.trials)
    codes = [int(line) for line in mark.read_text().split()]
    assert codes == [{"returns": 0, "raises": 1, "leaves": 3, "reports": 0}[how]] * 3


def test_a_child_that_is_forked_in_preparation_is_no_worker() -> None:
    pool = WorkerPool(Forking("prepares", os.devnull), 1)
    try:
        assert pool.describe() == {"name": "parent"}
    finally:
        pool.close()


class _Talks(InThisProcess):
    """Gives answers about trials that nobody has asked for."""

    def wait(self, timeout: float | None) -> list[Outcome]:
        answers = super().wait(timeout)
        return [Outcome(999, None, "of nobody"), *answers, *answers]


def test_an_answer_that_nobody_waits_for_is_left_out(space: nas.SearchSpace) -> None:
    pool = _Talks(lambda arch, budget, seed: 1.0, "val_accuracy")
    study = nas.run_search(space, pool=pool, trials=4, seed=0)
    assert [trial.scores for trial in study.trials if trial.trained] == [{"val_accuracy": 1.0}] * 4


@pytest.mark.parametrize(
    ("left", "code"),
    [
        (None, 0),
        (SystemExit(), 0),
        (SystemExit(3), 3),
        (SystemExit(255), 255),
        (SystemExit("bad"), 1),
        (ValueError(), 1),
    ],
    ids=repr,
)
def test_a_forked_child_ends_with_its_own_exit_code(left: BaseException | None, code: int) -> None:
    with only_in_this_process():
        child = os.fork()
        if child == 0 and left is not None:
            raise left
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == code
