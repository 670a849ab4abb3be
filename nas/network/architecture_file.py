"""Reads the network of an architecture file, or of a run folder."""

from __future__ import annotations

from pathlib import Path

from nas.errors import ConfigError, NasError, why_unreadable
from nas.network.architecture import Architecture
from nas.run_folder import BEST_ARCHITECTURE, shown

_ARCHITECTURE = "architecture.json"
_FILES = (_ARCHITECTURE, BEST_ARCHITECTURE, f"model/{_ARCHITECTURE}")
"""Of a run folder; the first that is there is taken."""


def read_architecture(path: Path, what: str) -> Architecture:
    """Return the network of a file, or of the folder of a training or a search, which means the best of that.

    Args:
        path: of either.
        what: reads it, for errors: the name of a setting or an argument.

    Raises:
        ConfigError: there is no such file, or it holds something else.
    """
    if path.is_dir():
        found = next((path / file for file in _FILES if (path / file).is_file()), None)
        if found is None:
            raise ConfigError(
                f"{what}: {shown(path.absolute())} has no {_ARCHITECTURE} or {BEST_ARCHITECTURE}, which a search "
                "writes when it has found a network"
            )
        path = found
    try:
        return Architecture.from_json(path.read_text())
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{what}: {path} cannot be read: {why_unreadable(error)}") from None
    except NasError as error:
        raise ConfigError(f"{what}: {path}: {error}") from None
