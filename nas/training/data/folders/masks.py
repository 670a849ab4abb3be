"""Pictures with masks, and all that is wrong with them, said at once. Never loads torch."""

from __future__ import annotations

import os
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from nas.errors import DataError, is_text
from nas.exporting.class_maps import fitted_mask
from nas.exporting.reading import Reading, why_no_file
from nas.machine import cores
from nas.run_folder import user_path
from nas.training.data.content import SPLITS, TRAIN
from nas.training.data.folders.headers import Bad, Header, looked_at
from nas.training.data.folders.layout import check_folder, files_under, folders_in, split_folders
from nas.training.data.folders.usable import REFUSE, left_out, refusal
from nas.training.data.pictures import reading_of
from nas.training.tasks.segmentation import IGNORED, MOST_CLASSES

if TYPE_CHECKING:
    from nas.training.data.config import DataConfig

Mask = NDArray[np.uint8]

NAME = "mask_folder"
IMAGES = ("images", "image", "imgs", "img", "pictures", "jpegimages")
"""What the folder of the pictures may be called, in any case."""
MASKS = ("masks", "mask", "labels", "annotations", "segmentationclass")
"""The same of the masks."""
CLASSES = "classes.txt"
"""The file with the names of the classes, a line each, in the order of their numbers."""
HOW = (
    "Expected ROOT/images/NAME.jpg with ROOT/masks/NAME.png, also with train, val and test in both, or around both. A "
    "mask is a PNG of one channel, or with a palette, whose levels are the numbers of classes from 0 on; 255 is not "
    f"counted (data.ignore). ROOT/{CLASSES} may name the classes, one a line."
)
_KEEP_LEVELS = frozenset({"PNG", "BMP", "GIF", "TIFF", "PPM"})
_MODES = frozenset({"1", "L", "P"})
_WIDE = ("I", "I;16", "I;16B", "I;16L")
_NO_IMAGE, _NO_MASK = "are masks without an image of the same name", "are images without a mask of the same name"
_TWICE = "have the same name as another but for its ending"
_SIZE = "are masks of another size than their image"
_COLOUR = (
    "are masks in colour: save the number of each pixel's class, as a grey PNG or as palette indices, not the colours"
)
_LOSSY = "are masks as JPEG or WebP, which do not keep numbers: save them as PNG"


@dataclass(frozen=True)
class Masked:
    """Pictures with their masks, which are read already."""

    root: Path
    classes: tuple[str, ...]
    files: Mapping[str, Sequence[Path]]
    """By split that the folder has, the pictures."""
    masks: Mapping[str, Mask]
    """Of each, `(n, height, width)`, as large as pictures are for the data: places of classes, or `IGNORED`."""
    reading: Reading
    """How pictures are read."""
    notes: tuple[str, ...]
    """What a user should know of them, in sentences."""


def masked_pictures(config: DataConfig) -> Masked:
    """Find pictures and masks, and read the masks; of pictures the beginning and the end are looked at.

    Raises:
        DataError: the folder is of no known form; or files cannot be used and `data.bad` is refuse: all of them are
            counted, by what is wrong with them.
    """
    if not config.root:
        raise DataError(f"data {NAME}: give data.root=FOLDER. {HOW}")
    root = user_path(config.root).absolute()
    check_folder(root, NAME, HOW)
    named, bad = _named_classes(root), dict[Path, str]()
    pairs = {split: _paired(*folders, bad) for split, folders in _layout(root).items()}
    headers = _headers(pairs, bad, config)
    usable = {split: _usable(own, bad) for split, own in pairs.items()}
    reading = reading_of(config, (config.channels, *_size(config, [headers[image] for image, _ in usable[TRAIN]])))
    levels = {mask: found for own in usable.values() for mask, found in _read(own, reading, config, bad)}
    usable = {split: _usable(own, bad) for split, own in usable.items()}
    classes = named or _numbered([levels[mask] for _, mask in usable[TRAIN]])
    source = CLASSES if named else "in the masks of the training split"
    for own in usable.values():
        _check_levels([(mask, levels[mask]) for _, mask in own], len(classes), source, bad)
    count = len({path for own in pairs.values() for pair in own for path in pair} | bad.keys())
    if bad and config.bad == REFUSE:
        raise DataError(refusal(root, bad, count, NAME))
    usable = {split: _usable(own, bad) for split, own in usable.items()}
    if not usable[TRAIN]:
        raise DataError(f"data {NAME}: no images with masks in the training split under {root}. {HOW}")
    if len(classes) < 2:
        raise DataError(
            f"data {NAME}: the masks have one class, two are needed. Black and white masks have levels 0 and 255, of "
            "which 255 is not counted (data.ignore): save them with 1 in its place"
        )
    files = {split: [image for image, _ in own] for split, own in usable.items()}
    masks = {split: _stacked([levels[mask] for _, mask in own], reading) for split, own in usable.items()}
    return Masked(root, classes, files, masks, reading, tuple(left_out(root, bad, count)))


