"""`python -m nas.compare`: strategies against each other, over seeds."""

from __future__ import annotations

import json
import multiprocessing as mp
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from nas.compare.strategies.curves import Curve
from nas.compare.strategies.problem import Strategy, TableProblem
from nas.compare.strategies.report import (
    StrategyComparison,
    comparisons_of,
    draw_curves,
    evaluations_to_reach,
    facts_of,
    reach_facts,
    report_of,
    write_curves,
)
from nas.compare.strategies.trained import TrainedProblem
from nas.console import run
from nas.cost.metrics import COUNTED_DOCS, FREE_METRICS
from nas.errors import ConfigError, NasError, nearest
from nas.evaluators.registry import EVALUATORS
from nas.evaluators.settings import EvaluatorSettings
from nas.evaluators.table.settings import TableSettings
from nas.evaluators.training import TrainingEvaluator, TrainingSettings
from nas.held_out import without_test_split
from nas.json_output import add_facts
from nas.machine import check_workers, cores_or
from nas.names import check_name
from nas.pareto import hypervolume
from nas.reports.write import report_or_say, write_folder_report
from nas.resources import spaces_to_search
from nas.resume import RecordSettings
from nas.run_folder import Held, claim, first_free, shown, user_path, write_whole
from nas.search.budgets.pruning import Pruning
from nas.search.config import check_decided
from nas.search.settings import SearchSettings, Settings, recipe_setting
from nas.settings import SEED, Range, check_settings, setting, settings_from
from nas.space import SearchSpace, load_space
from nas.space.fit import Fit, fit_as_set, fit_setting
from nas.statistics import seeds_needed
from nas.training.data.config import DataConfig
from nas.training.recipe import Recipe
from nas.training.recipe_decisions import recipe_decisions
from nas.training.tasks.registry import AUTO, without_auto
from nas.workers.processes import SINGLE_THREAD


@dataclass(frozen=True, kw_only=True)
class ComparedSearch:
    """What each search decides beside the network."""

    recipe: Mapping[str, Any] = recipe_setting()


@dataclass(frozen=True, kw_only=True)
class _Each(Settings):
    """What decides a search, with the recipe that says what is not decided."""

    train: Recipe


