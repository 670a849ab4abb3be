"""What holds of every registered task: it learns, its scores are scikit-learn's, and what ships says the same."""

from __future__ import annotations

import json
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn import metrics

import nas
from nas.errors import ConfigError, DataError
from nas.exporting.folder import about_network, onnx_models
from nas.exporting.predict import open_model
from nas.exporting.predict import predict as predictions
from nas.training.data.batches import Batches
from nas.training.data.config import DataConfig
from nas.training.data.load import load_data
from nas.training.data.splits import ImageData
from nas.training.fit import fit
from nas.training.preprocess import preprocess_of
from nas.training.recipe import Recipe
from nas.training.task import TaskModule
from nas.training.tasks.registry import TASKS
from nas.training.tasks.task import Alone, Scale, Task
from nas.training.weights import trained_network, weights_of
from tests.run_command import run
from tests.training.tasks.pictures_with_targets import SIDE, folder_for

NETWORK = {
    "assume": {"channels": 3, "resolution": SIDE, "num_classes": 3},
    "stem": {"block": "conv", "out_channels": {"choose": [8, 12]}, "stride": 2},
    "stages": [{"block": "conv", "out_channels": {"choose": [8, 12]}, "kernel": {"choose": [1, 3]}}],
    "head": {"block": "classifier"},
}
DENSE_NETWORK = {
    **NETWORK,
    "stem": {"block": "conv", "out_channels": {"choose": [8, 12]}},
    "head": {"block": "pixel_classifier"},
}
RECIPE = Recipe(epochs=5, batch_size=16, lr=0.02)


