"""The words of a command line, as Hydra gets them, and what comes out of it."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from hypothesis import example, given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from nas.commands import hydra_main
from nas.commands.command_line import check_single, groups_in, hydra_arguments, quoted
from nas.errors import ConfigError
from nas.resources import resource_dir
from nas.search.config import Config
from nas.settings import paths, single_settings

GROUPS = {"sampler": ["default", "tpe"], "experiment": ["first"]}


def _arguments(*typed: str, several: bool | None = False) -> list[str]:
    return hydra_arguments(typed, groups=GROUPS, text={"name", "data.root"}, several=lambda _: several)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("conf")
    (path / "plain.yaml").write_text("data: {root: null}\n")
    return path


@given(st.one_of(st.text(max_size=12), st.text(alphabet="\\'\"${}a,[]~#= :\n", max_size=10)))
@example("~/photos")
@example("Größe")
@example("lr=0.1")
@example("it's [a], {b} # \\${oc.env:HOME}\\")
@settings(max_examples=30)
def test_quoted_text_comes_back_from_hydra_as_it_was(folder: Path, text: str) -> None:
    with initialize_config_dir(str(folder), version_base="1.3"):
        config = compose("plain", overrides=[f"++data.root={quoted(text)}"])
    values: Any = OmegaConf.to_container(config, resolve=True)
    assert values == {"data": {"root": text}}


def _values(monkeypatch: pytest.MonkeyPatch, *typed: str) -> dict[str, Any]:
    """What a command gets of the settings of a search, by way of Hydra."""
    taken: list[dict[str, Any]] = []

    def work(values: dict[str, Any], _: list[str]) -> int:
        taken.append(values)
        return 0

    monkeypatch.setattr(sys, "argv", ["nas.search", *typed])
    hydra_main.hydra_main("search", work, lambda: Config)
    return taken[0]


def test_paths_and_names_arrive_as_they_were_typed(monkeypatch: pytest.MonkeyPatch) -> None:
    typed = {"data.root": "~/Größe, [2]", "name": "007", "records.dir": "a=b # c", "evaluator.file": "it's {x}.csv"}
    values = _values(monkeypatch, *(f"{path}={text}" for path, text in typed.items()), "+space=1e5")
    assert values["space"] == "1e5"
    assert values["name"] == "007"
    assert values["data"]["root"] == typed["data.root"]
    assert values["records"]["dir"] == typed["records.dir"]
    assert values["evaluator"]["file"] == typed["evaluator.file"]


def test_other_settings_have_the_types_that_hydra_gives_them(monkeypatch: pytest.MonkeyPatch) -> None:
    values = _values(
        monkeypatch,
        "name=null",
        "seed=3",
        "constraints.params=[null,5e5]",
        "train.lr=1e-2",
        "search.objective=[val_accuracy",
        "+data=synthetic",
    )
    assert (values["name"], values["seed"], values["train"]["lr"]) == (None, 3, 0.01)
    assert values["constraints"]["params"] == [None, 5e5]
    assert values["search"]["objective"] == "[val_accuracy"  # not in Hydra's grammar: the setting's own check says it
    assert values["data"]["name"] == "synthetic"


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("'search.fix={stages.0.kernel: 3}'", {"stages.0.kernel": 3}),
        ("search.fix='{stages.0.kernel: 3}'", {"stages.0.kernel": 3}),
        (
            "'search.fix={stages.0.kernel: [3, 5], stages.*.block: mbconv}'",
            {"stages.0.kernel": [3, 5], "stages.*.block": "mbconv"},
        ),
        ("search.fix={stages.0.kernel:3}", {"stages.0.kernel": 3}),  # no shell splits this one
        (
            "'search.fix={let.norm: null, stages.2.blocks.1.present: true, stem.0.se_ratio: 0.25}'",
            {"let.norm": None, "stages.2.blocks.1.present": True, "stem.0.se_ratio": 0.25},
        ),
        ("search.fix.stages.0.kernel=3", {"stages": {"0": {"kernel": 3}}}),  # no quotes in any shell
    ],
)
def test_fixed_decisions_arrive_as_they_were_meant(monkeypatch: pytest.MonkeyPatch, typed: str, meant: Any) -> None:
    values = _values(monkeypatch, "+space=mbconv", *shlex.split(typed))
    assert values["search"]["fix"] == meant
    assert Config.from_values(values).search.fix == meant


def test_flags_come_first_with_their_values() -> None:
    typed = ["seed=1", "-m", "name=a b,c", "--cfg", "job", "--config-dir=x", "sampler=tpe,default"]
    expected = ["-m", "--cfg", "job", "--config-dir=x", "++seed=1", "++name='a b','c'", "sampler=tpe,default"]
    assert _arguments(*typed) == expected


def test_an_experiment_is_added_and_other_groups_are_replaced() -> None:
    assert _arguments("experiment=first", "+sampler=tpe", "~x", "hydra.verbose=true") == [
        "+experiment=first",
        "sampler=tpe",
        "~x",
        "hydra.verbose=true",
    ]


def test_words_of_the_shell_completion_are_hydras_own() -> None:
    assert _arguments("-sc", "install=bash") == ["-sc", "install=bash"]


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ("sampler=tpi", "unknown sampler 'tpi'. Did you mean 'tpe'"),
        ("sampler=", "unknown sampler ''. Known: default, tpe"),
        ("sampler=tpe,default", "unknown sampler 'tpe,default'"),
        ("--space", r"unknown flag '--space'.*\+space=VALUE"),
        ("--hel", "unknown flag '--hel'. Did you mean '--help'"),
        ("--multirun=1", "unknown flag '--multirun'. Did you mean '--multirun'"),
        ("--search.trials=3", "no dashes: search.trials=VALUE"),
        ("search.trials", "'search.trials' is no setting=value"),
        ("=3", "'=3' is no setting=value"),
        ("sea rch=3", "'sea rch=3' is no setting=value"),
        ("", "'' is no setting=value"),
    ],
)
def test_what_is_refused(typed: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        _arguments(typed)


@pytest.mark.parametrize("name", ["acc@5", "acc (top 5)", "a:b", "top1,mean", "x=y", "back\\slash", "50%/2"])
def test_what_is_to_be_typed_for_a_name_in_quotes(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """What the message says is taken by Hydra, and is that name."""
    with pytest.raises(SystemExit):
        _values(monkeypatch, f'+evaluator.scores={{"{name}": "my column"}}')
    monkeypatch.undo()
    with pytest.raises(ConfigError, match="a name in braces stands without quotes; type ") as error:
        hydra_arguments(
            [f'+evaluator.scores={{"{name}": "my column"}}'], groups=GROUPS, text=(), several=hydra_main._several
        )
    (typed,) = shlex.split(str(error.value).split("; type ")[1])
    assert _values(monkeypatch, typed)["evaluator"]["scores"] == {name: "my column"}


def test_a_name_that_the_command_line_cannot_say() -> None:
    with pytest.raises(ConfigError, match="in a file of settings only"):
        hydra_arguments(["+evaluator.scores={'aché': a}"], groups=GROUPS, text=(), several=hydra_main._several)


def test_several_values_need_a_sweep_or_brackets() -> None:
    with pytest.raises(ConfigError, match=r"'seed=1,2' gives several values.*seed=\[A,B\].*--multirun"):
        _arguments("seed=1,2", several=True)
    assert _arguments("seed=1,2", "--multirun", several=True) == ["--multirun", "++seed=1,2"]


def test_data_that_are_given_in_place_of_a_data_set_are_told_how(tmp_path: Path) -> None:
    def told(typed: str) -> str:
        with pytest.raises(ConfigError) as raised:
            hydra_arguments(
                [f"data={typed}"], groups={"data": ("own", "image_folder")}, text=(), several=lambda _: None
            )
        return str(raised.value)

    assert told("my_data.py:Even").endswith(" A data set of your own is data=own data.module=my_data.py:Even")
    assert told(str(tmp_path)).endswith(f" Pictures in a folder are data=image_folder data.root={tmp_path}")
    assert "data.root" not in told("nowhere")
    assert "data.module" not in told("nowhere")


def test_the_groups_are_those_of_the_folder_of_settings() -> None:
    groups = groups_in(resource_dir("conf"))
    assert set(groups) == {"data", "evaluator", "executor", "experiment", "pruner", "recipe", "sampler", "train"}
    assert groups["train"] == ["adamw", "sgd"]
    assert {"adamw", "sgd", "short", "standard"} <= set(groups["recipe"])


@pytest.mark.parametrize("name", ["adamw", "sgd"])
def test_the_earlier_word_for_a_recipe_sets_the_same(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    earlier, now = (_values(monkeypatch, f"{word}={name}") for word in ("train", "recipe"))
    assert earlier == now
    assert now["train"]["optimizer"] == name


def test_a_recipe_is_given_once() -> None:
    with pytest.raises(ConfigError, match="'recipe=standard' and 'train=sgd' both say how networks are trained"):
        _arguments("recipe=standard", "seed=1", "train=sgd")


def test_a_refusal_is_one_line_and_exit_code_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["nas.search", "sampler=tpi"])
    with pytest.raises(SystemExit) as end:
        hydra_main.hydra_main("search", lambda values, typed: 0, lambda: Config)
    assert end.value.code == 2
    assert capsys.readouterr().err == "nas.search: unknown sampler 'tpi'. Did you mean 'tpe'?\n"


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("space.fit=none", "Did you mean 'fit'?"),
        ("+space/fit=none", "Did you mean 'fit'?"),
        ("data.root.resolution=8", "Did you mean 'data.resolution'?"),
        ("name.direction=minimize", "Did you mean 'search.direction'?"),
        ("search.trials.trails=3", "Did you mean 'search.trials' or 'search.trial_minutes' or 'search.first'?"),
    ],
)
def test_a_setting_below_one_that_is_a_single_value_is_told_what_is_meant(word: str, meant: str) -> None:
    single = single_settings(Config)
    known = [path for path, _ in paths(Config)]
    with pytest.raises(ConfigError, match=r"is one value, .*, and has no setting '.*' in it") as raised:
        check_single(["+space=mbconv", word], single, known)
    assert str(raised.value).startswith(repr(word))
    assert str(raised.value).endswith(meant)


def test_settings_that_hold_names_of_the_users_take_these() -> None:
    words = [
        "constraints.params=2e5",
        "search.fix.stages.0.kernel=3",
        "search.recipe.lr=[1e-4,1e-2]",
        "data.root=a.b=c",
    ]
    check_single([*words, "space=x", "--json", "evaluator.scores.a=b"], single_settings(Config), ["space"])
