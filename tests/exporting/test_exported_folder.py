"""The folder that ships: all of it or nothing, and what is in it."""

from __future__ import annotations

import ast
import json
import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file
from safetensors.torch import load_file

from nas.errors import ConfigError, DataError, NasError
from nas.exporting.card import Card, Score, section
from nas.exporting.folder import export_model, exportable
from nas.exporting.place import ALWAYS, check_free, write_folder
from nas.exporting.preprocess import Preprocess
from nas.exporting.script import script
from nas.exporting.settings import ExportSettings
from tests.exporting.conftest import Trained


@dataclass(frozen=True)
class _Source:
    """What stands for a network's code."""

    text: str
    names: dict[str, str]


def _export(trained: Trained, out: Path, **changed: Any) -> tuple[Path, ...]:
    given = {
        "architecture": trained.architecture,
        "weights": trained.weights,
        "preprocess": trained.preprocess,
        "card": trained.card,
    }
    return export_model(out, **{**given, **changed}).paths


def test_the_shipped_code_is_one_file_without_names_that_stand_for_two_things() -> None:
    defined: list[str] = []
    tree = ast.parse(script())
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            defined.append(node.name)
        elif isinstance(node, ast.Assign):
            defined += [name.id for target in node.targets for name in ast.walk(target) if isinstance(name, ast.Name)]
    assert {"held", "read_picture", "MAX_PIXELS", "main"} < set(defined)
    assert len(defined) == len(set(defined))
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    names = {node.module if isinstance(node, ast.ImportFrom) else node.names[0].name for node in imports}
    assert not [name for name in names if str(name).startswith("nas")]


def test_what_is_in_it(trained: Trained, exported: Path) -> None:
    names = sorted(os.listdir(exported))
    assert [name for name in names if "int8" not in name] == [
        "card.md",
        "model.onnx",
        "model.safetensors",
        "predict.py",
        "preprocess.json",
    ]
    assert (exported / "predict.py").read_text() == script()
    assert Preprocess.from_dict(json.loads((exported / "preprocess.json").read_text())) == trained.preprocess
    found = load_file(exported / "model.safetensors")
    assert found.keys() == trained.module.state_dict().keys()
    assert all(torch.equal(found[name], value) for name, value in trained.module.state_dict().items())


def test_weights_have_the_names_of_the_code(trained: Trained, tmp_path: Path) -> None:
    name = next(iter(trained.weights))
    paths = _export(trained, tmp_path / "out", source=_Source("# code\n", {name: "first.weight"}))
    assert {path.name for path in paths} == set(os.listdir(tmp_path / "out"))
    assert (tmp_path / "out" / "model.py").read_text() == "# code\n"
    found = load_file(tmp_path / "out" / "model.safetensors")
    assert found.keys() == {"first.weight", *trained.weights} - {name}


def test_the_card_says_what_a_user_must_know(trained: Trained, exported: Path) -> None:
    text = (exported / "card.md").read_text()
    assert f"- {trained.accuracy:.2%} on validation (selected out of 1 trial, 287 images)" in text
    assert trained.data.fingerprint in section(text, "Data")
    assert "| `model.onnx` | " in section(text, "Which file to ship")
    assert "In 8 bits it is " in text
    for heading in ("Limits", "Licence", "Training", "Cost", "How to use it"):
        assert section(text, heading), heading
    # Counted by hand: 32 * 9 + 32, 64 * 32 * 9 + 64, two of 64 * 64 * 9 and 2 * 128 for their norms, 64 * 10 + 10.
    assert f"{320 + 18_496 + 2 * 36_864 + 256 + 650:,} parameters" in section(text, "Cost")


