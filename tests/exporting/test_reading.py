"""How files are read: against pictures written by hand, whose levels are known without pillow."""

from __future__ import annotations

import inspect
import io
import subprocess
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import ExifTags, Image, UnidentifiedImageError, features

import nas
from nas.exporting.predictions import exported_model
from nas.exporting.reading import DROP, MAX_PIXELS, PictureError, Reading, held, picture_of, read_picture
from tests.exporting.png_by_hand import chunk, png

_LOSSLESS: dict[str, dict[str, Any]] = {"png": {}, "webp": {"lossless": True, "exact": True}, "tif": {}}
BACKGROUNDS = {"#ffffff": (255, 255, 255), "#000000": (0, 0, 0), "#0ac84d": (10, 200, 77)}


def _laid(colours: NDArray[Any], alpha: NDArray[Any], background: tuple[int, ...]) -> NDArray[Any]:
    """Lay 8-bit colours `(h, w, 3)` with alpha `(h, w)` on a background, in exact numbers."""
    share = alpha[:, :, None] / 255
    return np.rint(colours * share + np.array(background) * (1 - share))


@settings(max_examples=60)
@given(
    size=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    channels=st.integers(1, 4),
    depth=st.integers(8, 16),
    background=st.sampled_from([DROP, *BACKGROUNDS]),
    filters=st.lists(st.integers(0, 2), min_size=1, max_size=3),
    interlaced=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
def test_16_bits_of_every_kind(
    *,
    size: tuple[int, int],
    channels: int,
    depth: int,
    background: str,
    filters: list[int],
    interlaced: bool,
    seed: int,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    rng = np.random.default_rng(seed)
    levels = rng.integers(0, 2 ** rng.integers(8, 17), (*size, channels))
    path = tmp_path_factory.mktemp("deep") / "a.png"
    path.write_bytes(png(levels, 16, filters=filters, interlaced=interlaced))
    found = read_picture(path, Reading((3, *size), background, depth))
    colours = np.minimum(levels // 2 ** (depth - 8), 255)[:, :, : channels - (channels % 2 == 0)]
    colours = np.broadcast_to(colours, (*size, 3))
    if channels % 2 == 0 and background != DROP:
        colours = _laid(colours, levels[:, :, -1] // 256, BACKGROUNDS[background])
    np.testing.assert_array_equal(found, colours)


@pytest.mark.parametrize(("bits", "channels"), [(1, 1), (2, 1), (4, 1), (8, 1), (16, 1), (8, 3), (16, 3)])
def test_a_colour_that_is_transparent(bits: int, channels: int, tmp_path: Path) -> None:
    levels = np.random.default_rng(bits).integers(0, 2**bits, (6, 7, channels))
    levels[2:4, 1:6] = key = levels[0, 0]
    (tmp_path / "a.png").write_bytes(png(levels, bits, {b"tRNS": key.astype(">u2").tobytes()}))
    white, black = (read_picture(tmp_path / "a.png", Reading((3, 6, 7), on)) for on in ("#ffffff", "#000000"))
    eight = np.broadcast_to(levels // 256 if bits == 16 else levels * (255 // (2**bits - 1)), (6, 7, 3))
    clear = (levels == key).all(axis=2)[:, :, None]
    np.testing.assert_array_equal(white, np.where(clear, 255, eight))
    np.testing.assert_array_equal(black, np.where(clear, 0, eight))


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_a_palette_with_transparency(bits: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(bits)
    places = rng.integers(0, 2**bits, (5, 4, 1))
    palette, alpha = rng.integers(0, 256, (2**bits, 3)), rng.integers(0, 256, 2**bits)
    alpha[-1] = 255
    chunks = {b"PLTE": palette.astype("u1").tobytes(), b"tRNS": alpha[:-1].astype("u1").tobytes()}
    (tmp_path / "a.png").write_bytes(png(places, bits, chunks, colour_type=3))
    place = places[:, :, 0]
    for background, colour in BACKGROUNDS.items():
        found = read_picture(tmp_path / "a.png", Reading((3, 5, 4), background))
        np.testing.assert_array_equal(found, _laid(palette[place], alpha[place], colour))
    dropped = read_picture(tmp_path / "a.png", Reading((3, 5, 4)))
    np.testing.assert_array_equal(dropped, palette[place])


def test_shapes_on_nothing_are_seen(tmp_path: Path) -> None:
    """Black shapes on transparent, which are all black where transparency is dropped."""
    levels = np.zeros((8, 8, 4), dtype=np.uint8)
    levels[2:6, :, 3] = 255
    shape = np.where(levels[:, :, 3] == 255, 0, 255)[:, :, None]
    for ending, more in _LOSSLESS.items():
        path = tmp_path / f"a.{ending}"
        Image.fromarray(levels).save(path, **more)
        np.testing.assert_array_equal(read_picture(path, Reading((1, 8, 8), "#ffffff")), shape)
        assert not read_picture(path, Reading((1, 8, 8))).any()
    np.testing.assert_array_equal(picture_of(levels, Reading((1, 8, 8), "#ffffff")), shape)
    gif = Image.fromarray(np.where(shape[:, :, 0] == 0, 1, 0).astype(np.uint8), mode="P")
    gif.putpalette([0, 0, 0, 0, 0, 0])
    gif.save(tmp_path / "a.gif", transparency=0)
    np.testing.assert_array_equal(read_picture(tmp_path / "a.gif", Reading((1, 8, 8), "#ffffff")), shape)


def test_grey_is_that_of_the_colours_on_the_background(tmp_path: Path) -> None:
    """ITU-R BT.601, as pillow documents it for `convert("L")`."""
    levels = np.random.default_rng(0).integers(0, 256, (9, 9, 4), dtype=np.uint8)
    Image.fromarray(levels).save(tmp_path / "a.png")
    grey = read_picture(tmp_path / "a.png", Reading((1, 9, 9), "#0ac84d"))[:, :, 0]
    laid = _laid(levels[:, :, :3].astype(float), levels[:, :, 3], BACKGROUNDS["#0ac84d"])
    np.testing.assert_allclose(grey, laid @ np.array([299, 587, 114]) / 1000, atol=0.51)


def test_cmyk_is_read_as_the_light_that_the_inks_leave(tmp_path: Path) -> None:
    flat = np.full((16, 16, 4), (40, 90, 200, 30), dtype=np.uint8)
    Image.fromarray(flat, mode="CMYK").save(tmp_path / "a.jpg", quality=100)
    found = read_picture(tmp_path / "a.jpg", Reading((3, 16, 16), "#ffffff"))
    expected = [(255 - ink) * (255 - 30) / 255 for ink in (40, 90, 200)]
    np.testing.assert_allclose(found.astype(float), np.broadcast_to(expected, found.shape), atol=4)


_TURNS: dict[int, Callable[[NDArray[Any]], NDArray[Any]]] = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: np.rot90,
}
"""What a person sees, by the orientation of EXIF 2.32, section 4.6.4: where the stored row 0 and column 0 are."""


@pytest.mark.parametrize("orientation", _TURNS)
def test_exif_turns_every_kind(orientation: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    eight = rng.integers(0, 256, (6, 4, 4), dtype=np.uint8)
    deep = rng.integers(0, 2**16, (6, 4, 1))
    wide = rng.integers(0, 2**16, (6, 4, 4))
    tiff = exif.tobytes().removeprefix(b"Exif\0\0")
    (tmp_path / "deep.png").write_bytes(png(deep, 16, {b"eXIf": tiff}))
    (tmp_path / "wide.png").write_bytes(png(wide, 16, {b"eXIf": tiff}))
    for ending, more in _LOSSLESS.items():
        Image.fromarray(eight).save(tmp_path / f"a.{ending}", exif=exif, **more)
    turn = _TURNS[orientation]
    seen = _laid(eight[:, :, :3].astype(float), eight[:, :, 3], (0, 0, 0))
    cases = {f"a.{ending}": seen for ending in ("png", "webp", "tif")}
    cases["deep.png"] = np.broadcast_to(deep // 256, (6, 4, 3))
    cases["wide.png"] = _laid(wide[:, :, :3] // 256, wide[:, :, 3] // 256, (0, 0, 0))
    for name, stored in cases.items():
        expected = turn(stored)
        found = read_picture(tmp_path / name, Reading((3, *expected.shape[:2]), "#000000"))
        np.testing.assert_array_equal(found, expected, err_msg=name)
        assert held(tmp_path / name).turned == (orientation > 1), name


def test_of_an_animation_the_first_frame_is_taken(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (6, 5), colour) for colour in ((255, 0, 0), (0, 255, 0), (0, 0, 255))]
    for ending in ("gif", "png", "webp", "tif"):
        path = tmp_path / f"a.{ending}"
        frames[0].save(path, save_all=True, append_images=frames[1:], **_LOSSLESS.get(ending, {}))
        assert held(path).several
        assert (read_picture(path, Reading((3, 5, 6))) == (255, 0, 0)).all()
        frames[0].save(path)
        assert not held(path).several
    frames[0].save(tmp_path / "phone.mpo", save_all=True, append_images=frames[1:])
    assert not held(tmp_path / "phone.mpo").several
    torn = io.BytesIO()
    frames[0].save(torn, "gif", save_all=True, append_images=frames[1:])
    (tmp_path / "torn.gif").write_bytes(torn.getvalue()[:-30])
    assert (read_picture(tmp_path / "torn.gif", Reading((3, 5, 6))) == (255, 0, 0)).all()


@pytest.mark.parametrize("compression", [None, "tiff_lzw"])
def test_a_tiff_of_16_bits(compression: str | None, tmp_path: Path) -> None:
    levels = np.random.default_rng(0).integers(0, 4096, (7, 5)).astype(np.uint16)
    Image.fromarray(levels).save(tmp_path / "a.tif", compression=compression)
    found = read_picture(tmp_path / "a.tif", Reading((1, 7, 5), depth=12))
    np.testing.assert_array_equal(found[:, :, 0], levels // 16)


@pytest.mark.parametrize("order", ["<", ">"])
def test_a_tiff_of_16_bits_in_colour(order: str, tmp_path: Path) -> None:
    """Written by hand (TIFF 6.0): one strip, not compressed."""
    levels = np.random.default_rng(0).integers(0, 4096, (3, 5, 3)).astype(f"{order}u2")
    tags = [(256, 3, 1, 5), (257, 3, 1, 3), (258, 3, 3, 200), (259, 3, 1, 1), (262, 3, 1, 2), (273, 4, 1, 256)]
    tags += [(277, 3, 1, 3), (278, 3, 1, 3), (279, 4, 1, levels.nbytes)]
    words, short, long = np.dtype(f"{order}u2"), f"{order}u2", f"{order}u4"
    data = (b"II" if order == "<" else b"MM") + np.array([42], words).tobytes() + np.array([8], long).tobytes()
    data += np.array([len(tags)], short).tobytes()
    for tag, kind, count, value in tags:
        inline = kind == 3 and count == 1
        held_value = np.array([value, 0], short) if inline else np.array([value], long)
        data += np.array([tag, kind], short).tobytes() + np.array([count], long).tobytes() + held_value.tobytes()
    data = (data + bytes(4)).ljust(200, b"\0") + np.array([16] * 3, short).tobytes()
    (tmp_path / "a.tif").write_bytes(data.ljust(256, b"\0") + levels.tobytes())
    found = read_picture(tmp_path / "a.tif", Reading((3, 3, 5), depth=12))
    np.testing.assert_array_equal(found, levels // 16)


@given(
    old=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    new=st.tuples(st.integers(1, 20), st.integers(1, 20)),
    channels=st.sampled_from([1, 3]),
)
def test_padding_leaves_the_whole_picture_in_the_middle(
    old: tuple[int, int], new: tuple[int, int], channels: int
) -> None:
    """A flat picture stays flat however it is scaled; its sides keep their ratio to within half a pixel."""
    levels = np.full((*old, channels), 50, dtype=np.uint8)
    found = picture_of(levels, Reading((channels, *new), "#0ac84d", resize="pad"))
    colour = (10, 200, 77) if channels == 3 else (round(0.299 * 10 + 0.587 * 200 + 0.114 * 77),)
    inside = (found == 50).all(axis=2)
    assert (found[~inside] == colour).all()
    rows, columns = (np.flatnonzero(inside.any(axis=axis)) for axis in (1, 0))
    assert inside.sum() == len(rows) * len(columns)
    scale = min(new[0] / old[0], new[1] / old[1])
    for kept, before, after in ((rows, old[0], new[0]), (columns, old[1], new[1])):
        assert abs(len(kept) - max(1, before * scale)) <= 0.5
        assert abs(kept[0] - (after - 1 - kept[-1])) <= 1
    assert max(len(rows) - new[0], len(columns) - new[1]) == 0


def test_squashing_is_pillows_own_resize() -> None:
    levels = np.random.default_rng(0).integers(0, 256, (31, 12, 3), dtype=np.uint8)
    found = picture_of(levels, Reading((3, 7, 9), resize="squash"))
    np.testing.assert_array_equal(found, np.array(Image.fromarray(levels).resize((9, 7), Image.Resampling.BILINEAR)))


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"background": "white"}, "background must be #rrggbb or drop, but got 'white'"),
        ({"background": ["#ffffff"]}, "background must be #rrggbb"),
        ({"depth": 7}, "depth must be a whole number from 8 to 16, but got 7"),
        ({"depth": True}, "depth must be a whole number"),
        ({"resize": "stretch"}, "resize must be one of cover_crop, pad, squash, but got 'stretch'"),
        ({"resize": "pad"}, "background must be a colour to pad with"),
    ],
)
def test_a_reading_that_cannot_be(said: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Reading((3, 4, 4), **said)


def test_too_many_pixels_are_refused_by_the_header(tmp_path: Path) -> None:
    huge = png(np.zeros((1, 1, 1), dtype=int), 8).replace(
        chunk(b"IHDR", bytes([0, 0, 0, 1, 0, 0, 0, 1, 8, 0, 0, 0, 0])),
        chunk(b"IHDR", bytes([0, 0, 0x75, 0x30, 0, 0, 0x75, 0x30, 8, 0, 0, 0, 0])),
    )
    (tmp_path / "huge.png").write_bytes(huge)
    with pytest.raises(PictureError, match="more than 100,000,000 pixels"):
        held(tmp_path / "huge.png")
    (tmp_path / "some.png").write_bytes(png(np.zeros((10, 11, 1), dtype=int), 8))
    assert held(tmp_path / "some.png", 110).picture.size == (11, 10)
    for most in (109, 60, 20):  # below, pillow itself warns or ends
        with pytest.raises(PictureError, match=f"more than {most}"):
            held(tmp_path / "some.png", most)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_the_limit_is_exact_also_where_pillow_only_warns(tmp_path: Path) -> None:
    (tmp_path / "some.png").write_bytes(png(np.zeros((10, 11, 1), dtype=int), 8))
    with pytest.raises(PictureError, match=r"it has 11 x 10 pixels, which are more than 109 \(max_pixels\)"):
        held(tmp_path / "some.png", 109)


def test_pillows_own_limit_does_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "some.png").write_bytes(png(np.zeros((10, 11, 1), dtype=int), 8))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 20)
    assert held(tmp_path / "some.png").picture.size == (11, 10)
    assert picture_of(np.zeros((4, 4, 3), dtype=np.uint8), Reading((3, 20, 30))).shape == (20, 30, 3)
    assert Image.MAX_IMAGE_PIXELS == 20


def _heic(brand: bytes) -> bytes:
    return (24).to_bytes(4, "big") + b"ftyp" + brand + bytes(12)


def test_what_pillow_lacks_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.heic").write_bytes(_heic(b"heic"))
    (tmp_path / "a.png").write_bytes(b"no picture")
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(PictureError, match="it is HEIC, which pillow reads where the package pillow-heif is installed"):
        held(tmp_path / "a.heic")
    with pytest.raises(PictureError, match="no format that is read"):
        held(tmp_path / "a.png")
    monkeypatch.setattr(Image, "open", _knows_nothing)
    (tmp_path / "a.avif").write_bytes(_heic(b"avif"))
    with pytest.raises(PictureError, match=r"it is AVIF, which pillow reads from 11\.3 on"):
        held(tmp_path / "a.avif")


def _knows_nothing(path: Path, formats: object = None) -> Image.Image:
    raise UnidentifiedImageError(f"cannot identify {path}")


@pytest.mark.parametrize("name", ["a.eps", "a.jpg"])
def test_no_program_is_started_for_a_drawing(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pillow would hand it to Ghostscript, which runs what it says."""
    monkeypatch.setattr(subprocess, "Popen", lambda *_, **__: pytest.fail("a program is started"))
    (tmp_path / name).write_bytes(
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n/s 9 def s s scale\n%%EOF\n"
    )
    with pytest.raises(PictureError, match="it is of no format that is read"):
        held(tmp_path / name)


def test_pillow_heif_is_used_where_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.heic").write_bytes(_heic(b"mif1"))
    Image.new("L", (3, 3), 7).save(tmp_path / "b.bmp")
    opens = Image.open
    package = types.ModuleType("pillow_heif")
    monkeypatch.setitem(sys.modules, "pillow_heif", package)
    registered = lambda: monkeypatch.setattr(Image, "open", lambda path, formats: opens(tmp_path / "b.bmp"))  # noqa: E731
    monkeypatch.setattr(package, "register_heif_opener", registered, raising=False)
    assert (read_picture(tmp_path / "a.heic", Reading((1, 3, 3))) == 7).all()


@pytest.mark.skipif(not features.check("avif"), reason="this pillow has no AVIF")
def test_avif_is_read(tmp_path: Path) -> None:
    levels = np.full((16, 16, 4), (200, 40, 90, 255), dtype=np.uint8)
    levels[:, 8:, 3] = 0
    Image.fromarray(levels).save(tmp_path / "a.avif", quality=100)
    found = read_picture(tmp_path / "a.avif", Reading((3, 16, 16), "#000000")).astype(int)
    assert np.abs(found[:, :6] - (200, 40, 90)).max() <= 3
    assert found[:, 10:].max() <= 3


def test_limits_are_the_same_everywhere() -> None:
    from nas.commands.options import predict_parser
    from nas.training.data.config import DataConfig

    assert predict_parser().parse_args(["a", "b"]).max_pixels == DataConfig().max_pixels == MAX_PIXELS
    for function in (exported_model, nas.predict):
        assert inspect.signature(function).parameters["max_pixels"].default == MAX_PIXELS
