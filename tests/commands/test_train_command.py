"""`nas train` and `nas evaluate`: what is printed and written, kills, and what is refused in words."""

from __future__ import annotations

import json
import signal
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

import nas
from nas.commands.command_line import first_word_to
from nas.commands.network_argument import read_network, with_recorded_data
from nas.errors import ConfigError, NasError
from nas.records.browsing import page_of, recorded_in
from tests.run_command import Started, run

SMALL = {
    "assume": {"channels": 1, "resolution": 8, "num_classes": 10},
    "stem": {"block": "conv", "out_channels": {"choose": [8, 16]}},
    "stages": [{"block": "mbconv", "out_channels": 8, "expand_ratio": 2}],
    "head": {"block": "classifier"},
}
FAST = ["train.epochs=2", "data.train_fraction=0.2", "records.mlflow=false"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A space, and a network of it."""
    (tmp_path / "small.yaml").write_text(json.dumps(SMALL))
    arch = nas.SearchSpace.from_dict(SMALL).decode({"stem.0.out_channels": 8})
    (tmp_path / "network.json").write_text(arch.to_json())
    return tmp_path


@pytest.mark.slow
def test_train_then_evaluate(folder: Path) -> None:
    done = run("nas", "train", "network.json", *FAST, "name=first", cwd=folder)
    assert done.returncode == 0, done.stderr
    epochs = [line for line in done.stdout.splitlines() if line.startswith("  epoch")]
    assert [line.split()[1] for line in epochs] == ["1/2", "2/2"]
    assert "nas train resume=runs/first" in done.stdout
    assert "nas evaluate runs/first" in done.stdout
    summary = json.loads((folder / "runs" / "first" / "train.json").read_text())
    assert f"Validation accuracy {summary['val_accuracy']['value']:.4f}" in done.stdout
    assert summary["train"]["epochs"] == 2
    assert summary["data_settings"]["train_fraction"] == 0.2

    scored = run("nas", "evaluate", "runs/first", cwd=folder)
    assert scored.returncode == 0, scored.stderr
    out = folder / "runs" / "first" / "evaluation_val"
    found = json.loads((out / "evaluation.json").read_text())
    assert found["accuracy"] == summary["val_accuracy"]["value"]
    assert f"{found['accuracy']:.4f}" in scored.stdout
    assert (out / "evaluation.html").read_text().startswith("<!doctype html>")
    test = run("nas", "evaluate", "runs/first", "split=test", "out=scores", "--json", cwd=folder)
    assert test.returncode == 0, test.stderr
    written = json.loads((folder / "scores" / "evaluation.json").read_text())
    assert json.loads(test.stdout) == {**written, "folder": str(folder / "scores")}
    assert written["split"] == "test"

    assert "nas export runs/first out=DIR" in done.stdout
    shipped = run("nas", "export", "runs/first", "out=shipped", "export.int8=never", cwd=folder)
    assert (shipped.returncode, shipped.stderr) == (0, "")
    card = (folder / "shipped" / "card.md").read_text()
    assert f"| {summary['val_accuracy']['value']:.2%} |" in card
    assert "train_fraction" not in card.partition("## Training")[2].partition("## Data")[0]
    assert "epochs: 2" in card

    # What it learned is kept as it is, and can be trained anew under another name, on the same data.
    again = run("nas", "train", "runs/first", *FAST[::2], "name=second", "--json", cwd=folder)
    assert again.returncode == 0, again.stderr
    repeated = json.loads((folder / "runs" / "second" / "train.json").read_text())
    assert json.loads(again.stdout) == {**repeated, "run_folder": str(folder / "runs" / "second")}
    assert repeated["scores"] == summary["scores"]
    taken = run("nas", "train", "network.json", *FAST, "name=first", cwd=folder)
    assert taken.returncode == 2
    assert "runs/first is there already" in taken.stderr


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_killed_training_goes_on(folder: Path, number: signal.Signals, put_store: Callable[[Path], None]) -> None:
    """With the numbers of one that was never stopped, and one run in MLflow."""
    put_store(folder / "runs")
    words = ["network.json", "data.train_fraction=0.2", "train.epochs=6", "seeds=2"]
    whole = run("nas", "train", *words, "name=whole", "records.mlflow=false", cwd=folder)
    assert whole.returncode == 0, whole.stderr
    process = Started("nas", "train", *words, "name=killed", cwd=folder)
    while "seed 1  epoch 3/6" not in (line := process.stdout.readline()):
        assert line, process.stderr.read()
    process.send_signal(number)
    out, err = process.communicate()
    assert process.poll() == (-9 if number == signal.SIGKILL else 130), out + err
    if number == signal.SIGINT:
        assert "nas.train: interrupted" in err
    again = run("nas", "train", "resume=runs/killed", cwd=folder)
    assert again.returncode == 0, again.stderr
    assert "seed 0  epoch" not in again.stdout, "it was done"
    assert "seed 1  epoch 1/6" not in again.stdout
    results = [json.loads((folder / "runs" / name / "train.json").read_text()) for name in ("whole", "killed")]
    assert results[0]["scores"] == results[1]["scores"]
    files = [(folder / "runs" / name / "curves.csv").read_text() for name in ("whole", "killed")]
    assert files[0] == files[1]
    assert not list((folder / "runs" / "killed").glob("*.ckpt*"))
    with sqlite3.connect(folder / "runs" / "mlflow.db") as database:
        rows = database.execute(
            "SELECT experiments.name, runs.status FROM runs JOIN experiments USING (experiment_id)"
        ).fetchall()
        pages = database.execute(
            "SELECT experiment_id, run_uuid FROM runs JOIN tags USING (run_uuid) "
            "WHERE key = 'nas.trial' AND value = 'study'"
        ).fetchall()
    assert rows == [("training", "FINISHED")] * 3  # the run, and its two seeds
    assert again.stdout.rstrip().endswith("nas browse runs/killed")
    assert page_of(
        recorded_in(folder / "runs" / "killed")
    ) == "/#/experiments/{}/runs/{}?workflowType=machine_learning".format(*pages[0])


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_two_processes_train_as_one_command(folder: Path) -> None:
    """It says each epoch once, ends both with Ctrl-C, and goes on to what it would have come to."""
    words = ["network.json", "data.train_fraction=0.2", "train.epochs=4", "accelerator=cpu", "records.mlflow=false"]
    alone = run("nas", "train", *words, "name=alone", cwd=folder)
    assert alone.returncode == 0, alone.stderr
    whole = run("nas", "train", *words, "devices=2", "name=whole", cwd=folder)
    assert whole.returncode == 0, whole.stderr
    epochs = [line.split()[1] for line in whole.stdout.splitlines() if line.startswith("  epoch")]
    assert epochs == ["1/4", "2/4", "3/4", "4/4"]
    process = Started("nas", "train", *words, "devices=2", "name=stopped", cwd=folder)
    while "epoch 2/4" not in (line := process.stdout.readline()):
        assert line, process.stderr.read()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate()  # which ends when no process has the pipes any more
    assert (process.poll(), "nas.train: interrupted" in err) == (130, True), out + err
    again = run("nas", "train", "resume=runs/stopped", cwd=folder)
    assert again.returncode == 0, again.stderr
    assert "epoch 1/4" not in again.stdout
    names = ("alone", "whole", "stopped")
    one, two, stopped = (json.loads((folder / "runs" / name / "train.json").read_text())["scores"] for name in names)
    assert two == stopped
    assert two != one, "statistics of batch normalisation are by process"
    refused = run("nas", "train", *words, "devices=2", "train.batch_size=63", cwd=folder)
    assert (refused.returncode, "train.batch_size=64 does" in refused.stderr) == (2, True), refused.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "which network? nas train ARCH"),
        (["a", "b"], "one word comes before the settings, but got 'a b'"),
        (["seed=1", "a"], "one word comes before the settings"),
        (["network.json", "train.epoch=3"], "unknown setting 'train.epoch'"),
        (["network.json", "recipe=standart"], "unknown recipe 'standart'. Did you mean 'standard'"),
        (["network.json", "recipe=sgd", "train=sgd"], "both say how networks are trained"),
        (["network.json", "seeds=0"], "seeds must be >= 1, but got 0"),
        (["network.json", "train.mixup=-1"], "train.mixup must be >= 0"),
        (["resume=runs/none"], "resume: no training in runs/none"),
        (["--nam=x"], "unknown flag"),
    ],
)
def test_what_is_typed_wrongly_is_said_at_once(folder: Path, words: list[str], message: str) -> None:
    done = run("nas", "train", *words, cwd=folder)
    assert (done.returncode, message in done.stderr) == (2, True), done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (folder / "runs").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "which model? nas evaluate DIR"),
        (["none"], "there is no folder none"),
        (["."], "has no model: neither model.onnx"),
        ([".", "split=train"], "split: unknown 'train'"),
    ],
)
def test_what_cannot_be_evaluated_is_said(folder: Path, words: list[str], message: str) -> None:
    done = run("nas", "evaluate", *words, cwd=folder)
    assert (done.returncode, message in done.stderr) == (2, True), done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_the_first_word_is_a_setting() -> None:
    assert first_word_to("network", ["a b.json", "seed=1"], "") == ["network=a b.json", "seed=1"]
    assert first_word_to("network", ["x", "--cfg", "job", "seed=1"], "") == ["network=x", "--cfg", "job", "seed=1"]
    assert first_word_to("network", ["seed=1"], "") == ["seed=1"]
    assert first_word_to("network", ["x", "--help"], "") == ["--help"]
    with pytest.raises(ConfigError, match="one word comes before"):
        first_word_to("network", ["--cfg", "job", "x"], "")


def test_what_a_network_may_be(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    arch = nas.Architecture.from_json((folder / "network.json").read_text())
    assert read_network("network.json", None, (3, 4, 4), 2) == arch, "a network in a file keeps its input"
    genotype = '{"stem.0.out_channels": 8}'
    assert read_network("small.yaml", genotype, (1, 8, 8), 10) == arch
    (folder / "genotype.json").write_text(genotype)
    assert read_network("small.yaml", "genotype.json", (1, 8, 8), 10) == arch
    reference = read_network("reference/lenet5", None, (1, 32, 32), 7)
    assert (reference.input_shape, reference.num_classes) == ((1, 32, 32), 7)
    (folder / "run").mkdir()
    (folder / "run" / "best_architecture.json").write_text(arch.to_json())
    assert read_network("run", None, (3, 4, 4), 2) == arch


@pytest.mark.parametrize(
    ("name", "genotype", "message"),
    [
        ("nothing", None, "there is no 'nothing'"),
        ("reference/resnet81", None, r"there is no 'reference/resnet81'. Did you mean '\S*resnet"),
        ("none.json", None, r"none\.json cannot be read: No such file"),
        ("small.yaml", None, "leaves choices open: search it with"),
        ("small.yaml", "[1]", r"genotype is a mapping from decisions to values, but got \[1\]"),
        ("small.yaml", "{", r"genotype='\{' cannot be read as JSON"),
        ("small.yaml", '{"stem.0.out_channels": 9}', "stem.0.out_channels"),
        ("network.json", "{}", "genotype is for a space, but network.json is one network"),
        ("empty", None, "empty has no architecture.json or best_architecture.json"),
        ("small.yaml.json", None, "not JSON|no description|cannot be read"),
    ],
)
def test_what_is_no_network(
    folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, genotype: str | None, message: str
) -> None:
    monkeypatch.chdir(folder)
    (folder / "empty").mkdir()
    (folder / "small.yaml.json").write_text("{nothing")
    with pytest.raises(NasError, match=message):
        read_network(name, genotype, (1, 8, 8), 10)


def test_a_run_folder_brings_its_data(tmp_path: Path) -> None:
    search, training = tmp_path / "search", tmp_path / "training"
    for path, record in (
        (search / "study.json", {"notes": {"config": {"data": {"name": "synthetic"}}}}),
        (training / "settings.json", {"data": {"name": "fashion_mnist"}}),
    ):
        path.parent.mkdir()
        path.write_text(json.dumps(record))
    values = {"seed": 1, "data": {"name": "digits", "root": "/moved"}}
    # Records that do not say how images were split and read are from before, and keep that; nor was anything balanced.
    before = {
        "split_scheme": 1,
        "balance": "none",
        "background": "drop",
        "depth": 16,
        "max_pixels": 178_956_970,
        "ignore": 255,
        "folds": 0,
    }
    assert with_recorded_data(values, [], str(search))["data"] == {"name": "synthetic", **before}
    assert with_recorded_data(values, ["seed"], str(training))["data"] == {"name": "fashion_mnist", **before}
    assert with_recorded_data(values, ["data"], str(search)) == values
    # Where they are now: the data set is still that of the run.
    moved = {"name": "synthetic", **before, "root": "/moved"}
    assert with_recorded_data(values, ["data.root"], str(search))["data"] == moved
    (training / "settings.json").write_text('{"job": {"data": {"name": "digits"}}}')  # as `nas.train` leaves it
    (training / "train.json").write_text('{"data_settings": {"name": "image_folder", "split_scheme": 2}}')
    known = {"name": "image_folder", **before, "split_scheme": 2}
    assert with_recorded_data(values, [], str(training))["data"] == known
    assert with_recorded_data(values, [], str(tmp_path)) == values
    assert with_recorded_data(values, [], "reference/lenet5") == values
