"""That the genotype of a network is found again, for the suites over every space."""

from __future__ import annotations

from typing import Any

import nas

SEVERAL_WAYS = {"mbconv_compound"}
"""Spaces in which genotypes can state the same network: those of a small base made large, and of a large one."""


def assert_encoded(space: nas.SearchSpace, genotype: dict[str, Any], arch: nas.Architecture) -> None:
    found = space.encode(arch)
    assert space.decode(found) == arch if space.name in SEVERAL_WAYS else found == genotype
