"""Files of weights that cannot be taken say why in one line, and nothing in them runs."""

from __future__ import annotations

import os
import pickle
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import Tensor, nn

import nas
from nas.errors import DataError
from nas.network import Architecture, Section
from nas.training.transfer.published import Begun, begin_with
from nas.training.weights import save_weights
from tests.training.transfer.public_networks import CLASSES, squeezenet1_1
from tests.training.transfer.test_published_weights import disturbed, reference, saved

NAMES = [str(i) for i in range(CLASSES)]


@pytest.fixture(scope="module")
def theirs() -> nn.Module:
    return disturbed(squeezenet1_1())


def load(path: Path, arch: Architecture | None = None) -> tuple[nn.Module, Begun]:
    arch = arch or reference("squeezenet1_1")
    network = nas.build(arch)
    return network.eval(), begin_with(path, network, arch, NAMES)


def refusal(path: Path) -> str:
    with pytest.raises(DataError) as caught:
        load(path)
    message = str(caught.value)
    assert "\n" not in message
    assert path.name in message
    return message


Change = Callable[[dict[str, Tensor]], object]


def _renamed(state: dict[str, Tensor]) -> None:
    state["features.3.squeezed.bias"] = state.pop("features.3.squeeze.bias")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_renamed, ["1 missing ('features.3.squeeze.bias')", "Did you mean 'features.3.squeezed.bias'", "1 that this"]),
        (lambda s: [s.pop(name) for name in [*s][:5]], ["5 missing ('features.0.weight', 'features.0.bias'", ", ...)"]),
        (lambda s: s.update(more=torch.zeros(1)), ["1 that this network has no place for ('more')"]),
        (lambda s: s.update({"features.0.bias": torch.zeros(63)}), ["1 of another shape", "(63,)", "(64,)"]),
        (lambda s: s.update({"classifier.1.bias": torch.zeros(())}), ["1 of another shape", "()", "(7,)"]),
        (lambda s: s["features.0.bias"].fill_(float("nan")), ["'stem.0.conv.bias'", "not finite"]),
        (lambda s: [s.pop(name) for name in [*s][20:]], ["another network, or named as no library"]),
    ],
    ids=["renamed", "missing", "unused", "shape", "scalar", "nan", "most_missing"],
)
def test_each_difference_is_named(change: Change, said: list[str], theirs: nn.Module, tmp_path: Path) -> None:
    state = {name: value.clone() for name, value in theirs.state_dict().items()}
    change(state)
    message = refusal(saved(tmp_path / "w.pth", state))
    for words in said:
        assert words in message


class Touch:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


def test_a_pickled_object_is_not_made(theirs: nn.Module, tmp_path: Path) -> None:
    made = tmp_path / "made"
    hidden = {**theirs.state_dict(), "more": Touch(made)}
    for name, write in (
        ("plain.pkl", lambda path: path.write_bytes(pickle.dumps(Touch(made)))),
        ("torch.pth", lambda path: torch.save(Touch(made), path)),
        ("hidden.pth", lambda path: torch.save(hidden, path)),
        ("old.pth", lambda path: torch.save(hidden, path, _use_new_zipfile_serialization=False)),
        ("module.pth", lambda path: torch.save(nn.Linear(2, 2), path)),
    ):
        write(tmp_path / name)
        assert "state" in refusal(tmp_path / name)
        assert not made.exists()
    pickle.loads((tmp_path / "plain.pkl").read_bytes())
    assert made.exists(), "the file is one that would run"


@pytest.mark.parametrize("kind", ["safetensors", "pth", "old.pth"])
def test_a_file_that_is_cut_off_is_refused(kind: str, theirs: nn.Module, tmp_path: Path) -> None:
    path = tmp_path / f"w.{kind}"
    if kind == "old.pth":
        torch.save(theirs.state_dict(), path, _use_new_zipfile_serialization=False)
    else:
        saved(path, theirs.state_dict())
    whole = path.read_bytes()
    for end in (0, 5, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:end])
        refusal(path)
    path.write_bytes(whole)
    load(path)


def test_what_is_no_state_dict_is_refused(tmp_path: Path) -> None:
    torch.save([torch.zeros(1)], tmp_path / "list.pth")
    assert "hold list" in refusal(tmp_path / "list.pth")
    torch.save({"state_dict": {"a": torch.zeros(1)}, "epoch": 3}, tmp_path / "checkpoint.pth")
    assert "'state_dict'" in refusal(tmp_path / "checkpoint.pth")
    torch.save({"a": torch.zeros(1).to_sparse()}, tmp_path / "sparse.pth")
    assert "no plain tensor" in refusal(tmp_path / "sparse.pth")
    (tmp_path / "text.pth").write_text("weights\n" * 9)
    refusal(tmp_path / "text.pth")
    assert "cannot be read" in refusal(tmp_path / "missing.pth")
    os.mkfifo(tmp_path / "pipe.pth")
    assert "no plain file" in refusal(tmp_path / "pipe.pth")


