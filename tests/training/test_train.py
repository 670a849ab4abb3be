"""`nas.train` and `nas.evaluate` from Python: what is in the folder, going on, and what is refused."""

from __future__ import annotations

import csv
import json
import shutil
from dataclasses import asdict, replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from scipy.stats import binomtest

import nas
from nas.commands.evaluate import evaluate_command
from nas.commands.train import TrainConfig, train_command
from nas.errors import ConfigError, DataError, NasError
from nas.evaluation import Evaluation
from nas.statistics import mean_interval, proportion_interval
from nas.training import train as train_module
from nas.training.data.load import load_data
from nas.training.data.test_split import Ledger
from nas.training.evaluate import evaluate
from nas.training.evaluation_page import page
from nas.training.fit import fit
from nas.training.recipe import Recipe
from nas.training.recipe_files import read_data_config, read_recipe
from nas.training.summary import score_of
from nas.training.tasks.classification import ACCURACY
from nas.training.train import TrainedModel
from nas.training.weights import load_metadata, load_weights, save_weights
from tests.training.test_fit import ARCH, DATA, RECIPE, SPACE

SHORT = replace(RECIPE, epochs=2, ema=0.9, mixup=0.2)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> TrainedModel:
    return nas.train(ARCH, DATA, SHORT, folder=tmp_path_factory.mktemp("runs") / "one", seed=5)


