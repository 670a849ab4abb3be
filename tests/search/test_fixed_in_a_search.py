"""A search with fixed decisions proposes nothing else, whatever the sampler is, and its record says so."""

from __future__ import annotations

from pathlib import Path

import pytest

import nas
from nas.errors import ConfigError
from tests.search.conftest import SAMPLERS, SMALL

SPACE = nas.SearchSpace.from_dict(SMALL)
FIX = {"stages.0.block": "mbconv", "stages.0.blocks.*.kernel": 3, "stages.1.out_channels": [16, 64]}


def score(arch: nas.Architecture, budget: nas.Budget, seed: int) -> float:
    return -abs(nas.cost_of(arch).params - 3000) / 3000


@pytest.mark.parametrize("name", SAMPLERS)
def test_all_trials_have_what_is_fixed(name: str) -> None:
    study = nas.run_search(SPACE, score, trials=8, sampler=name, fix=FIX)
    assert study.counts()["completed"] == 8
    for trial in study.trials:
        assert trial.genotype.get("stages.0.block", "mbconv") == "mbconv"
        assert all(value == 3 for path, value in trial.genotype.items() if path.endswith("kernel"))
        assert trial.genotype["stages.1.out_channels"] in (16, 64)
        SPACE.decode(trial.genotype)  # a genotype of the space as it was written, too


def test_it_goes_on_and_is_read_again_with_the_space_that_was_left(tmp_path: Path) -> None:
    whole = nas.run_search(SPACE, score, trials=7, fix=FIX)
    nas.run_search(SPACE, score, trials=4, fix=FIX, run_dir=tmp_path / "run")
    study = nas.run_search(SPACE, score, trials=7, fix=FIX, run_dir=tmp_path / "run", resume=True)
    assert [trial.genotype for trial in study.trials] == [trial.genotype for trial in whole.trials]
    read = nas.load_study(tmp_path / "run")
    assert read.space.size() == study.space.size() < SPACE.size()
    assert read.space.decisions()["stages.1.out_channels"].values == (16, 64)
    with pytest.raises(ConfigError, match="resume: space was"):
        nas.run_search(SPACE, score, trials=8, run_dir=tmp_path / "run", resume=True)


def test_a_network_of_the_users_own_has_to_be_in_what_is_left(tmp_path: Path) -> None:
    genotype = {**SPACE.sample(11), "stages.1.out_channels": 32}
    (tmp_path / "a.json").write_text(SPACE.decode(genotype).to_json())
    with pytest.raises(ConfigError, match=r"search.first: .*a.json is not in space 'small': stages.1"):
        nas.run_search(SPACE, score, trials=2, first=[tmp_path / "a.json"], fix={"stages.1.out_channels": 16})
