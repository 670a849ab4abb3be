"""Writes a study to MLflow: one parent run, one child run a trial. Repeating a write makes no second run."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas.errors import ConfigError
from nas.records.store import database_uri, experiment_id, find_runs, flat, log_values, open_client, places
from nas.records.trials import front_tag, record_of
from nas.records.values import milliseconds, mlflow_name, mlflow_text, values_of
from nas.records.view import FRONT_TAG, STUDY_ITSELF, STUDY_TAG, TRIAL_TAG, study_page
from nas.search.reporting.rungs import rung_correlations
from nas.search.study import Study, front_of
from nas.search.trial import State, Trial
from nas.space.tree.genotype import count_text

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from nas.records.batch import BatchStore, Record

_TOGETHER = 50
"""Trials that are written in one transaction, at most."""
_VALUES_TOGETHER = 5000
"""Values of them, at most, so that the memory is bounded; one trial may have more."""
_PATIENCE_SECONDS = 1.0
"""How long a trial waits for others to be written with it."""
_GIVE_UP = 10
"""Trials in a row that cannot be written, after which the database is taken for broken."""


@dataclass(frozen=True, slots=True)
class _Earlier:
    """The run of a trial that an earlier session wrote, or began to write."""

    run_id: str
    whole: bool
    params: frozenset[str]
    """Written before it was cut off."""
    in_front: bool


class MlflowTracker:
    """A recorder that writes from a thread of its own, so that neither driver nor workers wait for it.

    What waits to be written is not kept here: it is the end of the study's list of trials. Trials are written together,
    many in one transaction; where that fails each is written alone, so that none stops the records of another.
    Rejected candidates get no run each: the parent run counts them, and the run folder's log holds them.
    """

    def __init__(self, root: Path) -> None:
        """Start loading MLflow in the background.

        Args:
            root: folder of `mlflow.db` and of the artifacts.
        """
        self._database, self._artifacts = places(root)
        self.seconds = 0.0
        """Time spent writing, after MLflow was loaded."""
        self.error: Exception | None = None
        """The first thing that went wrong with the store or the study's own run."""
        self.lacking: dict[int, str] = {}
        """Trials that could not be written, by number, and why."""
        self.page = ""
        """Path of the page that shows the study, behind the address of the server."""
        self._client: MlflowClient | None = None
        self._batches: BatchStore | None = None
        self._study_run = ""
        self._experiment = ""
        self._earlier: dict[int, _Earlier] = {}
        self._runs: dict[int, str] = {}
        """By number of a trial."""
        self._written = 0
        """How many of the study's trials were looked at."""
        self._failures = 0
        """Trials in a row that could not be written."""
        self._best: float | None = None
        self._study: Study | None = None
        self._over = False
        self._news, self._last, self._loaded = threading.Event(), threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._work, name="mlflow", daemon=True)
        self._thread.start()

    @property
    def uri(self) -> str:
        """Address of the database."""
        return database_uri(self._database)

    @property
    def trouble(self) -> str:
        """What is not in MLflow, in words; empty where all is."""
        if self.error is not None:
            return f"MLflow was not written: {type(self.error).__name__}: {self.error}"
        if self.lacking:
            number, reason = next(iter(self.lacking.items()))
            return (
                f"MLflow lacks {len(self.lacking)} of {len(self._runs) + len(self.lacking)} trials: {number}: {reason}"
            )
        return ""

    # What the driver calls; each only wakes the thread.

    def begin(self, study: Study) -> None:
        """Begin the record of a study.

        Raises:
            ConfigError: it has recorded another search before.
        """
        if self._last.is_set():  # its thread has ended, and would write nothing, without a word
            raise ConfigError("an MlflowTracker records one search: make another one for this search")
        self._study = study
        self._news.set()

    def proposed(self, study: Study, running: int) -> None:
        """Nothing is written before a trial ends."""

    def paused(self, study: Study, trial: Trial) -> None:
        """Nothing is written before a trial ends."""

    def ended(self, study: Study, trial: Trial) -> None:
        """Have the trial written."""
        self._news.set()

    def end(self, study: Study) -> None:
        """Write what is left, and how the study ended."""
        self._over = True
        self.close()

    def wait_until_loaded(self) -> None:
        """Wait until MLflow is loaded and its database open, or cannot be."""
        self._loaded.wait()

    def close(self) -> None:
        """Wait until everything is written."""
        self._last.set()
        self._news.set()
        self._thread.join()

    # What the thread does.

    def _work(self) -> None:
        with self._noting_errors():
            from nas.records.batch import BatchStore

            self._client = open_client(self._database)
            self._batches = BatchStore(self.uri, self._artifacts)
        self._loaded.set()
        last = False
        while not last:
            self._news.wait()
            self._news.clear()
            last = self._last.wait(_PATIENCE_SECONDS)
            started = time.perf_counter()
            study = self._study
            if study is not None and self.error is None:
                with self._noting_errors():
                    if not self._study_run:
                        self._begin(study)
                    self._write_waiting(study)
            if study is not None and self.error is None and self._over:
                self._end(study)
            self.seconds += time.perf_counter() - started

    @contextmanager
    def _noting_errors(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # records are of less worth than the search; a resumed one writes what is missing
            self.error = self.error or error

    @property
    def client(self) -> MlflowClient:
        """The client of the database; only once it is loaded."""
        assert self._client is not None
        return self._client

    def _begin(self, study: Study) -> None:
        self._experiment = experiment_id(self.client, mlflow_text(study.space.name), self._artifacts)
        of_study = f"tags.`{STUDY_TAG}` = '{study.study_id}' AND tags.`{TRIAL_TAG}`"
        parent = find_runs(self.client, self._experiment, f"{of_study} = '{STUDY_ITSELF}'")
        for run in find_runs(self.client, self._experiment, f"{of_study} != '{STUDY_ITSELF}'"):
            number, whole = int(run.data.tags[TRIAL_TAG]), run.info.status != "RUNNING"
            params = frozenset[str]() if whole else frozenset(run.data.params)
            self._earlier[number] = _Earlier(str(run.info.run_id), whole, params, FRONT_TAG in run.data.tags)
            self._runs[number] = str(run.info.run_id)
        self.page = study_page(self.client, self._experiment, study)
        if parent:
            self.client.update_run(parent[0].info.run_id, status="RUNNING")
        self._study_run = parent[0].info.run_id if parent else self._create_study(study)

    def _create_study(self, study: Study) -> str:
        tags = {STUDY_TAG: study.study_id, TRIAL_TAG: STUDY_ITSELF, "state": "study"}
        run = self.client.create_run(self._experiment, tags=tags, run_name=mlflow_text(study.name))
        run_id = str(run.info.run_id)
        settings = {
            "space": study.space.name,
            "objective": ", ".join(objective.name for objective in study.objectives),
            "direction": ", ".join(objective.direction for objective in study.objectives),
            "genotypes": count_text(study.space.size()).replace(",", ""),
            **flat(study.notes.get("config", {})),
        }
        log_values(self.client, run_id, values_of(settings, {}))
        self.client.log_dict(run_id, study.notes, "study.json")
        self.client.log_dict(run_id, study.space.to_dict(), "space.json")
        return run_id

    # Trials

    def _write_waiting(self, study: Study) -> None:
        """Write the trials that ended since the last time, many at once."""
        while batch := self._next_batch(study):
            assert self._batches is not None
            trials = [trial for trial, _ in batch]
            try:
                ids = self._batches.write(self._experiment, [record for _, record in batch])
            except Exception:  # whatever it is, one of them has it, and the others do not
                for trial, record in batch:
                    self._write_alone(trial, record)
            else:
                self._runs |= dict(zip((trial.number for trial in trials), ids, strict=True))
            self._note_best(study, trials)

    def _next_batch(self, study: Study) -> list[tuple[Trial, Record]]:
        """Return the next trials that have no run yet; those that were cut off are completed on the way."""
        batch: list[tuple[Trial, Record]] = []
        values = 0
        while self._written < len(study.trials) and len(batch) < _TOGETHER and values < _VALUES_TOGETHER:
            trial = study.trials[self._written]
            self._written += 1
            if trial.state in (State.REJECTED, State.INTERRUPTED):  # the second has no end yet
                continue
            earlier = self._earlier.get(trial.number)
            if earlier is not None and earlier.whole:
                self._note_best(study, [trial], write=False)
                continue
            try:
                record = record_of(study, trial, self._study_run)
            except Exception as error:  # something in it that nobody thought of
                self._lack(trial, error)
                continue
            if earlier is not None:
                self._write_alone(trial, record, earlier)
                continue
            batch.append((trial, record))
            values += len(record.values.metrics) + len(record.values.params)
        return batch

    def _write_alone(self, trial: Trial, record: Record, earlier: _Earlier | None = None) -> None:
        """Write one trial, or complete the run of one that was cut off."""
        try:
            if earlier is None:
                tags = dict(record.tags)
                run = self.client.create_run(
                    self._experiment, start_time=record.started, tags=tags, run_name=record.name
                )
                run_id, values = str(run.info.run_id), record.values
            else:
                run_id = earlier.run_id
                values = replace(
                    record.values, params=[param for param in record.values.params if param.key not in earlier.params]
                )
            log_values(self.client, run_id, values)
            self.client.set_terminated(run_id, status=record.status, end_time=record.ended)
        except Exception as error:  # the others can be written; the search is worth more than any
            self._lack(trial, error)
        else:
            self._runs[trial.number] = run_id
            self._failures = 0

    def _lack(self, trial: Trial, error: Exception) -> None:
        """Note a trial that cannot be written; raises where none can any more."""
        self.lacking[trial.number] = mlflow_text(f"{type(error).__name__}: {error}", 500)
        self._failures += 1
        if self._failures >= _GIVE_UP:
            raise error

    def _note_best(self, study: Study, trials: Sequence[Trial], *, write: bool = True) -> None:
        """Follow the best score, and write each that is better than all before it."""
        from mlflow.entities import Metric

        better = []
        for trial in trials:
            score = trial.scores.get(study.objective)
            if trial.state is State.COMPLETED and score is not None and self._is_better(study, score):
                self._best = score
                name = mlflow_name(f"best_{study.objective}")
                better.append(Metric(name, score, milliseconds(trial.finished), trial.number))
        if better and write:
            self.client.log_batch(self._study_run, metrics=better)

    def _is_better(self, study: Study, score: float) -> bool:
        if self._best is None:
            return True
        return score > self._best if study.direction == "maximize" else score < self._best

    # The end

    def _end(self, study: Study) -> None:
        """Write what was found; each part on its own."""
        parts: list[Callable[[Study], None]] = [self._end_counts, self._end_best, self._end_rungs, self._end_status]
        for part in parts:
            with self._noting_errors():
                part(study)

    def _end_counts(self, study: Study) -> None:
        metrics = {f"trials_{state}": float(count) for state, count in study.counts().items()}
        metrics |= {f"rejected_by_{name.replace(' ', '_')}": float(n) for name, n in study.rejections().items()}
        self._log_study(metrics)
        self.client.set_tag(self._study_run, "stop_reason", mlflow_text(study.stop_reason))

    def _log_study(self, metrics: Mapping[str, Any]) -> None:
        log_values(self.client, self._study_run, values_of({}, metrics, timestamp=milliseconds(time.time())))

    def _end_best(self, study: Study) -> None:
        best, knee = next(iter(study.best(1)), None), study.knee() if len(study.objectives) > 1 else None
        if best is not None:
            architecture = study.space.decode((knee or best).genotype)
            self.client.log_dict(self._study_run, architecture.to_dict(), "best_architecture.json")
            self.client.set_tag(self._study_run, "best_trial", str(best.number))
        if knee is not None:
            self.client.set_tag(self._study_run, "knee_trial", str(knee.number))
            self._front(study)

    def _end_rungs(self, study: Study) -> None:
        self._log_study(
            {
                f"rank_correlation_rung_{correlation.lower}_{correlation.upper}": correlation.tau
                for correlation in rung_correlations(study.rung_scores)
                if not math.isnan(correlation.tau)
            }
        )

    def _end_status(self, study: Study) -> None:
        ended = "FAILED" if study.failed_alike else "FINISHED"
        status = "KILLED" if study.interrupted else ended
        self.client.set_terminated(self._study_run, status=status)

    def _front(self, study: Study) -> None:
        """Write the Pareto front, also as a tag of its trials, and how the hypervolume grew."""
        self.client.log_dict(self._study_run, {"front": front_of(study)}, "pareto_front.json")
        knee = study.knee()
        now_on = {trial.number: front_tag(study, trial, knee) for trial in study.front()}
        for number, run_id in self._runs.items():
            if number in now_on:
                self.client.set_tag(run_id, FRONT_TAG, now_on[number])
            elif number in self._earlier and self._earlier[number].in_front:
                self.client.delete_tag(run_id, FRONT_TAG)
        rows = [{"epoch": step, "hypervolume": value} for step, value in enumerate(study.hypervolume())]
        curve = values_of({}, {}, rows, milliseconds(time.time()), prefix="")
        log_values(self.client, self._study_run, curve)
