"""What docs/your-own.md shows does what it says, and searches with code of the user's go on and are finished."""

from __future__ import annotations

import csv
import json
import re
import shlex
from pathlib import Path

import pytest

import nas
from nas.evaluators.training import TrainingEvaluator
from nas.training.data.config import DataConfig
from nas.training.recipe import Recipe
from tests.run_command import run

PAGE = Path(__file__).parents[2] / "docs" / "your-own.md"
SMALL = {
    "assume": {"channels": 1, "resolution": 8, "num_classes": 2},
    "stem": {"block": "conv", "out_channels": {"choose": [4, 8]}},
    "stages": [{"block": "conv", "out_channels": 8, "stride": 2}],
    "head": {"block": "classifier"},
}


def _blocks(kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The files of the page, a space and a network of it."""
    for text in _blocks("python"):
        (tmp_path / text.splitlines()[0].removeprefix("# ")).write_text(text)
    (tmp_path / "small.yaml").write_text(json.dumps(SMALL))
    space = nas.SearchSpace.from_dict(SMALL)
    (tmp_path / "network.json").write_text(space.decode({"stem.0.out_channels": 4}).to_json())
    return tmp_path


def test_what_the_page_has_follows_the_contracts(folder: Path) -> None:
    assert {path.name for path in folder.glob("*.py")} == {"my_training.py", "my_data.py", "with_python.py"}
    recipe = Recipe(
        epochs=1,
        loss=nas.own(f"{folder / 'my_training.py'}:focal"),
        callbacks=[nas.own(f"{folder / 'my_training.py'}:Printer")],
        logger=nas.own(f"{folder / 'my_training.py'}:logger"),
        label_smoothing=0.1,
        mixup=0.2,
    )
    data = DataConfig(name="own", module=nas.own(f"{folder / 'my_data.py'}:Even"))
    record = TrainingEvaluator(data, recipe).prepare()
    assert record["classes"] == ["even", "odd"]
    # Of the 1,797 digits of scikit-learn 891 are even: 178, 177, 181, 181 and 174 of 0, 2, 4, 6 and 8.
    assert [sum(counts) for counts in zip(*record["images_by_class"].values(), strict=True)] == [891, 906]


@pytest.mark.slow
def test_the_commands_of_the_page(folder: Path) -> None:
    (text,) = _blocks("sh")
    said = []
    for line in text.splitlines():
        done = run(*shlex.split(line), cwd=folder)
        assert done.returncode == 0, done.stdout + done.stderr
        said.append(done.stdout)
    assert re.search(r"even +\d", said[0])
    assert len(re.findall(r"^epoch [12]: 0\.\d{3}$", said[1], re.MULTILINE)) == 2
    metrics = [*(folder / "logs").rglob("metrics.csv")]
    with metrics[0].open(newline="") as file:
        logged = [float(row["val_accuracy"]) for row in csv.DictReader(file)]
    (line,) = (folder / "runs" / "mine" / "seeds.jsonl").read_text().splitlines()
    rows = json.loads(line)["history"]
    assert logged == pytest.approx([row["val_accuracy"] for row in rows])
    assert rows[1]["train_loss"] < rows[1]["val_loss"]  # focal, and the cross-entropy
    assert len((folder / "runs" / "mine" / "test_ledger.jsonl").read_text().splitlines()) == 1
    assert (folder / "shipped" / "model.onnx").is_file()
    # The commands after the first one were trusted by what the file holds.
    (folder / "my_data.py").write_text((folder / "my_data.py").read_text() + "\n")
    done = run("nas", "evaluate", "runs/mine", cwd=folder)
    assert done.returncode == 2
    assert re.search(r"nas\.evaluate: data\.module: .*my_data\.py has been changed since it was named", done.stderr)


@pytest.mark.slow
def test_the_script_of_the_page(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    exec(compile((folder / "with_python.py").read_text(), "with_python.py", "exec"), {})
    saved = json.loads((folder / "from_python" / "settings.json").read_text())["job"]
    assert saved["train"]["loss"].startswith(f"{folder / 'my_training.py'}:focal#")


SEARCH = (
    *("+space=small.yaml", "data=own", "data.module=my_data.py:Even", "recipe=short", "train.epochs=1", "name=found"),
    *("train.loss=my_training.py:focal", "search.trials=1", "workers=1", "records.mlflow=false"),
)  # fmt: skip


@pytest.mark.slow
def test_a_search_goes_on_and_is_finished(folder: Path) -> None:
    done = run("nas", "search", *SEARCH, cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    config = json.loads((folder / "runs" / "found" / "study.json").read_text())["notes"]["config"]
    assert config["train"]["loss"] == nas.own(f"{folder / 'my_training.py'}:focal")
    assert config["data"]["module"] == nas.own(f"{folder / 'my_data.py'}:Even")
    done = run("nas", "search", "resume=runs/found", "search.trials=2", cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    fast = ("finish.top_k=1", "finish.seeds=1", "finish.final_seeds=2", "finish.baseline=none", "workers=1")
    done = run("nas", "finish", "runs/found", *fast, "mlflow=false", "recipe=short", "train.epochs=1", cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "The search trained by the loss my_training.py:focal, this finish by that of the task" in done.stdout
    assert "even" in (folder / "runs" / "found" / "finish" / "model" / "card.md").read_text()
    mine = folder / "my_training.py"
    mine.write_text(mine.read_text() + "\n")
    for words, message in (
        ((), "has been changed since it was named"),
        (("train.loss=my_training.py:focal",), "resume: train.loss was"),
    ):
        done = run("nas", "search", "resume=runs/found", "search.trials=3", *words, cwd=folder)
        assert done.returncode == 2
        assert message in done.stderr


@pytest.mark.slow
def test_a_dry_run_says_what_is_wrong(folder: Path) -> None:
    mine = folder / "my_training.py"
    mine.write_text(mine.read_text() + "\n\ndef broken(outputs, targets):\n    return outputs.detach().mean()\n")
    words = ("train.loss=my_training.py:broken", "--dry-run")
    done = run("nas", "search", *(word for word in SEARCH if "loss" not in word), *words, cwd=folder)
    assert done.returncode == 2
    assert "my_training.py:broken has no gradient" in done.stderr
    assert not (folder / "runs" / "found").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("train.loss=my_training.py:focl", "my_training.py has no 'focl'. Did you mean 'focal'?"),
        ("train.loss=my_trainin.py:focal", "there is no file"),
        ("train.loss=focal", "train.loss must be FILE.py:NAME, but got 'focal'"),
        ("train.callbacks=my_training.py:Printer", "train.callbacks is a list"),
    ],
)
def test_what_is_typed_wrongly_is_said_at_once(folder: Path, word: str, message: str) -> None:
    done = run("nas", "train", "network.json", word, cwd=folder)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Loading" not in done.stdout
