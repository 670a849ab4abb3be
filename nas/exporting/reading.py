"""Reads a picture as the levels that a network takes: one code for training, `nas predict` and predict.py.

It needs numpy and pillow alone: `nas.exporting.script` puts it into the predict.py that ships.
"""

from __future__ import annotations

import importlib
import io
import os
import re
import stat
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageFile, ImageOps, UnidentifiedImageError

DROP = "drop"
"""A background that is none: transparency is dropped, so that the colours below it show, as in models from before."""
COVER_CROP, PAD, SQUASH = "cover_crop", "pad", "squash"
RESIZES = (COVER_CROP, PAD, SQUASH)
"""How a picture is brought to a size: to cover it, and cut; to fit into it, on the background; to have just its sides.
Always bilinear with antialiasing, as pillow does it."""
READ_AS = ("background", "depth", "resize")
"""What the files of a model say of a `Reading`, beside the shape."""
FULL_DEPTH = 16
"""Bits of a level of a file that has more than 8."""
PICTURE_FORMATS = ("BMP", "GIF", "JPEG", "JPEG2000", "MPO", "PNG", "PPM", "TIFF", "WEBP", "AVIF", "HEIF")
"""What is read, by pillow's names. For others pillow may start a program: Ghostscript for an EPS, whatever its name."""
AVIF_BRANDS = frozenset({b"avif", b"avis"})
HEIF_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"})
"""What stands in the first bytes of files of these formats, behind `ftyp`."""
MAX_PIXELS = 100_000_000
"""Of a file, where nothing is said."""
_MOST_SCALED = 2**26
"""Pixels that a picture is scaled to before it is cut; of more only those are computed that are kept."""
_SMALL = 2**20
"""Bytes of a file that is read at once: pillow reads some bytes at a time."""
_COLOUR = re.compile("#[0-9a-f]{6}")
_OPENING = threading.Lock()
"""Held while pillow has another limit than its own."""


class PictureError(ValueError):
    """A picture that cannot be read; the message says why, without its name."""


@dataclass(frozen=True)
class Reading:
    """How the file of a picture becomes 8-bit levels; what is not said is what models from before mean."""

    shape: tuple[int, int, int]
    """`(channels, height, width)` that a picture is brought to; 1 channel is grey, 3 are RGB."""
    background: str = DROP
    """That transparency is laid on, as `#rrggbb`, and what is left of the size is filled with; or `DROP`."""
    depth: int = FULL_DEPTH
    """Bits of the levels of files with 16 bits a level; larger levels are white."""
    resize: str = COVER_CROP
    """One of `RESIZES`."""
    max_pixels: int = MAX_PIXELS
    """A file with more is refused by its header, before it is decoded."""

    def __post_init__(self) -> None:
        """Raise `ValueError` for what cannot be."""
        if self.background != DROP and not _COLOUR.fullmatch(str(self.background)):
            raise ValueError(f"background must be #rrggbb or {DROP}, but got {self.background!r:.80}")
        if type(self.depth) is not int or not 8 <= self.depth <= FULL_DEPTH:
            raise ValueError(f"depth must be a whole number from 8 to {FULL_DEPTH}, but got {self.depth!r:.80}")
        if self.resize not in RESIZES:
            raise ValueError(f"resize must be one of {', '.join(RESIZES)}, but got {self.resize!r:.80}")
        if (self.resize, self.background) == (PAD, DROP):
            raise ValueError(f"background must be a colour to pad with, but got {DROP}")

    @property
    def colour(self) -> tuple[int, ...]:
        """The background in the channels of `shape`, where there is one."""
        red_green_blue = bytes.fromhex(self.background[1:])
        if self.shape[0] == 3:
            return tuple(red_green_blue)
        return (int(np.asarray(Image.frombytes("RGB", (1, 1), red_green_blue).convert("L"))[0, 0]),)


@dataclass(frozen=True, eq=False)
class Held:
    """What a file holds: its first frame or page at its full size, turned as its EXIF data say."""

    picture: Image.Image
    """With 8 bits a level, but for `levels`."""
    levels: NDArray[np.uint16] | None
    """`(height, width, channels)`, 1 or 3, of a file with 16 bits a level."""
    alpha: NDArray[np.uint8] | None
    """`(height, width)`; None where all is opaque."""
    significant: int | None
    """Bits of its 16 that were of use, as a PNG may say (chunk sBIT)."""
    several: bool
    """Whether it holds other frames or pages, too."""
    turned: bool
    """Whether its EXIF data say that it is to be turned or mirrored."""


def read_picture(path: Path, reading: Reading) -> NDArray[np.uint8]:
    """Read a picture as 8-bit levels `(height, width, channels)`.

    Raises:
        PictureError: it cannot be read.
    """
    return fitted(colours(held(path, reading.max_pixels), reading), reading)