def _stacked(masks: Sequence[Mask], reading: Reading) -> Mask:
    return np.stack(masks) if masks else np.zeros((0, *reading.shape[1:]), dtype=np.uint8)


def _named_classes(root: Path) -> tuple[str, ...]:
    """Return the names in `classes.txt`; empty where there is no such file."""
    path = root / CLASSES
    if not os.path.lexists(path):
        return ()
    why = why_no_file(path)
    if why:
        raise DataError(f"data {NAME}: {path} must be a text file of names, but is none: {why}")
    try:
        names = tuple(line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip())
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"data {NAME}: {path} cannot be read: {error}") from None
    twice = [name for name, times in Counter(names).items() if times > 1]
    if twice or not 2 <= len(names) <= MOST_CLASSES or not all(map(is_text, names)):
        what = f"has {twice[0]!r} twice" if twice else f"has {len(names)} names"
        raise DataError(f"data {NAME}: {path} must have 2 to {MOST_CLASSES} different names, one a line, but it {what}")
    return names


def _layout(root: Path) -> dict[str, tuple[Path, Path]]:
    """Return by split the folders of its pictures and of its masks."""
    splits = split_folders(root, NAME)
    if splits:
        found = {split: _two(folder) for split, folder in splits.items()}
    else:
        images, masks = _two(root)
        inner, others = split_folders(images, NAME), split_folders(masks, NAME)
        if inner.keys() != others.keys():
            raise DataError(
                f"data {NAME}: {images} has the splits {', '.join(inner) or 'none'}, but {masks} has "
                f"{', '.join(others) or 'none'}: both must have the same"
            )
        found = {split: (inner[split], others[split]) for split in inner} or {TRAIN: (images, masks)}
    if TRAIN not in found:
        raise DataError(f"data {NAME}: {root} has no folder for training (train or training). {HOW}")
    return {split: found[split] for split in SPLITS if split in found}


def _two(folder: Path) -> tuple[Path, Path]:
    """Return the folders of pictures and of masks in a folder."""
    found = []
    for what, names in (("images", IMAGES), ("masks", MASKS)):
        own = [one for one in folders_in(folder) if one.name.lower() in names]
        if len(own) != 1:
            there = " and ".join(one.name for one in own) or "none"
            raise DataError(f"data {NAME}: {folder} must have one folder of {what}, but has {there}. {HOW}")
        found.append(own[0])
    return found[0], found[1]


Pair = tuple[Path, Path]
"""A picture and its mask."""


def _paired(images: Path, masks: Path, bad: dict[Path, str]) -> list[Pair]:
    """Return pictures with the masks that have the same name but for what is behind the last dot."""
    found = _by_name(images, bad), _by_name(masks, bad)
    bad |= {path: _NO_MASK for name, path in found[0].items() if name not in found[1]}
    bad |= {path: _NO_IMAGE for name, path in found[1].items() if name not in found[0]}
    return [(path, found[1][name]) for name, path in found[0].items() if name in found[1]]


def _by_name(folder: Path, bad: dict[Path, str]) -> dict[str, Path]:
    found = dict[str, Path]()
    for path in files_under(folder):
        name = str(path.relative_to(folder).with_suffix(""))
        if name in found:
            bad[path] = _TWICE
        found.setdefault(name, path)
    return found


