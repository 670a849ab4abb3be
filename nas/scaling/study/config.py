"""The settings of `python -m nas.scale` as frozen dataclasses. Never loads torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from nas.cost.metrics import LATENCY, METRICS
from nas.errors import ConfigError, nearest
from nas.latency.deployment import DeploymentSettings
from nas.runs import RecordSettings, check_accelerator, check_name, check_seed, check_workers
from nas.scaling.rounding import Rounding
from nas.scaling.rules import Rule, rule
from nas.scaling.study.recipes import BySize
from nas.scaling.study.sizes import LAW_AXES, LOSSES
from nas.settings import Range, check_ranges
from nas.training.data.config import DataConfig
from nas.training.recipe import Recipe

MODES = ("family", "compare", "coefficients", "isoflop", "plan")
_DEFAULT_PHI = [0.0, 1.0, 2.0, 3.0]
_DEFAULT_RULES = ["compound", "depth", "width", "resolution"]

_MOST_TIMES = 1e6
_MOST_SEEDS = 1000
FREE = ("seeds", "workers", "plan", "training", "accelerator", "resume", "records", "forecast", "latency")
"""Settings that may change when a study is gone on with: the others decide what was trained."""


@dataclass(frozen=True, kw_only=True)
class CoefficientSearch:
    """How the coefficients of compound scaling are searched for."""

    by: Literal["grid", "optuna"] = "grid"
    steps: int = 5
    """Of the lattice: 21 networks for 5."""
    trials: int = 30
    """Networks that Optuna proposes."""
    factor: float = 2.0
    """What they cost, as a multiple of the base."""

    def __post_init__(self) -> None:
        ranges = {"steps": Range(3, 20, whole=True), "trials": Range(10, 1000, whole=True), "factor": Range(1.5, 64)}
        check_ranges(self, "search", ranges)


@dataclass(frozen=True, kw_only=True)
class PlanSettings:
    """What the planner may spend, and how narrow is narrow enough."""

    hours: float = 1.0
    """Of this machine."""
    work: float | None = None
    """A budget in multiply-adds times training images in place of hours, the same on every machine."""
    until: float = 0.0
    """Width of the 90 % interval of the forecast, as a share of the loss, at which it ends."""

    def __post_init__(self) -> None:
        ranges = {"hours": Range(0, 1e5, above=True), "work": Range(0, 1e30, above=True), "until": Range(0, 10)}
        check_ranges(self, "plan", ranges)


@dataclass(frozen=True, kw_only=True)
class ScaleConfig:
    """All settings of one scaling study. `conf/scale.yaml` says what each means."""

    space: str | None = None
    base: str | None = None
    resolution: int | None = None
    mode: str = "family"
    rule: str = "compound"
    rules: list[str] = field(default_factory=lambda: list(_DEFAULT_RULES))
    coefficients: Mapping[str, Any] = field(default_factory=dict)
    phi: list[float] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    budget: str = "macs"
    tolerance: float = 0.05
    rounding: Rounding = field(default_factory=Rounding)
    training: bool = True
    loss: str = "error"
    law: str = "macs"
    by_size: BySize = field(default_factory=BySize)
    lr_sweep: list[float] = field(default_factory=list)
    forecast: float | None = None
    budgets: list[float] = field(default_factory=lambda: [1.0, 2.0, 4.0])
    search: CoefficientSearch = field(default_factory=CoefficientSearch)
    plan: PlanSettings = field(default_factory=PlanSettings)
    seeds: int = 3
    seed: int = 0
    latency: bool | str = "auto"
    inference: DeploymentSettings = field(default_factory=DeploymentSettings)
    workers: int | str = "auto"
    accelerator: str = "auto"
    name: str | None = None
    resume: bool = False
    data: DataConfig = field(default_factory=DataConfig)
    train: Recipe = field(default_factory=Recipe)
    records: RecordSettings = field(default_factory=RecordSettings)

    def __post_init__(self) -> None:
        if (self.space is None) == (self.base is None):
            raise ConfigError(
                "which base? Give +space=reference/NAME, a space without choices, or base=FILE: an architecture.json, "
                "or the run folder of a search, whose winner it is"
            )
        if self.mode not in MODES:
            raise ConfigError(f"unknown mode {self.mode!r}. {nearest(self.mode, MODES)}")
        if self.budget not in METRICS:
            raise ConfigError(f"budget: unknown metric {self.budget!r}. {nearest(self.budget, METRICS)}")
        if self.latency not in (True, False, "auto"):
            raise ConfigError(f"latency must be auto, true or false, but got {self.latency!r}")
        ranges = {"tolerance": Range(0, 1, above=True, below=True), "resolution": Range(1, 16_384, whole=True)}
        check_ranges(self, "", ranges)
        self._check_sizes()
        self._check_training()
        check_accelerator(self.accelerator)
        check_workers(self.workers)
        check_seed("seed", self.seed)
        check_name(self.name)
        self.scaled_by()

    def _check_sizes(self) -> None:
        if self.mode == "compare" and self.phi:
            raise ConfigError("phi: rules are compared at equal cost, so sizes are times=[2,4,...], not phi")
        for one in self.times:
            if not 0 < one <= _MOST_TIMES:
                raise ConfigError(f"times are multiples > 0 and at most {_MOST_TIMES:g} of the base, but got {one:g}")
        if self.mode == "isoflop" and not self.training:
            raise ConfigError("mode=isoflop is about training, which train=false leaves out")
        if len(set(self.budgets)) < len(self.budgets):
            raise ConfigError(f"budgets must be different, but got {self.budgets}")
        if not self.budgets or any(not 0 < one <= _MOST_TIMES for one in self.budgets):
            raise ConfigError(f"budgets are multiples > 0 of the base's training, but got {self.budgets}")
        if self.mode == "coefficients" and (self.phi or self.times or not self.training):
            raise ConfigError(
                "mode=coefficients trains networks of search.factor times the base: no phi, no times, no train=false"
            )
        if self.mode == "compare" and len(set(self.rules)) < max(2, len(self.rules)):
            raise ConfigError(f"mode=compare needs two or more different rules, but got {self.rules}")

    def _check_training(self) -> None:
        if self.law not in LAW_AXES:
            raise ConfigError(f"law: unknown {self.law!r}. {nearest(self.law, LAW_AXES)}")
        if self.loss not in LOSSES:
            raise ConfigError(f"loss: unknown {self.loss!r}. {nearest(self.loss, LOSSES)}")
        check_ranges(self, "", {"seeds": Range(1, _MOST_SEEDS, whole=True)})
        if any(not 0 < one <= _MOST_TIMES for one in self.lr_sweep):
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
