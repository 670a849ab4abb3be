"""Where the base of a scaling study comes from."""

from __future__ import annotations

from pathlib import Path

from nas.errors import ConfigError
from nas.network.architecture import Architecture
from nas.scale.scaling import scale
from nas.space import load_space

WINNER = "best_architecture.json"
"""What a search leaves in its run folder."""


def read_base(space: str | None, base: str | None, resolution: int | None = None) -> Architecture:
    """Return the base network: that of a space without choices, of a file, or the winner of a search.

    Args:
        space: name or file of a space.
        base: an architecture file, or the run folder of a search.
        resolution: size of its input, where it is another than the file's.

    Raises:
        NasError: it cannot be read, or leaves a choice open.
    """
    arch = _of_space(space) if space is not None else _of_file(Path(str(base)).expanduser())
    return arch if resolution is None else scale(arch, resolution=resolution)


def _of_space(name: str) -> Architecture:
    loaded = load_space(name)
    if loaded.size() > 1:
        raise ConfigError(
            f"space {loaded.name!r} has {loaded.size():,} networks, but scaling starts from one: search it with "
            f"python -m nas.search +space={name} and give base=runs/NAME, or base=FILE with an architecture"
        )
    return loaded.decode(loaded.sample(seed=0))


def _of_file(path: Path) -> Architecture:
    if path.is_dir():
        if not (path / WINNER).exists():
            raise ConfigError(f"base: {path} has no {WINNER}, which a search writes when it has found a network")
        path = path / WINNER
    try:
        return Architecture.from_json(path.read_text())
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"base: {path} cannot be read: {error}") from None
