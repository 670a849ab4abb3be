"""Data sets: contents, splits, and what is said of files that are not right."""

from __future__ import annotations

import errno
import gzip
import json
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import ExifTags, Image
from sklearn.datasets import load_digits

import nas
from nas.errors import ConfigError, DataError
from nas.exporting.reading import Reading
from nas.exporting.series_files import SeriesReading
from nas.training.data.config import DataConfig
from nas.training.data.image_files import read_image
from nas.training.data.load import load_data
from nas.training.data.registry import DATA_SETS, MOVED, check_files
from nas.training.data.split_by_place import split_indices
from nas.training.data.splits import ImageData, Images
from nas.training.data.test_split import Ledger, read_test_split
from tests.training.data_files import arrays_file, cifar_folder, hf_folder, idx_folder, own_module, write_idx
from tests.training.series_files_of_tests import waves_folder
from tests.training.tasks.pictures_with_targets import folder_for


def _image_folder(root: Path, splits: tuple[str, ...] = ("train",), size: tuple[int, int] = (12, 10)) -> Path:
    rng = np.random.default_rng(1)
    for split in splits:
        for name in ("cat", "dog"):
            folder = root / split / name
            folder.mkdir(parents=True)
            for i in range(8):
                pixels = rng.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / f"{i}.png")
    return root


MAKE: dict[str, Callable[[Path], DataConfig]] = {
    "arrays": lambda root: DataConfig(name="arrays", root=str(arrays_file(root))),
    "cells": lambda root: DataConfig(name="cells", samples=40, resolution=24, channels=1),
    "cifar10": lambda root: DataConfig(name="cifar10", root=str(cifar_folder(root, "cifar10", "python"))),
    "cifar100": lambda root: DataConfig(name="cifar100", root=str(cifar_folder(root, "cifar100", "binary"))),
    "digits": lambda root: DataConfig(name="digits"),
    "fashion_mnist": lambda root: DataConfig(name="fashion_mnist", root=str(idx_folder(root))),
    "hf": lambda root: DataConfig(name="hf", root=str(hf_folder(root))),
    "idx": lambda root: DataConfig(name="idx", root=str(idx_folder(root))),
    "image_folder": lambda root: DataConfig(name="image_folder", root=str(_image_folder(root))),
    "mask_folder": lambda root: folder_for("segmentation", root / "masked", images=60),
    "mnist1d": lambda root: DataConfig(name="mnist1d"),
    "own": lambda root: DataConfig(name="own", module=nas.own(own_module(root))),
    "series": lambda root: DataConfig(name="series", root=str(waves_folder(root / "waves"))),
    "synthetic": lambda root: DataConfig(name="synthetic", samples=200, num_classes=4),
}


def _test_images(config: DataConfig, folder: Path) -> Images:
    return read_test_split(config, Ledger(folder), arch_id="none", seed=0, purpose="a look at the split")


def _all(images: Images) -> torch.Tensor:
    return images.read(torch.arange(len(images.labels)))


def _statistics(data: ImageData) -> tuple[list[float], list[float]]:
    values = data.train.read(torch.arange(len(data.train.labels))).numpy()
    if isinstance(data.reading, SeriesReading):
        own, mask = values[:, : data.reading.channels].astype(np.float64), [*range(data.reading.mask)]
        return [*np.nanmean(own, (0, 2)), *(0.0 for _ in mask)], [*np.nanstd(own, (0, 2)), *(1.0 for _ in mask)]
    pixels = values / 255
    return pixels.mean((0, 2, 3)).tolist(), pixels.std((0, 2, 3)).tolist()


@pytest.mark.parametrize("name", DATA_SETS)
def test_every_data_set(name: str, tmp_path: Path) -> None:
    if name == "mnist1d":
        pytest.importorskip("mnist1d")
    config = MAKE[name](tmp_path)
    data = load_data(config)
    for split in (data.train, data.val, _test_images(config, tmp_path)):
        pixels = split.read(torch.tensor([0, len(split.labels) - 1]))
        assert pixels.dtype == (torch.float32 if DATA_SETS[name].series else torch.uint8)
        assert tuple(pixels.shape) == (2, *data.input_shape)
        assert split.labels.dtype == (torch.uint8 if data.task.dense else torch.int64)
        assert split.labels.shape[1:] == (data.input_shape[1:] if data.task.dense else ())
        labels = set(split.labels.unique().tolist())
        assert labels - {255} == set(range(data.num_classes))  # no class is left out
    assert list(data.mean) == pytest.approx(_statistics(data)[0], rel=1e-5)
    assert list(data.std) == pytest.approx(_statistics(data)[1], rel=1e-4)
    record = json.loads(json.dumps(data.record()))
    assert record["input_shape"] == list(data.input_shape)
    assert record["train_images"] == len(data.train.labels)
    assert record["classes"] == list(data.classes)
    for name_of_split, images in (("train", data.train), ("val", data.val), ("test", split)):
        has = [images.labels.reshape(len(images.labels), -1) == label for label in range(data.num_classes)]
        assert record["images_by_class"][name_of_split] == [int(of.any(1).sum()) for of in has]
        assert record[f"{name_of_split}_images"] == len(images.labels)


