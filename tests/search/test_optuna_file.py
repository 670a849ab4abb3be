"""A study as a file of Optuna's: what plain Optuna reads from it."""

from __future__ import annotations

from pathlib import Path

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

import nas
from nas.errors import ConfigError
from nas.search.optuna_file import ENDINGS, write_optuna
from nas.search.trial import State
from tests.search.conftest import SMALL


def _score(arch: nas.Architecture, *_: object) -> dict[str, float]:
    return {"val_accuracy": nas.cost_of(arch).params % 97 / 97, "val_loss": nas.cost_of(arch).macs / 1e6}


def _read(path: Path) -> optuna.Study:
    return optuna.load_study(study_name=None, storage=JournalStorage(JournalFileBackend(str(path))))


@pytest.fixture(scope="module")
def limited() -> nas.Study:
    """A study with rejected trials."""
    space = nas.SearchSpace.from_dict(SMALL)
    return nas.run_search(space, _score, trials=20, sampler="tpe", seed=1, constraints={"macs": 4e5})


@pytest.mark.parametrize("ending", ENDINGS)
def test_optuna_finds_the_same_best(limited: nas.Study, tmp_path: Path, ending: str) -> None:
    write_optuna(limited, tmp_path / f"study{ending}")
    read = _read(tmp_path / f"study{ending}")
    assert read.study_name == limited.name
    assert read.metric_names == ["val_accuracy"]
    assert [path.name for path in tmp_path.iterdir()] == [f"study{ending}"], "nothing is left beside it"
    best = limited.best(1)[0]
    assert read.best_value == best.scores["val_accuracy"]
    by_number = {trial.user_attrs["nas.number"]: trial for trial in read.trials}
    assert by_number[best.number].params == dict(best.genotype)
    assert sorted(by_number) == sorted(trial.number for trial in limited.trials)


def test_rejected_trials_break_the_constraint_that_rejects_them(limited: nas.Study, tmp_path: Path) -> None:
    write_optuna(limited, tmp_path / "study.journal")
    rejected = {trial.number: trial for trial in limited.trials if trial.state is State.REJECTED}
    assert rejected
    for read in _read(tmp_path / "study.journal").trials:
        macs = read.user_attrs["macs"]
        # As optuna-dashboard 0.21 has them: a list under this key.
        assert read.system_attrs["constraints"] == [pytest.approx(macs / 4e5 - 1)]
        assert read.user_attrs["constraints"] == {"macs": pytest.approx(macs / 4e5 - 1)}
        assert (read.user_attrs["nas.number"] in rejected) == (macs > 4e5)
        if macs > 4e5:
            assert read.state is TrialState.PRUNED
            assert read.user_attrs["reason"] == rejected[read.user_attrs["nas.number"]].reason


def test_optuna_finds_the_same_front(tmp_path: Path) -> None:
    space = nas.SearchSpace.from_dict(SMALL)
    study = nas.run_search(space, _score, trials=25, seed=2, objective=["val_accuracy", "macs"])
    write_optuna(study, tmp_path / "study.log")
    read = _read(tmp_path / "study.log")
    assert [direction.name for direction in read.directions] == ["MAXIMIZE", "MINIMIZE"]
    front = {study.values(trial) for trial in study.front()}
    assert {tuple(trial.values) for trial in read.best_trials} == front


def test_curves_are_intermediate_values(tmp_path: Path) -> None:
    def climbing(*_: object) -> float:
        for epoch in (1, 2, 3):
            nas.report(epoch, {"val_accuracy": epoch / 10})
        return 0.3

    space = nas.SearchSpace.from_dict(SMALL)
    study = nas.run_search(space, climbing, trials=2, seed=0)
    write_optuna(study, tmp_path / "study.log")
    for read in _read(tmp_path / "study.log").trials:
        assert read.intermediate_values == {1: 0.1, 2: 0.2, 3: 0.3}


def test_a_failed_trial_is_one(tmp_path: Path) -> None:
    def fails(arch: nas.Architecture, *_: object) -> float:
        raise ValueError("<b>no</b>")

    study = nas.run_search(nas.SearchSpace.from_dict(SMALL), fails, trials=1, seed=0)
    write_optuna(study, tmp_path / "study.log")
    read = _read(tmp_path / "study.log").trials[0]
    assert read.state is TrialState.FAIL
    assert "<b>no</b>" in read.user_attrs["reason"]


def test_a_file_of_another_kind_is_refused(limited: nas.Study, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"must end with .journal or .log, but got 'study\.csv'"):
        write_optuna(limited, tmp_path / "study.csv")


def test_a_file_that_is_there_is_kept(limited: nas.Study, tmp_path: Path) -> None:
    (tmp_path / "study.log").write_text("mine")
    with pytest.raises(ConfigError, match="is there already"):
        write_optuna(limited, tmp_path / "study.log")
    assert (tmp_path / "study.log").read_text() == "mine"
