"""The settings of `python -m nas.scale` as frozen dataclasses. Never loads torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from nas.cost.metrics import LATENCY, METRICS
from nas.errors import ConfigError
from nas.latency.deployment import DeploymentSettings
from nas.machine import check_accelerator, check_workers
from nas.names import check_name
from nas.resume import RecordSettings
from nas.scaling.rounding import Rounding
from nas.scaling.rules import RULES, Rule, rule
from nas.scaling.study.recipes import BySize
from nas.scaling.study.sizes import LAW_AXES, LOSSES
from nas.settings import SEED, Range, check_settings, setting
from nas.training.data.config import DataConfig
from nas.training.recipe import Recipe
from nas.training.tasks.classification import ACCURACY
from nas.training.tasks.registry import DEFAULT

MODES = ("family", "compare", "coefficients", "isoflop", "plan")
_DEFAULT_PHI = [0.0, 1.0, 2.0, 3.0]

_MOST_TIMES = 1e6


@dataclass(frozen=True, kw_only=True)
class CoefficientSearch:
    """How the coefficients of compound scaling are searched for."""

    by: Literal["grid", "optuna"] = setting(
        "grid", "grid: a lattice of ways to share out the cost; optuna: TPE proposes them"
    )
    steps: int = setting(5, "of the lattice: 21 networks for 5", Range(3, 20, whole=True))
    trials: int = setting(30, "networks that Optuna proposes", Range(10, 1000, whole=True))
    factor: float = setting(2.0, "what they cost, as a multiple of the base", Range(1.5, 64))

    def __post_init__(self) -> None:
        check_settings(self, "search")


@dataclass(frozen=True, kw_only=True)
class PlanSettings:
    """What the planner may spend, and how narrow is narrow enough."""

    hours: float = setting(1.0, "of this machine", Range(0, 1e5, above=True))
    work: float | None = setting(
        None,
        "or multiply-adds x images x epochs, in place of hours: the same on every machine",
        Range(0, 1e30, above=True),
    )
    until: float = setting(
        0.0, "ends when the 90 % interval of the forecast is this share of the loss wide", Range(0, 10)
    )

    def __post_init__(self) -> None:
        check_settings(self, "plan")


@dataclass(frozen=True, kw_only=True)
class ScaleConfig:
    """All settings of one scaling study. `conf/scale.yaml` says what each means."""

    space: str | None = setting(
        None, "given as +space=NAME: a space without choices", example="reference/efficientnet_b0", typed="text"
    )
    base: str | None = setting(
        None, "or an architecture.json, or the run folder of a search, whose winner is the base", typed="text"
    )
    resolution: int | None = setting(None, "input size of the base; null keeps its own", Range(1, 16_384, whole=True))
    mode: str = setting(
        "family",
        "family: the sizes of one rule; compare: several rules at equal counted cost; coefficients: the best alpha, "
        "beta, gamma of compound scaling; isoflop: the best size for a cost of training; plan: train what narrows a "
        "forecast most for its time",
        MODES,
    )
    rules: list[str] = setting(
        ["compound", "depth", "width", "resolution"], "of mode=compare; the others are compared with the first"
    )
    rule: str = setting("compound", ", ".join(RULES))
    coefficients: Mapping[str, Any] = setting(
        {}, "of the rule: alpha, beta, gamma of compound, alpha of dWr; null keeps the published ones"
    )
    phi: list[float] = setting([], "sizes as the rule says them; with neither phi nor times 0, 1, 2, 3")
    times: list[float] = setting([], "sizes as multiples of what the base costs, solved for after rounding")
    budget: str = setting(
        "macs",
        "what times is of: macs, params, activations, peak_memory_mib, ..., or latency_ms, measured",
        METRICS,
    )
    tolerance: float = setting(
        0.05,
        "how far a size that is solved for may miss; one that cannot be had is named and left out",
        Range(0, 1, above=True, below=True),
    )
    rounding: Rounding = setting(Rounding, "how scaled sizes become whole ones")
    training: bool = setting(True, "train=false only counts", may_change=True)
    loss: str = setting(
        "error", f"what laws are of: error (1 - {ACCURACY.on_val}, of classification), val_loss", LOSSES
    )
    law: str = setting("macs", "what laws are in: macs or params", LAW_AXES)
    seeds: int = setting(3, "training runs of each size", Range(1, 1000, whole=True), may_change=True)
    by_size: BySize = setting(BySize, "what changes with the size, s times the multiply-adds of the base")
    lr_sweep: list[float] = setting(
        [], "multiples of the learning rate, tried at each size by a run of their own; [0.5,1,2]"
    )
    forecast: float | None = setting(
        None,
        "a multiple of the base's cost: written down from the law, then trained and compared",
        may_change=True,
    )
    budgets: list[float] = setting(
        [1.0, 2.0, 4.0], "of mode=isoflop: costs of training, as multiples of the base's with train.epochs"
    )
    search: CoefficientSearch = setting(CoefficientSearch, "of mode=coefficients")
    plan: PlanSettings = setting(PlanSettings, "of mode=plan", may_change=True)
    latency: bool | str = setting(
        "auto", "measure the networks on this machine; auto does where they are trained", may_change=True
    )
    inference: DeploymentSettings = setting(DeploymentSettings, "how they are then run")
    seed: int = setting(0, "of weights and batches", SEED)
    workers: int | str = setting("auto", "training runs at a time; auto is one a core", may_change=True)
    accelerator: str = setting("auto", "auto, cpu or gpu", may_change=True)
    name: str | None = setting(None, "of the folder in records.dir", typed="text")
    resume: bool = setting(False, "go on with name=NAME", may_change=True)
    data: DataConfig = setting(DataConfig, "which data set, and how it is split and augmented")
    train: Recipe = setting(Recipe, "how networks are trained")
    records: RecordSettings = setting(RecordSettings, "where records go", may_change=True)

    def __post_init__(self) -> None:
        if (self.space is None) == (self.base is None):
            raise ConfigError(
                "which base? Give +space=reference/NAME, a space without choices, or base=FILE: an architecture.json, "
                "or the run folder of a search, whose winner it is"
            )
        if self.latency not in (True, False, "auto"):
            raise ConfigError(f"latency must be auto, true or false, but got {self.latency!r}")
        check_settings(self, "")
        self._check_sizes()
        self._check_training()
        if self.training and self.data.task != DEFAULT:
            raise ConfigError(f"laws are of {DEFAULT.name}, but data {self.data.name} are of {self.data.task.name}")
        check_accelerator(self.accelerator)
        check_workers(self.workers)
        check_name(self.name)
        self.scaled_by()

    def _check_sizes(self) -> None:
        if self.mode == "compare" and self.phi:
            raise ConfigError("phi: rules are compared at equal cost, so sizes are times=[2,4,...], not phi")
        for size in self.times:
            if not 0 < size <= _MOST_TIMES:
                raise ConfigError(f"times are multiples > 0 and at most {_MOST_TIMES:g} of the base, but got {size:g}")
        if self.mode == "isoflop" and not self.training:
            raise ConfigError("mode=isoflop is about training, which train=false leaves out")
        if len(set(self.budgets)) < len(self.budgets):
            raise ConfigError(f"budgets must be different, but got {self.budgets}")
        if not self.budgets or any(not 0 < budget <= _MOST_TIMES for budget in self.budgets):
            raise ConfigError(f"budgets are multiples > 0 of the base's training, but got {self.budgets}")
        if self.mode == "coefficients" and (self.phi or self.times or not self.training):
            raise ConfigError(
                "mode=coefficients trains networks of search.factor times the base: no phi, no times, no train=false"
            )
        if self.mode == "compare" and len(set(self.rules)) < max(2, len(self.rules)):
            raise ConfigError(f"mode=compare needs two or more different rules, but got {self.rules}")

    def _check_training(self) -> None:
        if any(not 0 < factor <= _MOST_TIMES for factor in self.lr_sweep):
            raise ConfigError(f"lr_sweep has multiples > 0 of the learning rate, but got {self.lr_sweep}")
        if self.forecast is not None and not 0 < self.forecast <= _MOST_TIMES:
            raise ConfigError(f"forecast is a multiple > 0 of what the base costs, but got {self.forecast:g}")
        if self.forecast is not None and (self.budget != "macs" or self.mode not in ("family", "compare", "plan")):
            raise ConfigError("forecast needs mode=family, compare or plan, and budget=macs")
        if self.mode == "plan" and (self.law != "macs" or self.lr_sweep):
            raise ConfigError(
                "mode=plan goes by law=macs and the learning rate of the recipe: no law=params, no lr_sweep"
            )
        if self.mode == "isoflop" and self.by_size.epochs:
            raise ConfigError("mode=isoflop gives every size the epochs that its budget holds: no by_size.epochs")
        if self.mode == "coefficients" and self.latency is True:
            raise ConfigError("latency=true is of modes that have sizes, which mode=coefficients has not")
        if self.mode == "plan" and self.forecast is None:
            raise ConfigError("mode=plan needs forecast=TIMES: the size, as a multiple of the base, to plan for")
        if self.resume and self.name is None:
            raise ConfigError("resume=true needs name=NAME, the folder in records.dir that it goes on with")

    def scaled_by(self) -> list[Rule]:
        """What to scale by: one rule, or those that are compared."""
        given = {str(name): value for name, value in self.coefficients.items() if value is not None}
        if self.mode != "compare":
            return [rule(self.rule, **given)]
        return [rule(name, **(given if name == self.rule else {})) for name in self.rules]

    @property
    def measures(self) -> bool:
        """Whether latencies are measured: those of networks that are trained, and where they are the budget."""
        return self.budget == LATENCY or (self.reports if self.latency == "auto" else bool(self.latency))

    @property
    def reports(self) -> bool:
        """Whether sizes are trained and reported side by side."""
        return self.mode in ("family", "compare") and self.training

    @property
    def sizes(self) -> tuple[list[float], list[float]]:
        """Sizes as `phi` and as multiples of the base, where none are given the usual ones."""
        if self.phi or self.times:
            return self.phi, self.times
        if self.mode == "isoflop":
            return [], [0.5, 1.0, 2.0, 4.0]
        if self.mode == "plan":
            return [], [1.0, 2.0, 4.0, 8.0, 16.0]
        return ([], [1.0, 2.0, 4.0, 8.0]) if self.mode == "compare" else (list(_DEFAULT_PHI), [])
