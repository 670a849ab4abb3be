"""Weights in files: the same scores after reading, nothing half-written, and no other form is opened."""

from __future__ import annotations

import json
import pickle
import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
import torch
from torch import Tensor

import nas
from nas.errors import DataError
from nas.run_folder import write_bytes
from nas.training.data.load import load_data
from nas.training.fit import fit
from nas.training.recipe import Recipe
from nas.training.task import ImageModule, TaskModule
from nas.training.tasks.task import Alone
from nas.training.weights import fit_weights, load_metadata, load_weights, save_weights, weights_of
from tests.training.test_fit import ARCH, DATA, RECIPE

EVERYTHING = replace(
    RECIPE, shift=0.1, flip=True, erase=0.3, mixup=0.2, cutmix=1.0, drop_path=0.2, ema=0.9, label_smoothing=0.1
)


@pytest.mark.parametrize("recipe", [RECIPE, EVERYTHING], ids=["plain", "everything"])
def test_a_network_with_read_weights_scores_the_same_to_the_last_digit(recipe: Recipe, tmp_path: Path) -> None:
    import pytorch_lightning as pl

    data, path = load_data(DATA), tmp_path / "weights.safetensors"
    found = fit(ARCH, data, recipe, nas.Budget(epochs=2, weights=str(path)), seed=3)
    torch.manual_seed(99)
    network = nas.build(ARCH).to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # as in fit
    fit_weights(network, load_weights(path))
    task = TaskModule(network, recipe)
    trainer = pl.Trainer(accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False)
    trainer.validate(task, ImageModule(data, recipe, ARCH.input_shape), verbose=False)
    assert {f"val_{name}": score for name, score in task._val.scores(Alone()).items()} == found.scores
    metadata = load_metadata(path)
    assert metadata["arch_id"] == ARCH.arch_id
    assert json.loads(metadata["mean"]) == list(data.mean)
    assert json.loads(metadata["classes"]) == list(data.classes)


def test_another_library_reads_them(tmp_path: Path) -> None:
    network = nas.build(ARCH)
    save_weights(tmp_path / "w.safetensors", network, {"a": "ä"})
    found = safetensors.numpy.load((tmp_path / "w.safetensors").read_bytes())
    assert set(found) == set(network.state_dict())
    for name, value in network.state_dict().items():
        assert np.array_equal(found[name], value.numpy())
    assert load_metadata(tmp_path / "w.safetensors") == {"a": "ä"}


def test_auxiliary_classifiers_are_left_out() -> None:
    arch = nas.load_space("reference/googlenet", auxiliary=1).for_data((3, 64, 64), 5).decode({})
    network = nas.build(arch)
    left_out = {name for name in network.state_dict() if name not in weights_of(network)}
    assert left_out
    assert all(name.startswith("auxiliary.") for name in left_out)
    other = nas.build(arch)
    fit_weights(other, weights_of(network))
    image = torch.randn(1, 3, 64, 64)
    assert torch.equal(network.eval()(image), other.eval()(image))


def _one_of(weights: dict[str, Tensor], kind: str) -> dict[str, Tensor]:
    name = "stem.0.conv.weight"
    changes = {
        "shape": {**weights, name: weights[name][:1]},
        "more": {**weights, "stem.0.more": torch.zeros(1)},
        "less": {other: value for other, value in weights.items() if other != name},
    }
    return changes[kind]


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("shape", r"'stem\.0\.conv\.weight' has shape \(1, 3, 3, 3\), but the network's has \(8, 3, 3, 3\)"),
        ("more", r"'stem\.0\.more' is nothing that the network has"),
        ("less", r"the network has 'stem\.0\.conv\.weight', which the weights lack"),
    ],
)
def test_weights_of_another_network_are_refused_and_change_nothing(kind: str, message: str) -> None:
    network = nas.build(ARCH)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    other = {name: torch.ones_like(value) for name, value in weights_of(network).items()}
    with pytest.raises(DataError, match=message):
        fit_weights(network, _one_of(other, kind))
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


class _Payload:
    """Writes a file where a pickle of it is opened."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return (Path.write_text, (self.path, "opened"))


def test_other_forms_and_torn_files_are_refused(tmp_path: Path) -> None:
    good, bad, opened = tmp_path / "good.safetensors", tmp_path / "bad.safetensors", tmp_path / "opened"
    save_weights(good, nas.build(ARCH), {})
    whole = good.read_bytes()
    torch.save(nas.build(ARCH).state_dict(), tmp_path / "torch.pt")
    contents = [
        b"",
        whole[:4],
        whole[: len(whole) // 2],
        whole[:-1],
        pickle.dumps(_Payload(opened)),
        (tmp_path / "torch.pt").read_bytes(),
        struct.pack("<Q", 2**62) + b"{}",
        struct.pack("<Q", 2) + b"[]",
    ]
    for content in contents:
        bad.write_bytes(content)
        with pytest.raises(DataError, match=r"bad\.safetensors are no whole safetensors file"):
            load_weights(bad)
    assert not opened.exists()
    for content in (b"", contents[-1], struct.pack("<Q", 3) + b"{]}"):
        bad.write_bytes(content)
        with pytest.raises(DataError, match="no whole safetensors file"):
            load_metadata(bad)
    (tmp_path / "link").symlink_to(good)
    with pytest.raises(DataError, match="is a link or no plain file"):
        load_weights(tmp_path / "link")
    with pytest.raises(DataError, match=r"none cannot be read: No such file"):
        load_weights(tmp_path / "none")


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    path = write_bytes(tmp_path / "a.bin", b"first")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_bytes(path, b"second")
    assert path.read_bytes() == b"first"
    assert [one.name for one in tmp_path.iterdir()] == ["a.bin"]
