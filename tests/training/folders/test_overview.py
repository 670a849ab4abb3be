"""What `nas data` finds, against folders of which it is known."""

from __future__ import annotations

import json
import random
import shlex
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor

from nas.commands.data import data_command
from nas.reports.data_page import data_page, lines_of
from nas.training.data import overview as overview_module
from nas.training.data.config import DataConfig
from nas.training.data.load import load_data
from nas.training.data.overview import Overview, _near, difference_hash, overview, samples
from nas.training.data.splits import MemoryImages
from tests.reports.studies import NASTY_NAME
from tests.training.folders.pictures import folder, save


def _scene(seed: int, size: tuple[int, int] = (64, 48)) -> Image.Image:
    """Return a smooth picture, which survives scaling and JPEG."""
    rng = np.random.default_rng(seed)
    return Image.fromarray(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)).resize(size, Image.Resampling.BICUBIC)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    root = tmp_path / "photos"
    for place, name in enumerate(("cat", "dog", "eel")):
        for index in range(8 if name != "eel" else 2):
            (root / name).mkdir(parents=True, exist_ok=True)
            _scene(100 * place + index).save(root / name / f"{index}.png")
    return root


def _config(root: Path) -> DataConfig:
    return DataConfig(name="image_folder", root=str(root), resolution=16)


def test_it_counts_what_there_is(photos: Path) -> None:
    _scene(50, (80, 60)).save(photos / "cat" / "larger.jpg")
    _scene(51).convert("L").save(photos / "dog" / "grey.png")
    found = overview(_config(photos))
    assert found.classes == ("cat", "dog", "eel")
    assert found.sizes == (("64x48", 19), ("80x60", 1))
    assert found.formats == {"PNG": 19, "JPEG": 1}
    assert (found.looked_at, found.grey) == (20, 1)
    assert [sum(counts) for counts in zip(*found.images_by_class.values(), strict=True)] == [9, 9, 2]
    assert found.rare == ("eel",)
    assert (found.copies, found.alike) == ((), ())
    assert "pictures have 2 sizes, most often 64x48 (19), 80x60 (1) (width x height)" in found.notes


def test_sizes_and_copies_are_said_before_training(photos: Path) -> None:
    """With the cache of pixels and without it; `load_data` logs notes, and records keep them."""
    assert not [note for note in load_data(_config(photos)).notes if "sizes" in note or "copies" in note]
    shutil.copy(photos / "cat" / "0.png", photos / "cat" / "a.png")
    shutil.copy(photos / "cat" / "0.png", photos / "cat" / "b.png")
    shutil.copy(photos / "dog" / "2.png", photos / "dog" / "c.png")
    _scene(50, (80, 60)).save(photos / "cat" / "larger.jpg")
    for cache in ("none", str(photos.parent / "cache")):
        notes = load_data(replace(_config(photos), cache=cache)).notes
        assert "pictures have 2 sizes, most often 64x48 (21), 80x60 (1) (width x height)" in notes
        assert [note for note in notes if "copies" in note] == [
            "5 images are copies, in 2 groups of equal content, each in one split: "
            "cat/0.png (cat) is cat/a.png (cat); dog/2.png (dog) is dog/c.png (dog)"
        ]
        load_data.cache_clear()


@pytest.mark.parametrize(("colourful", "said"), [(0, 1), (4, 0)])
def test_grey_images_read_in_colour_are_said_before_training(photos: Path, colourful: int, said: int) -> None:
    for path in sorted(photos.glob("cat/*.png"))[colourful:] + sorted(photos.glob("[de]*/*.png")):
        Image.open(path).convert("L").save(path)
    assert sum("images are grey" in note for note in load_data(_config(photos)).notes) == said
    load_data.cache_clear()
    assert not [note for note in load_data(replace(_config(photos), channels=1)).notes if "images are grey" in note]


def test_copies_and_what_looks_the_same_are_told(photos: Path) -> None:
    original = Image.open(photos / "cat" / "3.png")
    original.save(photos / "dog" / "same.bmp")  # equal pixels in another format and class
    original.resize((128, 96), Image.Resampling.BICUBIC).save(photos / "cat" / "scaled.png")
    original.save(photos / "cat" / "lossy.jpg", quality=60)
    found = overview(_config(photos))
    (group,) = found.copies
    assert dict(zip(group.names, group.classes, strict=True)) == {"cat/3.png": "cat", "dog/same.bmp": "dog"}
    pairs = {frozenset(one.names) for one in found.alike}
    assert frozenset({"cat/3.png", "cat/scaled.png"}) in pairs
    assert frozenset({"cat/3.png", "cat/lossy.jpg"}) in pairs
    assert frozenset({"cat/3.png", "dog/same.bmp"}) not in pairs  # these are copies
    names = {"cat/3.png", "dog/same.bmp", "cat/scaled.png", "cat/lossy.jpg"}
    assert all(pair <= names for pair in pairs)


def test_small_pictures_have_no_perceptual_hash(tmp_path: Path) -> None:
    root = folder(tmp_path, "a", "b", count=6)
    assert overview(_config(root)).alike == ()
    assert overview(DataConfig(name="synthetic", samples=60, num_classes=3)).alike == ()


