"""The executor for Slurm with Slurm itself, in one node on this machine."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import nas
from nas.errors import WorkerError
from nas.evaluation import Budget
from nas.workers.evaluating import Outcome, Task
from nas.workers.executors import slurm_commands
from nas.workers.executors.choice import pool_of
from nas.workers.executors.settings import Evaluations, SlurmSettings
from tests.search import evaluators
from tests.workers import elsewhere
from tests.workers.real_slurm import SLURM, RealSlurm

pytestmark = SLURM
ARCHITECTURE = nas.load_space("reference/squeezenet1_1").decode({})
CPUS = 2


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RealSlurm]:
    made = RealSlurm(tmp_path / "slurm", CPUS)
    for name, value in made.environment.items():
        monkeypatch.setenv(name, value)
    yield made
    made.end()


def test_a_search_gives_what_it_gives_here_and_leaves_nothing_in_the_queue(
    cluster: RealSlurm, space: nas.SearchSpace, tmp_path: Path
) -> None:
    settings = SlurmSettings(host="127.0.0.1", minutes=5.0, memory_mib=300)
    here = nas.run_search(space, evaluators.params, trials=8, seed=5)
    there = nas.run_search(
        space, evaluators.params, trials=8, seed=5, executor=settings, workers=1, run_dir=tmp_path / "run"
    )
    assert [(trial.genotype, trial.scores) for trial in there.trials] == [
        (trial.genotype, trial.scores) for trial in here.trials
    ]
    until = time.monotonic() + 60
    while cluster.run("squeue", "--noheader").strip() and time.monotonic() < until:
        time.sleep(0.5)
    assert cluster.run("squeue", "--noheader").strip() == ""


def test_a_preempted_trial_goes_on_in_another_job(cluster: RealSlurm, tmp_path: Path) -> None:
    """A job of a partition with precedence takes the node away, with 20 s notice."""
    logs = str(tmp_path / "logs")
    settings = SlurmSettings(host="127.0.0.1", partition="low", cpus=CPUS, log_folder=logs, lease_seconds=8.0)
    pool = pool_of(settings, Evaluations(elsewhere.Slow(last=40, seconds=0.7)), 1)
    state, outcomes, preempted = tmp_path / "1.ckpt", list[Outcome](), ""
    try:
        pool.submit(Task(1, ARCHITECTURE, Budget(checkpoint=str(state), keep_each_epoch=True), 1))
        until = time.monotonic() + 250
        while not outcomes and time.monotonic() < until:
            outcomes = pool.wait(0.5)
            if not preempted and state.exists() and int(state.read_text()) >= 2:
                job = cluster.run("squeue", "--noheader", "--format=%A").split()[0]
                left = slurm_commands.seconds_left(job)
                assert left is not None
                assert 3000 < left < 3600, "that of the partition is an hour"
                words = ("--partition=high", f"--cpus-per-task={CPUS}", "--output=/dev/null")
                preempted = cluster.run("sbatch", "--parsable", *words, given="#!/bin/sh\nsleep 2\n").strip()
    finally:
        pool.close()
    assert preempted.isdigit()
    (outcome,) = outcomes
    assert outcome.evaluation is not None, outcome.reason
    assert outcome.evaluation.scores["val_accuracy"] == 40.0
    assert outcome.evaluation.scores["begun_at"] >= 2.0


def test_what_slurm_refuses_is_said_in_words(cluster: RealSlurm, tmp_path: Path, space: nas.SearchSpace) -> None:
    settings = SlurmSettings(host="127.0.0.1", partition="hihg", log_folder=str(tmp_path / "logs"))
    with pytest.raises(WorkerError, match=r"See executor.partition; there is no 'hihg'. Did you mean 'high'\?"):
        nas.run_search(space, evaluators.params, trials=1, executor=settings, workers=1)


def test_a_worker_that_cannot_start_ends_the_search_with_the_reason(
    cluster: RealSlurm, tmp_path: Path, space: nas.SearchSpace
) -> None:
    settings = SlurmSettings(host="127.0.0.1", python="/no/python", log_folder=str(tmp_path / "logs"))
    with pytest.raises(
        WorkerError, match=r"Slurm job \d+_0 ended before its worker was ready.*/no/python: No such file"
    ):
        nas.run_search(space, evaluators.params, trials=1, executor=settings, workers=1)
