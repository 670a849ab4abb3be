"""Writes a study to MLflow: one parent run, one child run a trial. Repeating a write makes no second run."""

from __future__ import annotations

import math
import queue
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from nas.records.store import MAX_BATCH, experiment_id, find_runs, flat, log_values, open_client
from nas.records.view import FRONT_TAG, STUDY_ITSELF, STUDY_TAG, TRIAL_TAG, study_page
from nas.search.rungs import rung_correlations
from nas.search.study import Study, front_of
from nas.search.trial import State, Trial
from nas.space.tree import count_text

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

_RUN_STATUS = {
    State.COMPLETED: "FINISHED",
    State.PRUNED: "FINISHED",
    State.DUPLICATE: "FINISHED",
    State.FAILED: "FAILED",
}


class MlflowTracker:
    """A recorder that writes from a thread of its own, so that neither driver nor workers wait for it.

    Rejected candidates get no run each: the parent run counts them, and the run folder's log holds them.
    """

    def __init__(self, root: Path) -> None:
        """Start loading MLflow in the background.

        Args:
            root: folder of `mlflow.db` and of the artifacts.
        """
        self._database = (root / "mlflow.db").resolve()
        self.uri = f"sqlite:///{self._database}"
        self.seconds = 0.0
        """Time spent writing, after MLflow was loaded."""
        self.error: Exception | None = None
        """The first thing that went wrong; the search goes on without records then."""
        self.page = ""
        """Path of the page that shows the study, behind the address of the server."""
        self._artifacts = (root / "artifacts").resolve().as_uri()
        self._client: MlflowClient | None = None
        self._study_run = ""
        self._experiment = ""
        self._known: dict[int, Run] = {}
        self._runs: dict[int, str] = {}
        """By number of a trial."""
        self._best: float | None = None
        self._jobs: queue.Queue[Callable[[], None] | None] = queue.Queue()
        self._thread = threading.Thread(target=self._work, name="mlflow", daemon=True)
        self._thread.start()

    # What the driver calls; each only queues the work.

    def begin(self, study: Study) -> None:
        trials = list(study.trials)
        self._jobs.put(lambda: self._begin(study, trials))

    def proposed(self, study: Study, running: int) -> None:
        """Nothing is written before a trial ends."""

    def paused(self, study: Study, trial: Trial) -> None:
        """Nothing is written before a trial ends."""

    def ended(self, study: Study, trial: Trial) -> None:
        if trial.state is not State.REJECTED:
            self._jobs.put(lambda: self._trial(study, trial))

    def end(self, study: Study) -> None:
        self._jobs.put(lambda: self._end(study))
        self.close()

    def close(self) -> None:
        """Wait until everything is written."""
        self._jobs.put(None)
        self._thread.join()

    # What the thread does.

    def _work(self) -> None:
        try:
            self._client = open_client(self._database)
        except Exception as error:  # records are of less worth than the search
            self.error = error
        while (job := self._jobs.get()) is not None:
            started = time.perf_counter()
            try:
                if self.error is None:
                    job()
            except Exception as error:  # as above; a resumed search writes what is missing
                self.error = error
            self.seconds += time.perf_counter() - started

    @property
    def client(self) -> MlflowClient:
        assert self._client is not None
        return self._client

    def _begin(self, study: Study, trials: list[Trial]) -> None:
        self._experiment = experiment_id(self.client, study.space.name, self._artifacts)
        parent = self._find(f"tags.`{STUDY_TAG}` = '{study.study_id}' AND tags.`{TRIAL_TAG}` = '{STUDY_ITSELF}'")
        if parent:
            self._study_run = parent[0].info.run_id
            self.client.update_run(self._study_run, status="RUNNING")
        else:
            self._study_run = self._create_study(study)
        children = self._find(f"tags.`{STUDY_TAG}` = '{study.study_id}' AND tags.`{TRIAL_TAG}` != '{STUDY_ITSELF}'")
        self._known = {int(run.data.tags[TRIAL_TAG]): run for run in children}
        self._runs = {number: str(run.info.run_id) for number, run in self._known.items()}
        self.page = study_page(self.client, self._experiment, study)
        for trial in trials:
            if trial.state is not State.REJECTED:
                self._trial(study, trial)

    def _find(self, condition: str) -> list[Run]:
        return find_runs(self.client, self._experiment, condition)

    def _create_study(self, study: Study) -> str:
        tags = {STUDY_TAG: study.study_id, TRIAL_TAG: STUDY_ITSELF, "state": "study"}
        run = self.client.create_run(self._experiment, tags=tags, run_name=study.name)
        run_id = str(run.info.run_id)
        settings = {
            "space": study.space.name,
            "objective": ", ".join(one.name for one in study.objectives),
            "direction": ", ".join(one.direction for one in study.objectives),
            "genotypes": count_text(study.space.size()).replace(",", ""),
            **flat(study.notes.get("config", {})),
        }
        log_values(self.client, run_id, params=settings)
        self.client.log_dict(run_id, study.notes, "study.json")
        self.client.log_dict(run_id, study.space.to_dict(), "space.json")
        return run_id

    def _trial(self, study: Study, trial: Trial) -> None:
        """Write one trial; one that is written already is left, one that was cut off is completed."""
        finished = int(trial.finished * 1000)
        run = self._known.get(trial.number)
        score = trial.scores.get(study.objective)
        best = trial.state is State.COMPLETED and score is not None and self._better(study, score)
        if best:
            self._best = score
        if run is not None and run.info.status != "RUNNING":
            return
        if run is None:
            started = finished - int(1000 * trial.seconds.get("evaluation", 0))
            run = self.client.create_run(
                self._experiment,
                start_time=started,
                tags=_trial_tags(study, trial, self._study_run),
                run_name=f"trial {trial.number:04d}",
            )
        run_id = self._runs[trial.number] = str(run.info.run_id)
        network = run.data.params.get("arch_id", trial.arch_id)  # of an earlier scheme perhaps, which cannot be changed
        params = {**trial.genotype, "arch_id": network, "seed": trial.seed}
        log_values(
            self.client, run_id, params=params, metrics=_metrics(trial), history=trial.history, timestamp=finished
        )
        self.client.set_terminated(run_id, status=_RUN_STATUS[trial.state], end_time=finished)
        if best:
            assert score is not None
            self.client.log_metric(
                self._study_run, f"best_{study.objective}", score, timestamp=finished, step=trial.number
            )

    def _better(self, study: Study, score: float) -> bool:
        if self._best is None:
            return True
        return score > self._best if study.direction == "maximize" else score < self._best

    def _end(self, study: Study) -> None:
        metrics = {f"trials_{state}": float(count) for state, count in study.counts().items()}
        metrics |= {f"rejected_by_{name.replace(' ', '_')}": float(n) for name, n in study.rejections().items()}
        log_values(self.client, self._study_run, metrics=metrics, timestamp=int(time.time() * 1000))
        best, knee = next(iter(study.best(1)), None), study.knee() if len(study.objectives) > 1 else None
        if best is not None:
            architecture = study.space.decode((knee or best).genotype)
            self.client.log_dict(self._study_run, architecture.to_dict(), "best_architecture.json")
            self.client.set_tag(self._study_run, "best_trial", str(best.number))
        if knee is not None:
            self.client.set_tag(self._study_run, "knee_trial", str(knee.number))
            self._front(study)
        taus = {
            f"rank_correlation_rung_{one.lower}_{one.upper}": one.tau
            for one in rung_correlations(study)
            if not math.isnan(one.tau)
        }
        log_values(self.client, self._study_run, metrics=taus, timestamp=int(time.time() * 1000))
        self.client.set_tag(self._study_run, "stop_reason", study.stop_reason)
        status = "KILLED" if study.stop_reason == "interrupted" else "FINISHED"
        self.client.set_terminated(self._study_run, status=status)

    def _front(self, study: Study) -> None:
        """Write the Pareto front, also as a tag of its trials, and how the hypervolume grew."""
        from mlflow.entities import Metric

        self.client.log_dict(self._study_run, {"front": front_of(study)}, "pareto_front.json")
        knee = study.knee()
        now_on = {trial.number: _front_tag(study, trial, knee) for trial in study.front()}
        for number, run_id in self._runs.items():
            if number in now_on:
                self.client.set_tag(run_id, FRONT_TAG, now_on[number])
            elif number in self._known and FRONT_TAG in self._known[number].data.tags:  # of an earlier session
                self.client.delete_tag(run_id, FRONT_TAG)
        now = int(time.time() * 1000)
        curve = [Metric("hypervolume", value, now, step) for step, value in enumerate(study.hypervolume())]
        for start in range(0, len(curve), MAX_BATCH):
            self.client.log_batch(self._study_run, metrics=curve[start : start + MAX_BATCH])


