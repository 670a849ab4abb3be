"""What tests of workers share with those of the search."""

from __future__ import annotations

from tests.search.conftest import space

__all__ = ["space"]
