"""What decides a search, declared once: for the command, whose `Config` has more, and for `run_search`."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from os import PathLike, fspath
from pathlib import Path
from typing import Any, TypeVar

from nas.cost.metrics import METRIC_DOCS
from nas.errors import ConfigError, nearest
from nas.search.budgets.pruning import Pruning
from nas.search.objectives import Objective, objectives_from
from nas.settings import SEED, Range, check_settings, declarations, setting
from nas.training.recipe import Recipe
from nas.training.recipe_decisions import RecipeDecisions, recipe_decisions
from nas.training.tasks.registry import AUTO, OBJECTIVE, TASKS, without_auto
from nas.workers.giving_up import MAX_EQUAL_FAILURES

_MOST = 100_000_000
_TRIALS = 12
"""Of the command, where neither trials nor minutes are said."""
_COUNT = Range(0, _MOST, whole=True, above=True)
_MINUTES = Range(0, _MOST, above=True)
_SCORES = "; ".join(f"{task.name}: {', '.join(task.val_scores)}" for task in TASKS.values())
_MODELLED = ("default", "predictor")
"""Samplers whose model says what gain is expected of a proposal."""
_POPULATION = Range(1, 100_000, whole=True)

F = TypeVar("F", bound=Callable[..., Any])


def recipe_setting() -> Any:
    """Declare what is decided of the recipe with each network, which comparisons have, too."""
    return setting(
        {},
        "settings of train decided with each network: {lr: [1e-4, 1e-2], optimizer: [sgd, adamw]}. A list of two "
        "numbers is a range (of lr and weight_decay logarithmic, batch_size doubling, others linear), any other list "
        "is choices; {choices: [0.1, 0.2]} and {low: 0, high: 0.1, log: false} say which. A network by two recipes is "
        "two trials",
    )


@dataclass(frozen=True, kw_only=True)
class SearchSettings:
    """When the search ends, and what it looks for."""

    trials: int | None = setting(
        None,
        "accepted networks to evaluate; rejected ones and duplicates do not count; null: 12, in run_search 100, or as "
        "many as fit in search.minutes where these are given",
        _COUNT,
        may_change=True,
    )
    minutes: float | None = setting(
        None, "the search ends after this time; what runs then is run again by resume=...", _MINUTES, may_change=True
    )
    objective: str | list[str] = setting(
        AUTO,
        "auto: the main score of the task of the data (of images with one class each their accuracy), or of the "
        f"evaluator; or one of {_SCORES}; or a list that begins with one: [auto, macs, latency_ms, int8_latency_ms]",
    )
    direction: str | list[str] | None = setting(
        None, "maximize or minimize, or a list; null: what the names say, if they do"
    )
    max_rejections: int = setting(
        1000, "proposals in a row without a new network that end the search", _COUNT, may_change=True
    )
    patience: int | None = setting(
        None,
        "the search ends after so many proposals in a row of which the sampler expects next to no gain, less than "
        "3 % of the noise of a score; for one objective and sampler=predictor; null: never",
        _COUNT,
        may_change=True,
    )
    trial_minutes: float | None = setting(
        None,
        "an evaluation that takes longer fails; null: 10 times what the longest of 3 or more others took, in "
        "proportion more for a network with more multiply-adds, and at least a minute",
        _MINUTES,
        may_change=True,
    )
    max_equal_failures: int | None = setting(
        MAX_EQUAL_FAILURES,
        "evaluations in a row that fail alike end the search with exit code 1; null: never",
        _COUNT,
        may_change=True,
    )
    worker_memory_mib: float | None = setting(
        None,
        "the most private memory of a worker process; an evaluation that wants more runs out of it",
        Range(0, _MOST, above=True),
        may_change=True,
    )
    soft_weight: float = setting(0.1, "what twice a soft limit costs, in units of the objective", Range(0, _MOST))
    baseline_fraction: float = setting(
        0.0, "share of random candidates, which the others are compared with at the end", Range(0, 1, below=True)
    )
    keep: int = setting(
        5,
        "best networks whose trained weights stay in RUN/weights, or with several objectives those of the front; "
        "RUN/model is the best of them, ready to use; 0: none",
        Range(0, 100_000, whole=True),
        may_change=True,
    )
    disk_mib: float | None = setting(
        None,
        "what RUN/weights and the states of trainings that may go on (RUN/checkpoints) may take of the disk; the worst "
        "go first, a trial whose state is gone begins anew, and the best network keeps its weights; null: no limit",
        Range(0, _MOST, above=True),
        may_change=True,
    )
    fix: Mapping[str, Any] = setting(
        {},
        "decisions of the space bound to a value, or to some: {stages.0.kernel: 3, stages.*.block: [conv, mbconv]}; "
        "nas space NAME lists them",
    )
    recipe: Mapping[str, Any] = recipe_setting()
    first: list[str] = setting(
        [],
        "your own networks of the space, evaluated before any other: architecture files, or run folders for their best",
        may_change=True,
        typed="paths",
    )
    portfolio: int | None = setting(
        None,
        "known designs, uniform networks as large as the limits allow, evaluated after those of first; null: 6, but at "
        "most half of the trials, where limits are given and candidates are trained; 0, and null in run_search: none",
        Range(0, 1000, whole=True),
        may_change=True,
        before=0,
    )
    warm_start: str | None = setting(
        None, "run folder of an earlier search of this or an overlapping space, to learn from", typed="path"
    )

    def __post_init__(self) -> None:
        check_settings(self, "search")

    @property
    def known_trials(self) -> int | None:
        """How many evaluated networks end the search; None where its minutes alone do."""
        return self.trials or (_TRIALS if self.minutes is None else None)

    @property
    def most_trials(self) -> int:
        """The same; more than there can be where its minutes alone end it."""
        return self.known_trials or _MOST

    @property
    def objectives(self) -> tuple[Objective, ...]:
        """What is searched for; `auto` is the score of most tasks, where nobody has put that of the evaluator there."""
        return objectives_from(without_auto(self.objective, OBJECTIVE), self.direction)

    @property
    def trial_seconds(self) -> float | None:
        """The time after which an evaluation fails; None: by what the others took."""
        return None if self.trial_minutes is None else 60 * self.trial_minutes


@dataclass(frozen=True, kw_only=True)
class SamplerSettings:
    """What proposes candidates."""

    name: str = setting("default", "of a sampler, as the files in conf/sampler")
    population: int | None = setting(None, "of evolution: how many of the youngest candidates it keeps", _POPULATION)
    tournament: int | None = setting(
        None, "of evolution: how many of them are drawn, the best being mutated", _POPULATION
    )

    def __post_init__(self) -> None:
        check_settings(self, "sampler")

    @property
    def options(self) -> dict[str, Any]:
        """What was set beside the name."""
        given = {"population": self.population, "tournament": self.tournament}
        return {name: value for name, value in given.items() if value is not None}


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What decides a search beside its space and what evaluates."""

    seed: int = setting(
        0,
        "of proposals, weights and batches, which repeats a search exactly with workers=1; data.split_seed is apart",
        SEED,
    )
    search: SearchSettings = setting(SearchSettings, "when the search ends, and what it looks for")
    constraints: Mapping[str, Any] = setting(
        {}, "hard limits: upper bound, or [lower, upper] with null for an open side", keys=METRIC_DOCS
    )
    soft: Mapping[str, Any] = setting(
        {}, "limits in the same words that cost score in place of rejecting", keys=METRIC_DOCS
    )
    sampler: SamplerSettings = setting(SamplerSettings, "what proposes candidates; default is predictor")
    pruner: Pruning = setting(Pruning, "what gives the better candidates more budget, or ends poor ones")

    @property
    def known_latencies(self) -> Path | None:
        """The folder of latencies that were measured before; None: every network is measured."""
        return None

    def __post_init__(self) -> None:
        check_settings(self, "")
        if self.search.patience is not None:
            self._check_patience()
        if self.pruner.name == "successive_halving" and self.search.known_trials is None:
            raise ConfigError(
                "pruner=successive_halving decides when all trials have had a rung: give search.trials beside "
                "search.minutes, or take pruner=asha, which decides as they end"
            )

    def _check_patience(self) -> None:
        """Raise `ConfigError` where nothing says what gain is expected of a proposal."""
        if self.sampler.name not in _MODELLED:
            raise ConfigError(
                f"search.patience goes by the gain that sampler=predictor expects; "
                f"sampler={self.sampler.name} expects none"
            )
        if isinstance(self.search.objective, list) and len(self.search.objective) > 1:
            raise ConfigError("search.patience is for one objective: the gain of several has no noise to go by")