@pytest.fixture(scope="module", params=[*TASKS])
def config(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> DataConfig:
    return folder_for(request.param, tmp_path_factory.mktemp("data") / request.param)


@pytest.fixture(scope="module")
def data(config: DataConfig) -> ImageData:
    return load_data(config)


def _network(data: ImageData) -> nas.Architecture:
    values = DENSE_NETWORK if data.task.dense else NETWORK
    space = nas.SearchSpace.from_dict(values).for_data(data.input_shape, data.num_classes)
    return space.decode(space.sample(seed=0))


def test_what_learns_can_be_sent_to_other_processes(data: ImageData) -> None:
    module = TaskModule(nas.build(_network(data)), RECIPE, task=data.task, scale=data.scale)
    sent = pickle.loads(pickle.dumps(module))
    (inputs, targets), *_ = Batches(data.train, data, 8, data.input_shape)
    for one in (module, sent):
        one.eval().on_validation_epoch_start()
        with torch.no_grad():
            one.validation_step((inputs, targets), 0)
    assert sent._val.scores(Alone()) == module._val.scores(Alone())


def _theirs(task: str, answers: Any, targets: Any) -> dict[str, float]:
    if task == "classification":
        named = answers.argmax(1)
        return {
            "accuracy": metrics.accuracy_score(targets, named),
            "balanced_accuracy": metrics.balanced_accuracy_score(targets, named),
            "macro_f1": metrics.f1_score(targets, named, average="macro"),
        }
    if task == "multilabel":
        said = answers > 0.5
        return {
            "mean_average_precision": metrics.average_precision_score(targets, answers, average="macro"),
            "micro_f1": metrics.f1_score(targets, said, average="micro"),
            "macro_f1": metrics.f1_score(targets, said, average="macro"),
            "exact_match": metrics.accuracy_score(targets, said),
        }
    if task == "segmentation":
        counted = targets != 255
        return {
            "mean_iou": metrics.jaccard_score(targets[counted], answers[counted], average="macro"),
            "pixel_accuracy": metrics.accuracy_score(targets[counted], answers[counted]),
        }
    return {
        "rmse": metrics.root_mean_squared_error(targets, answers),
        "mae": metrics.mean_absolute_error(targets, answers),
        "r2": metrics.r2_score(targets, answers),
    }


def test_it_learns_scores_as_scikit_learn_and_ships_what_it_learned(
    config: DataConfig, data: ImageData, tmp_path: Path
) -> None:
    task, arch = data.task, _network(data)
    assert config.task == task
    weights = tmp_path / "weights.safetensors"
    found = fit(arch, data, RECIPE, nas.Budget(weights=str(weights)), seed=0)
    losses = [row["train_loss"] for row in found.history]
    assert losses[-1] < 0.6 * losses[0]
    assert {*found.scores} == {*task.val_scores}
    network = trained_network(arch, weights)
    (inputs, _), *rest = Batches(data.val, data, 1000, arch.input_shape)
    assert not rest
    with torch.inference_mode():
        outputs = network(inputs).double().numpy()
    answers, targets = task.answers(outputs, data.scale), data.val.labels.numpy()
    theirs = _theirs(task.name, answers, targets)
    assert {f"val_{name}": value for name, value in theirs.items()} == pytest.approx(
        {name: score for name, score in found.scores.items() if name.removeprefix("val_") in theirs}, rel=1e-5
    )
    loss = task.loss(data.scale)(torch.from_numpy(outputs), data.val.labels, "mean")
    assert found.scores["val_loss"] == pytest.approx(float(loss), rel=1e-4)
    # The exported model, and the code that ships beside it, say the same of the files themselves.
    about = about_network(arch, data.record())
    kept = {name: value.numpy() for name, value in weights_of(network).items()}
    _, model = onnx_models(arch, kept, preprocess_of(data, arch), about)
    (tmp_path / "model.onnx").write_bytes(model)
    told = list(predictions(open_model(tmp_path / "model.onnx"), [str(path) for path in _files(data)], top=9))
    order = {name: place for place, name in enumerate(data.classes)}
    for one, own in zip(told, answers, strict=True):
        if task.dense:
            assert one.mask is not None
            assert (one.mask != own).mean() < 0.02  # two classes may be as likely to the last bits
            continue
        pairs = dict(one.top or one.probabilities or one.numbers)
        shipped = sorted(pairs.items(), key=lambda pair: order[pair[0]])
        assert [value for _, value in shipped] == pytest.approx(own.tolist(), rel=1e-4, abs=1e-5)


def _files(data: ImageData) -> tuple[Path, ...]:
    files = data.val.files  # type: ignore[attr-defined]  # as images of files have
    assert len(files) == len(data.val.labels)
    return tuple(files)


@pytest.mark.parametrize("task", TASKS.values(), ids=[*TASKS])
def test_batches_add_up_and_mixtures_have_the_loss_of_mixed_targets(task: Task) -> None:
    torch.manual_seed(0)
    scale = Scale((3.0,) * 6, (2.0,) * 6) if task.name == "regression" else None
    outputs = torch.randn(40, *task.out_shapes(6, (4, 3))[0])
    targets = torch.randint(0, 6, (40,)) if task.name == "classification" else (torch.rand(40, 6) < 0.4).float()
    if task.dense:
        targets = torch.randint(0, 6, (40, 4, 3)).to(torch.uint8)
    loss, tally = task.loss(scale), task.tally(scale)
    for part in torch.split(torch.arange(40), 16):
        tally.add(outputs[part], targets[part], loss(outputs[part], targets[part], "mean"))
    found = tally.scores(Alone())
    assert {*found} == {score.name for score in task.scores}
    measured = task.measured(task.answers(outputs.double().numpy(), scale), targets.numpy())
    assert {name: found[name] for name in measured} == pytest.approx(dict(measured))
    assert found["loss"] == pytest.approx(float(loss(outputs, targets, "mean")), rel=1e-5)
    assert float(loss(outputs, targets, "none").mean()) == pytest.approx(float(loss(outputs, targets, "mean")))
    assert float(loss(outputs, targets, "sum")) == pytest.approx(40 * float(loss(outputs, targets, "mean")), rel=1e-5)
    assert set(task.tally(scale).scores(Alone()).values()) == {0.0}  # nothing was added
    # What is right is never worse than what is not.
    right = {
        "classification": lambda: torch.nn.functional.one_hot(targets, 6) * 9.0,
        "multilabel": lambda: targets * 18 - 9,
        "segmentation": lambda: torch.nn.functional.one_hot(targets.long(), 6).permute(0, 3, 1, 2) * 9.0,
    }
    best = right.get(task.name, lambda: (targets - 3) / 2)()
    ours = task.measured(task.answers(best.double().numpy(), scale), targets.numpy())
    for name, value in ours.items():
        assert task.score(name).sign * value > task.score(name).sign * measured[name]


def test_the_splits_do_not_hang_on_other_images_and_know_other_targets(config: DataConfig, data: ImageData) -> None:
    if data.task.dense:
        pytest.skip("a folder with masks has no table; test_segmentation.py takes files out of it")
    root = Path(config.root or "")
    names = {path.name for path in _files(data)}
    rows = (root / "labels.csv").read_text().splitlines()
    (root / "fewer.csv").write_text("\n".join([*rows[:1], *rows[9:]]) + "\n")
    fewer = load_data(replace(config, labels="fewer.csv"))
    assert {path.name for path in _files(fewer)} == names - {f"{number}.png" for number in range(8)}
    # The last row has what the first one had.
    changed = [*rows[:-1], f"{rows[-1].partition(',')[0]},{rows[1].partition(',')[2]}"]
    (root / "other.csv").write_text("\n".join(changed) + "\n")
    other = load_data(replace(config, labels="other.csv"))
    assert {path.name for path in _files(other)} == names
    assert (other.fingerprint != data.fingerprint) == (changed != rows)
    assert load_data(replace(config, memory_mib=0)).fingerprint == data.fingerprint
    part = data.part_of_train(0.2)
    assert len(part.labels) == round(0.2 * len(data.train.labels))
    assert all(data.task.counts(part.labels.numpy(), data.num_classes))


def test_what_has_no_meaning_is_refused(data: ImageData) -> None:
    for balance in ("none", "weights", "sampler"):
        if balance in data.task.balances:
            data.task.check_training(cutmix=0.0, balance=balance)
        else:
            with pytest.raises(ConfigError, match=f"data.balance must be .* is {data.task.name}, but got {balance}"):
                fit(_network(data), data, RECIPE, seed=0, balance=balance)
    if not data.task.mixes_areas:
        with pytest.raises(ConfigError, match=r"train.cutmix: .* but got 0.5"):
            fit(_network(data), data, replace(RECIPE, cutmix=0.5), seed=0)
    with pytest.raises(DataError, match=f"{data.num_classes} {data.task.outputs}"):
        data.check_fits(replace(_network(data), num_classes=7))


@pytest.mark.slow
def test_a_search_and_its_finish(config: DataConfig, data: ImageData, tmp_path: Path) -> None:
    network = DENSE_NETWORK if data.task.dense else NETWORK
    (tmp_path / "tiny.yaml").write_text(json.dumps({"name": "tiny", **network}))
    given = [f"data={config.name}", f"data.root={config.root}"]
    given += [] if config.labels is None else [f"data.labels={config.labels}"]
    given += [] if config.target is None else [f"data.target={config.target}"]
    quick = ["workers=1", "train.epochs=3", "train.batch_size=16"]
    of_search = ["search.trials=3", "records.mlflow=false", "name=s"]
    assert run("nas.search", "+space=tiny.yaml", *given, *quick, *of_search, cwd=tmp_path).returncode == 0
    folder = tmp_path / "runs" / "s"
    task = data.task
    study = json.loads((folder / "study.json").read_text())
    direction = "maximize" if task.score(task.default).larger_is_better else "minimize"
    assert (study["objective"], study["direction"]) == ([task.objective], [direction])
    assert study["notes"]["data"]["task"] == task.name
    of_finish = ["finish.top_k=2", "finish.seeds=2", "finish.final_seeds=2", "finish.baseline=none", "mlflow=false"]
    assert run("nas", "finish", "runs/s", *quick, *of_finish, cwd=tmp_path).returncode == 0
    report = json.loads((folder / "finish" / "report.json").read_text())
    best = {one["name"]: np.mean(one["scores"]) for one in report["choosing"]["finalists"]}
    pick = max if direction == "maximize" else min
    assert report["choosing"]["finalists"][report["choosing"]["winner"]]["name"] == pick(
        best, key=lambda name: best[name]
    )
    card = (folder / "finish" / "model" / "card.md").read_text()
    words = task.score(task.default).words
    assert f"## {words[0].upper()}{words[1:]}" in card
    scored = nas.evaluate(folder / "finish" / "model", config, split="test").to_dict()
    shipped = report["final"]["winner"]["test"]["by_seed"]
    assert scored[task.default] == pytest.approx(next(iter(shipped.values())), rel=1e-3)


def test_folds_are_scored_with_what_was_learned_without_them(
    config: DataConfig, data: ImageData, tmp_path: Path
) -> None:
    """Also where targets are standardised by what is trained on, or each pixel has one."""
    divided = replace(config, folds=2)
    model = nas.train(_network(data), divided, replace(RECIPE, epochs=1), folder=tmp_path / "folds")
    first, second = model.evaluation.folds
    assert model.evaluation.scores.keys() >= {*data.task.val_scores}
    objective = data.task.objective
    assert model.evaluation.scores[objective] == pytest.approx((first[objective] + second[objective]) / 2)
    scored = nas.evaluate(model.folder).to_dict()
    assert scored["fold"] == [1, 2]
    assert scored[data.task.default] == pytest.approx(first[objective], rel=1e-5)
