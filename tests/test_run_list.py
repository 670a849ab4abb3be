"""`nas runs` and `nas steer`: how runs stand, and other ends of one that runs."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

import nas
from nas.commands import runs, steer
from nas.run_folder import hold
from nas.run_list import RunState, runs_in
from nas.search.steering import current_workers
from nas.search.study import Study
from tests.search.conftest import SMALL


def _score(architecture: nas.Architecture, budget: nas.Budget, seed: int) -> nas.Evaluation:
    return nas.Evaluation({"score": float(nas.cost_of(architecture).params)})


def _search(run: Path, **changes: Any) -> Study:
    usual: dict[str, Any] = {"trials": 4, "sampler": "random", "objective": "score", "direction": "maximize"}
    usual["notes"] = {"config": {"search": {"trials": 4, "minutes": None}}}
    return nas.run_search(nas.SearchSpace.from_dict(SMALL), _score, run_dir=run, workers=0, **{**usual, **changes})


class _Stops:
    """A recorder that interrupts a search, or breaks it off, after its first trial."""

    def __init__(self, error: type[BaseException]) -> None:
        self.error = error

    def begin(self, study: Study) -> None: ...

    def proposed(self, study: Study, running: int) -> None: ...

    def paused(self, study: Study, trial: nas.Trial) -> None: ...

    def ended(self, study: Study, trial: nas.Trial) -> None:
        raise self.error

    def end(self, study: Study) -> None: ...


def _only(records: Path) -> Any:
    (found,) = runs_in(records)
    return found


def test_a_search_that_has_ended(tmp_path: Path) -> None:
    study = _search(tmp_path / "a")
    found = _only(tmp_path)
    assert (found.kind, found.state, found.note) == ("search", RunState.ENDED, "4 trials done")
    assert found.trials == {"completed": 4}
    assert found.best["score"] == max(trial.scores["score"] for trial in study.trials)
    assert study.trials[found.best["trial"]].scores["score"] == found.best["score"]
    assert found.finish == ""
    assert found.changed == pytest.approx(os.stat(tmp_path / "a" / "end.json").st_mtime)


def test_a_search_that_was_interrupted_and_goes_on(tmp_path: Path) -> None:
    study = _search(tmp_path / "a", recorders=[_Stops(KeyboardInterrupt)])
    assert study.interrupted
    found = _only(tmp_path)
    assert (found.state, found.note, found.trials["completed"]) == (RunState.CAN_GO_ON, "interrupted", 1)
    _search(tmp_path / "a", resume=True)
    assert _only(tmp_path).state is RunState.ENDED


def test_a_search_out_of_its_minutes_can_go_on(tmp_path: Path) -> None:
    _search(tmp_path / "a", minutes=1e-6)
    assert _only(tmp_path).state is RunState.CAN_GO_ON


def test_a_search_that_was_killed_is_cut_off_and_one_that_runs_is_running(tmp_path: Path) -> None:
    _search(tmp_path / "a")
    (tmp_path / "a" / "end.json").unlink()
    assert _only(tmp_path).state is RunState.CUT_OFF
    with hold(tmp_path / "a", "search"):
        assert _only(tmp_path).state is RunState.RUNNING


def test_a_search_that_broke_off_says_why(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        _search(tmp_path / "a", recorders=[_Stops(ZeroDivisionError)])
    found = _only(tmp_path)
    assert found.state is RunState.CAN_GO_ON
    assert "ZeroDivisionError" in found.note


def test_the_finish_of_a_search(tmp_path: Path) -> None:
    _search(tmp_path / "a")
    with hold(tmp_path / "a", "search or a finish of one"):
        assert (_only(tmp_path).state, _only(tmp_path).finish) == (RunState.ENDED, "running")
    (tmp_path / "a" / "finish").mkdir()
    assert _only(tmp_path).finish == "cut off"
    (tmp_path / "a" / "finish" / "report.json").write_text("{}")
    assert _only(tmp_path).finish == "ended"


def test_runs_of_other_kinds_in_the_order_of_their_records(tmp_path: Path) -> None:
    files = {
        "train": ("settings.json", "seeds.jsonl", "train.json"),
        "cut": ("settings.json", "seeds.jsonl"),
        "compare": ("settings.json", "curves.csv", "report.md"),
        "spaces": ("settings.json", "spaces.json", "report.md"),
        "scale": ("settings.json",),
        "diagnosis": ("settings.json", "diagnosis.json", "diagnosis.html"),
    }
    for place, (name, inside) in enumerate(files.items()):
        (tmp_path / name).mkdir()
        for file in inside:
            (tmp_path / name / file).write_text("{}")
            os.utime(tmp_path / name / file, (1000.0 + place, 1000.0 + place))
    (tmp_path / "pictures").mkdir()
    (tmp_path / "mlflow.db").touch()
    assert [(run.folder.name, run.kind, run.state.value, run.changed) for run in runs_in(tmp_path)] == [
        ("train", "training", "ended", 1000.0),
        ("cut", "training", "cut off", 1001.0),
        ("compare", "comparison", "ended", 1002.0),
        ("spaces", "comparison of spaces", "ended", 1003.0),
        ("scale", "scaling study", "cut off", 1004.0),
        ("diagnosis", "diagnosis", "ended", 1005.0),
    ]


def test_a_folder_that_may_not_be_read_is_shown_beside_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Root may read all, and so this is made up."""
    _search(tmp_path / "a")
    (tmp_path / "b").mkdir()
    is_file = Path.is_file

    def refused(path: Path) -> bool:
        if path.parent == tmp_path / "b":
            raise PermissionError(13, "Permission denied", str(path))
        return is_file(path)

    monkeypatch.setattr(Path, "is_file", refused)
    first, second = runs_in(tmp_path)
    assert (first.folder.name, first.state) == ("b", RunState.UNREADABLE)
    assert first.note == f"{tmp_path}/b/study.json: Permission denied"
    assert (second.folder.name, second.state) == ("a", RunState.ENDED)
    assert runs.main(["--records", str(tmp_path)]) == 0
    assert "Permission denied" in capsys.readouterr().out


