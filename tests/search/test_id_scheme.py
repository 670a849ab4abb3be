"""Records whose ids were made by an earlier scheme: networks are recognised all the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nas
from nas.network.identity import earlier_id
from nas.network.simplify import SCHEME
from nas.scaling.study.training_runs import Job, Run, RunLog
from nas.search.log import read_trials
from nas.search.trial import Trial, with_current_id
from nas.seeds import derived_seed
from nas.training.recipe import Recipe
from tests.logs import rewrite

CONV = {"block": "conv", "out_channels": 8}
POINT = {**CONV, "kernel": 1}
JOINED = {"block": "parallel", "branches": [[CONV], [POINT]]}
# The second option is the network of the first with its branches in another order.
SPACE = nas.SearchSpace.from_dict(
    {
        "assume": {"channels": 3, "resolution": 8, "num_classes": 4},
        "stages": [{"choose": {"a": JOINED, "b": {**JOINED, "branches": [[POINT], [CONV]]}, "c": CONV}}],
        "head": {"block": "classifier"},
    }
)


def _score(architecture: nas.Architecture, budget: Any, seed: int) -> float:
    return float(nas.cost_of(architecture).params)


def _of_scheme_1(folder: Path) -> dict[str, str]:
    """Rewrite the log as before ids had a scheme; returns the ids of then, by genotype."""
    ids = {}

    def of_then(number: int, values: dict[str, Any]) -> dict[str, Any]:
        del values["id_scheme"]
        ids[str(values["genotype"])] = network = earlier_id(SPACE.decode(values["genotype"]))
        return {**values, "arch_id": network}

    rewrite(folder / "trials.jsonl", of_then)
    return ids


def test_a_study_of_an_earlier_scheme_knows_its_networks_again(tmp_path: Path) -> None:
    genotypes = list(SPACE.enumerate())
    networks = [SPACE.decode(one) for one in genotypes]
    assert networks[0].arch_id == networks[1].arch_id != networks[2].arch_id
    assert len({earlier_id(one) for one in networks}) == 3
    nas.run_search(SPACE, _score, trials=1, sampler="grid", seed=0, run_dir=tmp_path)
    _of_scheme_1(tmp_path)
    assert [trial.id_scheme for trial in read_trials(tmp_path)] == [1]
    study = nas.run_search(SPACE, _score, trials=3, sampler="grid", seed=0, run_dir=tmp_path, resume=True)
    states = {str(trial.genotype): trial.state.value for trial in study.trials}
    assert sorted(states.values()) == ["completed", "completed", "duplicate"]
    assert {trial.arch_id for trial in study.trials} == {one.arch_id for one in networks}
    assert {trial.id_scheme for trial in study.trials} == {SCHEME}


def test_what_the_space_does_not_state_any_more_keeps_its_id(tmp_path: Path) -> None:
    nas.run_search(SPACE, _score, trials=1, sampler="grid", seed=0, run_dir=tmp_path)
    (trial,) = read_trials(tmp_path)
    strange = Trial.from_dict({**trial.to_dict(), "genotype": {"gone": 1}, "arch_id": "abc", "id_scheme": 1})
    assert with_current_id(strange, SPACE) is strange


def test_runs_of_a_scaling_study_are_found_under_their_new_keys(tmp_path: Path) -> None:
    arch = SPACE.decode(next(SPACE.enumerate()))
    job = Job(arch, Recipe(), 0)
    then = earlier_id(arch)
    key = then + job.key.removeprefix(arch.arch_id)
    run = Run(key, then, 1, 1, 1, 0.1, 0, job.seed(3), {"val_accuracy": 0.5, "val_loss": 1.0})
    RunLog(tmp_path).add(run)
    log = RunLog(tmp_path)
    assert job.key not in log.runs
    log.update_ids([arch])
    assert log.runs[job.key].scores == run.scores
    assert {one.arch_id for one in log.runs.values()} == {arch.arch_id}


def test_seeds_of_a_scaling_study_are_those_of_the_earlier_scheme() -> None:
    arch = SPACE.decode(next(SPACE.enumerate()))
    job, then = Job(arch, Recipe(), 2), earlier_id(arch)
    key = then + job.key.removeprefix(arch.arch_id)
    assert job.seed(7) == derived_seed(7, 2, f"{then} {key}")
