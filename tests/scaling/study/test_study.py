"""Scaling studies: on networks whose loss follows a known law, and once by training."""

from __future__ import annotations

import csv
import hashlib
import json
import re
from dataclasses import asdict
from math import log
from pathlib import Path
from random import Random
from typing import Any

import pytest

import nas
from nas.json_output import json_document
from nas.scaling.laws.response_surface import coefficients, lattice
from nas.scaling.study import scaling_study as study
from nas.scaling.study.config import ScaleConfig
from nas.scaling.study.preregistration import read_forecast
from nas.scaling.study.training_runs import Job as TrainingJob
from nas.training.recipe import Recipe
from nas.workers.processes import Outcome, Task
from tests.scaling.lawpool import LawPool, folder, run


def test_a_family_is_trained_and_its_law_found(base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with json_document(True):
        assert run(base, times=[1, 2, 4, 8, 16], rule="width", rounding={"divisor": 1}) == 0
    out, text = capsys.readouterr()
    found = re.search(r"width, C in multiply-adds: E \+ A C\^-a with E (\S+) \((\S+) to (\S+)\)", text)
    assert found, text
    low, high = float(found[2]), float(found[3])
    assert low <= 0.05 <= high
    assert "without an asymptote" in text
    assert (folder(base) / "report.md").exists()
    assert "Loss against macs" in (folder(base) / "report.html").read_text()
    assert (folder(base) / "scaling.svg").read_text().startswith("<?xml")
    with (folder(base) / "runs.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 15
    for row in rows:
        assert float(row["loss"]) == pytest.approx(LawPool.law(int(row["macs"])), rel=0.05)
    facts = json.loads(out)
    law, sizes = (facts["rules"]["width"][name] for name in ("law", "sizes"))
    assert f"{law['constants']['E']['value']:.4g}" == found[1]
    assert [one["macs"] for one in sizes] == [one["cost"]["macs"] for one in facts["networks"]]
    assert [loss for one in sizes for loss in one["losses"]] == pytest.approx([float(row["loss"]) for row in rows])
    assert (facts["run_folder"], facts["base"]["cost"]["macs"]) == (str(folder(base)), sizes[0]["macs"])


def test_a_forecast_is_frozen_before_its_network_is_trained(base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with json_document(True):
        assert run(base, times=[1, 2, 4, 8, 16], forecast=32, rule="width", rounding={"divisor": 1}) == 0
    out, text = capsys.readouterr()
    frozen, facts = read_forecast(folder(base) / "forecast.json"), json.loads(out)["forecast"]
    assert (facts["loss"], facts["low"], facts["sha256"]) == (frozen.forecast.loss, frozen.forecast.low, frozen.digest)
    assert facts["verdict"] in text
    assert facts["measured"]["macs"] == frozen.target.size[0]
    with (folder(base) / "runs.csv").open() as file:
        assert [row["rule"] for row in csv.DictReader(file)] == ["width"] * 15 + ["width, forecast"] * 3
    assert text.index("Frozen before it is trained") < text.index("inside the 90% interval")
    assert frozen.forecast.low <= LawPool.law(frozen.target.size[0]) <= frozen.forecast.high
    # Nothing of what it is about was known: no observation is of that size.
    content = json.loads((folder(base) / "forecast.json").read_text())
    assert all(one["size"][0] < frozen.target.size[0] for one in content["observations"])
    assert len(content["observations"]) == 15


def test_a_forecast_that_was_changed_is_refused(base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = {"times": [1, 2, 4, 8, 16], "forecast": 32, "rule": "width", "rounding": {"divisor": 1}}
    assert run(base, **settings) == 0
    path = folder(base) / "forecast.json"
    path.write_text(path.read_text().replace('"seeds": 3', '"seeds": 4'))
    capsys.readouterr()
    assert run(base, **settings, resume=True) == 0
    assert "was changed since it was frozen" in capsys.readouterr().out
    assert "was changed since it was frozen" in (folder(base) / "report.md").read_text()


def test_rules_are_compared_at_equal_cost(base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(base, mode="compare", rules=["width", "resolution"], times=[1, 4], rounding={"divisor": 1}) == 0
    text = capsys.readouterr().out
    assert "| 1 x | the same network |" in text
    # The law knows multiply-adds alone, so that neither rule is better; three runs of each could not show it anyway.
    assert re.search(r"\| 4 x \| \S+ \(\S+ to \S+\) \|", text), text
    assert re.search(r"\| all \| \S+ \(\S+ to \S+\): too few to tell: at least 4 of each \|", text), text
    networks = {task.architecture.arch_id for task in LawPool.tasks}
    assert len(LawPool.tasks) == 3 * len(networks) == 9  # the base is trained once


def test_the_learning_rate_is_picked_by_runs_of_their_own(base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(base, times=[1, 4], rule="width", lr_sweep=[0.3, 1, 3], train={"lr": 1e-2}, seeds=2) == 0
    assert capsys.readouterr().out.count("the best learning rate is lr_sweep's edge: 0.3") == 2
    rows = list(csv.DictReader((folder(base) / "runs.csv").open()))
    assert {float(row["lr"]) for row in rows} == {3e-3}
    assert len(LawPool.tasks) == 2 * 3 + 2 * 2
    assert len({task.seed for task in LawPool.tasks}) == len(LawPool.tasks)


def test_the_recipe_follows_the_size(base: Path) -> None:
    by_size = {"lr": -0.5, "epochs": 0.5, "dropout": 0.1}
    assert run(base, times=[1, 4], rule="width", by_size=by_size, rounding={"divisor": 1}, seeds=1) == 0
    rows = list(csv.DictReader((folder(base) / "runs.csv").open()))
    times = float(rows[1]["macs_ratio"])
    assert float(rows[1]["lr"]) == pytest.approx(float(rows[0]["lr"]) * times**-0.5)
    assert int(rows[1]["epochs"]) == round(12 * times**0.5)
    heads = [dict(task.architecture.head.blocks[-1].settings)["dropout"] for task in LawPool.tasks]
    assert heads == [0.1, pytest.approx(0.1 + 0.1 * log(times, 2))]


def test_a_study_goes_on_where_it_was_cut_off(base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = {"times": [1, 2, 4, 8, 16], "rule": "width", "rounding": {"divisor": 1}}
    assert run(base, **settings) == 0
    whole = (folder(base) / "report.md").read_text()
    runs = folder(base) / "runs.jsonl"
    lines = runs.read_text().splitlines(keepends=True)
    runs.write_text("".join(lines[:7]) + lines[7][:40])
    LawPool.tasks.clear()
    assert run(base, **settings, resume=True) == 0
    assert len(LawPool.tasks) == 8
    assert (folder(base) / "report.md").read_text() == whole
    capsys.readouterr()
    assert run(base, **{**settings, "times": [1, 2]}, resume=True) == 2
    assert "resume: times was [1.0, 2.0, 4.0, 8.0, 16.0]" in capsys.readouterr().err
    assert run(base, **settings) == 2
    assert "resume=true to go on" in capsys.readouterr().err


def test_too_few_sizes_give_no_law(base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(base, times=[1, 2, 4], rule="width", rounding={"divisor": 1}) == 0
    assert "no law: insufficient: 3 sizes" in capsys.readouterr().out


def test_counting_alone_trains_nothing(base: Path) -> None:
    assert run(base, phi=[0, 1], training=False) == 0
    assert not LawPool.tasks
    rows = list(csv.DictReader((folder(base) / "family.csv").open()))
    for row in rows:
        arch = nas.Architecture.from_json((folder(base) / row["file"]).read_text())
        assert nas.cost_of(arch).macs == int(row["macs"])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"mode": "famly"}, "Did you mean 'family'"),
        ({"rule": "compond"}, "Did you mean 'compound'"),
        ({"budget": "mac"}, "Did you mean 'macs'"),
        ({"loss": "acc"}, "loss: unknown 'acc'"),
        ({"law": "param"}, "Did you mean 'params'"),
        ({"mode": "compare", "phi": [1.0]}, "compared at equal cost"),
        ({"mode": "compare", "rules": ["width"]}, "two or more different rules"),
        ({"times": [0.0]}, "multiples > 0"),
        ({"times": [1e-9]}, "no network within 5%"),
        ({"seeds": 0}, "seeds must be >= 1"),
        ({"coefficients": {"alpa": 1.2}}, "no coefficient 'alpa'"),
        ({"coefficients": {"alpha": "x"}}, "alpha must be from 1 to 4"),
        ({"forecast": 32.0, "budget": "params"}, "forecast needs"),
        ({"rounding": {"stem": "kep"}}, "Did you mean 'keep'"),
        ({"rounding": {"divisor": 0}}, "divisor must be a whole number"),
        ({"space": "reference/resnet18"}, "which base"),
        ({"base": None}, "which base"),
        ({"base": None, "space": "mbconv"}, "but scaling starts from one"),
        ({"base": "nowhere.json"}, "cannot be read"),
        ({"base": "."}, "has no best_architecture.json"),
        ({"data": {"name": "fashion_mnist"}, "by_size": {"lr": 3.0}}, "by_size.lr must be <= 2"),
        ({"data": {"name": "synthetic", "channels": 3}}, "takes 1 channels"),
    ],
)
def test_slips_are_told(base: Path, settings: dict[str, Any], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(base, **settings) == 2
    assert message in capsys.readouterr().err
    assert not folder(base).exists()


def test_every_setting_is_in_the_file(tmp_path: Path) -> None:
    import yaml

    from nas.resources import resource_dir

    values = yaml.safe_load((resource_dir("conf") / "scale.yaml").read_text())
    given = {key: value for key, value in values.items() if key not in ("defaults", "hydra")}
    config = ScaleConfig(base="x.json")
    for name, value in given.items():
        if name in ("rounding", "by_size", "search", "plan", "records", "inference"):
            assert {**asdict(getattr(config, name)), **value} == asdict(getattr(config, name))
        elif name != "base":
            assert getattr(config, name) == value, name


def _deep(tmp_path: Path) -> nas.Architecture:
    """A base whose dimensions all come in small steps."""
    space = nas.SearchSpace.from_dict(
        {
            "name": "deep",
            "assume": {"channels": 1, "resolution": 96, "num_classes": 10},
            "stages": [
                {"block": "residual_basic", "out_channels": 40, "depth": 10},
                {"block": "residual_basic", "out_channels": 80, "stride": 2, "depth": 10},
            ],
            "head": {"block": "classifier"},
        }
    )
    return space.decode({})


def _sizes(arch: nas.Architecture) -> tuple[float, float, float]:
    blocks = [block for stage in arch.stages for block in stage.blocks]
    width = dict(blocks[-1].settings)["out_channels"]
    assert isinstance(width, int)
    return len(blocks) / 20, width / 80, arch.input_shape[1] / 96


def _surface(depth: float, width: float, resolution: float) -> float:
    return float(0.1 + 0.05 * depth**-1.2 + 0.08 * width**-2.0 + 0.05 * resolution**-2.2)


@pytest.mark.parametrize("by", ["grid", "optuna"])
def test_the_best_coefficients_are_found(
    by: str, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class SurfacePool(LawPool):
        def _outcome(self, task: Task) -> Outcome:
            error = _surface(*_sizes(task.architecture)) * 2.718281828 ** (0.001 * Random(task.seed).gauss(0, 1))
            return Outcome(task.number, nas.Evaluation({"val_accuracy": 1 - error, "val_loss": 0.0}))

    monkeypatch.setattr(study, "WorkerPool", SurfacePool)
    base.write_text(_deep(tmp_path).to_json())
    search = {"by": by}
    with json_document(True):
        assert run(base, mode="coefficients", search=search, rounding={"divisor": 1}, seeds=2) == 0
    out, text = capsys.readouterr()
    found = [float(value) for value in re.findall(r"(?:alpha|beta|gamma) (\d\.\d+) \(", text)]
    truth = min(
        (coefficients(shares) for shares in lattice(200)),
        key=lambda of: _surface(*of),
    )
    assert found == pytest.approx(truth, rel=0.05)
    facts = json.loads(out)
    assert [facts["coefficients"][name]["value"] for name in ("alpha", "beta", "gamma")] == pytest.approx(
        truth, rel=0.05
    )
    assert all(sum(one["shares"]) == pytest.approx(1) for one in facts["networks"])
    assert (folder(base) / "surface.svg").exists()
    assert "rule=compound coefficients.alpha=" in text


def test_the_best_size_for_a_cost_of_training(
    base: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # Hoffmann et al. 2022, equation 4: with A N^-a + B D^-a under N D = C the best N is C^0.5 where A = B.
    unit = nas.cost_of(nas.Architecture.from_json(base.read_text())).macs

    class ComputePool(LawPool):
        def _outcome(self, task: Task) -> Outcome:
            size, epochs = nas.cost_of(task.architecture).macs / unit, float(task.budget.epochs or 0)
            error = 0.05 + 0.1 * size**-0.5 + 0.1 * (epochs / 48) ** -0.5
            return Outcome(task.number, nas.Evaluation({"val_accuracy": 1 - error, "val_loss": error}))

    monkeypatch.setattr(study, "WorkerPool", ComputePool)
    sizes = {"times": [0.5, 1, 2, 4, 8], "budgets": [2, 4, 8], "train": {"epochs": 48}}
    with json_document(True):
        assert run(base, mode="isoflop", rule="width", rounding={"divisor": 1}, seeds=1, **sizes) == 0
    out, text = capsys.readouterr()
    found = [float(value.replace(",", "")) for value in re.findall(r"the best size is ([\d,]+) MACs", text)]
    assert found == pytest.approx([unit * 2**0.5, unit * 2, unit * 8**0.5], rel=0.1)
    profiles = json.loads(out)["profiles"]
    assert [one["best_macs"]["value"] for one in profiles] == pytest.approx(found, abs=1)
    assert [one["budget"] for one in profiles] == sizes["budgets"]
    grown = re.search(r"to the power (\S+) \(", text)
    assert grown
    assert float(grown[1]) == pytest.approx(0.5, abs=0.05)
    assert (folder(base) / "isoflop.svg").exists()
    assert "Law in N multiply-adds and D epochs: E + A N^-a + B D^-b with E" in text


def test_a_budget_in_work_needs_no_clock(base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    macs = nas.cost_of(nas.Architecture.from_json(base.read_text())).macs
    one = 12 * macs * LawPool.images  # a run of the base
    settings = {"mode": "plan", "rule": "width", "rounding": {"divisor": 1}, "times": [1, 2, 4, 8, 16], "forecast": 64}
    assert run(base, **settings, plan={"work": 60.0 * one}) == 0
    spent = sum(12 * nas.cost_of(task.architecture).macs * LawPool.images for task in LawPool.tasks)
    assert 45 * one < spent <= 60 * one
    assert f"Trained, for {spent:.3g} MACs x images: " in capsys.readouterr().out


def test_what_to_train_is_planned_and_trained_within_the_budget(
    base: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class TimedPool(LawPool):
        def _outcome(self, task: Task) -> Outcome:
            found = super()._outcome(task)
            assert found.evaluation is not None
            epochs = task.budget.epochs or 0
            seconds = {"evaluation": epochs * nas.cost_of(task.architecture).macs / 1e6}
            return Outcome(task.number, nas.Evaluation(found.evaluation.scores, seconds=seconds))

    monkeypatch.setattr(study, "WorkerPool", TimedPool)
    macs = nas.cost_of(nas.Architecture.from_json(base.read_text())).macs
    hour = 12 * macs / 1e6 / 3600  # a run of the base
    settings = {"mode": "plan", "rule": "width", "rounding": {"divisor": 1}, "times": [1, 2, 4, 8, 16], "forecast": 64}
    with json_document(True):
        assert run(base, **settings, plan={"hours": 60 * hour}) == 0
    out, text = capsys.readouterr()
    spent = sum(12 * nas.cost_of(task.architecture).macs / 1e6 / 3600 for task in LawPool.tasks)
    assert 45 * hour < spent <= 60 * hour * 1.001
    assert "Plan: " in text
    said = re.search(r"64 x base\): \S+ \((\S+) to (\S+)\) \(90 %\)", text)
    assert said, text
    assert float(said[1]) <= LawPool.law(64 * macs) <= float(said[2])
    facts = json.loads(out)
    assert [f"{facts['forecast'][name]:.4g}" for name in ("low", "high")] == [said[1], said[2]]
    assert facts["forecast"]["macs"] == 64 * macs
    assert sum(facts["runs_by_macs"].values()) == len(LawPool.tasks)
    assert "; p of its fit " in text
    # More hours go on from there; saying what would be trained trains nothing.
    before = len(LawPool.tasks)
    assert run(base, **settings, plan={"hours": 90 * hour}, training=False, resume=True) == 0
    assert len(LawPool.tasks) == before
    assert "train=false" in capsys.readouterr().out
    assert run(base, **settings, plan={"hours": 1000 * hour, "until": 0.2}, training=True, resume=True) == 0
    assert len(LawPool.tasks) > before
    assert "narrower than 20%" in capsys.readouterr().out


def test_settings_that_a_recipe_has_got_since_leave_the_key_of_a_run() -> None:
    """So that a study from before goes on; the digest is that of the recipe as it was then."""
    then = {
        "epochs": 12, "batch_size": 64, "optimizer": "adamw", "lr": 0.003, "weight_decay": 0.02, "momentum": 0.9,
        "warmup_fraction": 0.1, "label_smoothing": 0.0, "gradient_clip": 5.0, "zero_init_last": False,
        "precision": "32-true",
    }  # fmt: skip
    digest = hashlib.sha256(json.dumps(then, sort_keys=True).encode()).hexdigest()[:8]
    architecture = nas.load_space("reference/lenet5").decode({})
    assert TrainingJob(architecture, Recipe(), 0).key == f"{architecture.arch_id}-{digest}-0"
    assert TrainingJob(architecture, Recipe(ema=0.9), 0).key != f"{architecture.arch_id}-{digest}-0"
