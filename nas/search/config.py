"""The settings of `python -m nas.search` as frozen dataclasses. Never loads torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from math import inf
from pathlib import Path
from typing import Any

from nas.cost import AFTER_TRAINING, INT8_LATENCY, METRICS, TRAINING_MEMORY, Workload, constraints_from
from nas.errors import ConfigError, nearest
from nas.evaluation import Budget
from nas.evaluators.registry import EVALUATORS
from nas.evaluators.settings import EvaluatorSettings
from nas.evaluators.training import TrainingSettings, check_inherit_in_folds
from nas.latency.deployment import Deployment, DeploymentSettings
from nas.latency.device_profile import DeviceProfile, devices_folder, profile_path
from nas.machine import check_accelerator, check_workers, cores_or, gpu_devices
from nas.names import check_name
from nas.resources import spaces_to_search
from nas.resume import RecordSettings
from nas.run_folder import user_path
from nas.search.after_training import asked_for, check_asked
from nas.search.settings import Settings
from nas.search.trial_files import check_inherit
from nas.settings import setting, settings_from
from nas.space import SearchSpace, load_space
from nas.space.fit import Fit, fit_as_set, fit_setting, left_as_it_is
from nas.space.fix import fixed
from nas.training.data.config import DataConfig
from nas.training.data.registry import check_recipe
from nas.training.recipe import Recipe, training_copies
from nas.training.recipe_decisions import RecipeDecisions, recipe_decisions
from nas.training.tasks.classification import CLASSIFICATION
from nas.training.tasks.registry import without_auto
from nas.workers.executors.settings import EXECUTORS, ExecutorSettings, LocalSettings
from nas.workers.process import check_worker_count

_DESIGNS = 6
"""Known designs that a search under limits begins with where nothing is said."""
AUTO = "auto"
"""What is given in place of the name of a space where it is to be chosen."""


@dataclass(frozen=True, kw_only=True)
class InferenceSettings(DeploymentSettings):
    """How the network is to be used, where limits depend on it."""

    profile: str | None = setting(
        "auto",
        "of python -m nas.calibrate: auto is runs/devices/..., where it is there; null: measure all",
        typed="text",
    )
    remeasure: bool = setting(
        False, "measure also networks whose latency an earlier search measured on this device, with these versions"
    )


@dataclass(frozen=True, kw_only=True)
class Config(Settings):
    """All settings of one search by the command."""

    space: str | None = setting(
        None,
        "given as +space=NAME or +space=path/to/file.yaml; +space=auto chooses among those that suit the data, by "
        "random networks within the limits, in 15 % of search.minutes, or on top with as much training as 15 % of "
        "search.trials",
        example="mbconv",
        typed="text",
    )
    fit: str = fit_setting("; with search.first it stays as it is")
    workers: int | str = setting(
        "auto",
        "evaluation processes: auto is one a core, or one a GPU; with executor=ray or slurm trials at a time, and of "
        "ray auto is as many as the cluster has room for",
        may_change=True,
    )
    accelerator: str = setting("auto", "auto, cpu or gpu", may_change=True)
    name: str | None = setting(None, "of the run folder; null makes one from space, data and time", typed="text")
    resume: str | None = setting(
        None,
        "a run folder to go on with; then only search.* limits, workers, executor, data.root, the place of "
        "evaluator.transfer.weights and records may change",
        may_change=True,
        typed="text",
    )
    finish: bool = setting(
        False,
        "at the end train the best anew, beside published networks, and report what holds, as nas finish RUN does",
        may_change=True,
    )
    inference: InferenceSettings = setting(
        InferenceSettings, "how the network is to be used, for latency_ms and inference_memory_mib"
    )
    executor: ExecutorSettings = setting(LocalSettings, "where trials run", by_name=EXECUTORS, may_change=True)
    evaluator: EvaluatorSettings = setting(TrainingSettings, "what scores candidates", by_name=EVALUATORS)
    data: DataConfig = setting(DataConfig, "which data set, and how it is split and augmented")
    train: Recipe = setting(Recipe, "how candidates are trained")
    records: RecordSettings = setting(RecordSettings, "where records go")

    def __post_init__(self) -> None:
        if self.space is None:
            raise ConfigError(
                f"which space? Give +space=NAME or +space=path/to/file.yaml, or +space={AUTO}. {spaces_to_search()}"
            )
        super().__post_init__()
        if self.chooses_space:
            self._check_choice()
        self._limit_memory()
        check_workers(self.workers)
        if isinstance(self.workers, int) and not self.evaluator.simulated and self.executor.on_this_machine:
            check_worker_count(self.workers)
        self.executor.check_asked(accelerator=self.accelerator, memory_mib=self.search.worker_memory_mib)
        named = without_auto(self.search.objective, self.evaluator.objective(self.data))
        object.__setattr__(self, "search", replace(self.search, objective=named))
        given = (*self.evaluator.known_scores(self.data), *self._after_training)
        check_asked(self._asked, given, self.pruner)
        known, wanted = (*given, *METRICS), self.search.objective
        for name in [wanted] if isinstance(wanted, str) else wanted:
            if name not in known:
                raise ConfigError(f"search.objective: unknown {name!r}. {nearest(name, known)}")
        objectives = self.search.objectives
        if not self.evaluator.states_epochs:
            self.pruner.check(self.budget, len(objectives))
        self._check_recipe()
        self._check_folds()
        if isinstance(self.evaluator, TrainingSettings):
            check_inherit(self.evaluator.inherit, self.search, run="the run folder")
        if self.finish and not isinstance(self.evaluator, TrainingSettings):
            raise ConfigError(
                f"finish=true trains the best networks anew, which evaluator={self.evaluator.name} does not"
            )
        if self.finish and objectives[0].name in AFTER_TRAINING:
            raise ConfigError(
                f"finish=true reports what holds on the test split, where {objectives[0].name} is not looked at; "
                f"search for one of {', '.join(self.data.task.val_scores)}, and give it as a limit or as a second "
                "objective"
            )
        check_accelerator(self.accelerator)
        check_name(self.name)

    def _limit_memory(self) -> None:
        """Have candidates that `train.memory_mib` cannot be held with rejected before they are trained.

        Raises:
            ConfigError: memory is also asked for as it is without that.
        """
        limit = self.train.memory_mib
        if limit is None or not isinstance(self.evaluator, TrainingSettings):
            return
        wanted = self.search.objective
        if TRAINING_MEMORY in ([wanted] if isinstance(wanted, str) else wanted) or TRAINING_MEMORY in self.soft:
            raise ConfigError(
                f"search.objective and soft: {TRAINING_MEMORY} is what training takes by itself, but "
                f"train.memory_mib={limit:g} holds it to that by computing blocks again: set one of the two"
            )
        given = constraints_from({name: self.constraints[name] for name in {TRAINING_MEMORY} & self.constraints.keys()})
        low, high = next(((one.low, one.high) for one in given), (-inf, inf))
        if high < limit:
            raise ConfigError(
                f"constraints.{TRAINING_MEMORY}={high:g} is less than train.memory_mib={limit:g}, which training may "
                f"take: set train.memory_mib={high:g}, which rejects networks that cannot be trained with that"
            )
        limits = {**self.constraints, TRAINING_MEMORY: [None if low == -inf else low, limit]}
        object.__setattr__(self, "constraints", limits)

    def _check_recipe(self) -> None:
        """Raise `ConfigError` where the recipe cannot be decided as `search.recipe` says."""
        check_decided(self.decided, self.evaluator, self.data, self.train)

    def _check_folds(self) -> None:
        """Raise `ConfigError` where k-fold validation does not go with what evaluates candidates, or ends them."""
        if not self.data.folds:
            return
        if not isinstance(self.evaluator, TrainingSettings):
            raise ConfigError(
                f"data.folds={self.data.folds} is for networks that are trained, which evaluator={self.evaluator.name} "
                "does not; set it to 0"
            )
        check_inherit_in_folds(self.evaluator.inherit, self.data)
        self.pruner.check_folds(self.data.folds)

    @cached_property
    def decided(self) -> RecipeDecisions:
        """What is decided of the recipe with each network."""
        return recipe_decisions(self.search.recipe, self.train)

    def load_space(self) -> SearchSpace:
        """Return the space with the decisions fixed that are to be.

        Raises:
            SpaceError: no such space. ConfigError: `search.fix` names no decision of it, or none of its options.
        """
        return fixed(load_space(self.space or ""), self.search.fix, "search.fix")

    @property
    def _after_training(self) -> tuple[str, ...]:
        """What the evaluator gives of trained networks in 8 bits, which are told by how often they name a class."""
        classifies = self.data.task.eight_bits == CLASSIFICATION.eight_bits
        return self.evaluator.after_training if classifies else ()

    @property
    def chooses_space(self) -> bool:
        """Whether the space is chosen before it is searched."""
        return self.space == AUTO

    @property
    def counted_limits(self) -> Mapping[str, Any]:
        """The hard limits that can be counted before anything is built."""
        counted = [limit.metric for limit in constraints_from(self.constraints) if limit.counted]
        if self.train.memory_mib is not None:
            counted = [name for name in counted if name != TRAINING_MEMORY]
        return {name: self.constraints[name] for name in counted}

    def _check_choice(self) -> None:
        """Raise `ConfigError` where no space can be chosen by networks that are trained within limits."""
        way_out = "give +space=NAME"
        if not isinstance(self.evaluator, TrainingSettings):
            raise ConfigError(
                f"+space={AUTO} chooses by networks that it trains, which evaluator={self.evaluator.name} does not; "
                f"{way_out}"
            )
        for name in ("fix", "first", "warm_start"):
            if getattr(self.search, name):
                raise ConfigError(f"+space={AUTO}: search.{name} is of one space, which is not known yet; {way_out}")
        if not any(limit.high < inf for limit in constraints_from(self.counted_limits)):
            raise ConfigError(
                f"+space={AUTO} chooses by what spaces make of limits: give one that can be counted, such as "
                f"constraints.params=5e5, or {way_out}; nas advise proposes both"
            )

    def fitted(self, space: SearchSpace) -> Fit:
        """Return a space, made for its data, as a search of it takes it.

        Networks of the user's own, and those of a table, are of the space as it is written. With a warm start it is
        brought to the limits only where that leaves as many of the earlier networks in it.
        """
        if self.search.first or not self.evaluator.any_network:
            return left_as_it_is(space)
        limits = space.limits_with(self.constraints, self.soft)
        fit = fit_as_set(space, self.fit, limits, workload=self.workload)
        earlier = self.search.warm_start
        if earlier is None or fit.multiplier == 1 or _known(earlier, fit.space) >= _known(earlier, space):
            return fit
        return left_as_it_is(space)

    def with_portfolio(self, space: SearchSpace) -> Config:
        """Return these settings with the number of known designs that a search of a space begins with."""
        if self.search.portfolio is not None:
            return self
        limits = space.limits_with(self.constraints, self.soft)
        limited = any(limit.counted and not limit.soft and limit.high < inf for limit in limits)
        trains = isinstance(self.evaluator, TrainingSettings)
        count = min(_DESIGNS, self.search.most_trials // 2) if limited and trains else 0
        return replace(self, search=replace(self.search, portfolio=count))

    @property
    def budget(self) -> Budget:
        """That of one evaluation."""
        return Budget(epochs=self.train.epochs)

    @property
    def _asked(self) -> tuple[str, ...]:
        """What of it is asked for that only training shows."""
        limits = [*constraints_from(self.constraints), *constraints_from(self.soft, soft=True)]
        return asked_for(limits, self.search.objective)

    @property
    def asks_int8(self) -> bool:
        """Whether a search looks at trained networks in 8 bits."""
        return bool(self._asked)

    @property
    def measures_int8(self) -> bool:
        """Whether a search has to measure latency in 8 bits."""
        return INT8_LATENCY in self._asked

    def measures(self, space: SearchSpace) -> bool:
        """Whether a search has to measure latency: it is limited, or an objective."""
        limits = space.limits_with(self.constraints, self.soft)
        return any(subject.measured for subject in limits) or any(
            subject.measured for subject in self.search.objectives
        )

    @property
    def workload(self) -> Workload:
        """What the networks are to run as."""
        # Where the recipe is decided, networks have to hold their limits by any recipe.
        copies = max(map(training_copies, self.decided.possible("optimizer")))
        limit = self.train.memory_mib
        if limit is not None:  # which counts an average of the weights
            copies += max(self.decided.possible("ema")) > 0
        return Workload(self.inference.batch, max(self.decided.possible("batch_size")), copies, limit)

    @property
    def deployment(self) -> Deployment:
        """How the networks are to be run; raises `ConfigError` where this machine cannot."""
        return self.inference.deployment

    @property
    def known_latencies(self) -> Path | None:
        """The folder of latencies that were measured before; None: every network is measured."""
        return None if self.inference.remeasure else devices_folder(user_path(self.records.dir))

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
        profile = DeviceProfile.load(path)
        why_not = profile.why_not(self.deployment)
        if not why_not:
            return profile, f"predicted by {path} (nine in ten within {profile.accuracy.interval:.0%}), then measured"
        if name != "auto":
            raise ConfigError(f"inference.profile={name} does not hold here: {why_not}; python -m nas.calibrate")
        return None, f"{path} does not hold here ({why_not}), so every candidate is measured; python -m nas.calibrate"

    @classmethod
    def from_values(cls, values: Mapping[str, Any]) -> Config:
        """Read plain values; raises `ConfigError` for an unknown name or a wrong type or value."""
        return settings_from(cls, values)


def check_decided(decided: RecipeDecisions, evaluator: EvaluatorSettings, data: DataConfig, train: Recipe) -> None:
    """Make sure that an evaluator trains by what is decided of the recipe, and that it has a meaning for the data.

    Raises:
        ConfigError: it does not, or has not.
    """
    if decided and not isinstance(evaluator, TrainingSettings):
        raise ConfigError(f"search.recipe is of training, which evaluator={evaluator.name} does not")
    for name in decided.decisions:
        for value in decided.possible(name):
            if not decided.problem({name: value}):  # which a trial is told of
                check_recipe(data, replace(train, **{name: value}))


def _known(folder: str, space: SearchSpace) -> int:
    """Return how many networks of an earlier search are in a space."""
    from nas.search.warm_start import earlier_results

    try:
        return len(earlier_results(user_path(folder), space))
    except ConfigError:
        return 0


def calibration(config: Config, space: SearchSpace) -> str:
    """Return the command that makes a device profile for a search."""
    shape, use = "x".join(map(str, space.input_shape)), config.inference
    options = {"runtime": (use.runtime, "auto"), "batch": (use.batch, 1), "threads": (use.threads, 1)}
    given = "".join(f" --{name} {value}" for name, (value, usual) in options.items() if value != usual)
    name = space.name if config.chooses_space else config.space
    return f"python -m nas.calibrate --space {name} --data {shape}{given}"


def other_input(config: Config, space: SearchSpace, profile: DeviceProfile) -> str:
    """Say that a profile was made for something else than a search; empty where it was not."""
    if profile.spaces.get(space.name) == space.input_shape:
        return ""
    made = ", ".join(f"{name} ({'x'.join(map(str, shape))})" for name, shape in profile.spaces.items())
    return f"  It was made with networks of {made}; {calibration(config, space)} makes one for this search"


def worker_count(config: Config) -> tuple[int, list[str]]:
    """Return the number of processes on this machine, and the GPUs that they share: one a GPU, or else one a core."""
    gpus = gpu_devices() if config.accelerator != "cpu" else []
    if config.accelerator == "gpu" and not gpus:
        raise ConfigError("accelerator=gpu, but no NVIDIA GPU is found; leave it at auto, or take cpu")
    if config.workers == "auto" and gpus:
        return len(gpus), gpus
    return cores_or(config.workers), gpus
