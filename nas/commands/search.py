"""The search command: from settings to a finished study with its records and its report."""

from __future__ import annotations

import importlib.metadata
import json
import platform
import sys
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console

from nas.commands.command_line import typed_paths
from nas.commands.finish import FULL, finish_command
from nas.commands.search_facts import FRONT, failed, latencies, search_facts
from nas.commands.search_model import say_next, say_recipe, write_best, write_model
from nas.commands.search_outlook import NOTHING_KEPT, check_dry_run, check_same_data, say_time, sources
from nas.commands.search_space import PreparedSpace, given_space, prepared, resumed_space
from nas.compare.strategies.baseline import baseline_lines
from nas.console import Interrupt, guard_streams, interruptible, long_step, say_error
from nas.errors import ConfigError, NasError, of_system
from nas.evaluation import Budget
from nas.evaluators.training import TrainingSettings
from nas.held_out import without_test_split
from nas.json_output import add_facts, part_of_document
from nas.machine import cores_or
from nas.names import name_problem
from nas.records.server import recorded_server, server_of
from nas.records.tracker import MlflowTracker
from nas.reports.write import report_or_say, write_search_report
from nas.resume import begun_with, check_typed, resumed, with_absolute_paths
from nas.run_folder import WORKERS_LOG, first_free, shown
from nas.search.config import AUTO, Config, worker_count
from nas.search.log import STUDY, RunFolder, read_study
from nas.search.objectives import against_its_name, recorded_directions
from nas.search.recording import Recorder
from nas.search.reporting.feasibility import report_feasibility
from nas.search.reporting.progress import Progress
from nas.search.reporting.rejections import nearest_misses
from nas.search.reporting.rungs import rung_correlations, rung_lines
from nas.search.reporting.summary import expected_gain, print_best, time_summary, to_go_on
from nas.search.run import run_search
from nas.search.samplers import sampler
from nas.search.steering import WORKERS, steered, steered_workers
from nas.search.study import Study, front_of
from nas.settings import as_recorded, changeable
from nas.space import SearchSpace
from nas.space.tree.genotype import count_text
from nas.starting import INTERRUPTED
from nas.to_type import to_type
from nas.training.data.config import DataConfig
from nas.training.recipe_files import read_recipe
from nas.workers.executors.settings import Evaluations
from nas.workers.pool import Pool
from nas.workers.simulated import SimulatedPool

_FILE_WIDTH = 200
_PACKAGES = ("torch", "pytorch-lightning", "optuna", "mlflow", "numpy")


def search(values: Mapping[str, Any], overrides: Sequence[str], *, dry_run: bool = False) -> int:
    """Run one search.

    Args:
        values: all settings, as plain values.
        overrides: those that the user typed; a resumed search takes only these.
        dry_run: whether to end before the first trial, with what was said by then, and to keep nothing.

    Returns:
        The exit code. 0: something was evaluated. 1: nothing could be, or the last evaluations failed alike.
        2: what the user gave does not hold, and a message says what. 130: interrupted.
    """
    guard_streams()
    with interruptible() as interrupt:
        return _ended(values, overrides, interrupt, dry_run)


def _ended(values: Mapping[str, Any], overrides: Sequence[str], interrupt: Interrupt, dry_run: bool) -> int:
    """Run one search, and say in one line what ended it before its time."""
    # Into a file nothing is cut to the width of a terminal that is not there.
    console = Console(soft_wrap=True, markup=False, emoji=False, width=None if sys.stdout.isatty() else _FILE_WIDTH)
    job: _Job | None = None
    try:
        job = replace(_read(values, overrides), dry_run=dry_run)
        code = _search(job, console)
        if code or dry_run or not job.config.finish:
            return code
        job.run.close()
        with part_of_document("finish"):
            return finish_command(_finish_values(job))
    except NasError as error:
        say_error("nas.search", error)
        return 2
    except OSError as error:  # a disk that is full, a folder that may not be written
        go_on = to_type("search", f"resume={job.folder}") + " goes on" if job is not None else "resume= goes on"
        say_error("nas.search", f"{of_system(error)}. Finished trials are in the run folder; {go_on}.")
        return 2
    except BaseException as error:
        if not interrupt.caused(error):
            raise
        begun = job is not None and (job.folder / "trials.jsonl").exists()
        then = f"; go on with resume={job.folder}" if job is not None and begun else " before the first trial"
        say_error("nas.search", f"interrupted{then}")
        return INTERRUPTED
    finally:
        if job is not None:
            job.run.close()
            if dry_run:
                with suppress(OSError):  # it holds other runs
                    job.run.path.parent.rmdir()


