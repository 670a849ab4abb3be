"""What a cache of images takes of the disk, and its removal."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from nas.training.data.cache.place import MAKING, PREFIX

_ENTRY = re.compile(f"({PREFIX}|{re.escape(MAKING)})[0-9a-f]{{16}}-[0-9a-f]{{16}}")
"""Names of entries, with the two hashes of their keys: a user's own folder may be called images-2020-07."""


def entries_in(folder: Path) -> dict[Path, int]:
    """Return the entries of a cache, whole or not, with their bytes."""
    named = [path for path in folder.glob("*") if _ENTRY.fullmatch(path.name)]
    found = [path for path in named if path.is_dir() and not path.is_symlink()]
    return {path: sum(file.lstat().st_size for file in path.iterdir()) for path in sorted(found)}


def remove_entries(folder: Path) -> int:
    """Remove the entries of a cache, and return their bytes; processes that read one go on with it."""
    found = entries_in(folder)
    for path in found:
        shutil.rmtree(path, ignore_errors=True)
    return sum(size for path, size in found.items() if not path.exists())
