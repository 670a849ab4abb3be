"""`run_search`: a search as one Python call."""

from __future__ import annotations

import math
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from optuna.samplers import BaseSampler

from nas.cost import ONE, Constraint, Workload
from nas.errors import ConfigError
from nas.evaluation import Budget, Evaluator
from nas.latency.deployment import Deployment
from nas.latency.deployment import deployment as deployment_here
from nas.latency.device_profile import DeviceProfile
from nas.latency.measure import Meter
from nas.run_folder import WORKERS_LOG
from nas.runs import check_name
from nas.search.arguments import check_kinds, numbers
from nas.search.contracts import MAX_EQUAL_FAILURES, Limits, Recorder
from nas.search.driver import Driver
from nas.search.fidelity import Pruning
from nas.search.gate import Gate
from nas.search.log import STUDY_FORMAT, RunFolder, read_study
from nas.search.objectives import objectives_from, recorded_directions
from nas.search.samplers import proposer
from nas.search.study import Study
from nas.search.transfer import WARM_STARTS, priors
from nas.search.trial import with_current_id
from nas.space import SearchSpace
from nas.workers.in_process import InThisProcess
from nas.workers.pool import Pool
from nas.workers.process import check_worker_count
from nas.workers.processes import WorkerPool
from nas.workers.worker import check_not_starting


