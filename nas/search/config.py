"""The settings of `python -m nas.search` as frozen dataclasses. Never loads torch."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nas.cost import METRICS, Workload
from nas.errors import ConfigError, nearest
from nas.evaluation import Budget
from nas.evaluators.settings import EvaluatorSettings
from nas.latency.deployment import Deployment, DeploymentSettings
from nas.latency.device_profile import DeviceProfile, profile_path
from nas.runs import RecordSettings, check_accelerator, check_name, check_seed, check_workers, cores_or
from nas.search.contracts import MAX_EQUAL_FAILURES
from nas.search.fidelity import Pruning
from nas.search.objectives import Objective, objectives_from
from nas.settings import Range, check_ranges, settings_from
from nas.space import SearchSpace, space_names
from nas.training.data.config import DataConfig
from nas.training.recipe import Recipe
from nas.workers.process import check_worker_count

_MOST = 100_000_000
_COUNT = Range(0, _MOST, whole=True, above=True)
_MINUTES = Range(0, _MOST, above=True)
_PROPOSERS = Range(1, 100_000, whole=True)
SEARCH_RANGES = {
    "trials": _COUNT,
    "minutes": _MINUTES,
    "max_rejections": _COUNT,
    "trial_minutes": _MINUTES,
    "max_equal_failures": _COUNT,
    "worker_memory_mib": Range(0, _MOST, above=True),
    "soft_weight": Range(0, _MOST),
    "baseline_fraction": Range(0, 1, below=True),
}
"""What the numbers of a search may be, also where it is one Python call."""

# What may change when a study is resumed: how long and where it runs, not what it is.
_RESUMABLE = (
    "resume",
    "workers",
    "accelerator",
    "data.root",
    "search.trials",
    "search.minutes",
    "search.max_rejections",
    "search.trial_minutes",
    "search.max_equal_failures",
    "search.worker_memory_mib",
    "records.mlflow",
)


@dataclass(frozen=True, kw_only=True)
class SearchSettings:
    """When the search ends, and what it looks for."""

    trials: int = 12
    minutes: float | None = None
    objective: str | list[str] = "val_accuracy"
    """A score, or several scores and costs."""
    direction: str | list[str] | None = None
    """None is what the names of the objectives say."""
    max_rejections: int = 1000
    trial_minutes: float | None = None
    """None: ten times what the longest of the other evaluations took."""
    max_equal_failures: int | None = MAX_EQUAL_FAILURES
    worker_memory_mib: float | None = None
    soft_weight: float = 0.1
    baseline_fraction: float = 0.0
    warm_start: str | None = None
    """Run folder of an earlier search."""

    def __post_init__(self) -> None:
        check_ranges(self, "search", SEARCH_RANGES)

    @property
    def objectives(self) -> tuple[Objective, ...]:
        """What is searched for."""
        return objectives_from(self.objective, self.direction)


@dataclass(frozen=True, kw_only=True)
class InferenceSettings(DeploymentSettings):
    """How the network is to be used, where limits depend on it."""

    profile: str | None = "auto"
    """A device profile; auto is the one in `records.dir` for this deployment, where it is there and holds."""


@dataclass(frozen=True, kw_only=True)
class SamplerSettings:
    """What proposes candidates."""

    name: str = "default"
    population: int | None = None
    """Of `evolution`."""
    tournament: int | None = None
    """Of `evolution`."""

    def __post_init__(self) -> None:
        check_ranges(self, "sampler", {"population": _PROPOSERS, "tournament": _PROPOSERS})

    @property
    def options(self) -> dict[str, Any]:
        """What was set beside the name."""
        given = {"population": self.population, "tournament": self.tournament}
        return {name: value for name, value in given.items() if value is not None}


@dataclass(frozen=True, kw_only=True)
class Config:
    """All settings of one search. `conf/search.yaml` says what each means."""

    space: str | None = None
    seed: int = 0
    workers: int | str = "auto"
    accelerator: str = "auto"
    name: str | None = None
    resume: str | None = None
    search: SearchSettings = field(default_factory=SearchSettings)
    constraints: Mapping[str, Any] = field(default_factory=dict)
    soft: Mapping[str, Any] = field(default_factory=dict)
    inference: InferenceSettings = field(default_factory=InferenceSettings)
    sampler: SamplerSettings = field(default_factory=SamplerSettings)
    pruner: Pruning = field(default_factory=Pruning)
    evaluator: EvaluatorSettings = field(default_factory=EvaluatorSettings)
    data: DataConfig = field(default_factory=DataConfig)
    train: Recipe = field(default_factory=Recipe)
    records: RecordSettings = field(default_factory=RecordSettings)

    def __post_init__(self) -> None:
        if self.space is None:
            names = ", ".join(space_names())
            raise ConfigError(f"which space? Give +space=NAME or +space=path/to/file.yaml. There are: {names}")
        check_workers(self.workers)
        if isinstance(self.workers, int) and self.evaluator.name != "table":  # whose workers are only simulated
            check_worker_count(self.workers)
        known = (*self.evaluator.known_scores, *METRICS)
        wanted = self.search.objective
        for name in [wanted] if isinstance(wanted, str) else wanted:
            if name not in known:
                raise ConfigError(f"search.objective: unknown {name!r}. {nearest(name, known)}")
        objectives = self.search.objectives
        if self.evaluator.name != "table":  # which says itself after how many epochs it has scores
            self.pruner.check(self.budget, len(objectives))
        check_accelerator(self.accelerator)
        check_name(self.name)
        check_seed("seed", self.seed)

    @property
    def budget(self) -> Budget:
        """That of one evaluation."""
        return Budget(epochs=self.train.epochs)

    def measures(self, space: SearchSpace) -> bool:
        """Whether a search has to measure latency: it is limited, or an objective."""
        limits = space.limits_with(self.constraints, self.soft)
        return any(one.measured for one in limits) or any(one.measured for one in self.search.objectives)

    @property
    def workload(self) -> Workload:
        """What the networks are to run as."""
        copies = 4 if self.train.optimizer == "adamw" else 3
        return Workload(self.inference.batch, self.train.batch_size, copies)

    @property
    def deployment(self) -> Deployment:
        """How the networks are to be run; raises `ConfigError` where this machine cannot."""
        return self.inference.deployment

    def profile(self) -> tuple[DeviceProfile | None, str]:
        """Return the device profile to predict latency with, or None, and what to tell the user of it.

        Raises:
            ConfigError: a profile that was asked for by name does not hold.
        """
        name = self.inference.profile
        if name is None:
            return None, "latency is measured for every candidate that holds the others"
        path = profile_path(Path(self.records.dir), self.deployment) if name == "auto" else Path(name).expanduser()
        if name == "auto" and not path.exists():
            return None, f"no device profile {path}, so every candidate is measured; python -m nas.calibrate makes one"
        found = DeviceProfile.load(path)
        why_not = found.why_not(self.deployment)
        if not why_not:
            return found, f"predicted by {path} (nine in ten within {found.accuracy.interval:.0%}), then measured"
        if name != "auto":
            raise ConfigError(f"inference.profile={name} does not hold here: {why_not}; python -m nas.calibrate")
        return None, f"{path} does not hold here ({why_not}), so every candidate is measured; python -m nas.calibrate"

    @classmethod
    def from_values(cls, values: Mapping[str, Any]) -> Config:
        """Read plain values; raises `ConfigError` for an unknown name or a wrong type or value."""
        return settings_from(cls, values)


def calibration(config: Config, space: SearchSpace) -> str:
    """Return the command that makes a device profile for a search."""
    shape, use = "x".join(map(str, space.input_shape)), config.inference
    options = {"runtime": (use.runtime, "auto"), "batch": (use.batch, 1), "threads": (use.threads, 1)}
    given = "".join(f" --{name} {value}" for name, (value, usual) in options.items() if value != usual)
    return f"python -m nas.calibrate --space {config.space} --data {shape}{given}"


def other_input(config: Config, space: SearchSpace, profile: DeviceProfile) -> str:
    """Say that a profile was made for something else than a search; empty where it was not."""
    if profile.spaces.get(space.name) == space.input_shape:
        return ""
    made = ", ".join(f"{name} ({'x'.join(map(str, shape))})" for name, shape in profile.spaces.items())
    return f"  It was made with networks of {made}; {calibration(config, space)} makes one for this search"


def resumed_values(saved: Mapping[str, Any], now: Mapping[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """Return the settings of an earlier search with the limits that this command line changes.

    Args:
        saved: settings as the earlier search recorded them.
        now: settings of this command line.
        overrides: what the user typed, e.g. `["resume=runs/x", "search.trials=30"]`.

    Raises:
        ConfigError: an override of something that a study must keep.
    """
    values: dict[str, Any] = {key: _copy(value) for key, value in saved.items()}
    for override in overrides:
        path = override.split("=", 1)[0].lstrip("+~")
        if path not in _RESUMABLE or override.startswith("~"):
            raise ConfigError(
                f"resume goes on with the study as it was, so {path!r} cannot be given; {', '.join(_RESUMABLE)} can"
            )
        *parents, last = path.split(".")
        target, source = values, dict(now)
        for parent in parents:
            target, source = target[parent], source[parent]
        target[last] = source[last]
    return values


def _copy(value: Any) -> Any:
    return {key: _copy(item) for key, item in value.items()} if isinstance(value, Mapping) else value


def gpu_devices() -> list[str]:
    """Return the NVIDIA devices that may be used, by the names of CUDA_VISIBLE_DEVICES, without loading torch."""
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is not None:
        return [name.strip() for name in chosen.split(",") if name.strip() not in ("", "-1")]
    command = shutil.which("nvidia-smi")
    if command is None:
        return []
    listed = subprocess.run([command, "-L"], capture_output=True, text=True, check=False)
    return [str(i) for i, _ in enumerate(line for line in listed.stdout.splitlines() if line.startswith("GPU "))]


def worker_count(config: Config) -> tuple[int, list[str]]:
    """Return the number of workers, and the GPUs that they share: one worker a GPU, or else one a core."""
    gpus = gpu_devices() if config.accelerator != "cpu" else []
    if config.accelerator == "gpu" and not gpus:
        raise ConfigError("accelerator=gpu, but no NVIDIA GPU is found; leave it at auto, or take cpu")
    if config.workers == "auto" and gpus:
        return len(gpus), gpus
    return cores_or(config.workers), gpus
