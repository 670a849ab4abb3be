"""From what a user of Python gives as `executor` to the pool that evaluates."""

from __future__ import annotations

from concurrent.futures import Executor
from typing import cast

from nas.errors import ConfigError, nearest
from nas.workers.executors import executor as contract
from nas.workers.executors.futures import FuturesExecutor
from nas.workers.executors.leased_pool import LeasedPool
from nas.workers.executors.settings import AUTO, EXECUTORS, Evaluations, ExecutorSettings
from nas.workers.in_process import InThisProcess
from nas.workers.pool import Pool

_CONTRACT = ("name", "room", "can_end", "notes", "resize", "open", "start", "receive", "answer", "cancel", "close")


def settings_of(executor: object) -> ExecutorSettings | None:
    """Return the settings that a name or settings mean; None for an object that runs jobs itself.

    Raises:
        ConfigError: an unknown name, or nothing of either kind.
    """
    if isinstance(executor, ExecutorSettings):
        return executor
    if isinstance(executor, str):
        if executor not in EXECUTORS:
            raise ConfigError(f"run_search: executor: unknown {executor!r}. {nearest(executor, EXECUTORS)}")
        return EXECUTORS[executor]()
    if not (isinstance(executor, Executor) or callable(executor) or _keeps_contract(executor)):
        raise ConfigError(
            f"run_search: executor must be one of {', '.join(EXECUTORS)}, settings of one, a "
            f"concurrent.futures.Executor or a function that makes one, but got {executor!r:.80}"
        )
    return None


def _keeps_contract(value: object) -> bool:
    return all(hasattr(value, name) for name in _CONTRACT)


def pool_of(executor: object, evaluations: Evaluations, workers: int) -> Pool:
    """Return what evaluates.

    Args:
        executor: what the user gave; None is worker processes, or this process with 0 workers.
        evaluations: what is evaluated.
        workers: trials at a time; 0 leaves it to the executor.

    Raises:
        ConfigError: the executor is none, or does not do what is asked. WorkerError: nothing can be started.
    """
    if executor is None and not workers:
        return InThisProcess(evaluations.evaluator, evaluations.objective)
    settings = settings_of("local" if executor is None else executor)
    if settings is not None:
        settings.check_asked(accelerator=AUTO, memory_mib=evaluations.memory_mib)
        return settings.pool(evaluations, workers or AUTO)
    if evaluations.memory_mib is not None:
        raise ConfigError("run_search: worker_memory_mib is kept by worker processes, executor='local', alone")
    made: contract.Executor
    if _keeps_contract(executor):
        made = cast("contract.Executor", executor)
    else:
        made = FuturesExecutor(cast("Executor", executor), workers=workers or None)
    return LeasedPool(
        made,
        evaluations.evaluator,
        objective=evaluations.objective,
        log=evaluations.log,
        trial_seconds=evaluations.trial_seconds,
    )
