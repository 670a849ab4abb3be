"""Proposals that are made ahead: when, how many, and that nothing else changes by them."""

from __future__ import annotations

import math
import shutil
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import optuna
import pytest

import nas
from nas.search.budgets.pruning import Pruning
from nas.search.log import read_trials
from nas.search.proposing import Pace
from nas.search.stop_reason import StopReason
from nas.search.study import Study
from nas.search.trial import State, Trial
from nas.seeds import derived_seed
from nas.workers.evaluating import Outcome, ReportListener, Task, evaluate
from tests.search.conftest import SMALL
from tests.search.test_guided import TIGHT

_EVALUATION = 0.2


def score(arch: nas.Architecture, budget: nas.Budget, seed: int) -> nas.Evaluation:
    """Best at 3,000 parameters, and better with more epochs."""
    value = -abs(math.log(nas.cost_of(arch).params / 3000)) + 0.01 * (budget.epochs or 0)
    return nas.Evaluation({"val_accuracy": value}, seconds={"evaluation": _EVALUATION})


class SlowDriver:
    """Workers on a clock on which the driver takes time too: a look at the clock takes some."""

    def __init__(self, workers: int, *, look: float = 0.01, ends_after: int | None = None) -> None:
        self.workers, self.look, self.ends_after = workers, look, ends_after
        self.clock = 0.0
        self.busy: list[tuple[float, Outcome]] = []
        self.submitted: list[Task] = []
        self.glances = 0
        """Looks for what ended that found nothing."""

    @property
    def free(self) -> int:
        return self.workers - len(self.busy)

    def describe(self) -> Mapping[str, Any]:
        return {}

    def listen(self, listener: ReportListener) -> None:
        self.listener = listener

    def now(self) -> float:
        self.clock += self.look
        return self.clock

    def submit(self, task: Task) -> None:
        assert self.free
        self.submitted.append(task)
        outcome = evaluate(score, task, "val_accuracy", lambda step, scores: False)
        self.busy.append((self.clock + _EVALUATION * (1 + 0.1 * (task.number % 3)), outcome))
        self.busy.sort(key=lambda entry: entry[0])

    def wait(self, timeout: float | None) -> list[Outcome]:
        if self.ends_after is not None and len(self.submitted) >= self.ends_after:
            raise KeyboardInterrupt
        if timeout == 0 and self.busy[0][0] > self.clock:
            self.glances += 1
            return []
        end, outcome = self.busy.pop(0)
        self.clock = max(self.clock, end)
        return [outcome]

    def running(self) -> Mapping[int, float]:
        return {}

    def end(self, number: int) -> None:
        self.busy = [entry for entry in self.busy if entry[1].number != number]

    def resize(self, workers: int) -> None:
        raise NotImplementedError

    def paused(self) -> AbstractContextManager[None]:
        return nullcontext()

    def close(self) -> None:
        """Nothing is held."""


class Record:
    """Looks at the search whenever a trial ends."""

    def __init__(self, pool: SlowDriver, folder: Path | None = None) -> None:
        self.pool, self.folder, self.kept = pool, folder, 0
        self.missing: set[int] = set()
        """Numbers below one that was begun, which neither ran nor were on record then."""

    def begin(self, study: Study) -> None: ...
    def proposed(self, study: Study, running: int) -> None: ...
    def end(self, study: Study) -> None: ...

    def paused(self, study: Study, trial: Trial) -> None:
        self.ended(study, trial)

    def ended(self, study: Study, trial: Trial) -> None:
        """A copy of what is on disk is what a kill would leave."""
        begun = {task.number for task in self.pool.submitted} | {trial.number for trial in study.trials}
        self.missing |= set(range(max(begun))) - begun
        if self.folder is not None and not self.kept and len(self.pool.submitted) + len(study.trials) > 11:
            self.kept += 1
            shutil.copytree(self.folder / "run", self.folder / "killed")


class Witness(optuna.samplers.RandomSampler):
    """Counts what it is asked for."""

    asked = 0

    def before_trial(self, study: optuna.Study, trial: optuna.trial.FrozenTrial) -> None:
        self.asked += 1


@pytest.fixture
def space() -> nas.SearchSpace:
    return nas.SearchSpace.from_dict(SMALL)


