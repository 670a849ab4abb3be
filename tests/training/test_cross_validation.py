"""k-fold validation: trainings without one fold each, what they come to together, and going on with them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import pytest
import torch

import nas
from nas.errors import ConfigError, DataError, TrainingError
from nas.evaluation import Budget, Evaluation, fold_deviation, listening
from nas.evaluators.training import TrainingEvaluator, TrainingProbe
from nas.exporting.card import Card
from nas.seeds import derived_seed
from nas.statistics import proportion_interval
from nas.training import probe
from nas.training.cross_validation import cross_validated
from nas.training.data.load import load_data, load_fold
from nas.training.data.registry import check_recipe
from nas.training.epoch_reports import EpochListener
from nas.training.fit import fit
from nas.training.probe import TrainingTimes
from nas.training.together import train_network
from nas.training.train import TrainedModel, TrainJob, begin, run_job
from nas.training.transfer.settings import Transfer
from nas.training.weights import load_metadata, load_weights
from tests.training.test_fit import ARCH, DATA, RECIPE

FOLDS = replace(DATA, samples=120, folds=3)
SHORT = replace(RECIPE, epochs=2)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> TrainedModel:
    return nas.train(ARCH, FOLDS, SHORT, folder=tmp_path_factory.mktemp("runs") / "folds", seed=7)


def test_scores_are_means_of_trainings_without_one_fold_each(trained: TrainedModel) -> None:
    seeds = [7, derived_seed(7, "fold", 2), derived_seed(7, "fold", 3)]
    alone = [fit(ARCH, load_fold(FOLDS, number), SHORT, seed=seed) for number, seed in enumerate(seeds, start=1)]
    found = trained.evaluation
    assert found.folds == tuple(one.scores for one in alone)
    for name, score in found.scores.items():
        values = [one.scores[name] for one in alone]
        assert score == pytest.approx(mean(values), abs=1e-12)
        assert fold_deviation(found.folds, name) == pytest.approx(stdev(values))
    assert [row["epoch"] for row in found.history] == [1, 2]
    assert found.history[0]["val_loss"] == pytest.approx(mean(one.history[0]["val_loss"] for one in alone))
    assert fold_deviation((), "val_loss") is None


def test_the_folder_of_a_training_has_the_network_of_the_first_fold_and_says_so(trained: TrainedModel) -> None:
    fold, images = load_fold(FOLDS, 1), load_data(FOLDS).scored_images
    metadata = load_metadata(trained.weights)
    assert json.loads(metadata["fold"]) == [1, 3]
    assert json.loads(metadata["mean"]) == list(fold.mean)
    folds = trained.evaluation.folds
    summary = json.loads((trained.folder / "train.json").read_text())
    assert summary["folds"] == {"7": [dict(one) for one in folds]}
    accuracy = trained.evaluation.scores["val_accuracy"]
    low, high = proportion_interval(round(accuracy * images), images)
    main = summary["val_accuracy"]
    assert (main["value"], main["low"], main["high"], main["images"]) == (accuracy, low, high, images)
    assert json.loads((trained.folder / "preprocess.json").read_text())["mean"] == list(fold.mean)
    card = Card.from_dict(json.loads((trained.folder / "card.json").read_text()))
    together, own = card.scores
    assert (together.value, together.images) == (accuracy, images)
    assert "mean over 3 folds" in together.how
    assert (own.value, own.images) == (folds[0]["val_accuracy"], len(fold.val.labels))
    assert "without fold 1 of 3" in own.how
    evaluated = nas.evaluate(trained.folder)
    assert evaluated.scores.accuracy == pytest.approx(folds[0]["val_accuracy"])
    assert evaluated.scores.images == len(fold.val.labels)
    assert (evaluated.fold, evaluated.where) == ((1, 3), "held-out fold 1 of 3")
    # Said of other data, or of as many other folds, it is that fold all the same.
    assert nas.evaluate(trained.folder, replace(FOLDS, folds=0)).scores.images == len(fold.val.labels)
    tested = nas.evaluate(trained.folder, split="test")
    assert (tested.fold, tested.scores.images) == (None, load_data(FOLDS).test_images)


def test_an_exported_model_is_scored_on_its_fold(trained: TrainedModel, tmp_path: Path) -> None:
    nas.export(trained, tmp_path / "model")
    evaluated = nas.evaluate(tmp_path / "model", FOLDS)
    assert evaluated.fold == (1, 3)
    assert evaluated.scores.accuracy == pytest.approx(trained.evaluation.folds[0]["val_accuracy"])


class _KilledError(BaseException):
    """What ends a process."""


class _Watcher:
    """Hears epochs as (fold, epoch), and ends after some."""

    def __init__(self, after: int | None = None) -> None:
        self.heard: list[tuple[float, float]] = []
        self._after = after

    def epoch(self, seed: int, metrics: Mapping[str, float]) -> None:
        self.heard.append((metrics["fold"], metrics["epoch"]))
        if len(self.heard) == self._after:
            raise _KilledError

    def again(self, seed: int, why: str) -> None:
        """Hear nothing."""

    def trained(self, seed: int, evaluation: Evaluation) -> None:
        """Hear nothing."""


@pytest.mark.parametrize(("after", "left"), [(4, [(2, 2), (3, 1), (3, 2)]), (5, [(3, 1), (3, 2)])])
def test_an_interrupted_training_goes_on_with_the_fold_and_the_epoch(
    trained: TrainedModel, tmp_path: Path, after: int, left: list[tuple[float, float]]
) -> None:
    job, folder = TrainJob(architecture=ARCH, data=FOLDS, recipe=SHORT, seed=7), tmp_path / "one"
    folder.mkdir()
    begin(job, folder, {}, resume=False)
    with pytest.raises(_KilledError):
        run_job(job, folder, _Watcher(after))
    watcher = _Watcher()
    begin(job, folder, {}, resume=True)
    model = run_job(job, folder, watcher)
    assert watcher.heard == left
    assert (model.evaluation.scores, model.evaluation.folds) == (trained.evaluation.scores, trained.evaluation.folds)
    assert model.evaluation.history == trained.evaluation.history
    first, second = (load_weights(one.weights) for one in (model, trained))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not [*folder.glob("*.ckpt*")]


def _train(budget: Budget, seed: int = 7) -> Evaluation:
    return train_network(ARCH, FOLDS, SHORT, budget, seed=seed)


def test_a_state_is_gone_on_with_when_there_is_more_budget_and_its_files_are_made_again(
    trained: TrainedModel, tmp_path: Path
) -> None:
    state, weights = tmp_path / "1.ckpt", tmp_path / "weights.safetensors"
    budget = Budget(epochs=2, checkpoint=str(state), weights=str(weights))
    _train(replace(budget, epochs=1, schedule_epochs=2))
    assert [path.name for path in tmp_path.glob("*.ckpt")] == ["1.ckpt"]
    steps = list[int]()

    def count(step: int, scores: Mapping[str, float]) -> bool:
        steps.append(step)
        return False

    with listening(count):
        found = _train(budget)
    assert found.folds == trained.evaluation.folds
    assert steps == [2, 4, 6]  # the second epoch of each
    kept = load_weights(weights)
    weights.unlink()
    steps.clear()
    with listening(count):
        assert _train(budget).folds == found.folds  # as on another machine, to which the state alone has come
    assert steps == []
    again = load_weights(weights)
    assert all(torch.equal(kept[name], again[name]) for name in kept)
    state.write_bytes(state.read_bytes()[:-100])
    with listening(count):
        assert _train(budget).folds == found.folds
    assert len(steps) == 6  # a torn state counts for nothing


def test_a_search_hears_what_an_evaluation_would_give_now_and_may_end_it(trained: TrainedModel) -> None:
    heard = list[tuple[int, Mapping[str, float]]]()

    def hear(step: int, scores: Mapping[str, float]) -> bool:
        heard.append((step, scores))
        return step == 3

    with listening(hear):
        found = _train(Budget(epochs=2))
    assert [step for step, _ in heard] == [1, 2, 3]
    first = trained.evaluation.folds[0]
    assert heard[1][1] == first
    assert found.folds[0] == first
    assert len(found.folds) == 2
    assert heard[2][1]["val_loss"] == pytest.approx(mean([first["val_loss"], found.folds[1]["val_loss"]]))
    assert found.scores == pytest.approx(heard[2][1])


def test_what_a_fold_lacks_the_whole_lacks_and_a_failure_says_where() -> None:
    def train(number: int, budget: Budget, seed: int, hear: EpochListener, after: Any) -> Evaluation:
        if number == 3:
            raise TrainingError("the loss is nan")
        scores = {"val_loss": float(number), "int8_accuracy": 0.5}
        missing = {"int8_accuracy": "no such operation"} if number == 2 else {}
        history = ({"epoch": 1.0, "val_loss": 9.0}, {"epoch": 2.0, "val_loss": 3.0 * number})
        return Evaluation(scores, history[: 3 - number], {"evaluation": float(number)}, missing)

    found = cross_validated(train, 2, Budget(), seed=0, epochs=2, scores=("val_loss",))
    assert found.scores == {"val_loss": 1.5}
    assert found.missing == {"int8_accuracy": "no such operation"}
    assert found.history == ({"epoch": 1.0, "val_loss": 9.0},)
    assert found.seconds == {"evaluation": 3.0}
    with pytest.raises(TrainingError, match="without fold 3 of 4: the loss is nan"):
        cross_validated(train, 4, Budget(), seed=0, epochs=2, scores=("val_loss",))


def test_an_estimate_counts_all_trainings(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def times(architecture: nas.Architecture, data: Any, recipe: Any, **_: Any) -> TrainingTimes:
        seen.append(data.fold)
        return TrainingTimes(1.0, 2.0, 0.5)

    monkeypatch.setattr(probe, "training_times", times)
    found = [TrainingProbe(data, SHORT)(ARCH, Budget(), 0).seconds for data in (FOLDS, replace(FOLDS, folds=0))]
    assert found[1] == {"start_up": 1.0, "train_epoch": 2.0, "validation": 0.5}
    assert found[0] == {name: 3 * value for name, value in found[1].items()}
    assert seen == [(1, 3), None]


def test_what_has_learned_the_images_of_folds_is_refused(trained: TrainedModel, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"evaluator\.inherit=parent takes weights of a training without one"):
        TrainingEvaluator(FOLDS, SHORT, inherit="parent")
    with pytest.raises(ConfigError, match=r"train\.teacher with data\.folds=3"):
        check_recipe(FOLDS, replace(SHORT, teacher=str(trained.folder)))
    begun = Transfer(weights=str(trained.weights))
    message = "were trained on these very data, .* each of the 3 folds"
    with pytest.raises(DataError, match=message):
        nas.train(ARCH, FOLDS, SHORT, folder=tmp_path / "x", transfer=begun)
    with pytest.raises(DataError, match=message):
        TrainingEvaluator(FOLDS, SHORT, transfer=begun).prepare()
    TrainingEvaluator(replace(FOLDS, folds=0), SHORT, transfer=begun).prepare()
    TrainingEvaluator(replace(FOLDS, split_seed=1), SHORT, transfer=begun).prepare()


@pytest.mark.slow
def test_several_processes_train_without_a_fold_as_one_does() -> None:
    found = train_network(ARCH, FOLDS, replace(SHORT, epochs=1), Budget(), seed=7, accelerator="cpu", devices=2)
    alone = train_network(ARCH, FOLDS, replace(SHORT, epochs=1), Budget(), seed=7)
    assert len(found.folds) == 3
    assert found.scores["val_loss"] == pytest.approx(alone.scores["val_loss"], rel=0.2)