def run_search(
    space: SearchSpace,
    evaluator: Evaluator | Callable[..., Any] | None = None,
    *,
    trials: int = 100,
    sampler: str | BaseSampler = "default",
    sampler_options: Mapping[str, Any] | None = None,
    constraints: Mapping[str, object] | None = None,
    soft: Mapping[str, object] | None = None,
    soft_weight: float = 0.1,
    workload: Workload = ONE,
    deployment: Deployment | None = None,
    profile: DeviceProfile | None = None,
    seed: int = 0,
    minutes: float | None = None,
    objective: str | Sequence[str] = "val_accuracy",
    direction: str | Sequence[str] | None = None,
    workers: int = 0,
    budget: Budget | None = None,
    pruner: str | Pruning = "none",
    max_rejections: int = 1000,
    baseline_fraction: float = 0.0,
    warm_start: str | Path | None = None,
    trial_minutes: float | None = None,
    max_equal_failures: int | None = MAX_EQUAL_FAILURES,
    worker_memory_mib: float | None = None,
    run_dir: str | Path | RunFolder | None = None,
    resume: bool = False,
    notes: Mapping[str, Any] | None = None,
    recorders: Sequence[Recorder] = (),
    pool: Pool | None = None,
) -> Study:
    """Search a space for the network with the best score.

    Args:
        space: what to search, made for the data at hand (`SearchSpace.for_data`).
        evaluator: `(architecture, budget, seed) -> score`, a dict of scores, or an `Evaluation`.
        trials: accepted candidates to evaluate; rejected ones and duplicates are not counted.
        sampler: a name (`nas.search.samplers.sampler_names`), or an Optuna sampler.
        sampler_options: settings of a sampler that was given by its name (`nas.search.samplers.sampler`).
        constraints: `{metric: upper bound}` or `{metric: (lower, upper)}` of `nas.cost.METRICS`. No candidate over a
            bound is ever built.
        soft: limits of the same kind that are no more than a penalty; candidates over them are evaluated.
        soft_weight: penalty for being over a soft limit by all of it (twice the bound), in units of the objective.
        workload: batch sizes, where a limit depends on them.
        deployment: how networks are to be run, where there is a limit on latency (`nas.latency.deployment.deployment`);
            by default in the best runtime installed, with `workload.batch` examples and one thread. Each candidate
            that holds the other limits is measured before it is evaluated.
        profile: predicts latencies, so that candidates that are surely over the limit need not be measured.
        seed: the same seed gives the same trials, with 0 workers or 1.
        minutes: the search ends after this time. Evaluations that run then end too, where there are workers, or where
            they `report`; a resumed search runs them again.
        objective: the score searched for; a number that the evaluator returns has this name. Or several: scores, the
            first of which has that name, and costs of `nas.cost.METRICS`.
        direction: `maximize` or `minimize`, for each objective; by default what its name says (accuracies and the like
            are maximized, errors, losses and costs minimized), which must be clear.
        workers: processes that evaluate; 0 evaluates in this process. With 1 or more the evaluator is pickled and a
            trial that kills its process ends only itself.
        budget: given to the evaluator.
        pruner: a name or settings: whether the better candidates get more of the budget than others, or candidates end
            when they do not promise enough, see `nas.search.fidelity.Pruning`.
        max_rejections: ends the search after so many proposals in a row that are rejected or duplicates.
        baseline_fraction: share of the candidates that are random, so that the search can be compared with them.
        warm_start: run folder of an earlier search. Its best networks that are in this space are evaluated first, and
            `predictor` learns from all of them, as far as its own trials show that they say something.
        trial_minutes: ends an evaluation that takes longer (with workers only). None: ten times what the longest of the
            others took, see `nas.search.stopping.Watch`.
        max_equal_failures: ends the search after so many evaluations in a row that fail alike; None: never.
        worker_memory_mib: the most private memory of a worker process, where what wants more runs out of memory.
        run_dir: folder that takes the record; every finished trial is on disk before the search goes on. Or one that is
            open already, which stays open.
        resume: go on with the study in `run_dir`; everything that decides its trials must be as it was.
        notes: what else is to be kept in the study's record, as plain values.
        recorders: are told of every trial.
        pool: running workers that evaluate, in place of `evaluator` and `workers`; it stays open.

    Returns:
        The study. A trial that fails is recorded with its reason and does not end it.

    Raises:
        ConfigError: an argument does not hold. SpaceError: no network of the space takes its input. WorkerError: the
            evaluator cannot be sent to worker processes, or this is one of them that imports the user's script.
    """
    check_not_starting()
    trials, max_equal_failures = numbers(trials=trials, max_equal_failures=max_equal_failures)
    seed, worker_memory_mib = numbers(seed=seed, worker_memory_mib=worker_memory_mib)
    workers, max_rejections = numbers(workers=workers, max_rejections=max_rejections)
    minutes, trial_minutes = numbers(minutes=minutes, trial_minutes=trial_minutes)
    soft_weight, baseline_fraction = numbers(soft_weight=soft_weight, baseline_fraction=baseline_fraction)
    check_worker_count(workers)
    check_kinds(**({"evaluator": evaluator} if pool is None else {"pool": pool}), space=space, workload=workload)
    check_kinds(run_dir=run_dir, resume=resume, notes=notes, recorders=recorders)
    check_kinds(sampler=sampler, sampler_options=sampler_options, warm_start=warm_start, budget=budget, pruner=pruner)
    check_kinds(deployment=deployment, profile=profile)
    objectives = objectives_from(objective, _directions(direction, resume, run_dir))
    pruning = Pruning(name=pruner) if isinstance(pruner, str) else pruner
    pruning.check(budget := budget or Budget(), len(objectives))
    limits = space.limits_with(constraints, soft)
    when = Limits(trials=trials, minutes=minutes, max_rejections=max_rejections, baseline_fraction=baseline_fraction)
    when = replace(when, max_equal_failures=max_equal_failures, usual_time=trial_minutes is None)
    measured = any(one.measured for one in limits) or any(one.measured for one in objectives)
    meter = _meter(deployment, profile, workload) if measured else None
    space = space.for_data(space.input_shape, space.num_classes, task=getattr(evaluator, "task", None))
    predict = profile.interval if profile is not None and meter is not None else None
    gate = Gate(space, limits, workload, predict=predict, meter=meter.measure if meter is not None else None)
    known = priors(Path(warm_start), space, objectives[0]) if warm_start is not None else ()
    before = [(one.genotype, one.value) for one in known] if len(objectives) == 1 else []
    named = partial(proposer, seed=seed, space=space, look=gate.examine, prior=before, options=sampler_options)
    make: Callable[[int], BaseSampler] | BaseSampler = named(sampler) if isinstance(sampler, str) else sampler
    with ExitStack() as stack:
        folder = _folder(run_dir, resume, stack)
        study = Study(
            name=folder.path.name if folder else space.name,
            study_id=uuid.uuid4().hex,
            space=space,
            objectives=objectives,
            soft_weight=soft_weight,
            workload=workload,
            rungs=len(pruning.budgets(budget)),
            notes=dict(notes or {}),
        )
        if folder is not None:
            decisive = _decisive(study, limits, meter) | _how(sampler, sampler_options, seed, warm_start)
            decisive |= {"baseline_fraction": baseline_fraction, "budget": asdict(budget), "pruning": asdict(pruning)}
            _open(study, folder, resume, decisive)
        pool_of = partial(_pool, folder=folder, minutes=trial_minutes, memory_mib=worker_memory_mib, stack=stack)
        pool = pool or pool_of(evaluator, workers, study.objective)
        driver = Driver(
            study,
            space,
            pool,
            sampler=make,
            gate=gate,
            limits=when,
            seed=seed,
            budget=budget,
            pruning=pruning,
            first=[one.genotype for one in known[:WARM_STARTS]],
            checkpoints=_checkpoints(folder, stack) if pruning.halves else Path(),
            folder=folder,
            recorders=recorders,
        )
        return driver.run()


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