def test_a_folder_holds_all_that_is_known(trained: Any) -> None:
    files = {path.name for path in trained.folder.iterdir()}
    assert files == {
        *("architecture.json", "weights.safetensors", "train.json", "curves.csv", "curves.png"),
        *("settings.json", "seeds.jsonl", "lock", "preprocess.json", "card.json"),
    }
    assert nas.Architecture.from_json((trained.folder / "architecture.json").read_text()) == ARCH
    expected = fit(ARCH, load_data(DATA), SHORT, seed=5)
    assert trained.evaluation.history == expected.history
    summary = json.loads((trained.folder / "train.json").read_text())
    assert summary["scores"] == {"5": dict(expected.scores)}
    images = len(load_data(DATA).val.labels)
    accuracy = expected.scores["val_accuracy"]
    low, high = proportion_interval(round(accuracy * images), images)
    assert summary["val_accuracy"] == {
        "split": "val",
        "value": accuracy,
        "low": low,
        "high": high,
        "images": images,
        "interval": "Clopper-Pearson 95 % interval over the images that it is scored on, chance in training left out",
    }
    assert summary["data"]["classes"] == ["0", "1", "2", "3"]
    with (trained.folder / "curves.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["seed"], row["epoch"]) for row in rows] == [("5", "1"), ("5", "2")]
    assert float(rows[1]["val_loss"]) == expected.history[1]["val_loss"]
    with Image.open(trained.folder / "curves.png") as picture:
        assert picture.size == (900, 360)


def test_the_network_has_the_weights(trained: Any) -> None:
    data = load_data(DATA)
    pixels = data.val.read(torch.arange(len(data.val.labels))).float() / 255
    mean, std = (torch.tensor(v).view(-1, 1, 1) for v in (data.mean, data.std))
    with torch.no_grad():
        logits = trained.network()((pixels - mean) / std)
    accuracy = (logits.argmax(1) == data.val.labels).double().mean().item()
    assert accuracy == pytest.approx(trained.evaluation.scores["val_accuracy"], abs=1e-9)


def test_several_seeds_give_a_mean_with_its_interval(tmp_path: Path) -> None:
    recipe, said = replace(RECIPE, epochs=1), list[str]()
    model = nas.train(ARCH, DATA, recipe, folder=tmp_path / "a", seed=1, seeds=2, say=said.append)
    accuracies = [f"accuracy {one.scores['val_accuracy']:.4f}" for one in model.evaluations.values()]
    assert [line.split("  ")[1:3] for line in said] == [["seed 1", "epoch 1/1"], ["seed 2", "epoch 1/1"]]
    assert all(accuracy in line for accuracy, line in zip(accuracies, said, strict=True))
    assert said[1].endswith("0:00 left")
    alone = nas.train(ARCH, DATA, recipe, folder=tmp_path / "b", seed=2)
    assert model.evaluations[2].history == alone.evaluation.history
    summary = json.loads((tmp_path / "a" / "train.json").read_text())["val_accuracy"]
    values = [one.scores["val_accuracy"] for one in model.evaluations.values()]
    assert summary["value"] == pytest.approx(sum(values) / 2)
    low, high = mean_interval(values)
    assert (summary["low"], summary["high"]) == pytest.approx((max(0, low), min(1, high)))
    assert "Student" in summary["interval"]
    # One more, later: the first two are not trained again.
    more = nas.train(ARCH, DATA, recipe, folder=tmp_path / "a", seed=1, seeds=3, resume=True)
    assert [*more.evaluations] == [1, 2, 3]
    assert more.evaluations[1].seconds == model.evaluations[1].seconds
    assert (tmp_path / "a" / "weights_seed3.safetensors").exists()


class _KilledError(Exception):
    pass


def test_an_interrupted_run_goes_on_as_if_it_had_never_stopped(trained: Any, tmp_path: Path) -> None:
    job = train_module.TrainJob(architecture=ARCH, data=DATA, recipe=SHORT, seed=5)
    folder = tmp_path / "one"
    folder.mkdir()
    epochs: list[float] = []

    class Kill:
        def epoch(self, seed: int, metrics: Any) -> None:
            epochs.append(metrics["epoch"])
            if len(epochs) == 2:
                raise _KilledError

        def again(self, seed: int, why: str) -> None:
            raise AssertionError("it was never done")

        def trained(self, seed: int, evaluation: Evaluation) -> None:
            raise AssertionError("it never ended")

    train_module.begin(job, folder, {}, resume=False)
    with pytest.raises(_KilledError):
        train_module.run_job(job, folder, Kill())
    assert not (folder / "weights.safetensors").exists()
    model = nas.train(ARCH, DATA, SHORT, folder=folder, seed=5, resume=True)
    assert model.evaluation.history == trained.evaluation.history
    assert model.evaluation.scores == trained.evaluation.scores
    first, second = (one.network().state_dict() for one in (model, trained))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not list(folder.glob("*.ckpt*"))


@pytest.mark.parametrize("kind", ["gone", "cut off", "of another network"])
def test_weights_that_are_lost_are_trained_again(trained: Any, tmp_path: Path, kind: str) -> None:
    folder, said = tmp_path / "one", list[str]()
    shutil.copytree(trained.folder, folder)
    file = folder / "weights.safetensors"
    if kind == "gone":
        file.unlink()
        why = f"are gone from {folder}"
    elif kind == "cut off":
        file.write_bytes(file.read_bytes()[:-1])
        why = f"are damaged: {file} is no whole safetensors file"
    else:
        save_weights(file, nas.build(ARCH), {"architecture": replace(ARCH, num_classes=7).to_json()})
        why = f"are gone: {file} has those of another network"
    model = nas.train(ARCH, DATA, SHORT, folder=folder, seed=5, resume=True, say=said.append)
    assert said[0] == f"The weights of seed 5 {why}. It is trained again:"
    assert len(said) == 3
    found, expected = load_weights(file), load_weights(trained.weights)
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in found)
    assert model.evaluation.scores == trained.evaluation.scores
    again = list[str]()
    nas.train(ARCH, DATA, SHORT, folder=folder, seed=5, resume=True, say=again.append)
    assert again == []


