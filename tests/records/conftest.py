"""A store of MLflow that is ready to be written to."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture
def root(put_store: Callable[[Path], None], tmp_path: Path) -> Path:
    """A folder with a store of its own."""
    put_store(tmp_path)
    return tmp_path