def _pool(
    evaluator: Evaluator | Callable[..., Any] | None,
    workers: int,
    objective: str,
    *,
    folder: RunFolder | None,
    minutes: float | None,
    memory_mib: float | None,
    stack: ExitStack,
) -> Pool:
    """What evaluates; it ends with the search."""
    assert evaluator is not None
    if workers == 0:
        return InThisProcess(evaluator, objective)
    pool = WorkerPool(
        evaluator,
        workers,
        objective=objective,
        log=folder.path / WORKERS_LOG if folder else None,
        trial_seconds=None if minutes is None else 60 * minutes,
        memory_mib=memory_mib,
    )
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


def _checkpoints(folder: RunFolder | None, stack: ExitStack) -> Path:
    """Return a folder for the states of trials that may go on."""
    if folder is None:
        return Path(stack.enter_context(TemporaryDirectory()))
    path = folder.path / "checkpoints"
    path.mkdir(exist_ok=True)
    return path


def _how(
    sampler: str | BaseSampler, options: Mapping[str, Any] | None, seed: int, warm_start: str | Path | None
) -> dict[str, Any]:
    """What decides the proposals of a study."""
    return {
        "sampler": sampler if isinstance(sampler, str) else type(sampler).__name__,
        "sampler_options": dict(options or {}),
        "seed": seed,
        "warm_start": str(warm_start) if warm_start is not None else None,
    }


def _meter(deployment: Deployment | None, profile: DeviceProfile | None, workload: Workload) -> Meter:
    """What measures candidates, where latency is limited or an objective."""
    deployment = deployment or deployment_here(batch=workload.batch)
    if deployment.batch != workload.batch:
        raise ConfigError(f"run_search: deployment.batch {deployment.batch} is not workload.batch {workload.batch}")
    why_not = profile.why_not(deployment) if profile is not None else ""
    if why_not:
        raise ConfigError(f"the device profile does not hold here: {why_not}; python -m nas.calibrate makes one")
    return Meter(deployment, usual_ms=profile.reference_ms if profile is not None else math.inf)


def _decisive(study: Study, limits: Sequence[Constraint], meter: Meter | None) -> dict[str, Any]:
    """What decides the trials of a study beside its settings, so that it must be the same when it is resumed."""
    decisive: dict[str, Any] = {
        "space": study.space.to_dict(),
        "input_shape": list(study.space.input_shape),
        "num_classes": study.space.num_classes,
        "objective": [one.name for one in study.objectives],
        "direction": [one.direction for one in study.objectives],
        "constraints": {c.metric: [_finite(c.low), _finite(c.high)] for c in limits if not c.soft},
        "soft": {c.metric: [_finite(c.low), _finite(c.high)] for c in limits if c.soft},
        "soft_weight": study.soft_weight,
        "workload": asdict(study.workload),
    }
    if meter is not None:
        decisive |= {"deployment": asdict(meter.deployment), "device": meter.device.to_dict()}
    return decisive


def _open(study: Study, folder: RunFolder, resume: bool, decisive: Mapping[str, Any]) -> None:
    """Write what a new study is, or read an earlier one back and make sure that it is the same."""
    if not resume:
        folder.write_study({"format": STUDY_FORMAT, "study_id": study.study_id, **decisive, "notes": study.notes})
        return
    earlier = read_study(folder.path)
    for key, value in decisive.items():
        if earlier.get(key) != value:
            raise ConfigError(f"resume: {key} was {earlier.get(key)!r} in {folder.path}, but is now {value!r}")
    study.study_id, study.notes = str(earlier["study_id"]), earlier["notes"]
    study.trials = [with_current_id(trial, study.space) for trial in folder.read_trials()]


def _finite(bound: float) -> float | None:
    return bound if math.isfinite(bound) else None
