"""The problem of a table: strategies search it, and the noiseless scores of what they found are known."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache

import numpy as np

from nas.compare.strategies.curves import Array, Curve, curve_of
from nas.cost import Cost, check, cost_of, value_of
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
    """A sampler with a pruner; as text `SAMPLER` or `SAMPLER+PRUNER`."""

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
        for what, name, names in (("sampler", sampler, sampler_names()), ("pruner", pruner, PRUNERS)):
            if name not in names:
                raise ConfigError(f"strategies: unknown {what} {name!r} in {text!r}. {nearest(name, list(names))}")
        return cls(sampler, pruner)

    def __str__(self) -> str:
        return self.sampler if self.pruner == "none" else f"{self.sampler}+{self.pruner}"


@dataclass(frozen=True, kw_only=True)
class TableProblem:
    """A table of evaluated networks, the objectives that are searched for in it, and the size of a search."""

    space: str
    """Name or file of the space whose genotypes the table has."""
    table: TableSettings
    settings: Settings = PYTHON_SETTINGS
    """Of each search, beside its strategy and its seed."""
    workers: int = 1
    """Number of evaluations at a time, on the simulated clock."""

    @property
    def objectives(self) -> tuple[Objective, ...]:
        """The objectives with their directions."""
        return self.settings.search.objectives

    def load(self) -> Table:
        """Read the table; a process reads it once."""
        return _table(self.space, json.dumps(asdict(self.table)))

    def noiseless(self, trial: Trial) -> tuple[float, ...]:
        """Return the objectives of a trial without noise; larger is better."""
        assert trial.cost is not None
        return self._noiseless(self.load().space.decode(trial.genotype), trial.cost)

    def _noiseless(self, architecture: Architecture, cost: Cost) -> tuple[float, ...]:
        table = self.load()
        return tuple(
            each.sign * (value_of(cost, each.name) if each.is_cost else table.true(architecture, each.name))
            for each in self.objectives
        )

    def points(self) -> Array:
        """Return the noiseless objectives of the networks of the table that hold the limits, `(networks, objectives)`.

        Larger is better in each.

        Raises:
            ConfigError: none holds them.
        """
        table = self.load()
        limits = table.space.limits_with(self.settings.constraints)
        points = []
        for genotype in table.genotypes:
            architecture = table.space.decode(genotype)
            cost = cost_of(architecture)
            if not any(violation.rejects for violation in check(cost, limits)):
                points.append(self._noiseless(architecture, cost))
        if not points:
            raise ConfigError(f"no network of the table holds the limits {dict(self.settings.constraints)}")
        return np.array(points)

    def search(self, strategy: Strategy, seed: int, reference: Sequence[float] | None) -> Curve:
        """Run a search and return its curve.

        Args:
            strategy: searches.
            seed: of the search.
            reference: point of the hypervolume, for several objectives.
        """
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
        return curve_of(study, str(strategy), seed, self.noiseless, reference)


@lru_cache(maxsize=2)
def _table(space: str, settings: str) -> Table:
    loaded = load_space(space)
    loaded = loaded.for_data(loaded.input_shape, loaded.num_classes, task="any")
    return read_table(loaded, TableSettings(**json.loads(settings)))