@pytest.mark.parametrize("text", ["", "[]", "{", '{"format": "nas.study/1"}', '{"format": 3}'])
def test_a_damaged_record_is_shown_beside_the_others(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _search(tmp_path / "good")
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "study.json").write_text(text)
    assert {run.folder.name: run.state.value for run in runs_in(tmp_path)} == {"good": "ended", "bad": "unreadable"}
    assert runs.main(["--records", str(tmp_path)]) == 0
    assert "bad: search unreadable" in capsys.readouterr().out


def test_what_the_command_prints(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    study = _search(tmp_path / "runs" / "a", recorders=[_Stops(KeyboardInterrupt)])
    assert runs.main([]) == 0
    first, second, third = capsys.readouterr().out.splitlines()
    best = max(trial.scores["score"] for trial in study.trials if trial.scores)
    assert first.startswith("runs/a: search can go on, 1 completed, ")
    assert f"best score {best:.4f}, " in first
    assert (second, third) == ("  interrupted", "  nas search resume=runs/a goes on with it")
    assert runs.main(["--json"]) == 0
    (run,) = json.loads(capsys.readouterr().out)["runs"]
    assert (run["kind"], run["state"], run["trials"]["completed"]) == ("search", "can go on", 1)
    assert runs.main(["--records", "nowhere"]) == 2
    assert capsys.readouterr().err == "nas.runs: there is no folder nowhere; --records names the folder of the runs\n"
    (tmp_path / "none").mkdir()
    assert runs.main(["--records", "none"]) == 0
    assert capsys.readouterr().out == "No runs in none.\n"


def test_steering_by_the_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    _search(tmp_path / "a")
    with hold(tmp_path / "a", "search"):
        assert steer.main(["a", "trials=+50", "search.minutes=7.5"]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert lines == [
            "a: search.trials=54 (was 4); the search takes it within seconds",
            "a: search.minutes=7.5 (was null); the search takes it within seconds",
        ]
        assert steer.main(["a", "trials=-4", "--json"]) == 0
        facts = json.loads(capsys.readouterr().out)
        assert (facts["before"], facts["changes"]) == ({"trials": 54}, {"trials": 50})


def test_workers_and_failed_trials_by_the_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(architecture: nas.Architecture, budget: nas.Budget, seed: int) -> float:
        raise ValueError("no")

    monkeypatch.chdir(tmp_path)
    config = {"search": {"trials": 4, "minutes": None}, "workers": 2, "executor": {"name": "local"}}
    nas.run_search(nas.SearchSpace.from_dict(SMALL), fails, trials=4, run_dir="a", notes={"config": config})
    with hold(tmp_path / "a", "search"):
        assert steer.main(["a", "workers=+3", "rerun=1,0"]) == 0
        assert capsys.readouterr().out.splitlines() == [
            "a: workers=5 (was 2); the search takes it within seconds",
            "a: rerun=1,0; the search takes it within seconds",
        ]
        assert steer.main(["a", "workers=100000"]) == 2
        assert "processes on this machine" in capsys.readouterr().err
        assert current_workers(tmp_path / "a") == 5
    assert steer.main(["a", "rerun=failed", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["before"], facts["changes"]) == ({}, {"rerun": [2, 3]})
    assert steer.main(["a", "rerun=failed"]) == 2
    assert "no trial in a has failed that is not run again already" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["trials"], "'trials' is no change; write NAME=VALUE, such as trials=+50"),
        (["trials=many"], "trials must be a number, with a sign to be added, or null, but got 'many'"),
        (["trials=nan"], "search.trials must be a whole number, but got nan"),
        (["minutes=+5"], "minutes=+5: its record does not say what minutes is now"),
        (["trails=5"], "trails is no setting of a search"),
        (["keep=5"], "keep cannot be changed while it runs: trials, minutes, patience, max_rejections, workers, rerun"),
        (["workers=5"], "no search runs in a; `nas search resume=a workers=5` goes on with it"),
        (["workers=0"], "workers must be >= 1, but got 0"),
        (["workers=+1"], "workers=+1: its record does not say what workers is now"),
        (["rerun=all"], "rerun must be failed or numbers of trials, such as rerun=12,15, but got 'all'"),
        (["rerun=+1"], "rerun must be failed or numbers of trials"),
        (["rerun=failed"], "rerun=failed: no trial in a has failed"),
        (["rerun=0"], "trial 0 is completed, but only what has failed is run again: none has"),
        (["trials=9"], "no search runs in a; `nas search resume=a search.trials=9` goes on with it"),
    ],
)
def test_steering_that_cannot_be_done(
    words: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    _search(tmp_path / "a")
    assert steer.main(["a", *words]) == 2
    assert message in capsys.readouterr().err