def test_what_is_gone_on_with_must_be_what_was_begun(trained: Any) -> None:
    for changed, message in (
        ({"recipe": replace(SHORT, lr=0.1)}, r"train\.lr was 0\.003 in .*, but is now 0\.1"),
        ({"data": replace(DATA, split_seed=4)}, r"data\.split_seed was 0"),
        ({"seed": 6}, "seed was 5"),
        ({"architecture": SPACE.decode({"stem.0.out_channels": 4})}, "network was"),
    ):
        given: dict[str, Any] = {"architecture": ARCH, "data": DATA, "recipe": SHORT, "seed": 5, **changed}
        with pytest.raises(ConfigError, match=message):
            nas.train(**given, folder=trained.folder, resume=True)
    with pytest.raises(ConfigError, match="is there already; or resume=True goes on"):
        nas.train(ARCH, DATA, SHORT, folder=trained.folder)


def test_recipes_and_data_sets_go_by_their_names() -> None:
    assert read_recipe("adamw") == Recipe()
    assert read_recipe("sgd").optimizer == "sgd"
    assert read_data_config("digits").augment == "shift"
    with pytest.raises(ConfigError, match=r"unknown recipe 'standart'\. Did you mean 'standard'"):
        read_recipe("standart")
    with pytest.raises(ConfigError, match=r"unknown data 'digit'\. Did you mean 'digits'"):
        read_data_config("digit")


def test_an_evaluation_gives_the_score_of_the_training(trained: Any) -> None:
    found = evaluate(trained.folder)
    assert found.scores.accuracy == trained.evaluation.scores["val_accuracy"]
    assert found.scores.log_loss == pytest.approx(trained.evaluation.scores["val_loss"], rel=1e-6)
    assert (found.data, found.split, found.arch_id) == ("synthetic", "val", ARCH.arch_id)
    test = nas.evaluate(trained.folder, split="test", worst=3)
    entry = Ledger(trained.folder).entries()[-1]
    assert (entry.arch_id, entry.seed, entry.purpose) == (ARCH.arch_id, 5, "nas evaluate")
    assert test.scores.images == entry.count > 0
    assert len(test.pixels) == len(test.scores.worst) <= 3
    json.dumps(found.to_dict())