@pytest.mark.parametrize("name", DATA_SETS)
def test_a_root_is_refused_where_nothing_would_be_read_from_it(name: str, tmp_path: Path) -> None:
    """Whoever gives one has files of their own, and has forgotten data=."""
    none = name in ("cells", "digits", "mnist1d", "synthetic")
    assert DATA_SETS[name].has_files is not none
    if none:
        with pytest.raises(ConfigError, match=rf"data\.root='photos' would not be read, since {name} has no files"):
            check_files(DataConfig(name=name, root="photos"))


@pytest.mark.parametrize("scheme", [1, 2])
def test_digits_are_scikit_learns_in_three_disjoint_parts(scheme: int, tmp_path: Path) -> None:
    config = DataConfig(split_scheme=scheme)
    data = load_data(config)
    splits = (data.train, data.val, _test_images(config, tmp_path))
    found = torch.cat([_all(split) for split in splits])
    labels = torch.cat([split.labels for split in splits])
    bunch = load_digits()
    # Grey levels 0..16 as 0..255; as multisets of image and label, so nothing is lost or there twice.
    ours = sorted((bytes(p.numpy().tobytes()), int(y)) for p, y in zip(found, labels, strict=True))
    theirs = sorted(
        (np.rint(i * 255 / 16).astype(np.uint8).tobytes(), int(y))
        for i, y in zip(bunch.images, bunch.target, strict=True)
    )
    assert ours == theirs


@pytest.mark.parametrize("name", sorted({*DATA_SETS} - {"cells", "digits", "mnist1d", "own", "synthetic"}))
def test_where_the_folder_is_gone_it_is_said_how_to_name_another(name: str, tmp_path: Path) -> None:
    """A run that brings its data names the folder that they were in; whoever goes on with it has typed none."""
    if name == "hf":
        pytest.importorskip("datasets")
    config = DataConfig(name=name, root=str(tmp_path / "none"))
    with pytest.raises(DataError, match=rf"none.*\. {MOVED}$"):
        load_data(config)
    with suppress(DataError):  # not all of them look at files before
        check_files(config)
    (tmp_path / "none").mkdir()
    with pytest.raises(DataError) as error:
        load_data(config)
    assert MOVED not in str(error.value)


def test_a_split_is_fixed_by_its_seed() -> None:
    prints = [load_data(DataConfig(split_seed=seed)).fingerprint for seed in (0, 1)]
    load_data.cache_clear()
    assert prints == [load_data(DataConfig(split_seed=seed)).fingerprint for seed in (0, 1)]
    assert prints[0] != prints[1]


@given(st.lists(st.integers(0, 4), min_size=5, max_size=80), st.floats(0.05, 0.9), st.integers(0, 1000))
def test_splitting_is_a_stratified_partition(labels: list[int], fraction: float, seed: int) -> None:
    array = np.array(labels, dtype=np.int64)
    if max(np.bincount(array)) < 2:
        return
    rest, out = split_indices(array, fraction, seed)
    assert sorted([*rest.tolist(), *out.tolist()]) == list(range(len(labels)))
    for label in set(labels):
        count, held = labels.count(label), sum(labels[i] == label for i in out)
        assert held < count
        assert held == min(max(1, round(fraction * count)), count - 1)


def test_a_part_of_the_training_split_leaves_the_other_splits_as_they_are(tmp_path: Path) -> None:
    configs = [DataConfig(train_fraction=fraction) for fraction in (1.0, 0.25)]
    whole, part = map(load_data, configs)
    tests = [_test_images(config, tmp_path) for config in configs]
    assert len(part.train.labels) == round(0.25 * len(whole.train.labels))
    seen = {bytes(image.numpy().tobytes()) for image in whole.train.read(torch.arange(len(whole.train.labels)))}
    assert all(
        bytes(image.numpy().tobytes()) in seen for image in part.train.read(torch.arange(len(part.train.labels)))
    )
    assert all(torch.equal(_all(a), _all(b)) for a, b in ((whole.val, part.val), tests))
    # A search on a part is another search: it cannot be resumed as one on the whole.
    assert whole.fingerprint != part.fingerprint


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_idx_files_raw_and_compressed(tmp_path: Path, suffix: str) -> None:
    root = str(idx_folder(tmp_path, suffix))
    config = DataConfig(name="fashion_mnist", root=root, val_fraction=0.1, split_scheme=1)
    data, test = load_data(config), _test_images(config, tmp_path)
    assert (len(data.train.labels), len(data.val.labels), len(test.labels)) == (50, 10, 60)
    by_content = load_data(DataConfig(name="fashion_mnist", root=root, val_fraction=0.1)).record()
    assert (by_content["train_images"] + by_content["val_images"], by_content["test_images"]) == (60, 60)


