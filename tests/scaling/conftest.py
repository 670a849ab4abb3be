"""What the tests of scaling studies share."""

from __future__ import annotations

from pathlib import Path

import pytest

import nas
from nas.scaling.study import scaling_study as study
from tests.scaling.lawpool import SMALL, LawPool


@pytest.fixture
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A base for the digits, and a pool that follows a law."""
    monkeypatch.setattr(study, "WorkerPool", LawPool)
    LawPool.tasks.clear()
    LawPool.fail.clear()
    space = nas.SearchSpace.from_dict(SMALL)
    path = tmp_path / "base.json"
    path.write_text(space.decode({}).to_json())
    return path
