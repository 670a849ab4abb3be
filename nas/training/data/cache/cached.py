"""The cache of a folder of pictures: found, or made by one of the processes that want it."""

from __future__ import annotations

import errno
import logging
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from filelock import FileLock, Timeout

from nas.errors import reason_of
from nas.run_folder import shown, user_path
from nas.training.data.cache.entry import Entry, read_entry
from nas.training.data.cache.key import Key, key_of
from nas.training.data.cache.listing import Listing, listed
from nas.training.data.cache.make import make_entry
from nas.training.data.cache.place import MAKING, PREFIX, cache_folder
from nas.training.data.config import AUTO, DataConfig
from nas.training.data.folders.usable import BY_CONTENT, REFUSE, usable_pictures
from nas.training.tasks.registry import DEFAULT

_MANY = 5_000
"""Files that are cached where `data.cache` is auto, however small."""
_MUCH = 2**26
"""Bytes of files that are cached where it is auto, however few they are."""
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""What a system says where there is no room, or no more for this user or process."""
_NOT_AGAIN_SECONDS = 600
"""For which a cache is not begun again whose disk was full in the middle: workers follow their driver by less."""
_LOG = logging.getLogger(__name__)


def cached(config: DataConfig) -> Entry | None:
    """Return the cache of a folder of pictures, which is made where there is none.

    None where it is to have none, or can have none, which is logged; what is wrong with the folder says who reads it.

    Raises:
        DataError: files that cannot be used, as in `usable_pictures` and `make_entry`.
    """
    folder = cache_folder(config.cache)
    # Targets of other kinds than one class an image come from a table, which is read with each start.
    if folder is None or config.split_scheme < BY_CONTENT or not config.root or config.task != DEFAULT:
        return None
    root = user_path(config.root).absolute()
    try:
        listing = listed(root)
        if config.cache == AUTO and not _takes_long(listing):
            return None
        key = key_of(config, root, listing)
        found = _usable(folder, key, config) or _of_that_depth(folder, config, root, listing)
    except OSError:
        return None
    if found is not None:
        return found
    try:
        return _made(folder, key, config)
    except OSError as error:
        _LOG.warning(
            "data image_folder: its pixels are not cached in %s: %s. %s",
            shown(folder),
            reason_of(error),
            _instead(error, config),
        )
        return None


def _instead(error: OSError, config: DataConfig) -> str:
    """Return what is done without a cache, and what a user may do."""
    done = "Each process decodes its pictures, in each epoch where they take more than data.memory_mib"
    if error.errno not in _FULL:
        return f"{done} (data.cache: another folder, or none)"
    smaller = f"smaller than {config.resolution}" if config.resolution else "smaller than they are"
    return f"{done}; data.cache=FOLDER on a larger disk, or data.resolution {smaller}, would save that"


def _takes_long(listing: Listing) -> bool:
    """Whether decoding takes so long that a cache is worth its room: seconds, on one core."""
    return listing.count >= _MANY or listing.size >= _MUCH


def _usable(folder: Path, key: Key, config: DataConfig) -> Entry | None:
    """Return an entry that is there; one that leaves files out is of no use where these are refused."""
    found = read_entry(folder / key.name)
    return None if found is None or (found.bad and config.bad == REFUSE) else found


def _of_that_depth(folder: Path, config: DataConfig, root: Path, listing: Listing) -> Entry | None:
    """Return an entry whose pictures were found to need the depth that is asked for, as models say it that saw them."""
    if config.depth == "auto":
        return None
    found = _usable(folder, key_of(replace(config, depth="auto"), root, listing), config)
    return found if found is not None and found.reading.depth == config.depth else None


def _made(folder: Path, key: Key, config: DataConfig) -> Entry:
    """Make an entry, or wait for the process that makes it."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _locked(folder / f"{PREFIX}{key.what}.lock"):
        found = _usable(folder, key, config)
        if found is not None:
            return found
        full = folder / f"{key.name}.full"
        _check_not_just_full(full)
        _remove(folder, f"{MAKING}{key.what}-*")  # of processes that were killed
        making = folder / f"{MAKING}{key.what}-{key.state}"
        making.mkdir()
        try:
            make_entry(config, usable_pictures(config), making)
            _publish(making, folder / key.name)
        except OSError as error:
            if error.errno in _FULL and any(making.iterdir()):
                with suppress(OSError):
                    full.touch()
            raise
        finally:
            shutil.rmtree(making, ignore_errors=True)
        _remove(folder, f"{PREFIX}{key.what}-*", but=key.name)  # the folder was changed since
    found = _usable(folder, key, config)
    if found is None:
        raise FileNotFoundError(f"{folder / key.name} is gone again")
    return found


def _check_not_just_full(full: Path) -> None:
    """Raise `OSError` where a process has found a disk full in the middle, a quota perhaps, and left this file.

    Else each worker of a search would decode as far, one after another.
    """
    with suppress(FileNotFoundError):
        if time.time() - full.stat().st_mtime < _NOT_AGAIN_SECONDS:
            raise OSError(errno.ENOSPC, f"the disk was full in the middle just now (remove {full} to try it again)")


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    lock = FileLock(path, thread_local=False)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        _LOG.warning("data image_folder: waiting for another process that decodes it")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _publish(made: Path, as_: Path) -> None:
    """Give an entry its name: from then on it is found, and whole."""
    shutil.rmtree(as_, ignore_errors=True)  # one that is damaged, or leaves files out that are mended
    made.rename(as_)
    descriptor = os.open(as_.parent, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove(folder: Path, pattern: str, but: str = "") -> None:
    for path in folder.glob(pattern):
        if path.name != but:
            shutil.rmtree(path, ignore_errors=True)
