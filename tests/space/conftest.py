"""What the tests of spaces share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.space import encoding


@pytest.fixture(scope="module")
def as_written() -> Iterator[None]:
    """See `encoding.as_written`, for all tests of a module."""
    with encoding.as_written():
        yield