@given(st.lists(st.integers(0, 2**64 - 1), max_size=12), st.integers(0, 1000))
def test_near_hashes_are_found_as_by_looking_at_all_pairs(hashes: list[int], seed: int) -> None:
    chance = random.Random(seed)
    for value in hashes[:4]:  # some that are near
        flipped = chance.sample(range(64), chance.randrange(5))
        hashes = [*hashes, value ^ sum(1 << bit for bit in flipped)]
    expected = [
        (one, other)
        for one in range(len(hashes))
        for other in range(one + 1, len(hashes))
        if bin(hashes[one] ^ hashes[other]).count("1") <= 3
    ]
    assert _near(hashes) == expected


def test_the_hash_says_whether_the_field_to_the_right_is_lighter() -> None:
    rising = Image.fromarray(np.tile(np.arange(0, 252, 28, dtype=np.uint8), (9, 1)).repeat(8, 0).repeat(8, 1))
    assert difference_hash(rising) == 2**64 - 1
    assert difference_hash(rising.transpose(Image.Transpose.FLIP_LEFT_RIGHT)) == 0


def test_images_are_looked_at_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = overview(DataConfig())
    monkeypatch.setattr(overview_module, "_AT_A_TIME", 100)
    parts = list[int]()
    read = MemoryImages.read

    def counted(images: MemoryImages, part: Tensor) -> Tensor:
        parts.append(len(part))
        return read(images, part)

    monkeypatch.setattr(MemoryImages, "read", counted)
    assert overview(DataConfig()) == whole
    assert max(parts) == 100


def test_other_data_sets_are_told_too() -> None:
    found = overview(DataConfig())
    counts = {split: sum(per_class) for split, per_class in found.images_by_class.items()}
    assert sum(counts.values()) == 1797
    assert found.looked_at == counts["train"] + counts["val"]
    assert (found.sizes, found.formats, found.grey, found.rare) == ((), None, 0, ())


def test_the_command_and_its_page(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "page.html"
    data = {"name": "image_folder", "root": str(photos), "resolution": 16}
    assert data_command({"data": data, "page": str(page), "samples": 2}) == 0
    shown = capsys.readouterr().out
    assert "18 images of 3 classes, read as 3x16x16: " in shown
    assert "Rare: 1 class has one or two images: eel" in shown
    assert f"Page: {page}" in shown
    text = page.read_text()
    assert 4 <= text.count("data:image/png;base64,") <= 6
    assert data_command({"data": {**data, "root": str(tmp_path / "none")}}) == 2
    assert "nas.data: data image_folder: no folder" in capsys.readouterr().err


def test_names_are_text_on_the_page(tmp_path: Path) -> None:
    name = NASTY_NAME.replace("/", "")
    root = folder(tmp_path, "plain", name, count=6)
    save(root / name / "<img src=x onerror=alert(1)>.png", 3)
    save(root / name / "copy.png", 3)
    found = overview(_config(root))
    text = data_page(found, samples(_config(root), 1))
    assert found.copies
    assert "<script>window" not in text
    assert "<img src=x" not in text
    assert json.dumps(found.to_dict())


def test_few_validation_images_are_told_with_what_an_accuracy_of_them_is_worth(photos: Path) -> None:
    found = overview(_config(photos))
    # The half width of Wald's interval at an accuracy of one half: 1.96 * sqrt(0.25 / 25).
    told = [*lines_of(replace(found, images={**found.images, "val": 25}, images_by_class=_counts(found, (9, 16, 0))))]
    assert any(
        "of 25 validation images an accuracy is known to within 20 points (95 %). data.folds=5" in line for line in told
    )
    for other in (
        replace(found, images={**found.images, "val": 100}, images_by_class=_counts(found, (50, 50, 0))),
        replace(found, folds=((1, 1, 1), (1, 1, 1))),
        replace(found, segments=True),
        replace(found, images={**found.images, "val": 3}, images_by_class=_counts(found, (3, 3, 0))),  # several each
    ):
        assert not any(line.startswith("Few:") for line in lines_of(other))


def _counts(found: Overview, val: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
    return {**found.images_by_class, "val": val}


def test_the_command_says_each_thing_once_and_how_to_search(photos: Path, capfd: pytest.CaptureFixture[str]) -> None:
    root = photos.parent / "my photos"
    photos.rename(root)
    values = {"data": {"name": "image_folder", "root": str(root), "resolution": 80, "bad": "skip"}}
    load_data.cache_clear()
    assert data_command(values, ["data", "data.root", "data.resolution", "page"]) == 0
    printed = capfd.readouterr()
    assert (printed.out + printed.err).count("in train by exception") <= 1
    assert "data image_folder:" not in printed.err
    (line,) = (line for line in printed.out.splitlines() if line.startswith("Next: "))
    words = shlex.split(line)
    settings = ["data=image_folder", f"data.root={root}", "data.resolution=80"]
    assert words[words.index("search") + 1 :] == [
        "+space=mbconv",
        *settings,
        "constraints.params=2e5",
        "search.minutes=30",
    ]
