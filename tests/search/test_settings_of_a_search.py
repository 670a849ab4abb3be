"""One settings object travels from the command, and from Python's keywords, to the driver."""

from __future__ import annotations

import json
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from optuna.samplers import RandomSampler

import nas
from nas.errors import ConfigError, NasError
from nas.resume import check_typed, resumed, with_absolute_paths
from nas.search.budgets.pruning import Pruning
from nas.search.config import Config
from nas.search.settings import PYTHON_SETTINGS, SamplerSettings, SearchSettings, Settings, with_keywords
from nas.settings import paths, settings_from
from nas.training.data.config import DataConfig

SPACE = nas.load_space("mbconv")


def _score(architecture: nas.Architecture, budget: nas.Budget, seed: int) -> float:
    return -nas.cost_of(architecture).params / 1e6


def _recorded(folder: Path, **arguments: Any) -> dict[str, Any]:
    """What a search writes down of its settings."""
    nas.run_search(SPACE, _score, run_dir=folder, **{"trials": 1, **arguments})
    recorded = json.loads((folder / "study.json").read_text())
    assert isinstance(recorded, dict)
    return recorded


EVOLUTION: dict[str, Any] = {"space": "mbconv", "sampler": {"name": "evolution", "population": 3, "tournament": 2}}


@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        ({"settings": Config.from_values(EVOLUTION)}, {"population": 3, "tournament": 2}),
        ({"settings": Config.from_values(EVOLUTION), "seed": 3}, {"population": 3, "tournament": 2}),
        ({"sampler": "evolution", "sampler_options": {"population": np.int64(4)}}, {"population": 4}),
        ({"sampler": SamplerSettings(name="evolution", population=4)}, {"population": 4}),
        ({"sampler": "evolution"}, {}),
        ({"sampler": RandomSampler(seed=0), "sampler_options": {"x": 1}}, {"x": 1}),
    ],
)  # fmt: skip
def test_options_of_a_sampler_arrive_however_they_are_given(
    tmp_path: Path, arguments: dict[str, Any], options: dict[str, int]
) -> None:
    assert _recorded(tmp_path / "run", **arguments)["sampler_options"] == options


def test_settings_and_keywords_are_the_same(tmp_path: Path) -> None:
    keywords: dict[str, Any] = {"trials": 2, "seed": 5, "constraints": {"params": 1e6}, "soft_weight": 0.5}
    settings = with_keywords(PYTHON_SETTINGS, keywords)
    assert (settings.search.trials, settings.seed, settings.search.soft_weight) == (2, 5, 0.5)
    by_settings = nas.run_search(SPACE, _score, settings=settings)
    by_keywords = nas.run_search(SPACE, _score, **keywords)
    assert [trial.genotype for trial in by_settings.trials] == [trial.genotype for trial in by_keywords.trials]


@pytest.mark.parametrize(
    ("given", "known"),
    [({}, 12), ({"trials": 5}, 5), ({"minutes": 1.0}, None), ({"trials": 5, "minutes": 1.0}, 5)],
)
def test_trials_end_a_search_where_minutes_alone_do_not(given: dict[str, Any], known: int | None) -> None:
    search = SearchSettings(**given)
    assert search.known_trials == known
    assert search.most_trials == (10**8 if known is None else known)


def test_a_search_of_some_minutes_makes_as_many_trials_as_fit() -> None:
    """100 end one of which nothing is said; the space has 128 networks."""
    space = nas.SearchSpace.from_dict(
        {
            "stages": [{"block": "conv", "out_channels": {"range": [1, 128]}}],
            "head": {"block": "classifier"},
        }
    )
    cases: list[dict[str, Any]] = [{}, {"trials": None}, {"minutes": 1e4}]
    counts = [len(nas.run_search(space, _score, sampler="grid", **given).trials) for given in cases]
    assert counts == [100, 100, 128]


def test_halving_by_whole_rungs_needs_a_number_of_trials() -> None:
    with pytest.raises(ConfigError, match=r"give search\.trials beside search\.minutes"):
        Config.from_values({"space": "mbconv", "search": {"minutes": 5}, "pruner": {"name": "successive_halving"}})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"workers": -1}, "run_search: workers must be >= 0, but got -1"),
        ({"trails": 3}, "run_search: unknown argument 'trails'. Did you mean 'trials'"),
        ({"sampler": "tpe", "sampler_options": {"name": "random"}}, "sampler_options: unknown 'name'"),
        ({"constraints": [1]}, r"constraints must be a mapping, but got \[1\]"),
    ],
)
def test_what_no_search_takes_is_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        nas.run_search(SPACE, _score, **{"trials": 1, **arguments})


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"evaluator": {"name": ["train"]}}, r"evaluator.name: unknown \['train'\]"),
        ({"evaluator": {"name": "train", "fil": "x"}}, "unknown setting 'evaluator.fil'"),
        ({"data": {"name": ["digits"]}}, r"data.name must be text, but got \['digits'\]"),
        ({"train": {"zero_init_last": "no"}}, "train.zero_init_last must be true or false, but got 'no'"),
    ],
)
def test_a_group_of_another_form_is_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Config.from_values({"space": "mbconv", **values})