def test_scores_that_cannot_be_written_are_told(
    trained: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The test split is read once: what came of it must not be lost."""
    (tmp_path / "file").touch()
    out = tmp_path / "file" / "scores"
    assert evaluate_command({"model": str(trained.folder), "out": str(out)}, ["model", "out"]) == 2
    captured = capsys.readouterr()
    assert f"accuracy                    {trained.evaluation.scores['val_accuracy']:.4f}" in captured.out
    assert "and the pictures" not in captured.out
    assert f"nas.evaluate: out: {out} cannot be written: Not a directory. The scores above are whole" in captured.err
    assert len(captured.err.splitlines()) == 1


def test_a_setting_in_the_record_is_told_with_its_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = asdict(TrainConfig(network="x"))
    (tmp_path / "settings.json").write_text(json.dumps(settings | {"train": settings["train"] | {"epochs": None}}))
    assert train_command({**settings, "resume": str(tmp_path)}, ["resume"]) == 2
    assert capsys.readouterr().err == (
        f"nas.train: train.epochs must be a whole number, but got None. What was not typed now is as it stands in "
        f"{tmp_path}/settings.json\n"
    )


def test_images_are_normalised_as_in_training(trained: Any, tmp_path: Path) -> None:
    """Other data of the same classes have another mean; that of the training counts."""
    other = replace(DATA, split_seed=1)
    shutil.copy(trained.folder / "architecture.json", tmp_path)
    metadata = {**load_metadata(trained.weights), "data": "photos", "split_fingerprint": "abc"}
    save_file(load_weights(trained.weights), tmp_path / "weights.safetensors", metadata)
    found = evaluate(tmp_path, other)
    assert found.other_data.startswith("these are other data than it was trained on, which were photos")
    data, own = load_data(other), load_data(DATA)
    pixels = data.val.read(torch.arange(len(data.val.labels))).float() / 255
    mean, std = (torch.tensor(v).view(-1, 1, 1) for v in (own.mean, own.std))
    with torch.no_grad():
        logits = trained.network()((pixels - mean) / std)
    assert found.scores.log_loss == pytest.approx(
        torch.nn.functional.cross_entropy(logits, data.val.labels).item(), rel=1e-5
    )


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.open.append(data)


def test_the_page_is_whole_and_safe(trained: Any) -> None:
    found = evaluate(trained.folder, split="test")
    hostile = replace(found, data="<script>alert(1)</script>")
    for one in (found, hostile):
        parser = _Tags()
        parser.feed(page(one))
        tags = [tag for tag, _ in parser.seen]
        assert "script" not in tags
        assert tags.count("img") == len(found.scores.worst)
        assert not [attrs for _, attrs in parser.seen if {"onclick", "onload", "href"} & attrs.keys()]
        assert all(str(attrs["src"]).startswith("data:image/png;base64,") for tag, attrs in parser.seen if tag == "img")
    assert f"{found.scores.accuracy:.4f}" in page(found)


def test_names_of_classes_and_files_are_shown_letter_by_letter(trained: Any) -> None:
    """What turns text round, controls a terminal or ends a line is visible, and nothing may be loaded or run."""
    found = evaluate(trained.folder, split="test")
    name, file = "b\u202ead\x1b[31m\n</style>", "\u202egnp.x\udc80"
    classes = tuple(replace(one, name=name) for one in found.scores.classes)
    worst = tuple(replace(one, name=file, label=name, predicted=name) for one in found.scores.worst)
    text = page(replace(found, scored=replace(found.scores, classes=classes, worst=worst)))
    text.encode()
    assert all(letter.isprintable() or letter == "\n" for letter in text)
    assert text.count("b\\u202ead\\x1b[31m\\n&lt;/style&gt;") >= 3 * len(classes) + 2 * len(worst)
    assert "\\u202egnp.x\\udc80" in text
    assert text.count("</style>") == 1
    parser = _Tags()
    parser.feed(text)
    policy = next(attrs["content"] for tag, attrs in parser.seen if "http-equiv" in attrs)
    assert str(policy).startswith("default-src 'none';")
    assert "script-src" not in str(policy)


@pytest.mark.parametrize("given", [{"memory_mib": 0}, {}, {"split_scheme": 1}])
def test_a_folder_of_images_has_their_names(tmp_path: Path, given: dict[str, Any]) -> None:
    """Read when they are asked for, or kept in memory."""
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        (tmp_path / "photos" / "train" / name).mkdir(parents=True)
        for i in range(20):
            pixels = rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "photos" / "train" / name / f"{i}.png")
    data = read_data_config("image_folder")
    data = replace(data, root=str(tmp_path / "photos"), **given)
    arch = SPACE.for_data((3, 16, 16), 2).decode({"stem.0.out_channels": 4})
    nas.train(arch, data, replace(RECIPE, epochs=1), folder=tmp_path / "run")
    found = evaluate(tmp_path / "run", worst=50)
    assert found.scores.worst, "noise cannot be told"
    for mistake, pixels in zip(found.scores.worst, found.pixels, strict=True):
        path = Path(mistake.name)
        assert path.parent.name == mistake.label
        np.testing.assert_array_equal(np.array(Image.open(path)), pixels.transpose(1, 2, 0))
        assert path.name in page(found)
    assert [one["name"] for one in found.to_dict()["worst"]] == [one.name for one in found.scores.worst]


def test_what_has_no_model_or_another_one_is_refused(trained: Any, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no folder"):
        evaluate(tmp_path / "none")
    with pytest.raises(ConfigError, match=r"has no model: neither model\.onnx, nor .* nor best_arch"):
        evaluate(tmp_path)
    with pytest.raises(ConfigError, match="split must be one of val, test, but got 'train'"):
        evaluate(trained.folder, split="train")
    with pytest.raises(DataError, match="the architecture takes 3 channels"):
        evaluate(trained.folder, "digits")
    with pytest.raises(DataError, match="the architecture takes 3 channels"):
        evaluate(trained.folder, replace(DATA, num_classes=5))
    (tmp_path / "architecture.json").write_text(ARCH.to_json())
    for metadata, message in (
        ({"classes": '["x", "y", "z", "w"]'}, "were trained on the classes x, y, z, w, but data synthetic has 0, 1"),
        ({"classes": "["}, "classes in its header is no list"),
        ({"mean": "[0, 0, 0]", "std": "[1, 0, 1]"}, "no numbers > 0 for each of 3 channels"),
        ({"mean": "[0]", "std": "[1]"}, "no numbers > 0 for each of 3 channels"),
        ({"mean": '["a"]', "std": "{}"}, "std in its header is no list"),
    ):
        save_weights(tmp_path / "weights.safetensors", nas.build(ARCH), metadata)
        with pytest.raises(NasError, match=message):
            evaluate(tmp_path, DATA)
    with pytest.raises(ConfigError, match="does not say what data it was trained on: give data="):
        evaluate(tmp_path)
    save_weights(tmp_path / "weights.safetensors", nas.build(replace(ARCH, num_classes=5)), {})
    with pytest.raises(DataError, match=r"^weights .*/weights\.safetensors: 'head.* they are of another network"):
        evaluate(tmp_path, DATA)


def _exported(path: Path, weights: np.ndarray, classes: list[str] | None) -> None:
    """A model that takes pixels as an exported one does: logits are the means of the channels times weights."""
    from onnx import TensorProto, helper, numpy_helper, save_model

    nodes = [
        helper.make_node("Cast", ["pixels"], ["numbers"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["numbers", "sides"], ["means"], keepdims=0),
        helper.make_node("MatMul", ["means", "weights"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"]),
    ]
    graph = helper.make_graph(
        nodes,
        "model",
        [helper.make_tensor_value_info("pixels", TensorProto.UINT8, ["batch", "height", "width", 3])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 4]) for name in ("probabilities", "logits")],
        [numpy_helper.from_array(np.array([1, 2]), "sides"), numpy_helper.from_array(weights, "weights")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    if classes is not None:
        helper.set_model_props(model, {"classes": json.dumps(classes)})
    save_model(model, path)


def test_an_exported_model_takes_images_as_they_are(tmp_path: Path) -> None:
    data = load_data(DATA)
    weights = np.random.default_rng(0).normal(0, 0.1, (3, 4)).astype(np.float32)
    (tmp_path / "model").mkdir()
    _exported(tmp_path / "model" / "model.onnx", weights, list(data.classes))
    found = evaluate(tmp_path, DATA)
    means = data.val.read(torch.arange(len(data.val.labels))).numpy().mean(axis=(2, 3), dtype=np.float64)
    logits = torch.from_numpy(means @ weights)
    assert found.scores.correct == int((logits.argmax(1) == data.val.labels).sum())
    assert found.scores.log_loss == pytest.approx(
        torch.nn.functional.cross_entropy(logits, data.val.labels).item(), rel=1e-4
    )
    assert (found.folder, found.file) == (tmp_path, "model/model.onnx")
    _exported(tmp_path / "model" / "model.onnx", weights, ["a", "b", "c", "d"])
    with pytest.raises(DataError, match="were trained on the classes a, b, c, d"):
        evaluate(tmp_path, DATA)
    (tmp_path / "model" / "model.onnx").write_bytes(b"no model")
    with pytest.raises(DataError, match=r"model\.onnx cannot be run"):
        evaluate(tmp_path, DATA)


def test_seeds_that_agree_give_the_interval_over_the_images() -> None:
    found = score_of(ACCURACY, [0.9, 0.9, 0.9], 50)
    expected = binomtest(45, 50).proportion_ci(method="exact")
    assert (found["low"], found["high"]) == pytest.approx((expected.low, expected.high))
    assert "over the images" in found["interval"]
