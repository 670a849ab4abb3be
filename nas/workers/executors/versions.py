"""Versions that a driver and its workers must have alike: another one may score the same network otherwise."""

from __future__ import annotations

import importlib.metadata
import platform
import socket
import sys
from collections.abc import Mapping
from contextlib import suppress
from functools import cache

from nas.errors import ConfigError

_PACKAGES = ("nas", "torch")


@cache
def versions_here() -> Mapping[str, str]:
    """Return those of this process: of Python, and of the packages that score."""
    found = {"python": ".".join(platform.python_version_tuple()[:2])}
    for name in _PACKAGES:
        with suppress(importlib.metadata.PackageNotFoundError):  # such as nas, where it runs from its sources
            found[name] = importlib.metadata.version(name)
    return found


def check_versions(theirs: Mapping[str, str]) -> None:
    """Make sure that this process has the versions of the driver; raises `ConfigError`, which names both."""
    ours = versions_here()
    differ = [f"{name} {ours.get(name, 'missing')}, not {one}" for name, one in theirs.items() if ours.get(name) != one]
    if differ:
        raise ConfigError(
            f"{sys.executable} on {socket.gethostname()} has other versions than the search: {'; '.join(differ)}"
        )
