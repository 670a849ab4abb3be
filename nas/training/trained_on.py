"""What data a model was trained on, as its files say, and whether some data are these and split as they were then.

An image of another split may be one that the network has learned by heart, so that a score on it says nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from nas.errors import DataError, NasError, plain
from nas.exporting.card import CARD, section
from nas.run_folder import read_inside, read_json, user_path
from nas.training.data.config import MOST_FOLDS, DataConfig
from nas.training.data.recorded import recorded_data
from nas.training.data.splits import ImageData

TRAINED_ON, ARCH_ID = "trained_on", "arch_id"
"""Keys of the metadata of an exported model: JSON of a mapping with the keys below, and the id of its network."""
NAME, FINGERPRINT, IMAGES, FOLD = "name", "split_fingerprint", "images_by_class", "fold"
"""Keys of `ImageData.record()`."""
_STUDY, _CARD_TEXT = "study.json", "card.md"


@dataclass(frozen=True)
class TrainedOn:
    """The data that a network was trained on, as far as its files say."""

    name: str
    """Of the data set."""
    fingerprint: str
    """Of the splits."""
    images: tuple[int, ...] = ()
    """Images of each class in all splits together; empty where it is not known."""
    fold: tuple[int, int] | None = None
    """The fold that it was trained without, from 1, and how many there are; None where it had the training split."""

    @classmethod
    def from_record(cls, record: object) -> TrainedOn | None:
        """Read what `ImageData.record` gives, or others; None where it does not say it."""
        if not isinstance(record, Mapping):
            return None
        name, fingerprint = record.get(NAME), record.get(FINGERPRINT)
        if not isinstance(name, str) or not isinstance(fingerprint, str):
            return None
        return cls(name, fingerprint, _counted(record.get(IMAGES)), _fold(record.get(FOLD)))


def _fold(said: object) -> tuple[int, int] | None:
    """Return which fold a record names, and of how many; None where it names none."""
    if not isinstance(said, list) or len(said) != 2 or not all(type(number) is int for number in said):
        return None
    number, count = said
    return (number, count) if 1 <= number <= count <= MOST_FOLDS and count > 1 else None


def _counted(by_class: object) -> tuple[int, ...]:
    """Add up the images of each class; empty where they are not counted."""
    splits = [*by_class.values()] if isinstance(by_class, Mapping) else []
    counted = all(isinstance(counts, list | tuple) and all(type(n) is int for n in counts) for counts in splits)
    if not splits or not counted or len({len(counts) for counts in splits}) != 1:
        return ()
    return tuple(map(sum, zip(*splits, strict=True)))


def trained_on(metadata: Mapping[str, str], folders: Sequence[Path]) -> TrainedOn | None:
    """Return what a model was trained on; None where nothing says it.

    Args:
        metadata: of the file of its weights, or of the exported model.
        folders: that may say more of it: that of the file, and that of its run.
    """
    records = [_parsed(metadata.get(TRAINED_ON, "")), *(record for folder in folders for record in _records(folder))]
    known = [one for one in map(TrainedOn.from_record, records) if one is not None]
    said = {NAME: metadata.get("data"), FINGERPRINT: metadata.get(FINGERPRINT), FOLD: _parsed(metadata.get(FOLD, ""))}
    header = TrainedOn.from_record(said)
    if header is None:
        return known[0] if known else None
    found = next((one for one in known if one.fingerprint == header.fingerprint), header)
    return replace(found, fold=header.fold)  # a record of a search is of the data of all its networks


def as_split(data: ImageData, was: TrainedOn | None) -> ImageData:
    """Return data split as in the training of a model: where that was without a fold, this is what is held out.

    Args:
        data: split as their config says.
        was: what it was trained on; of other data, nothing of these was learned.
    """
    if was is None or was.fold is None or was.fingerprint != data.fingerprint or data.divide is None:
        return data
    return data.in_fold(*was.fold)


def arch_id_of(metadata: Mapping[str, str], folder: Path) -> str:
    """Return the id of the network of an exported model, from its metadata or its card; empty where they do not say."""
    said = metadata.get(ARCH_ID) or _text(folder).partition("Network `")[2].partition("`")[0]
    return said if said.isalnum() and len(said) <= 64 else ""


def relation(was: TrainedOn | None, data: ImageData, config: DataConfig, folders: Sequence[Path]) -> str:
    """Say how some data are related to those that a model was trained on; empty where they are the same.

    Args:
        was: what it was trained on.
        data: that it is to be scored or measured on.
        config: of these data.
        folders: that may say where the data of the training are.

    Raises:
        DataError: it is the same data set, but split in another way, so that images may be those of the training.
    """
    if was is None:
        return "it is not known what data it was trained on"
    if was.fingerprint == data.fingerprint:
        return ""
    if _same_data(was, data, config, folders):
        raise DataError(
            f"data {data.name} are split in another way (fingerprint {data.fingerprint}) than when the network was "
            f"trained ({plain(was.fingerprint, 80)}), so that it may have learned these very images: give data as in "
            "the training, with its data.split_seed, fractions and resolution, or other data than those"
        )
    return (
        f"these are other data than it was trained on, which were {plain(was.name, 80)} "
        f"(fingerprint {plain(was.fingerprint, 80)})"
    )


def _same_data(was: TrainedOn, data: ImageData, config: DataConfig, folders: Sequence[Path]) -> bool:
    """Whether data with other splits are those of the training: as many images of each class, or the same place."""
    if was.name != data.name:
        return False
    if was.images and was.images == _counted(data.record()[IMAGES]):
        return True
    recorded = next((known for known in map(recorded_data, folders) if known is not None), None)
    if recorded is not None:
        same_code = _without_hash(recorded.get("module")) == _without_hash(config.module)
        return same_code and _place(recorded.get("root")) == _place(config.root)
    return not was.images and config.root is None


def _place(root: object) -> Path | None:
    return user_path(root).absolute() if isinstance(root, str) else None


def _without_hash(module: object) -> str | None:
    """Return which data set of the user's own `data.module` means, whatever its file holds by now."""
    return module.partition("#")[0] if isinstance(module, str) else None


def _records(folder: Path) -> list[Any]:
    """Return what the files of a folder say of data."""
    found: list[Any] = []
    for file, names in ((CARD, ("data",)), (_STUDY, ("notes", "data"))):
        try:
            values = read_json(folder / file, "the record", lambda read: read) if (folder / file).is_file() else None
        except NasError:
            continue  # whoever needs this file says what is wrong with it
        for name in names:
            values = values.get(name) if isinstance(values, Mapping) else None
        found.append(values)
    lines = dict(line[2:].partition(": ")[::2] for line in section(_text(folder), "Data").splitlines())
    return [*found, {**lines, **{name: _parsed(lines.get(name, "")) for name in (IMAGES, FOLD)}}]


def _text(folder: Path) -> str:
    """Return the card of an exported model; models from before have no other place that says it."""
    try:
        return read_inside(folder / _CARD_TEXT).decode(errors="replace")
    except (OSError, NasError):
        return ""


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
