"""`run_search`: a search as one Python call."""

from __future__ import annotations

import math
import shutil
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from optuna.samplers import BaseSampler

from nas.cost import BATCH_OF_ONE, INT8_LATENCY, Constraint, Workload
from nas.errors import ConfigError
from nas.evaluation import Budget, Evaluator
from nas.evaluators.training import INHERIT
from nas.held_out import without_test_split
from nas.latency.deployment import Deployment
from nas.latency.deployment import deployment as deployment_here
from nas.latency.device_profile import DeviceProfile
from nas.latency.known import KnownLatencies
from nas.latency.measure import Latency, Meter
from nas.names import check_name
from nas.network.architecture import Architecture
from nas.run_folder import CHECKPOINTS, WORKERS_LOG
from nas.search.after_training import AfterTraining, asked_for, check_asked
from nas.search.arguments import check_kinds, kinds_in
from nas.search.disk_budget import DiskBudget
from nas.search.driver import Driver
from nas.search.first import First, first_proposals
from nas.search.gate import Gate
from nas.search.log import RunFolder, read_study
from nas.search.objectives import Objective, objectives_from, recorded_directions
from nas.search.recording import Recorder
from nas.search.samplers import proposer
from nas.search.samplers.predictor import PredictorSampler
from nas.search.settings import (
    PYTHON_SETTINGS,
    Settings,
    decided_recipe,
    for_evaluator,
    takes_settings,
    with_keywords,
)
from nas.search.study import Study
from nas.search.study_record import decisive_of, folds_of, how_proposed, how_read, opened
from nas.search.trial_files import KeptWeights, Parents, TrialFiles, check_inherit, inherits
from nas.search.warm_start import earlier_results
from nas.settings import Range
from nas.space import SearchSpace
from nas.space.fix import fixed
from nas.training.recipe_decisions import RecipeDecisions
from nas.workers.executors.choice import pool_of
from nas.workers.executors.settings import Evaluations
from nas.workers.pool import Pool
from nas.workers.process import check_worker_count
from nas.workers.worker import check_not_starting