def _truncate(root: Path) -> None:
    path = root / "train-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:-1])


def _magic(root: Path) -> None:
    path = root / "train-labels-idx1-ubyte"
    path.write_bytes(b"\0\0\x09\1" + path.read_bytes()[4:])


def _labels(root: Path) -> None:
    write_idx(root / "train-labels-idx1-ubyte", np.full(60, 10, dtype=np.uint8))


def _fewer(root: Path) -> None:
    write_idx(root / "train-labels-idx1-ubyte", np.zeros(59, dtype=np.uint8))


def _no_gzip(root: Path) -> None:
    (root / "train-images-idx3-ubyte").rename(root / "train-images-idx3-ubyte.gz")


def _torn_gzip(root: Path) -> None:
    path = root / "train-images-idx3-ubyte"
    (root / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(path.read_bytes())[:-100])
    path.unlink()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_truncate, "should hold 47040 bytes, has 47039"),
        (_magic, "is not an IDX file of bytes in 1 dimensions"),
        (_labels, "has a label over 9: 10"),
        (_fewer, "do not belong together"),
        (_no_gzip, "cannot be read"),
        (_torn_gzip, "cannot be read"),
        (lambda root: (root / "t10k-labels-idx1-ubyte").unlink(), "apt-get install dataset-fashion-mnist"),
    ],
)
def test_idx_files_that_are_not_right(tmp_path: Path, spoil: Callable[[Path], None], message: str) -> None:
    spoil(idx_folder(tmp_path, ""))
    with pytest.raises(DataError, match=message):
        load_data(DataConfig(name="fashion_mnist", root=str(tmp_path)))


def test_image_folder_takes_missing_splits_from_training(tmp_path: Path) -> None:
    config = DataConfig(name="image_folder", root=str(_image_folder(tmp_path / "one")), split_scheme=1)
    data = load_data(config)
    assert data.classes == ("cat", "dog")
    assert data.input_shape == (3, 10, 12)
    # 16 images: 20 % of 8 a class to the test, then 20 % of 6 to validation.
    assert [sum(counts) for counts in data.images_by_class.values()] == [10, 2, 4]
    assert len(_test_images(config, tmp_path).labels) == 4
    for scheme in (1, 2):
        root = _image_folder(tmp_path / f"three-{scheme}", ("train", "val", "test"))
        data = load_data(DataConfig(name="image_folder", root=str(root), split_scheme=scheme))
        assert [sum(counts) for counts in data.images_by_class.values()] == [16, 16, 16]


def test_images_are_scaled_to_cover_and_cut_at_the_centre(tmp_path: Path) -> None:
    root = _image_folder(tmp_path, ("train", "val", "test"))
    picture = np.zeros((8, 24, 3), dtype=np.uint8)
    picture[:, 8:16] = 200  # the middle third is what remains
    for number, path in enumerate(root.rglob("*.png")):
        picture[0, 0] = number  # it is cut off, and no image is another one's copy
        Image.fromarray(picture).save(path)
    data = load_data(DataConfig(name="image_folder", root=str(root), resolution=8, channels=1))
    assert data.input_shape == (1, 8, 8)
    assert set(data.train.read(torch.tensor([0])).flatten().tolist()) == {200}


def test_16_bit_palette_alpha_and_turned_images(tmp_path: Path) -> None:
    levels = np.array([[0, 256 * 100], [256 * 200, 65535]], dtype=np.uint16)
    Image.fromarray(levels).save(tmp_path / "deep.png")
    assert read_image(tmp_path / "deep.png", Reading((1, 2, 2))).tolist() == [[[0, 100], [200, 255]]]
    grey = Image.fromarray((levels >> 8).astype(np.uint8))
    for mode in ("P", "RGBA", "LA"):
        (grey if mode == "P" else grey.convert("RGB")).convert(mode).save(tmp_path / f"{mode}.png")
        assert read_image(tmp_path / f"{mode}.png", Reading((3, 2, 2)))[0].tolist() == [[0, 100], [200, 255]]
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6  # to be turned clockwise
    wide = Image.fromarray(np.array([[10, 20, 30]], dtype=np.uint8))
    wide.save(tmp_path / "turned.png", exif=exif)
    assert read_image(tmp_path / "turned.png", Reading((1, 3, 1))).tolist() == [[[10], [20], [30]]]


