"""Splits by content: what moves an image, and what does not; duplicates, classes of few images, given splits."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from scipy.stats import binom, binomtest

from nas.errors import DataError
from nas.training.data.config import DataConfig
from nas.training.data.content import SPLITS, TEST, TRAIN, VAL, assign, digests_of, first_part, in_proportion
from nas.training.data.load import load_data
from nas.training.data.registry import DATA_SETS
from nas.training.data.split_by_content import source_of, split_by_content
from nas.training.data.splits import Images, MemoryImages
from nas.training.data.test_split import Ledger, read_test_split

SHARES = {TEST: 0.2, VAL: 0.25}

# An image is a content and a class; contents come up more than once, in one class or in several.
PICTURES = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 4)), min_size=1, max_size=60)


def _digest(content: int) -> bytes:
    return hashlib.sha256(str(content).encode()).digest()


def _assigned(pictures: Sequence[tuple[int, int]], seed: int = 0) -> tuple[dict[int, str], set[int]]:
    """The split of each content, and the contents that were moved; each content has one split."""
    found = assign([_digest(content) for content, _ in pictures], [label for _, label in pictures], SHARES, seed)
    splits: dict[int, str] = {}
    for (content, _), split in zip(pictures, found.splits, strict=True):
        assert splits.setdefault(content, split) == split
    return splits, {content for content in splits if _digest(content) in found.moved}


@given(PICTURES, PICTURES, st.integers(0, 5))
def test_other_images_move_no_image(before: list[tuple[int, int]], added: list[tuple[int, int]], seed: int) -> None:
    """Also duplicates, and contents of a class that get another one: only what was moved by exception may move."""
    (first, moved), (second, moved_too) = (_assigned(pictures, seed) for pictures in (before, before + added))
    changed = {content for content, split in first.items() if second[content] != split}
    assert changed <= moved | moved_too
    # Taking them away is the same the other way round, in whatever order the images come.
    assert _assigned([*reversed(before)], seed) == (first, moved)
    # A class is touched only by what is added to it, or shares a content with it.
    if not {content for content, _ in added} & {content for content, _ in before}:
        classes = {label for _, label in added}
        assert all(label in classes for content, label in before if content in changed)


@given(PICTURES)
def test_exceptions_are_few_and_only_for_classes_that_would_be_missing(pictures: list[tuple[int, int]]) -> None:
    found = assign([_digest(content) for content, _ in pictures], [label for _, label in pictures], SHARES, 0)
    own = {
        content: {label for other, label in pictures if other == content} for content in {one for one, _ in pictures}
    }
    for label in {label for _, label in pictures}:
        held = {content: split for (content, one), split in zip(pictures, found.splits, strict=True) if one == label}
        pure = {content for content in held if len(own[content]) == 1}
        moved = {content: found.moved[_digest(content)] for content in pure if _digest(content) in found.moved}
        assert len(set(moved.values())) == len(moved) <= 2  # one a split
        for content, split in moved.items():
            assert [one for one, into in held.items() if into == split] == [content]  # it is the only one there
        if pure:
            assert TRAIN in held.values()
        if len(pure) == len(held) >= 3:
            assert set(held.values()) == set(SPLITS)


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize(("count", "splits"), [(1, [{TRAIN}]), (2, [{TRAIN, TEST}, {TRAIN, VAL}]), (3, [{*SPLITS}])])
def test_classes_of_few_images(count: int, splits: list[set[str]], seed: int) -> None:
    found, _ = _assigned([(seed * 10 + i, 0) for i in range(count)], seed)
    assert set(found.values()) in splits


def test_shares_are_binomial_in_every_class() -> None:
    """30,000 images of 3 classes: each share within what chance alone gives in all but one of a million cases."""
    pictures = [(content, content % 3) for content in range(30_000)]
    for seed in (0, 1):
        found, moved = _assigned(pictures, seed)
        assert not moved
        for label in range(3):
            counts = Counter(found[content] for content, one in pictures if one == label)
            low, high = binom.interval(1 - 1e-6, 10_000, 0.2)
            assert low <= counts[TEST] <= high
            rest = 10_000 - counts[TEST]
            low, high = binom.interval(1 - 1e-6, rest, 0.25)
            assert low <= counts[VAL] <= high
    # Another seed draws anew: two splits agree as often as independent ones do.
    first, second = (_assigned(pictures, seed)[0] for seed in (0, 1))
    both = sum(first[content] == second[content] == TEST for content, _ in pictures)
    assert binomtest(both, 30_000, 0.2**2).pvalue > 1e-6


def test_a_number_below_the_share_as_anybody_can_work_it_out() -> None:
    """SHA-256 of `seed/split/` and the digest; its first eight bytes as a fraction of 2^64."""
    pixels = np.arange(6, dtype=np.uint8).reshape(1, 1, 2, 3)
    digest = hashlib.sha256(b"1x2x3:" + bytes(range(6))).digest()
    assert digests_of(pixels) == [digest]
    drawn = int(hashlib.sha256(b"7/test/" + digest).hexdigest()[:16], 16) / 2**64
    others = [_digest(content) for content in range(100)]  # so that nothing is moved
    for share in (drawn * 0.999, drawn * 1.001):
        found = assign([digest, *others], [0] * 101, {TEST: share}, 7)
        assert (found.splits[0] == TEST) == (drawn < share)


@given(st.lists(st.integers(0, 3), min_size=1, max_size=60), st.integers(0, 60))
def test_any_first_part_holds_the_classes_in_proportion(labels: list[int], part: int) -> None:
    digests = [_digest(content) for content in range(len(labels))]
    order = in_proportion(range(len(labels)), digests, labels)
    assert sorted(order) == list(range(len(labels)))
    first = Counter(labels[place] for place in order[:part])
    for label, count in Counter(labels).items():
        # Off by less than one image of the class, and less than one of each other class before it.
        assert abs(first[label] - min(part, len(labels)) * count / len(labels)) < len(set(labels))
    shuffled = in_proportion(reversed(range(len(labels))), digests, labels)
    assert shuffled == order


# Data sets


def _test_images(config: DataConfig, folder: Path) -> Images:
    return read_test_split(config, Ledger(folder), arch_id="none", seed=0, purpose="a look at the split")


def _contents(images: Images) -> list[bytes]:
    return [bytes(image.numpy().tobytes()) for image in images.read(torch.arange(len(images.labels)))]


def _by_split(config: DataConfig, folder: Path) -> dict[bytes, str]:
    """The split of each image by its pixels."""
    data = load_data(config)
    splits = {TRAIN: data.train, VAL: data.val, TEST: _test_images(config, folder)}
    return {content: split for split, images in splits.items() for content in _contents(images)}


def _noise(seed: int, size: tuple[int, int] = (12, 10), mode: str = "RGB") -> Image.Image:
    shape = (size[1], size[0], 3) if mode == "RGB" else (size[1], size[0])
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8))


def _folder(root: Path, count: int = 20, mode: str = "RGB") -> Path:
    for number, name in enumerate(("cat", "cow", "dog")):
        (root / "train" / name).mkdir(parents=True)
        for i in range(count):
            _noise(1000 * number + i, mode=mode).save(root / "train" / name / f"{i:02}.png")
    return root


def _config(root: Path, **changes: Any) -> DataConfig:
    load_data.cache_clear()  # files have changed
    return DataConfig(name="image_folder", root=str(root), **changes)


@pytest.mark.parametrize("memory_mib", [0, 100])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_files_that_come_go_and_are_copied_move_no_other(tmp_path: Path, mode: str, memory_mib: int) -> None:
    changes = {"memory_mib": memory_mib, "channels": 3 if mode == "RGB" else 1}
    root = _folder(tmp_path / "images", mode=mode)
    before = _by_split(_config(root, **changes), tmp_path)
    assert len(before) == 60
    cats = root / "train" / "cat"
    for i in range(30):
        _noise(9000 + i, mode=mode).save(cats / f"a-{i}.png")  # they come first
    for i in range(5, 20):
        (cats / f"{i:02}.png").rename(cats / f"z{i}.png")
    (cats / "z7.png").rename(root / "train" / "z7.png")  # out of the classes
    (cats / "copy.png").write_bytes((cats / "00.png").read_bytes())
    Image.open(cats / "01.png").save(cats / "again.bmp")
    after = _by_split(_config(root, **changes), tmp_path)
    assert len(after) == 60 + 30 - 1
    assert {content: after.get(content, split) for content, split in before.items()} == before


def test_the_split_is_the_same_at_any_size_and_in_grey(tmp_path: Path) -> None:
    """Seen by the number of images in each split of 60 classes."""
    for i in range(60):
        (tmp_path / "train" / f"{i:02}").mkdir(parents=True)
        for j in range(6):
            _noise(100 * i + j).save(tmp_path / "train" / f"{i:02}" / f"{j}.png")
    every = [
        load_data(_config(tmp_path, **changes)).images_by_class
        for changes in ({}, {"resolution": 4}, {"channels": 1}, {"memory_mib": 0, "resolution": 7})
    ]
    assert every == [every[0]] * 4


def test_copies_are_in_one_split_and_those_of_several_classes_are_named(tmp_path: Path) -> None:
    root = _folder(tmp_path / "images", count=8)
    dogs = root / "train" / "dog"
    for i in range(8):
        (dogs / f"cat{i}.png").write_bytes((root / "train" / "cat" / f"{i:02}.png").read_bytes())
    config = _config(root)
    data, test = load_data(config), _test_images(config, tmp_path)
    held = [{*_contents(images)} for images in (data.train, data.val, test)]
    assert sum(map(len, held)) == len(held[0] | held[1] | held[2]) == 24
    assert sum(map(sum, data.images_by_class.values())) == 32  # all copies are there
    (note,) = [note for note in data.notes if "several classes" in note]
    assert note.startswith("8 images are in several classes, at most one of which is right: train/cat/00")
    assert "train/cat/00.png (cat) is train/dog/cat0.png (dog)" in note
    assert note.endswith(", ...")
    assert load_data(config).record()["notes"] == list(data.notes)


def test_an_image_that_is_in_the_test_split_too_is_left_out_of_training(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    root = _folder(tmp_path / "images", count=8)
    for split in ("val", "test"):
        for name in ("cat", "cow", "dog"):
            (root / split / name).mkdir(parents=True)
            for i in range(3):
                _noise(7000 + 100 * i + len(name + split)).save(root / split / name / f"{i}.png")
    for number, name in enumerate(("cat", "cow", "dog")):
        _noise(8000 + number).save(root / "val" / name / "own.png")
        _noise(8500 + number).save(root / "test" / name / "own.png")
    _noise(3).save(root / "test" / "cat" / "seen.bmp")  # as train/cat/03.png
    _noise(1004).save(root / "val" / "cow" / "seen.png")
    for split in ("val", "test"):
        _noise(2005).save(root / split / "dog" / "everywhere.png")
    config = _config(root)
    data = load_data(config)
    train, val, test = ({*_contents(images)} for images in (data.train, data.val, _test_images(config, tmp_path)))
    assert not train & val
    assert not train & test
    assert not val & test
    assert (
        "2 images are left out of train, since test has them too: train/cat/03.png (cat), train/dog/05.png (dog)"
        in (data.notes)
    )
    assert "1 image is left out of train, since val has it too: train/cow/04.png (cow)" in data.notes
    assert "1 image is left out of val, since test has it too: val/dog/everywhere.png (dog)" in data.notes
    assert "data image_folder: 1 image is left out of val" in caplog.text


@pytest.mark.parametrize(("later", "earlier"), [("val", "train"), ("test", "train"), ("test", "val")])
def test_a_split_that_is_mostly_a_copy_is_refused(tmp_path: Path, later: str, earlier: str) -> None:
    """Whatever its files are called: half of it may be copies, which are left out, and one more may not."""
    root = _folder(tmp_path / "images", count=6)
    for number, name in enumerate(("cat", "cow", "dog")):
        source, into = root / earlier / name, root / later / name
        for folder, count in ((source, 0 if earlier == "train" else 4), (into, 2)):
            folder.mkdir(parents=True, exist_ok=True)
            for i in range(count):
                _noise(9000 + 100 * number + 10 * count + i).save(folder / f"own{i}.png")
        for i, file in enumerate(sorted(source.glob("*.png"))[:2]):
            with Image.open(file) as image:
                image.save(into / f"copy{i}.bmp")
    data = load_data(_config(root))
    assert any(f"6 images are left out of {earlier}, since {later} has them too" in note for note in data.notes)
    (root / later / "cat" / "own0.png").unlink()
    load_data.cache_clear()
    message = (
        rf"data image_folder: {later} must be other images than {earlier}, but 6 of its 11 images are in {earlier} "
        rf"too: {later}/cat/copy0\.bmp \(cat\), .*, \.\.\.\. Without {later} a share of the training images is held "
        rf"out instead \(data\.{later}_fraction\)"
    )
    with pytest.raises(DataError, match=message):
        load_data(_config(root))


def test_an_image_that_is_moved_is_named(tmp_path: Path) -> None:
    root = _folder(tmp_path / "images", count=3)
    data = load_data(_config(root))
    assert data.images_by_class == {TRAIN: (1, 1, 1), VAL: (1, 1, 1), TEST: (1, 1, 1)}
    named = [note for note in data.notes if "by exception" in note]
    assert named
    assert all("train/" in note and "With more images of the class it may be another" in note for note in named)


def _of(images: MemoryImages, **changes: Any) -> Mapping[str, Any]:
    config = DataConfig(name="synthetic", **changes)
    data = split_by_content(config, ("a", "b"), (1, 4, 4), {TRAIN: source_of(images)}).data
    return {"fingerprint": data.fingerprint, "train": _contents(data.train), "labels": data.train.labels.tolist()}


def test_the_order_of_files_changes_nothing() -> None:
    """The order of training neither, so that a seed gives the same results wherever the files are."""
    rng = np.random.default_rng(0)
    pixels, labels = torch.from_numpy(rng.integers(0, 256, (50, 1, 4, 4), dtype=np.uint8)), torch.arange(50) % 2
    order = torch.from_numpy(rng.permutation(50))
    first = _of(MemoryImages(pixels, labels))
    assert _of(MemoryImages(pixels[order], labels[order])) == first
    wrong = labels.clone()
    wrong[3] = 1 - wrong[3]
    assert _of(MemoryImages(pixels, wrong))["fingerprint"] != first["fingerprint"]
    assert _of(MemoryImages(pixels, labels), split_seed=1)["fingerprint"] != first["fingerprint"]
    part = _of(MemoryImages(pixels, labels), train_fraction=0.5)
    assert part["train"] == first["train"][: round(len(first["train"]) / 2)]
    assert part["fingerprint"] != first["fingerprint"]


def test_another_process_finds_the_same_split() -> None:
    code = (
        "from nas.training.data.config import DataConfig; from nas.training.data.load import load_data; "
        "import json; print(json.dumps(load_data(DataConfig(split_seed=3)).record()))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert json.loads(found) == json.loads(json.dumps(load_data(DataConfig(split_seed=3)).record()))


def test_parts_of_training_are_nested_and_in_proportion() -> None:
    data = load_data(DataConfig())
    parts = [data.part_of_train(fraction) for fraction in (0.1, 0.5, 1.0)]
    held = [{*_contents(part)} for part in parts]
    assert held[0] < held[1] < held[2]
    count = len(data.train.labels)
    assert [len(part.labels) for part in parts] == [round(0.1 * count), round(0.5 * count), count]
    for label, total in enumerate(data.images_by_class[TRAIN]):
        assert parts[0].labels.tolist().count(label) == pytest.approx(0.1 * total, abs=1)


@given(st.lists(st.integers(0, 6), min_size=2, max_size=80), st.floats(0.01, 1), st.floats(0.01, 1))
def test_a_part_keeps_each_class_and_else_is_the_first_images(labels: list[int], one: float, other: float) -> None:
    digests = [_digest(content) for content in range(len(labels))]
    order = np.array([labels[place] for place in in_proportion(range(len(labels)), digests, labels)])
    smaller, larger = (first_part(order, fraction).tolist() for fraction in sorted((one, other)))
    assert {*smaller} <= {*larger}
    for part, fraction in ((smaller, min(one, other)), (larger, max(one, other))):
        assert part == sorted({*part})
        assert {*order[part].tolist()} == {*labels}
        assert len(part) == max(2, len({*labels}), round(fraction * len(labels)))
        if {*order[: len(part)].tolist()} == {*labels}:
            assert part == [*range(len(part))]
        # Only the first image of a class is here before its turn, so proportions move by an image a class at most.
        assert len({*range(len(part))} - {*part}) <= len({*labels}) - len({*order[: len(part)].tolist()})


@pytest.mark.parametrize("fraction", [0.1, 0.01])
def test_a_rare_class_is_in_a_small_part_of_training(fraction: float) -> None:
    """Three images of 303, whose first comes at a sixth of the order of the split."""
    pixels = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (450, 1, 4, 4), dtype=np.uint8))
    labels = torch.tensor([*[0, 1] * 222, *[2] * 6])
    given_images = {TRAIN: source_of(MemoryImages(pixels, labels))}
    whole, small = (
        split_by_content(
            DataConfig(name="synthetic", train_fraction=one), ("a", "b", "c"), (1, 4, 4), given_images
        ).data
        for one in (1.0, fraction)
    )
    assert 2 not in whole.train.labels[: round(fraction * len(whole.train.labels))].tolist()
    for part in (whole.part_of_train(fraction), small.train):
        assert len(part.labels) == max(3, round(fraction * len(whole.train.labels)))
        assert {*part.labels.tolist()} == {0, 1, 2}
        assert part.labels.tolist().count(2) == 1
    assert {*_contents(small.train)} == {*_contents(whole.part_of_train(fraction))}


def test_a_large_folder_is_not_held_in_memory(tmp_path: Path) -> None:
    """What the handle holds of the images on disk: paths, no pixels."""
    root = _folder(tmp_path / "images")
    data = DATA_SETS["image_folder"].load(_config(root, memory_mib=0)).data
    for images in (data.train, data.val):
        assert not [value for value in vars(images).values() if isinstance(value, torch.Tensor) and value.ndim > 1]
        assert tuple(images.read(torch.arange(2)).shape) == (2, 3, 10, 12)
