"""Reading the base network of a scaling study from a space, a file or the run folder of a search."""

from __future__ import annotations

from pathlib import Path

from nas.errors import ConfigError, why_unreadable
from nas.network.architecture import Architecture
from nas.run_folder import BEST_ARCHITECTURE, user_path
from nas.scaling.scale import scale
from nas.space import load_space
from nas.space.task import check_task


def read_base(
    space: str | None,
    base: str | None,
    resolution: int | None = None,
    data: tuple[tuple[int, ...], int] | None = None,
) -> Architecture:
    """Return the base network: that of a space without choices, of a file, or the best of a search.

    Args:
        space: name or file of a space; None reads `base`.
        base: an architecture file, or the run folder of a search.
        resolution: size of its input, in pixels; None keeps that of the file or of the data.
        data: shape of an example and number of classes, where it is to be trained.

    Raises:
        NasError: it cannot be read, leaves a choice open, is for other data, or is no classifier.
    """
    arch = _of_space(space, data) if space is not None else _of_file(user_path(str(base)))
    if data is not None and (arch.input_shape[0], arch.num_classes) != (data[0][0], data[1]):
        raise ConfigError(
            f"base: the network takes {arch.input_shape[0]} channels and gives {arch.num_classes} classes, but the "
            f"data have {data[0][0]} and {data[1]}"
        )
    if data is not None:
        check_task(arch, "classification")
    return arch if resolution is None else scale(arch, resolution=resolution)


def _of_space(name: str, data: tuple[tuple[int, ...], int] | None) -> Architecture:
    loaded = load_space(name)
    if data is not None:
        loaded = loaded.for_data(*data, task="classification")
    if loaded.size() > 1:
        raise ConfigError(
            f"space {loaded.name!r} has {loaded.size():,} networks, but scaling starts from one: search it with "
            f"python -m nas.search +space={name} and give base=runs/NAME, or base=FILE with an architecture"
        )
    return loaded.decode(loaded.sample(seed=0))


def _of_file(path: Path) -> Architecture:
    if path.is_dir():
        if not (path / BEST_ARCHITECTURE).exists():
            raise ConfigError(
                f"base: {path} has no {BEST_ARCHITECTURE}, which a search writes when it has found a network"
            )
        path = path / BEST_ARCHITECTURE
    try:
        return Architecture.from_json(path.read_text())
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"base: {path} cannot be read: {why_unreadable(error)}") from None
