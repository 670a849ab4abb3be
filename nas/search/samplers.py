"""Samplers by name. All are `optuna.samplers.BaseSampler` and work in a plain Optuna study."""

from __future__ import annotations

from collections.abc import Callable

import optuna
from optuna.samplers import BaseSampler, RandomSampler, TPESampler

from nas.errors import ConfigError, nearest


def _tpe(seed: int) -> BaseSampler:
    # Independent of one another, decisions of conditional spaces need no common search space.
    return TPESampler(seed=seed)


_SAMPLERS: dict[str, Callable[[int], BaseSampler]] = {
    "tpe": _tpe,
    "random": lambda seed: RandomSampler(seed=seed),
}
_DEFAULT = "tpe"


def sampler_names() -> list[str]:
    """Names that `sampler` takes."""
    return ["default", *_SAMPLERS]


def sampler(name: str = "default", seed: int = 0) -> BaseSampler:
    """Return a sampler by name.

    Raises:
        ConfigError: unknown name.
    """
    names = sampler_names()
    if name not in names:
        raise ConfigError(f"sampler: unknown {name!r}. {nearest(name, names)}")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return _SAMPLERS[_DEFAULT if name == "default" else name](seed)
