"""The end of a search, from its run folder to a report and a folder that ships."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from contextlib import ExitStack
from dataclasses import asdict, replace
from functools import partial
from math import ceil
from pathlib import Path
from typing import Any

from nas.console import defer_signals, long_step
from nas.errors import ConfigError, DataError, reason_of
from nas.exporting.series_words import to_predict
from nas.finishing.bench import REPORT, Contestant, FinishTrial, Measure
from nas.finishing.config import FinishConfig
from nas.finishing.final_scores import FinalScores
from nas.finishing.folder import (
    CANDIDATES,
    RECOMMENDED,
    REPORT_JSON,
    REPORT_MD,
    check_same,
    known_of,
    settings_of,
    write_settings,
)
from nas.finishing.history import Begun, looks_of
from nas.finishing.pool_bench import WEIGHTS, PoolBench, TrainingSetup
from nas.finishing.records import FinishRecords, record_finish
from nas.finishing.report import Report, folds_note, loss_note, objectives_note
from nas.finishing.rivals import KINDS, rival_candidates, rivals_of
from nas.finishing.searched import Searched, read_searched
from nas.finishing.shipping import other_model, ship
from nas.finishing.study import Finish, Say, carry_out, choosing_share
from nas.finishing.time_limit import in_words, needed_seconds, time_limit
from nas.finishing.words import recommended_in_short
from nas.held_out import check_test_split_allowed
from nas.json_output import add_facts
from nas.machine import cores_or, gpu_devices, gpu_groups
from nas.network.architecture import Architecture
from nas.records.server import recorded_server
from nas.run_folder import FINISH, WORKERS_LOG, hold, kept_where_refused, shown, user_path, write_whole
from nas.search.trial import Trial
from nas.settings import settings_from
from nas.to_type import to_type
from nas.training.data.registry import MOVED, check_recipe
from nas.training.devices import check_devices
from nas.training.recipe import Recipe
from nas.training.used_files import used_files
from nas.workers.processes import WorkerPool

FULL = "standard"
"""The recipe in `conf/recipe` by which is trained anew where nothing else is said."""
_MOVED = MOVED.replace("data.root", "root")


def finish_search(values: Mapping[str, Any], typed: Collection[str], say: Say) -> Report:
    """Finish a search by some settings, or go on with that.

    Args:
        values: settings of `FinishConfig` as plain values.
        typed: paths of those that the user gave, which are all that a finish that is gone on with takes of them.
        say: told how it goes, a line at a time.

    Raises:
        NasError: see `nas.finish`.
    """
    given = settings_from(FinishConfig, values)
    check_test_split_allowed()  # before hours of training that would come to nothing
    folder = user_path(str(given.run))
    read_searched(folder)  # before anything is made in a folder that holds none
    home = folder.absolute() / FINISH
    way_on = f"What was trained by then is in {shown(home)}, and the same command goes on with it"
    with hold(folder, "search or a finish of one"), kept_where_refused(way_on):
        home.mkdir(exist_ok=True)
        config = settings_of(values, typed, home)
        searched = read_searched(folder, config.root)
        files = used_files(config.train, config.transfer)
        check_same(config, searched, files, home)
        return _Session(config, searched, files, home, say).carry_out()


class _Session:
    """One session of a finish, whose folder is held."""

    def __init__(
        self, config: FinishConfig, searched: Searched, files: Mapping[str, Any], home: Path, say: Say
    ) -> None:
        objective = searched.study.objectives[0]
        if objective.name not in (scores := searched.task.val_scores):
            raise ConfigError(
                f"the search was for {objective.name}, which is not known of the test split; a finish takes "
                f"one of {', '.join(scores)} as the first objective"
            )
        check_recipe(searched.data, config.train)
        self.config, self.searched, self.files, self.home, self.say = config, searched, files, home, say
        self.measure = Measure(objective.name, objective.sign)
        self.gpus = gpu_devices() if config.accelerator != "cpu" else []
        free = self._count(config.workers) // (config.devices if config.workers == "auto" else 1)
        self.workers = max(1, free)
        for trial, _ in searched.finalists(config.finish.top_k):  # before anything is trained
            check_devices(config.devices, self._recipe(trial), accelerator=config.accelerator)

    def _count(self, workers: int | str) -> int:
        """Return a number of workers; `auto` is one a GPU, or else one a core, as in a search."""
        return len(self.gpus) if self.gpus and workers == "auto" else cores_or(workers)

    def carry_out(self) -> Report:
        """Choose, train anew, compare, report, and write what ships."""
        records = self._records()
        try:
            report = self._report(records)
        except BaseException:
            if records is not None:
                with defer_signals("The finish is ending and writes its records"):
                    records.interrupted()
            raise
        self.say("\n" + "\n".join(report.lines()[: report.lines().index("## How the winner was chosen")]))
        self._write(report)
        report = self._shipped(report)
        self._write(report)  # now that it is known whether it ships
        self.say(f"Report: {shown(self.home / REPORT_MD)}")
        if records is not None:
            # From the folder, and so also what a server that was away for a while lacks.
            written = record_finish(self.home, self.searched.study, self._server())
            add_facts({"mlflow": written.facts})
            self.say(written.browse)
        return report

    def _report(self, records: FinishRecords | None) -> Report:
        config, searched = self.config, self.searched
        settings = config.finish
        # As many seconds of all processes that train as the search had.
        seconds = searched.seconds * self._count(searched.workers) / (self.workers * config.devices)
        kinds = KINDS[settings.baseline]
        needed = needed_seconds(
            settings, searched, epochs=config.train.epochs, workers=self.workers, reported=1 + len(kinds)
        )
        limit = time_limit(settings, searched, needed)
        self._tell(limit, needed, beside=len(kinds) * (seconds + limit * choosing_share(settings, len(kinds))))
        # Before any worker runs, which would disturb it.
        meter = self._meter() if searched.measures_latency and kinds else None
        pretrained = self._pretrained() if kinds else None
        candidates = rival_candidates(
            searched, settings, self.home, measure=meter, seconds=seconds, say=self.say, pretrained=pretrained
        )
        ranked = searched.finalists(settings.top_k)
        with ExitStack() as stack:
            pool = self._pool(stack)
            bench = PoolBench(
                self.home,
                pool,
                self._setup,
                FinalScores(searched.data, self.home.parent, config.accelerator),
                lambda trial: self._ended(trial, records),
                begun=Begun.of(config, known_of(config, searched), self.files, self.home / CANDIDATES),
            )
            stack.callback(bench.close)
            write_settings(config, searched, self.files, self.home)  # not those of a call that could not begin
            if records is not None:
                records.write(bench.trials.values())
            decide = partial(
                carry_out,
                settings,
                [Contestant(f"trial {trial.number}", arch, self._recipe(trial)) for trial, arch in ranked],
                rivals_of(candidates, settings, searched),
                bench,
                self.measure,
                study_seed=searched.seed,
                search_seconds=seconds,
                limit_seconds=limit,
            )
            found = decide(say=self.say)
            if found.ships and self._weights_again(found, bench):
                found = decide()  # all of it is in the log
            report = Report(
                searched=searched,
                settings=settings,
                measure=self.measure,
                finish=found,
                trials=[trial for trial, _ in ranked],
                candidates=candidates,
                folder=self.home,
                test_images=int(pool.describe()["test_images"]),
                workers=self.workers,
                limit_seconds=limit,
                looks=looks_of(bench.trials.values(), bench.reported, self._readings()),
            )
            bench.report(recommended_in_short(found))
        return report

    def _recipe(self, trial: Trial) -> Recipe:
        """Return what a finalist is trained by; raises `ConfigError` where that is no recipe."""
        searches = self.config.finish.searched_recipe
        return self.searched.recipe_of(trial, self.config.train) if searches else self.config.train

    def _readings(self) -> int:
        """Return how often the test split was read for this search."""
        from nas.training.data.test_split import Ledger

        return len(Ledger(self.home.parent).entries())

    def _weights_again(self, found: Finish, bench: PoolBench) -> bool:
        """Train what ships again where its weights are gone; returns whether that was needed."""
        final = found.finals[found.recommended]
        job = final.contestant.job(REPORT, final.shipped.seed)
        if not (why := bench.why_lost(job)):
            return False
        self.say(f"The weights of {job.name}, seed {job.seed}, {why}. It is trained again:")
        if not bench.train_again(job):
            self.say("That did not give them; its scores stay as they were")
        return True

    def _pretrained(self) -> Architecture | None:
        """Return the network of the weights that the user has, for the data of the search."""
        if self.config.transfer.weights is None:
            return None
        from nas.training.transfer.start import network_of  # loads torch

        space = self.searched.study.space
        shape = tuple(self.searched.study.notes.get("data", {}).get("input_shape", space.input_shape))
        return network_of(self.config.transfer, shape, space.num_classes)

    @property
    def _setup(self) -> TrainingSetup:
        return TrainingSetup(self.searched.data, self.config.accelerator, self.config.transfer, self.config.devices)

    def _pool(self, stack: ExitStack) -> WorkerPool:
        """Start the workers, which end with the stack, and make sure that the data are those of the search."""
        pool = WorkerPool(
            self._setup.evaluator(self.config.train),
            self.workers,
            objective=self.measure.name,
            log=self.home / WORKERS_LOG,
            devices=gpu_groups(self.gpus, self.config.devices),
        )
        stack.callback(pool.close)
        starting = f"Starting {self.workers} worker{'s' * (self.workers != 1)}, which read the data"
        try:
            with long_step(starting, self.say):
                now = pool.describe().get("split_fingerprint")
        except DataError as error:
            raise DataError(str(error).replace(MOVED, _MOVED)) from None
        if self.searched.fingerprint not in (None, now):
            fingerprints = f"their fingerprint was {self.searched.fingerprint}, is {now}"
            raise ConfigError(f"the data are not those of the search: {fingerprints}. {_MOVED}")
        return pool

    def _tell(self, limit: float, needed: float, *, beside: float) -> None:
        """Say what is done, and how long it takes at most, before it begins."""
        self.say(
            f"Finish of {shown(self.searched.folder.absolute())}. To go on with it: "
            f"{to_type('finish', str(self.config.run))}"
        )
        rivals = f", and {in_words(beside)} for what it is compared with, as the search and choosing take"
        self.say(
            f"It takes at most {in_words(limit + beside)}: {in_words(limit)} to choose and report the winner "
            f"(finish.minutes){rivals if beside else ''}. Reading the data and writing the model come on top"
        )
        notes = objectives_note(self.searched), folds_note(self.searched), loss_note(self.searched, self.config.train)
        for note in filter(None, notes):
            self.say(note)
        if self.searched.study.recipe and self.config.finish.searched_recipe:
            names = ", ".join(self.searched.study.recipe.decisions)
            self.say(f"Each network is trained with what the search found for it: {names} (finish.searched_recipe)")
        if limit < needed:
            self.say(
                f"That may be too short for an answer: one seed to choose with and a few to report need about "
                f"{in_words(needed)}, by what the search's networks took (finish.minutes={ceil(needed / 60)})"
            )

    def _shipped(self, report: Report) -> Report:
        """Write the folder that ships; what goes wrong in that costs no report."""
        if not report.finish.ships:
            return self._with_what_is_there(report)
        try:
            with long_step("Writing the model", self.say):
                model = ship(report, self.home / WEIGHTS)
        except Exception as error:  # of whatever writes and runs ONNX
            return self._with_what_is_there(replace(report, trouble=reason_of(error)))
        self.say(f"Model: {shown(model)}, with the weights of the first final seed")
        shape = report.finish.finals[report.finish.recommended].contestant.architecture.input_shape
        self.say(f"Try it: {to_type('predict', shown(model))} {to_predict(shape)}")
        return replace(report, model=model)

    def _with_what_is_there(self, report: Report) -> Report:
        """Say what the folder that ships holds, where nothing was written to it."""
        other = other_model(report)
        if other:
            self.say(f"Note: {other}")
        return replace(report, other_model=other)

    def _write(self, report: Report) -> None:
        head = [f"# Finish of {self.searched.study.name}", ""]
        files = {
            REPORT_JSON: json.dumps(report.to_dict(), indent=1),
            REPORT_MD: "\n".join([*head, *report.lines()]),
        }
        if report.finish.ships:
            network = report.finish.finals[report.finish.recommended].contestant.architecture
            files[RECOMMENDED] = network.to_json(indent=1)
        for name, text in files.items():
            write_whole(self.home / name, text + "\n")

    def _meter(self) -> Callable[[Architecture], float]:
        """Return what measures the latency of a network in ms, as the search did."""
        from nas.latency.measure import Meter

        assert self.searched.deployment is not None
        meter = Meter(self.searched.deployment)
        return lambda architecture: meter.measure(architecture).ms

    def _records(self) -> FinishRecords | None:
        if not self.config.mlflow:
            return None
        return FinishRecords(self.home, self.searched.study, asdict(self.config), self._server())

    def _server(self) -> str | None:
        """Return the MLflow server that the search is recorded on, if there is one."""
        return recorded_server(self.searched.study.notes["config"].get("records", {}).get("uri"))

    def _ended(self, trial: FinishTrial, records: FinishRecords | None) -> None:
        outcome = (
            f"failed: {trial.reason}"
            if trial.reason
            else ", ".join(f"{name} {score:.4g}" for name, score in trial.scores.items())
        )
        self.say(
            f"  {trial.phase}: {trial.name}, {trial.epochs} epoch{'s' * (trial.epochs != 1)}, seed {trial.seed}: "
            f"{outcome}; {trial.seconds:.0f} s"
        )
        if records is not None:
            records.write([trial])
