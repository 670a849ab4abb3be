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


_OWN_OPTIONS = ("array", "job-name", "output", "open-mode", "parsable", "signal", "wait", "wrap", "requeue", "export")
"""Options of sbatch that the executor gives itself."""
_WHOLE = Range(0, whole=True)


@dataclass(frozen=True, kw_only=True)
class SlurmSettings(ExecutorSettings):
    """Jobs of a Slurm cluster, each a worker that does one trial after another."""

    name: str = setting("slurm", "of the executor, as the files in conf/executor")
    partition: str | None = setting(None, "of slurm: null is the cluster's default", typed="text")
    account: str | None = setting(None, "of slurm: which its time is booked on", typed="text")
    qos: str | None = setting(None, "of slurm: quality of service", typed="text")
    minutes: float | None = setting(
        None,
        "of slurm: wall time of a worker, which does one trial after another in it; null is that of the partition",
        Range(0, above=True),
    )
    cpus: int = setting(1, "of slurm: cores of a trial, which also has as many threads", Range(1, whole=True))
    gpus: int = setting(0, "of slurm: GPUs of a trial; of a kind by sbatch=[--gres=gpu:a100:1]", _WHOLE)
    memory_mib: int | None = setting(
        None, "of slurm: memory of a trial, over which Slurm ends it", Range(1, whole=True)
    )
    sbatch: list[str] = setting([], "of slurm: more options of sbatch, such as [--constraint=a100, --nice=100]")
    setup: list[str] = setting(
        [],
        "of slurm: lines of shell that a worker begins with, such as ['module load cuda', 'source venv/bin/activate']",
    )
    python: str | None = setting(
        None, "of slurm: Python that runs workers, with nas; null is that of this process", typed="text"
    )
    host: str | None = setting(
        None, "of slurm: address of this machine by which the nodes reach it; null is that of its name", typed="text"
    )
    log_folder: str | None = setting(
        None,
        "of slurm: folder that the nodes see, too, for the logs of workers; null is slurm in the run folder",
        typed="path",
    )
    signal_seconds: int = setting(
        60, "of slurm: so long before the end of its wall time a worker gives back its trial", Range(1, whole=True)
    )
    lease_seconds: float = setting(
        LEASE_SECONDS,
        "of slurm: a worker that gives no sign of life for so long has lost its trial, and one that has none of the "
        "search ends",
        Range(0, above=True),
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        for option in self.sbatch:
            check_kind("executor.sbatch", option, str, "a list of options", ConfigError)
            name = option.partition("=")[0].removeprefix("--")
            if not option.startswith("--") or name in _OWN_OPTIONS:
                own = (
                    f", which executor=slurm gives itself, as {', '.join(_OWN_OPTIONS)}" if name in _OWN_OPTIONS else ""
                )
                raise ConfigError(
                    f"executor.sbatch takes options such as --constraint=a100, but got {option!r:.80}{own}"
                )
        for line in self.setup:
            check_kind("executor.setup", line, str, "a list of lines of shell", ConfigError)
        if self.minutes is not None and 60 * self.minutes <= self.signal_seconds:
            raise ConfigError(
                f"executor.minutes={self.minutes:g} leaves no time for a trial before executor.signal_seconds="
                f"{self.signal_seconds}"
            )

    def pool(self, evaluations: Evaluations, workers: int | str) -> Pool:
        """Return a pool of workers."""
        from nas.workers.executors.slurm_executor import SlurmExecutor

        if workers == AUTO:
            raise ConfigError("executor=slurm: how many jobs at a time? A cluster has no end: give workers=N")
        if self.log_folder is not None:
            folder = user_path(self.log_folder)
        elif evaluations.log is not None:
            folder = evaluations.log.parent / "slurm"
        else:
            raise ConfigError(
                "executor=slurm needs a folder that the nodes see, for the logs of workers: give run_dir, or "
                "SlurmSettings(log_folder=...)"
            )
        return LeasedPool(
            SlurmExecutor(self, int(workers), folder),
            evaluations.evaluator,
            objective=evaluations.objective,
            log=evaluations.log,
            trial_seconds=evaluations.trial_seconds,
            lease_seconds=self.lease_seconds,
        )

    def check_asked(self, *, accelerator: str, memory_mib: float | None) -> None:
        """Raise `ConfigError` where more is asked of workers than Slurm is asked for."""
        if accelerator == "gpu" and not self.gpus and not any("gpu" in option for option in self.sbatch):
            raise ConfigError(
                "accelerator=gpu with executor=slurm: say how many a trial takes, such as executor.gpus=1"
            )
        if memory_mib is not None:
            raise ConfigError("search.worker_memory_mib is for executor=local; of slurm it is executor.memory_mib")


EXECUTORS: Mapping[str, type[ExecutorSettings]] = {"local": LocalSettings, "ray": RaySettings, "slurm": SlurmSettings}
