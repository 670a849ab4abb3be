"""The place of a folder that ships: it is written whole or not at all, and nothing that is there is lost."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from nas.errors import ConfigError, NasError, why_unreadable
from nas.exporting.preprocess import PREPROCESS

ALWAYS = frozenset({"model.onnx", "model.safetensors", PREPROCESS, "predict.py", "card.md"})
"""Files that every exported folder has."""
_WRITTEN = ALWAYS | {"model.int8.onnx", "model.py", "model.pte"}
"""Those that one may have."""
_NAMED = 50
"""Letters of the name of a folder in that of what becomes it, which must not be longer than a name may be."""


def check_free(out: Path, *, replace_earlier: bool = False) -> None:
    """Raise `ConfigError` where a folder cannot be written: something is there that is no empty folder.

    Args:
        out: the folder.
        replace_earlier: whether one that an earlier export wrote may be there.
    """
    try:
        _check_free(out, replace_earlier=replace_earlier)
    except OSError as error:  # it may not be read
        raise ConfigError(f"out={out} cannot be written: {why_unreadable(error)}") from None


def _check_free(out: Path, *, replace_earlier: bool) -> None:
    if not os.path.lexists(out) or (out.is_dir() and not out.is_symlink() and not os.listdir(out)):
        return
    why_not = _why_no_export(out) if replace_earlier else ""
    if why_not or not replace_earlier:
        also = f", and is no export that could be replaced: {why_not}" if why_not else ""
        raise ConfigError(f"out={out} is there already{also}; give another folder, or remove it first")


def _why_no_export(out: Path) -> str:
    """Return why a folder is not one that an export wrote, and nothing else was put into; empty where it is."""
    if out.is_symlink() or not out.is_dir():
        return "it is no folder"
    with os.scandir(out) as entries:
        files = {entry.name: entry.is_file(follow_symlinks=False) for entry in entries}
    others = sorted(name for name, is_file in files.items() if name not in _WRITTEN or not is_file)
    missing = sorted(ALWAYS - files.keys())
    if others:
        return f"no export writes {others[0]!a}"
    return f"it has no {missing[0]}" if missing else ""


def write_folder(out: Path, files: Mapping[str, bytes], *, replace_earlier: bool = False) -> tuple[Path, ...]:
    """Write a folder under another name, and give it its own when all of it is on the disk.

    Of an earlier export that is replaced no file is removed before the new one stands in its place. An empty folder
    that nothing can take the place of, such as the one that the user stands in, gets the files one by one instead.
    """
    place = out.absolute()  # `.` has no name
    partial: Path | None = None
    try:
        stays = _stays(place)
        partial = (place if stays else place.parent) / f".{place.name[:_NAMED]}.{os.getpid()}.partial"
        out.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(partial, ignore_errors=True)  # of a process of this number that was killed
        partial.mkdir()
        for name, data in files.items():
            with open(partial / name, "xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        if stays:
            _move_into(partial, out)
            return tuple(out / name for name in files)
        check_free(out, replace_earlier=replace_earlier)  # again: writing took a while
        if os.path.lexists(out) and os.listdir(out):
            _take_place(partial, out)
        else:
            partial.rename(place)  # onto an empty folder, or nothing
    except NasError:
        raise
    except (OSError, ValueError) as error:
        raise ConfigError(f"out={out} cannot be written: {why_unreadable(error)}") from None
    finally:
        if partial is not None:
            shutil.rmtree(partial, ignore_errors=True)
    return tuple(out / name for name in files)


def _stays(out: Path) -> bool:
    """Whether something is an empty folder that no other can take the place of, though it can be written to.

    That is the root of what is mounted, as a volume of a container is, and one in a folder that may not be written. In
    the place of the folder where the user's shell is another would not be seen there.
    """
    if not out.is_dir() or out.is_symlink() or os.listdir(out):
        return False
    return os.path.ismount(out) or out.samefile(Path.cwd()) or not os.access(out.parent, os.W_OK)


def _move_into(new: Path, out: Path) -> None:
    """Move the files of a new folder, which is in an empty one, into that."""
    if others := [name for name in os.listdir(out) if name != new.name]:  # writing took a while
        raise ConfigError(f"out={out} holds {others[0]!a} by now; give another folder, or remove it first")
    for path in sorted(new.iterdir()):
        path.rename(out / path.name)


def _take_place(new: Path, out: Path) -> None:
    """Put a folder in the place of one that an earlier export wrote."""
    earlier = out.with_name(f".{out.name[:_NAMED]}.{os.getpid()}.earlier")
    out.rename(earlier)
    try:
        new.rename(out)
    except OSError:
        earlier.rename(out)
        raise
    with suppress(OSError):  # what was put into it in this moment stays there
        for name in _WRITTEN:
            (earlier / name).unlink(missing_ok=True)
        earlier.rmdir()
