"""Folds of k-fold validation: each image is in one, classes are in proportion, and other images move few."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from sklearn.model_selection import StratifiedKFold

from nas.commands.data import data_command
from nas.errors import ConfigError, DataError
from nas.training.data.config import DataConfig
from nas.training.data.content import digests_of
from nas.training.data.folds import IN_NONE, fold_numbers, folds_of
from nas.training.data.load import load_data, load_fold, load_learned
from nas.training.data.overview import overview
from nas.training.data.registry import DATA_SETS
from nas.training.data.splits import Images
from nas.training.data.test_split import Ledger, read_test_split
from tests.training.tasks.pictures_with_targets import folder_for
from tests.training.test_data import MAKE

# An image is a content and a class; contents come up more than once, in one class or in several.
PICTURES = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 4)), min_size=1, max_size=80)


def _digest(content: object) -> bytes:
    return hashlib.sha256(str(content).encode()).digest()


def _numbers(pictures: Sequence[tuple[int, int]], count: int, seed: int = 0) -> list[int]:
    digests, classes = [_digest(content) for content, _ in pictures], [label for _, label in pictures]
    return [int(number) for number in fold_numbers(digests, classes, count, seed)]


@given(PICTURES, st.integers(2, 7), st.integers(0, 3))
def test_each_image_is_in_one_fold_with_its_copies_and_classes_are_in_equal_number(
    pictures: list[tuple[int, int]], count: int, seed: int
) -> None:
    numbers = _numbers(pictures, count, seed)
    of_content: dict[int, set[int]] = {}
    for (content, _), number in zip(pictures, numbers, strict=True):
        of_content.setdefault(content, set()).add(number)
    assert all(len(folds) == 1 for folds in of_content.values())
    classes = {content: min(label for one, label in pictures if one == content) for content in of_content}
    for label in set(classes.values()):
        held = [next(iter(of_content[content])) for content, own in classes.items() if own == label]
        if len(held) == 1:
            assert held == [IN_NONE]
            continue
        by_fold = [held.count(number) for number in range(1, count + 1)]
        assert sum(by_fold) == len(held)
        assert max(by_fold) - min(by_fold) <= 1
    digests = [_digest(content) for content, _ in pictures]
    for number, fold in enumerate(folds_of(digests, [label for _, label in pictures], count, seed), start=1):
        assert sorted([*fold.train, *fold.val]) == list(range(len(pictures)))
        assert {*fold.val} == {place for place, own in enumerate(numbers) if own == number}


def test_folds_hold_each_class_as_often_as_scikit_learns() -> None:
    classes = [0] * 53 + [1] * 20 + [2] * 7 + [3] * 31
    numbers = np.array(_numbers([(place, label) for place, label in enumerate(classes)], 5))
    theirs = [fold for _, fold in StratifiedKFold(5).split(np.zeros((len(classes), 1)), classes)]
    for label in range(4):
        ours = sorted(int((np.array(classes)[numbers == number] == label).sum()) for number in range(1, 6))
        assert ours == sorted(int((np.array(classes)[fold] == label).sum()) for fold in theirs)


@pytest.mark.parametrize(("classes", "count"), [(1, 5), (4, 5), (4, 10)])
def test_another_image_moves_few_of_its_class_and_none_of_others(classes: int, count: int) -> None:
    """Dealt out in some order, four in five of those behind it would move."""
    pictures = [(place, place % classes) for place in range(200)]
    moved = []
    for new in range(1000, 1060):
        before = _numbers(pictures, count)
        pictures.append((new, new % classes))
        now = _numbers(pictures, count)
        changed = [place for place, number in enumerate(before) if now[place] != number]
        assert {pictures[place][1] for place in changed} <= {new % classes}
        moved.append(len(changed))
    assert np.mean(moved) < count / 2
    assert max(moved) <= 2 * count
    # Taking it away is the same the other way round, in whatever order the images come.
    again = _numbers([*reversed(pictures)], count)
    assert [*reversed(again)] == _numbers(pictures, count)


def test_another_seed_is_another_division() -> None:
    pictures = [(place, 0) for place in range(100)]
    assert _numbers(pictures, 5, 0) != _numbers(pictures, 5, 1)


def _contents(images: Images) -> Counter[bytes]:
    values = images.read(torch.arange(len(images.labels))).numpy()
    values = np.nan_to_num(values, nan=np.inf) if values.dtype == np.float32 else values
    return Counter(digests_of(np.ascontiguousarray(values).view(np.uint8)))


@pytest.mark.parametrize("name", DATA_SETS)
def test_folds_of_every_data_set(name: str, tmp_path: Path) -> None:
    if name == "mnist1d":
        pytest.importorskip("mnist1d")
    config = MAKE[name](tmp_path)
    whole = load_data(config)
    config = replace(config, folds=2)
    data = load_data(config)
    assert data.fingerprint == whole.fingerprint
    everything = _contents(whole.train) + _contents(whole.val)
    test = _contents(read_test_split(config, Ledger(tmp_path), arch_id="", seed=0, purpose="a test"))
    held = Counter[bytes]()
    for number in (1, 2):
        fold = load_fold(config, number)
        train, val = _contents(fold.train), _contents(fold.val)
        assert train + val == everything
        assert not val.keys() & train.keys()
        assert not test.keys() & everything.keys()
        assert fold.record()["fold"] == [number, 2]
        assert data.fold_images_by_class[number - 1] == fold.images_by_class["val"]
        pixels = fold.train.read(torch.arange(len(fold.train.labels))).double()[:, : data.input_shape[0]]
        if not DATA_SETS[name].series:
            assert list(fold.mean) == pytest.approx((pixels / 255).mean(dim=(0, 2, 3)).tolist(), rel=1e-5)
            assert list(fold.std) == pytest.approx((pixels / 255).std(dim=(0, 2, 3), correction=0).tolist(), rel=1e-4)
        held += val
    alone = everything - held
    assert data.scored_images == sum(held.values()) == sum(data.record()["fold_images"])
    assert all(count == 1 for count in alone.values())
    assert sum(alone.values()) <= data.num_classes
    assert "2 folds" in data.notes[-1]
    assert load_learned(config) is load_fold(config, 1)
    assert load_learned(replace(config, folds=0)).fold is None


@pytest.mark.parametrize("task", ["multilabel", "regression"])
def test_folds_of_other_targets(task: str, tmp_path: Path) -> None:
    config = replace(folder_for(task, tmp_path / task), folds=4)
    data = load_data(config)
    targets = torch.cat([data.train.labels, data.val.labels]).numpy()
    for number in range(1, 5):
        fold = load_fold(config, number)
        if task == "regression":
            assert fold.scale is not None
            trained_on = fold.train.labels.double().numpy()
            assert fold.scale.mean == pytest.approx(trained_on.mean(axis=0))
            assert fold.scale.std == pytest.approx(trained_on.std(axis=0))
            assert abs(len(fold.val.labels) - len(targets) / 4) <= 1
        else:
            shares = fold.val.labels.double().mean(dim=0).numpy()
            assert np.abs(shares - targets.mean(axis=0)).max() < 0.15


def _pictures(root: Path, classes: dict[str, int]) -> DataConfig:
    rng = np.random.default_rng(3)
    for name, count in classes.items():
        (root / name).mkdir(parents=True)
        for place in range(count):
            Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(root / name / f"{place}.png")
    return DataConfig(name="image_folder", root=str(root), folds=5, cache="none")


def test_a_cache_and_files_read_batch_by_batch_have_the_same_folds(tmp_path: Path) -> None:
    config = _pictures(tmp_path / "pictures", {"cat": 30, "dog": 22})
    (tmp_path / "cache").mkdir()
    kept, cached, read = (
        load_fold(replace(config, **changes), 2)
        for changes in ({}, {"cache": str(tmp_path / "cache")}, {"memory_mib": 0})
    )
    for other in (cached, read):
        assert (other.mean, other.std) == (kept.mean, kept.std)
        for split in ("train", "val"):
            ours, theirs = getattr(kept, split), getattr(other, split)
            some = torch.tensor([len(ours.labels) - 1, 0, 3])
            assert torch.equal(ours.read(some), theirs.read(some))
            assert torch.equal(ours.labels, theirs.labels)
    assert any((tmp_path / "cache").iterdir())


def test_an_image_that_alone_shows_its_class_is_always_trained_on(tmp_path: Path) -> None:
    config = _pictures(tmp_path / "pictures", {"cat": 30, "dog": 30, "emu": 1})
    data = load_data(config)
    assert "but for 1 of which no other shows the class" in data.notes[-1]
    for number in range(1, 6):
        fold = load_fold(config, number)
        assert fold.images_by_class["train"][2] == 1
        assert fold.images_by_class["val"][2] == 0
    assert overview(config).folds == data.fold_images_by_class


def test_more_folds_than_images_are_refused(tmp_path: Path) -> None:
    config = replace(_pictures(tmp_path / "pictures", {"cat": 8, "dog": 8}), folds=40)
    with pytest.raises(DataError, match=r"fold \d+ of 40 has no images, .* together: data.folds must be smaller"):
        load_data(config)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"folds": 1}, "data.folds must be 2 or more, such as 5, or 0 .*, but got 1"),
        ({"folds": -1}, "data.folds must be"),
        ({"folds": 101}, "data.folds must be"),
        ({"folds": 5, "split_scheme": 1}, "data.split_scheme=1 does not; set it to 3"),
        ({"folds": 5, "train_fraction": 0.5}, "data.train_fraction is 0.5; set it to 1, or data.folds to 0"),
    ],
)
def test_what_does_not_go_with_folds_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        DataConfig(name="digits", **settings)


def test_the_command_shows_the_images_of_each_fold(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    page = tmp_path / "data.html"
    assert data_command({"page": str(page), "data": {"name": "digits", "folds": 3}}) == 0
    said = capsys.readouterr().out
    counts = load_data(DataConfig(name="digits", folds=3)).fold_images_by_class
    (row,) = [line.split() for line in said.splitlines() if line.startswith("7 ")]
    assert row[4:] == [str(fold[7]) for fold in counts]
    assert "in 3 folds of" in said
    assert "fold 3" in page.read_text()
