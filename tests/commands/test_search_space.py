"""A space that is chosen before it is searched: what is refused, the record, and going on with it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import nas
from nas.advise.advice import spaces_for
from nas.commands.next_search import search_words
from nas.commands.search_space import PreparedSpace, resumed_space
from nas.commands.spaces import SpacesConfig
from nas.errors import ConfigError
from nas.search.config import Config
from nas.training.data.config import DataConfig
from nas.training.recipe_files import read_data_config
from tests.run_command import run

_LIMITED = {"constraints": {"params": 5e4}}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, r"by what spaces make of limits: give one that can be counted, such as constraints\.params=5e5"),
        ({"constraints": {"latency_ms": 1.0}}, "give one that can be counted"),
        ({"constraints": {"params": [1e4, None]}}, "give one that can be counted"),
        ({"soft": {"params": 1e4}}, "give one that can be counted"),
        ({**_LIMITED, "evaluator": {"name": "table", "file": "x.csv"}}, "which evaluator=table does not"),
        ({**_LIMITED, "evaluator": {"name": "proxy"}, "search": {"objective": "zico"}}, "which evaluator=proxy does"),
        ({**_LIMITED, "search": {"first": ["a.json"]}}, r"search\.first is of one space"),
        ({**_LIMITED, "search": {"warm_start": "runs/a"}}, r"search\.warm_start is of one space"),
        ({**_LIMITED, "search": {"fix": {"stages.0.kernel": 3}}}, r"search\.fix is of one space"),
    ],
)
def test_what_a_choice_of_the_space_is_refused_for(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Config.from_values({"space": "auto", **values})
    Config.from_values({"space": "mbconv", **values})


def test_only_limits_that_can_be_counted_decide_the_choice() -> None:
    limits = {"params": 5e4, "macs": [1e3, None], "latency_ms": 1.0, "size_mib": None}
    config = Config.from_values({"space": "auto", "constraints": limits})
    assert config.counted_limits == {"params": 5e4, "macs": [1e3, None]}


def test_limits_of_no_space_are_not_explained(capsys: pytest.CaptureFixture[str]) -> None:
    from nas.commands.limits import limits

    assert limits({"space": "auto", **_LIMITED}) == 2
    assert "nas limits explains one: give +space=NAME" in capsys.readouterr().err


def test_the_choice_is_part_of_the_time() -> None:
    space = nas.load_space("mbconv")
    for seconds, minutes, left in ((30, None, None), (0, 10, 10), (90, 10, 8.5), (301, 10, 5)):  # half at least
        assert PreparedSpace(space, (), seconds).minutes_left(minutes) == left


def test_a_search_that_goes_on_knows_what_its_choice_took() -> None:
    config, space = Config.from_values({"space": "auto", **_LIMITED}), nas.load_space("mbconv")
    described = {"input_shape": [1, 8, 8], "num_classes": 10}
    for notes, seconds in (({}, 0), ({"choice": {"seconds": 12.5}}, 12.5), ({"choice": {"seconds": "x"}}, 0)):
        found = resumed_space(config, space, described, notes)
        assert (found.seconds, found.space.input_shape, found.lines) == (seconds, (1, 8, 8), ())


def test_spaces_that_suit_data() -> None:
    assert [space.name for space in spaces_for((1, 8, 8), 10, 1200)] == ["small_images", "mbconv", "resnet"]
    large = spaces_for((3, 224, 224), 5, 4000)
    assert [space.name for space in large] == ["mobilenet_v3", "mbconv", "squeezenet"]
    for space in large:
        nas.cost_of(space.decode(space.sample(0)))
        assert (space.input_shape, space.num_classes) == ((3, 224, 224), 5)


def test_the_next_command_has_the_data_and_the_limits() -> None:
    limits = {"params": 5e4, "macs": [1e6, None], "size_mib": None}
    assert search_words("mbconv", read_data_config("digits"), limits, "auto") == [
        "+space=mbconv", "data=digits", "constraints.params=5e4", "constraints.macs=[1e6,null]", "search.trials=50"
    ]  # fmt: skip
    data = DataConfig(name="image_folder", root="/photos of mine", resolution=64, channels=3)
    words = search_words("my.yaml", data, {}, "none")
    assert {"data=image_folder", "data.root=/photos of mine", "data.resolution=64", "fit=none"} <= set(words)


def test_what_spaces_are_compared_at() -> None:
    def at(**values: Any) -> str | None:
        return SpacesConfig(spaces=["a", "b"], **values).compared_at

    assert at() == "macs"
    assert at(constraints={"params": 5e4}) is None
    assert at(constraints={"params": 5e4}, fit="none") == "macs"
    assert at(constraints={"params": 5e4}, complexity="params") == "params"
    assert at(constraints={"params": [5e4, None]}) == "macs"
    assert at(complexity=None) is None


_QUICK = ["data=synthetic", "data.resolution=8", "data.samples=60", "train.epochs=1", "workers=1", "seed=1"]


@pytest.mark.slow  # trains some twenty networks
def test_a_search_chooses_its_space_and_goes_on_with_it(tmp_path: Path) -> None:
    words = [*_QUICK, "constraints.params=2e4", "records.mlflow=false", "name=a"]
    done = run("nas.search", "+space=auto", *words, "search.trials=2", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    study = json.loads((tmp_path / "runs" / "a" / "study.json").read_text())
    choice = study["notes"]["choice"]
    assert choice["networks"] == dict.fromkeys(["small_images", "mbconv", "resnet"], 2)
    assert choice["space"] == min(choice["mean_errors"], key=lambda name: choice["mean_errors"][name])
    assert f"Take {choice['space']}: its random networks have the smallest mean error" in done.stdout
    assert choice["reason"] in (tmp_path / "runs" / "a" / "choice" / "report.md").read_text()
    assert f"Search space {choice['space']}: " in done.stdout
    assert (
        study["space"]
        == json.loads((tmp_path / "runs" / "a" / "choice" / choice["space"] / "study.json").read_text())["space"]
    ), "the space is searched as it was compared"
    before = (tmp_path / "runs" / "a" / "choice" / "populations.csv").stat().st_mtime_ns
    again = run("nas.search", "resume=runs/a", "search.trials=3", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert "Choosing" not in again.stdout
    assert (tmp_path / "runs" / "a" / "choice" / "populations.csv").stat().st_mtime_ns == before
    trials = [json.loads(line) for line in (tmp_path / "runs" / "a" / "trials.jsonl").read_text().splitlines()]
    assert [trial["cost"]["params"] <= 2e4 for trial in trials if trial["state"] == "completed"] == [True] * 3


@pytest.mark.slow  # trains some networks
def test_spaces_are_compared_as_they_are_searched(tmp_path: Path) -> None:
    words = ["compare", "mbconv", "resnet", *_QUICK, "constraints.params=2e4", "name=t"]
    done = run("nas.spaces", *words, "trials=2", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "runs" / "t"
    report = (folder / "report.md").read_text()
    kept = json.loads((folder / "spaces.json").read_text())
    for number, entry in enumerate(kept, start=1):
        assert entry["done"].startswith("Widths of the space are multiplied by 0.")
        assert f"{entry['name']}: {entry['done']}" in report
        study = json.loads((folder / f"{number}-{entry['name']}" / "study.json").read_text())
        assert study["space"] == entry["space"]
    assert "whatever its complexity" in report
    assert "constraints.params=2e4 search.trials=50" in done.stdout.split("Next: ")[1]
    more = run("nas.spaces", "compare", "name=t", "resume=true", "trials=3", cwd=tmp_path)
    assert more.returncode == 0, more.stderr
    assert kept[0]["done"] in (folder / "report.md").read_text()


@pytest.mark.slow  # trains some networks
def test_a_comparison_from_before_spaces_were_fitted_goes_on(tmp_path: Path) -> None:
    words = ["compare", "mbconv", "resnet", *_QUICK, "constraints.params=1e6", "fit=none", "complexity=null", "name=t"]
    done = run("nas.spaces", *words, "trials=2", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "runs" / "t"
    settings = json.loads((folder / "settings.json").read_text())
    del settings["fit"], settings["minutes"]
    (folder / "settings.json").write_text(json.dumps(settings))
    (folder / "spaces.json").unlink()
    more = run("nas.spaces", "compare", "name=t", "resume=true", "trials=3", cwd=tmp_path)
    assert more.returncode == 0, more.stderr
    assert "mbconv: as it is written" in more.stdout
    assert json.loads((folder / "settings.json").read_text())["fit"] == "none"


@pytest.mark.slow  # trains some networks
def test_strategies_search_the_space_as_a_search_does(tmp_path: Path) -> None:
    words = ["+space=mbconv", "strategies=[random]", "seeds=2", "trials=1", *_QUICK[:-1], "constraints.params=2e4"]
    for fit in ("auto", "none"):
        done = run("nas.compare", *words, f"fit={fit}", f"name={fit}", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        folder = tmp_path / "runs" / fit
        assert json.loads((folder / "settings.json").read_text())["fit"] == fit
        assert ("Widths of the space are multiplied by 0." in (folder / "report.md").read_text()) == (fit == "auto")
    spaces = [
        json.loads((tmp_path / "runs" / fit / "random-0" / "study.json").read_text())["space"]
        for fit in ("auto", "none")
    ]
    assert spaces[0] != spaces[1]
