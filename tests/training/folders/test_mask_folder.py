"""Folders of pictures with masks: forms that are read, what masks may be, and all that is wrong said at once."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from nas.errors import DataError
from nas.training.data.config import DataConfig
from nas.training.data.folders.masks import masked_pictures
from nas.training.data.load import load_data
from nas.training.data.registry import check_files

SIDE = 10


def _pair(
    folder: Path, name: str, seed: int, *, images: str = "images", masks: str = "masks", classes: int = 3
) -> None:
    rng = np.random.default_rng(seed)
    for inner in (images, masks):
        (folder / inner / name).parent.mkdir(parents=True, exist_ok=True)
    levels = rng.integers(0, 256, (SIDE, SIDE, 3)).astype(np.uint8)
    Image.fromarray(levels).save((folder / images / name).with_suffix(".png"))
    mask = rng.integers(0, classes, (SIDE, SIDE)).astype(np.uint8)
    Image.fromarray(mask).save((folder / masks / name).with_suffix(".png"))


def _folder(root: Path, count: int = 30) -> Path:
    for number in range(count):
        _pair(root, f"p{number}", number)
    return root


def _config(root: Path, **changes: object) -> DataConfig:
    return DataConfig(name="mask_folder", root=str(root), **changes)  # type: ignore[arg-type]


def _splits_around(root: Path) -> None:
    for split, count in (("train", 6), ("Valid", 3), ("test", 2)):
        for number in range(count):
            _pair(root / split, f"{split}{number}", hash((split, number)) % 2**32)


def _splits_inside(root: Path) -> None:
    for split, count in (("training", 6), ("validation", 3), ("testing", 2)):
        for number in range(count):
            name = f"{split}/deep/{number}"
            _pair(root, name, hash((split, number)) % 2**32, images="JPEGImages", masks="annotations")


@pytest.mark.parametrize("write", [_splits_around, _splits_inside])
def test_splits_may_be_around_or_inside_the_folders(write: Callable[[Path], None], tmp_path: Path) -> None:
    write(tmp_path)
    data = load_data(_config(tmp_path))
    assert data.images == {"train": 6, "val": 3, "test": 2}
    assert data.classes == ("0", "1", "2")
    assert data.input_shape == (3, SIDE, SIDE)
    for images, wanted in ((data.train, "train"), (data.val, "val")):
        for path in images.files:  # type: ignore[attr-defined]  # of files
            assert wanted in str(path.relative_to(tmp_path)).lower()


def test_pixels_and_masks_are_those_of_the_files(tmp_path: Path) -> None:
    _folder(tmp_path)
    for data in (load_data(_config(tmp_path)), load_data(_config(tmp_path, memory_mib=0))):
        pixels = data.train.read(torch.arange(len(data.train.labels)))
        for place, path in enumerate(data.train.files):  # type: ignore[attr-defined]  # of files
            np.testing.assert_array_equal(pixels[place].permute(1, 2, 0), np.asarray(Image.open(path)))
            mask = np.asarray(Image.open(tmp_path / "masks" / path.name))
            np.testing.assert_array_equal(data.train.labels[place], mask)


def test_masks_are_resized_by_the_nearest_and_pictures_bilinearly(tmp_path: Path) -> None:
    _folder(tmp_path)
    data = load_data(_config(tmp_path, resolution=16, fit="squash"))
    for place, path in enumerate(data.val.files):  # type: ignore[attr-defined]  # of files
        with Image.open(tmp_path / "masks" / path.name) as mask, Image.open(path) as picture:
            small = np.asarray(mask.resize((16, 16), Image.Resampling.NEAREST))
            seen = np.asarray(picture.resize((16, 16), Image.Resampling.BILINEAR))
        np.testing.assert_array_equal(data.val.labels[place], small)
        np.testing.assert_array_equal(data.val.read(torch.tensor([place]))[0].permute(1, 2, 0), seen)


def test_palettes_wide_levels_names_and_what_is_ignored(tmp_path: Path) -> None:
    _folder(tmp_path)
    (tmp_path / "classes.txt").write_text("sky\nsea\n\n land \n")
    first = np.array(Image.open(tmp_path / "masks" / "p0.png"))
    first[0] = 7
    Image.fromarray(first.astype(np.uint16)).save(tmp_path / "masks" / "p0.png")
    second = Image.open(tmp_path / "masks" / "p1.png").copy()
    levels = np.asarray(second).copy()
    second.putpalette(list(range(255, -1, -1)) * 3)
    second.save(tmp_path / "masks" / "p1.png")
    found = masked_pictures(_config(tmp_path, ignore=7))
    assert found.classes == ("sky", "sea", "land")
    by_name = dict(zip((path.stem for path in found.files["train"]), found.masks["train"], strict=True))
    assert (by_name["p0"][0] == 255).all()
    np.testing.assert_array_equal(by_name["p0"][1:], first[1:])
    np.testing.assert_array_equal(by_name["p1"], levels)


def _all_that_is_wrong(root: Path) -> dict[str, str]:
    """Spoil files; return a part of what is to be said of each."""
    images, masks = root / "images", root / "masks"
    (masks / "p0.png").unlink()
    (images / "p1.png").unlink()
    Image.new("L", (SIDE, SIDE + 1)).save(masks / "p2.png")
    Image.new("RGB", (SIDE, SIDE), (0, 128, 0)).save(masks / "p3.png")
    (masks / "p4.png").unlink()
    Image.new("L", (SIDE, SIDE)).save(masks / "p4.jpg")
    Image.new("L", (SIDE, SIDE), 9).save(masks / "p5.png")
    (images / "p6.png").write_bytes((images / "p6.png").read_bytes()[:60])
    Image.fromarray(np.full((SIDE, SIDE), 1000, dtype=np.uint16)).save(masks / "p7.png")
    Image.new("RGB", (SIDE, SIDE)).save(images / "p8.bmp")
    whole = (masks / "p9.png").read_bytes()
    (masks / "p9.png").write_bytes(whole[:43] + b"broken" + whole[49:])
    return {
        "images/p0.png": "images without a mask of the same name",
        "masks/p1.png": "masks without an image of the same name",
        "masks/p2.png": "another size than their image",
        "masks/p3.png": "masks in colour: save the number of each pixel's class",
        "masks/p4.jpg": "masks as JPEG or WebP, which do not keep numbers",
        "masks/p5.png": "hold level 9, but there are 3 classes, 0 to 2",
        "images/p6.png": "cut off at their end",
        "masks/p7.png": "hold level 1000, but there may be 255 classes",
        "images/p8.png": "have the same name as another but for its ending",
        "masks/p9.png": "",
    }


def test_all_that_is_wrong_is_said_at_once_or_left_out(tmp_path: Path) -> None:
    _folder(tmp_path)
    (tmp_path / "classes.txt").write_text("a\nb\nc\n")
    wrong = _all_that_is_wrong(tmp_path)
    with pytest.raises(DataError) as found:
        check_files(_config(tmp_path))
    text = str(found.value)
    assert f"{len(wrong)} of 59 files" in text
    for name, why in wrong.items():
        (line,) = [line for line in text.splitlines() if name in line]
        assert why in line
    data = load_data(_config(tmp_path, bad="skip"))
    # Of p8 the picture that was found first is used.
    assert sum(data.images.values()) == 30 - len(wrong) + 1
    assert any(f"{len(wrong)} of 59 files are left out" in note for note in data.notes)


def _no_masks(root: Path) -> None:
    for number in range(3):
        _pair(root, f"{number}", number, masks="other")


def _two_folders_of_masks(root: Path) -> None:
    _pair(root, "a", 0)
    _pair(root, "a", 0, masks="labels")


def _other_splits(root: Path) -> None:
    _pair(root, "train/a", 0)
    (root / "masks" / "val").mkdir()


def _black_and_white(root: Path) -> None:
    _folder(root, 4)
    for path in (root / "masks").iterdir():
        Image.fromarray(np.array([[0, 255]] * SIDE, dtype=np.uint8).repeat(SIDE // 2, 1)).save(path)


def _names_twice(root: Path) -> None:
    _folder(root, 4)
    (root / "classes.txt").write_text("a\na\n")


def _names_in_a_pipe(root: Path) -> None:
    _folder(root, 4)
    os.mkfifo(root / "classes.txt")


def _sizes(root: Path) -> None:
    _folder(root, 4)
    for folder in ("images", "masks"):
        Image.new("L", (7, 8)).save(root / folder / "p0.png")


def _class_without_pixels(root: Path) -> None:
    _folder(root, 20)
    (root / "classes.txt").write_text("a\nb\nc\nnever\n")


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda root: None, "must have one folder of images, but has none"),
        (_no_masks, "must have one folder of masks, but has none"),
        (_two_folders_of_masks, "must have one folder of masks, but has labels and masks"),
        (_other_splits, "has the splits train, but .* has train, val"),
        (_black_and_white, "one class, two are needed.*save them with 1"),
        (_names_twice, "classes.txt must have .* but it has 'a' twice"),
        (_names_in_a_pipe, "classes.txt must be a text file of names, but is none: it is a pipe"),
        (_sizes, "2 sizes, most often 10x10 .*give data.resolution"),
        (_class_without_pixels, "1 classes have no pixel in training images: never"),
    ],
)
def test_what_is_refused(write: Callable[[Path], None], message: str, tmp_path: Path) -> None:
    write(tmp_path)
    with pytest.raises(DataError, match=message):
        load_data(_config(tmp_path))
