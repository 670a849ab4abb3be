"""k-fold validation through a whole search: trials, records, report, the weights that it keeps, and its finish."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from statistics import mean, stdev

import pytest
from rich.console import Console

import nas
from nas.errors import ConfigError
from nas.evaluators.training import TrainingEvaluator
from nas.exporting.found import card_of_search
from nas.records.trials import record_of
from nas.reports.search_page import search_page
from nas.reports.search_record import read_record
from nas.run_folder import BEST_ARCHITECTURE, weights_file
from nas.search.budgets.pruning import STOPPING, Pruning
from nas.search.config import Config
from nas.search.log import read_trials
from nas.search.reporting.progress import Progress
from nas.search.reporting.summary import print_best
from nas.search.study import Study
from nas.search.trial import State, Trial
from nas.search.trial_files import TrialFiles
from nas.training.data.config import DataConfig
from nas.training.data.load import load_data, load_fold
from nas.training.weights import load_metadata
from tests.training.test_fit import DATA, RECIPE, SPACE

FOLDS = replace(DATA, samples=100, folds=2)
SHORT = replace(RECIPE, epochs=3)


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """A search by successive halving, whose better trial has gone on from the states of its folds."""
    evaluator = TrainingEvaluator(FOLDS, SHORT)
    config = {"data": asdict(FOLDS), "train": asdict(SHORT), "evaluator": {"name": "train"}, "space": "x"}
    return nas.run_search(
        SPACE,
        evaluator,
        trials=2,
        pruner=Pruning(name="successive_halving"),
        budget=nas.Budget(epochs=3),
        sampler="grid",
        seed=1,
        run_dir=tmp_path_factory.mktemp("runs") / "s",
        notes={"config": config, "data": dict(evaluator.prepare())},
    )


def _winner(study: Study) -> Trial:
    assert study.winner is not None
    return study.winner


def test_trials_have_the_scores_of_each_fold(searched: Study) -> None:
    assert searched.folder is not None
    ended = [trial for trial in read_trials(searched.folder) if trial.trained]
    assert {trial.number: trial.folds for trial in ended} == {one.number: one.folds for one in searched.trials}
    for trial in ended:
        assert len(trial.folds) == 2
        for name, score in trial.scores.items():
            assert score == pytest.approx(mean(fold[name] for fold in trial.folds))
    best = _winner(searched)
    assert best.state is State.COMPLETED
    assert [row["epoch"] for row in best.history] == [1, 2, 3]
    # Going on from the states of its folds gives what one training of each does.
    again = TrainingEvaluator(FOLDS, SHORT)(SPACE.decode(best.genotype), nas.Budget(epochs=3), best.seed)
    assert again.folds == best.folds
    assert not [*(searched.folder / "checkpoints").iterdir()]


def test_terminal_mlflow_and_report_say_how_folds_differ(searched: Study) -> None:
    best = _winner(searched)
    deviation = stdev(fold["val_accuracy"] for fold in best.folds)
    metrics = {metric.key: metric.value for metric in record_of(searched, best).values.metrics}
    assert metrics["val_accuracy_sd_of_folds"] == pytest.approx(deviation)
    console = Console(width=250, record=True)
    print_best(console, searched)
    Progress(console, 2, None).ended(searched, best)
    text = console.export_text()
    assert "sd of folds" in text
    assert f"(sd of 2 folds {deviation:.4f})" in text
    assert "the mean over folds, which is" in text
    assert searched.folder is not None
    page = search_page(read_record(searched.folder))
    assert "mean of 2 folds, standard deviation" in page
    assert "val_accuracy, sd of folds" in page


def test_the_weights_that_are_kept_are_those_of_the_first_fold(searched: Study) -> None:
    best = _winner(searched)
    assert searched.folder is not None
    assert best.trained_id is not None
    metadata = load_metadata(weights_file(searched.folder, best.trained_id))
    assert json.loads(metadata["fold"]) == [1, 2]
    architecture = SPACE.decode(best.genotype)
    (searched.folder / BEST_ARCHITECTURE).write_text(architecture.to_json())
    whole, own = card_of_search(searched.folder, architecture).scores
    assert (whole.value, whole.images) == (best.scores["val_accuracy"], load_data(FOLDS).scored_images)
    assert "mean over 2 folds, selected out of 2" in whole.how
    assert (own.value, own.images) == (best.folds[0]["val_accuracy"], len(load_fold(FOLDS, 1).val.labels))
    assert nas.evaluate(searched.folder).scores.accuracy == pytest.approx(own.value)


def test_other_folds_are_another_search(searched: Study) -> None:
    assert searched.folder is not None
    for folds, was in ((0, 2), (3, 2)):
        with pytest.raises(ConfigError, match=rf"resume: folds was {was} in .*, but is now {folds}"):
            nas.run_search(
                SPACE,
                TrainingEvaluator(replace(FOLDS, folds=folds), SHORT),
                trials=3,
                pruner=Pruning(name="successive_halving"),
                budget=nas.Budget(epochs=3),
                sampler="grid",
                seed=1,
                run_dir=searched.folder,
                resume=True,
            )


@pytest.mark.parametrize("pruner", STOPPING)
def test_what_ends_a_training_between_epochs_is_refused(pruner: str) -> None:
    message = rf"pruner={pruner} ends one training between two epochs, but with data.folds=2"
    with pytest.raises(ConfigError, match=message):
        nas.run_search(SPACE, TrainingEvaluator(FOLDS, SHORT), trials=1, pruner=pruner)
    with pytest.raises(ConfigError, match=message):
        Config.from_values({"space": "mbconv", "data": {"folds": 2}, "pruner": {"name": pruner}})


def test_what_trains_nothing_has_no_folds() -> None:
    values = {"space": "mbconv", "data": {"folds": 5}, "evaluator": {"name": "proxy"}, "search": {"objective": "zico"}}
    with pytest.raises(ConfigError, match="is for networks that are trained, which evaluator=proxy does not"):
        Config.from_values(values)
    with pytest.raises(ConfigError, match=r"evaluator\.inherit=best takes weights of a training without one"):
        Config.from_values({"space": "mbconv", "data": {"folds": 5}, "evaluator": {"inherit": "best"}})


def test_a_record_whose_folds_are_no_scores_is_refused(searched: Study) -> None:
    values = json.loads(json.dumps(_winner(searched).to_dict()))
    assert Trial.from_dict(values).folds == _winner(searched).folds
    for folds in ([3], [{"val_loss": "low"}], "none"):
        with pytest.raises((ValueError, TypeError), match="folds"):
            Trial.from_dict({**values, "folds": folds})
    assert "folds" not in replace(_winner(searched), folds=()).to_dict()


def test_states_of_folds_on_their_way_go_with_their_trial(searched: Study, tmp_path: Path) -> None:
    names = ("3.ckpt", "3.fold2.ckpt", "4.ckpt", "4.fold1.ckpt", "13.ckpt")
    for name in names:
        (tmp_path / name).touch()
    waiting = replace(_winner(searched), number=3, state=State.PAUSED)
    files = TrialFiles(tmp_path)
    files.begin([waiting, replace(waiting, number=13)])
    assert {path.name for path in tmp_path.iterdir()} == {"3.ckpt", "3.fold2.ckpt", "13.ckpt"}
    files.ended(waiting)
    assert [path.name for path in tmp_path.iterdir()] == ["13.ckpt"]


@pytest.mark.slow
def test_a_finish_chooses_and_reports_by_folds(searched: Study) -> None:
    assert searched.folder is not None
    report = nas.finish(
        searched.folder, recipe=SHORT, top_k=2, seeds=1, final_seeds=2, baseline="none", workers=1, accelerator="cpu"
    )
    lines = "\n".join(report.lines())
    assert "With data.folds=2, as in the search, a training of a seed is 2, once without each fold" in lines
    final = report.finish.finals[report.finish.recommended]
    for trial in final.trained:
        assert trial.scores["val_accuracy"] == pytest.approx(mean(fold["val_accuracy"] for fold in trial.folds))
        assert len(trial.folds) == 2
    file = searched.folder / "finish" / "weights" / f"{final.shipped.key}.safetensors"
    assert json.loads(load_metadata(file)["fold"]) == [1, 2]
    assert report.model is not None
    scored = nas.evaluate(report.model, DataConfig(**asdict(FOLDS)))
    assert scored.fold == (1, 2)
    assert scored.scores.accuracy == pytest.approx(final.shipped.folds[0]["val_accuracy"], abs=0.02)
    tested = nas.evaluate(report.model, FOLDS, split="test").scores.accuracy
    assert tested == pytest.approx(next(iter(final.tested)).scores["test_accuracy"], abs=0.02)
    card = (report.model / "card.md").read_text()
    assert "each the mean over 2 folds" in card
    assert "trained without fold 1 of 2, and scored on it" in card