@pytest.mark.parametrize("scheme", [1, 2])
def test_from_disk_and_from_memory_are_the_same(scheme: int, tmp_path: Path) -> None:
    root = str(_image_folder(tmp_path))
    memory = load_data(DataConfig(name="image_folder", root=root, split_scheme=scheme))
    disk = load_data(DataConfig(name="image_folder", root=root, memory_mib=0, split_scheme=scheme))
    assert type(memory.train) is not type(disk.train)
    assert memory.fingerprint == disk.fingerprint
    indices = torch.arange(len(memory.train.labels))
    assert torch.equal(memory.train.read(indices), disk.train.read(indices))


def _broken_image(root: Path) -> None:
    (root / "train" / "cat" / "3.png").write_bytes(b"no image")


def _other_size(root: Path) -> None:
    Image.new("RGB", (5, 5)).save(root / "train" / "cat" / "3.png")


def _no_dogs(root: Path) -> None:
    for path in (root / "train" / "dog").iterdir():
        path.unlink()


def _other_classes(root: Path) -> None:
    (root / "val" / "cow").mkdir(parents=True)
    (root / "val" / "cat").mkdir(parents=True)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_broken_image, r"1 are no pictures, or their first bytes are damaged: train/cat/3\.png"),
        (_other_size, r"2 sizes, most often 12x10 \(15\), 5x5 \(1\) .* give data\.resolution="),
        (_no_dogs, "1 class has no picture to train on that can be used: dog"),
        (_other_classes, r"val has a class 'cow' that .*train has not\. Known: cat, dog"),
        (lambda root: (root / "train").rename(root / "val"), "has val, but no folder for training"),
    ],
)
def test_image_folders_that_are_not_right(tmp_path: Path, spoil: Callable[[Path], None], message: str) -> None:
    spoil(_image_folder(tmp_path))
    with pytest.raises(DataError, match=message):
        load_data(DataConfig(name="image_folder", root=str(tmp_path)))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"name": "cifra"}, "unknown data set 'cifra'"),
        ({"augment": "shfit"}, "Did you mean 'shift'"),
        ({"val_fraction": 1.0}, "`0 < val_fraction < 1` must hold, but got 1.0"),
        ({"test_fraction": 0.0}, "`0 < test_fraction < 1`"),
        ({"train_fraction": 1.5}, "`0 < train_fraction <= 1` must hold, but got 1.5"),
        ({"channels": 2}, "must be 1 or 3, but got 2"),
        ({"resolution": 0}, "resolution must be >= 1"),
        ({"samples": 1}, "samples must be >= 10"),
        ({"split_scheme": 4}, "split_scheme must be <= 3, but got 4"),
    ],
)
def test_bad_settings(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        DataConfig(**settings)


def test_too_few_images_to_split_are_an_error_that_says_so(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / "train" / name).mkdir(parents=True)
        for i in range(2):
            Image.new("L", (8, 8), 40 * i + ord(name)).save(tmp_path / "train" / name / f"{i}.png")
    with pytest.raises(DataError, match="the validation split has no images"):
        load_data(DataConfig(name="image_folder", root=str(tmp_path), channels=1, split_scheme=1))
    # Where a class has two, and a split none, one is moved: a class of one image has it in training.
    for path in tmp_path.rglob("1.png"):
        path.unlink()
    with pytest.raises(DataError, match="the validation split has no images"):
        load_data(DataConfig(name="image_folder", root=str(tmp_path), channels=1))


def test_a_data_set_of_fixed_size_refuses_another_resolution() -> None:
    with pytest.raises(ConfigError, match="digits keeps its size, but got 64"):
        DataConfig(name="digits", resolution=64)


def test_a_class_folder_that_is_no_text_is_refused(tmp_path: Path) -> None:
    for name in (b"caf\xe9", b"dog"):
        folder = os.path.join(os.fsencode(tmp_path), b"train", name)
        os.makedirs(folder)
    with pytest.raises(DataError, match=r"class folder 'caf\\udce9' in .* must have a name in UTF-8"):
        load_data(DataConfig(name="image_folder", root=str(tmp_path)))


@pytest.mark.parametrize("name", ["arrays", "cifar10", "idx", "image_folder", "mask_folder", "series"])
def test_what_may_not_be_read_is_said(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = DataConfig(name=name, root=str(tmp_path))

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(tmp_path))

    for place in (os, Path):  # who may read everything is refused nothing
        for function in ("scandir", "listdir", "iterdir", "is_file", "is_dir"):
            if hasattr(place, function):
                monkeypatch.setattr(place, function, refuse)
    with pytest.raises(DataError) as raised:
        load_data(config)
    assert str(raised.value) == f"data {name}: {tmp_path}: Permission denied"


def test_a_path_without_an_end_is_said(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    for name in ("arrays", "cifar10", "idx", "image_folder", "mask_folder", "series"):
        with pytest.raises(DataError, match=f"data {name}: .*loop"):
            load_data(DataConfig(name=name, root=str(tmp_path / "loop")))