def picture_of(levels: NDArray[np.uint8], reading: Reading) -> NDArray[np.uint8]:
    """Return a picture that is in memory as `read_picture` returns that of a file.

    Args:
        levels: 8-bit levels `(height, width, channels)`: 1 channel is grey, 3 are RGB, a fourth is transparency.
        reading: how it is read.
    """
    picture = Image.fromarray(levels[:, :, 0] if levels.shape[2] == 1 else levels)
    alpha = _opaque_is_none(levels[:, :, 3]) if levels.shape[2] == 4 else None
    return fitted(colours(Held(picture, None, alpha, None, False, False), reading), reading)


def why_no_file(path: str | Path, *, links: bool = True) -> str:
    """Return why a path is no plain file that can be opened without waiting; empty where it is one.

    Args:
        path: that is to be read.
        links: whether it may be a link to one.
    """
    try:
        mode = (os.stat if links else os.lstat)(path).st_mode
    except (OSError, ValueError) as error:
        return getattr(error, "strerror", None) or str(error)
    if stat.S_ISREG(mode):
        return ""
    kinds = {stat.S_ISDIR: "a folder", stat.S_ISFIFO: "a pipe", stat.S_ISLNK: "a link"}
    return next((f"it is {kind}" for is_kind, kind in kinds.items() if is_kind(mode)), "it is a device")


def held(path: str | Path, max_pixels: int = MAX_PIXELS) -> Held:
    """Read what a file holds.

    Raises:
        PictureError: it cannot be read, or has more pixels.
    """
    why = why_no_file(path)
    if why:
        raise PictureError(f"{why}: name the pictures in it, such as {path}/*" if os.path.isdir(path) else why)
    try:
        with open_picture(path, max_pixels) as image:
            return _held(image, path, max_pixels)
    except PictureError:
        raise
    except Exception as error:  # decoders raise all kinds of errors on broken files
        raise PictureError(getattr(error, "strerror", None) or str(error) or type(error).__name__) from None


def open_picture(path: str | Path, max_pixels: int) -> ImageFile.ImageFile:
    """Open a picture, of which pillow reads the header; it may have that many pixels, whatever pillow's own limit.

    Raises:
        PictureError: it has more, or is of no format that is read. OSError: it cannot be read.
    """
    try:
        image = _open(path, max_pixels)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise PictureError(f"it has more than {max_pixels:,} pixels (max_pixels)") from None
    except UnidentifiedImageError:
        lacks = _lacks(path)
        if lacks:
            raise PictureError(lacks) from None
        image = _open(path, max_pixels)  # pillow-heif is there, and was not asked before
    if image.width * image.height > max_pixels:
        image.close()
        raise PictureError(
            f"it has {image.width:,} x {image.height:,} pixels, which are more than {max_pixels:,} (max_pixels)"
        )
    return image


def _open(path: str | Path, max_pixels: int) -> ImageFile.ImageFile:
    with open(path, "rb", buffering=0) as file:
        small = io.BytesIO(file.read()) if os.fstat(file.fileno()).st_size <= _SMALL else None
    with _OPENING:
        own, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, max_pixels
        try:
            image = Image.open(path if small is None else small, formats=formats_read())
        finally:
            Image.MAX_IMAGE_PIXELS = own
    image.filename = ""  # else pillow 13.0 maps TIFF files into memory, those to be turned with their sides swapped
    return image


def _lacks(path: str | Path) -> str:
    """Return what is needed to read a file that pillow does not know; empty where it may be read by now."""
    with open(path, "rb") as file:
        start = file.read(12)
    brand = start[8:] if start[4:8] == b"ftyp" else b""
    if brand in AVIF_BRANDS:
        return "it is AVIF, which pillow reads from 11.3 on, where it was built with libavif"
    if brand not in HEIF_BRANDS:
        return "it is of no format that is read"
    return "" if heif_is_read() else "it is HEIC, which pillow reads where the package pillow-heif is installed"


def formats_read() -> tuple[str, ...]:
    """Return those of `PICTURE_FORMATS` that pillow reads here; HEIC once `heif_is_read` was asked."""
    Image.init()  # pillow finds its own readers; again it does nothing
    return tuple(name for name in PICTURE_FORMATS if name in Image.OPEN)


def heif_is_read() -> bool:
    """Whether pillow reads HEIC; where pillow-heif is installed it is told to."""
    if "HEIF" not in Image.OPEN:
        with suppress(ImportError):
            importlib.import_module("pillow_heif").register_heif_opener()
            return True
    return "HEIF" in Image.OPEN


