"""`python -m nas.spaces compare`: spaces against each other, by networks drawn from them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from nas.compare.spaces.acceptance import acceptance_of, comparable_text
from nas.compare.spaces.complexity import MIN_NETWORKS
from nas.compare.spaces.population import Population, evaluate_population
from nas.compare.spaces.report import SpaceComparison, draw_edf, table_of, write_populations
from nas.console import run
from nas.cost.metrics import FREE_METRICS
from nas.errors import ConfigError, nearest
from nas.evaluation import Budget
from nas.evaluators.settings import EvaluatorSettings
from nas.evaluators.table.evaluator import TableEvaluator
from nas.evaluators.table.table import read_table
from nas.evaluators.training import TrainingEvaluator
from nas.run_folder import Held, shown, write_whole
from nas.runs import (
    RecordSettings,
    check_name,
    check_seed,
    check_workers,
    cores_or,
    earlier_settings,
    study_folder,
)
from nas.search.objectives import Objective, objectives_from
from nas.settings import Range, check_ranges, settings_from
from nas.space import SearchSpace, load_space, space_names
from nas.training.data.config import DataConfig
from nas.training.recipe import Recipe
from nas.workers.pool import Pool
from nas.workers.processes import WorkerPool
from nas.workers.simulated import SimulatedPool

_SETTINGS = "settings.json"
_FREE = ("trials", "complexity", "bins", "workers", "name", "resume", "records")
"""Settings that may change when a comparison is gone on with: the others decide what was evaluated."""


@dataclass(frozen=True, kw_only=True)
class SpacesConfig:
    """All settings of one comparison. `conf/spaces.yaml` says what each means."""

    spaces: list[str] = field(default_factory=list)
    trials: int = 40
    seed: int = 0
    complexity: str | None = "macs"
    bins: int | str = "auto"
    objective: str = "val_accuracy"
    direction: str | None = None
    constraints: Mapping[str, Any] = field(default_factory=dict)
    table_space: str | None = None
    workers: int | str = "auto"
    name: str | None = None
    resume: bool = False
    evaluator: EvaluatorSettings = field(default_factory=EvaluatorSettings)
    data: DataConfig = field(default_factory=DataConfig)
    train: Recipe = field(default_factory=Recipe)
    records: RecordSettings = field(default_factory=RecordSettings)

    def __post_init__(self) -> None:
        if len(self.spaces) < 2 or len(set(self.spaces)) < len(self.spaces):
            raise ConfigError(
                f"compare needs two or more different spaces, but got {self.spaces}. There are: "
                f"{', '.join(name for name in space_names() if '/' not in name)}"
            )
        check_ranges(self, "", {"trials": Range(MIN_NETWORKS, 10_000_000, whole=True)})
        if self.complexity is not None and self.complexity not in FREE_METRICS:
            raise ConfigError(f"complexity: unknown {self.complexity!r}. {nearest(self.complexity, FREE_METRICS)}")
        check_workers(self.workers)
        check_seed("seed", self.seed)
        check_name(self.name)
        self.evaluator.check_compares(self.constraints)
        if self.bins != "auto" and (not isinstance(self.bins, int) or self.bins < 1):
            raise ConfigError(f"bins must be auto or a whole number >= 1, but got {self.bins!r}")
        known = self.evaluator.known_scores
        if self.objective not in known:
            raise ConfigError(f"objective: unknown {self.objective!r}. {nearest(self.objective, known)}")
        objectives_from(self.objective, self.direction)
        if self.resume and self.name is None:
            raise ConfigError("resume=true needs name=NAME, the folder in records.dir that it goes on with")

    @property
    def score(self) -> Objective:
        """What the networks are evaluated for."""
        return objectives_from(self.objective, self.direction)[0]

    @property
    def error(self) -> str:
        """What the error is."""
        return f"1 - {self.score.name}" if self.score.sign > 0 else self.score.name


def compare(values: Mapping[str, Any]) -> int:
    """Compare spaces by some settings; returns the exit code."""
    return run("nas.spaces", lambda: _compare(settings_from(SpacesConfig, values)))


def _compare(config: SpacesConfig) -> None:
    spaces = [load_space(name) for name in config.spaces]
    with _folder(config) as held:
        _begin(config, held.path)
        _work(config, spaces, held.path)


def _work(config: SpacesConfig, spaces: list[SearchSpace], folder: Path) -> None:
    print(f"{shown(folder)}: name={folder.name} resume=true goes on with it", flush=True)
    populations = _on_table(config, spaces) if config.evaluator.name == "table" else _trained(config, spaces, folder)
    bins = config.bins if isinstance(config.bins, int) else None
    comparison = SpaceComparison(populations, config.trials, config.error, config.complexity, bins)
    lines = table_of(comparison)
    write_populations(comparison, folder / "populations.csv")
    draw_edf(comparison, folder / "edf.svg")
    write_whole(folder / "report.md", "\n".join(lines) + "\n")
    print("\n" + "\n".join(lines))
    print(f"\nNetworks, distributions and report: {shown(folder)}")


def _folder(config: SpacesConfig) -> Held:
    """Hold the folder of the results: that of an earlier comparison, or a new one."""
    root = Path(config.records.dir).expanduser()
    return study_folder(root, config.name, resume=config.resume, settings=_SETTINGS, stem="spaces", what="comparison")


def _begin(config: SpacesConfig, folder: Path) -> None:
    """Write the settings of a new comparison, or make sure that an earlier one is gone on with as it was."""
    settings = json.loads(json.dumps(asdict(config)))
    if config.resume:
        earlier_settings(folder / _SETTINGS, settings, _FREE, "comparison")
    write_whole(folder / _SETTINGS, json.dumps(settings, indent=1) + "\n")


def _populations(
    config: SpacesConfig, spaces: list[SearchSpace], pool: Pool, epochs: int | None, folder: Path | None
) -> list[Population]:
    """Evaluate networks of every space, once it is known that they can be compared."""
    acceptances = [
        acceptance_of(space, config.constraints, name=name, seed=config.seed)
        for name, space in zip(config.spaces, spaces, strict=True)
    ]
    if config.complexity is not None and all(one.costs for one in acceptances):
        print(comparable_text(acceptances, config.spaces, config.complexity), flush=True)
    return [
        evaluate_population(
            space,
            name=name,
            share=acceptances[number - 1].share,
            trials=config.trials,
            pool=pool,
            objective=config.score,
            constraints=config.constraints,
            budget=Budget(epochs=epochs) if epochs else None,
            seed=config.seed,
            run_dir=None if folder is None else folder / f"{number}-{Path(name).stem}",
            say=partial(print, flush=True),
        )
        for number, (name, space) in enumerate(zip(config.spaces, spaces, strict=True), start=1)
    ]


def _on_table(config: SpacesConfig, spaces: list[SearchSpace]) -> list[Population]:
    """Look networks up; the rows of the table are genotypes of one space, that others share networks with."""
    rows = load_space(config.table_space or config.spaces[0])
    rows = rows.for_data(rows.input_shape, rows.num_classes, task="any")
    table = read_table(rows, config.evaluator.table)
    pool = SimulatedPool(TableEvaluator(table, noise=config.evaluator.noise), objective=config.score.name)
    spaces = [space.for_data(rows.input_shape, rows.num_classes, task="any") for space in spaces]
    return _populations(config, spaces, pool, table.epochs, None)


def _trained(config: SpacesConfig, spaces: list[SearchSpace], folder: Path) -> list[Population]:
    evaluator = TrainingEvaluator(config.data, config.train)
    pool = WorkerPool(evaluator, cores_or(config.workers), objective=config.score.name)
    try:
        data = pool.describe()
        shape, classes = tuple(data["input_shape"]), data["num_classes"]
        spaces = [space.for_data(shape, classes, task="classification") for space in spaces]
        return _populations(config, spaces, pool, config.train.epochs, folder)
    finally:
        pool.close()
