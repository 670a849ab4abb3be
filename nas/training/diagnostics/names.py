"""What can be measured of a network. Never loads torch."""

from __future__ import annotations

from collections.abc import Iterable

from nas.errors import ConfigError, nearest

MEASUREMENTS = ("gradients", "activations", "dead_units", "receptive_field", "shift", "sharpness")
"""By the names of their files."""


def check_measurements(names: Iterable[object], where: str) -> tuple[str, ...]:
    """Return names of measurements, each once, in their usual order.

    Args:
        names: what was asked for.
        where: that is, for messages.

    Raises:
        ConfigError: there are none, or one that is not known.
    """
    given = list(names)
    for name in given:
        if name not in MEASUREMENTS:
            raise ConfigError(f"{where}: unknown {name!r:.80}. {nearest(str(name)[:80], MEASUREMENTS)}")
    if not given:
        raise ConfigError(f"{where} must name a measurement at least: {', '.join(MEASUREMENTS)}")
    return tuple(name for name in MEASUREMENTS if name in given)