@pytest.mark.parametrize(
    ("data", "recipe", "message"),
    [
        ("cells", {"cutmix": [0.0, 1.0]}, r"train\.cutmix: an area of an image has no part in classes"),
        ("mnist1d", {"rotation": [0.0, 30.0]}, "are for images, but data=mnist1d has series"),
        ("mnist1d", {"rand_augment": [0, 1, 2]}, "are for images, but data=mnist1d has series"),
    ],
)
def test_what_has_no_meaning_for_the_data_cannot_be_decided(data: str, recipe: dict[str, Any], message: str) -> None:
    """Else every trial that draws it would fail."""
    values: dict[str, Any] = {"space": "mbconv", "data": {"name": data}}
    with pytest.raises(ConfigError, match=message):
        Config.from_values({**values, "search": {"recipe": recipe}})
    assert Config.from_values({**values, "search": {"recipe": {"mixup": [0.0, 0.4], "erase": [0.0, 0.2]}}}).decided


@pytest.mark.parametrize("wrong", [{"pruner": None}, {"sampler": "random"}, {"search": {}}, {"soft": [1]}])
def test_a_settings_object_holds_what_its_types_say(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=f"{next(iter(wrong))} must be a mapping"):
        Settings(**wrong)
    assert Settings(pruner=Pruning(name="asha")).pruner.halves


def test_files_that_hold_the_settings_of_all_evaluators_are_read() -> None:
    """Those of comparisons before each evaluator had settings of its own."""
    every: dict[str, Any] = {
        "file": None,
        "scores": {},
        "genotype": None,
        "seconds": None,
        "scale": 1.0,
        "noise": True,
        "proxies": [],
    }
    assert Config.from_values({"space": "mbconv", "evaluator": {"name": "train", **every}}).evaluator.name == "train"
    table = Config.from_values({"space": "mbconv", "evaluator": {"name": "table", **every, "file": "a.csv"}}).evaluator
    assert table.known_scores(DataConfig()) == ("val_accuracy",)


@pytest.mark.parametrize(
    ("begun", "typed"),
    [({"a": 1}, "a.b"), ({"a": None}, "a.b"), ({"a": []}, "a.b"), ({"a": {"b": "x"}}, "a.b.c")],
)
def test_a_run_without_such_a_group_is_refused_in_words(tmp_path: Path, begun: dict[str, Any], typed: str) -> None:
    with pytest.raises(NasError, match=rf"resume: {typed}: [ab] is no group of settings"):
        resumed(begun, {"a": {"b": {"c": 1}}}, [typed], [typed], tmp_path)


@pytest.mark.parametrize(
    "typed",
    [
        "search.trials",
        "search",
        "sampler",
        "constraints.params",
        "resume",
        "records.dir",
        "evaluator.file",
        "train.lr",
    ],
)
def test_what_is_a_setting_may_be_typed_to_go_on(typed: str) -> None:
    check_typed(Config, [typed])


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ("serach.trials", "resume: unknown setting 'serach.trials'. Did you mean 'search.trials'"),
        ("worker", "resume: unknown setting 'worker'. Did you mean 'workers'"),
        ("experiment", "resume: an experiment sets many settings of a new run"),
    ],
)
def test_what_is_no_setting_is_refused_with_the_nearest(typed: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check_typed(Config, [typed])


def test_a_pruner_is_read_from_plain_values() -> None:
    assert settings_from(Pruning, {"name": "asha", "eta": 2}, "pruner") == Pruning(name="asha", eta=2)


def test_paths_become_absolute_and_their_words_stay() -> None:
    given = {"data": {"root": "pictures", "cache": "auto"}, "search": {"first": ["a.json"]}}
    recorded = with_absolute_paths(Config, given)
    assert recorded["data"]["root"] == str(Path.cwd() / "pictures")
    assert recorded["search"]["first"] == [str(Path.cwd() / "a.json")]
    assert recorded["data"]["cache"] == "auto"
    recorded = with_absolute_paths(Config, {"data": {"cache": "none"}})
    assert recorded == {"data": {"cache": "none"}}
    recorded = with_absolute_paths(Config, {"data": {"cache": "kept"}})
    assert recorded == {"data": {"cache": str(Path.cwd() / "kept")}}


def test_no_default_of_a_path_is_taken_for_a_file() -> None:
    values = Config.from_values({"space": "mbconv"})
    defaults = {
        path: attrgetter(path)(values)
        for path, declared in paths(Config)
        if declared.typed == "path" and path.split(".")[0] not in ("evaluator", "executor")  # each kind has its own
    }
    assert "data.cache" in defaults
    words = {path: declared.words for path, declared in paths(Config)}
    assert [path for path, value in defaults.items() if value is not None and value not in words[path]] == []
