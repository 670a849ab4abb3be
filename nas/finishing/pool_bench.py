"""The bench that trains: jobs in a pool, each trial on disk before anything follows from it.

Worker processes may not read the test split, whatever they are asked (nas/held_out.py). So scores on it are counted
here, in the process of the finish, when nothing is left to choose.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from errno import EDQUOT, EFBIG, ENOSPC, EROFS
from math import inf, isfinite
from pathlib import Path
from typing import Any

from nas.console import defer_signals
from nas.cost import cost_of
from nas.errors import ConfigError, TrainingError, reason_of
from nas.evaluation import Budget
from nas.evaluators.training import TrainingEvaluator
from nas.finishing.bench import CHOOSE, REPORT, TEST, FinishTrial, Job
from nas.finishing.folder import CANDIDATES, SETTINGS, seconds_by_name
from nas.finishing.history import Begun, Line, Reported, as_line, line_from
from nas.line_log import LineLog
from nas.run_folder import read_json, write_whole
from nas.training.data.config import DataConfig
from nas.training.recipe import Recipe
from nas.training.transfer.settings import SCRATCH, Transfer
from nas.workers.evaluating import Outcome, Task
from nas.workers.giving_up import MAX_EQUAL_FAILURES, EqualFailures, Watch, work_of
from nas.workers.pool import Pool

TRIALS, WEIGHTS, CLOCKS = "trials.jsonl", "weights", "seconds.json"
"""In the folder of a finish: the log, the folder of the weights of what is reported, and the seconds of each phase."""
_POLL_SECONDS = 1.0
_NO_PLACE = re.compile(rf"\w*Error: \[Errno (?:{ENOSPC}|{EDQUOT}|{EROFS}|{EFBIG})\] ")
"""What the reason of a training begins with that found the disk full, or its folder not to be written."""

Tester = Callable[[Job, Path], Mapping[str, float]]
"""Scores the weights in a file on the test split, and notes that in the ledger of who read it."""


@dataclass(frozen=True)
class TrainingSetup:
    """What training needs beside a job."""

    data: DataConfig
    accelerator: str = "auto"
    """As Lightning takes it."""
    transfer: Transfer = SCRATCH
    """Other weights that networks begin with, and what of them learns when."""
    devices: int = 1
    """Processes that train one network together."""

    def evaluator(self, recipe: Recipe) -> TrainingEvaluator:
        """Return what trains by a recipe."""
        return TrainingEvaluator(self.data, recipe, self.accelerator, devices=self.devices, transfer=self.transfer)


class PoolBench:
    """Trains in a pool and scores in this process. What a killed process had finished is in its log, and is not done
    again."""

    def __init__(
        self,
        folder: Path,
        pool: Pool,
        setup: TrainingSetup,
        tester: Tester,
        ended: Callable[[FinishTrial], None] = lambda trial: None,
        *,
        begun: Begun | None = None,
    ) -> None:
        """Read the log of earlier sessions.

        Args:
            folder: of the finish, held by the caller; takes log, clocks and weights.
            pool: where networks are trained; it stays open.
            setup: data and accelerator.
            tester: scores weights on the test split.
            ended: told of each trial when it is on the disk.
            begun: what the finish is to be begun with, or was; logs that are older do not say.

        Raises:
            ConfigError: the log was damaged, or the finish was begun with something else.
        """
        self._folder, self._pool, self._setup = folder, pool, setup
        self._tester, self._ended = tester, ended
        self._log = LineLog(folder / TRIALS)
        lines = self._log.read("a trial of a finish", line_from)
        self.trials = _standing(trial for trial in lines if isinstance(trial, FinishTrial))
        """All that ended, by key, the last one of each at the place of the first."""
        self.reported = [line for line in lines if isinstance(line, Reported)]
        """What was reported, the last at the end."""
        if begun is not None:
            self._begin(begun, lines)
        self._spent = _clocks(folder / CLOCKS)
        for trial in self.trials.values():
            self._spent[trial.phase] = max(self.spent(trial.phase), trial.elapsed)
        self._number = 0
        (folder / WEIGHTS).mkdir(exist_ok=True)

    def _begin(self, begun: Begun, lines: Sequence[Line]) -> None:
        if not lines:
            self._log.append(as_line(begun), durable=True)
        elif isinstance(lines[0], Begun):
            folder = self._folder
            lines[0].check(begun, settings=folder / SETTINGS, candidates=folder / CANDIDATES, log=folder / TRIALS)

    def report(self, recommended: str) -> None:
        """Note what is recommended by the scores that there are, where that was not noted."""
        tested = sum(trial.phase == TEST for trial in self.trials.values())
        line = Reported(tested, recommended)
        if line not in self.reported[-1:]:
            self._log.append(as_line(line), durable=True)
            self.reported.append(line)

    def weights(self, job: Job) -> Path:
        """Return the file of the weights of a training that is reported, or of that which a test job scores."""
        return self._folder / WEIGHTS / f"{job.trained.key}.safetensors"

    def spent(self, phase: str) -> float:
        """Return the seconds of a phase; see `Bench.spent`."""
        return self._spent.get(phase, 0.0)

    def run(self, jobs: Sequence[Job], *, until: float = inf) -> Mapping[str, FinishTrial]:
        """Do jobs; see `Bench.run`. One that failed in an earlier session is done again, if not by itself: a loss that
        is no number is so again, however much time there is.

        Raises:
            EvaluationError: jobs of several networks in a row have failed alike.
        """
        todo = list({job.key: job for job in jobs if not self._done(job)}.values())
        if todo:
            self._do(todo, until)
        return self._found(jobs)

    def train_again(self, job: Job) -> bool:
        """Do a training that is reported again, for its weights, which are gone; returns whether that gave them.

        Where its scores are others now, as on another machine, its weights are scored on the test split too. Where it
        fails its scores stay.
        """
        earlier = self.trials[job.key]
        self._do([job], inf)
        now = self.trials[job.key]
        if now.reason:
            self._add(earlier)
        elif now.scores != earlier.scores and self._ended_well(job.tested.key):
            self._score(job.tested)
        return not now.reason

    def test(self, jobs: Sequence[Job]) -> Mapping[str, FinishTrial]:
        """Score weights on the test split, in this process; see `Bench.test`.

        Raises:
            HeldOutError: this process may not read it. DataError, ConfigError, OSError: weights, data or ledger cannot
                be read or written.
        """
        for job in {job.key: job for job in jobs if not self._ended_for_good(job.key)}.values():
            self._score(job)
        return self._found(jobs)

    def _score(self, job: Job) -> None:
        started = time.monotonic()
        scores = self._tester(job, self.weights(job))
        self._add(_trial(job, scores, seconds=time.monotonic() - started))

    def _found(self, jobs: Iterable[Job]) -> dict[str, FinishTrial]:
        return {job.key: self.trials[job.key] for job in jobs if job.key in self.trials}

    def _ended_well(self, key: str) -> bool:
        return key in self.trials and not self.trials[key].reason

    def _ended_for_good(self, key: str) -> bool:
        return self._ended_well(key) or (key in self.trials and self.trials[key].of_itself)

    def _done(self, job: Job) -> bool:
        if not self._ended_well(job.key):
            return self._ended_for_good(job.key)
        # Weights are needed until they are scored.
        return job.phase != REPORT or self._ended_for_good(job.tested.key) or not self.why_lost(job)

    def why_lost(self, job: Job) -> str:
        """Return why there are no weights of a training that is reported; empty where they are whole. Loads torch."""
        from nas.training.weights import why_lost

        return why_lost(self.weights(job), job.architecture)

    def _do(self, todo: list[Job], until: float) -> None:
        phase = todo[0].phase
        before, started = self.spent(phase), self._pool.now()
        watch, running = Watch(self._pool), dict[int, tuple[Job, float]]()
        # Published networks may well fail alike, at a learning rate that is too high for them.
        failures = EqualFailures(MAX_EQUAL_FAILURES if phase in (CHOOSE, REPORT) else None)

        def elapsed() -> float:
            return before + self._pool.now() - started

        try:
            while (todo and elapsed() + self._least(todo[0]) < until) or running:
                while todo and self._pool.free and elapsed() + self._least(todo[0]) < until:
                    job = todo.pop(0)
                    task = self._task(job)
                    running[task.number] = job, time.monotonic()
                    watch.began(task.number, work_of(cost_of(job.architecture), task.budget))
                    self._pool.submit(task)
                seconds = min(_POLL_SECONDS, max(0.0, until - elapsed()))
                for outcome in (*self._pool.wait(seconds), *watch.late()):
                    watch.ended(outcome)
                    job, began = running.pop(outcome.number)
                    _check_disk(outcome, job)
                    self._add(_trained(job, outcome, time.monotonic() - began, elapsed()))
                    failures.count(outcome, job.architecture.arch_id)
                if elapsed() >= until:
                    break
        finally:
            for number in running:
                self._pool.end(number)
            self._spent[phase] = elapsed()
            # What was trained for nothing counts too, so that the same command does not try it once more.
            write_whole(self._folder / CLOCKS, json.dumps(self._spent) + "\n")

    def _least(self, job: Job) -> float:
        """Return the least seconds that a job is known to take: what the same network took with as many epochs.

        One that cannot end in the time is not begun.
        """
        arch_id, epochs = job.architecture.arch_id, job.recipe.epochs
        known = [
            trial.seconds
            for trial in self.trials.values()
            if (trial.arch_id, trial.epochs) == (arch_id, epochs) and trial.phase != TEST and not trial.reason
        ]
        return min(known, default=0.0)

    def _add(self, trial: FinishTrial) -> None:
        # A Ctrl-C in the middle of it would take a training of hours back.
        with defer_signals("What a training came to is being written"):
            self._log.append(as_line(trial), durable=True)
            self.trials[trial.key] = trial
            self._ended(trial)

    def _task(self, job: Job) -> Task:
        self._number += 1
        return Task(
            self._number,
            job.architecture,
            Budget(epochs=job.recipe.epochs, weights=str(self.weights(job)) if job.phase == REPORT else None),
            job.seed,
            self._setup.evaluator(job.recipe),
        )

    def close(self) -> None:
        """Close the log."""
        self._log.close()


def _check_disk(outcome: Outcome, job: Job) -> None:
    """Raise `ConfigError` where a training failed since nothing can be written: that says nothing of its network."""
    refused = _NO_PLACE.match(outcome.reason)
    if refused is not None:
        raise ConfigError(
            f"the training of {job.name}, seed {job.seed}, could not be kept: {outcome.reason[refused.end() :]}. It "
            "does not count, what ended before is kept, and the same command goes on when there is room"
        )


def _standing(trials: Iterable[FinishTrial]) -> dict[str, FinishTrial]:
    """Return the last trial of each key, without scores on the test split of weights that are others since then.

    A process that was killed between training weights again and scoring those has left the scores of the first ones.
    """
    found, trained = dict[str, FinishTrial](), dict[str, Mapping[str, float]]()
    for trial in trials:
        if trial.phase == REPORT and not trial.reason:
            if trained.get(trial.key, trial.scores) != trial.scores:
                found.pop(trial.key.replace(REPORT, TEST, 1), None)
            trained[trial.key] = trial.scores
        found[trial.key] = trial
    return found


def _clocks(path: Path) -> dict[str, float]:
    """Read the seconds of each phase that earlier sessions wrote."""
    if not path.exists():
        return {}
    return read_json(path, "the seconds of a finish", seconds_by_name)


def _trained(job: Job, outcome: Outcome, seconds: float, elapsed: float) -> FinishTrial:
    evaluation = outcome.evaluation
    if evaluation is None:
        return FinishTrial.of(job, seconds=seconds, elapsed=elapsed, reason=outcome.reason)
    took = float(evaluation.seconds.get("evaluation", seconds))
    return _trial(job, evaluation.scores, folds=evaluation.folds, seconds=took, elapsed=elapsed)


def _trial(job: Job, scores: Mapping[str, float], **figures: Any) -> FinishTrial:
    """Return the trial of a job that ended; scores that are no numbers, such as an infinite loss, are a failure."""
    bad = {name: score for name, score in scores.items() if not isfinite(score)}
    if bad:
        words = ", ".join(f"{name} is {score}" for name, score in bad.items())
        return FinishTrial.of(job, reason=reason_of(TrainingError(words)), **figures)
    return FinishTrial.of(job, scores=dict(scores), **figures)
