"""What the files of images hold, looked at once each, and what a user should know of how they are read.

It never loads torch, since processes that do nothing but decode need it.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from nas.errors import DataError
from nas.exporting.reading import (
    COVER_CROP,
    DROP,
    FULL_DEPTH,
    PAD,
    SQUASH,
    Held,
    PictureError,
    Reading,
    colours,
    fitted,
    held,
)
from nas.machine import memory
from nas.training.data.config import BACKGROUNDS, DataConfig
from nas.training.data.content import digest_of

_LOG = logging.getLogger(__name__)
RESIZE = {"crop": COVER_CROP, "pad": PAD, "squash": SQUASH}
"""What `data.fit` is called in the files of a model."""
_MAX_NAMED = 5
"""Files that a note names at most."""
_IN_RGB = Reading((3, 1, 1))
"""How the colours of a content are read."""


class UndecodedError(DataError):
    """A file that is no picture, or one that cannot be brought to its size."""

    def __init__(self, path: str | Path, why: str) -> None:
        super().__init__(f"data image_folder: {path} cannot be read: {why}")
        self.why = f"cannot be decoded ({why})"
        """Without the file, as `nas.training.data.folders.headers.Bad` has it."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What is kept of a look at a file."""

    digest: bytes
    """Of its content."""
    bits: int | None
    """That its levels need, of files with 16 bits a level."""
    several: bool
    """Whether it holds further frames or pages."""
    turned: bool
    """Whether its EXIF data say that it is to be turned or mirrored."""
    vanishes: bool
    """Whether it becomes one colour when its transparency is laid on the background."""


def reading_of(config: DataConfig, shape: Sequence[int]) -> Reading:
    """Return how files are read as a config says; the depth `auto` is the full one, until `settled`.

    Args:
        config: of the data set.
        shape: `(channels, height, width)` that images are brought to.
    """
    return Reading(
        shape=(shape[0], shape[1], shape[2]),
        background=BACKGROUNDS.get(config.background, config.background.lower()),
        depth=FULL_DEPTH if isinstance(config.depth, str) else config.depth,
        resize=RESIZE[config.fit],
        max_pixels=config.max_pixels,
    )


def held_by(path: str | Path, max_pixels: int) -> Held:
    """Read what a file holds, as `nas.exporting.reading.held`; raises `DataError`, which names the file."""
    try:
        return held(path, max_pixels)
    except PictureError as error:
        raise UndecodedError(path, str(error)) from None


def pixels_of(held: Held, reading: Reading, path: str | Path) -> NDArray[np.uint8]:
    """Return the pixels of an image as training sees them, `(channels, height, width)`.

    Raises:
        DataError: it cannot be scaled; names the file.
    """
    return _pixels(colours(held, reading), reading, path)


def _pixels(picture: Image.Image, reading: Reading, path: str | Path) -> NDArray[np.uint8]:
    try:
        return np.ascontiguousarray(fitted(picture, reading).transpose(2, 0, 1))
    except PictureError as error:
        raise UndecodedError(path, str(error)) from None


def seen(held: Held, reading: Reading, scheme: int) -> Seen:
    """Return what is kept of what a file holds.

    Args:
        held: by the file.
        reading: how it is read.
        scheme: `DataConfig.split_scheme`, which says what its content is.
    """
    return _seen(held, reading, _content(held) if scheme > 2 else np.asarray(colours(held, _IN_RGB)))


def _seen(held: Held, reading: Reading, content: NDArray[np.uint8]) -> Seen:
    return Seen(
        digest_of(content),
        None if held.levels is None else _bits(held.levels, held.significant),
        held.several,
        held.turned,
        _vanishes(held, reading),
    )


def seen_and_pixels(held: Held, reading: Reading, path: str | Path) -> tuple[Seen, NDArray[np.uint8]]:
    """Return both, of split scheme 3; of most files in one go, as their content is what is brought to a size.

    Raises:
        DataError: it cannot be scaled; names the file.
    """
    if held.levels is not None or held.alpha is not None or reading.shape[0] != 3:
        return seen(held, reading, 3), pixels_of(held, reading, path)
    picture = colours(held, reading)
    content = np.asarray(picture)
    same = content.shape == (*reading.shape[1:], 3)
    pixels = content.transpose(2, 0, 1) if same else _pixels(picture, reading, path)
    return _seen(held, reading, content), pixels


def _content(held: Held) -> NDArray[np.uint8]:
    """Return all that an image shows, at full size and in colour, whatever training makes of it.

    So its split is the same at any resolution, on any background, and where it was saved in another format without
    loss. It is 8-bit RGB, with alpha as a fourth channel where not all is opaque; where levels have 16 bits, two bytes
    a level, the upper one first.
    """
    levels = held.levels
    if levels is not None and (levels % 257).any():  # multiples of 257 are levels of 8 bits
        wide = np.broadcast_to(levels, (*levels.shape[:2], 3))
        if held.alpha is not None:
            wide = np.concatenate([wide, held.alpha[:, :, None].astype(np.uint16) * 257], axis=2)
        return np.ascontiguousarray(wide, dtype=">u2").view(np.uint8)
    rgb = np.asarray(colours(held, _IN_RGB))
    return rgb if held.alpha is None else np.concatenate([rgb, held.alpha[:, :, None]], axis=2)