@takes_settings
def run_search(
    space: SearchSpace,
    evaluator: Evaluator | Callable[..., Any] | None = None,
    *,
    settings: Settings = PYTHON_SETTINGS,
    workers: int = 0,
    budget: Budget | None = None,
    workload: Workload = BATCH_OF_ONE,
    deployment: Deployment | None = None,
    profile: DeviceProfile | None = None,
    run_dir: str | Path | RunFolder | None = None,
    resume: bool = False,
    notes: Mapping[str, Any] | None = None,
    recorders: Sequence[Recorder] = (),
    pool: Pool | None = None,
    executor: object = None,
    **changes: Any,
) -> Study:
    """Search a space for the network with the best score.

    Args:
        space: what to search, made for the data at hand (`SearchSpace.for_data`).
        evaluator: `(architecture, budget, seed) -> score`, a dict of scores, or an `Evaluation`. `int8_accuracy` and
            `int8_latency_ms` are had of one that names them in `after_training`, as `TrainingEvaluator` does, and that
            does what `Budget.int8` says. Where its `inherit` is parent or best, as that of `TrainingEvaluator` may be,
            `Budget.inherit` tells it which trained network of the search to take initial weights from. `Budget.recipe`
            has what is decided of the recipe, where `recipe` says so.
        settings: what decides the search; each may also be given by its name, see `changes`.
        workers: processes that evaluate; 0 evaluates in this process. With 1 or more the evaluator is pickled and a
            trial that kills its process ends only itself. With an `executor`, trials at a time; 0 is as many as it has
            room for.
        budget: given to the evaluator.
        workload: batch sizes, where a limit depends on them.
        deployment: how networks are to be run, where there is a limit on latency (`nas.latency.deployment.deployment`);
            by default in the best runtime installed, with `workload.batch` examples and one thread. Each candidate
            that holds the other limits is measured before it is evaluated. Latency in 8 bits is measured behind that,
            by onnxruntime with as many examples and threads.
        profile: predicts latencies, so that candidates that are surely over the limit need not be measured.
        run_dir: folder that takes the record; every finished trial is on disk before the search goes on. Or one that is
            open already, which stays open.
        resume: go on with the study in `run_dir`; everything that decides its trials must be as it was.
        notes: what else is to be kept in the study's record, as plain values.
        recorders: are told of every trial.
        pool: running workers that evaluate, in place of `evaluator` and `workers`; it stays open.
        executor: where trials run: "local" (processes of this machine, also where None and `workers` are given), "ray",
            "slurm", settings of one of these (`nas.workers.executors.settings`), a `concurrent.futures.Executor`, or a
            function that makes one; see docs/many-machines.md.
        changes: settings by their names (`nas.search.settings`, docs/settings.md): those of `SearchSettings`, such as
            `trials` (100 where neither it nor `minutes` is said), `minutes`, `objective`, or `recipe`: `{"lr": (1e-4,
            1e-2)}` decides the learning rate with each network; `seed`: the same one gives
            the same trials, with 0 workers or 1; `constraints` and `soft`: `{metric: upper bound}` or `{metric:
            (lower, upper)}` of `nas.cost.SEARCH_METRICS`; `sampler`: a name (`nas.search.samplers.sampler_names`) with
            `sampler_options`, or an Optuna sampler; `pruner`: a name, or a `nas.search.budgets.pruning.Pruning`.

    Returns:
        The study. A trial that fails is recorded with its reason and does not end it.

    Raises:
        ConfigError: an argument does not hold. SpaceError: no network of the space takes its input. WorkerError: the
            evaluator cannot be sent to worker processes, or this is one of them that imports the user's script.
    """
    check_not_starting()
    own = changes.pop("sampler") if isinstance(changes.get("sampler"), BaseSampler) else None
    own_options = changes.pop("sampler_options", None) if own is not None else None  # they are its own business
    check_kinds(**({"evaluator": evaluator} if pool is None else {"pool": pool}), space=space, workload=workload)
    check_kinds(run_dir=run_dir, resume=resume, notes=notes, recorders=recorders, budget=budget)
    check_kinds(deployment=deployment, profile=profile, settings=settings, **kinds_in(changes))
    workers = _checked_workers(workers, executor, pool)
    settings = for_evaluator(with_keywords(settings, changes), evaluator)
    _check_gain_is_known(own, settings)
    space = fixed(space, settings.search.fix, "search.fix")
    search, pruning, recipe = settings.search, settings.pruner, decided_recipe(settings, evaluator)
    objectives = objectives_from(search.objective, _directions(search.direction, resume, run_dir))
    pruning.check(budget := budget or Budget(), len(objectives), folds_of(evaluator))
    limits = space.limits_with(settings.constraints, settings.soft)
    late = asked_for(limits, (objective.name for objective in objectives))
    check_asked(late, getattr(evaluator, "after_training", ()) if pool is None else None, pruning)
    how = check_inherit(inherits(settings, evaluator), search, run_dir)
    int8_meter = _int8_meter(deployment, workload) if INT8_LATENCY in late else None
    meter = _meter(deployment, profile, workload) if _measures(limits, objectives) else None
    space = space.for_data(space.input_shape, space.num_classes, task=getattr(evaluator, "task", None))
    predict = profile.interval if profile is not None and meter is not None else None
    gate = Gate(space, limits, workload, predict=predict, meter=_measure(meter, settings), recipe=recipe)
    first, make = _proposals(settings, space, gate, objectives, recipe, limits=limits, workload=workload)
    with ExitStack() as stack:
        stack.enter_context(without_test_split())
        folder = _folder(run_dir, resume, stack)
        study = Study(
            name=folder.path.name if folder else space.name,
            study_id=uuid.uuid4().hex,
            space=space,
            objectives=objectives,
            soft_weight=search.soft_weight,
            workload=workload,
            rungs=len(pruning.budgets(budget)),
            folder=folder.path if folder else None,
            notes=dict(notes or {}),
            recipe=recipe,
            designs=tuple(one.design for one in first if one.design),
        )
        if folder is not None:
            decisive = decisive_of(study, limits, meter, int8_meter)
            decisive |= how_proposed(settings, own, own_options) | how_read(evaluator) | {"inherit": how}
            opened(study, folder, resume, decisive | {"budget": budget.record(), "pruning": asdict(pruning)})
        pool = pool or _pool(evaluator, workers, executor, settings, study, stack=stack, folder=folder)
        after_training = _after_training(late, limits, int8_meter, folder, stack)
        files, kept = _files(settings, folder, stack, study, how, preemptible=getattr(pool, "preemptible", False))
        return Driver(
            study,
            space,
            pool,
            settings,
            sampler=own or make,
            gate=gate,
            after_training=after_training,
            budget=replace(budget, int8=str(after_training.folder) if late else None),
            first=first,
            files=files,
            folder=folder,
            recorders=[*kept, *recorders],
        ).run()


