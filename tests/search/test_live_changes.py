"""A search with processes of its own is changed by another process, and killed in between."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import nas
from nas.search.log import read_trials
from nas.search.steering import steer
from nas.search.trial import State
from nas.seeds import derived_seed

SCRIPT = """
import sys
import nas
from tests.search.conftest import SMALL
from tests.workers.elsewhere import Waiting

if __name__ == "__main__":
    folder, resume = sys.argv[1:]
    nas.run_search(
        nas.SearchSpace.from_dict(SMALL), Waiting(folder), run_dir=folder + "/run", workers=1, trials=5, seed=0,
        objective="val_accuracy", sampler="random", resume=resume == "resume",
    )
"""


def _start(folder: Path, how: str) -> subprocess.Popen[bytes]:
    script = folder / "script.py"
    script.write_text(SCRIPT)
    root = str(Path(nas.__file__).parents[1])
    return subprocess.Popen([sys.executable, str(script), str(folder), how], env={**os.environ, "PYTHONPATH": root})


def _until(done: Callable[[], bool]) -> None:
    until = time.monotonic() + 100
    while not done():
        assert time.monotonic() < until
        time.sleep(0.05)


@pytest.mark.slow
def test_more_workers_and_a_failed_trial_again_through_a_kill(tmp_path: Path) -> None:
    def file(what: str, number: int) -> Path:
        return tmp_path / f"{what}-{derived_seed(0, number, 'evaluation')}"

    def begun(*numbers: int) -> None:
        _until(lambda: all(file("begun", number).exists() for number in numbers))

    run = tmp_path / "run"
    driver = _start(tmp_path, "begin")
    try:
        begun(0)
        steer(run, {"workers": 3})
        begun(1, 2)
        file("fail", 1).touch()
        _until(lambda: [trial.state for trial in read_trials(run)] == [State.FAILED])
        begun(3)
        steer(run, {"rerun": "failed"})
        file("end", 0).touch()
        begun(4)  # which runs trial 1 again
        assert [trial.number for trial in read_trials(run)] == [1, 0]
    finally:
        driver.kill()  # as the machine going down: nothing of what runs is on record
        driver.wait()
    for number in range(20):
        file("end", number).touch()
    assert _start(tmp_path, "resume").wait(100) == 0
    trials = read_trials(run)
    (again,) = [trial for trial in trials if trial.rerun_of is not None]
    (failed,) = [trial for trial in trials if trial.state is State.FAILED]
    assert (again.rerun_of, again.state) == (failed.number, State.COMPLETED) == (1, State.COMPLETED)
    assert again.genotype == failed.genotype
    assert [trial.state for trial in trials if trial is not failed].count(State.COMPLETED) == 5
    assert [json.loads(line).keys() - {"check"} for line in (run / "steering.jsonl").read_text().splitlines()] == [
        {"workers"},
        {"rerun"},
    ]