@dataclass(frozen=True, kw_only=True)
class CompareConfig:
    """All settings of one comparison. `conf/compare.yaml` says what each means."""

    space: str | None = setting(None, "given as +space=NAME", example="mbconv", typed="text")
    fit: str = fit_setting("; on a table it stays as it is")
    strategies: list[str] = setting(
        ["default", "random"],
        "samplers, or SAMPLER+PRUNER such as default+asha; the others are compared with the first",
    )
    seeds: int = setting(
        8,
        "searches of each strategy; fewer cannot show a difference (two strategies, five places)",
        Range(1, 10_000, whole=True),
    )
    first_seed: int = setting(0, "of the searches, which count up from it", SEED)
    trials: int = setting(40, "evaluated networks of each search", Range(1, 10_000_000, whole=True))
    at: list[int] | None = setting(
        None, "compare after so many evaluations, a list; null: a quarter, a half, and all of them"
    )
    reach: str | None = setting(None, "a strategy: after how many evaluations are the others where it is at its end?")
    objective: str | list[str] = setting(
        AUTO, "or a list, as of nas.search: on a table, hypervolume as a share of the true front's"
    )
    direction: str | list[str] | None = setting(
        None, "maximize or minimize, or a list; null: what the names say, if they do"
    )
    constraints: Mapping[str, Any] = setting({}, "hard limits, as for nas.search", keys=COUNTED_DOCS)
    search: ComparedSearch = setting(ComparedSearch, "what each search decides beside the network")
    workers: int | str = setting("auto", "searches (on a table) or evaluations (with training) at a time")
    name: str | None = setting(None, "of the folder in records.dir", typed="text")
    evaluator: EvaluatorSettings = setting(TrainingSettings, "what scores candidates", by_name=EVALUATORS)
    data: DataConfig = setting(DataConfig, "which data set, and how it is split and augmented")
    train: Recipe = setting(Recipe, "how candidates are trained")
    records: RecordSettings = setting(RecordSettings(mlflow=False), "where records go")

    def __post_init__(self) -> None:
        if self.space is None:
            raise ConfigError(f"which space? Give +space=NAME. {spaces_to_search()}")
        if not self.strategies:
            raise ConfigError("strategies must name one or more, such as 'strategies=[default,tpe,random]'")
        names = [str(Strategy.read(text)) for text in self.strategies]
        if len(set(names)) < len(names):
            raise ConfigError(f"strategies must be different, but got {names}")
        check_settings(self, "")
        check_name(self.name)
        self.evaluator.check_compares(self.constraints)
        for text in self.strategies:
            Pruning(name=Strategy.read(text).pruner).check_folds(self.data.folds)
        named = without_auto(self.objective, self.evaluator.objective(self.data))
        object.__setattr__(self, "objective", named)
        known = (*self.evaluator.known_scores(self.data), *FREE_METRICS)
        for name in _as_tuple(self.objective):
            if name not in known:
                raise ConfigError(f"objective: unknown {name!r}. {nearest(name, known)}")
        if self.reach is not None and self.reach not in names:
            raise ConfigError(f"reach must be one of the strategies {names}, but got {self.reach!r}")
        if any(not 1 <= place <= self.trials for place in self.places):
            raise ConfigError(f"at: numbers of evaluations from 1 to trials={self.trials}, but got {self.at}")
        check_workers(self.workers)
        check_decided(recipe_decisions(self.search.recipe, self.train), self.evaluator, self.data, self.train)

    @property
    def places(self) -> list[int]:
        """Numbers of evaluations at which strategies are compared."""
        if self.at is not None:
            return sorted(set(self.at))
        return sorted({max(1, self.trials // 4), max(1, self.trials // 2), self.trials})

    @property
    def of_each(self) -> Settings:
        """What decides each search beside its strategy and its seed."""
        search = SearchSettings(
            trials=self.trials, objective=self.objective, direction=self.direction, recipe=self.search.recipe
        )
        return _Each(search=search, constraints=self.constraints, train=self.train)

    def fitted(self, space: SearchSpace) -> Fit:
        """Return a space, made for its data, as searches by training take it."""
        return fit_as_set(space, self.fit, space.limits_with(self.constraints))

    @property
    def processes(self) -> int:
        """How many searches, or evaluations, run at a time."""
        return cores_or(self.workers)


def compare(values: Mapping[str, Any]) -> int:
    """Compare strategies by some settings; returns the exit code."""
    return run("nas.compare", lambda: _compare(settings_from(CompareConfig, values)))


@without_test_split()
def _compare(config: CompareConfig) -> None:
    with _folder(config) as held:
        try:
            comparison, done = _compared(config, held.path)
        except NasError:
            held.discard()  # where it holds searches it stays
            raise
        _report(config, comparison, done, held.path)


def _compared(config: CompareConfig, folder: Path) -> tuple[StrategyComparison, str]:
    """Return the comparison, and what was done with the space; empty where nothing was."""
    table = config.evaluator
    return (_on_table(config, table), "") if isinstance(table, TableSettings) else _trained(config, folder)


def _report(config: CompareConfig, comparison: StrategyComparison, done: str, folder: Path) -> None:
    write_curves(comparison, folder / "curves.csv")
    draw_curves(comparison, folder / "curves.svg")
    names = ", ".join(config.search.recipe)
    decided = f"Each search decides of the recipe too (search.recipe): {names}" if names else ""
    head = [line for one in filter(None, (done, decided)) for line in (one, "")]
    lines = [*head, *report_of(comparison)]
    if config.reach is not None:
        lines += ["", *evaluations_to_reach(comparison, config.reach, config.trials)]
    write_whole(folder / "report.md", "\n".join(lines) + "\n")
    write_whole(folder / "settings.json", json.dumps(asdict(config), indent=1) + "\n")
    print("\n" + "\n".join(lines))
    print(f"\nCurves, chart and settings: {shown(folder)}")
    page = report_or_say(lambda: write_folder_report(folder), print)
    reach = {"reach": reach_facts(comparison, config.reach, config.trials)} if config.reach is not None else {}
    add_facts({**facts_of(comparison), **reach, "run_folder": folder, "report": page[0] if page else None})


def _say_power(config: CompareConfig, *, timed: bool) -> None:
    """Say before hours are spent where so few searches can show nothing, whatever they find."""
    count = comparisons_of(len(config.strategies), len(config.places), timed=timed)
    if count and config.seeds < seeds_needed(count):
        print(
            f"Mind: seeds={config.seeds} is too few to show that any strategy is better: the {count} comparisons of "
            f"this report take {seeds_needed(count)} at least. Fewer places need fewer: 'at=[{config.trials}]'",
            flush=True,
        )


def _folder(config: CompareConfig) -> Held:
    root, make = user_path(config.records.dir), partial(claim, what="comparison", way_out="give another name")
    if config.name is not None:
        return make(root / config.name)
    return first_free(root, f"compare-{Path(config.space or '').stem}-{datetime.now(UTC):%Y%m%d-%H%M%S}", make)


def _as_tuple(value: str | list[str]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)


def _on_table(config: CompareConfig, table: TableSettings) -> StrategyComparison:
    problem = TableProblem(
        space=config.space or "",
        table=table,
        settings=config.of_each,
    )
    points = problem.points()
    several = len(problem.objectives) > 1
    reference = points.min(axis=0).tolist() if several else None
    best = hypervolume(points, points.min(axis=0)) if several else float(points[:, 0].max())
    known = problem.load()
    print(f"{len(points):,} of {len(known):,} networks of the table hold the limits")
    if config.trials > len(points):
        raise ConfigError(f"trials={config.trials}, but only {len(points)} networks of the table hold the limits")
    timed = known.timed or known.epochs is not None
    _say_power(config, timed=timed)
    jobs = [(text, seed) for text in config.strategies for seed in _seeds(config)]
    curves_of: dict[tuple[str, int], Curve] = {}
    context = mp.get_context("spawn")
    os.environ |= SINGLE_THREAD  # which the processes take over
    with ProcessPoolExecutor(config.processes, mp_context=context) as pool:
        waiting = {pool.submit(_search, problem, text, seed, reference): (text, seed) for text, seed in jobs}
        for done in as_completed(waiting):
            curves_of[waiting[done]] = done.result()
            text, _ = waiting[done]
            count = sum(strategy == text for strategy, _ in curves_of)
            if count == config.seeds:
                print(f"  {text}: {count} searches done ({len(curves_of)} of {len(jobs)} in all)", flush=True)
    curves = _sorted(config, curves_of)
    if several:
        # As a share of that of the true front.
        curves = {name: [_scaled(curve, best) for curve in of_strategy] for name, of_strategy in curves.items()}
    measure = "share of the true hypervolume" if several else problem.objectives[0].name
    sign = 1 if several else problem.objectives[0].sign
    return StrategyComparison(
        curves=curves,
        measure=measure if sign > 0 else f"-{measure}",
        best=None if several else best,
        evaluations=config.places,
        timed=timed,
    )


def _search(problem: TableProblem, text: str, seed: int, reference: Sequence[float] | None) -> Curve:
    return problem.search(Strategy.read(text), seed, reference)


def _scaled(curve: Curve, best: float) -> Curve:
    return replace(curve, quality=curve.quality / best)


def _seeds(config: CompareConfig) -> range:
    return range(config.first_seed, config.first_seed + config.seeds)


def _sorted(config: CompareConfig, curves_of: Mapping[tuple[str, int], Curve]) -> dict[str, list[Curve]]:
    return {str(Strategy.read(text)): [curves_of[text, seed] for seed in _seeds(config)] for text in config.strategies}


def _trained(config: CompareConfig, folder: Path) -> tuple[StrategyComparison, str]:
    """Compare by training, on a real space: strategies take turns, so that a machine that slows down slows all."""
    evaluator = TrainingEvaluator(config.data, config.train)
    space = load_space(config.space or "")
    problem = TrainedProblem(space, evaluator, config.of_each, config.processes, config.fitted)
    _say_power(config, timed=True)
    curves_of: dict[tuple[str, int], Curve] = {}
    with problem:
        if done := problem.fit.line():
            print(done, flush=True)
        for seed in _seeds(config):
            for text in config.strategies:
                curves_of[text, seed] = problem.search(Strategy.read(text), seed, folder / f"{text}-{seed}")
                curve = curves_of[text, seed]
                last = f"{curve.quality[-1]:.4f}" if len(curve.quality) else "nothing"
                print(
                    f"  {text}, seed {seed}: {problem.measure} {last}, {curve.duration:.0f} s, {curve.epochs:g} "
                    f"epoch{'s' * (curve.epochs != 1)}",
                    flush=True,
                )
    curves = _sorted(config, curves_of)
    return StrategyComparison(curves=curves, measure=problem.measure, best=None, evaluations=config.places), done