def _checked_workers(workers: int, executor: object, pool: Pool | None) -> int:
    """Return a number of workers that can be had; raises `ConfigError` for another."""
    workers = Range(0, whole=True).checked("run_search: workers", workers)
    if executor is None:
        check_worker_count(workers)
    elif pool is not None:
        raise ConfigError("run_search: give pool or executor, not both: a pool runs somewhere already")
    return workers


def _check_gain_is_known(own: BaseSampler | None, settings: Settings) -> None:
    """Raise `ConfigError` where a sampler of the user's says nothing of the gain that `search.patience` goes by."""
    if settings.search.patience is not None and own is not None and not isinstance(own, PredictorSampler):
        raise ConfigError(
            f"search.patience goes by the gain that sampler=predictor expects; {type(own).__name__} expects none"
        )


def _directions(
    direction: str | Sequence[str] | None, resume: bool, run_dir: str | Path | RunFolder | None
) -> str | Sequence[str] | None:
    """Return the directions that were given, or those that a resumed study was begun with."""
    if not resume:
        return direction
    if run_dir is None:
        raise ConfigError("run_search: resume needs run_dir, the folder of the study")
    path = run_dir.path if isinstance(run_dir, RunFolder) else Path(run_dir)
    return direction if direction is not None else recorded_directions(read_study(path, "resume: "))


def _proposals(
    settings: Settings,
    space: SearchSpace,
    gate: Gate,
    objectives: Sequence[Objective],
    recipe: RecipeDecisions,
    *,
    limits: Sequence[Constraint],
    workload: Workload,
) -> tuple[list[First], Callable[[int], BaseSampler] | BaseSampler]:
    """Return what a search begins with, and the sampler of its settings, which proposes what follows."""
    search, named = settings.search, settings.sampler
    known = earlier_results(Path(search.warm_start), space, objectives[0]) if search.warm_start is not None else ()
    first = first_proposals(search, space, known, gate.examine, limits=limits, workload=workload)
    prior = [(result.genotype, result.value) for result in known] if len(objectives) == 1 else []
    make = partial(proposer, named.name, settings.seed, space, gate.examine, prior=prior, recipe=recipe)
    return first, make(options=named.options)


def _pool(
    evaluator: Evaluator | Callable[..., Any] | None,
    workers: int,
    executor: object,
    settings: Settings,
    study: Study,
    *,
    stack: ExitStack,
    folder: RunFolder | None,
) -> Pool:
    """What evaluates; it ends with the search."""
    assert evaluator is not None
    evaluations = Evaluations(
        evaluator,
        objective=study.objective,
        log=folder.path / WORKERS_LOG if folder else None,
        trial_seconds=settings.search.trial_seconds,
        memory_mib=settings.search.worker_memory_mib,
    )
    pool = pool_of(executor, evaluations, workers)
    stack.callback(pool.close)
    return pool


