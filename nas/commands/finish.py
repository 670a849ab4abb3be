"""`nas finish RUN`: the best networks of a search trained anew, beside what a user would have taken instead."""

from __future__ import annotations

import json
import math
import shlex
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from nas.console import defer_signals, run
from nas.errors import ConfigError
from nas.evaluators.training import TrainingEvaluator
from nas.finishing.bench import Contestant, FinishTrial, Measure
from nas.finishing.config import FinishConfig
from nas.finishing.pool_bench import WEIGHTS, PoolBench, TrainingSetup
from nas.finishing.records import FinishRecords
from nas.finishing.report import Report
from nas.finishing.rivals import rival_candidates, rivals_of
from nas.finishing.searched import Searched, read_searched
from nas.finishing.settings import NONE
from nas.finishing.study import Finish, carry_out
from nas.machine import cores_or
from nas.network.architecture import Architecture
from nas.resume import check_typed, read_settings, resumed
from nas.run_folder import WORKERS_LOG, hold, shown, write_whole
from nas.search.config import gpu_devices
from nas.settings import changeable, settings_from
from nas.workers.processes import WorkerPool

FOLDER = "finish"
"""In the run folder of the search."""
SETTINGS, REPORT_JSON, REPORT_MD, RECOMMENDED = "settings.json", "report.json", "report.md", "recommended.json"
_OWN = ("study_id", "finalists")
"""What the file of the settings has beside these: of which search, and of which of its networks they are."""
FULL = "standard"
"""The recipe in `conf/recipe` by which is trained anew where nothing else is said."""
_LINE = partial(print, flush=True)


def finish_command(values: Mapping[str, Any], typed: Iterable[str] = ()) -> int:
    """Finish a search by some settings.

    Args:
        values: settings as plain values.
        typed: paths of those that the user gave, which are all that a finish that is gone on with takes of them.

    Returns:
        The exit code.
    """
    return run("nas.finish", lambda: _finish(values, list(typed)))


def _finish(values: Mapping[str, Any], typed: list[str]) -> None:
    given = settings_from(FinishConfig, values)
    folder = Path(str(given.run)).expanduser()
    read_searched(folder)  # before anything is made in a folder that holds none
    with hold(folder, "search or a finish of one"):
        home = folder.absolute() / FOLDER
        home.mkdir(exist_ok=True)
        config = _going_on(values, typed, home)
        searched = read_searched(folder, config.root)
        _begin(config, searched, home)
        _Session(config, searched, home).carry_out()


def _going_on(values: Mapping[str, Any], typed: list[str], home: Path) -> FinishConfig:
    """Return the settings: those that the finish was begun with, and what the user typed now."""
    if not (home / SETTINGS).exists():
        return settings_from(FinishConfig, values)
    check_typed(FinishConfig, typed)
    begun = {key: value for key, value in read_settings(home / SETTINGS, "finish").items() if key not in _OWN}
    settings = resumed(begun, values, [*typed, "run"], [*changeable(FinishConfig)], home)
    return settings_from(FinishConfig, settings)


def _begin(config: FinishConfig, searched: Searched, home: Path) -> None:
    """Write the settings of a new finish, or make sure that an earlier one is of the same networks."""
    finalists = [arch.arch_id for _, arch in searched.finalists(config.finish.top_k)]
    known = dict(zip(_OWN, (searched.study.study_id, finalists), strict=True))
    if (home / SETTINGS).exists():
        earlier = read_settings(home / SETTINGS, "finish")
        for name, value in known.items():
            if earlier.get(name) != value:
                raise ConfigError(
                    f"{shown(home)} is a finish of other networks: the search has gone on since. Remove or rename that "
                    "folder to finish the search anew"
                )
    settings = json.loads(json.dumps({**asdict(config), **known}))
    write_whole(home / SETTINGS, json.dumps(settings, indent=1) + "\n")


