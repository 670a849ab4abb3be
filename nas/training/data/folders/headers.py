"""What the beginning and the end of a file show, before any picture is decoded. Never loads torch."""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from PIL import ExifTags, Image, UnidentifiedImageError, features

from nas.errors import why_unreadable
from nas.exporting.reading import AVIF_BRANDS, HEIF_BRANDS, formats_read, heif_is_read, why_no_file
from nas.machine import cores
from nas.training.data.processes import Processes

SUFFIXES = frozenset(
    (
        *(".avif", ".bmp", ".dib", ".gif", ".heic", ".heif", ".j2k", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg"),
        *(".pbm", ".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp"),
    )
)
"""Of files that should be pictures; others are left out where they are none."""
_BEGINS = 64
_ENDS = 2**16
"""Bytes of the beginning and of the end that are looked at."""
_MANY = 20_000
"""Files that processes are started for, which takes half a second of each: threads take turns at Python's lock."""
_PART = 256
"""Files that a process looks at together."""
_MOST_AT_ONCE = 16
_MODULE = "nas.training.data.folders.look"


@dataclass(frozen=True, slots=True)
class Header:
    """What a file says of the picture in it."""

    format: str
    """Of the file, by pillow's name."""
    size: tuple[int, int]
    """Height and width as a person sees it: cameras store a turn beside the pixels."""
    mode: str
    """How pillow holds its levels, such as RGB, L, P, I;16."""
    animated: bool = False
    """Whether it has several frames, of which the first one is the picture."""


@dataclass(frozen=True, slots=True)
class Bad:
    """A file that cannot be used."""

    why: str
    """What is wrong with it, without its name: of files with equal words the names are listed together."""


NO_PICTURE = Bad("are no pictures")


def looked_at(files: Sequence[Path], *, most_pixels: int) -> list[Header | Bad]:
    """Look at files, several at a time; see `look_at`."""
    several = min(_MOST_AT_ONCE, 2 * cores())  # on slow disks each waits for its files
    if len(files) >= _MANY:
        parts = [[*map(os.fspath, files[start : start + _PART])] for start in range(0, len(files), _PART)]
        with Processes(_MODULE, most_pixels, several) as processes:
            return [_found(one) for answer in processes.answers(parts) for one in answer]
    with ThreadPoolExecutor(max_workers=several) as pool:
        return list(pool.map(lambda path: look_at(path, most_pixels=most_pixels), files))


def looked_at_as_values(files: Sequence[str], *, most_pixels: int) -> list[tuple[object, ...] | str]:
    """Return what files are as plain values, of which `looked_at` makes them again."""
    looks = [look_at(Path(file), most_pixels=most_pixels) for file in files]
    return [one.why if isinstance(one, Bad) else (one.format, one.size, one.mode, one.animated) for one in looks]


def _found(values: Any) -> Header | Bad:
    if isinstance(values, str):
        return Bad(values)
    form, (height, width), mode, animated = values
    return Header(form, (height, width), mode, animated)


def look_at(path: Path, *, most_pixels: int) -> Header | Bad:
    """Return what a file is by its first and last bytes, whatever its name says.

    Args:
        path: of the file.
        most_pixels: a picture with more is bad.
    """
    if why_no_file(path):
        return Bad("are links to folders, which are not followed" if path.is_dir() else _NO_FILES)
    try:
        with open(path, "rb", buffering=0) as file:
            size = os.fstat(file.fileno()).st_size
            if not size:
                return Bad("are empty")
            if size <= _ENDS:  # it is read once, and has both
                whole = file.read()
                return _header(_File(path, io.BytesIO(whole), size), whole[:_BEGINS], whole, most_pixels)
            begin = file.read(_BEGINS)
            file.seek(size - _ENDS)
            return _header(_File(path, path, size), begin, file.read(), most_pixels)
    except PermissionError:
        return Bad("may not be read")
    except OSError as error:
        return Bad(f"cannot be read ({why_unreadable(error)})")


_NO_FILES = "are pipes, devices or broken links"
_UNKNOWN = Bad("are no pictures, or their first bytes are damaged")
_CUT_OFF = Bad("are cut off at their end")


class _File(NamedTuple):
    """A file that is looked at."""

    path: Path
    opened: Path | io.BytesIO
    """What pillow opens."""
    size: int
    """In bytes."""


def _header(file: _File, begin: bytes, end: bytes, most_pixels: int) -> Header | Bad:
    named = os.path.splitext(file.path.name)[1].lower() in SUFFIXES
    if what := _something_else(begin):
        return Bad(f"are {what}, whatever their names say") if named else NO_PICTURE
    if missing := _missing_reader(begin):
        return Bad(missing)
    if _lacks_its_end(begin, end, file.size):  # before pillow reads on, and stumbles over it
        return _CUT_OFF
    found = _opened(file, begin, most_pixels)
    return NO_PICTURE if found == _UNKNOWN and not named else found


def _opened(file: _File, begin: bytes, most_pixels: int) -> Header | Bad:
    """Return what pillow finds in the first bytes."""
    large = Bad(f"have more than {most_pixels:,} pixels (data.max_pixels)")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of very many pixels, which are counted here
            with Image.open(file.opened, formats=formats_read()) as image:
                if image.width * image.height > most_pixels:
                    return large
                if _lacks_rows(image, begin, file.size):
                    return _CUT_OFF
                return Header(str(image.format), _seen(image), image.mode, getattr(image, "is_animated", False))
    except UnidentifiedImageError:
        return _UNKNOWN
    except Image.DecompressionBombError:
        return large
    except Exception:  # decoders raise all kinds of errors on broken files
        return Bad("have damaged first bytes")


def _seen(image: Image.Image) -> tuple[int, int]:
    # Of a PNG whose EXIF data are not before its pixels pillow would decode all of these first.
    known = image.format != "PNG" or "exif" in image.info
    # The size of a TIFF pillow says as it is turned already.
    turned = known and image.format != "TIFF" and image.getexif().get(ExifTags.Base.Orientation, 1) >= 5
    return (image.width, image.height) if turned else (image.height, image.width)


def _something_else(begin: bytes) -> str:
    """Return what a file is that often has the name of a picture; empty where it is none of that."""
    text = begin.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    kinds: Iterable[tuple[tuple[bytes, ...], str]] = (
        ((b"<!doctype html", b"<html", b"<head"), "pages of HTML"),
        ((b"<?xml", b"<svg"), "XML or SVG"),
        ((b"{", b"["), "JSON or other text"),
        ((b"%pdf",), "PDF"),
        ((b"%!ps",), "PostScript"),
        ((b"pk\x03\x04",), "zip archives"),
        ((b"\x1f\x8b",), "gzip archives"),
        ((b"version https://git-lfs",), "pointers of Git LFS (git lfs pull fetches the files)"),
    )
    return next((what for starts, what in kinds if text.startswith(starts)), "")


def _missing_reader(begin: bytes) -> str:
    """Return what reads a file whose format pillow does not know here; empty where it does."""
    brand = begin[8:12] if begin[4:8] == b"ftyp" else b""
    if brand in AVIF_BRANDS and not features.check("avif"):
        return "are AVIF, which this pillow cannot read (pillow 11.3 or newer does)"
    if brand in HEIF_BRANDS and not heif_is_read():
        return "are HEIC, which pillow cannot read without the package pillow-heif (or convert them to JPEG or PNG)"
    return ""


def _lacks_its_end(begin: bytes, end: bytes, size: int) -> bool:
    """Whether a file of a format that says where it ends does not come to that."""
    if begin.startswith(b"\xff\xd8\xff"):  # JPEG, behind whose end cameras and programs add data
        return b"\xff\xd9" not in end
    if begin.startswith(b"\x89PNG"):
        return b"IEND" not in end
    if begin.startswith(b"GIF8"):
        return not end.rstrip(b"\0").endswith(b";")
    if begin.startswith(b"RIFF") and begin[8:12] == b"WEBP":
        return size < 8 + int.from_bytes(begin[4:8], "little")
    return False


def _lacks_rows(image: Image.Image, begin: bytes, size: int) -> bool:
    """Whether a BMP or TIFF is shorter than its header says, where that follows from it."""
    if image.format == "BMP":
        bits, compression = int.from_bytes(begin[28:30], "little"), int.from_bytes(begin[30:34], "little")
        if int.from_bytes(begin[14:18], "little") < 40 or compression not in (0, 3):
            return False
        row = (image.width * bits + 31) // 32 * 4
        return size < int.from_bytes(begin[10:14], "little") + row * image.height
    tags = getattr(image, "tag_v2", {})
    for places, counts in ((273, 279), (324, 325)):  # of the strips of a TIFF, and of its tiles
        ends = [place + count for place, count in zip(tags.get(places, ()), tags.get(counts, ()), strict=False)]
        if ends and max(ends) > size:
            return True
    return False
