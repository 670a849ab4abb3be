"""What of run folders can be removed, and that nothing else is."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

import nas
from nas.checkpoint_files import fold_checkpoint
from nas.cleaning import files_of
from nas.commands.clean import main
from nas.evaluation import Evaluation
from nas.run_folder import hold
from nas.search.budgets.pruning import Pruning
from nas.search.study import Study
from tests.search.conftest import SMALL

_MIB = 2**20


def _writes(arch: nas.Architecture, budget: nas.Budget, seed: int) -> Evaluation:
    """Leave a MiB of weights and half a MiB of a state; more parameters are better."""
    for name, size in ((budget.weights, _MIB), (budget.checkpoint, _MIB // 2)):
        if name is not None:
            Path(name).parent.mkdir(exist_ok=True)
            Path(name).write_bytes(bytes(size))
    return Evaluation({"score": float(nas.cost_of(arch).params)})


def _search(run: Path, **changes: Any) -> Study:
    usual: dict[str, Any] = {"trials": 8, "sampler": "random", "objective": "score", "direction": "maximize", "keep": 4}
    return nas.run_search(nas.SearchSpace.from_dict(SMALL), _writes, run_dir=run, **{**usual, **changes})


def _files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def _weights(study: Study, count: int) -> set[str]:
    """Return the files of the best networks, by a rule of its own."""
    trained = {str(trial.arch_id): trial.scores["score"] for trial in study.trials if trial.scores}
    return {f"weights/{name}.safetensors" for name in sorted(trained, key=lambda name: -trained[name])[:count]}


class _BrokenError(Exception):
    pass


class _EndsAfter:
    """A recorder that breaks a search off after some paused trials."""

    def __init__(self, count: int) -> None:
        self.count = count

    def begin(self, study: Study) -> None: ...

    def proposed(self, study: Study, running: int) -> None: ...

    def paused(self, study: Study, trial: object) -> None:
        self.count -= 1
        if not self.count:
            raise _BrokenError

    def ended(self, study: Study, trial: object) -> None: ...

    def end(self, study: Study) -> None: ...


@pytest.mark.parametrize("keep", [0, 1, 3, 9])
def test_the_best_networks_of_a_search_keep_their_weights(
    keep: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study = _search(tmp_path / "run")
    before = _files(tmp_path / "run")
    assert len(_weights(study, 4) & before) == 4
    assert main([str(tmp_path / "run"), "--keep", str(keep)]) == 0
    assert _files(tmp_path / "run") == before  # it was only listed
    listed = capsys.readouterr().out
    assert main([str(tmp_path / "run"), "--keep", str(keep), "--yes"]) == 0
    assert before - _files(tmp_path / "run") == _weights(study, 4) - _weights(study, keep)
    gone = max(0, 4 - keep)
    words = {0: "all networks", 1: "all networks but the best", 3: "all networks but the best 3"}
    listed_weights = f"{gone}.0 MiB in {gone} file{'s' * (gone != 1)}: weights of {words.get(keep)}\n"
    assert (listed_weights in listed) == bool(gone)
    assert ("Nothing was removed: --yes does that" in listed) == bool(gone)
    assert files_of(tmp_path / "run", keep=keep).unneeded == ()


def test_with_several_objectives_the_knee_comes_first(tmp_path: Path) -> None:
    study = _search(tmp_path / "run", objective=["score", "params"], direction=["maximize", "minimize"])
    assert study.winner is not None
    assert len(study.front()) > 2
    assert study.winner is not study.best(1)[0]
    assert main([str(tmp_path / "run"), "--yes"]) == 0
    assert {path.stem for path in (tmp_path / "run" / "weights").iterdir()} == {study.winner.arch_id}


def test_states_of_what_can_go_on_stay_unless_asked_for(tmp_path: Path) -> None:
    run = tmp_path / "run"
    halving = {"pruner": Pruning(name="asha", eta=3), "budget": nas.Budget(epochs=9)}
    with pytest.raises(_BrokenError):
        _search(run, recorders=[_EndsAfter(4)], **halving)
    waiting = {name for name in _files(run) if name.endswith(".ckpt")}
    assert len(waiting) >= 2
    of_a_fold = fold_checkpoint(run / next(iter(waiting)), 2)
    of_a_fold.write_bytes(b"of a fold that goes on, too")
    waiting.add(str(of_a_fold.relative_to(run)))
    for trial in ("999.ckpt", "999.fold2.ckpt"):
        (run / "checkpoints" / trial).write_bytes(b"of no trial")
    assert main([str(run), "--yes", "--keep", "9"]) == 0
    assert {name for name in _files(run) if name.endswith(".ckpt")} == waiting
    assert main([str(run), "--yes", "--states"]) == 0
    assert not any(name.endswith(".ckpt") for name in _files(run))
    assert _search(run, resume=True, **halving).counts()["completed"]  # what is gone is trained again


def test_what_a_run_removes_meanwhile_ends_no_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _search(tmp_path / "x")
    before, lstat = files_of(tmp_path / "x"), Path.lstat
    (tmp_path / "x" / ".report.html.partial").write_bytes(bytes(100))

    def gets_its_name(path: Path) -> os.stat_result:
        if path.name.endswith(".partial"):
            path.unlink()
        return lstat(path)

    monkeypatch.setattr(Path, "lstat", gets_its_name)
    assert files_of(tmp_path / "x") == before


def test_a_finish_keeps_one_seed_of_each_network_once_it_is_reported(tmp_path: Path) -> None:
    _search(tmp_path / "run", keep=1)
    weights = tmp_path / "run" / "finish" / "weights"
    weights.mkdir(parents=True)
    for name in ("a1", "a2", "a3", "b1", "b2", "other"):
        (weights / f"{name}.safetensors").write_bytes(bytes(10))
    assert files_of(tmp_path / "run").unneeded == ()  # it is not known yet which are scored
    final = {
        "winner": {"weights": ["a1.safetensors", "a2.safetensors", "a3.safetensors"]},
        "published": {"weights": ["b1.safetensors", "b2.safetensors"]},
        "random": {"weights": []},
    }
    (tmp_path / "run" / "finish" / "report.json").write_text(json.dumps({"final": final}))
    assert main([str(tmp_path / "run"), "--yes"]) == 0
    assert {path.stem for path in weights.iterdir()} == {"a1", "b1", "other"}


def test_all_runs_of_a_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("one", "two"):
        _search(tmp_path / "runs" / name, trials=3)
    (tmp_path / "runs" / "training").mkdir()
    (tmp_path / "runs" / "training" / "seed3.ckpt").write_bytes(bytes(_MIB))
    (tmp_path / "runs" / "training" / "settings.json").write_text('{"job": {}}')
    with hold(tmp_path / "runs" / "two", "search"):
        assert main(["--yes"]) == 0
    shown = capsys.readouterr().out
    assert "runs/two: 3." in shown
    assert "MiB; left alone: it runs" in shown
    assert "runs/training: 1.0 MiB\n" in shown
    assert shown.splitlines()[-1].startswith("Removed 2.0 MiB of ")
    assert len([*tmp_path.glob("runs/one/weights/*")]) == 1
    assert len([*tmp_path.glob("runs/two/weights/*")]) == 3
    assert (tmp_path / "runs" / "training" / "seed3.ckpt").exists()
    assert main(["runs/training", "--states", "--yes"]) == 0
    assert not (tmp_path / "runs" / "training" / "seed3.ckpt").exists()


def test_what_cannot_be_read_or_leads_elsewhere_is_left_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study = _search(tmp_path / "broken")
    (tmp_path / "broken" / "study.json").write_text("{}")
    assert main([str(tmp_path / "broken"), "--yes"]) == 0
    assert "left alone: " in capsys.readouterr().out
    assert len(_weights(study, 4) & _files(tmp_path / "broken")) == 4
    precious = tmp_path / "precious.safetensors"
    precious.write_bytes(bytes(10))
    _search(tmp_path / "finished", keep=1)
    (tmp_path / "finished" / "finish" / "weights").mkdir(parents=True)
    final = {"winner": {"weights": ["a", "../../../precious.safetensors", str(precious)]}}
    (tmp_path / "finished" / "finish" / "report.json").write_text(json.dumps({"final": final}))
    assert main([str(tmp_path / "finished"), "--yes"]) == 0
    assert precious.exists()
    (tmp_path / "finished" / "weights" / "link").symlink_to(precious)
    before = _files(tmp_path / "finished")
    assert main([str(tmp_path / "finished"), "--yes", "--keep", "0"]) == 0
    assert precious.exists()
    assert _files(tmp_path / "finished") == before
    assert "link' is a link or no plain file" in capsys.readouterr().out


def test_what_no_run_has_made_stays(tmp_path: Path) -> None:
    """Whoever trains has files that end so, and folders that are called so."""
    run, other, training = tmp_path / "run", tmp_path / "other", tmp_path / "training"
    study = _search(run, keep=1)
    names = ("checkpoints/epoch=3.ckpt", "checkpoints/last.ckpt", "seed42.ckpt", "seedlings.ckpt")
    for folder in (run, other, training):
        for name in names:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(b"mine")
    (run / "checkpoints" / "3.ckpt").write_bytes(b"of a trial")
    (training / "settings.json").write_text('{"job": {}, "run_id": "0"}')
    (other / "settings.json").write_text('{"editor": "dark"}')
    # A record that was edited names files of the run itself.
    (run / "model").mkdir()
    (run / "model" / "model.safetensors").write_bytes(b"ships")
    (run / "finish" / "weights").mkdir(parents=True)
    named = ["a", str(run / "trials.jsonl"), "../report.json", str(run / "model" / "model.safetensors")]
    (run / "finish" / "report.json").write_text(json.dumps({"final": {"winner": {"weights": named}}}))
    before = {folder: _files(folder) for folder in (run, other, training)}
    assert main([*map(str, before), "--states", "--yes"]) == 0
    assert study.winner is not None
    gone = {folder: files - _files(folder) for folder, files in before.items()}
    assert gone == {run: {"checkpoints/3.ckpt"}, other: set(), training: {"seed42.ckpt"}}
    assert not (other / "lock").exists()


def test_one_that_cannot_be_cleaned_keeps_none_of_the_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "b"):
        _search(tmp_path / name, trials=3)
    unlink = Path.unlink

    def refused(path: Path, missing_ok: bool = False) -> None:
        if path.parent == tmp_path / "a" / "weights":
            raise PermissionError(13, "Permission denied")
        unlink(path, missing_ok=missing_ok)

    monkeypatch.setattr(Path, "unlink", refused)
    assert main([str(tmp_path / "a"), str(tmp_path / "b"), "--yes", "--json"]) == 2
    shown = json.loads(capsys.readouterr().out)
    assert shown["removed_bytes"] == 2 * _MIB
    assert "cannot be removed: Permission denied" in shown["error"]
    assert len([*(tmp_path / "b" / "weights").iterdir()]) == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nowhere"], "nas.clean: there is no folder nowhere\n"),
        (["--records", "nowhere"], "nas.clean: there is no folder nowhere; --records names the folder of the runs\n"),
    ],
)
def test_what_is_not_there_is_said(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    assert capsys.readouterr().err == said


def test_a_number_to_keep_is_0_or_more(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["--keep", "-1"])
    assert "must be a whole number of 0 or more, but got '-1'" in capsys.readouterr().err
