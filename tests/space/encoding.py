"""That the genotype of a network is found again, for the suites over every space."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

import nas
import nas.space.space

SEVERAL_WAYS = {"mbconv_compound"}
"""Spaces in which genotypes can state the same network: those of a small base made large, and of a large one."""


@contextmanager
def as_written() -> Iterator[None]:
    """What a space decodes is found as it is written: the search for other descriptions of a network is not needed.

    It would find what the exact way misses, and so hide that it misses anything.
    """

    def unneeded(*_: Any) -> None:
        raise AssertionError("the network was not found as the space writes it")

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(nas.space.space, "equal_genotype", unneeded)
        yield


def assert_encoded(space: nas.SearchSpace, genotype: dict[str, Any], arch: nas.Architecture) -> None:
    found = space.encode(arch)
    assert space.decode(found) == arch if space.name in SEVERAL_WAYS else found == genotype