def _held(image: ImageFile.ImageFile, path: str | Path, max_pixels: int) -> Held:
    png = _png_header(path) if image.format == "PNG" else None
    tiles = [] if image.format == "JPEG" else _tiles_of_lower_bytes(image)
    turned = 2 <= image.getexif().get(ExifTags.Base.Orientation, 1) <= 8
    picture = ImageOps.exif_transpose(image) if turned or image.format != "JPEG" else _loaded(image)
    levels = alpha = None
    if picture.mode.startswith("I;16") or (picture.mode == "I" and image.format == "PNG"):
        levels = np.asarray(picture).astype(np.uint16)[:, :, None]
    elif picture.mode in ("I", "F"):
        raise PictureError("its grey levels have no known white; store it with 8 or 16 bits")
    elif tiles:
        with open_picture(path, max_pixels) as lower:
            lower.tile = tiles
            levels, alpha = _levels_and_alpha(np.asarray(picture), np.asarray(ImageOps.exif_transpose(lower)), tiles)
    if png is not None and png.key is not None and png.bits in (2, 4, 16):
        alpha = _alpha_of_key(png, np.asarray(picture) if levels is None else levels)
    elif levels is None and picture.has_transparency_data:
        alpha = np.asarray(picture.convert("RGBA"))[:, :, 3]
    several = False
    with suppress(Exception):  # what is behind the first frame may be broken
        # Phones store further views of a picture behind it (MPO): it is no animation.
        several = image.format != "MPO" and bool(getattr(image, "is_animated", False))
    significant = None if png is None else png.significant
    return Held(picture, levels, _opaque_is_none(alpha), significant, several, turned)


def _loaded(image: ImageFile.ImageFile) -> Image.Image:
    """Decode a picture, which needs no copy as one with further frames does, whose number may be looked for."""
    image.load()
    return image


def _opaque_is_none(alpha: NDArray[np.uint8] | None) -> NDArray[np.uint8] | None:
    return None if alpha is None or alpha.min() == 255 else alpha


class _Png(NamedTuple):
    """What pillow does not tell of a PNG, or not right (12.2, 13.0)."""

    bits: int
    """Of a level."""
    key: tuple[int, ...] | None
    """Levels of the colour that is transparent, where there is one."""
    significant: int | None
    """Bits of a level that were of use, the most of its channels."""


def _png_header(path: str | Path) -> _Png:
    """Read the chunks of a PNG before its pixels (https://www.w3.org/TR/png-3/, sections 11.2.1, 11.3.1 and 11.3.2)."""
    chunks: dict[bytes, bytes] = {}
    with open(path, "rb") as file:
        file.seek(8)
        while len(head := file.read(8)) == 8 and head[4:] != b"IDAT":
            size = int.from_bytes(head[:4], "big")
            if size <= 768:  # none of those here has more
                chunks[head[4:]] = file.read(size)
                file.seek(4, os.SEEK_CUR)
            else:
                file.seek(size + 4, os.SEEK_CUR)
    bits, colour_type = chunks[b"IHDR"][8:10]
    key, said = chunks.get(b"tRNS"), chunks.get(b"sBIT")
    of_colours = colour_type in (0, 2) and key is not None and len(key) == (2, 0, 6)[colour_type]
    values = tuple(np.frombuffer(key, ">u2").tolist()) if of_colours and key is not None else None
    own = said[: 3 if colour_type & 2 else 1] if said and bits == FULL_DEPTH else b""
    return _Png(bits, values, max(own) if own and 0 < max(own) <= FULL_DEPTH else None)


def _alpha_of_key(png: _Png, levels: NDArray[Any]) -> NDArray[np.uint8]:
    """Return the transparency of pictures in which one colour is transparent; pillow compares other numbers."""
    assert png.key is not None
    scale = 1 if png.bits == FULL_DEPTH else 255 // (2**png.bits - 1)
    same = (levels.reshape(*levels.shape[:2], -1) == np.array(png.key) * scale).all(axis=2)
    return np.where(same, 0, 255).astype(np.uint8)


def _tiles_of_lower_bytes(image: ImageFile.ImageFile) -> list[Any]:
    """Return how pillow would decode the other half of levels of 16 bits in colour, of which it gives the upper bytes.

    It has a decoder for each order of bytes, and that of the other order gives the lower ones. Grey with transparency,
    for which there is one order alone, is decoded as four bytes instead. Empty for other pictures.
    """
    others = {"B": "L", "L": "B", "N": "B" if sys.byteorder == "little" else "L"}
    tiles = []
    for tile in image.tile:
        mode, *rest = (tile.args,) if isinstance(tile.args, str) else (tile.args or ("",))
        kind, _, order = str(mode).partition(";16")
        if kind not in ("RGB", "RGBA", "LA") or order not in others:
            return []
        other = "RGBA" if kind == "LA" else f"{kind};16{others[order]}"
        tiles.append(tile._replace(args=(other, *rest) if isinstance(tile.args, tuple) else other))
    return tiles


