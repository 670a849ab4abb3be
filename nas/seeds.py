"""Seeds that are derived from the one that the user gives."""

from __future__ import annotations

import hashlib


def derived_seed(seed: int, number: int, purpose: str) -> int:
    """Return a seed for one purpose of one trial. A resumed study derives the same ones."""
    digest = hashlib.sha256(f"{seed} {number} {purpose}".encode()).digest()
    return int.from_bytes(digest[:4], "little")