@pytest.fixture
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many proposals ahead as there can be."""
    monkeypatch.setattr(Pace, "ahead", property(lambda pace: pace._workers))


def _facts(study: Study) -> list[tuple[Any, ...]]:
    return [(t.number, t.state, t.genotype, dict(t.scores), t.seed, t.duplicate_of) for t in study.trials]


def test_so_many_wait_as_evaluations_end_while_a_proposal_is_made() -> None:
    pace = Pace(8)
    assert pace.ahead == 0
    pace.evaluated(1.0)
    assert pace.ahead == 0
    pace.proposed(4, 1.2)  # .3 s each, in which 2.4 of 8 evaluations of 1 s end
    assert pace.ahead == 3
    for _ in range(3):
        pace.evaluated(29.0)
    assert pace.ahead == 1
    for _ in range(16):
        pace.evaluated(30.1)  # .3 s are less than 1 % of that
    assert pace.ahead == 0
    for _ in range(16):
        pace.evaluated(0.1)
    assert pace.ahead == 8


def test_one_worker_has_each_proposal_made_when_it_is_free() -> None:
    pace = Pace(1)
    pace.proposed(1, 1.0)
    pace.evaluated(0.1)
    assert pace.ahead == 0


@pytest.mark.parametrize("sampler", ["default", "tpe", "evolution"])
def test_one_worker_gives_what_a_search_in_this_process_gives(space: nas.SearchSpace, sampler: str) -> None:
    here = nas.run_search(space, score, trials=16, seed=4, sampler=sampler, constraints={"macs": 3e5})
    pool = SlowDriver(1)
    slow = nas.run_search(space, pool=pool, trials=16, seed=4, sampler=sampler, constraints={"macs": 3e5})
    assert _facts(slow) == _facts(here)
    assert pool.glances == 0


def test_workers_that_end_find_their_next_trial_made(space: nas.SearchSpace) -> None:
    witness = Witness(seed=0)
    asked_since: list[int] = []

    class Pool(SlowDriver):
        asked_before = 0

        def wait(self, timeout: float | None) -> list[Outcome]:
            outcomes = super().wait(timeout)
            self.asked_before = witness.asked
            return outcomes

        def submit(self, task: Task) -> None:
            asked_since.append(witness.asked - self.asked_before)
            super().submit(task)

    study = nas.run_search(space, pool=Pool(4), trials=25, sampler=witness)
    assert asked_since.count(0) >= 10  # before, each was asked for when a worker was free
    assert study.counts()["completed"] == 25
    assert witness.asked == len(study.trials)


def test_where_proposals_take_no_time_none_is_made_ahead(space: nas.SearchSpace) -> None:
    pool = SlowDriver(4, look=0.0)
    nas.run_search(space, pool=pool, trials=12, sampler="random")
    assert pool.glances == 0


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"baseline_fraction": 0.3},
        {"constraints": {"params": 2500}, "sampler": "random"},
        {"constraints": TIGHT, "sampler": "random", "trials": 5},  # which is guided
        {"pruner": "asha", "budget": nas.Budget(epochs=9)},
        {"sampler": "tpe", "constraints": {"macs": 2e5}},
    ],
    ids=str,
)
def test_numbers_have_no_holes_and_a_kill_loses_only_what_ran(
    space: nas.SearchSpace, tmp_path: Path, settings: dict[str, Any]
) -> None:
    pool = SlowDriver(4)
    record = Record(pool, tmp_path)
    space = nas.load_space("mbconv") if "trials" in settings else space
    wanted: dict[str, Any] = {"trials": 24, "seed": 1, **settings}
    study = nas.run_search(space, pool=pool, recorders=[record], run_dir=tmp_path / "run", **wanted)
    assert pool.glances > 0 or "trials" in settings  # where candidates are guided none is proposed ahead
    assert record.kept == 1
    assert any(trial.guided for trial in study.trials) == ("trials" in settings)
    repeats = {trial.number for trial in study.trials if trial.state is State.DUPLICATE}
    assert record.missing <= repeats, "only what repeats a network that runs may wait for it"
    assert sorted(trial.number for trial in study.trials) == list(range(len(study.trials)))
    for trial in study.trials:
        assert trial.seed == derived_seed(1, trial.number, "evaluation")
    at_kill = read_trials(tmp_path / "killed")
    resumed = nas.run_search(space, pool=SlowDriver(4), run_dir=tmp_path / "killed", resume=True, **wanted)
    new = {trial.number for trial in resumed.trials} - {trial.number for trial in at_kill}
    assert min(new) == 1 + max(trial.number for trial in at_kill)
    assert len([trial for trial in resumed.trials if trial.trained]) == wanted["trials"]
    for trial in resumed.trials:
        assert trial.seed == derived_seed(1, trial.number, "evaluation")


@pytest.mark.usefixtures("eager")
def test_an_interrupted_search_has_what_ran_on_record_and_nothing_that_was_not_begun(
    space: nas.SearchSpace, tmp_path: Path
) -> None:
    pool = SlowDriver(4, ends_after=14)
    wanted: dict[str, Any] = {"trials": 24, "seed": 1, "run_dir": tmp_path / "run"}
    study = nas.run_search(space, pool=pool, **wanted)
    assert study.interrupted
    assert pool.glances > 0
    numbers = sorted(trial.number for trial in study.trials)
    assert numbers == list(range(len(numbers)))
    begun = {task.number for task in pool.submitted}
    assert {t.number for t in study.trials if t.state in (State.COMPLETED, State.INTERRUPTED)} == begun
    again = nas.run_search(space, pool=SlowDriver(4), resume=True, **wanted)
    assert sorted(trial.number for trial in again.trials) == list(range(len(again.trials)))
    assert again.counts()["completed"] == 24


@pytest.mark.usefixtures("eager")
def test_no_more_is_proposed_than_the_search_needs(space: nas.SearchSpace) -> None:
    witness = Witness(seed=0)
    study = nas.run_search(space, pool=SlowDriver(8), trials=11, sampler=witness)
    unused = witness.asked - len(study.trials)
    assert study.counts()["completed"] == 11
    assert unused == 0


@pytest.mark.usefixtures("eager")
def test_a_promotion_that_became_possible_goes_before_what_was_proposed_ahead(space: nas.SearchSpace) -> None:
    class Pool(SlowDriver):
        ended_first = promoted = new_ahead = 0

        def wait(self, timeout: float | None) -> list[Outcome]:
            outcomes = super().wait(timeout)
            for outcome in outcomes:
                task = next(task for task in reversed(self.submitted) if task.number == outcome.number)
                self.ended_first += task.budget.epochs == 3
            return outcomes

        def submit(self, task: Task) -> None:
            if task.budget.epochs == 9:
                self.promoted += 1
            else:  # one in three is promoted, as soon as there are three
                assert self.promoted == self.ended_first // 3
                self.new_ahead += 1
            super().submit(task)

    pool = Pool(4)
    study = nas.run_search(
        space,
        pool=pool,
        trials=24,
        budget=nas.Budget(epochs=9),
        pruner=Pruning(name="asha", eta=3, least_epochs=3),
    )
    assert pool.glances > 0
    assert pool.promoted == 8
    assert study.counts()["completed"] == 8


@pytest.mark.usefixtures("eager")
def test_equal_networks_that_were_given_first_are_evaluated_once(space: nas.SearchSpace, tmp_path: Path) -> None:
    genotypes = [space.sample(seed=seed) for seed in (0, 1, 2, 3, 4, 5)]
    files = []
    for index, genotype in enumerate([*genotypes[:5], genotypes[4], genotypes[3], genotypes[5]]):
        path = tmp_path / f"{index}.json"
        path.write_text(space.decode(genotype).to_json())
        files.append(str(path))
    pool = SlowDriver(2)
    study = nas.run_search(space, pool=pool, trials=9, first=files, seed=0)
    assert pool.glances > 0
    by_number = sorted(study.trials, key=lambda trial: trial.number)
    assert [trial.genotype for trial in by_number[:6]] == genotypes


@pytest.mark.usefixtures("eager")
def test_a_small_space_is_searched_to_its_end(space: nas.SearchSpace) -> None:
    stage = {"block": "mbconv", "kernel": {"choose": [3, 5, 7]}, "out_channels": {"choose": [8, 12, 16, 24]}}
    few = nas.SearchSpace.from_dict({**SMALL, "stem": {"block": "conv", "out_channels": 8}, "stages": [stage]})
    for name in ("grid", "default", "uniform"):
        pool = SlowDriver(4)
        study = nas.run_search(few, pool=pool, trials=50, sampler=name, seed=0)
        assert pool.glances > 0
        assert study.counts()["completed"] == 12
        assert study.stop is not None
        assert study.stop.reason in (StopReason.SPACE_EXHAUSTED, StopReason.SAMPLER_EXHAUSTED)
