"""What evaluates candidates, by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from nas.cost import LATENCY
from nas.errors import ConfigError, nearest
from nas.evaluators.proxies.names import PROXY_NAMES, check_names
from nas.evaluators.table.table import TableSettings
from nas.training.recipe import SCORES

EVALUATORS = ("train", "table", "proxy")


@dataclass(frozen=True, kw_only=True)
class EvaluatorSettings:
    """What evaluates, and where it looks scores up."""

    name: str = "train"
    """One of `EVALUATORS`."""
    file: str | None = None
    """Of a table, see `nas.evaluators.table.table.TableSettings`."""
    scores: Mapping[str, str | list[str]] = field(default_factory=dict)
    """None: the column `val_accuracy`."""
    genotype: str | None = None
    seconds: str | None = None
    scale: float = 1.0
    noise: bool = True
    """Of a table: draw one of the repetitions; else their mean is given."""
    proxies: list[str] = field(default_factory=lambda: list(PROXY_NAMES))
    """Of `proxy`: what to measure."""

    def __post_init__(self) -> None:
        if self.name not in EVALUATORS:
            raise ConfigError(f"evaluator.name: unknown {self.name!r}. {nearest(self.name, EVALUATORS)}")
        check_names(self.proxies)
        if not 0 < abs(self.scale) < float("inf"):
            raise ConfigError(f"evaluator.scale must be a number other than 0, but got {self.scale}")
        if self.name == "table" and self.file is None:
            raise ConfigError("evaluator table: which file? evaluator.file=PATH.csv")

    def check_compares(self, constraints: Mapping[str, object]) -> None:
        """Raise `ConfigError` where it, or a limit, is not for comparisons: they train, or look up in a table."""
        if self.name == "proxy":
            raise ConfigError("evaluator=proxy is for nas.search and nas.proxies; comparisons train, or take a table")
        if LATENCY in constraints and constraints[LATENCY] is not None:
            raise ConfigError(f"constraints.{LATENCY} is for nas.search; comparisons take limits that can be counted")

    @property
    def _columns(self) -> Mapping[str, str | list[str]]:
        return self.scores or {"val_accuracy": "val_accuracy"}

    @property
    def table(self) -> TableSettings:
        """Which columns of a file say what."""
        return TableSettings(
            file=self.file or "", scores=self._columns, genotype=self.genotype, seconds=self.seconds, scale=self.scale
        )

    @property
    def known_scores(self) -> tuple[str, ...]:
        """The scores that it gives."""
        return {"table": tuple(self._columns), "proxy": tuple(self.proxies)}.get(self.name, SCORES)