def _finish_values(job: _Job) -> dict[str, Any]:
    """Return the settings of the finish of a search: those of conf/finish.yaml, with the machine of the search."""
    config = job.config
    workers = config.workers if config.executor.on_this_machine else "auto"  # a finish runs on this machine
    machine = {"workers": workers, "accelerator": config.accelerator, "mlflow": config.records.mlflow}
    return {"run": str(job.folder), **machine, "train": asdict(read_recipe(FULL))}


@dataclass(frozen=True)
class _Job:
    """A search that is ready to start."""

    config: Config
    values: Mapping[str, Any]
    space: SearchSpace
    run: RunFolder
    """Held for this search until it is closed."""
    resume: bool
    dry_run: bool = False
    """Whether to end before the first trial."""

    @property
    def folder(self) -> Path:
        """As it is shown."""
        return shown(self.run.path)


def _read(values: Mapping[str, Any], overrides: Sequence[str]) -> _Job:
    """Check everything that can be checked before anything heavy is loaded."""
    folder = Path(str(values["resume"])).expanduser() if values.get("resume") else None
    if folder is not None:
        saved = read_study(folder)
        if "config" not in saved["notes"]:
            raise ConfigError(f"resume: {folder} was made by nas.run_search; go on with its argument resume=True")
        typed = typed_paths(overrides)
        check_typed(Config, typed)
        begun = as_recorded(Config, saved["notes"]["config"])
        begun["search"] = {**begun.get("search", {}), **steered(folder)}
        begun["workers"] = steered_workers(folder) or begun.get("workers", "auto")
        values = resumed(begun, with_absolute_paths(Config, values), typed, [*changeable(Config)], folder)
        if isinstance(values.get("search"), dict):
            # It goes on with the directions that it began with, also where none were given.
            values["search"]["direction"] = recorded_directions(saved)
        with begun_with(folder / STUDY):
            config = Config.from_values(values)
        space = SearchSpace.from_dict(saved["space"])
    else:
        config = Config.from_values(values)
        values = _split_as_earlier(with_absolute_paths(Config, values), config, typed_paths(overrides))
        config = Config.from_values(values)
        space = given_space(config)
    if config.records.mlflow:
        server_of(config.records.uri)
    if config.measures(space):
        config.profile()
    if config.search.warm_start is not None:
        read_study(Path(config.search.warm_start).expanduser())
    sampler(config.sampler.name, space=space, recipe=config.decided, **config.sampler.options)
    if folder is not None:
        return _Job(config, values, space, RunFolder(folder, resume=True), resume=True)
    return _Job(config, values, space, _new_folder(config, space), resume=False)


def _split_as_earlier(values: dict[str, Any], config: Config, typed: Collection[str]) -> dict[str, Any]:
    """Have data split as the search did that is learned from: what it has chosen by must not be in the test split."""
    if config.search.warm_start is None or "data.split_scheme" in typed:
        return values
    notes = read_study(Path(config.search.warm_start).expanduser())["notes"]
    earlier, now = notes.get("config", {}).get("data"), values.get("data", {})
    if isinstance(earlier, dict) and all(earlier.get(name) == now.get(name) for name in ("name", "root")):
        now["split_scheme"] = as_recorded(DataConfig, earlier)["split_scheme"]
    return values


def _new_folder(config: Config, space: SearchSpace) -> RunFolder:
    """Claim a folder before anything else is begun, so that no other search can take it meanwhile."""
    root = Path(config.records.dir)
    make = partial(RunFolder, empty=True)
    if config.name is not None:
        return make(root / config.name)
    source = config.evaluator.source(config.data)
    source = "table" if name_problem(source) else source
    name = AUTO if config.chooses_space else space.name
    return first_free(root, f"{name}-{source}-{datetime.now(UTC):%Y%m%d-%H%M%S}", make)


