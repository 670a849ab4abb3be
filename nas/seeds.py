"""Seeds that are derived from the seed that the user gives."""

from __future__ import annotations

import hashlib


def derived_seed(seed: int, *purpose: int | str, num_bytes: int = 4) -> int:
    """Return the seed of one purpose: the first bytes of SHA-256 over the seed and the purpose.

    The same arguments give the same seed in every process and version, so that a resumed study repeats what an
    uninterrupted one does; different ones give unrelated seeds, which `seed + 1` would not.

    Args:
        seed: of the whole run.
        purpose: what the seed is for, e.g. number of a trial and name of a step; the parts are joined by spaces.
        num_bytes: length of the seed, which is below 2^(8 num_bytes): 4 for numpy and Optuna, 7 for torch, whose seeds
            are signed, 8 for `random.Random`.
    """
    digest = hashlib.sha256(" ".join(map(str, (seed, *purpose))).encode()).digest()
    return int.from_bytes(digest[:num_bytes], "little")
