"""What a cache of images takes of the disk, and its removal."""

from __future__ import annotations

import shutil
from pathlib import Path

from nas.training.data.cache.place import MAKING, PREFIX


def entries_in(folder: Path) -> dict[Path, int]:
    """Return the entries of a cache, whole or not, with their bytes."""
    found = [path for kind in (PREFIX, MAKING) for path in folder.glob(f"{kind}*-*") if path.is_dir()]
    return {path: sum(file.lstat().st_size for file in path.iterdir()) for path in sorted(found)}


def remove_entries(folder: Path) -> int:
    """Remove the entries of a cache, and return their bytes; processes that read one go on with it."""
    found = entries_in(folder)
    for path in found:
        shutil.rmtree(path, ignore_errors=True)
    return sum(size for path, size in found.items() if not path.exists())
