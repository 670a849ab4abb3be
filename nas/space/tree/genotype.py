"""Genotypes, the values of names, and how a number of genotypes is written."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from nas.network.settings import Scalar

Genotype = dict[str, Scalar]
"""`{decision path: value}` with the active decisions only; exactly the params of an Optuna trial."""

Names = Mapping[str, Any]
"""The values of names that a space gives under `let`; of a name for blocks a `Specialised`."""


def count_text(number: int) -> str:
    """Write an exact count; of over a thousand digits only how many there are."""
    return f"{number:,}" if number < 10**1000 else f"about 10^{math.floor(math.log10(number))}"