def _folder(run_dir: str | Path | RunFolder | None, resume: bool, stack: ExitStack) -> RunFolder | None:
    if run_dir is None or isinstance(run_dir, RunFolder):
        return run_dir
    if not resume:
        check_name(Path(run_dir).absolute().name)
    folder = RunFolder(Path(run_dir), resume=resume)
    stack.callback(folder.close)
    return folder


def _folder_of(folder: RunFolder | None, name: str, stack: ExitStack) -> Path:
    """Return a folder for what workers and the driver hand to each other in files."""
    if folder is None:
        return Path(stack.enter_context(TemporaryDirectory()))
    path = folder.path / name
    path.mkdir(exist_ok=True)
    return path


def _measures(limits: Sequence[Constraint], objectives: Sequence[Objective]) -> bool:
    return any(limit.measured for limit in limits) or any(objective.measured for objective in objectives)


def _meter(deployment: Deployment | None, profile: DeviceProfile | None, workload: Workload) -> Meter:
    """What measures candidates, where latency is limited or an objective."""
    deployment = deployment or deployment_here(batch=workload.batch)
    if deployment.batch != workload.batch:
        raise ConfigError(f"run_search: deployment.batch {deployment.batch} is not workload.batch {workload.batch}")
    why_not = profile.why_not(deployment) if profile is not None else ""
    if why_not:
        raise ConfigError(f"the device profile does not hold here: {why_not}; python -m nas.calibrate makes one")
    return Meter(deployment, usual_ms=profile.reference_ms if profile is not None else math.inf)


def _measure(meter: Meter | None, settings: Settings) -> Callable[[Architecture], Latency] | None:
    """What says the latency of a network: what is known of earlier searches, else a measurement."""
    folder = settings.known_latencies
    if meter is None or folder is None:
        return meter.measure if meter is not None else None
    return KnownLatencies(meter, folder).measure


def _files(
    settings: Settings, folder: RunFolder | None, stack: ExitStack, study: Study, how: str, *, preemptible: bool
) -> tuple[TrialFiles, Sequence[Recorder]]:
    """Where evaluations leave files, and what keeps those of the best."""
    continues = settings.pruner.halves and settings.pruner.fidelity == "epochs"
    run = folder.path if folder is not None and settings.search.keep else None
    parents = Parents(study, run, how) if run is not None and how != INHERIT[0] else None
    states = _folder_of(folder, CHECKPOINTS, stack) if continues or preemptible else None
    files = TrialFiles(states, run, parents, continues=continues, each_epoch=preemptible)
    files.begin(study.trials)
    kept: list[Recorder] = [KeptWeights(run, settings.search.keep)] if run is not None else []
    if folder is not None and settings.search.disk_mib is not None:
        kept.append(DiskBudget(folder.path, settings.search.disk_mib, study.trials))
    return files, kept


def _after_training(
    names: Sequence[str], limits: Sequence[Constraint], meter: Meter | None, folder: RunFolder | None, stack: ExitStack
) -> AfterTraining:
    """What looks at trained networks in 8 bits, where that is asked for; its folder goes when the search ends."""
    if not names:
        return AfterTraining()
    path = _folder_of(folder, "int8", stack)
    stack.callback(shutil.rmtree, path, ignore_errors=True)
    return AfterTraining(tuple(names), tuple(limits), path, None if meter is None else meter.measure_model)


def _int8_meter(deployment: Deployment | None, workload: Workload) -> Meter:
    """What measures networks in 8 bits: onnxruntime, which has quantised them, with as many threads as the others."""
    threads = deployment.threads if deployment is not None else 1
    return Meter(deployment_here("onnxruntime", workload.batch, threads))
