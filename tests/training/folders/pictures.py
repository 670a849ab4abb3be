"""Folders of small pictures, and files of every kind that is not one."""

from __future__ import annotations

import io
import os
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image


def picture(seed: int = 0, size: tuple[int, int] = (12, 10)) -> Image.Image:
    """Return a picture of noise, (width, height)."""
    rng = np.random.default_rng(seed)
    return Image.fromarray(rng.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8))


def encoded(kind: str, seed: int = 0, **options: object) -> bytes:
    """Return a picture as the bytes of a file of a kind that pillow writes."""
    out = io.BytesIO()
    picture(seed).save(out, kind, **options)
    return out.getvalue()


def save(path: Path, seed: int = 0) -> Path:
    """Write a picture as its suffix says, in a folder that is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    kind = {".jpg": "JPEG", ".jfif": "JPEG", ".tif": "TIFF", ".webp": "WEBP"}.get(path.suffix.lower(), "PNG")
    path.write_bytes(encoded(kind, seed))
    return path


def folder(root: Path, *names: str, count: int = 6, suffix: str = ".png") -> Path:
    """Write folders of pictures that all differ."""
    for place, name in enumerate(names):
        for index in range(count):
            save(root / name / f"{index}{suffix}", 1000 * place + index)
    return root


def _large_png() -> bytes:
    """Return the beginning of a PNG that says that it has 10^10 pixels, and an end."""
    header = b"IHDR" + (10**5).to_bytes(4, "big") * 2 + bytes((8, 2, 0, 0, 0))
    chunk = len(header[4:]).to_bytes(4, "big") + header + zlib.crc32(header).to_bytes(4, "big")
    return b"\x89PNG\r\n\x1a\n" + chunk + b"\0\0\0\0IEND\xaeB`\x82"


BAD: dict[str, tuple[str, bytes, str]] = {
    "empty": ("a.jpg", b"", "are empty"),
    "html": ("a.jpg", b"<!DOCTYPE html><html>404</html>", "are pages of HTML"),
    "html without a type": ("a.png", b"\n <html><head>", "are pages of HTML"),
    "svg": ("a.png", b'<?xml version="1.0"?><svg/>', "are XML or SVG"),
    "json": ("a.jpeg", b'{"error": "not found"}', "are JSON or other text"),
    "pdf": ("a.png", b"%PDF-1.7 ...", "are PDF"),
    "postscript": ("a.jpg", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "are PostScript"),
    "zip": ("a.webp", b"PK\x03\x04rest", "are zip archives"),
    "gzip": ("a.png", b"\x1f\x8b\x08rest", "are gzip archives"),
    "lfs": ("a.png", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "are pointers of Git LFS"),
    "text": ("a.png", b"no picture at all", "are no pictures, or their first bytes are damaged"),
    "zeros": ("a.bmp", bytes(500), "are no pictures, or their first bytes are damaged"),
    "heic": ("a.heic", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "are HEIC, which pillow cannot read without"),
    "heic with another name": ("a.jpg", b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic", "are HEIC"),
    "cut jpeg": ("a.jpg", encoded("JPEG")[:-40], "are cut off at their end"),
    "cut png": ("a.png", encoded("PNG")[:-40], "are cut off at their end"),
    "cut gif": ("a.gif", encoded("GIF")[:-20], "are cut off at their end"),
    "cut webp": ("a.webp", encoded("WEBP")[:-20], "are cut off at their end"),
    "cut bmp": ("a.bmp", encoded("BMP")[:-20], "are cut off at their end"),
    "cut tiff": ("a.tif", encoded("TIFF")[:-20], "are cut off at their end"),
    "large": ("a.png", _large_png(), "have more than 100,000,000 pixels"),
}
"""By kind: a name, what is in the file, and the beginning of what is said of it."""

SPECIAL: dict[str, Callable[[Path], object]] = {
    "pipe": os.mkfifo,
    "broken link": lambda path: path.symlink_to("nowhere"),
}
"""What is no file at all, under the name of one."""
