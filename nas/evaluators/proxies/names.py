"""Names of the proxies, known without torch."""

from __future__ import annotations

from collections.abc import Iterable

from nas.errors import ConfigError, nearest

PROXY_NAMES = ("naswot", "synflow", "gradnorm", "zico", "zen")


def check_names(names: Iterable[str]) -> None:
    """Raise where a name is no proxy's.

    Raises:
        ConfigError: an unknown name, with the nearest ones.
    """
    for name in names:
        if name not in PROXY_NAMES:
            raise ConfigError(f"unknown proxy {name!r}. {nearest(name, PROXY_NAMES)}")