def _search(job: _Job, console: Console) -> int:
    started, session = time.monotonic(), time.time()
    if job.dry_run and not job.resume:
        check_dry_run(job.config)
    with ExitStack() as stack:
        stack.enter_context(without_test_split())
        # The workers load torch and the data while this process loads MLflow and Optuna.
        pool = _pool(job, stack)
        tracker = _tracker(job, stack)
        what = "Loading torch and the data"
        with console.status(f"{what} ...") if console.is_terminal else long_step(what, console.print):
            data = pool.describe()
        workers = pool.free
        ready = _ready(job, pool, data, workers, partial(console.print, highlight=False))
        space = ready.space
        console.print(
            f"Search space {space.name}: {count_text(space.size())} genotypes. Data {data['name']}, "
            f"{workers} worker{'s' * (workers != 1)}{'' if job.dry_run else f', run folder {job.folder}'}",
            highlight=False,
        )
        for note in filter(None, map(against_its_name, job.config.search.objectives)) if job.resume else ():
            console.print(note, highlight=False)
        check_same_data(job.folder if job.resume else None, data)
        for line in (*_of_executor(job.config, space, pool), *sources(job.config, space, data), *ready.lines):
            console.print(line, highlight=False)
        with pool.paused():  # it may measure
            report_feasibility(job.config, space, lambda text: console.print(text, highlight=False), resumed=job.resume)
        say_time(
            job.config,
            space,
            data,
            pool,
            at_once=workers,
            trials=job.run.read_trials() if job.resume else (),
            dry_run=job.dry_run,
            say=partial(console.print, highlight=False),
        )
        if job.dry_run:
            console.print(NOTHING_KEPT, highlight=False)
            return 0
        progress = Progress(console, job.config.search.known_trials, ready.minutes_left(job.config.search.minutes))
        study = _run(job, ready, pool, data, [progress, *([tracker] if tracker else [])])
    _report(job, study, tracker, console)
    add_facts({"seconds": time.monotonic() - started, "workers": study.steered.get(WORKERS, workers)})
    trials = [trial for trial in study.trials if trial.finished >= session]
    if not job.config.evaluator.simulated and WORKERS not in study.steered:
        console.print(time_summary(trials, time.monotonic() - started, workers), highlight=False)
    if study.interrupted:
        return INTERRUPTED
    if isinstance(job.config.evaluator, TrainingSettings):
        write_model(study, job.run.path, job.config.data, console)
        if not job.config.finish:
            say_next(study, job.run.path, console)
    return int(failed(study))


def _ready(job: _Job, pool: Pool, data: Mapping[str, Any], workers: int, say: Callable[[str], None]) -> PreparedSpace:
    """Return the space that is searched: that of the record where the search is gone on with."""
    if job.resume:
        return resumed_space(job.config, job.space, data, read_study(job.folder)["notes"])
    return prepared(job.config, job.space, data, pool=pool, at_once=workers, folder=job.run.path, say=say)


def _pool(job: _Job, stack: ExitStack) -> Pool:
    """What evaluates; it ends with the search."""
    config = job.config
    workers, gpus = worker_count(config) if config.executor.on_this_machine else (config.workers, ())
    objective = config.search.objectives[0].name
    evaluator = config.evaluator.make(job.space, config.data, config.train, config.accelerator)
    if config.evaluator.simulated:
        return SimulatedPool(evaluator, cores_or(workers), objective=objective)
    evaluations = Evaluations(
        evaluator,
        objective=objective,
        log=job.run.path / WORKERS_LOG,
        trial_seconds=config.search.trial_seconds,
        devices=gpus,
        memory_mib=config.search.worker_memory_mib,
    )
    pool = config.executor.pool(evaluations, workers)
    stack.callback(pool.close)
    return pool


def _of_executor(config: Config, space: SearchSpace, pool: Pool) -> Iterator[str]:
    """Say what is to be known of where trials run, where that is not only on this machine."""
    if config.executor.on_this_machine:
        return
    yield from getattr(pool, "notes", ())
    if config.measures(space) or config.measures_int8:
        yield (
            f"Latency is measured on this machine. Trials of executor={config.executor.name} are not stopped "
            "meanwhile: those that run here, too, disturb it"
        )


