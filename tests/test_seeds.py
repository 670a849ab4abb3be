"""Derived seeds: the numbers that studies on disk were made with, and unrelated ones for whatever differs."""

from __future__ import annotations

import hashlib
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kstest

from nas.seeds import derived_seed


@pytest.mark.parametrize(
    ("purpose", "num_bytes", "seed"),
    [((3, "evaluation"), 4, 1833035487), ((3, "draw"), 8, 7415143736641114522), ((0, 1), 7, 8035339589616121)],
)
def test_the_seeds_of_earlier_studies(purpose: tuple[int | str, ...], num_bytes: int, seed: int) -> None:
    """Of the driver, of samplers, and of the epochs of a training run; studies that are resumed need the same."""
    assert derived_seed(7, *purpose, num_bytes=num_bytes) == seed


@given(st.integers(), st.lists(st.integers() | st.text(max_size=5), max_size=3), st.integers(1, 32))
def test_the_definition(seed: int, purpose: list[int | str], num_bytes: int) -> None:
    text = " ".join([str(seed), *map(str, purpose)])
    digest = hashlib.sha256(text.encode()).digest()
    found = derived_seed(seed, *purpose, num_bytes=num_bytes)
    assert found == sum(byte << 8 * place for place, byte in enumerate(digest[:num_bytes]))


def test_neighbouring_seeds_are_unrelated() -> None:
    """No two of 3,000 are equal, and they are spread evenly from 0 to 2^32."""
    seeds = [derived_seed(*key) for key in product(range(10), range(100), ("draw", "train", "guide"))]
    assert len(set(seeds)) == len(seeds)
    assert kstest(np.array(seeds) / 2**32, "uniform").pvalue > 0.01
