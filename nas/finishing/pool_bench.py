"""The bench that trains: jobs in a pool, each trial on disk before anything follows from it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from math import inf
from pathlib import Path

from nas.cost import cost_of
from nas.evaluation import Budget, Evaluator
from nas.evaluators.training import TrainingEvaluator
from nas.finishing.bench import CHOOSE, REPORT, TEST, FinishTrial, Job
from nas.finishing.final_scores import FinalScores
from nas.line_log import LineLog
from nas.training.data.config import DataConfig
from nas.workers.evaluating import Outcome, Task
from nas.workers.giving_up import MAX_EQUAL_FAILURES, EqualFailures, Watch, work_of
from nas.workers.pool import Pool

TRIALS, WEIGHTS = "trials.jsonl", "weights"
"""The log in the folder of a finish, and the folder in it of the weights of what is reported."""
_POLL_SECONDS = 1.0


@dataclass(frozen=True)
class TrainingSetup:
    """What training needs beside a job."""

    data: DataConfig
    accelerator: str = "auto"
    """As Lightning takes it."""


class PoolBench:
    """Does jobs in a pool. What a killed process had finished is in its log, and is not done again."""

    def __init__(
        self, folder: Path, pool: Pool, setup: TrainingSetup, ended: Callable[[FinishTrial], None] = lambda trial: None
    ) -> None:
        """Read the log of earlier sessions.

        Args:
            folder: of the finish, held by the caller; takes log and weights.
            pool: where jobs are done; it stays open.
            setup: data and accelerator.
            ended: told of each trial when it is on the disk.

        Raises:
            ConfigError: the log was damaged.
        """
        self._folder, self._pool, self._setup, self._ended = folder, pool, setup, ended
        self._log = LineLog(folder / TRIALS)
        self.trials = {trial.key: trial for trial in self._log.read("a trial of a finish", FinishTrial.from_dict)}
        """All that ended, by key, the last one of each."""
        self._spent: dict[str, float] = {}
        for trial in self.trials.values():
            self._spent[trial.phase] = max(self._spent.get(trial.phase, 0.0), trial.elapsed)
        self._number = 0
        (folder / WEIGHTS).mkdir(exist_ok=True)

    def weights(self, job: Job) -> Path:
        """Return the file of the weights of a training that is reported, or of that which a test job scores."""
        return self._folder / WEIGHTS / f"{job.trained.key}.safetensors"

    def run(self, jobs: Sequence[Job], *, until: float = inf) -> Mapping[str, FinishTrial]:
        """Do jobs; see `Bench.run`. One that failed in an earlier session is done again.

        Raises:
            EvaluationError: jobs of several networks in a row have failed alike.
        """
        todo = list({job.key: job for job in jobs if not self._done(job)}.values())
        if todo:
            self._do(todo, until)
        return {job.key: self.trials[job.key] for job in jobs if job.key in self.trials}

    def _done(self, job: Job) -> bool:
        trial = self.trials.get(job.key)
        if trial is None or trial.reason:
            return False
        # Weights are needed until they are scored.
        return job.phase != REPORT or self._scored(job) or self.weights(job).is_file()

    def _scored(self, job: Job) -> bool:
        return any(trial.phase == TEST and trial.key == _test_key(job) for trial in self.trials.values())

    def _do(self, todo: list[Job], until: float) -> None:
        phase = todo[0].phase
        before, started = self._spent.get(phase, 0.0), self._pool.now()
        watch, running = Watch(self._pool), dict[int, tuple[Job, float]]()
        # Published networks may well fail alike, at a learning rate that is too high for them.
        failures = EqualFailures(MAX_EQUAL_FAILURES if phase in (CHOOSE, REPORT, TEST) else None)

        def elapsed() -> float:
            return before + self._pool.now() - started

        try:
            while (todo and elapsed() < until) or running:
                # The ledger of the test split has one writer.
                while todo and self._pool.free and elapsed() < until and not (phase == TEST and running):
                    job = todo.pop(0)
                    task = self._task(job)
                    running[task.number] = job, time.monotonic()
                    watch.began(task.number, work_of(cost_of(job.architecture), task.budget))
                    self._pool.submit(task)
                seconds = min(_POLL_SECONDS, max(0.0, until - elapsed()))
                for outcome in (*self._pool.wait(seconds), *watch.late()):
                    watch.ended(outcome)
                    job, began = running.pop(outcome.number)
                    self._add(_trial(job, outcome, time.monotonic() - began, elapsed()))
                    failures.count(outcome, job.architecture.arch_id)
                if elapsed() >= until:
                    break
        finally:
            for number in running:
                self._pool.end(number)
            self._spent[phase] = elapsed()

    def _add(self, trial: FinishTrial) -> None:
        self._log.append(asdict(trial), durable=True)
        self.trials[trial.key] = trial
        self._ended(trial)

    def _task(self, job: Job) -> Task:
        self._number += 1
        weights = str(self.weights(job)) if job.phase == REPORT else None
        return Task(
            self._number,
            job.architecture,
            Budget(epochs=job.recipe.epochs, weights=weights),
            job.seed,
            self._evaluator(job),
        )

    def _evaluator(self, job: Job) -> Evaluator:
        if job.phase == TEST:
            return FinalScores(self._setup.data, job.recipe, str(self.weights(job)), str(self._folder.parent))
        return TrainingEvaluator(self._setup.data, job.recipe, self._setup.accelerator)

    def close(self) -> None:
        """Close the log."""
        self._log.close()


def _test_key(job: Job) -> str:
    return job.key.replace(f"{REPORT}-", f"{TEST}-", 1)


def _trial(job: Job, outcome: Outcome, seconds: float, elapsed: float) -> FinishTrial:
    evaluation = outcome.evaluation
    return FinishTrial.of(
        job,
        scores=dict(evaluation.scores) if evaluation else {},
        seconds=float(evaluation.seconds.get("evaluation", seconds)) if evaluation else seconds,
        elapsed=elapsed,
        reason=outcome.reason,
    )
