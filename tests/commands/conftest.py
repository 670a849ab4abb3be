"""What tests of several commands begin with."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import nas
from tests.search.conftest import SMALL


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A space, and a table of its networks whose accuracy rises with their place."""
    space = nas.SearchSpace.from_dict(SMALL)
    (tmp_path / "small.yaml").write_text(json.dumps(SMALL))
    paths = list(space.decisions())
    rows = [",".join(str(genotype.get(path, "")) for path in paths) for genotype in space.enumerate()]
    lines = [",".join([*paths, "accuracy"]), *(f"{row},{1 - 1 / place:.6f}" for place, row in enumerate(rows, start=1))]
    (tmp_path / "table.csv").write_text("\n".join(lines) + "\n")
    return tmp_path