PYTHON_SETTINGS = Settings(search=SearchSettings(trials=100))
"""What `run_search` goes by where nothing is said."""


def _keywords() -> dict[str, str]:
    """Return the keywords of `run_search` that are settings, each with what it means."""
    docs = {member.name: said.doc for kind in (SearchSettings, Settings) for member, said in declarations(kind)}
    del docs["search"]
    return docs | {"sampler_options": "settings of a sampler that was given by its name"}


def decided_recipe(settings: Settings, given: object) -> RecipeDecisions:
    """Return what is decided of the recipe, all else being as a command says, or a given evaluator that has one."""
    base = getattr(settings, "train", getattr(given, "recipe", None))
    return recipe_decisions(settings.search.recipe, base if isinstance(base, Recipe) else None)


def for_evaluator(settings: Settings, given: object) -> Settings:
    """Return settings that name their objective: where they do not, that which a given evaluator states, if it does."""
    default = getattr(given, "objective", None)
    search = settings.search
    named = without_auto(search.objective, default if isinstance(default, str) else OBJECTIVE)
    return settings if named == search.objective else replace(settings, search=replace(search, objective=named))


def with_keywords(settings: Settings, changes: Mapping[str, Any]) -> Settings:
    """Return settings with some changed by the keywords of `run_search`.

    Args:
        settings: what the others are.
        changes: fields of `SearchSettings` and of `Settings` by their names; `sampler` and `pruner` are names or
            settings, and `sampler_options` a mapping.

    Raises:
        ConfigError: an unknown keyword (the nearest are named), or a value that its setting may not have.
    """
    names = {member.name for member in fields(SearchSettings)}
    for name in changes:
        if name not in (known := _keywords()):
            raise ConfigError(f"run_search: unknown argument {name!r}. {nearest(name, known)}")
    inner = {name: _plain(name, value) for name, value in changes.items() if name in names}
    if settings is PYTHON_SETTINGS and inner.get("trials") is None:
        inner["trials"] = settings.search.trials if inner.get("minutes") is None else None  # as many as fit
    outer = {name: value for name, value in changes.items() if name not in names}
    if outer.keys() & {"sampler", "sampler_options"}:
        outer["sampler"] = _sampler(outer.pop("sampler", settings.sampler.name), outer.pop("sampler_options", None))
    if isinstance(pruner := outer.get("pruner"), str):
        outer["pruner"] = Pruning(name=pruner)
    for limits in {"constraints", "soft"} & outer.keys():
        outer[limits] = outer[limits] or {}
    return replace(settings, **outer, search=replace(settings.search, **inner))


def _sampler(sampler: str | SamplerSettings, options: Mapping[str, Any] | None) -> SamplerSettings:
    """Return the settings of a sampler, given by its name or as settings, with some options."""
    known = {member.name for member in fields(SamplerSettings)} - {"name"}
    for name in options or {}:
        if name not in known:
            raise ConfigError(f"run_search: sampler_options: unknown {name!r}. {nearest(name, known)}")
    named = SamplerSettings(name=sampler) if isinstance(sampler, str) else sampler
    return replace(named, **(options or {}))


def _plain(name: str, value: Any) -> Any:
    if name == "first" and isinstance(value, list | tuple):
        return [_plain("warm_start", one) for one in value]
    return fspath(value) if name == "warm_start" and isinstance(value, PathLike) else value


def takes_settings(function: F) -> F:
    """Show the settings that a function takes as keywords in its signature, for `help` and for editors."""
    shown = inspect.signature(function)
    own = [parameter for parameter in shown.parameters.values() if parameter.kind is not inspect.Parameter.VAR_KEYWORD]
    more = [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY) for name in _keywords()]
    vars(function)["__signature__"] = shown.replace(parameters=[*own, *more])
    return function
