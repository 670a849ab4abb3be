"""Settings of where trials run. One more is a class here, a row of `EXECUTORS`, and a file in `conf/executor/`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from nas.errors import ConfigError, check_kind
from nas.evaluation import Evaluator
from nas.machine import cores_or
from nas.run_folder import user_path
from nas.settings import Range, check_settings, setting
from nas.training.tasks.registry import OBJECTIVE
from nas.workers.executors.leased_pool import LEASE_SECONDS, LeasedPool
from nas.workers.pool import Pool
from nas.workers.processes import WorkerPool

AUTO = "auto"


@dataclass(frozen=True, slots=True)
class Evaluations:
    """What a pool has to know of the evaluations of a search, wherever they run."""

    evaluator: Evaluator
    objective: str = OBJECTIVE
    """Name of the score, where the evaluator returns a number."""
    log: Path | None = None
    """File that takes what workers have to say."""
    trial_seconds: float | None = None
    """An evaluation that takes longer fails."""
    memory_mib: float | None = None
    """The most private memory of a worker."""
    devices: Sequence[str] = ()
    """CUDA devices of this machine that workers on it share; none leaves the choice to the evaluator."""


@dataclass(frozen=True, kw_only=True)
class ExecutorSettings(ABC):
    """Settings of a place where trials run. Each has a class of its own, listed in `EXECUTORS`."""

    on_this_machine: ClassVar[bool] = False
    """Whether its workers are processes of this machine, which counts them by its cores and GPUs."""

    name: str = setting("", "of the executor, as the files in conf/executor")

    def __post_init__(self) -> None:
        check_settings(self, "executor")

    @abstractmethod
    def pool(self, evaluations: Evaluations, workers: int | str) -> Pool:
        """Return what evaluates; its user closes it.

        Args:
            evaluations: what is evaluated.
            workers: trials at a time; `auto` is as many as there is room for.

        Raises:
            ConfigError: there is no such place. WorkerError: nothing can be started there.
        """

    @abstractmethod
    def check_asked(self, *, accelerator: str, memory_mib: float | None) -> None:
        """Raise `ConfigError` where more is asked of workers than they can have there.

        Args:
            accelerator: auto, cpu or gpu, which trials are to run on.
            memory_mib: the most private memory of a worker, where there is a limit.
        """


@dataclass(frozen=True, kw_only=True)
class LocalSettings(ExecutorSettings):
    """Processes of this machine."""

    on_this_machine: ClassVar[bool] = True

    name: str = setting("local", "of the executor, as the files in conf/executor")

    def pool(self, evaluations: Evaluations, workers: int | str) -> Pool:
        """Return worker processes."""
        return WorkerPool(
            evaluations.evaluator,
            cores_or(workers),
            objective=evaluations.objective,
            log=evaluations.log,
            trial_seconds=evaluations.trial_seconds,
            devices=evaluations.devices,
            memory_mib=evaluations.memory_mib,
        )

    def check_asked(self, *, accelerator: str, memory_mib: float | None) -> None:
        """Do nothing: processes of this machine can have all that it has."""


@dataclass(frozen=True, kw_only=True)
class RaySettings(ExecutorSettings):
    """Actors of a Ray cluster."""

    name: str = setting("ray", "of the executor, as the files in conf/executor")
    address: str | None = setting(
        None,
        "of ray: a cluster that runs: auto for the one that this machine is part of, or HOST:PORT of its head; null "
        "starts one on this machine, which ends with the search",
        typed="text",
    )
    cpus: float = setting(1.0, "of ray: cores of a trial, which also has as many threads", Range(0, above=True))
    gpus: float = setting(0.0, "of ray: GPUs of a trial; of 0.5 two share one", Range(0))
    memory_mib: float | None = setting(
        None,
        "of ray: memory that a trial is counted with, so that no more run on a machine than fit",
        Range(0, above=True),
    )
    resources: Mapping[str, Any] = setting(
        {}, "of ray: what else a trial takes of what its machine was started with, such as {big_memory: 1}"
    )
    modules: list[str] = setting(
        [],
        "of ray: Python files, or folders of packages, of your own that workers import, such as operations; they are "
        "sent to them",
        typed="paths",
    )
    lease_seconds: float = setting(
        LEASE_SECONDS,
        "of ray: a worker that gives no sign of life for so long has lost its trial, which is run again elsewhere",
        Range(0, above=True),
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.gpus > 1 and not self.gpus.is_integer():
            raise ConfigError(
                f"executor.gpus must be a part of one GPU, or a whole number of them, but got {self.gpus:g}"
            )
        for name, count in self.resources.items():
            check_kind(f"executor.resources.{name}", count, (int, float), "a number", ConfigError)
        for module in self.modules:
            check_kind("executor.modules", module, str, "a list of paths", ConfigError)
            if not user_path(module).exists():
                raise ConfigError(f"executor.modules: there is no {module}")

    def pool(self, evaluations: Evaluations, workers: int | str) -> Pool:
        """Return a pool of actors."""
        from nas.workers.executors.ray_executor import RayExecutor

        return LeasedPool(
            RayExecutor(self, None if workers == AUTO else int(workers)),
            evaluations.evaluator,
            objective=evaluations.objective,
            log=evaluations.log,
            trial_seconds=evaluations.trial_seconds,
            lease_seconds=self.lease_seconds,
        )

    def check_asked(self, *, accelerator: str, memory_mib: float | None) -> None:
        """Raise `ConfigError` where more is asked of workers than Ray gives them."""
        if accelerator == "gpu" and not self.gpus:
            raise ConfigError("accelerator=gpu with executor=ray: say how many a trial takes, such as executor.gpus=1")
        if memory_mib is not None:
            raise ConfigError(
                "search.worker_memory_mib is for executor=local; with executor=ray give executor.memory_mib, by which "
                "Ray places trials, while a machine that runs out of memory ends some of them"
            )


EXECUTORS: Mapping[str, type[ExecutorSettings]] = {"local": LocalSettings, "ray": RaySettings}