def _front_tag(study: Study, trial: Trial, knee: Trial | None) -> str:
    rung = study.rung_text(trial)
    return ("knee" if trial is knee else "yes") + (f", rung {rung}" if rung else "")


def _trial_tags(study: Study, trial: Trial, parent: str) -> dict[str, str]:
    tags = {
        "mlflow.parentRunId": parent,
        STUDY_TAG: study.study_id,
        TRIAL_TAG: str(trial.number),
        "state": trial.state.value,
        "study": study.name,
    }
    if trial.reason:
        tags["reason"] = trial.reason[:5000]
    if trial.latency is not None:
        tags |= {"runtime": str(trial.latency.deployment), "device": trial.latency.device.hardware}
    if trial.duplicate_of is not None:
        tags["duplicate_of"] = str(trial.duplicate_of)
    return tags


def _metrics(trial: Trial) -> dict[str, float]:
    metrics = {name: float(score) for name, score in trial.scores.items()}
    if trial.cost is not None:
        metrics |= {name: float(v) for name, v in trial.cost.to_dict().items() if isinstance(v, int | float)}
    # What is limited, as the limits have it.
    metrics |= {one.metric: one.value for one in trial.violations if math.isfinite(one.value)}
    if trial.latency is not None:
        figures = {"ms": trial.latency.ms, "median_ms": trial.latency.median_ms, "p95_ms": trial.latency.p95_ms}
        metrics |= {f"latency_{name}": value for name, value in (figures | {"cv": trial.latency.cv}).items()}
    return metrics | {f"seconds/{name}": value for name, value in trial.seconds.items()}
