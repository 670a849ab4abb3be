"""Finding space files: the ones that come with nas, by name, and the user's own, by path."""

from __future__ import annotations

from pathlib import Path

from nas.errors import SpaceError, nearest
from nas.resources import resource_dir, space_names


def find_space(name: str) -> Path:
    """Return the file of a space given by name, or by path with a .yaml ending.

    Raises:
        SpaceError: no such file or name; the message lists near names.
    """
    if name.endswith((".yaml", ".yml")):
        try:
            path = Path(name).expanduser()
            is_file = path.is_file()
        except (OSError, ValueError, RuntimeError) as error:  # a name too long, a NUL in it, a home that is none
            raise SpaceError(f"{name[:80]}: cannot be looked up: {str(error)[:80]}") from None
        if not is_file:
            raise SpaceError(f"{path}: no such space file")
        return path
    names = space_names()
    if name not in names:
        raise SpaceError(
            f"unknown space {name!r}. {nearest(name, names)} A space of your own is given as a path to its .yaml file."
        )
    return resource_dir("search_spaces") / f"{name}.yaml"
