"""Where the configuration and the space files lie: beside the package in a checkout, inside it in a wheel."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def resource_dir(name: str) -> Path:
    """Return the folder `conf` or `search_spaces`."""
    inside = _PACKAGE / name
    return inside if inside.is_dir() else _PACKAGE.parent / name


def space_names() -> list[str]:
    """Names of the spaces that come with nas, e.g. `mbconv` and `reference/resnet50`."""
    root = resource_dir("search_spaces")
    return sorted(path.relative_to(root).with_suffix("").as_posix() for path in root.rglob("*.yaml"))


def spaces_to_search() -> str:
    """Return in a sentence which spaces there are to choose from: those with choices by name, and where the rest is."""
    choices = ", ".join(name for name in space_names() if "/" not in name)
    return f"There are {choices}; nas space lists them, and the published networks, reference/NAME"
