"""What a data set holds, before anything is trained on it: classes, sizes, copies, rare classes."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from nas.exporting.reading import PictureError, Reading, colours, held
from nas.exporting.series_files import SeriesReading
from nas.machine import cores
from nas.training.data.config import DataConfig
from nas.training.data.content import TRAIN, VAL, digest_of, digests_of
from nas.training.data.folders.headers import Header
from nas.training.data.folders.layout import Target
from nas.training.data.folders.usable import usable_pictures
from nas.training.data.in_threads import in_threads
from nas.training.data.load import load_data
from nas.training.data.read_ahead import read_in_turn
from nas.training.data.splits import ImageData, Images, model_input
from nas.training.tasks.segmentation import SEGMENTATION

_RARE = 2
"""Images of a class, at most, of which is told: they cannot be in all three splits."""
_NEAR = 3
"""Bits of 64 by which the hashes of alike pictures differ at most."""
_BANDS = 4
"""Parts of a hash: of two that differ in 3 bits one part is equal."""
_LEAST_SIDE = 32
"""Pixels along a side below which a perceptual hash says nothing."""
_AT_A_TIME = 1024
"""Images that are looked at together."""
_CROWD = 200
"""Pictures with an equal part of the hash, above which they are alike by being flat, not by what they show."""


@dataclass(frozen=True)
class Alike:
    """Pictures that show the same."""

    names: tuple[str, ...]
    classes: tuple[str, ...]
    """Of each."""


@dataclass(frozen=True)
class Overview:
    """What a data set holds."""

    name: str
    classes: tuple[str, ...]
    outputs: str
    """What `classes` are: classes, or numbers."""
    input_shape: tuple[int, ...]
    """`(channels, height, width)`."""
    images_by_class: Mapping[str, tuple[int, ...]]
    """By split, the number of images of each class (`Task.counts`)."""
    images: Mapping[str, int]
    """Of each split."""
    segments: bool = False
    """Whether classes are of pixels."""
    folds: tuple[tuple[int, ...], ...] = ()
    """Of each fold, the number of images of each class, where there are folds."""
    sizes: tuple[tuple[str, int], ...] = ()
    """Of pictures in files: width x height with how many have it, the most frequent first."""
    formats: Mapping[str, int] | None = None
    """Of pictures in files: how many are of which format."""
    looked_at: int = 0
    """Images that were looked at for what follows: of a folder all, else those of training and validation."""
    grey: int = 0
    """Of these, how many are grey although they are read in colour."""
    copies: tuple[Alike, ...] = ()
    """Groups of equal content."""
    alike: tuple[Alike, ...] = ()
    """Pairs that look the same, by a perceptual hash; of pictures in files that are not small."""
    rare: tuple[str, ...] = ()
    """Classes with one or two images."""
    notes: tuple[str, ...] = ()
    """What else a user should know."""

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class _Seen:
    name: str
    told: str
    """Its class, or what else it is to be told as."""
    digest: bytes
    grey: bool
    hash: int | None


def overview(config: DataConfig) -> Overview:
    """Return what a data set holds.

    Images of the test split are looked at for copies, as loading does, and shown to nobody.

    Raises:
        DataError: it cannot be read; see `load_data`.
    """
    data = load_data(config)
    headers: Mapping[Path, Header] = {}
    if config.name == "image_folder":
        pictures = usable_pictures(config)
        headers = pictures.headers
        files = [file for own in pictures.files.values() for file in own]
        names = partial(_told, data)
        assert isinstance(data.reading, Reading)
        seen = _of_files(
            files, names, pictures.root, replace(data.reading, shape=(3, 1, 1), max_pixels=config.max_pixels)
        )
    else:
        look = _of_series if isinstance(data.reading, SeriesReading) else _of_images
        seen = [*look(data.train, data, TRAIN), *look(data.val, data, VAL)]
    totals = [sum(counts) for counts in zip(*data.images_by_class.values(), strict=True)]
    sizes = Counter(f"{header.size[1]}x{header.size[0]}" for header in headers.values())
    return Overview(
        name=data.name,
        classes=data.classes,
        outputs=data.task.outputs,
        input_shape=tuple(data.input_shape),
        images_by_class=data.images_by_class,
        images=data.images,
        segments=data.task == SEGMENTATION,
        folds=data.fold_images_by_class,
        sizes=tuple(sizes.most_common()),
        formats=dict(Counter(header.format for header in headers.values()).most_common()) or None,
        looked_at=len(seen),
        grey=sum(one.grey for one in seen) if data.input_shape[0] == 3 else 0,
        copies=tuple(_copies(seen)),
        alike=tuple(_alike(seen)),
        rare=tuple(name for name, count in zip(data.classes, totals, strict=True) if count <= _RARE),
        notes=data.notes,
    )


def _told(data: ImageData, target: Any) -> str:
    return data.task.told(target, data.classes)


def _of_files(
    files: Sequence[tuple[Path, Target]], told: Callable[[Target], str], root: Path, reading: Reading
) -> list[_Seen]:
    def look(file: tuple[Path, Target]) -> _Seen | None:
        path, target = file
        try:
            picture = colours(held(path, reading.max_pixels), reading)
        except PictureError:  # left out of the data, which say so
            return None
        levels = np.asarray(picture)
        small = min(picture.size) < _LEAST_SIDE
        return _Seen(
            str(path.relative_to(root)),
            told(target),
            digests_of(levels[None])[0],
            bool((levels == levels[..., :1]).all()),
            None if small else difference_hash(picture),
        )

    return [one for one in in_threads(look, files, cores()) if one is not None]


def _of_images(images: Images, data: ImageData, split: str) -> Iterator[_Seen]:
    parts = torch.split(torch.arange(len(images.labels)), _AT_A_TIME)  # they need not fit into memory
    for part, read in zip(parts, read_in_turn(images, parts), strict=True):
        pixels = read.numpy()
        grey = (pixels == pixels[:, :1]).all(axis=(1, 2, 3)).tolist()
        labels = images.labels[part].numpy()
        for place, digest, label, is_grey in zip(part.tolist(), digests_of(pixels), labels, grey, strict=True):
            yield _Seen(f"{split} image {place}", _told(data, label), digest, is_grey, None)


def _of_series(images: Images, data: ImageData, split: str) -> Iterator[_Seen]:
    values = np.nan_to_num(images.read(torch.arange(len(images.labels))).numpy(), nan=np.inf)  # of which none is there
    for place, (own, label) in enumerate(zip(values, images.labels.tolist(), strict=True)):
        yield _Seen(f"{split} series {place}", _told(data, label), digest_of(own.view(np.uint8)), False, None)


def difference_hash(picture: Image.Image) -> int:
    """Return 64 bits: of each of 8 x 8 fields of a picture, whether the one to its right is lighter.

    What is scaled, compressed or a little lighter has nearly the same (N. Krawetz 2013, "Kind of like that": dHash).
    """
    fields = np.asarray(picture.convert("L").resize((9, 8), Image.Resampling.BOX), dtype=np.int16)
    return int.from_bytes(np.packbits(fields[:, 1:] > fields[:, :-1]).tobytes(), "big")


def _copies(seen: Sequence[_Seen]) -> Iterator[Alike]:
    groups: dict[bytes, list[_Seen]] = defaultdict(list)
    for one in seen:
        groups[one.digest].append(one)
    yield from (_group(group) for group in groups.values() if len(group) > 1)


def _alike(seen: Sequence[_Seen]) -> Iterator[Alike]:
    """Yield pairs whose hashes hardly differ, and whose content does."""
    hashed = [(one, one.hash) for one in seen if one.hash is not None]
    for one, other in _near([value for _, value in hashed]):
        first, second = hashed[one][0], hashed[other][0]
        if first.digest != second.digest:
            yield _group([first, second])


def _near(hashes: Sequence[int]) -> list[tuple[int, int]]:
    """Return the places of pairs of hashes that differ in few bits."""
    found = set[tuple[int, int]]()
    width = 64 // _BANDS
    for band in range(_BANDS):
        same: dict[int, list[int]] = defaultdict(list)
        for place, value in enumerate(hashes):
            same[value >> (band * width) & (2**width - 1)].append(place)
        for places in same.values():
            if 1 < len(places) <= _CROWD:
                found |= {
                    pair for pair in combinations(places, 2) if (hashes[pair[0]] ^ hashes[pair[1]]).bit_count() <= _NEAR
                }
    return sorted(found)


def _group(group: Sequence[_Seen]) -> Alike:
    return Alike(tuple(one.name for one in group), tuple(one.told for one in group))


Samples = Mapping[str, Sequence[NDArray[Any]]]
"""By class, some of its training images as training sees them, `(height, width, channels)`, or series as they were
measured, `(channels, length)`."""


def samples(config: DataConfig, count: int) -> Samples:
    """Return the first training images of each class, at most so many."""
    data = load_data(config)
    labels = data.train.labels
    found = {}
    for label, name in enumerate(data.classes):
        # Numbers are told of all images, and classes where there are several have a column each.
        own = labels == label if labels.ndim == 1 else labels[:, label] > 0
        if data.task.dense:
            own = (labels == label).flatten(1).any(1)
        places = torch.arange(len(labels))[:count] if data.scale is not None else own.nonzero().flatten()[:count]
        found[name] = [*model_input(data.train, places, data.reading)]
    return found
