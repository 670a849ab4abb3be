"""Odd files that folders of pictures hold, by kind: bad ones, pictures that must be read, and what is no data."""

from __future__ import annotations

import io
import os
import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, features

COPIES = 3
"""Files of each kind."""
_WIDTH, _HEIGHT = 320, 240
Levels = NDArray[np.uint8]


@dataclass(frozen=True)
class Expected:
    """A picture that must be read, and what is to be seen in it."""

    path: Path
    pixels: Levels
    """On white, `(height, width, 3)`."""
    tolerance: int = 0
    """By which a level may differ."""


def smooth(rng: np.random.Generator) -> Levels:
    """Return a picture without sharp edges, whose pixels all differ a little, `(height, width, 3)`."""
    small = Image.fromarray(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8))
    return np.asarray(small.resize((_WIDTH, _HEIGHT), Image.Resampling.BICUBIC))


def _bytes(levels: Levels, kind: str, **options: object) -> bytes:
    out = io.BytesIO()
    Image.fromarray(levels).save(out, kind, **options)
    return out.getvalue()


# Bad files


def _picture(copy: int, kind: str, **options: object) -> bytes:
    return _bytes(smooth(np.random.default_rng(copy)), kind, **options)


def _zip(copy: int) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr(f"{copy}.txt", "photos")
    return out.getvalue()


