"""Classes of pixels: masks brought to the size of a network's pictures, and back to that of the files.

It needs numpy and pillow alone, as `nas.exporting.reading`: `nas.exporting.script` puts it into the predict.py that
ships.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from nas.exporting.reading import COVER_CROP, PAD, Reading, colours, fitted, held, picture_of

NO_CLASS = 255
"""What a mask holds where it says nothing: outside of a picture, or of what of it the network saw."""


def sized_picture(image: str | np.ndarray[Any, Any], reading: Reading) -> tuple[np.ndarray[Any, Any], tuple[int, int]]:
    """Return a picture as `read_picture` or `picture_of` do, and its height and width before it was scaled.

    Raises:
        PictureError: it cannot be read.
    """
    if not isinstance(image, str):
        return picture_of(image, reading), (image.shape[0], image.shape[1])
    picture = colours(held(Path(image), reading.max_pixels), reading)
    return fitted(picture, reading), (picture.height, picture.width)


def fitted_mask(mask: np.ndarray[Any, Any], reading: Reading) -> np.ndarray[Any, Any]:
    """Bring a mask `(height, width)` to a size as `fitted` brings the picture that it is of.

    Each pixel takes the class of the nearest one; what lies outside of the picture has `NO_CLASS`.
    """
    _, height, width = reading.shape
    rows, columns = (
        np.floor((start + np.arange(side) + 0.5) * full / scaled).astype(np.int64)
        for side, full, (scaled, start) in zip((height, width), mask.shape, _placed(mask.shape, reading), strict=True)
    )
    return _at(mask, rows, columns)


def restored(classes: np.ndarray[Any, Any], size: tuple[int, int], reading: Reading) -> np.ndarray[Any, Any]:
    """Bring the classes that a network gives, `(height, width)` of `reading.shape`, to the size of the picture.

    The inverse of `fitted_mask`: what was cut off has `NO_CLASS`.
    """
    rows, columns = (
        np.floor((np.arange(full) + 0.5) * scaled / full).astype(np.int64) - start
        for full, (scaled, start) in zip(size, _placed(size, reading), strict=True)
    )
    return _at(classes, rows, columns)


def _placed(size: tuple[int, ...], reading: Reading) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return of rows and of columns to how many a picture is scaled, and which of these is the first that is taken.

    That is below 0 where there is background before the picture. As `fitted` does it, which rounds alike.
    """
    _, height, width = reading.shape
    if reading.resize == COVER_CROP:
        scale = max(width / size[1], height / size[0])
        scaled = max(height, round(size[0] * scale)), max(width, round(size[1] * scale))
    elif reading.resize == PAD:
        scale = min(width / size[1], height / size[0])
        scaled = min(height, max(1, round(size[0] * scale))), min(width, max(1, round(size[1] * scale)))
        return (scaled[0], -((height - scaled[0]) // 2)), (scaled[1], -((width - scaled[1]) // 2))
    else:
        scaled = height, width
    return (scaled[0], (scaled[0] - height) // 2), (scaled[1], (scaled[1] - width) // 2)


def _at(
    classes: np.ndarray[Any, Any], rows: np.ndarray[Any, Any], columns: np.ndarray[Any, Any]
) -> np.ndarray[Any, Any]:
    """Return the classes at some rows and columns; those that are not there have `NO_CLASS`."""
    height, width = classes.shape
    found = classes[rows.clip(0, height - 1)][:, columns.clip(0, width - 1)]
    inside = ((rows >= 0) & (rows < height))[:, None] & ((columns >= 0) & (columns < width))[None]
    return np.where(inside, found, np.uint8(NO_CLASS)).astype(np.uint8)


def palette() -> np.ndarray[Any, Any]:
    """Return a colour for each class, uint8 of `(256, 3)`, as the masks of PASCAL VOC have them: 0 is black."""
    numbers, found = np.arange(256), np.zeros((256, 3), dtype=np.uint8)
    for bit in range(8):
        for channel in range(3):
            found[:, channel] |= (((numbers >> (3 * bit + channel)) & 1) << (7 - bit)).astype(np.uint8)
    return found


def write_mask(path: Path, classes: np.ndarray[Any, Any]) -> None:
    """Write the classes of pixels `(height, width)` as a PNG whose levels are the classes, with colours to look at."""
    image = Image.fromarray(classes)
    image.putpalette(palette().tobytes())
    image.save(path, "PNG")