def _headers(pairs: Mapping[str, Sequence[Pair]], bad: dict[Path, str], config: DataConfig) -> dict[Path, Header]:
    """Return what the beginnings of all files show, and note those that cannot be used."""
    both = [pair for own in pairs.values() for pair in own]
    files = [path for pair in both for path in pair]
    looked = dict(zip(files, looked_at(files, most_pixels=config.max_pixels), strict=True))
    bad |= {path: found.why for path, found in looked.items() if isinstance(found, Bad)}
    headers = {path: found for path, found in looked.items() if isinstance(found, Header)}
    for image, mask in both:
        if image in headers and mask in headers and (why := _why_no_mask(headers[mask], headers[image])):
            bad[mask] = why
    return headers


def _why_no_mask(mask: Header, image: Header) -> str:
    """Return why a file is no mask of an image; empty where it is one."""
    if mask.format not in _KEEP_LEVELS:
        return _LOSSY
    if mask.mode not in _MODES and mask.mode not in _WIDE:
        return _COLOUR
    return _SIZE if mask.size != image.size else ""


def _usable(pairs: Sequence[Pair], bad: Mapping[Path, str]) -> list[Pair]:
    return [pair for pair in pairs if not any(path in bad for path in pair)]


def _size(config: DataConfig, headers: Sequence[Header]) -> tuple[int, int]:
    """Return the height and width that pictures are brought to: as the config says, or that which all have."""
    if config.resolution is not None:
        return config.resolution, config.resolution
    sizes = Counter(header.size for header in headers)
    if len(sizes) > 1:
        some = ", ".join(f"{width}x{height} ({count:,})" for (height, width), count in sizes.most_common(3))
        raise DataError(
            f"data {NAME}: images have {len(sizes):,} sizes, most often {some} (width x height); give "
            "data.resolution=128"
        )
    return next(iter(sizes), (1, 1))


def _read(
    pairs: Sequence[Pair], reading: Reading, config: DataConfig, bad: dict[Path, str]
) -> Iterator[tuple[Path, Mask]]:
    """Yield masks as they are learned; those that cannot be decoded, or hold what is no class, are noted."""
    masks = [mask for _, mask in pairs]
    with ThreadPoolExecutor(max_workers=min(8, cores())) as pool:
        for path, found in zip(
            masks, pool.map(partial(_one, reading=reading, ignore=config.ignore), masks), strict=True
        ):
            if isinstance(found, str):
                bad[path] = found
            else:
                yield path, found


def _one(path: Path, *, reading: Reading, ignore: int | None) -> Mask | str:
    """Return a mask as it is learned, or what is wrong with it."""
    try:
        with warnings.catch_warnings(), Image.open(path) as image:
            warnings.simplefilter("ignore")  # of many pixels, which were counted
            levels = np.asarray(image).astype(np.int64)
    except Exception as error:  # decoders raise all kinds of errors on broken files
        return f"cannot be decoded ({error})"
    ignored = levels == ignore
    most = int(levels[~ignored].max(initial=0))
    if most >= MOST_CLASSES:
        return f"hold level {most}, but there may be {MOST_CLASSES} classes, 0 to {MOST_CLASSES - 1}"
    return fitted_mask(np.where(ignored, IGNORED, levels).astype(np.uint8), reading)


def _numbered(masks: Sequence[Mask]) -> tuple[str, ...]:
    """Return numbers as names of all classes up to the largest that has pixels."""
    largest = max((int(mask[mask != IGNORED].max(initial=0)) for mask in masks), default=0)
    return tuple(str(number) for number in range(largest + 1))


def _check_levels(masks: Sequence[tuple[Path, Mask]], count: int, source: str, bad: dict[Path, str]) -> None:
    """Note masks with levels that are no class."""
    for path, mask in masks:
        most = int(mask[mask != IGNORED].max(initial=0))
        if most >= count:
            bad[path] = f"hold level {most}, but there are {count} classes, 0 to {count - 1} ({source})"