def _tracker(job: _Job, stack: ExitStack) -> MlflowTracker | None:
    if job.dry_run or not job.config.records.mlflow:
        return None
    # Beside the run folder, wherever a resumed search is started from.
    tracker = MlflowTracker(job.run.path.parent, (recorded_server if job.resume else server_of)(job.config.records.uri))
    stack.callback(tracker.close)
    return tracker


def _run(
    job: _Job,
    ready: PreparedSpace,
    pool: Pool,
    data: Mapping[str, Any],
    recorders: Sequence[Recorder],
) -> Study:
    space = ready.space
    config = job.config.with_portfolio(space)
    # What a search began with stays so, also where it goes on to another number of trials.
    values = {**job.values, "search": {**job.values.get("search", {}), "portfolio": config.search.portfolio}}
    measured = config.measures(space)
    minutes = ready.minutes_left(config.search.minutes)
    return run_search(
        space,
        pool=pool,
        settings=replace(config, search=replace(config.search, minutes=minutes)),
        workload=config.workload,
        deployment=config.deployment if measured or config.measures_int8 else None,
        profile=config.profile()[0] if measured else None,
        # A table says after how many epochs it has scores.
        budget=Budget(epochs=data["epochs"]) if config.evaluator.states_epochs else config.budget,
        run_dir=job.run,
        resume=job.resume,
        notes={"config": values, "data": data, "versions": _versions(), **ready.notes},
        recorders=recorders,
    )


def _versions() -> dict[str, str]:
    versions = {"python": platform.python_version()}
    for name in _PACKAGES:
        versions[name] = importlib.metadata.version(name)
    return versions


def _report(job: _Job, study: Study, tracker: MlflowTracker | None, console: Console) -> None:
    """Say how the search ended, what is best, and where the records are."""
    counts = ", ".join(f"{count} {state}" for state, count in study.counts().items())
    console.print(f"\nEnded: {study.stop_reason}. {counts}.", highlight=False)
    rejections = study.rejections()
    if rejections:
        console.print("Rejected by: " + ", ".join(f"{k} {v}" for k, v in rejections.items()), highlight=False)
    found, looked = study.guided()
    if found:
        console.print(
            f"Guided sampling: fewer than 1 in 50 proposals held the limits, so {found} candidates were found by "
            f"mutation towards them, among {looked:,} looked at.",
            highlight=False,
        )
    print_best(console, study)
    rungs = rung_lines(rung_correlations(study.rung_scores))
    notes = (*nearest_misses(study), *expected_gain(study), *baseline_lines(study), *rungs)
    for line in notes:
        console.print(line, highlight=False)
    winner = study.winner
    if winner is not None:
        path = write_best(study, job.run.path)
        if len(study.objectives) > 1:
            front = job.run.write_text(FRONT, json.dumps(front_of(study), indent=1) + "\n")
            console.print(
                f"Pareto front: {shown(front)}, hypervolume {study.hypervolume()[-1]:.6g} above the worst of each "
                "objective that was found",
                highlight=False,
            )
        console.print(f"{'Knee' if len(study.objectives) > 1 else 'Best'} architecture: {shown(path)}", highlight=False)
        say_recipe(study, job.run.path, console)
        for what, latency in latencies(winner).items():
            console.print(f"Its {what}: {latency}", highlight=False)
    console.print(f"Run folder: {job.folder}", highlight=False)
    page = report_or_say(lambda: write_search_report(job.run.path, study), partial(console.print, highlight=False))
    add_facts(search_facts(study, job.run.path, files=page, notes=notes))
    if study.can_go_on:
        again = to_type("search", f"resume={job.folder}", to_go_on(study, job.config.search))
        add_facts({"go_on": again})
        console.print(f"Go on with: {again}", highlight=False)
    if tracker is not None:
        tracker.log_files(page)
        add_facts({"mlflow": tracker.facts(job.folder)})
        console.print(tracker.browse(job.folder), highlight=False)
