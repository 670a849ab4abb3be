"""`python -m nas.spaces compare`: spaces against each other, by networks drawn from them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from nas.compare.spaces.acceptance import acceptance_of, comparable_text
from nas.compare.spaces.complexity import MIN_NETWORKS
from nas.compare.spaces.population import Population, evaluate_population
from nas.compare.spaces.report import SpaceComparison, draw_edf, table_of, write_populations
from nas.console import run
from nas.cost.metrics import COUNTED_DOCS, FREE_METRICS
from nas.errors import ConfigError, nearest
from nas.evaluation import Budget
from nas.evaluators.registry import EVALUATORS
from nas.evaluators.settings import EvaluatorSettings
from nas.evaluators.table.evaluator import TableEvaluator
from nas.evaluators.table.settings import TableSettings
from nas.evaluators.table.table import read_table
from nas.evaluators.training import TrainingEvaluator, TrainingSettings
from nas.held_out import without_test_split
from nas.machine import check_workers, cores_or
from nas.names import check_name
from nas.resume import RecordSettings, settings_to_go_on, study_folder
from nas.run_folder import Held, shown, user_path, write_whole
from nas.search.objectives import Objective, objectives_from
from nas.search.settings import SearchSettings, Settings
from nas.settings import SEED, Range, check_settings, setting, settings_from
from nas.space import SearchSpace, load_space, space_names
from nas.training.data.config import DataConfig
from nas.training.recipe import Recipe
from nas.workers.pool import Pool
from nas.workers.processes import WorkerPool
from nas.workers.simulated import SimulatedPool

_SETTINGS = "settings.json"


@dataclass(frozen=True, kw_only=True)
class SpacesConfig:
    """All settings of one comparison. `conf/spaces.yaml` says what each means."""

    spaces: list[str] = setting([], "given as words: compare mbconv resnet", example="[mbconv, resnet]")
    trials: int = setting(
        40,
        "networks that are drawn from each space and evaluated",
        Range(MIN_NETWORKS, 10_000_000, whole=True),
        may_change=True,
    )
    seed: int = setting(0, "of the draws, the first weights and the order of the examples", SEED)
    complexity: str | None = setting(
        "macs", "compare at equal params, macs, ...; null: whatever the complexity is", FREE_METRICS, may_change=True
    )
    bins: int | str = setting(
        "auto",
        "of the complexity, on a logarithmic scale; auto: the root of the number of networks",
        may_change=True,
    )
    objective: str = setting("val_accuracy", "the error is one less this, or a loss itself")
    direction: str | None = setting(None, "maximize or minimize; null: what the name says, if it does")
    constraints: Mapping[str, Any] = setting({}, "hard limits, as for nas.search", keys=COUNTED_DOCS)
    table_space: str | None = setting(
        None, "the space whose genotypes are the rows of a table; null: the first", typed="text"
    )
    workers: int | str = setting("auto", "evaluations at a time", may_change=True)
    name: str | None = setting(None, "of the folder in records.dir", may_change=True, typed="text")
    resume: bool = setting(False, "go on with the comparison in name", may_change=True)
    evaluator: EvaluatorSettings = setting(TrainingSettings, "what scores candidates", by_name=EVALUATORS)
    data: DataConfig = setting(DataConfig, "which data set, and how it is split and augmented")
    train: Recipe = setting(Recipe, "how candidates are trained")
    records: RecordSettings = setting(RecordSettings(mlflow=False), "where records go", may_change=True)

    def __post_init__(self) -> None:
        if len(self.spaces) < 2 or len(set(self.spaces)) < len(self.spaces):
            raise ConfigError(
                f"compare needs two or more different spaces, but got {self.spaces}. There are: "
                f"{', '.join(name for name in space_names() if '/' not in name)}"
            )
        check_settings(self, "")
        check_workers(self.workers)
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
    def of_each(self) -> Settings:
        """What decides how the networks of a space are drawn."""
        search = SearchSettings(trials=self.trials, objective=self.objective, direction=self.direction)
        return Settings(seed=self.seed, search=search, constraints=self.constraints)

    @property
    def error(self) -> str:
        """What the error is."""
        return f"1 - {self.score.name}" if self.score.sign > 0 else self.score.name


def compare(values: Mapping[str, Any], typed: Iterable[str] = ()) -> int:
    """Compare spaces by some settings; returns the exit code.

    Args:
        values: settings as plain values.
        typed: paths of those that the user gave, which are all that a comparison that is gone on with takes of them.
    """
    return run("nas.spaces", lambda: _compare(_config(values, typed)))


def _config(values: Mapping[str, Any], typed: Iterable[str]) -> SpacesConfig:
    return settings_from(
        SpacesConfig, settings_to_go_on(values, typed, SpacesConfig, file=_SETTINGS, what="comparison")
    )


@without_test_split()
def _compare(config: SpacesConfig) -> None:
    spaces = [load_space(name) for name in config.spaces]
    with _folder(config) as held:
        _begin(config, held.path)
        _work(config, spaces, held.path)


def _work(config: SpacesConfig, spaces: list[SearchSpace], folder: Path) -> None:
    print(f"{shown(folder)}: name={folder.name} resume=true goes on with it", flush=True)
    populations = _populated(config, spaces, folder)
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
    root = user_path(config.records.dir)
    return study_folder(root, config.name, resume=config.resume, settings=_SETTINGS, stem="spaces", what="comparison")


def _begin(config: SpacesConfig, folder: Path) -> None:
    """Write the settings, also of a comparison that is gone on with."""
    write_whole(folder / _SETTINGS, json.dumps(asdict(config), indent=1) + "\n")


def _populations(
    config: SpacesConfig, spaces: list[SearchSpace], pool: Pool, budget: Budget | None, folder: Path | None
) -> list[Population]:
    """Evaluate networks of every space, once it is known that they can be compared."""
    acceptances = [
        acceptance_of(space, config.constraints, name=name, seed=config.seed)
        for name, space in zip(config.spaces, spaces, strict=True)
    ]
    if config.complexity is not None and all(acceptance.costs for acceptance in acceptances):
        print(comparable_text(acceptances, config.spaces, config.complexity), flush=True)
    return [
        evaluate_population(
            space,
            name=name,
            share=acceptances[number - 1].share,
            pool=pool,
            settings=config.of_each,
            budget=budget,
            run_dir=None if folder is None else folder / f"{number}-{Path(name).stem}",
            say=partial(print, flush=True),
        )
        for number, (name, space) in enumerate(zip(config.spaces, spaces, strict=True), start=1)
    ]


def _populated(config: SpacesConfig, spaces: list[SearchSpace], folder: Path) -> list[Population]:
    if isinstance(config.evaluator, TableSettings):
        return _on_table(config, config.evaluator, spaces)
    return _trained(config, spaces, folder)


def _on_table(config: SpacesConfig, settings: TableSettings, spaces: list[SearchSpace]) -> list[Population]:
    """Look networks up; the rows of the table are genotypes of one space, that others share networks with."""
    rows = load_space(config.table_space or config.spaces[0])
    rows = rows.for_data(rows.input_shape, rows.num_classes, task="any")
    table = read_table(rows, settings)
    pool = SimulatedPool(TableEvaluator(table, noise=settings.noise), objective=config.score.name)
    spaces = [space.for_data(rows.input_shape, rows.num_classes, task="any") for space in spaces]
    return _populations(config, spaces, pool, Budget(epochs=table.epochs) if table.epochs else None, None)


def _trained(config: SpacesConfig, spaces: list[SearchSpace], folder: Path) -> list[Population]:
    evaluator = TrainingEvaluator(config.data, config.train)
    pool = WorkerPool(evaluator, cores_or(config.workers), objective=config.score.name)
    try:
        data = pool.describe()
        shape, classes = tuple(data["input_shape"]), data["num_classes"]
        spaces = [space.for_data(shape, classes, task="classification") for space in spaces]
        return _populations(config, spaces, pool, Budget(epochs=config.train.epochs), folder)
    finally:
        pool.close()