def test_names_of_data_parallel_and_files_without_counters_are_known(theirs: nn.Module, tmp_path: Path) -> None:
    state = OrderedDict((f"module.{name}", value) for name, value in theirs.state_dict().items())
    path = saved(tmp_path / "blob", state)
    (tmp_path / "link.pth").symlink_to(path)  # as in caches of downloads
    _, begun = load(tmp_path / "link.pth")
    assert begun.share == pytest.approx(1.0)


def test_other_classes_begin_with_fresh_weights(theirs: nn.Module, tmp_path: Path) -> None:
    path = saved(tmp_path / "w.pth", theirs.state_dict())
    network, begun = load(path, reference("squeezenet1_1", classes=3))
    state = network.state_dict()
    assert begun.fresh == "head.0.conv"
    assert "head.0.conv begins with fresh weights" in begun.sentence
    total = sum(value.numel() for value in state.values())
    assert begun.share == pytest.approx(1 - 3 * 513 / total)
    assert torch.equal(state["stem.0.conv.weight"], theirs.state_dict()["features.0.weight"])


def test_grey_pictures_give_what_three_equal_channels_give(theirs: nn.Module, tmp_path: Path) -> None:
    network, _ = load(saved(tmp_path / "w.pth", theirs.state_dict()), reference("squeezenet1_1", channels=1))
    x = torch.randn(2, 1, 64, 64)
    with torch.no_grad():
        expected = theirs(x.expand(-1, 3, -1, -1))
        assert float(expected.abs().max()) > 0.1
        assert torch.allclose(network(x), expected, atol=1e-5)


def test_a_state_dict_of_our_own_names_is_known(tmp_path: Path) -> None:
    arch = reference("squeezenet1_1")
    network = nas.build(arch)
    for name in ("w.pth", "w.safetensors"):
        other, begun = load(saved(tmp_path / name, network.state_dict()))
        assert begun.names == "this network"
        assert begun.mean is None
        assert all(torch.equal(value, network.state_dict()[key]) for key, value in other.state_dict().items())


@pytest.mark.parametrize("same", [True, False])
def test_weights_of_ours_keep_the_layer_of_classes_only_for_the_same_ones(same: bool, tmp_path: Path) -> None:
    arch = reference("squeezenet1_1")
    network, path = nas.build(arch), tmp_path / "w.safetensors"
    classes = '["0", "1", "2", "3", "4", "5", "6"]' if same else '["a", "b", "c", "d", "e", "f", "g"]'
    about = {"architecture": arch.to_json(), "classes": classes, "mean": "[0.1, 0.2, 0.3]", "std": "[1, 1, 1]"}
    save_weights(path, network, about)
    other, begun = load(path)
    assert begun.mean == (0.1, 0.2, 0.3)
    assert begun.fresh == ("" if same else "head.0.conv")
    equal = {name: torch.equal(value, network.state_dict()[name]) for name, value in other.state_dict().items()}
    assert equal.pop("head.0.conv.weight") is same
    del equal["head.0.conv.bias"]  # zeros in both
    assert all(equal.values())
    assert (begun.share == pytest.approx(1.0)) is same


def test_a_header_that_says_nonsense_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    safetensors.torch.save_file({"a": torch.zeros(1)}, path, {"architecture": "[" * 100_000})
    assert "header" in refusal(path)


def test_another_network_takes_over_from_a_published_one(theirs: nn.Module, tmp_path: Path) -> None:
    """All that both have, and the layer of the classes fresh, as of a parent in a search."""
    parent = reference("squeezenet1_1")
    stages = (*parent.stages[:1], Section(parent.stages[1].blocks[1:]), *parent.stages[2:])
    arch = replace(parent, stages=stages)
    network, path = nas.build(arch), saved(tmp_path / "w.pth", theirs.state_dict())
    begun = begin_with(path, network, arch, NAMES, parent)
    state = network.state_dict()
    assert begun.names == "SqueezeNet of torchvision"
    assert begun.fresh == "head.0.conv"
    assert torch.equal(state["stem.0.conv.weight"], theirs.state_dict()["features.0.weight"])
    last = theirs.state_dict()["features.12.expand3x3.weight"]
    assert torch.equal(state["stages.2.blocks.3.expand3.conv.weight"], last)
    total = sum(value.numel() for value in state.values())
    assert 0.9 < begun.share <= 1 - 7 * 512 / total
    with pytest.raises(DataError, match="not of this network"):
        begin_with(path, network, arch, NAMES)