class _Session:
    """One session of a finish, whose folder is held."""

    def __init__(self, config: FinishConfig, searched: Searched, home: Path) -> None:
        objective = searched.study.objectives[0]
        if objective.name not in ("val_accuracy", "val_loss"):
            raise ConfigError(
                f"the search was for {objective.name}, which is not known of the test split; a finish takes "
                "val_accuracy or val_loss as the first objective"
            )
        self.config, self.searched, self.home = config, searched, home
        self.measure = Measure(objective.name, objective.sign)
        self.gpus = gpu_devices() if config.accelerator != "cpu" else []
        self.workers = self._count(config.workers)

    def _count(self, workers: int | str) -> int:
        """Return a number of workers; `auto` is one a GPU, or else one a core, as in a search."""
        return len(self.gpus) if self.gpus and workers == "auto" else cores_or(workers)

    def carry_out(self) -> None:
        """Choose, train anew, compare and report."""
        config, searched = self.config, self.searched
        measures = searched.measures_latency and config.finish.baseline != NONE
        # Before any worker runs, which would disturb it.
        candidates = rival_candidates(
            searched, config.finish, self.home, self._meter() if measures else None, self._say
        )
        ranked = searched.finalists(config.finish.top_k)
        finalists = [Contestant(f"trial {trial.number}", arch, config.train) for trial, arch in ranked]
        # As many seconds of all workers as the search had.
        seconds = searched.seconds * self._count(searched.workers) / self.workers
        with ExitStack() as stack:
            pool = WorkerPool(
                TrainingEvaluator(searched.data, config.train, config.accelerator),
                self.workers,
                objective=self.measure.name,
                log=self.home / WORKERS_LOG,
                devices=self.gpus,
            )
            stack.callback(pool.close)
            self._check_data(pool)
            records = self._records()
            bench = PoolBench(
                self.home,
                pool,
                TrainingSetup(searched.data, config.accelerator),
                lambda trial: self._ended(trial, records),
            )
            stack.callback(bench.close)
            going_on = f"nas finish {shlex.quote(str(config.run))}"
            _LINE(f"Finish of {shown(searched.folder.absolute())}. To go on with it: {going_on}")
            try:
                if records is not None:
                    records.write(bench.trials.values())
                found = carry_out(
                    config.finish,
                    finalists,
                    rivals_of(candidates, searched),
                    bench,
                    self.measure,
                    study_seed=searched.seed,
                    search_seconds=seconds,
                    say=self._say,
                )
            except BaseException:
                if records is not None:
                    with defer_signals("The finish is ending and writes its records"):
                        records.interrupted()
                raise
            images = int(pool.describe()["test_images"])
        trials = [trial for trial, _ in ranked]
        report = Report(searched, config.finish, self.measure, found, trials, candidates, images, self.workers)
        self._write(report, found, records)

    def _write(self, report: Report, found: Finish, records: FinishRecords | None) -> None:
        lines = report.lines()
        recommended = found.finals[found.recommended]
        head = [f"# Finish of {self.searched.study.name}", ""]
        files = [
            write_whole(self.home / REPORT_JSON, json.dumps(report.to_dict(), indent=1) + "\n"),
            write_whole(self.home / REPORT_MD, "\n".join([*head, *lines]) + "\n"),
            write_whole(self.home / RECOMMENDED, recommended.contestant.architecture.to_json(indent=1) + "\n"),
        ]
        _LINE("\n" + "\n".join(lines[: lines.index("## How the winner was chosen")]))
        _LINE(f"Report: {shown(self.home / REPORT_MD)}. Network: {shown(self.home / RECOMMENDED)}")
        if recommended.trained:
            _LINE(f"Weights, of its first seed: {shown(self.home / WEIGHTS)}/{recommended.trained[0].key}.safetensors")
        if records is not None:
            records.recommend(found.recommended)
            records.end(_metrics(report), files)
            _LINE(records.browse)

    def _check_data(self, pool: WorkerPool) -> None:
        now = pool.describe().get("split_fingerprint")
        if self.searched.fingerprint not in (None, now):
            raise ConfigError(
                f"the data are not those of the search: their fingerprint was {self.searched.fingerprint}, is "
                f"{now}; root=FOLDER says where they are, if they were moved"
            )

    def _meter(self) -> Callable[[Architecture], float]:
        """Return what measures the latency of a network in ms, as the search did."""
        from nas.latency.measure import Meter

        assert self.searched.deployment is not None
        meter = Meter(self.searched.deployment)
        return lambda architecture: meter.measure(architecture).ms

    def _records(self) -> FinishRecords | None:
        if not self.config.mlflow:
            return None
        study = self.searched.study
        settings = {**asdict(self.config), "search_study_id": study.study_id}
        return FinishRecords(self.home.parent.parent, f"{study.study_id}-finish", study.name, settings)

    def _say(self, text: str) -> None:
        _LINE(text)

    def _ended(self, trial: FinishTrial, records: FinishRecords | None) -> None:
        outcome = (
            f"failed: {trial.reason}"
            if trial.reason
            else ", ".join(f"{name} {score:.4g}" for name, score in trial.scores.items())
        )
        _LINE(
            f"  {trial.phase}: {trial.name}, {trial.epochs} epochs, seed {trial.seed}: {outcome}; {trial.seconds:.0f} s"
        )
        if records is not None:
            records.write([trial])


def _metrics(report: Report) -> dict[str, float]:
    """Return what MLflow keeps of a report: intervals of what is reported, and of the differences."""
    values: dict[str, float] = {"search_minus_final": report.too_high}
    for kind, final in report.finish.finals.items():
        for measure in (report.measure, report.measure.on_test):
            found = final.interval(measure)
            values[f"{kind}/{measure.name}"] = measure.sign * found.mean
            values[f"{kind}/{measure.name}_std"] = found.std
    for kind, comparison in report.finish.on_test.items():
        values |= {
            f"winner_minus_{kind}": comparison.difference.mean,
            f"winner_minus_{kind}_low": comparison.difference.low,
            f"winner_minus_{kind}_high": comparison.difference.high,
        }
    return {name: value for name, value in values.items() if math.isfinite(value)}
