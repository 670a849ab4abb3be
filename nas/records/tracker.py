"""Writes a study to MLflow: one parent run, one child run a trial. Repeating a write makes no second run."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from nas.console import interrupt_at_once
from nas.errors import ConfigError
from nas.records.description import description_of, rejected_table
from nas.records.retry import INTERRUPTED_SECONDS, LAST_SECONDS, Retry
from nas.records.server import ServerAwayError, lacks_last, no_answer, not_written, record_facts
from nas.records.store import Store, database_uri, open_store, places
from nas.records.study_run import StudyRun
from nas.records.trials import front_tag, record_of
from nas.records.values import GOES_ON, Record
from nas.records.view import FRONT_TAG, run_page, study_page
from nas.search.reporting.rungs import rung_correlations
from nas.search.study import Study, front_of
from nas.search.trial import State, Trial
from nas.space.tree.genotype import count_text
from nas.to_type import to_type

_LOG = logging.getLogger(__name__)
MOST_REJECTED = 500
"""Rejected trials that get a run each, the first of a study: tight limits reject thousands."""
_TOGETHER = 50
"""Trials that are written in one transaction, at most."""
_VALUES_TOGETHER = 5000
"""Values of them, at most, so that the memory is bounded; one trial may have more."""
_PATIENCE_SECONDS = 1.0
"""How long a trial waits for others to be written with it."""
_SILENT_SECONDS = 20.0
"""After which a line says that the end of a search waits for what is being written."""
_ROUNDS = 3
"""In which what a server did not take is tried again at the end."""


class MlflowTracker:
    """A recorder that writes from a thread of its own, so that neither driver nor workers wait for it.

    What waits to be written is not kept here: it is the end of the study's list of trials. Trials are written together,
    many in one transaction; where that fails each is written alone, so that none stops the records of another.
    Of rejected candidates the first get a run each; the study's own run counts all, and has them in a table.

    A server that does not answer, or cannot for now, is asked again later: what came meanwhile waits, and the search
    does not.
    """

    def __init__(self, root: Path, server: str | None = None) -> None:
        """Start loading MLflow in the background.

        Args:
            root: folder of `mlflow.db` and of the artifacts.
            server: address of an MLflow server that takes the place of both.
        """
        self._root, self._server = root, server
        self.seconds = 0.0
        """Time spent writing, after MLflow was loaded."""
        self.error: Exception | None = None
        """The first thing that went wrong with the store or the study's own run."""
        self.page = ""
        """Path of the page that shows the study, behind the address of the server."""
        self._retry: Retry | None = None
        """Once the store is open."""
        self._run: StudyRun | None = None
        self._written = 0
        """How many of the study's trials were looked at."""
        self._rejected = 0
        """Rejected trials that have a run."""
        self._paused: dict[int, Trial] = {}
        """Those that wait for more budget and are not written yet, by number."""
        self._best: float | None = None
        self._better: list[tuple[int, float, float]] = []
        """Points of the best score that are not written yet: trial, score and when."""
        self._earlier: frozenset[str] = frozenset()
        """Trials whose runs had ended before this session, by key."""
        self._study: Study | None = None
        self._over = False
        self._news, self._last, self._loaded = threading.Event(), threading.Event(), threading.Event()
        self._ended = threading.Event()
        """All is written, or cannot be."""
        threading.Thread(target=self._work, name="mlflow", daemon=True).start()

    @property
    def uri(self) -> str:
        """Address of the database, or of the server."""
        return self._server or database_uri(places(self._root)[0])

    @property
    def trouble(self) -> str:
        """What is not in MLflow, in words; empty where all is."""
        if isinstance(self.error, ServerAwayError):
            return lacks_last(self.error)
        if self.error is not None:
            return not_written(self.error)
        if self._run is not None and self._run.lacking:
            lacking = self._run.lacking
            number, reason = next(iter(lacking.items()))
            count = len(self._run.children.keys() | lacking.keys())
            return f"MLflow lacks {len(lacking)} of {count} trials: {number}: {reason}"
        return ""

    def browse(self, folder: Path) -> str:
        """Say how to look at the study, whose run folder is given, in MLflow, or what is not there."""
        if self.trouble:
            again = to_type("records", folder)
            return f"{self.trouble}\nThe record in {folder} is whole; {again} writes what is missing."
        return f"Browse: {to_type('browse', folder)}\nMLflow records took {self.seconds:.1f} s beside the search."

    def facts(self, folder: Path) -> dict[str, Any]:
        """Return where the records of the study are, whose run folder is given, as plain values."""
        return record_facts(self._server, self._root, folder, self.trouble)

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
        """Have what the trial came to so far written."""
        self._paused[trial.number] = trial
        self._news.set()

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
        """Wait until everything is written; for a server no longer than seconds where the user interrupts."""
        self._last.set()
        self._news.set()
        if isinstance(self.error, ServerAwayError):
            return  # it is not waited for once more
        if self._server is None:
            self._wait()
        elif self._study is not None and self._study.interrupted:
            self._ended.wait(INTERRUPTED_SECONDS)
        else:
            try:
                with interrupt_at_once():
                    self._wait()
            except KeyboardInterrupt:  # the search has ended: what it has found is told as ever
                _LOG.warning("interrupted: what MLflow lacks is not waited for")
        if self._server is not None and not self._ended.is_set():  # the thread ends with the process
            self.error = self.error or no_answer(self._server)

    def _wait(self) -> None:
        # Before Python 3.13 a thread whose `join` is interrupted is taken for one that has ended.
        while not self._ended.wait(_SILENT_SECONDS):
            if self._study is not None:
                _LOG.warning(
                    "still writing to MLflow: %s of %s trials", f"{self._written:,}", f"{len(self._study.trials):,}"
                )

    def log_files(self, files: Iterable[Path]) -> None:
        """Copy files of a study that has ended to its artifacts, such as its report; again replaces them."""
        if self._run is not None and self.error is None:
            with self._noting_errors():
                self._run.log_files(files)

    # What the thread does.

    def _work(self) -> None:
        try:
            self._write_until_last()
        finally:
            self._loaded.set()
            self._ended.set()

    def _write_until_last(self) -> None:
        with self._noting_errors():
            self._retry = Retry(open_store(self._root, self._server))
        self._loaded.set()
        last = False
        while not last:
            wait = self._retry.wait if self._retry is not None else None
            self._news.wait(wait)
            self._news.clear()
            last = self._last.wait(wait or _PATIENCE_SECONDS)
            started = time.perf_counter()
            if self._study is not None and self._retry is not None and self.error is None:
                self._write(self._retry, self._study, last=last)
            self.seconds += time.perf_counter() - started

    def _write(self, retry: Retry, study: Study, *, last: bool) -> None:
        """Write what waits, and at last how the study ended."""
        with self._noting_errors():
            write = partial(self._write_new, retry, study)
            if last:
                retry.last_attempts(write, _seconds_at_the_end(study))
            else:
                retry.attempt(write)
        if last and self._over and self._run is not None and self.error is None:
            self._end(retry, self._run, study)

    def _write_new(self, retry: Retry, study: Study) -> None:
        if self._run is not None and retry.wait is not None:
            self._run.read_children()
        self._run = self._run or self._open_run(retry.store, study)
        self._write_waiting(self._run, study)

    def _write_lacking(self, run: StudyRun, study: Study) -> None:
        """Try again what a server did not take: that may have been for a moment, and a run may be there by now."""
        for _ in range(_ROUNDS if self._server is not None else 0):
            lacking = [trial for trial in study.trials if str(trial.number) in run.lacking]
            if lacking:
                run.read_children()
            for trial in lacking:
                run.write([record_of(study, trial)])

    @contextmanager
    def _noting_errors(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # records are of less worth than the search; a resumed one writes what is missing
            self.error = self.error or error

    def _open_run(self, store: Store, study: Study) -> StudyRun:
        settings = {
            "space": study.space.name,
            "objective": ", ".join(objective.name for objective in study.objectives),
            "direction": ", ".join(objective.direction for objective in study.objectives),
            "genotypes": count_text(study.space.size()).replace(",", ""),
            **study.notes.get("config", {}),
        }
        files = {"study.json": study.notes, "space.json": study.space.to_dict()}
        run = StudyRun(store, study.space.name, study.study_id, name=study.name, settings=settings, files=files)
        self._earlier = frozenset(key for key in run.children if run.has_ended(key))
        self.page = study_page(store.client, run.experiment, study)
        return run

    # Trials

    def _write_waiting(self, run: StudyRun, study: Study) -> None:
        """Write the trials that ended since the last time, many at once."""
        while self._paused:
            number, trial = self._paused.popitem()
            try:
                if not run.has_ended(str(number)):
                    run.write([record_of(study, trial)])
            except Exception:  # what was not written yet is tried again, where anything is
                self._paused.setdefault(number, trial)
                raise
        while self._written < len(study.trials):
            before = self._written, self._rejected
            trials, records = self._next_batch(run, study)
            try:
                run.write(records)
            except Exception:  # what was not written yet is tried again, where anything is
                self._written, self._rejected = before
                raise
            self._note_best(study, trials)
        if self._better:
            run.log_points(f"best_{study.objective}", self._better)
            self._better = []

    def _next_batch(self, run: StudyRun, study: Study) -> tuple[list[Trial], list[Record]]:
        """Return the next trials whose runs have not ended, and what is written of them."""
        trials: list[Trial] = []
        records: list[Record] = []
        values = 0
        while self._written < len(study.trials) and len(records) < _TOGETHER and values < _VALUES_TOGETHER:
            trial = study.trials[self._written]
            self._written += 1
            if trial.state is State.REJECTED:
                self._rejected += 1
            if trial.state is State.INTERRUPTED or (trial.state is State.REJECTED and self._rejected > MOST_REJECTED):
                continue  # the first has no end yet
            if run.has_ended(str(trial.number)):
                self._note_best(study, [trial], write=str(trial.number) not in self._earlier)
                continue
            try:
                record = record_of(study, trial)
            except Exception as error:  # something in it that nobody thought of
                run.lack(str(trial.number), error)
                continue
            trials.append(trial)
            records.append(record)
            values += len(record.values.metrics) + len(record.values.params)
        return trials, records

    def _note_best(self, study: Study, trials: Sequence[Trial], *, write: bool = True) -> None:
        """Follow the best score; what is better than all before it is to be written."""
        for trial in trials:
            score = trial.scores.get(study.objective)
            if trial.state is State.COMPLETED and score is not None and self._is_better(study, score):
                self._best = score
                self._better += [(trial.number, score, trial.finished)] if write else []

    def _is_better(self, study: Study, score: float) -> bool:
        if self._best is None:
            return True
        return score > self._best if study.direction == "maximize" else score < self._best

    # The end

    def _end(self, retry: Retry, run: StudyRun, study: Study) -> None:
        """Write the results; each part on its own."""
        for part in (
            self._write_lacking,
            _end_counts,
            _end_best,
            _end_rungs,
            _end_rejected,
            _end_description,
            _end_status,
        ):
            if isinstance(self.error, ServerAwayError):
                return  # each part would wait for it anew
            with self._noting_errors():
                retry.last_attempts(partial(part, run, study), _seconds_at_the_end(study))


def _seconds_at_the_end(study: Study) -> float:
    """Return how long a server that is away is waited for: who interrupts a search wants its end, and can go on."""
    return 0.0 if study.interrupted else LAST_SECONDS


def _end_counts(run: StudyRun, study: Study) -> None:
    metrics = {f"trials_{state}": float(count) for state, count in study.counts().items()}
    run.log(metrics | {f"rejected_by_{name.replace(' ', '_')}": float(n) for name, n in study.rejections().items()})
    if study.stop is not None:
        run.set_tag("stop_reason", study.stop_reason)


def _end_best(run: StudyRun, study: Study) -> None:
    best, knee = next(iter(study.best(1)), None), study.knee() if len(study.objectives) > 1 else None
    if best is not None:
        architecture = study.space.decode((knee or best).genotype)
        run.log_json("best_architecture.json", architecture.to_dict())
        run.set_tag("best_trial", best.number)
    if knee is not None:
        run.set_tag("knee_trial", knee.number)
        _write_front(run, study, knee)


def _write_front(run: StudyRun, study: Study, knee: Trial) -> None:
    """Write the Pareto front, also as a tag of its trials, and how the hypervolume grew."""
    run.log_json("pareto_front.json", {"front": front_of(study)})
    tags = {str(trial.number): front_tag(study, trial, knee) for trial in study.front()}
    for key in run.children:
        run.tag_child(key, FRONT_TAG, tags.get(key))
    run.log({}, [{"epoch": step, "hypervolume": value} for step, value in enumerate(study.hypervolume())])


def _end_rungs(run: StudyRun, study: Study) -> None:
    run.log(
        {
            f"rank_correlation_rung_{correlation.lower}_{correlation.upper}": correlation.tau
            for correlation in rung_correlations(study.rung_scores)
            if not math.isnan(correlation.tau)
        }
    )


def _end_rejected(run: StudyRun, study: Study) -> None:
    """Write a table of the rejected trials, of which only the first have runs."""
    rejected = [trial for trial in study.trials if trial.state is State.REJECTED]
    if rejected:
        run.log_text("rejected.csv", rejected_table(rejected))


def _end_description(run: StudyRun, study: Study) -> None:
    pages = {int(key): run_page(run.experiment, child.run_id) for key, child in run.children.items()}
    run.describe(description_of(study, pages, MOST_REJECTED))


def _end_status(run: StudyRun, study: Study) -> None:
    ended = "FAILED" if study.failed_alike else "FINISHED"
    # A study that is read back does not know why it ended.
    waits = study.stop is None and any(trial.state in (State.PAUSED, State.INTERRUPTED) for trial in study.trials)
    run.end(GOES_ON if study.interrupted or waits else ended)
