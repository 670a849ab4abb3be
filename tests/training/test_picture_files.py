"""What a folder of images is made of its files: transparency, levels of 16 bits, turns, frames; and what is said."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import ExifTags, Image

import nas
from nas.errors import ConfigError, DataError
from nas.exporting.preprocess import Preprocess
from nas.exporting.reading import Reading, held, read_picture
from nas.machine import memory
from nas.settings import as_recorded
from nas.training.data import pictures
from nas.training.data.config import DataConfig
from nas.training.data.image_files import FileImages, read_image
from nas.training.data.load import load_data
from nas.training.data.pictures import seen
from nas.training.data.splits import ImageData, Images, MemoryImages
from nas.training.preprocess import preprocess_of, read_as, reading_said
from nas.training.weights import weights_metadata
from tests.exporting.png_by_hand import png

BEFORE = as_recorded(DataConfig, {"name": "image_folder"})
"""Settings of a study from before images were read otherwise."""


def _folder(root: Path, make: Callable[[str, int], bytes], count: int = 4) -> DataConfig:
    """Write PNG files for each of the three splits; `make` takes split and number."""
    for split in ("train", "val", "test"):
        for name in ("a", "b"):
            (root / split / name).mkdir(parents=True)
            for number in range(count):
                (root / split / name / f"{number}.png").write_bytes(make(split, number))
    return DataConfig(name="image_folder", root=str(root), channels=1)


def _pixels(images: Images) -> NDArray[np.uint8]:
    found: NDArray[np.uint8] = images.read(torch.arange(len(images.labels))).numpy()
    return found


def _deep(largest: dict[str, int], chunks: dict[bytes, bytes] | None = None) -> Callable[[str, int], bytes]:
    """Return what makes files of 16 bits, whose largest level is as is said of their split; each is another one."""
    rng = np.random.default_rng(0)

    def make(split: str, number: int) -> bytes:
        levels = rng.integers(0, largest[split] + 1, (6, 5, 1))
        levels[0, 0] = largest[split]
        return png(levels, 16, chunks)

    return make


def _files(data: ImageData) -> list[Path]:
    inner: Any = getattr(data.train, "images", data.train)
    return list(inner.files)


def _depth(data: ImageData) -> int:
    assert isinstance(data.reading, Reading)
    assert data.record()["depth"] == data.reading.depth
    return data.reading.depth


@pytest.mark.parametrize("memory_mib", [0, 100])
def test_12_bits_in_16_keep_their_upper_8(memory_mib: int, tmp_path: Path) -> None:
    config = replace(_folder(tmp_path, _deep(dict.fromkeys(("train", "val", "test"), 4095))), memory_mib=memory_mib)
    data = load_data(config)
    assert _depth(data) == 12
    expected = sorted(
        (np.array(Image.open(path)) // 16).astype(np.uint8).tobytes() for path in tmp_path.glob("val/*/*.png")
    )
    assert sorted(image.tobytes() for image in _pixels(data.val)) == expected
    assert any("24 images have 16 bits a level, which are read as levels of 12 bits" in note for note in data.notes)
    assert _depth(load_data(replace(config, depth=14))) == 14
    old = load_data(replace(config, depth=16))
    assert _pixels(old.train).max() == 15
    assert (old.fingerprint, old.notes) == (data.fingerprint, ())  # the depth is no part of a content


def test_the_depth_is_that_of_what_is_trained_on(tmp_path: Path) -> None:
    """Neither of other images, though larger levels are then white, nor of each one."""
    data = load_data(_folder(tmp_path, _deep({"train": 1000, "val": 255, "test": 60_000})))
    assert _depth(data) == 10
    assert _pixels(data.val).max() == 255 // 4
    (note,) = [note for note in data.notes if "white" in note]
    assert note.startswith("8 images have levels of more than 10 bits, which are white: test/a/0.png")


@pytest.mark.parametrize("scheme", [1, 3])
def test_images_that_are_held_out_of_the_training_folder_do_not_set_the_depth(scheme: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        (tmp_path / "train" / name).mkdir(parents=True)
        for number in range(12):
            levels = rng.integers(0, 1000, (6, 5, 1))
            (tmp_path / "train" / name / f"{number}.png").write_bytes(png(levels, 16))
    bright, depths = tmp_path / "train" / "a" / "bright.png", dict[bool, int]()
    for seed in range(30):
        bright.write_bytes(png(rng.integers(0, 40_000, (6, 5, 1)), 16))
        config = DataConfig(
            name="image_folder", root=str(tmp_path), channels=1, memory_mib=0, split_seed=seed, split_scheme=scheme
        )
        data = load_data(config)
        depths[bright in _files(data)] = _depth(data)
    assert depths == {True: 16, False: 10}


@pytest.mark.parametrize(
    ("largest", "significant", "depth"),
    [
        (900, None, 10),
        (900, 12, 12),  # dark, but the file says what its white is
        (4095, 12, 12),
        (65_520, 12, 16),  # the upper bits, as the standard wants it
        (65_535, None, 16),
        (200, None, 8),
        (0, None, 8),
        (200, 10, 10),
    ],
)
def test_what_a_png_says_of_its_bits(largest: int, significant: int | None, depth: int, tmp_path: Path) -> None:
    chunks = {} if significant is None else {b"sBIT": bytes([significant])}
    (tmp_path / "a.png").write_bytes(png(np.array([[[0], [largest]]]), 16, chunks))
    assert seen(held(tmp_path / "a.png"), Reading((1, 1, 2)), 3).bits == depth
    levels = np.array([[[0, 0, largest, 300]]])
    chunks = {} if significant is None else {b"sBIT": bytes([5, 5, significant, 16])}  # of alpha it does not count
    (tmp_path / "b.png").write_bytes(png(levels, 16, chunks))
    assert seen(held(tmp_path / "b.png"), Reading((3, 1, 1)), 3).bits == depth


def _rgba(number: int, across: bool) -> NDArray[np.uint8]:
    """Return black bars on transparent, of which the hidden colour is black too."""
    levels = np.zeros((8, 8, 4), dtype=np.uint8)
    levels[(slice(2, 6), slice(None)) if across else (slice(None), slice(2, 6))] = (0, 0, 0, 255)
    levels[0, 0] = (0, 0, 0, 100 + number)
    return levels


def _bars(root: Path, count: int = 8) -> DataConfig:
    for name in ("across", "down"):
        (root / "train" / name).mkdir(parents=True)
        for number in range(count):
            Image.fromarray(_rgba(number, name == "across")).save(root / "train" / name / f"{number}.png")
    return DataConfig(name="image_folder", root=str(root), channels=1)


def test_shapes_on_transparent_are_seen_and_told_apart(tmp_path: Path) -> None:
    config = _bars(tmp_path)
    data = load_data(config)
    assert {0, 255} < set(np.unique(_pixels(data.train)))
    assert not data.notes or all("classes" not in note for note in data.notes)
    black = load_data(replace(config, background="black"))
    assert not _pixels(black.train).any()
    (note,) = [note for note in black.notes if "one colour" in note]
    assert note.startswith("16 images have nothing but one colour once transparency is laid on #000000")
    assert data.fingerprint == black.fingerprint  # a split does not depend on the background
    # As it was: all are black, and all are one image, of two classes.
    with pytest.raises(DataError, match="has no images"):
        load_data(replace(config, split_scheme=2, background="drop"))


def test_a_study_from_before_trains_on_what_it_did(tmp_path: Path) -> None:
    config = DataConfig(**{**BEFORE, "root": str(tmp_path), "split_scheme": 2, "channels": 1})
    assert (config.background, config.depth, config.fit) == ("drop", 16, "crop")
    rng = np.random.default_rng(0)
    levels = rng.integers(0, 256, (16, 8, 8, 4), dtype=np.uint8)
    for place, picture in enumerate(levels):
        path = tmp_path / "train" / "ab"[place % 2] / f"{place}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(path)
    data = load_data(config)
    dropped = {np.array(Image.fromarray(picture[:, :, :3]).convert("L")).tobytes() for picture in levels}
    assert {image.tobytes() for image in _pixels(data.train)} < dropped
    assert data.notes == ()


_RNG = np.random.default_rng(3)
_RGB = _RNG.integers(0, 256, (6, 5, 3), dtype=np.uint8)
_ALPHA = _RNG.integers(0, 255, (6, 5, 1), dtype=np.uint8)


def _digest(path: Path, scheme: int = 3) -> bytes:
    return seen(held(path), Reading((3, 4, 4), "#ffffff"), scheme).digest


def test_ordinary_pictures_have_the_content_that_they_had(tmp_path: Path) -> None:
    opaque = np.concatenate([_RGB, np.full((6, 5, 1), 255, np.uint8)], axis=2)
    grey = _RGB[:, :, :1]
    cases = {
        "rgb": (png(_RGB, 8), _RGB),
        "opaque": (png(opaque, 8), _RGB),
        "grey": (png(grey, 8), np.repeat(grey, 3, axis=2)),
        "deep": (png(_RGB.astype(int) * 257, 16), _RGB),
        "deep grey": (png(grey.astype(int) * 257, 16), np.repeat(grey, 3, axis=2)),
    }
    from nas.training.data.content import digests_of

    for name, (data, shown) in cases.items():
        (tmp_path / "a.png").write_bytes(data)
        assert _digest(tmp_path / "a.png") == _digest(tmp_path / "a.png", 2) == digests_of(shown[None])[0], name


def test_all_that_is_seen_is_part_of_a_content(tmp_path: Path) -> None:
    deep = _RGB[:, :, :1].astype(int) * 256
    made = [
        png(_RGB, 8),
        png(np.concatenate([_RGB, _ALPHA], axis=2), 8),
        png(np.concatenate([_RGB, _ALPHA // 2], axis=2), 8),
        png(deep, 16),
        png(deep + 1, 16),
        png(np.concatenate([deep, _ALPHA.astype(int) * 257], axis=2), 16),
        png(np.concatenate([deep, _ALPHA.astype(int) // 2 * 257], axis=2), 16),
    ]
    digests = []
    for data in made:
        (tmp_path / "a.png").write_bytes(data)
        digests.append(_digest(tmp_path / "a.png"))
    assert len(set(digests)) == len(made)
    # The same content in other files.
    Image.fromarray(np.concatenate([_RGB, _ALPHA], axis=2)).save(tmp_path / "b.webp", lossless=True, exact=True)
    assert _digest(tmp_path / "b.webp") == digests[1]
    Image.fromarray((deep[:, :, 0] + 1).astype(np.uint16)).save(tmp_path / "b.tif")
    assert _digest(tmp_path / "b.tif") == digests[4]


def test_what_is_said_of_frames_and_turns(tmp_path: Path) -> None:
    config = _folder(tmp_path, lambda split, number: png(_RNG.integers(0, 256, (8, 8, 3)), 8))
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 3
    frames = [Image.fromarray(_RNG.integers(0, 256, (8, 8, 3), dtype=np.uint8)) for _ in range(2)]
    frames[0].save(tmp_path / "train" / "a" / "moving.gif", save_all=True, append_images=frames[1:])
    for split in ("train", "val"):
        frames[1].save(tmp_path / split / "b" / "turned.png", exif=exif)
    notes = load_data(replace(config, channels=3)).notes
    assert "1 picture has several frames, of which the first is read: train/a/moving.gif" in notes
    assert "2 images are turned or mirrored, as EXIF data say" in notes


_KINDS: dict[str, Callable[[Path], object]] = {
    "cmyk.jpg": lambda path: Image.fromarray(_RGB).convert("CMYK").save(path),
    "palette.png": lambda path: Image.fromarray(_RGB).convert("P").save(path, transparency=bytes(range(0, 250, 9))),
    "la.png": lambda path: path.write_bytes(png(np.concatenate([_RGB[:, :, :1], _ALPHA], axis=2), 8)),
    "deep.png": lambda path: path.write_bytes(png(_RNG.integers(0, 4096, (9, 14, 1)), 16)),
    "wide.png": lambda path: path.write_bytes(png(_RNG.integers(0, 4096, (14, 9, 4)), 16)),
    "alpha.webp": lambda path: Image.fromarray(np.concatenate([_RGB, _ALPHA], axis=2)).save(path),
    "moving.gif": lambda path: Image.fromarray(_RGB).save(
        path, save_all=True, append_images=[Image.fromarray(_RGB[::-1])]
    ),
    "wide.tif": lambda path: Image.fromarray(_RNG.integers(0, 4096, (7, 5)).astype(np.uint16)).save(path),
}


@pytest.mark.parametrize("fit", ["crop", "pad", "squash"])
@pytest.mark.parametrize("channels", [1, 3])
def test_prediction_reads_every_kind_as_training_does(channels: int, fit: str, tmp_path: Path) -> None:
    """From the metadata of an exported model alone, and from the header of weights."""
    for name in ("a", "b"):
        for split in ("train", "val"):
            (tmp_path / split / name).mkdir(parents=True)
        for kind, make in _KINDS.items():
            make(tmp_path / "train" / name / kind)
        for number in range(4):
            (tmp_path / "val" / name / f"{number}.png").write_bytes(png(_RNG.integers(0, 256, (9, 14, 3)), 8))
    settings: dict[str, Any] = {"fit": fit, "background": "#0AC84D", "channels": channels, "resolution": 6}
    config = DataConfig(name="image_folder", root=str(tmp_path), memory_mib=0, **settings)
    data = load_data(config)
    assert isinstance(data.reading, Reading)
    assert (data.reading.depth, data.reading.background) == (12, "#0ac84d")
    architecture = nas.load_space("reference/small_cnn").for_data((channels, 6, 6), 2).decode({})
    told = json.loads(json.dumps(preprocess_of(data, architecture).to_dict()))
    reading = Preprocess.from_dict(told).reading
    files = _files(data)
    for place, pixels in enumerate(_pixels(data.train)):
        found = read_picture(files[place], reading).transpose(2, 0, 1)
        np.testing.assert_array_equal(found, pixels, err_msg=str(files[place]))
    metadata = weights_metadata(architecture, data)
    other = DataConfig(name="image_folder", root=str(tmp_path), channels=channels, resolution=6, memory_mib=0)
    again = load_data(read_as(other, reading_said(metadata, tmp_path)))
    assert isinstance(again.reading, Reading)
    assert replace(again.reading, max_pixels=1) == replace(data.reading, max_pixels=1)
    exported = {"preprocess": json.dumps(told)}
    assert read_as(other, reading_said(exported, tmp_path)) == read_as(other, reading_said(metadata, tmp_path))


def test_what_weights_and_models_from_before_mean() -> None:
    data = load_data(DataConfig())
    architecture = nas.load_space("reference/small_cnn").for_data((1, 8, 8), 10).decode({})
    metadata = weights_metadata(architecture, data)
    now = DataConfig(name="image_folder", background="black", depth=12, fit="pad")
    for name in ("background", "depth", "resize"):
        del metadata[name]
    old = read_as(now, reading_said(metadata, Path("old")))
    assert (old.background, old.depth, old.fit) == ("drop", 16, "crop")
    assert read_as(now, reading_said({}, Path("others"))) == now  # weights of other programs say nothing
    assert read_as(DataConfig(), reading_said(metadata, Path("old"))) == DataConfig()
    with pytest.raises(DataError, match="new: what it says of pictures cannot be read: depth must be a whole number"):
        reading_said({**metadata, "depth": '"12"'}, Path("new"))
    with pytest.raises(DataError, match="cannot be read"):
        reading_said({"preprocess": "[1"}, Path("new"))


def test_the_size_of_turned_files_is_that_which_is_seen(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    for name in ("a", "b"):
        (tmp_path / "train" / name).mkdir(parents=True)
        for number in range(6):
            picture = Image.fromarray(_RNG.integers(0, 256, (8, 5, 3), dtype=np.uint8))
            for ending in ("tif", "png", "jpg"):
                picture.save(tmp_path / "train" / name / f"{number}.{ending}", exif=exif)
    data = load_data(DataConfig(name="image_folder", root=str(tmp_path), split_seed=1))
    assert data.input_shape == (3, 5, 8)
    files = _files(data) if not hasattr(data.train, "pixels") else list(data.train.files)  # type: ignore[attr-defined]
    assert {path.suffix for path in files} == {".tif", ".png", ".jpg"}
    for path, pixels in zip(files, _pixels(data.train), strict=True):
        if path.suffix == ".tif":
            stored = np.array(Image.open(path.with_suffix(".png"))).transpose(1, 0, 2)[:, ::-1]
            np.testing.assert_array_equal(pixels.transpose(1, 2, 0), stored)


def test_files_with_too_many_pixels_are_named(tmp_path: Path) -> None:
    config = _folder(tmp_path, lambda split, number: png(_RNG.integers(0, 256, (8, 8, 3)), 8))
    (tmp_path / "val" / "a" / "9.png").write_bytes(png(_RNG.integers(0, 256, (9, 8, 3)), 8))
    config = replace(config, resolution=8, max_pixels=64)
    for memory_mib in (0, 100):
        with pytest.raises(DataError, match=r"1 have more than 64 pixels \(data\.max_pixels\): val/a/9\.png"):
            load_data(replace(config, memory_mib=memory_mib))
    with pytest.raises(DataError, match="max_pixels"):
        read_image(tmp_path / "val" / "a" / "9.png", Reading((3, 8, 8), max_pixels=71))
    load_data(replace(config, max_pixels=72))


def test_images_without_room_in_memory_are_decoded_batch_by_batch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    config = _folder(tmp_path, lambda split, number: png(_RNG.integers(0, 256, (8, 8, 3)), 8))
    config = replace(config, channels=3, resolution=64)  # 24 images of 12 KiB
    monkeypatch.setattr(pictures, "memory", lambda: 2 * 24 * 12 * 1024)
    kept = load_data(config).train
    assert isinstance(kept, MemoryImages)
    assert not caplog.messages
    load_data.cache_clear()
    monkeypatch.setattr(pictures, "memory", lambda: 2 * 24 * 12 * 1024 - 1)
    train = load_data(config).train
    assert isinstance(train, FileImages)
    everything = torch.arange(len(kept.labels))
    assert torch.equal(train.read(everything), kept.pixels[everything])
    assert "24 images of 3x64x64 levels are decoded batch by batch: they take 0 MiB" in caplog.text
    caplog.clear()
    load_data(replace(config, memory_mib=0))
    assert not caplog.messages, "it was asked for"


def test_the_memory_of_this_machine_is_known() -> None:
    total = int(next(line.split()[1] for line in Path("/proc/meminfo").read_text().splitlines() if "MemTotal" in line))
    found = memory()
    assert found is not None
    assert 2**20 < found <= total * 1024


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"background": "whit"}, "data.background must be #rrggbb or a name, but got 'whit'. Did you mean 'white'"),
        ({"background": "#fff"}, "data.background must be #rrggbb"),
        ({"depth": "12"}, "data.depth must be auto or a whole number from 8 to 16, but got '12'"),
        ({"depth": 7}, "data.depth must be >= 8, but got 7"),
        ({"depth": 17}, "data.depth must be <= 16, but got 17"),
        ({"fit": "stretch"}, "data.fit: unknown 'stretch'"),
        ({"fit": "pad", "background": "drop"}, "data.fit=pad needs a colour as data.background, but got drop"),
        ({"fit": "pad", "name": "digits"}, "mask_folder; digits has images of one size, but got pad"),
        ({"max_pixels": 0}, "data.max_pixels must be >= 1, but got 0"),
        ({"cache": ""}, "data.cache must be a folder, auto or none, but got ''"),
    ],
)
def test_settings_that_cannot_be(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        DataConfig(**{"name": "image_folder", **settings})
