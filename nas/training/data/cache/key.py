"""What a cache of images is known by: all that changes its pixels, their order and their splits."""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path

import PIL
from PIL import features

import nas.exporting.reading
import nas.training.data.content
import nas.training.data.division
import nas.training.data.folders.headers
import nas.training.data.folders.labels_file
import nas.training.data.folders.layout
import nas.training.data.folders.usable
import nas.training.data.pictures
from nas.run_folder import user_path
from nas.training.data.cache.listing import Listing
from nas.training.data.cache.place import PREFIX
from nas.training.data.config import BACKGROUNDS, DataConfig

_SETTINGS = (
    *("labels", "file_column", "label_column", "split_seed", "split_scheme", "val_fraction", "test_fraction"),
    *("resolution", "channels", "depth", "background", "fit", "max_pixels"),
)
"""Of `DataConfig`: those that pixels, their order and their splits follow from."""
_CODE = (
    nas.exporting.reading,
    nas.training.data.content,
    nas.training.data.division,
    nas.training.data.folders.headers,
    nas.training.data.folders.labels_file,
    nas.training.data.folders.layout,
    nas.training.data.folders.usable,
    nas.training.data.pictures,
)
"""Modules that pixels, their order and their splits follow from."""
_FORM = 1
"""Of the files of an entry."""
_DECODERS = ("jpg", "libjpeg_turbo", "jpg_2000", "zlib", "libtiff", "webp", "avif")
"""Of pillow; their versions may decode to other levels, or read more files."""


@dataclass(frozen=True, slots=True)
class Key:
    """The name of an entry of a cache."""

    what: str
    """Hash of the folder and of how it is read and split: of entries that share it only the newest is kept."""
    state: str
    """Hash of what is in the folder, and of what reads it."""

    @property
    def name(self) -> str:
        """Of the folder of the entry."""
        return f"{PREFIX}{self.what}-{self.state}"


def key_of(config: DataConfig, root: Path, listing: Listing) -> Key:
    """Return what the cache of a folder of pictures is known by.

    Args:
        config: how it is read and split.
        root: the folder.
        listing: of what is in it.

    Raises:
        OSError: the table of classes cannot be read.
    """
    settings = {name: getattr(config, name) for name in _SETTINGS}
    settings["background"] = BACKGROUNDS.get(config.background, config.background.lower())
    what = [str(root), settings]
    table = None if config.labels is None else root / user_path(config.labels)
    labels = None if table is None else hashlib.sha256(table.read_bytes()).hexdigest()
    return Key(_hash(what), _hash([listing.state, labels, _reader()]))


def _hash(values: object) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]


@cache
def _reader() -> list[str]:
    """Return what says which code reads pictures, ours and that of others."""
    code = hashlib.sha256()
    for module in _CODE:
        code.update(Path(str(module.__file__)).read_bytes())
    decoders = [f"{name} {features.version(name) or features.check(name)}" for name in _DECODERS]
    with suppress(metadata.PackageNotFoundError):
        decoders.append(f"heif {metadata.version('pillow-heif')}")
    return [f"form {_FORM}", code.hexdigest(), f"pillow {PIL.__version__}", *decoders]
