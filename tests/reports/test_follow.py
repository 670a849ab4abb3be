"""A report that is written again and again while its search runs."""

from __future__ import annotations

import json
import shutil
import threading
import time
from pathlib import Path

import pytest

import nas
from nas.commands.report import main
from nas.errors import ConfigError
from nas.reports import follow as following
from nas.reports.follow import follow
from nas.reports.write import REPORT
from nas.run_folder import hold, in_use
from tests.search.conftest import SMALL

_RELOADS = '<meta http-equiv="refresh"'
_PATIENCE_SECONDS = 60


def _wait_for(path: Path, text: str) -> None:
    until = time.monotonic() + _PATIENCE_SECONDS
    while not (path.is_file() and text in path.read_text()):
        assert time.monotonic() < until, f"{path} does not hold {text!r}"
        time.sleep(0.02)


def test_the_page_shows_each_trial_as_it_ends_and_reloads_until_the_search_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "_LOOK_SECONDS", 0.02)
    run, said = tmp_path / "run", list[str]()
    follower = threading.Thread(target=lambda: follow(run, say=said.append), daemon=True)
    scores = iter((0.25, 0.75, 0.5))

    def evaluator(arch: nas.Architecture, budget: nas.Budget, seed: int) -> float:
        score = next(scores)
        if score == 0.25:
            assert in_use(run)
            follower.start()
        else:  # what came of the trial before is on the page while this one is evaluated
            _wait_for(run / REPORT, "best val_accuracy 0.25" if score == 0.75 else "best val_accuracy 0.75")
            assert _RELOADS in (run / REPORT).read_text()
        return score

    nas.run_search(nas.SearchSpace.from_dict(SMALL), evaluator, trials=3, sampler="random", run_dir=run)
    follower.join(_PATIENCE_SECONDS)
    assert not follower.is_alive()
    assert not in_use(run)
    page = (run / REPORT).read_text()
    assert "best val_accuracy 0.75" in page
    assert _RELOADS not in page
    assert said[0].endswith("written anew after each trial until the search ends")
    assert {"1 candidate, best val_accuracy 0.2500", "2 candidates, best val_accuracy 0.7500"} <= set(said)
    assert not list(tmp_path.glob("**/*.tmp"))


def test_a_folder_in_which_nothing_runs_is_not_followed(tmp_path: Path) -> None:
    nas.run_search(
        nas.SearchSpace.from_dict(SMALL), lambda *_: 1.0, trials=1, sampler="random", run_dir=tmp_path / "run"
    )
    for name in ("run", "none"):
        with pytest.raises(ConfigError, match=f"no search runs in .*{name}; without --follow its report is written"):
            follow(tmp_path / name)
    assert not (tmp_path / "run" / REPORT).exists()


def test_a_folder_that_is_removed_meanwhile_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(following, "_LOOK_SECONDS", 0.02)
    (tmp_path / "run").mkdir()
    held = hold(tmp_path / "run", "search")  # of a search that has not begun

    def remove() -> None:
        time.sleep(0.2)
        shutil.rmtree(tmp_path / "run")

    thread = threading.Thread(target=remove)
    thread.start()
    assert main([str(tmp_path / "run"), "--follow", "--json"]) == 2
    thread.join()
    held.release()
    assert "ended before it had begun, or its folder is gone" in json.loads(capsys.readouterr().out)["error"]
