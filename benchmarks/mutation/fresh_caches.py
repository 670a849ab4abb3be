"""A plugin of pytest that empties the caches of nas before each test.

Without it a line that fills a cache would be counted for the first test alone that needs it, and not for those that
would notice its change.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import pytest

_CACHE = type(lru_cache(lambda: None))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Empty them."""
    for cache in caches():
        cache.cache_clear()


def caches() -> Iterator[Any]:
    """Yield the cached functions and methods of the modules of nas that are loaded."""
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] == "nas":
            for value in list(vars(module).values()):
                holders = vars(value).values() if isinstance(value, type) else [value]
                yield from (cache for cache in holders if isinstance(cache, _CACHE))
