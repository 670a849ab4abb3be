"""Folders that `Dataset.save_to_disk` or `DatasetDict.save_to_disk` wrote (https://huggingface.co/docs/datasets)."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from nas.errors import DataError
from nas.exporting.reading import Reading, fitted
from nas.machine import cores
from nas.run_folder import user_path
from nas.training.data.config import DataConfig
from nas.training.data.content import TEST, TRAIN, VAL, digests_of
from nas.training.data.in_threads import in_threads
from nas.training.data.split_by_content import Source, split_by_content
from nas.training.data.split_by_place import split_images_by_place
from nas.training.data.splits import Images, MemoryImages, Splits

_WORDS = {TRAIN: {"train", "training"}, VAL: {"validation", "valid", "val", "dev"}, TEST: {"test", "testing"}}
_INSTALL = (
    "data hf: needs the package datasets, which is not installed: pip install datasets, or install nas with its extra: "
    "pip install -c constraints.txt '.[hf]'"
)
_AT_A_TIME = 64
"""Pictures that are looked at together."""
Used = TypeVar("Used")
_HOW = "Give data.root=FOLDER that save_to_disk of a Dataset or DatasetDict wrote"


@dataclass(frozen=True, eq=False)
class HfImages:
    """Pictures in a data set, decoded when they are asked for."""

    rows: Any
    """A `datasets.Dataset` whose only column `image` has what files of pictures hold."""
    labels: Tensor
    name: str
    """Of the split, for messages."""
    size: tuple[int, int]
    channels: int

    def read(self, indices: Tensor) -> Tensor:
        """Return those images as uint8 of shape `(len(indices), channels, height, width)`."""
        if not len(indices):
            return torch.empty((0, self.channels, *self.size), dtype=torch.uint8)
        return torch.stack(self.decoded(indices.tolist(), self.fitted, torch.get_num_threads()))

    def take(self, places: Sequence[int]) -> HfImages:
        """Return some of the images."""
        labels = self.labels[torch.tensor(places, dtype=torch.int64)]
        return HfImages(self.rows.select(places), labels, self.name, self.size, self.channels)

    def decoded(self, places: Sequence[int], use: Callable[[Image.Image, int], Used], threads: int) -> list[Used]:
        """Return what becomes of images at their full size, turned as they say, and of their places.

        Raises:
            DataError: one cannot be read.
        """

        def used(place: int, held: Mapping[str, Any] | None) -> Used:
            return use(_decoded(held, f"{self.name} image {place}"), place)

        # What is read of the data set is read by this thread.
        return in_threads(lambda one: used(*one), list(zip(places, self.rows[places]["image"], strict=True)), threads)

    def fitted(self, picture: Image.Image, place: int) -> Tensor:
        """Return the pixels of an image, `(channels, height, width)`: scaled to cover the size, cut at the centre."""
        try:
            colours = picture.convert("L" if self.channels == 1 else "RGB")
            pixels = fitted(colours, Reading((self.channels, *self.size)))
        except ValueError as error:
            raise DataError(f"data hf: {self.name} image {place}: {error}") from None
        return torch.from_numpy(pixels).permute(2, 0, 1).contiguous()


def load_hf(config: DataConfig) -> Splits:
    """Images and classes of a column of pictures and one of class labels; splits by their names, where there are any.

    Raises:
        DataError: the package or the folder is missing, or it holds something else; says what.
    """
    parts = _parts(config)
    pictures, labels, classes = _columns(parts)
    size = (config.resolution, config.resolution) if config.resolution else _size_of_first(parts[TRAIN], pictures)
    given = {split: _images(split, part, (pictures, labels), size, config.channels) for split, part in parts.items()}
    for images in given.values():
        if len(images.labels) and not 0 <= images.labels.min() <= images.labels.max() < len(classes):
            raise DataError(
                f"data hf: {images.name} has labels that are none of the {len(classes)} classes, such as -1"
            )
    count = sum(len(images.labels) for images in given.values())
    keep = count * config.channels * size[0] * size[1] <= config.memory_mib * 2**20
    if config.split_scheme == 1:
        return split_images_by_place(config, classes, given, keep=keep)
    sources = {split: _source(images, keep=keep, any_size=bool(config.resolution)) for split, images in given.items()}
    return split_by_content(config, classes, (config.channels, *size), sources)


def _parts(config: DataConfig) -> dict[str, Any]:
    """Return the `datasets.Dataset` of each split."""
    try:
        from datasets import Dataset, load_from_disk
    except ImportError:
        raise DataError(_INSTALL) from None
    if not config.root:
        raise DataError(f"data hf: {_HOW}")
    root = user_path(config.root).absolute()
    if not root.is_dir():
        raise DataError(f"data hf: no folder {root}. {_HOW}")
    try:
        found = load_from_disk(str(root))
    except Exception as error:  # it raises all kinds of errors on other folders
        raise DataError(f"data hf: {root} cannot be read: {error}. {_HOW}") from None
    if isinstance(found, Dataset):
        return {TRAIN: found}
    parts: dict[str, Any] = {}
    for name, part in found.items():
        split = next((split for split, words in _WORDS.items() if name.lower() in words), None)
        if split in parts:
            raise DataError(f"data hf: {root} has two splits for {split}: keep one of {', '.join(found)}")
        if split:
            parts[split] = part
    if TRAIN not in parts:
        raise DataError(f"data hf: {root} has the splits {', '.join(found)}, of which none is train")
    return parts


def _columns(parts: Mapping[str, Any]) -> tuple[str, str, tuple[str, ...]]:
    """Return the column of pictures, that of labels, and the names of the classes, which all splits share."""
    from datasets import ClassLabel
    from datasets import Image as Pictures

    features = parts[TRAIN].features
    for split, part in parts.items():
        if part.features != features:
            raise DataError(f"data hf: {split} has other columns or classes than train")
    columns = []
    for kind, what in ((Pictures, "pictures (Image)"), (ClassLabel, "classes (ClassLabel)")):
        names = [name for name, feature in features.items() if isinstance(feature, kind)]
        if len(names) != 1:
            raise DataError(
                f"data hf: one column of {what} is needed, but there are {len(names)} "
                f"({', '.join(f'{name}: {type(feature).__name__}' for name, feature in features.items())}): leave one "
                "with cast_column, class_encode_column or remove_columns"
            )
        columns += names
    return columns[0], columns[1], tuple(features[columns[1]].names)


def _images(name: str, part: Any, columns: tuple[str, str], size: tuple[int, int], channels: int) -> HfImages:
    pictures, labels = columns
    numbers = part.select_columns([labels]).with_format("arrow")[:][labels].to_pylist()
    # Unlabelled images have no number.
    found = torch.tensor([-1 if number is None else number for number in numbers], dtype=torch.int64)
    return HfImages(_encoded(part, pictures), found, name, size, channels)


def _encoded(part: Any, pictures: str) -> Any:
    """Return what files of pictures hold, as the only column `image`."""
    from datasets import Image as Pictures

    rows = part.with_format(None).select_columns([pictures]).cast_column(pictures, Pictures(decode=False))
    return rows if pictures == "image" else rows.rename_column(pictures, "image")


def _size_of_first(part: Any, pictures: str) -> tuple[int, int]:
    if not len(part):
        raise DataError("data hf: there are no training images")
    first = _decoded(_encoded(part, pictures)[0]["image"], "train image 0")
    return first.height, first.width


def _decoded(held: Mapping[str, Any] | None, name: str) -> Image.Image:
    """Decode a picture that is in the data set: one that it has the path or the address of only is not opened."""
    data = held["bytes"] if held else None
    if data is None:
        raise DataError(f"data hf: {name} is not in the data set, which has its path at most: save_to_disk embeds it")
    try:
        with Image.open(io.BytesIO(data)) as image:
            picture = ImageOps.exif_transpose(image)
            if picture.mode.startswith(("I", "F")):
                raise ValueError(f"mode {picture.mode}, but 8 bits a channel are needed")
            return picture.convert("RGB")
    except Exception as error:  # decoders raise all kinds of errors on broken files
        raise DataError(f"data hf: {name} cannot be read: {error}") from None


def _source(images: HfImages, *, keep: bool, any_size: bool) -> Source:
    """Decode each picture once: for its content at full size, and for its pixels where they are kept in memory."""

    def looked(picture: Image.Image, place: int) -> tuple[bytes, Tensor | None]:
        if not any_size and (picture.height, picture.width) != images.size:
            raise DataError(
                f"data hf: {images.name} image {place} has {picture.height}x{picture.width} pixels, others "
                f"{images.size[0]}x{images.size[1]}; give data.resolution=64"
            )
        return digests_of(np.asarray(picture)[None])[0], images.fitted(picture, place) if keep else None

    looks = list[tuple[bytes, Tensor | None]]()
    for start in range(0, len(images.labels), _AT_A_TIME):
        places = range(start, min(start + _AT_A_TIME, len(images.labels)))
        looks += images.decoded(places, looked, cores())

    def take(places: Sequence[int], reading: Reading | None) -> Images:
        chosen = images.take(places)
        kept = [pixels for pixels in (looks[place][1] for place in places) if pixels is not None]
        return MemoryImages(torch.stack(kept), chosen.labels) if kept else chosen

    return Source(
        images.labels.tolist(), [digest for digest, _ in looks], lambda place: f"{images.name} image {place}", take
    )
