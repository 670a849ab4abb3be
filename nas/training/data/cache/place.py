"""Where the cache of images is, and whether there is room for more in it."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path

from nas.run_folder import user_cache, user_path
from nas.training.data.config import AUTO, NONE

PREFIX = "images-"
"""What the names of entries in a cache begin with: `images-WHAT-STATE`, see `nas.training.data.cache.key`."""
MAKING = ".making-"
"""What the names of entries begin with that are not whole."""
_LEFT = 2**30
"""Bytes that a cache leaves on a disk."""


def cache_folder(cache: str) -> Path | None:
    """Return the folder of the cache, which need not be there; None where there is to be no cache.

    Args:
        cache: `data.cache`. Its `auto` is `user_cache`.

    Raises:
        ConfigError: `~USER` is nobody.
    """
    if cache == NONE:
        return None
    if cache != AUTO:
        return user_path(cache).absolute()
    return user_cache()


def check_room(folder: Path, size: int) -> None:
    """Raise `OSError` where the disk of a folder has no room for so many bytes and some more."""
    free = shutil.disk_usage(folder).free
    if free < size + _LEFT:
        raise OSError(
            errno.ENOSPC,
            f"it takes {size / 2**20:,.0f} MiB, but the disk has {free / 2**20:,.0f} MiB left, of which "
            f"{_LEFT / 2**20:,.0f} MiB are for others",
        )
