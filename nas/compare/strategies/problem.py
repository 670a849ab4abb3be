"""What strategies are compared on, and one search of one strategy."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache

import numpy as np

from nas.compare.strategies.curves import Array, Curve, curve_of
from nas.cost import ONE, Cost, check, cost_of, value_of
from nas.errors import ConfigError, nearest
from nas.evaluation import Budget
from nas.evaluators.table.evaluator import TableEvaluator
from nas.evaluators.table.settings import TableSettings
from nas.evaluators.table.table import Table, read_table
from nas.network.architecture import Architecture
from nas.search.budgets.pruning import PRUNERS
from nas.search.objectives import Objective
from nas.search.run import run_search
from nas.search.samplers import sampler_names
from nas.search.settings import PYTHON_SETTINGS, Settings
from nas.search.trial import Trial
from nas.space import load_space
from nas.workers.simulated import SimulatedPool


@dataclass(frozen=True, slots=True)
class Strategy:
    """A sampler, and a pruner."""

    sampler: str
    pruner: str = "none"

    @classmethod
    def read(cls, text: str) -> Strategy:
        """Read `SAMPLER` or `SAMPLER+PRUNER`.

        Raises:
            ConfigError: an unknown name.
        """
        sampler, _, pruner = text.partition("+")
        pruner = pruner or "none"
        for what, name, known in (("sampler", sampler, sampler_names()), ("pruner", pruner, PRUNERS)):
            if name not in known:
                raise ConfigError(f"strategies: unknown {what} {name!r} in {text!r}. {nearest(name, list(known))}")
        return cls(sampler, pruner)

    def __str__(self) -> str:
        return self.sampler if self.pruner == "none" else f"{self.sampler}+{self.pruner}"


@dataclass(frozen=True, kw_only=True)
class TableProblem:
    """A table, and what is searched for in it."""

    space: str
    table: TableSettings
    settings: Settings = PYTHON_SETTINGS
    """Of each search, beside its strategy and its seed."""
    workers: int = 1
    """Evaluations at a time, on the simulated clock."""

    @property
    def objectives(self) -> tuple[Objective, ...]:
        """What is searched for."""
        return self.settings.search.objectives

    def load(self) -> Table:
        """Read the table; a process reads it once."""
        return _table(self.space, json.dumps(asdict(self.table)))

    def true(self, trial: Trial) -> tuple[float, ...]:
        """Return the objectives of a trial without noise; larger is better."""
        assert trial.cost is not None
        return self._worth(self.load().space.decode(trial.genotype), trial.cost)

    def _worth(self, architecture: Architecture, cost: Cost) -> tuple[float, ...]:
        table = self.load()
        return tuple(
            one.sign * (value_of(cost, one.name, ONE) if one.is_cost else table.true(architecture, one.name))
            for one in self.objectives
        )

    def points(self) -> Array:
        """Return the objectives of all networks of the table that hold the limits, without noise; larger is better.

        Raises:
            ConfigError: none holds them.
        """
        table = self.load()
        limits = table.space.limits_with(self.settings.constraints)
        found = []
        for genotype in table.genotypes:
            architecture = table.space.decode(genotype)
            cost = cost_of(architecture)
            if not any(one.rejects for one in check(cost, limits)):
                found.append(self._worth(architecture, cost))
        if not found:
            raise ConfigError(f"no network of the table holds the limits {dict(self.settings.constraints)}")
        return np.array(found)

    def search(self, strategy: Strategy, seed: int, reference: Sequence[float] | None) -> Curve:
        """Let a strategy search once."""
        table = self.load()
        pool = SimulatedPool(
            TableEvaluator(table, noise=self.table.noise), self.workers, objective=self.objectives[0].name
        )
        curves = table.epochs
        study = run_search(
            table.space,
            pool=pool,
            settings=self.settings,
            sampler=strategy.sampler,
            pruner=strategy.pruner,
            budget=Budget(epochs=curves) if curves else None,
            seed=seed,
            max_rejections=1_000_000,
        )
        return curve_of(study, str(strategy), seed, self.true, reference)


@lru_cache(maxsize=2)
def _table(space: str, settings: str) -> Table:
    loaded = load_space(space)
    loaded = loaded.for_data(loaded.input_shape, loaded.num_classes, task="any")
    return read_table(loaded, TableSettings(**json.loads(settings)))
