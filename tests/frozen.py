"""Which dataclasses of a package can be changed once they are made: a value that others hold must not change."""

from __future__ import annotations

import dataclasses
import pkgutil
from importlib import import_module


def changeable(package: str) -> set[str]:
    """Return the names of a package's dataclasses that are not frozen."""
    files = pkgutil.walk_packages(import_module(package).__path__, f"{package}.")
    modules = [import_module(file.name) for file in files if not file.name.endswith("__main__")]
    return {
        name
        for module in modules
        for name, kind in vars(module).items()
        if isinstance(kind, type) and dataclasses.is_dataclass(kind) and kind.__module__ == module.__name__
        if not kind.__dataclass_params__.frozen  # type: ignore[attr-defined]  # not in the types of Python
    }
