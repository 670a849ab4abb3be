"""predict.py as a stranger has it: no nas, no torch; against the training pipeline from the file on."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import ExifTags, Image

from nas.exporting.predict import main
from nas.exporting.prediction_files import Prediction, opened, with_masks
from nas.exporting.reading import PictureError, Reading, read_picture
from nas.training.data.image_files import read_image
from tests.exporting.conftest import Trained

_ALONE = """
import importlib.abc, runpy, sys
class Refuse(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("nas", "torch", "onnx", "scipy", "yaml", "pytorch_lightning"):
            raise ImportError(f"{name} is not installed here")
sys.meta_path.insert(0, Refuse())
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def _alone(folder: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-c", _ALONE, str(folder / "predict.py"), *map(str, arguments)]
    return subprocess.run(words, capture_output=True, text=True, check=False, cwd=folder.parent)


@pytest.fixture(scope="module")
def pictures(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The validation split as files."""
    folder = tmp_path_factory.mktemp("pictures")
    pixels = trained.data.val.read(torch.arange(len(trained.data.val.labels)))
    paths = [folder / f"{number:03}.png" for number in range(len(pixels))]
    for path, one in zip(paths, pixels, strict=True):
        Image.fromarray(one[0].numpy()).save(path)
    return paths


def test_from_the_file_on_it_says_what_training_says(trained: Trained, exported: Path, pictures: list[Path]) -> None:
    done = _alone(exported, *pictures, "--format", "json", "--top", "10", "--batch", "50")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert [one["image"] for one in found] == [str(path) for path in pictures]
    shares = np.array(
        [[share for _, share in sorted((p["class"], p["probability"]) for p in one["top"])] for one in found]
    )
    np.testing.assert_allclose(shares, trained.logits().softmax(1).numpy(), atol=1e-4)
    hits = np.array([int(one["top"][0]["class"]) for one in found]) == trained.data.val.labels.numpy()
    assert abs(hits.mean() - trained.accuracy) < 0.001
    assert trained.accuracy > 0.8


def test_a_table_has_a_row_for_each_class(exported: Path, pictures: list[Path], tmp_path: Path) -> None:
    assert _alone(exported, pictures[0], pictures[1], "--top", 2, "--output", tmp_path / "a.csv").returncode == 0
    rows = list(csv.DictReader(io.StringIO((tmp_path / "a.csv").read_text())))
    assert [(row["image"], row["rank"]) for row in rows] == [(str(p), r) for p in pictures[:2] for r in "12"]
    assert all(float(row["probability"]) <= 1 for row in rows)
    assert os.listdir(tmp_path) == ["a.csv"]


@pytest.mark.parametrize("closed", ["2>&-", ">&-"])
def test_closed_streams_put_nothing_into_each_other(exported: Path, pictures: list[Path], closed: str) -> None:
    words = [sys.executable, str(exported / "predict.py"), str(pictures[0]), "no.png", "--top", "1"]
    done = subprocess.run(
        ["sh", "-c", f'exec "$@" {closed}', "sh", *words], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    if closed == ">&-":
        assert (done.stdout, done.stderr.count("no.png: cannot be read")) == ("", 1)
    else:
        assert [row["image"] for row in csv.DictReader(io.StringIO(done.stdout))] == [str(pictures[0])]


def test_predictions_that_are_lost_are_no_success(exported: Path, pictures: list[Path]) -> None:
    for words in ([exported / "predict.py"], ["-m", "nas", "predict", exported]):
        with open("/dev/full", "wb") as full:
            done = subprocess.run(
                [sys.executable, *words, pictures[0]], stdout=full, stderr=subprocess.PIPE, text=True, check=False
            )
        assert done.returncode == 2
        assert "No space left on device" in done.stderr


def test_output_takes_the_place_of_no_pipe_and_no_device(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    kept = os.open(pipe, os.O_RDWR)
    with opened(str(pipe)) as file:
        file.write("row")
    assert pipe.is_fifo()
    assert os.read(kept, 10) == b"row"
    os.close(kept)
    assert os.listdir(tmp_path) == ["pipe"]


def test_output_goes_where_a_link_leads(tmp_path: Path) -> None:
    (tmp_path / "link.csv").symlink_to(tmp_path / "real.csv")
    for text in ("first", "second"):
        with opened(str(tmp_path / "link.csv")) as file:
            file.write(text)
        assert (tmp_path / "real.csv").read_text() == text
    assert (tmp_path / "link.csv").is_symlink()
    with pytest.raises(IsADirectoryError, match="is a folder"), opened(str(tmp_path)):
        pass
    assert sorted(os.listdir(tmp_path)) == ["link.csv", "real.csv"]


@pytest.mark.parametrize(
    ("there", "given", "why"),
    [
        (b"\x89PNG\r\n\x1a\n", [], "no text, as predictions are"),
        (b"PK\0\3", [], "no text, as predictions are"),
        (b"1,2\n", ["./table.csv"], "one of the files that are read"),
    ],
)
def test_output_takes_the_place_of_nothing_that_would_be_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: bytes, given: list[str], why: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("table.csv").write_bytes(there)
    with pytest.raises(FileExistsError, match=f"table.csv is there already and is {why}"), opened("table.csv", given):
        pass
    assert Path("table.csv").read_bytes() == there
    assert os.listdir() == ["table.csv"]


def test_output_takes_the_place_of_earlier_predictions(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("x" * 4095 + "\u00e9")  # of which the first 4096 bytes end within the last letter
    with opened(str(path), ["none"]) as file:
        file.write("row")
    assert path.read_text() == "row"


def _odd(folder: Path) -> dict[str, Path]:
    """Pictures as cameras, scanners and programs write them, of 20x11 pixels with different sides."""
    rng = np.random.default_rng(0)
    colours = Image.fromarray(rng.integers(0, 256, (11, 20, 3), dtype=np.uint8)).resize((20, 11))
    turned = Image.Exif()
    turned[ExifTags.Base.Orientation] = 6
    clear = colours.convert("RGBA")
    clear.putalpha(Image.fromarray(rng.integers(0, 256, (11, 20), dtype=np.uint8)))
    palette = colours.convert("P", palette=Image.Palette.ADAPTIVE)
    made: dict[str, tuple[Image.Image, str, dict[str, Any]]] = {
        "rgb": (colours, "png", {}),
        "jpeg": (colours, "jpg", {}),
        "turned": (colours, "jpg", {"exif": turned}),
        "cmyk": (colours.convert("CMYK"), "jpg", {}),
        "palette": (palette, "png", {}),
        "see_through_palette": (palette, "png", {"transparency": bytes(range(256))}),
        "see_through": (clear, "png", {}),
        "grey": (colours.convert("L"), "png", {}),
        "grey_and_alpha": (clear.convert("LA"), "png", {}),
        "bits": (colours.convert("1"), "png", {}),
        "16_bits": (Image.fromarray(rng.integers(0, 2**16, (11, 20), dtype=np.uint16)), "png", {}),
        "gif": (colours, "gif", {}),
        "webp": (colours, "webp", {"lossless": True}),
        "bmp": (colours, "bmp", {}),
        "row": (colours.resize((20, 1)), "png", {}),
        "column": (colours.resize((1, 11)), "png", {}),
        "point": (colours.resize((1, 1)), "png", {}),
    }
    paths = {}
    for name, (image, ending, more) in made.items():
        paths[name] = folder / f"{name}.{ending}"
        image.save(paths[name], **more)
    return paths


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 10, 6)])
def test_odd_pictures_are_read_as_in_training(tmp_path: Path, shape: tuple[int, int, int]) -> None:
    for name, path in _odd(tmp_path).items():
        pixels = read_picture(path, Reading(shape))
        assert pixels.shape == (*shape[1:], shape[0]), name
        np.testing.assert_array_equal(pixels.transpose(2, 0, 1), read_image(path, Reading(shape)).numpy())


def test_odd_pictures_show_what_pillow_shows(tmp_path: Path) -> None:
    """At their own size, so that nothing is scaled: levels as stored, turned, without transparency."""
    paths = _odd(tmp_path)
    plain = np.array(Image.open(paths["rgb"]))
    for name in ("see_through", "webp", "bmp"):
        np.testing.assert_array_equal(read_picture(paths[name], Reading((3, 11, 20))), plain)
    jpeg = np.array(Image.open(paths["jpeg"]))
    np.testing.assert_array_equal(read_picture(paths["turned"], Reading((3, 20, 11))), np.rot90(jpeg, -1))
    deep = np.array(Image.open(paths["16_bits"]))
    np.testing.assert_array_equal(read_picture(paths["16_bits"], Reading((1, 11, 20)))[:, :, 0], deep // 256)
    np.testing.assert_array_equal(
        read_picture(paths["bits"], Reading((1, 11, 20)))[:, :, 0],
        255 * np.array(Image.open(paths["bits"])).astype(np.uint8),
    )
    # A row of 20 covers 8x8 when it is 8 high and 160 wide, of which the middle is left.
    middle = np.array(Image.open(paths["row"]).resize((160, 8), Image.Resampling.BILINEAR))[:, 76:84]
    np.testing.assert_array_equal(read_picture(paths["row"], Reading((3, 8, 8))), middle)


@pytest.fixture
def hostile(tmp_path: Path, pictures: list[Path]) -> dict[str, Path]:
    """What is no picture, by name; `good` is one."""
    paths = {
        name: tmp_path / name for name in ("folder", "pipe", "cut.png", "text.png", "empty.jpg", "gone", "good.png")
    }
    paths["folder"].mkdir()
    os.mkfifo(paths["pipe"])
    data = pictures[0].read_bytes()
    paths["cut.png"].write_bytes(data[: len(data) * 2 // 3])
    paths["text.png"].write_text("no picture")
    paths["empty.jpg"].write_bytes(b"")
    paths["good.png"].write_bytes(data)
    return paths


def test_what_is_no_picture_is_named_and_the_others_go_on(exported: Path, hostile: dict[str, Path]) -> None:
    paths = [*hostile.values(), "/dev/zero"]
    done = _alone(exported, *paths, "--format", "json", "--batch", 2)
    assert done.returncode == 2
    found = {Path(one["image"]).name: one for one in json.loads(done.stdout)}
    assert len(found) == len(paths)
    assert [name for name, one in found.items() if "top" in one] == ["good.png"]
    for name, why in {
        "folder": "it is a folder",
        "pipe": "it is a pipe",
        "zero": "it is a device",
        "gone": "No such",
    }.items():
        assert why in found[name]["error"]
        assert f"{name}: cannot be read: {found[name]['error']}" in done.stderr
    assert "Traceback" not in done.stderr


def test_links_to_pictures_are_pictures(exported: Path, pictures: list[Path], tmp_path: Path) -> None:
    (tmp_path / "link.png").symlink_to(pictures[0])
    shape = (1, 8, 8)
    np.testing.assert_array_equal(
        read_picture(tmp_path / "link.png", Reading(shape)), read_picture(pictures[0], Reading(shape))
    )
    (tmp_path / "broken.png").symlink_to(tmp_path / "nothing")
    with pytest.raises(PictureError, match="No such file"):
        read_picture(tmp_path / "broken.png", Reading(shape))


def test_what_is_no_model_is_refused(exported: Path, pictures: list[Path], tmp_path: Path) -> None:
    import onnx

    (tmp_path / "predict.py").write_bytes((exported / "predict.py").read_bytes())
    for name, why in {
        "gone.onnx": "No such file",
        "text.onnx": "cannot be loaded",
        "link.onnx": "it is a link",
    }.items():
        if name == "text.onnx":
            (tmp_path / name).write_text("no model")
        if name == "link.onnx":
            (tmp_path / name).symlink_to(exported / "model.onnx")
        done = _alone(tmp_path, pictures[0], "--model", name)
        assert (done.returncode, done.stdout) == (2, "")
        assert why in done.stderr
        assert name in done.stderr
        assert "Traceback" not in done.stderr
    model = onnx.load(exported / "model.onnx")
    for value in ("[]", "no json", "7"):
        model.metadata_props[0].value = value
        onnx.save(model, tmp_path / "nameless.onnx")
        done = _alone(tmp_path, pictures[0], "--model", "nameless.onnx")
        assert done.returncode == 2
        assert "nameless.onnx" in done.stderr
        assert "Traceback" not in done.stderr


def test_numbers_that_cannot_be_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    for option in ("--top", "--batch"):
        with pytest.raises(SystemExit) as ended:
            main(["a.png", option, "0"])
        assert ended.value.code == 2
    assert "must be >= 1" in capsys.readouterr().err


def test_masks_are_of_models_for_pixels(exported: Path, pictures: list[Path], tmp_path: Path) -> None:
    done = _alone(exported, pictures[0], "--masks", tmp_path / "masks")
    assert (done.returncode, done.stdout) == (2, "")
    assert "--masks is of models for segmentation, but this one is for classification" in done.stderr
    assert not (tmp_path / "masks").exists()


def test_masks_have_names_of_their_own_and_overwrite_nothing(tmp_path: Path) -> None:
    masks = [np.full((3, 4), number, dtype=np.uint8) for number in range(4)]
    told = [
        Prediction("a/cat.jpg", shares=(("x", 1.0),), mask=masks[0]),
        Prediction("b/cat.png", shares=(("x", 1.0),), mask=masks[1]),
        Prediction("no.png", error="it is a folder"),
        Prediction("cat_2.png", shares=(("x", 1.0),), mask=masks[2]),
        Prediction("c/cat.png", shares=(("x", 1.0),), mask=masks[3]),
    ]
    written = list(with_masks(told, tmp_path / "out"))
    files = [Path(one.file).name for one in written if one.file]
    assert files == ["cat.png", "cat_2.png", "cat_2_2.png", "cat_3.png"]
    assert sorted(os.listdir(tmp_path / "out")) == sorted(files)
    for name, mask in zip(files, masks, strict=True):
        np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "out" / name)), mask)
    assert written[2].error
    with pytest.raises(FileExistsError, match="must be a new or an empty folder"):
        list(with_masks(told, tmp_path / "out"))
