"""Comparisons of strategies: searches on a table, curves by hand, reports at equal time, the command."""

from __future__ import annotations

import csv
import itertools
import json
import random
import re
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pytest

import nas
from nas.commands.compare import CompareConfig, compare
from nas.compare.strategies.curves import Curve, curve_of, quality_after, quality_at
from nas.compare.strategies.problem import Strategy, TableProblem
from nas.compare.strategies.report import StrategyComparison, report_of
from nas.errors import ConfigError
from nas.evaluators.table.settings import TableSettings
from nas.search.log import read_trials
from nas.search.objectives import objectives_from
from nas.search.settings import PYTHON_SETTINGS, decided_recipe, with_keywords
from nas.search.study import Study
from nas.search.trial import State, Trial
from nas.settings import settings_from
from nas.statistics import paired
from nas.training.recipe import Recipe
from tests.run_command import run
from tests.search.conftest import SMALL

SPACE: dict[str, Any] = {
    "name": "generated",
    "assume": {"channels": 3, "resolution": 16, "num_classes": 4},
    "stages": [
        {
            "block": {"choose": ["conv", "mbconv"]},
            "out_channels": {"choose": [8, 16, 24]},
            "kernel": {"choose": [3, 5, 7]},
            "stride": 2,
        }
        for _ in range(3)
    ],
    "head": {"block": "classifier"},
}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A space file and a table of all its 5,832 networks, whose scores are a sum of effects with noise."""
    folder = tmp_path_factory.mktemp("table")
    space_file, table_file = folder / "generated.yaml", folder / "table.csv"
    space_file.write_text(json.dumps(SPACE))
    space = nas.load_space(space_file)
    rng = random.Random(0)
    choices = space.decisions()
    effect = {(path, value): rng.gauss(0, 1) for path, choice in choices.items() for value in choice.values}
    pairs = {key: rng.gauss(0, 0.5) for key in itertools.combinations(effect, 2)}
    with table_file.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*choices, "first", "second"])
        for values in itertools.product(*(choice.values for choice in choices.values())):
            chosen = list(zip(choices, values, strict=True))
            score = sum(effect[one] for one in chosen) + sum(pairs[key] for key in itertools.combinations(chosen, 2))
            writer.writerow([*values, score + rng.gauss(0, 0.05), score + rng.gauss(0, 0.05)])
    return space_file, table_file


def _problem(files: tuple[Path, Path], *, noise: bool = True, **changes: Any) -> TableProblem:
    table = TableSettings(file=str(files[1]), scores={"val_accuracy": ["first", "second"]}, noise=noise)
    settings = with_keywords(PYTHON_SETTINGS, {"trials": 60, **changes})
    return TableProblem(space=str(files[0]), table=table, settings=settings)


@pytest.mark.slow  # 48 searches
def test_the_default_beats_random_and_tpe(files: tuple[Path, Path]) -> None:
    """On a table that it was not made for, with noise; after twice as many evaluations TPE has come close."""
    problem = _problem(files, trials=25)
    found = {
        name: np.array([problem.search(Strategy.read(name), seed, None).quality[-1] for seed in range(16)])
        for name in ("default", "tpe", "random")
    }
    for other in ("tpe", "random"):
        assert paired(found["default"], found[other]).verdict == "better"


def test_hypervolume_against_the_true_front(files: tuple[Path, Path]) -> None:
    problem = _problem(files, objective=("val_accuracy", "macs"), constraints={"params": 20_000}, noise=False)
    points = problem.points()
    curve = problem.search(Strategy("default"), 0, points.min(axis=0).tolist())
    from nas.pareto import front, hypervolume

    whole = hypervolume(points[front(points)], points.min(axis=0))
    assert 0.9 * whole < curve.quality[-1] <= whole
    assert (np.diff(curve.quality) >= 0).all()


def _study(scores: list[float], macs: list[int] | None = None) -> Study:
    space = nas.SearchSpace.from_dict(SPACE)
    names = ["val_accuracy"] + (["macs"] if macs else [])
    study = Study("s", "id", space, objectives_from(names))
    for number, score in enumerate(scores):
        cost = nas.Cost(macs=macs[number]) if macs else None
        study.trials.append(
            Trial(
                number=number,
                state=State.COMPLETED,
                genotype={},
                scores={"val_accuracy": score},
                elapsed=2.0 * number + 2,
                cost=cost,
            )
        )
    return study


def test_a_curve_is_what_the_best_looking_network_is_worth() -> None:
    """A lucky evaluation shows as a step down."""
    worth = {0: 0.5, 1: 0.3, 2: 0.6}
    curve = curve_of(_study([0.5, 0.7, 0.6]), "a", 0, lambda trial: (worth[trial.number],), None)
    assert curve.quality.tolist() == [0.5, 0.3, 0.3]
    assert [quality_after(curve, count) for count in (1, 3, 9)] == [0.5, 0.3, 0.3]
    assert [quality_at(curve, seconds) for seconds in (2, 3.9, 4)] == [0.5, 0.5, 0.3]
    assert np.isnan(quality_at(curve, 1.0))


def _curves(name: str, first: float, last: float, seconds: tuple[float, float]) -> list[Curve]:
    """Eight searches of two evaluations, whose last ones differ by their seed."""
    epochs = {"slow": 18.0, "fast": 6.0}[name]
    return [
        Curve(name, seed, np.array([first, last + seed / 100]), np.array(seconds), seconds[1], epochs, 2)
        for seed in range(8)
    ]


def test_a_report_compares_at_equal_time_too() -> None:
    """Ahead after as many evaluations, but behind after as much time where evaluations take longer."""
    slow, fast = _curves("slow", 0.5, 0.8, (20.0, 40.0)), _curves("fast", 0.4, 0.7, (5.0, 10.0))
    lines = report_of(
        StrategyComparison(curves={"fast": fast, "slow": slow}, measure="score", best=None, evaluations=[2])
    )
    assert "| fast | 0.735 (0.7 to 0.77) |" in lines
    assert "| fast | 10 s | 2 | 6 |" in lines
    assert "| slow | 40 s | 2 | 18 |" in lines
    assert "| strategy | at 5 s | at 10 s |" in lines
    assert "| slow | nothing yet | nothing yet |" in lines
    # What is not there yet is not compared: 2 / 2^8 is the p of the only comparison.
    assert "| slow | -0.1 (-0.1 to -0.1), 0 : 8, p 0.0078: worse |" in lines
    assert any(line.startswith("No random search") for line in lines)
    later = [replace(curve, quality=np.array([0.5, 0.8]), seconds=np.array([4.0, 40.0])) for curve in slow]
    lines = report_of(
        StrategyComparison(curves={"random": fast, "slow": later}, measure="score", best=None, evaluations=[2])
    )
    # 0.4 - 0.5 at 5 s; from 0.7 - 0.5 to 0.77 - 0.5 at 10 s; three comparisons.
    assert (
        "| slow | -0.1 (-0.1 to -0.1), 0 : 8, p 0.023: worse | +0.235 (+0.2 to +0.27), 8 : 0, p 0.023: better |"
        in lines
    )
    assert not any(line.startswith("No random search") for line in lines)


def test_a_curve_of_several_objectives() -> None:
    study = _study([0.5, 0.8, 0.4], macs=[5, 8, 6])

    def true(trial: Trial) -> tuple[float, ...]:
        assert trial.cost is not None
        return trial.scores["val_accuracy"], -float(trial.cost.macs)

    curve = curve_of(study, "a", 0, true, (0.0, -10.0))
    # 0.5 x 5; then 0.3 x 2 beside it; the third is dominated.
    assert curve.quality.tolist() == pytest.approx([2.5, 3.1, 3.1])


@pytest.mark.parametrize(
    ("text", "message"),
    [("defualt", "Did you mean 'default'"), ("tpe+ahsa", "Did you mean 'asha'"), ("", "unknown sampler")],
)
def test_strategies_that_do_not_exist(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Strategy.read(text)


@pytest.mark.slow  # two commands of six seconds
def test_the_command_on_a_table(files: tuple[Path, Path], tmp_path: Path) -> None:
    command = [
        "nas.compare", f"+space={files[0]}", "evaluator=table", f"evaluator.file={files[1]}",
        "evaluator.scores={val_accuracy: [first, second]}", "strategies=[default,random]", "seeds=3", "trials=12",
        "at=[5,12]", "reach=random", f"records.dir={tmp_path}", "name=c", "constraints.params=20000",
    ]  # fmt: skip
    done = run(*command, "--json")
    assert done.returncode == 0, done.stderr
    assert "| random |" in done.stderr
    assert "Mind: seeds=3 is too few to show that any strategy is better: the 2 comparisons" in done.stderr
    assert done.stderr.count("too few seeds to tell: at least 7") == 2
    assert "Where random is after 12 evaluations" in done.stderr
    facts = json.loads(done.stdout)
    with (tmp_path / "c" / "curves.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2 * 3 * 12
    assert all(float(row["regret"]) >= 0 for row in rows)
    ends = [float(row["regret"]) for row in rows if (row["strategy"], row["evaluation"]) == ("random", "12")]
    assert facts["strategies"]["random"]["points"]["after 12"]["median"] == pytest.approx(median(ends), abs=1e-7)
    assert facts["reach"]["goal"] == facts["strategies"]["random"]["points"]["after 12"]["median"]
    assert facts["first_against"]["random"]["after 5"]["verdict"].startswith("too few seeds")
    assert (tmp_path / "c" / "curves.svg").read_text().startswith("<?xml")
    assert (tmp_path / "c" / "report.md").exists()
    assert "Course of the searches" in (tmp_path / "c" / "report.html").read_text()
    again = run(*command)
    assert again.returncode == 2
    assert "is there already" in again.stderr


def test_more_evaluations_than_networks_that_hold_the_limits(files: tuple[Path, Path], tmp_path: Path) -> None:
    values = {
        "space": str(files[0]),
        "evaluator": {"name": "table", "file": str(files[1]), "scores": {"val_accuracy": "first"}},
        "constraints": {"params": 400},
        "trials": 5000,
        "records": {"dir": str(tmp_path)},
    }
    assert compare(values) == 2
    assert not list(tmp_path.iterdir())


def test_the_command_refuses_slips(tmp_path: Path) -> None:
    command = ["nas.compare", "+space=mbconv", f"records.dir={tmp_path}"]
    for extra, message in (
        (["strategies=[default,tpee]"], "Did you mean 'tpe'"),
        (["evaluator=table"], "which file"),
        (["at=[50]", "trials=40"], "from 1 to trials=40"),
        (["trails=3"], "Did you mean 'trials'"),
        (["evaluator=proxy"], "comparisons train, or take a table"),
        (["+constraints.latency_ms=3"], "comparisons take limits that can be counted"),
        (["name=../out"], "it holds no '/'"),
        (["objective=val_acuracy"], "Did you mean 'val_accuracy'"),
        (["strategies=[1]"], "strategies[0] must be text"),
        (["first_seed=-1"], "first_seed must be >= 0"),
    ):
        done = run(*command, *extra)
        assert (done.returncode, message in done.stderr) == (2, True), done.stderr


def test_searches_that_decide_the_recipe_too(files: tuple[Path, Path]) -> None:
    recipe = {"momentum": [0.5, 0.9], "lr": [1e-4, 1e-2]}
    values = {"space": str(files[0]), "search": {"recipe": recipe}, "train": {"optimizer": "sgd", "batch_size": 16}}
    config = settings_from(CompareConfig, values)
    decided = decided_recipe(config.of_each, None)
    assert set(decided.decisions) == {"momentum", "lr"}
    assert decided.base == config.train == Recipe(optimizer="sgd", batch_size=16)
    for wrong, message in (
        ({"lrr": [1e-4, 1e-2]}, "search.recipe: the recipe has no setting 'lrr'. Did you mean 'lr'"),
        ({"rmsprop_eps": [1e-4, 1e-2]}, "search.recipe.rmsprop_eps does nothing unless"),
    ):
        with pytest.raises(ConfigError, match=re.escape(message)):
            settings_from(CompareConfig, {**values, "search": {"recipe": wrong}})
    table = {"name": "table", "file": str(files[1]), "scores": {"val_accuracy": "first"}}
    with pytest.raises(ConfigError, match=r"search\.recipe is of training, which evaluator=table does not"):
        settings_from(CompareConfig, {**values, "evaluator": table})


@pytest.mark.slow
def test_a_comparison_of_searches_that_decide_the_recipe_too(tmp_path: Path) -> None:
    (tmp_path / "small.yaml").write_text(json.dumps(SMALL))
    words = ["+space=small.yaml", "strategies=[random,default]", "seeds=1", "trials=3", "at=[3]", "workers=1", "name=c"]
    words += ["data=synthetic", "data.channels=1", "data.samples=100", "train.epochs=1", "train.optimizer=sgd"]
    words += ["search.recipe.momentum=[0.5,0.9]", "search.recipe.batch_size=[8,16,32]", "fit=none"]
    done = run("nas.compare", *words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    report = (tmp_path / "runs" / "c" / "report.md").read_text()
    assert "Each search decides of the recipe too (search.recipe): momentum, batch_size" in report
    for strategy in ("random", "default"):
        trials = read_trials(tmp_path / "runs" / "c" / f"{strategy}-0")
        assert [set(trial.recipe) for trial in trials if trial.trained] == [{"momentum", "batch_size"}] * 3