def test_the_lines_of_the_card_work(exported: Path, tmp_path: Path) -> None:
    from PIL import Image

    text = section((exported / "card.md").read_text(), "How to use it")
    code = [part.partition("```")[0] for part in text.split("```python\n")[1:]]
    onnx_code = next(part for part in code if "onnxruntime" in part)
    assert len(onnx_code.splitlines()) <= 6
    Image.new("L", (30, 20), 128).save(tmp_path / "photo.jpg")
    done = subprocess.run(
        [sys.executable, "-c", onnx_code.replace('"model.onnx"', repr(str(exported / "model.onnx")))],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() in [str(digit) for digit in range(10)]


def test_a_folder_that_is_there_is_not_touched(trained: Trained, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").touch()
    (tmp_path / "file").touch()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    for name in ("full", "file", "link"):
        with pytest.raises(ConfigError, match=f"out=.*{name} is there already"):
            _export(trained, tmp_path / name)
    assert sorted(os.listdir(tmp_path)) == ["elsewhere", "file", "full", "link"]
    assert os.listdir(tmp_path / "elsewhere") == []
    (tmp_path / "empty").mkdir()
    assert _export(trained, tmp_path / "empty")


def test_a_place_that_cannot_be_written_is_named(trained: Trained, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"out=.*file/out cannot be written: (Not a directory|File exists)"):
        _export(trained, tmp_path / "file" / "out")


WRONG: dict[str, tuple[Callable[[Trained], dict[str, Any]], str]] = {
    "missing": (
        lambda t: {"weights": dict([*t.weights.items()][1:])},
        "weights: the network has '.*', but they do not",
    ),
    "of another shape": (
        lambda t: {"weights": {name: value[:1] if value.ndim else value for name, value in t.weights.items()}},
        r"weights: stages\.0\.blocks\.0\.conv\.weight must have the shape \(32, 1, 3, 3\), but has \(1, 1, 3, 3\)",
    ),
    "unknown": (
        lambda t: {"weights": {**t.weights, "stages.9": np.zeros(1, dtype=np.float32)}},
        "weights: they have 'stages.9', but the network does not",
    ),
    "not finite": (
        lambda t: {
            "weights": {name: value * np.float32("nan") if value.ndim else value for name, value in t.weights.items()}
        },
        "has numbers that are not finite",
    ),
    "of another size": (
        lambda t: {"preprocess": replace(t.preprocess, network_size=None)},
        r"the network takes \(1, 12, 12\), but its pictures are brought to \(1, 8, 8\)",
    ),
    "of other classes": (
        lambda t: {"preprocess": replace(t.preprocess, classes=("a", "b"))},
        "a number for each of its 2 classes",
    ),
    "for phones": (
        lambda t: {"settings": ExportSettings(executorch=True)},
        "export.executorch=true: model.pte needs the package executorch, which is not installed: pip install",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_does_not_fit_leaves_nothing(trained: Trained, tmp_path: Path, name: str) -> None:
    change, message = WRONG[name]
    with pytest.raises(NasError, match=message):
        _export(trained, tmp_path / "out", **change(trained))
    assert os.listdir(tmp_path) == []


_THREE = {f"file{i}": b"x" * 10 for i in range(3)}


def _write_until_killed(out: Path, last: int) -> None:
    written: list[int] = []

    def fsync(descriptor: int) -> None:
        written.append(descriptor)
        if len(written) == last:
            os.kill(os.getpid(), signal.SIGKILL)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", fsync)
        write_folder(out, _THREE)


@pytest.mark.parametrize("file", [1, 3])
def test_a_process_that_is_killed_leaves_no_folder(tmp_path: Path, file: int) -> None:
    process = multiprocessing.get_context("fork").Process(target=_write_until_killed, args=(tmp_path / "out", file))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert not (tmp_path / "out").exists()
    assert all(name.endswith(".partial") for name in os.listdir(tmp_path))
    write_folder(tmp_path / "out", _THREE)
    assert sorted(os.listdir(tmp_path / "out")) == ["file0", "file1", "file2"]


def test_a_name_as_long_as_one_may_be(tmp_path: Path) -> None:
    out = tmp_path / ("x" * 255)
    for _ in range(2):
        write_folder(out, dict.fromkeys(ALWAYS, b"x"), replace_earlier=True)
    assert {path.name for path in out.iterdir()} == ALWAYS
    assert os.listdir(tmp_path) == [out.name]
    for name in ("x" * 256, "a\0b"):
        with pytest.raises(ConfigError, match=r"cannot be written: (File name too long|embedded null)"):
            write_folder(tmp_path / name, _THREE)


def test_a_folder_that_may_not_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root may read all, and so this is made up."""

    def refused(path: object) -> list[str]:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "listdir", refused)
    with pytest.raises(ConfigError, match=rf"out={tmp_path} cannot be written: Permission denied"):
        check_free(tmp_path)


@pytest.mark.parametrize("kind", ["where the user stands", "its name", "a mounted volume", "in a folder of others"])
def test_an_empty_folder_that_cannot_be_replaced_gets_the_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    before = out.stat().st_ino
    if kind == "a mounted volume":
        monkeypatch.setattr(os.path, "ismount", lambda path: Path(path) == out)
    elif kind == "in a folder of others":
        monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != tmp_path or mode != os.W_OK)
    else:
        monkeypatch.chdir(out)
    write_folder(Path() if kind == "where the user stands" else out, _THREE)
    assert out.stat().st_ino == before
    assert {path.name: path.read_bytes() for path in out.iterdir()} == _THREE
    assert os.listdir(tmp_path) == ["out"]
    with pytest.raises(ConfigError, match="is there already"):
        write_folder(out, _THREE)


def test_what_comes_into_such_a_folder_meanwhile_is_not_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    real = os.fsync

    def fsync(descriptor: int) -> None:
        (tmp_path / "file1").write_bytes(b"mine")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(ConfigError, match="holds 'file1' by now"):
        write_folder(Path(), _THREE)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"file1": b"mine"}


@pytest.fixture
def parts(trained: Trained, tmp_path: Path) -> Path:
    """A folder that `exportable` reads."""
    folder = tmp_path / "parts"
    folder.mkdir()
    (folder / "architecture.json").write_text(trained.architecture.to_json())
    save_file(
        {name: np.asarray(value, order="C") for name, value in trained.weights.items()}, folder / "weights.safetensors"
    )
    (folder / "preprocess.json").write_text(json.dumps(trained.preprocess.to_dict()))
    (folder / "card.json").write_text(json.dumps(trained.card.to_dict()))
    return folder


def test_a_trained_network_is_read_from_its_folder(trained: Trained, parts: Path) -> None:
    found = exportable(parts)
    assert found.architecture == trained.architecture
    assert (found.preprocess, found.card) == (trained.preprocess, trained.card)
    assert all(np.array_equal(found.weights[name], value) for name, value in trained.weights.items())
    for name in ("preprocess.json", "card.json"):
        (parts / name).unlink()
    found = exportable(parts)
    assert (found.preprocess, found.card) == (None, Card(name="parts"))


@pytest.mark.parametrize("name", ["architecture.json", "weights.safetensors", "preprocess.json", "card.json"])
def test_a_link_in_the_folder_is_refused(parts: Path, name: str, tmp_path: Path) -> None:
    (parts / name).rename(tmp_path / "elsewhere")
    (parts / name).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigError, match=f"{name}' is a link or no plain file"):
        exportable(parts)


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("architecture.json", b"\xff", "architecture .* cannot be read"),
        ("architecture.json", b"{}", "architecture"),
        ("weights.safetensors", b"\x80\x04.", "is no safetensors file"),  # how a pickle begins
        ("weights.safetensors", b"", "is no safetensors file"),
        ("weights.safetensors", None, "weights .* cannot be read: No such file"),
        ("preprocess.json", b"[]", "preprocess must have"),
        ("preprocess.json", b"no json", "preprocess .* cannot be read"),
        ("card.json", b'{"name": 1}', "card.name must be text"),
        ("card.json", b'{"name": "a", "scores": [{"accuracy": 1}]}', "a card cannot be read"),
        ("card.json", b'{"name": "a", "scores": [{"accuracy": 1, "split": "train", "how": ""}]}', "split of a score"),
        ("card.json", b'{"name": "a", "colour": 1}', "a card must have a name"),
    ],
)
def test_other_files_are_refused(parts: Path, name: str, data: bytes | None, message: str) -> None:
    (parts / name).unlink()
    if data is not None:
        (parts / name).write_bytes(data)
    with pytest.raises(NasError, match=message):
        exportable(parts)


def test_a_score_says_what_it_is() -> None:
    score = Score(value=0.925, low=0.92, high=0.93, split="test", how="mean of 3 fresh seeds", images=10_000)
    assert str(score) == "92.50% [92.00%, 93.00%] on test (mean of 3 fresh seeds, 10,000 images)"
    with pytest.raises(DataError, match="a score must be a number from 0 to 1, but got nan"):
        Score(value=float("nan"), split="test", how="")


@pytest.mark.slow
def test_what_executorch_is_given_is_the_network(
    trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The package stands aside: what matters here is what it gets, which is a program of torch with the weights."""
    programs: list[Any] = []

    def lower(program: Any, partitioner: list[Any]) -> Any:
        programs.append(program)
        assert len(partitioner) == 1
        return SimpleNamespace(to_executorch=lambda: SimpleNamespace(buffer=b"program"))

    partitioner = "executorch.backends.xnnpack.partition.xnnpack_partitioner"
    monkeypatch.setitem(sys.modules, "executorch", SimpleNamespace(__spec__=object()))
    exir, xnnpack = SimpleNamespace(to_edge_transform_and_lower=lower), SimpleNamespace(XnnpackPartitioner=object)
    monkeypatch.setitem(sys.modules, "executorch.exir", exir)
    monkeypatch.setitem(sys.modules, partitioner, xnnpack)
    _export(trained, tmp_path / "out", settings=ExportSettings(executorch=True))
    assert (tmp_path / "out" / "model.pte").read_bytes() == b"program"
    x = torch.randn(1, *trained.architecture.input_shape)
    with torch.no_grad():
        torch.testing.assert_close(programs[0].module()(x), trained.module(x))


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # of the package, which is not ours
def test_executorch_computes_what_the_network_does(trained: Trained, tmp_path: Path) -> None:
    """Where it is installed."""
    runtime = pytest.importorskip("executorch.runtime")
    _export(trained, tmp_path / "out", settings=ExportSettings(executorch=True))
    program = runtime.Runtime.get().load_program(tmp_path / "out" / "model.pte")
    x = torch.randn(1, *trained.architecture.input_shape)
    (found,) = program.load_method("forward").execute([x])
    with torch.no_grad():
        torch.testing.assert_close(found, trained.module(x), atol=1e-4, rtol=1e-4)
