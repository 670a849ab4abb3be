"""`python -m nas.search` as a person runs it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from mlflow import MlflowClient
from PIL import Image
from safetensors.numpy import load_file

import nas
from nas.run_folder import hold
from nas.search.steering import steer
from tests.run_command import Started, run
from tests.search.conftest import SMALL


def _run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return run("nas.search", *arguments, cwd=folder)


def test_help_teaches_without_loading_anything(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "nas.search", "--help"]
    result = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.returncode == 0
    for word in (
        "+space=mbconv",
        "constraints.params=5e5",
        "resume=runs/NAME",
        "data=fashion_mnist",
        "search.minutes",
        "--dry-run",
    ):
        assert word in result.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "which space? Give +space=NAME"),
        ([], "There are conv1d, deeplab, "),
        ([], " nasbench_macro, resnet, small_images, "),
        ([], " vgg, vit; nas space lists them, and the published networks, reference/NAME"),
        (["+space=mbcomv"], "unknown space 'mbcomv'. Did you mean 'mbconv'"),
        (["+space=reference/resnet"], "Did you mean"),
        (["+space=mine.yaml"], "mine.yaml: no such space file"),
        (["+space=3"], "unknown space '3'"),
        (["+space=mbconv", "constraints.params=few"], "constraints.params must be an upper bound or [lower, upper]"),
        (["+space=mbconv", "+constraints.parms=1e5"], "unknown metric 'parms'. Did you mean 'params'"),
        (["+space=mbconv", "constraints.params=[5,1]"], "the lower bound"),
        (["+space=mbconv", "workers=0"], "workers must be auto or a whole number from 1 to 1,024, but got 0"),
        (["+space=mbconv", "search.objective=val_acuracy"], "Did you mean 'val_accuracy'"),
        (["+space=mbconv", "search.trials=many"], "search.trials must be a whole number or null, but got 'many'"),
        (["+space=mbconv", "train.lr=-1"], "train.lr must be > 0, but got -1"),
        (["+space=mbconv", "data.augment=flip"], "data.augment: unknown 'flip'"),
        (["+space=mbconv", "+train.epoch=3"], "unknown setting 'train.epoch'. Did you mean 'epochs'"),
        (["+space=mbconv", "sampler.name=predictr"], "Did you mean 'predictor'"),
        (["+space=mbconv", "search.objective=[val_accuracy,mac]"], "Did you mean 'macs'"),
        (["+space=mbconv", "search.objective=[macs,val_accuracy]"], "begins with one"),
        (["+space=mbconv", "pruner=asha", "train.epochs=2"], "one rung only"),
        (["+space=mbconv", "pruner=median", "search.objective=[val_accuracy,macs]"], "serves one objective"),
        (["+space=mbconv", "pruner=asha", "pruner.eta=1"], "pruner.eta must be >= 2"),
        (["+space=mbconv", "evaluator=table"], "which file"),
        (["+space=mbconv", "constraints.int8_accuracy=0.9"], "at least that is constraints.int8_accuracy=[0.9,null]"),
        (["+space=mbconv", "evaluator=proxy", "constraints.int8_latency_ms=1"], "this evaluator does not give it"),
        (["+space=mbconv", "pruner=asha", "soft.int8_latency_ms=1"], "take pruner=none"),
        (["+space=mbconv", "search.baseline_fraction=1"], "fraction < 1"),
        (["+space=mbconv", "search.warm_start=nowhere"], "no study in "),
        (["+space=mbconv", "name=a/b"], "'a/b' holds '/'"),
        (["resume=nowhere"], "no study in nowhere"),
    ],
)
def test_what_does_not_hold_is_said_in_one_line(tmp_path: Path, arguments: list[str], message: str) -> None:
    result = run("nas.search", *arguments, cwd=tmp_path)
    assert result.returncode == 2
    assert result.stderr.startswith("nas.search: ")
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_folder_of_pictures_without_its_data_set_is_no_search_of_digits(tmp_path: Path) -> None:
    result = run("nas.search", "+space=mbconv", "data.root=photos", cwd=tmp_path)
    assert (result.returncode, result.stdout) == (2, "")
    assert "photos' would not be read, since digits has no files. Pictures in folders of their class" in result.stderr
    assert [*tmp_path.rglob("study.json")] == []


QUICK = [
    "+space=small.yaml",
    "data=synthetic",
    "data.channels=1",
    "data.samples=200",
    "train.epochs=1",
    "workers=1",
    "search.trials=5",
    "constraints.params=4000",
    "seed=3",
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "small.yaml").write_text(yaml.safe_dump(SMALL))
    return tmp_path


def _log(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "trials.jsonl").read_text().splitlines()]


def _facts(run: Path) -> list[tuple[Any, ...]]:
    return [(t["number"], t["state"], t["genotype"], t["scores"]) for t in _log(run)]


def _sums(path: Path) -> list[float]:
    """Return what the weights in a file add up to, a tensor each, whatever their names."""
    return sorted(float(values.sum()) for values in load_file(path).values())


def _trained_in_mlflow(folder: Path, study: str) -> list[int]:
    client = MlflowClient(tracking_uri=f"sqlite:///{folder}/runs/mlflow.db")
    experiment = client.get_experiment_by_name("small")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id], f"tags.study = '{study}' AND tags.state = 'completed'")
    assert {run.info.status for run in runs} == {"FINISHED"}
    return sorted(int(run.data.tags["nas.trial"]) for run in runs)


def _kill_after(folder: Path, name: str, lines: int) -> None:
    """Start a search and end its driver with SIGKILL when its log has so many lines."""
    process = Started("nas.search", *QUICK, f"name={name}", cwd=folder)  # what it prints is less than a pipe holds
    log = folder / "runs" / name / "trials.jsonl"
    while process.poll() is None and (not log.exists() or log.read_bytes().count(b"\n") < lines):
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()


@pytest.mark.slow
def test_a_killed_search_is_resumed_as_if_nothing_had_been(folder: Path, put_store: Callable[[Path], None]) -> None:
    put_store(folder / "runs")
    whole = _run(folder, *QUICK, "name=whole")
    assert whole.returncode == 0, whole.stderr
    assert "Ended: 5 trials done. 5 completed" in whole.stdout
    best = nas.Architecture.from_json((folder / "runs" / "whole" / "best_architecture.json").read_text())
    assert nas.cost_of(best).params <= 4000
    assert best.input_shape == (1, 16, 16)

    _kill_after(folder, "killed", lines=2)
    assert len(_log(folder / "runs" / "killed")) < len(_log(folder / "runs" / "whole"))
    resumed = _run(folder, "resume=runs/killed")
    assert resumed.returncode == 0, resumed.stderr
    # Same proposals, same scores to the last bit, none twice; and MLflow says the same.
    assert _facts(folder / "runs" / "killed") == _facts(folder / "runs" / "whole")
    trained = [t["number"] for t in _log(folder / "runs" / "killed") if t["state"] == "completed"]
    assert len(trained) == 5
    # Both end with the same model, with the weights of the best network, and say how its score came about.
    kept = folder / "runs" / "whole" / "weights" / f"{best.arch_id}.safetensors"
    for name, said in (("whole", whole.stdout), ("killed", resumed.stdout)):
        model = folder / "runs" / name / "model"
        assert {path.name for path in model.iterdir()} >= {"model.py", "model.safetensors", "model.onnx", "card.md"}
        assert "selected out of 5 trained networks" in (model / "card.md").read_text()
        assert _sums(model / "model.safetensors") == _sums(kept)
        assert f"nas finish runs/{name}\n" in said
    assert _trained_in_mlflow(folder, "killed") == trained == _trained_in_mlflow(folder, "whole")

    refused = _run(folder, "resume=runs/killed", "train.epochs=2")
    assert refused.returncode == 2
    assert "resume: train.epochs was 1 in" in refused.stderr


def test_a_typing_slip_in_a_setting_names_the_nearest(folder: Path) -> None:
    for slip, name in [("search.trial=3", "trials"), ("constraints.parms=5e5", "params"), ("sede=1", "seed")]:
        result = run("nas.search", "+space=small.yaml", slip, cwd=folder)
        assert result.returncode == 2, result.stderr
        assert f"'{name}'" in result.stderr
        assert "To append" not in result.stderr


def test_settings_that_cannot_be_leave_no_run_folder(folder: Path) -> None:
    result = run("nas.search", "+space=small.yaml", "search.trials=0", "name=nothing", cwd=folder)
    assert result.returncode == 2
    assert "search.trials must be > 0" in result.stderr
    assert not (folder / "runs" / "nothing").exists()


@pytest.mark.slow
def test_a_search_on_images_is_resumed_from_another_folder_after_they_moved(folder: Path) -> None:
    rng = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (folder / "photos" / "train" / name).mkdir(parents=True)
        for i in range(12):
            pixels = rng.integers(0, 255, (16, 16), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / "photos" / "train" / name / f"{i}.png")
    begin = ["+space=small.yaml", "data=image_folder", "data.root=photos", "data.channels=1", "train.epochs=1"]
    begin += ["workers=1", "search.trials=1", "records.mlflow=false", "name=pets"]
    assert _run(folder, *begin).returncode == 0
    run = folder / "runs" / "pets"
    elsewhere = folder / "elsewhere"
    elsewhere.mkdir()
    again = _run(elsewhere, f"resume={run}", "search.trials=2")
    assert again.returncode == 0, again.stderr
    (folder / "photos").rename(elsewhere / "pictures")
    moved = _run(elsewhere, f"resume={run}", "search.trials=3", "data.root=pictures")
    assert moved.returncode == 0, moved.stderr
    (elsewhere / "pictures" / "train" / "cat" / "0.png").unlink()
    # Measured on the pictures where they are now.
    assert "validation images; time on" in (run / "model" / "card.md").read_text()
    changed = _run(elsewhere, f"resume={run}", "search.trials=4", "data.root=pictures")
    assert changed.returncode == 2
    assert "the data are not those of" in changed.stderr


@pytest.mark.slow
def test_data_that_are_missing_leave_no_run_behind(folder: Path) -> None:
    result = run("nas.search", "+space=small.yaml", "data=fashion_mnist", "data.root=nothing_here", cwd=folder)
    assert result.returncode == 2
    assert f"no train-images-idx3-ubyte[.gz] in {folder / 'nothing_here'}" in result.stderr
    assert "apt-get install dataset-fashion-mnist" in result.stderr
    assert not any(path.is_dir() for path in (folder / "runs").iterdir())


@pytest.mark.slow
def test_an_impossible_limit_ends_before_the_search(folder: Path) -> None:
    result = _run(folder, *QUICK, "constraints.params=10", "name=none")
    assert result.returncode == 2
    assert "no network of the space holds the limits; the nearest: params" in result.stderr
    assert "python -m nas.limits" in result.stderr
    assert not (folder / "runs" / "none").exists()


@pytest.mark.slow
def test_ctrl_c_says_how_to_go_on(folder: Path) -> None:
    # More trials than can end before the signal arrives.
    endless = ["search.trials=10000" if setting.startswith("search.trials") else setting for setting in QUICK]
    process = Started("nas.search", *endless, "records.mlflow=false", "name=stopped", cwd=folder)
    for line in process.stdout:
        if "trial" in line and "val_accuracy" in line:
            process.send_signal(signal.SIGINT)
            break
    rest, _ = process.communicate()
    assert process.poll() == 130
    assert "Ended: interrupted" in rest
    assert "nas search resume=runs/stopped" in rest


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """A folder with `small.yaml`, and in `table.csv` an accuracy that rises with the parameters."""
    space = nas.SearchSpace.from_dict(SMALL)
    (tmp_path / "small.yaml").write_text(json.dumps(SMALL))
    paths = list(space.decisions())
    lines = [",".join([*paths, "accuracy", "minutes"])]
    for genotype in space.enumerate():
        cells = [str(genotype.get(path, "")) for path in paths]
        lines.append(",".join([*cells, f"{1 - 1 / nas.cost_of(space.decode(genotype)).params:.6f}", "3"]))
    (tmp_path / "table.csv").write_text("\n".join(lines) + "\n")
    return tmp_path


def _search_table(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return run(
        "nas.search",
        "+space=small.yaml",
        "evaluator=table",
        "evaluator.file=table.csv",
        "evaluator.scores={val_accuracy: accuracy}",
        "evaluator.seconds=minutes",
        "records.mlflow=false",
        "name=t",
        *arguments,
        cwd=folder,
    )


def _of_trials(folder: Path, name: str) -> list[float]:
    lines = (folder / "runs" / "t" / "trials.jsonl").read_text().splitlines()
    return [float({**trial["scores"], **trial["cost"]}[name]) for trial in map(json.loads, lines)]


def test_a_search_leaves_the_best_architecture(table: Path) -> None:
    result = _search_table(table, "search.trials=12")
    assert result.returncode == 0, result.stderr
    best = nas.Architecture.from_json((table / "runs" / "t" / "best_architecture.json").read_text())
    assert nas.cost_of(best).params == max(_of_trials(table, "params"))
    assert "Best architecture: runs/t/best_architecture.json\n" in result.stdout
    assert "Report: runs/t/report.html\n" in result.stdout
    page = (table / "runs" / "t" / "report.html").read_text()
    assert f"<h1>t: best val_accuracy {max(_of_trials(table, 'val_accuracy')):.4f}</h1>" in page


def test_a_space_is_brought_to_the_limits_once(folder: Path) -> None:
    words = ["evaluator=proxy", "search.objective=zico", "constraints.params=1e4", "records.mlflow=false", "workers=1"]
    result = run("nas.search", "+space=mbconv", *words, "search.trials=2", "name=fitted", cwd=folder)
    assert result.returncode == 0, result.stderr
    assert "Widths of the space are multiplied by 0.0" in result.stdout
    saved = json.loads((folder / "runs" / "fitted" / "study.json").read_text())["space"]
    assert max(saved["stem"]["out_channels"]["choose"]) < 16
    again = run("nas.search", "resume=runs/fitted", "search.trials=3", cwd=folder)
    assert again.returncode == 0, again.stderr
    assert "Widths" not in again.stdout
    space = nas.SearchSpace.from_dict(saved).for_data((1, 8, 8), 10)
    lines = (folder / "runs" / "fitted" / "trials.jsonl").read_text().splitlines()
    assert len(lines) == 3
    for trial in map(json.loads, lines):
        assert nas.cost_of(space.decode(trial["genotype"])).params == trial["cost"]["params"] <= 1e4
    as_written = run("nas.limits", "+space=mbconv", "constraints.params=1e4", "fit=none", cwd=folder)
    assert as_written.returncode == 2, "nothing of the space as it is written is so small"


def test_networks_of_the_users_own_come_first_also_from_another_folder(table: Path) -> None:
    space = nas.SearchSpace.from_dict(SMALL)
    own = [space.decode(space.sample(seed)) for seed in (3, 4)]
    for name, arch in zip("ab", own, strict=True):
        (table / f"{name}.json").write_text(arch.to_json())
    result = _search_table(table, "search.first=[a.json]", "search.trials=2")
    assert result.returncode == 0, result.stderr
    elsewhere = table / "elsewhere"
    elsewhere.mkdir()
    words = ["resume=../runs/t", "search.trials=4", "search.first=[../a.json,../b.json]"]
    result = run("nas.search", *words, cwd=elsewhere)
    assert result.returncode == 0, result.stderr
    trials = [json.loads(line) for line in (table / "runs" / "t" / "trials.jsonl").read_text().splitlines()]
    assert [trial["arch_id"] for trial in trials][::2] == [arch.arch_id for arch in own]
    result = run("nas.search", "resume=../runs/t", "search.trials=5", cwd=table / "runs")
    assert result.returncode == 0, result.stderr


def test_a_search_that_is_gone_on_with_keeps_what_it_was_steered_to(table: Path) -> None:
    result = _search_table(table, "search.trials=2")
    assert result.returncode == 0, result.stderr
    with hold(table / "runs" / "t", "search"):
        steer(table / "runs" / "t", {"trials": 5, "workers": 3})
    for words, trials, workers in (([], 5, 3), (["search.trials=6", "workers=1"], 6, 1)):
        result = run("nas.search", "resume=runs/t", *words, cwd=table)
        assert result.returncode == 0, result.stderr
        assert len(_of_trials(table, "val_accuracy")) == trials
        assert f", {workers} worker" in result.stdout


def test_a_search_on_a_table_with_two_objectives(table: Path) -> None:
    result = _search_table(
        table, "search.objective=[val_accuracy,macs]", "search.trials=20", "search.baseline_fraction=0.2"
    )
    assert result.returncode == 0, result.stderr
    assert "Pareto front of 20 networks (* its knee)" in result.stdout
    assert "Random baseline:" in result.stdout
    front = json.loads((table / "runs" / "t" / "pareto_front.json").read_text())
    assert sum(one["knee"] for one in front) == 1
    values = [(one["objectives"]["val_accuracy"], -one["objectives"]["macs"]) for one in front]
    assert not any(a != b and a[0] >= b[0] and a[1] >= b[1] for a in values for b in values)
    best = nas.Architecture.from_json((table / "runs" / "t" / "best_architecture.json").read_text())
    assert [nas.Architecture.from_dict(one["architecture"]) for one in front if one["knee"]] == [best]
    # The area between the front and the worst of each: strips from the least accurate to the most accurate.
    worst, most = min(_of_trials(table, "val_accuracy")), max(_of_trials(table, "macs"))
    area = 0.0
    for accuracy, minus_macs in sorted(values):
        area, worst = area + (accuracy - worst) * (most + minus_macs), accuracy
    assert f"hypervolume {area:.6g} above" in result.stdout
    # A report that cannot be written is no reason to fail.
    (table / "runs" / "t" / "report.html").unlink()
    (table / "runs" / "t" / "report.html").mkdir()
    again = run("nas.search", "resume=runs/t", "search.trials=22", cwd=table)
    assert again.returncode == 0, again.stderr
    assert "The report could not be written, which changes nothing of the rest: ConfigError: " in again.stdout
    assert "Pareto front of 22 networks" in again.stdout
