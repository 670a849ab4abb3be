"""`python -m nas.spaces compare`: spaces against each other, by networks drawn from them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from math import inf
from pathlib import Path
from typing import Any

from nas.advise.advice import spaces_for
from nas.commands.next_search import search_words
from nas.compare.spaces.acceptance import acceptance_of, comparable_text
from nas.compare.spaces.choice import SpaceChoice
from nas.compare.spaces.complexity import MIN_NETWORKS
from nas.compare.spaces.population import Drawn, Population, evaluate_populations
from nas.compare.spaces.report import SpaceComparison, draw_edf, facts_of, table_of, write_populations
from nas.console import run
from nas.cost import constraints_from
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
from nas.json_output import add_facts
from nas.machine import check_workers, cores_or
from nas.names import check_name
from nas.reports.write import report_or_say, write_folder_report
from nas.resume import RecordSettings, settings_to_go_on, study_folder
from nas.run_folder import Held, read_json, shown, user_path, write_whole
from nas.search.objectives import Objective, objectives_from
from nas.search.settings import SearchSettings, Settings
from nas.settings import SEED, Range, check_settings, setting, settings_from
from nas.space import SearchSpace, load_space, space_names
from nas.space.fit import fit_as_set, fit_setting
from nas.to_type import to_type
from nas.training.data.config import DataConfig
from nas.training.data.registry import check_files
from nas.training.recipe import Recipe
from nas.training.tasks.registry import AUTO, task_of
from nas.workers.pool import Pool
from nas.workers.processes import WorkerPool
from nas.workers.simulated import SimulatedPool

_SETTINGS, _SPACES = "settings.json", "spaces.json"


@dataclass(frozen=True, kw_only=True)
class SpacesConfig:
    """All settings of one comparison. `conf/spaces.yaml` says what each means."""

    spaces: list[str] = setting(
        [],
        "given as words: compare mbconv resnet; none: up to three that suit the data, as nas advise says",
        example="[mbconv, resnet]",
    )
    fit: str = fit_setting("; on a table they stay as they are")
    trials: int = setting(
        40,
        "networks that are drawn from each space and evaluated",
        Range(MIN_NETWORKS, 10_000_000, whole=True),
        may_change=True,
    )
    minutes: float | None = setting(
        None,
        "with training: about so long, the spaces taking turns until there are as many networks of each as trials says",
        Range(0, 100_000_000, above=True),
        may_change=True,
    )
    seed: int = setting(0, "of the draws, the first weights and the order of the examples", SEED)
    complexity: str | None = setting(
        "auto",
        "compare at equal params, macs, ...; null: whatever the complexity is; auto: null where fit brings the spaces "
        "to limits, else macs",
        ("auto", *FREE_METRICS),
        may_change=True,
    )
    bins: int | str = setting(
        "auto",
        "of the complexity, on a logarithmic scale; auto: the root of the number of networks",
        may_change=True,
    )
    objective: str = setting(AUTO, "as of nas.search; the error is one less this, or a loss itself")
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
        if len(self.spaces) == 1 or len(set(self.spaces)) < len(self.spaces):
            raise ConfigError(
                f"compare needs two or more different spaces, but got {self.spaces}. There are: "
                f"{', '.join(name for name in space_names() if '/' not in name)}"
            )
        if not self.spaces and not self.evaluator.any_network:
            raise ConfigError(f"which spaces? evaluator={self.evaluator.name} knows networks of some only: compare A B")
        check_settings(self, "")
        check_workers(self.workers)
        check_name(self.name)
        self.evaluator.check_compares(self.constraints)
        if self.bins != "auto" and (not isinstance(self.bins, int) or self.bins < 1):
            raise ConfigError(f"bins must be auto or a whole number >= 1, but got {self.bins!r}")
        if self.objective == AUTO:
            object.__setattr__(self, "objective", self.evaluator.objective(self.data))
        known = self.evaluator.known_scores(self.data)
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
    def compared_at(self) -> str | None:
        """The cost at whose equal values networks are compared; None: whatever they cost.

        Spaces that are brought to the same limits are compared by what each makes of these.
        """
        if self.complexity != "auto":
            return self.complexity
        limited = any(limit.high < inf for limit in constraints_from(self.constraints))
        return None if limited and self.fit == "auto" and self.evaluator.any_network else "macs"

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


@dataclass(frozen=True)
class _Space:
    """A space of a comparison."""

    name: str
    space: SearchSpace
    """Made for the data, and for the limits where it was brought to them."""
    done: str = ""
    """What was done for that, as a sentence; empty where nothing was."""


@without_test_split()
def _compare(config: SpacesConfig) -> None:
    written = [_Space(name, load_space(name)) for name in config.spaces]
    with _folder(config) as held:
        write_whole(held.path / _SETTINGS, json.dumps(asdict(config), indent=1) + "\n")
        _work(config, written, held.path)


def _work(config: SpacesConfig, written: list[_Space], folder: Path) -> None:
    print(f"{shown(folder)}: name={folder.name} resume=true goes on with it", flush=True)
    if isinstance(config.evaluator, TableSettings):
        spaces, populations = written, _on_table(config, config.evaluator, written)
    else:
        spaces, populations = _trained(config, written, folder)
    bins = config.bins if isinstance(config.bins, int) else None
    comparison = SpaceComparison(populations, config.trials, config.error, config.compared_at, bins)
    choice = SpaceChoice(comparison)
    lines = [f"{one.name}: {one.done}" for one in spaces if one.done]
    lines = [*lines, *([""] if lines else []), *table_of(comparison), "", choice.sentence()]
    write_populations(comparison, folder / "populations.csv")
    draw_edf(comparison, folder / "edf.svg")
    write_whole(folder / "report.md", "\n".join(lines) + "\n")
    print("\n" + "\n".join(lines))
    page = report_or_say(lambda: write_folder_report(folder), print)
    add_facts(facts_of(comparison))
    add_facts({"best": choice.name, "shown": choice.shown, "reason": choice.sentence()})
    add_facts({"run_folder": folder, "report": page[0] if page else None})
    if config.evaluator.any_network:
        following = to_type("search", *search_words(choice.name, config.data, config.constraints, config.fit))
        add_facts({"next": following})
        print(f"Next: {following}")
    print(f"\nNetworks, distributions and report: {shown(folder)}")


def _folder(config: SpacesConfig) -> Held:
    """Hold the folder of the results: that of an earlier comparison, or a new one."""
    root = user_path(config.records.dir)
    return study_folder(root, config.name, resume=config.resume, settings=_SETTINGS, stem="spaces", what="comparison")


def _populations(
    config: SpacesConfig, spaces: list[_Space], pool: Pool, budget: Budget | None, folder: Path | None
) -> list[Population]:
    """Evaluate networks of every space, once it is known that they can be compared."""
    names = [one.name for one in spaces]
    acceptances = [acceptance_of(one.space, config.constraints, name=one.name, seed=config.seed) for one in spaces]
    if config.compared_at is not None and all(acceptance.costs for acceptance in acceptances):
        print(comparable_text(acceptances, names, config.compared_at), flush=True)
    drawn = [
        Drawn(
            space=one.space,
            name=one.name,
            share=acceptance.share,
            run_dir=None if folder is None else folder / f"{number}-{Path(one.name).stem}",
        )
        for number, (one, acceptance) in enumerate(zip(spaces, acceptances, strict=True), start=1)
    ]
    return evaluate_populations(
        drawn,
        pool=pool,
        settings=config.of_each,
        budget=budget,
        most_seconds=None if config.minutes is None or folder is None else 60 * config.minutes,
        at_once=cores_or(config.workers),
        say=partial(print, flush=True),
    )


def _on_table(config: SpacesConfig, settings: TableSettings, written: list[_Space]) -> list[Population]:
    """Look networks up; the rows of the table are genotypes of one space, that others share networks with."""
    rows = load_space(config.table_space or config.spaces[0])
    rows = rows.for_data(rows.input_shape, rows.num_classes, task="any")
    table = read_table(rows, settings)
    pool = SimulatedPool(TableEvaluator(table, noise=settings.noise), objective=config.score.name)
    spaces = [replace(one, space=one.space.for_data(rows.input_shape, rows.num_classes, task="any")) for one in written]
    return _populations(config, spaces, pool, Budget(epochs=table.epochs) if table.epochs else None, None)


def _trained(config: SpacesConfig, written: list[_Space], folder: Path) -> tuple[list[_Space], list[Population]]:
    """Train networks; returns the spaces as they were brought to the limits, too."""
    check_files(config.data)
    evaluator = TrainingEvaluator(config.data, config.train)
    pool = WorkerPool(evaluator, cores_or(config.workers), objective=config.score.name)
    try:
        spaces = _recorded(folder / _SPACES) or _for_data(config, written, pool.describe())
        _record(spaces, folder / _SPACES)
        for one in spaces:
            print(f"{one.name}: {one.done or 'as it is written'}", flush=True)
        return spaces, _populations(config, spaces, pool, Budget(epochs=config.train.epochs), folder)
    finally:
        pool.close()


def _for_data(config: SpacesConfig, written: list[_Space], described: Mapping[str, Any]) -> list[_Space]:
    """Return the spaces that were named, or else those that suit the data, made for these and for the limits."""
    shape, classes, task = tuple(described["input_shape"]), described["num_classes"], task_of(described).network
    if not written:
        suited = spaces_for(shape, classes, described["train_images"], segments=task == "segmentation")
        if len(suited) < 2:
            raise ConfigError(f"fewer than two spaces of nas take images of {shape}; name yours: compare A B")
        written = [_Space(space.name, space) for space in suited]
    spaces = []
    for one in written:
        space = one.space.for_data(shape, classes, task=task)
        fit = fit_as_set(space, config.fit, space.limits_with(config.constraints))
        spaces.append(_Space(one.name, fit.space, fit.line()))
    return spaces


def _record(spaces: list[_Space], file: Path) -> None:
    """Keep the spaces as they are compared, so that a comparison that is gone on with has the same."""
    entries = [
        {
            "name": one.name,
            "done": one.done,
            "input_shape": list(one.space.input_shape),
            "num_classes": one.space.num_classes,
            "task": one.space.task,
            "space": one.space.to_dict(),
        }
        for one in spaces
    ]
    write_whole(file, json.dumps(entries, indent=1) + "\n")


def _recorded(file: Path) -> list[_Space]:
    """Return the spaces of a comparison that is gone on with; none where it has not begun, or is older than the file.

    Raises:
        ConfigError: the file cannot be read.
    """
    if not file.is_file():
        return []
    return read_json(file, "the spaces of the comparison", lambda entries: [_space(entry) for entry in entries])


def _space(entry: Mapping[str, Any]) -> _Space:
    space = SearchSpace.from_dict(entry["space"])
    shape, classes = tuple(entry["input_shape"]), entry["num_classes"]
    return _Space(
        str(entry["name"]), space.for_data(shape, classes, task=entry.get("task", "classification")), str(entry["done"])
    )