def _chunk(name: bytes, data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + name + data + zlib.crc32(name + data).to_bytes(4, "big")


def _bomb(copy: int) -> bytes:
    """A PNG of a few bytes that says that it has 3.6 * 10^9 pixels or more."""
    header = (60_000 + copy).to_bytes(4, "big") * 2 + bytes((8, 2, 0, 0, 0))
    data = _chunk(b"IHDR", header) + _chunk(b"IDAT", zlib.compress(bytes(1000))) + _chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + data


def _damaged_middle(copy: int) -> bytes:
    """A JPEG whose header and end are whole: a table of Huffman codes is damaged, which only decoding shows."""
    data = bytearray(_picture(copy, "JPEG", quality=90, progressive=True))
    middle = len(data) // 2
    data[middle : middle + 400] = bytes((0xFF, 0xC4, 0, 3, 0)) * 80
    return bytes(data)


def _wrong_sum(copy: int) -> bytes:
    """A PNG with a pixel byte changed, so that the check sum of its chunk does not hold."""
    data = bytearray(_picture(copy, "PNG"))
    data[data.index(b"IDAT") + 60] ^= 0xFF
    return bytes(data)


_UNREADABLE = "may not be read"
_BYTES: dict[str, tuple[str, Callable[[int], bytes]]] = {
    "empty": (".jpg", lambda copy: b""),
    "JPEG, cut off": (".jpg", lambda copy: _picture(copy, "JPEG")[: 2000 + copy]),
    "PNG, cut off": (".png", lambda copy: _picture(copy, "PNG")[: 2000 + copy]),
    "TIFF, cut off": (".tif", lambda copy: _picture(copy, "TIFF")[:-3000]),
    "WebP, cut off": (".webp", lambda copy: _picture(copy, "WEBP")[:-900]),
    "GIF, cut off": (".gif", lambda copy: _picture(copy, "GIF")[:-900]),
    "text named .jpg": (".jpg", lambda copy: b"see the other folder\n" * 9),
    "page of HTML named .jpg": (".jpg", lambda copy: b"\n<!DOCTYPE html><html><title>404</title></html>"),
    "SVG named .png": (".png", lambda copy: b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"/>'),
    "JSON named .jpg": (".jpg", lambda copy: b'{"error": "quota exceeded"}'),
    "zip named .jpg": (".jpg", _zip),
    "PDF named .png": (".png", lambda copy: b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj\n"),
    "pointer of Git LFS": (".jpg", lambda copy: b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n"),
    "HEIC, of which only the header is there": (".heic", lambda copy: b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"),
    "PNG with too many pixels": (".png", _bomb),
    "JPEG, damaged in the middle": (".jpg", _damaged_middle),
    "PNG with a wrong check sum": (".png", _wrong_sum),
}
_SPECIAL: dict[str, Callable[[Path], object]] = {
    "link to nowhere": lambda path: path.symlink_to("nowhere.jpg"),
    "link to itself": lambda path: path.symlink_to(path.name),
    "pipe": os.mkfifo,
}
BAD = (*_BYTES, *_SPECIAL, *([_UNREADABLE] if os.geteuid() else []))
"""Kinds of files that cannot be used: 20, and those that may not be read where that has a meaning."""


def write_bad(kind: str, folder: Path, copy: int) -> Path:
    """Write a bad file of a kind, where it is not there; return its path."""
    suffix, write = _BYTES.get(kind, (".jpg", None))
    path = folder / f"bad-{[*BAD].index(kind):02}-{copy}{suffix}"
    if os.path.lexists(path):
        return path
    if write is not None:
        path.write_bytes(write(copy))
    elif kind == _UNREADABLE:
        path.write_bytes(_picture(copy, "JPEG"))
        path.chmod(0)
    else:
        _SPECIAL[kind](path)
    return path


# Pictures that must be read


def _lossless(kind: str, suffix: str, **options: object) -> Callable[[Path, np.random.Generator], Expected]:
    """Return what writes a picture as one kind of file, under a name that may say another."""

    def write(path: Path, rng: np.random.Generator) -> Expected:
        levels, path = smooth(rng), path.with_name(path.name + suffix)
        path.write_bytes(_bytes(levels, kind, **options))
        return Expected(path, levels)

    return write


def _decoded(data: bytes, path: Path) -> Expected:
    """Write a file with losses: expected is what pillow alone makes of it."""
    path.write_bytes(data)
    return Expected(path, np.asarray(Image.open(io.BytesIO(data)).convert("RGB")))


def _named(name: str) -> Callable[[Path, np.random.Generator], Expected]:
    def write(path: Path, rng: np.random.Generator) -> Expected:
        return _lossless("PNG", ".png")(path.with_name(name + path.name), rng)

    return write


def _with_garbage(path: Path, rng: np.random.Generator) -> Expected:
    data = _bytes(smooth(rng), "JPEG")
    expected = _decoded(data, path.with_suffix(".jpg"))
    expected.path.write_bytes(data + rng.bytes(5000))
    return expected


def _sixteen_bits(path: Path, rng: np.random.Generator) -> Expected:
    levels = rng.integers(0, 2**16, (_HEIGHT, _WIDTH), dtype=np.uint16)
    path = path.with_suffix(".png")
    Image.fromarray(levels).save(path)
    return Expected(path, np.repeat((levels // 256).astype(np.uint8)[:, :, None], 3, axis=2))


def _cmyk(path: Path, rng: np.random.Generator) -> Expected:
    path = path.with_suffix(".jpg")
    Image.fromarray(smooth(rng)).convert("CMYK").save(path, quality=95)
    inks = np.asarray(Image.open(path)).astype(float)
    return Expected(path, np.rint((255 - inks[:, :, :3]) * (255 - inks[:, :, 3:]) / 255).astype(np.uint8), 1)


def _palette(path: Path, rng: np.random.Generator) -> Expected:
    places = rng.integers(0, 4, (_HEIGHT, _WIDTH), dtype=np.uint8)
    palette = rng.integers(0, 256, (4, 3), dtype=np.uint8)
    picture = Image.fromarray(places)
    picture.putpalette(palette.tobytes())
    path = path.with_suffix(".png")
    picture.save(path, transparency=2)
    palette[2] = 255
    return Expected(path, palette[places])


def _animated(kind: str) -> Callable[[Path, np.random.Generator], Expected]:
    def write(path: Path, rng: np.random.Generator) -> Expected:
        frames = np.repeat(rng.integers(0, 6, (3, _HEIGHT, _WIDTH, 1), dtype=np.uint8) * 51, 3, axis=3)
        first, *others = map(Image.fromarray, frames)
        path = path.with_suffix(f".{kind.lower()}")
        first.save(path, kind, save_all=True, append_images=others, lossless=True)
        return Expected(path, frames[0])

    return write


def _turned(path: Path, rng: np.random.Generator) -> Expected:
    """A JPEG that a camera was held sideways for: its upper edge is on the right."""
    exif = Image.Exif()
    exif[274] = 6
    expected = _decoded(_bytes(smooth(rng), "JPEG", exif=exif.tobytes()), path.with_suffix(".jpg"))
    return Expected(expected.path, np.ascontiguousarray(np.rot90(expected.pixels, -1)))


def _one_pixel(path: Path, rng: np.random.Generator) -> Expected:
    levels, path = rng.integers(0, 256, (1, 1, 3), dtype=np.uint8), path.with_suffix(".png")
    path.write_bytes(_bytes(levels, "PNG"))
    return Expected(path, levels)


def _avif(path: Path, rng: np.random.Generator) -> Expected:
    return _decoded(_bytes(smooth(rng), "AVIF"), path.with_suffix(".avif"))


READ: Mapping[str, Callable[[Path, np.random.Generator], Expected]] = {
    "PNG named .jpg": _lossless("PNG", ".jpg"),
    "BMP without a suffix": _lossless("BMP", ""),
    "WebP named .txt": _lossless("WEBP", ".txt", lossless=True),
    "BMP": _lossless("BMP", ".bmp"),
    "TIFF": _lossless("TIFF", ".tiff", compression="tiff_lzw"),
    "WebP": _lossless("WEBP", ".webp", lossless=True),
    "16 bits": _sixteen_bits,
    "CMYK": _cmyk,
    "palette with transparency": _palette,
    "animated GIF": _animated("GIF"),
    "animated WebP": _animated("WEBP"),
    "turned by EXIF": _turned,
    "one pixel": _one_pixel,
    "JPEG with more behind its end": _with_garbage,
    "name with a space": _named(" a b "),
    "name with a newline": _named("a\nb"),
    "name with an emoji": _named("\N{SMILING CAT FACE WITH OPEN MOUTH}"),
    "name with a leading dash": _named("-rf "),
    **({"AVIF": _avif} if features.check("avif") else {}),
}
"""By kind, what writes a picture; it is given a path without a suffix."""


# What is no data


def _hidden(folder: Path) -> None:
    (folder / ".hidden.jpg").write_bytes(b"no picture")


def _of_macs(folder: Path) -> None:
    (folder / "__MACOSX").mkdir(exist_ok=True)
    (folder / "__MACOSX" / "__in_macosx.jpg").write_bytes(b"\0\5\x16\7\0\2\0\0Mac OS X")
    (folder / "._img_00000.jpg").write_bytes(b"\0\5\x16\7\0\2\0\0Mac OS X")
    (folder / ".DS_Store").write_bytes(b"\0\0\0\1Bud1")


def _of_windows(folder: Path) -> None:
    (folder / "Thumbs.db").write_bytes(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1")
    (folder / "desktop.ini").write_bytes(b"[.ShellClassInfo]\r\n")


def _of_notebooks(folder: Path) -> None:
    copies = folder / ".ipynb_checkpoints"
    copies.mkdir(exist_ok=True)
    (copies / "img-checkpoint.jpg").write_bytes(_picture(0, "JPEG"))


LEFT_OUT: Mapping[str, tuple[Callable[[Path], None], tuple[str, ...]]] = {
    "hidden file": (_hidden, (".hidden.jpg",)),
    "files of macOS": (_of_macs, ("__MACOSX", "__in_macosx.jpg", "._img", ".DS_Store")),
    "files of Windows": (_of_windows, ("Thumbs.db", "desktop.ini")),
    "copies of notebooks": (_of_notebooks, ("ipynb_checkpoints", "img-checkpoint")),
}
"""By kind, what writes files into a folder of a class, and their names, of which nothing is to be said."""