def _levels_and_alpha(
    upper: NDArray[np.uint8], lower: NDArray[np.uint8], tiles: list[Any]
) -> tuple[NDArray[np.uint16], NDArray[np.uint8] | None]:
    """Put levels of 16 bits together: of colours, with an alpha of 8 bits where there is one."""
    if tiles[0].args == "RGBA":  # grey and alpha, two bytes each
        return _of_two_bytes(lower[:, :, :1], lower[:, :, 1:2]), lower[:, :, 2]
    levels = _of_two_bytes(upper[:, :, :3], lower[:, :, :3])
    return levels, upper[:, :, 3] if upper.shape[2] == 4 else None


def _of_two_bytes(upper: NDArray[np.uint8], lower: NDArray[np.uint8]) -> NDArray[np.uint16]:
    return upper.astype(np.uint16) * np.uint16(256) + lower


def colours(held: Held, reading: Reading) -> Image.Image:
    """Return what a file holds with 8 bits a level, in grey or RGB, at its full size."""
    picture = held.picture
    if held.levels is not None:
        # The upper bits: every level has as many neighbours, 257 n and 256 n become n, and it is what pillow does.
        eight = np.minimum(held.levels >> (reading.depth - 8), 255).astype(np.uint8)
        picture = Image.fromarray(eight[:, :, 0] if eight.shape[2] == 1 else eight)
    if held.alpha is not None and reading.background != DROP:
        seen = picture.convert("RGBA")
        seen.putalpha(Image.fromarray(held.alpha))
        picture = Image.alpha_composite(Image.new("RGBA", seen.size, reading.background), seen)
    elif picture.mode == "P" and "transparency" in picture.info:
        picture = picture.convert("RGBA")  # pillow warns of what is lost otherwise
    mode = "RGB" if reading.shape[0] == 3 else "L"
    return picture if picture.mode == mode else picture.convert(mode)


def fitted(picture: Image.Image, reading: Reading) -> NDArray[np.uint8]:
    """Bring a picture of `colours` to the size of a reading; returns `(height, width, channels)`.

    Raises:
        PictureError: it cannot be scaled, for example for want of memory.
    """
    channels, height, width = reading.shape
    try:
        if picture.size == (width, height):
            pixels = np.array(picture)
        elif reading.resize == SQUASH:
            pixels = np.array(picture.resize((width, height), Image.Resampling.BILINEAR))
        elif reading.resize == PAD:
            pixels = _padded(picture, reading)
        else:
            pixels = _covering(picture, height, width)
        return pixels.astype(np.uint8, copy=False).reshape(height, width, channels)
    except Exception as error:  # pillow raises several kinds, and there may be no memory for the picture
        raise PictureError(f"it cannot be scaled: {str(error) or type(error).__name__}") from None


def _padded(picture: Image.Image, reading: Reading) -> NDArray[np.uint8]:
    """Return a picture that is scaled to fit into a size, in the middle of the background."""
    channels, height, width = reading.shape
    scale = min(width / picture.width, height / picture.height)
    scaled = (
        min(width, max(1, round(picture.width * scale))),
        min(height, max(1, round(picture.height * scale))),
    )
    left, upper = (width - scaled[0]) // 2, (height - scaled[1]) // 2
    pixels = np.empty((height, width, channels), dtype=np.uint8)
    pixels[:] = reading.colour
    inside = np.asarray(picture.resize(scaled, Image.Resampling.BILINEAR)).reshape(scaled[1], scaled[0], channels)
    pixels[upper : upper + scaled[1], left : left + scaled[0]] = inside
    return pixels


def _covering(picture: Image.Image, height: int, width: int) -> NDArray[np.uint8]:
    """Return the middle of a picture that is scaled to cover a size."""
    scale = max(width / picture.width, height / picture.height)
    scaled = max(width, round(picture.width * scale)), max(height, round(picture.height * scale))
    left, upper = (scaled[0] - width) // 2, (scaled[1] - height) // 2
    if scaled[0] * scaled[1] <= _MOST_SCALED:
        # The way of every training so far: pixels of a box, whose ends are rounded, may be a level off.
        whole = np.asarray(picture.resize(scaled, Image.Resampling.BILINEAR))
        return whole[upper : upper + height, left : left + width].copy()
    across, down = picture.width / scaled[0], picture.height / scaled[1]
    box = left * across, upper * down, (left + width) * across, (upper + height) * down
    return np.array(picture.resize((width, height), Image.Resampling.BILINEAR, box=box))
