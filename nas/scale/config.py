"""The settings of `python -m nas.scale` as frozen dataclasses. Never loads torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from nas.cost.metrics import FREE_METRICS
from nas.errors import ConfigError, nearest
from nas.runs import RecordSettings, check_name, check_seed, check_workers
from nas.scale.rules import RULES, Rounding, Rule, rule
from nas.training.data.config import DataConfig
from nas.training.recipe import Recipe

MODES = ("family",)


@dataclass(frozen=True, kw_only=True)
class ScaleConfig:
    """All settings of one scaling study. `conf/scale.yaml` says what each means."""

    space: str | None = None
    base: str | None = None
    resolution: int | None = None
    mode: str = "family"
    rule: str = "compound"
    coefficients: Mapping[str, Any] = field(default_factory=dict)
    phi: list[float] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    budget: str = "macs"
    tolerance: float = 0.05
    rounding: Rounding = field(default_factory=Rounding)
    training: bool = True
    seeds: int = 3
    seed: int = 0
    workers: int | str = "auto"
    name: str | None = None
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
        if self.budget not in FREE_METRICS:
            raise ConfigError(f"budget: unknown metric {self.budget!r}. {nearest(self.budget, FREE_METRICS)}")
        if not 0 < self.tolerance < 1:
            raise ConfigError(f"tolerance: `0 < tolerance < 1` must hold, but got {self.tolerance}")
        if self.seeds < 1:
            raise ConfigError(f"seeds must be >= 1, but got {self.seeds}")
        check_workers(self.workers)
        check_seed("seed", self.seed)
        check_name(self.name)
        self.rules()

    def rules(self) -> list[Rule]:
        """What to scale by."""
        given = {name: value for name, value in self.coefficients.items() if value is not None}
        return [rule(self.rule, **given)]


RULE_NAMES = tuple(RULES)
