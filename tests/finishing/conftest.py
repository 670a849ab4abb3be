"""Fixtures of the tests of a finish."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import pytest

import nas
from nas.finishing import session
from nas.training.data.config import DataConfig
from nas.training.recipe import Recipe
from tests.finishing.recorded import DATA, SPACE, StubPool, StubTester, write_weights_name
from tests.logs import rewrite


@pytest.fixture
def searched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A search whose record says that it took 60 seconds."""
    folder = tmp_path / "x"
    config = {"data": asdict(DataConfig()), "train": asdict(Recipe(epochs=9)), "workers": 1}
    nas.run_search(
        nas.SearchSpace.from_dict(SPACE),
        evaluator=lambda architecture, budget, seed: 0.9 + nas.cost_of(architecture).params / 1e7,
        trials=8,
        constraints={"params": 30_000, "macs": 3_000_000},
        run_dir=folder,
        notes={"config": config, "data": DATA},
        sampler="random",
    )
    rewrite(folder / "trials.jsonl", lambda number, values: {**values, "elapsed": 60.0})
    monkeypatch.setattr(session, "WorkerPool", StubPool)
    monkeypatch.setattr(session, "FinalScores", StubTester)
    monkeypatch.setattr(session, "ship", write_weights_name)
    StubPool.shift = 0.0
    StubPool.fails = staticmethod(lambda architecture, seed: "")
    StubPool.clock, StubPool.tasks, StubPool.better, StubPool.dies_after = 0.0, [], 0.0, 10**9
    return folder