def _bits(levels: NDArray[np.uint16], significant: int | None) -> int:
    """Return how many bits the levels of a file need, at least 8.

    A PNG that says how many of its bits were of use may hold them as the upper ones, as the standard wants it
    (https://www.w3.org/TR/png-3/, section 12.4), or as the lower ones: larger levels tell the first.
    """
    needed = int(levels.max()).bit_length()
    if significant is not None:
        needed = significant if needed <= significant else FULL_DEPTH
    return max(8, needed)


def _vanishes(held: Held, reading: Reading) -> bool:
    if held.alpha is None or reading.background == DROP:
        return False
    depth = FULL_DEPTH if held.levels is None else _bits(held.levels, held.significant)  # whatever is settled later
    laid, plain = replace(reading, depth=depth), Reading(reading.shape, depth=depth)
    seen, hidden = (np.asarray(colours(held, read)) for read in (laid, plain))
    return _is_one(seen) and not (_is_one(hidden) and _is_one(held.alpha))


def _is_one(levels: NDArray[np.uint8]) -> bool:
    return bool((levels == levels[0, 0]).all())


def fit_in_memory(count: int, reading: Reading, config: DataConfig) -> bool:
    """Return whether so many images are kept in memory.

    Where they are not although `data.memory_mib` allows it, that is logged. They are there twice for a moment, one by
    one and put together.
    """
    size, most = count * math.prod(reading.shape), memory()
    if size > config.memory_mib * 2**20:
        return False
    if most is None or 2 * size <= most:
        return True
    _LOG.warning(
        "data %s: %s images of %s levels are decoded batch by batch: they take %s MiB, and twice that while they are "
        "read, but this process may have %s MiB (a smaller data.resolution may fit)",
        config.name,
        f"{count:,}",
        "x".join(map(str, reading.shape)),
        f"{size / 2**20:,.0f}",
        f"{most / 2**20:,.0f}",
    )
    return False


def settled(reading: Reading, config: DataConfig, trained_on: Iterable[Seen]) -> Reading:
    """Return how files are read, with the depth that the training images need where the config leaves it to them.

    It is one for all files: one a file would make dark images bright.
    """
    bits = [one.bits for one in trained_on if one.bits is not None] if config.depth == "auto" else []
    return replace(reading, depth=max(bits)) if bits else reading


def settling(
    config: DataConfig, reading: Reading, looks: Sequence[Seen], name: Callable[[int], str]
) -> Callable[[Sequence[int]], tuple[Reading, Sequence[str]]]:
    """Return what says how files are read and what to know of that, once the training images are known (`divide`).

    Args:
        config: of the data set.
        reading: how files are read, as far as it is known before.
        looks: at all files.
        name: names a file by its place among them.
    """

    def settle(trained_on: Sequence[int]) -> tuple[Reading, Sequence[str]]:
        last = settled(reading, config, [looks[place] for place in trained_on])
        return last, notes_of(looks, name, last, auto=config.depth == "auto")

    return settle


def notes_of(looks: Sequence[Seen], name: Callable[[int], str], reading: Reading, *, auto: bool) -> list[str]:
    """Return what a user should know of how files are read, in sentences.

    Args:
        looks: at all files.
        name: names a file by its place among them.
        reading: how they are read.
        auto: whether the depth follows from the training images.
    """
    deep = [place for place, look in enumerate(looks) if look.bits is not None]
    white = [place for place in deep if (looks[place].bits or 0) > reading.depth]
    notes = []
    if deep and auto:
        notes.append(
            f"{_files(deep)} 16 bits a level, which are read as levels of {reading.depth} bits, as the training images "
            f"need them (data.depth={reading.depth})"
        )
    if white:
        notes.append(f"{_files(white)} levels of more than {reading.depth} bits, which are white: {_some(white, name)}")
    for what, places in (
        (
            f"nothing but one colour once transparency is laid on {reading.background} (data.background)",
            [i for i, look in enumerate(looks) if look.vanishes],
        ),
    ):
        if places:
            notes.append(f"{_files(places)} {what}: {_some(places, name)}")
    turned = sum(look.turned for look in looks)
    if turned:
        notes.append(f"{turned:,} image{'s are' if turned > 1 else ' is'} turned or mirrored, as EXIF data say")
    return notes


def _files(places: Sequence[int]) -> str:
    return f"{len(places):,} image{'s have' if len(places) > 1 else ' has'}"


def _some(places: Sequence[int], name: Callable[[int], str]) -> str:
    return ", ".join(map(name, places[:_MAX_NAMED])) + (", ..." if len(places) > _MAX_NAMED else "")
