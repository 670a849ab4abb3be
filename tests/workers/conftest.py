"""What tests of workers share with those of the search, and a Slurm that is none."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.search.conftest import space
from tests.workers.fake_slurm import FakeSlurm

__all__ = ["fake_slurm", "space"]


@pytest.fixture
def fake_slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeSlurm]:
    """Commands of Slurm that start processes here; all of them end with the test."""
    fake = FakeSlurm(tmp_path / "slurm")
    fake.install()
    monkeypatch.setenv("PATH", f"{fake.bin}:{os.environ['PATH']}")
    yield fake
    fake.end()
