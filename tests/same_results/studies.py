"""The studies. They go through the public API and the command lines alone, so that code below may move.

Nothing here depends on the machine but what is trained, and that is compared within a tolerance.
"""

from __future__ import annotations

import csv
import hashlib
import json
import math
import shutil
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import nas
from tests import run_command

HERE = Path(__file__).parent
SPACE = "small.yaml"
RESULTS = HERE / "results"
BEFORE = HERE / "before"
"""Run folders that were written before the code changed."""

EPOCHS = 9
_TIMES = ("seconds", "finished", "check")
_SINCE = ("expected_gain", "noise_sd")
"""What trials say since the results were kept, and what nothing follows from."""
"""Of a line of a log: what differs between two runs of one search, and the checksum over it."""


def chance(*what: object) -> float:
    """A number from 0 to 1 that looks drawn, and is always the same."""
    return int.from_bytes(hashlib.sha256(repr(what).encode()).digest()[:6], "big") / 2**48


def accuracy(genotype: Mapping[str, Any], epochs: int = EPOCHS) -> float:
    """What a network is said to reach after some epochs: each decision adds its own, and some noise."""
    final = 0.6 + sum(0.04 * chance(path, value) for path, value in genotype.items() if path.count(".") > 1)
    noise = 0.01 * chance(sorted(genotype.items()), epochs)
    return round(final * (1 - 0.5 * math.exp(-epochs / 3)) + noise, 6)


def evaluate(space: nas.SearchSpace, arch: nas.Architecture, budget: nas.Budget, seed: int) -> nas.Evaluation:
    """Says what `accuracy` says, epoch by epoch."""
    genotype, last = space.encode(arch), budget.epochs or EPOCHS
    for epoch in range(1, last + 1):
        if nas.report(epoch, {"val_accuracy": accuracy(genotype, epoch)}):
            last = epoch
            break
    return nas.Evaluation({"val_accuracy": accuracy(genotype, last)}, seconds={"evaluation": float(last)})


def trials_of(study: Any) -> list[dict[str, Any]]:
    """The trials of a search in this process, but for times."""
    return [
        {
            "number": trial.number,
            "state": str(trial.state),
            "genotype": dict(trial.genotype),
            "arch_id": trial.arch_id,
            "scores": dict(trial.scores or {}),
            "macs": trial.cost.macs if trial.cost else None,
            "params": trial.cost.params if trial.cost else None,
            "reason": trial.reason,
        }
        for trial in study.trials
    ]


def searched(sampler: str, folder: Path, **settings: Any) -> Any:
    """A search of the small space in this process."""
    space = nas.load_space(str(HERE / SPACE))
    usual = {"trials": 30, "constraints": {"macs": 1.5e6}, "soft": {"params": 6e3}, "seed": 3}
    study = nas.run_search(space, partial(evaluate, space), sampler=sampler, **{**usual, **settings})
    return trials_of(study)


def warm_started(folder: Path) -> Any:
    """A search that learns from another one's run folder."""
    searched("random", folder, run_dir=folder / "first", seed=5)
    return searched("default", folder, warm_start=folder / "first", trials=20)


def written_table(folder: Path) -> Path:
    """All networks of the small space, as a table with learning curves."""
    shutil.copy(HERE / SPACE, folder)
    space, path = nas.load_space(str(folder / SPACE)), folder / "table.csv"
    genotypes = list(space.enumerate())
    names = sorted({name for genotype in genotypes for name in genotype})
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow([*names, *(f"acc_{epoch}" for epoch in range(1, EPOCHS + 1)), "time"])
        for genotype in genotypes:
            curve = [accuracy(genotype, epoch) for epoch in range(1, EPOCHS + 1)]
            rows.writerow([*(genotype.get(name, "") for name in names), *curve, round(10 + 50 * chance(genotype), 3)])
    return path


def command(folder: Path, name: str, *words: str) -> str:
    """What `python -m nas.NAME` prints; raises where it fails."""
    ran = run_command.run(f"nas.{name}", *words, cwd=folder)
    if ran.returncode:
        raise RuntimeError(f"nas.{name} {' '.join(words)}: {ran.returncode}\n{ran.stdout}\n{ran.stderr}")
    return ran.stdout


ON_TABLE = (
    f"+space={SPACE}",
    "evaluator=table",
    "evaluator.file=table.csv",
    "evaluator.scores={val_accuracy: 'acc_{epoch}'}",
    "evaluator.seconds=time",
    "records.mlflow=false",
    f"train.epochs={EPOCHS}",
)


def trials_in(folder: Path) -> list[dict[str, Any]]:
    """The trials of a run folder, but for times."""
    rows = [json.loads(line) for line in (folder / "trials.jsonl").read_text().splitlines()]
    return [{key: value for key, value in row.items() if key not in (*_TIMES, *_SINCE)} for row in rows]


def on_table(folder: Path, *words: str) -> Any:
    """`nas.search` on the table."""
    written_table(folder)
    command(folder, "search", *ON_TABLE, "workers=3", "name=run", "search.trials=30", *words)
    return trials_in(folder / "runs" / "run")


def resumed(folder: Path, name: str) -> Any:
    """A search that was begun before, gone on with."""
    table, run = written_table(folder), folder / "runs" / name
    shutil.copytree(BEFORE / name, run)
    record = run / "study.json"
    record.write_text(record.read_text().replace("TABLE", str(table)))
    command(folder, "search", f"resume=runs/{name}", "search.trials=30")
    return trials_in(run)


def compared(folder: Path) -> Any:
    """Strategies against each other on the table."""
    written_table(folder)
    command(
        folder, "compare", *ON_TABLE, "name=run", "seeds=6", "trials=16", "strategies=[default,random,evolution+asha]"
    )
    run = folder / "runs" / "run"
    return {"curves": (run / "curves.csv").read_text(), "report": (run / "report.md").read_text()}


def spaces_compared(folder: Path) -> Any:
    """Spaces against each other on the table."""
    written_table(folder)
    shutil.copy(HERE / "few.yaml", folder)
    words = [word for word in ON_TABLE if not word.startswith("+space")]
    command(folder, "spaces", "compare", SPACE, "few.yaml", *words, "name=run", "trials=60")
    run = folder / "runs" / "run"
    return {"populations": (run / "populations.csv").read_text(), "report": (run / "report.md").read_text()}


def scaled(folder: Path) -> Any:
    """Single networks, scaled."""
    found = []
    for name in ("reference/efficientnet_b0", "reference/resnet18", "reference/mobilenet_v2"):
        arch = nas.load_space(name).decode({})
        for depth, width, resolution in ((1.2, 1.1, 240), (2.0, 1.0, 224), (1.0, 0.75, 192), (1.5, 1.4, 256)):
            larger = nas.scale(arch, depth=depth, width=width, resolution=resolution)
            cost = nas.cost_of(larger)
            found.append([name, depth, width, resolution, larger.arch_id, cost.params, cost.macs])
    return found


def family(rule: str, folder: Path, *words: str) -> Any:
    """A family that is only counted."""
    shutil.copy(BEFORE / "scaling" / "base.json", folder)
    command(
        folder, "scale", "base=base.json", f"rule={rule}", "name=run", "training=false", "records.mlflow=false", *words
    )
    with (folder / "runs" / "run" / "family.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def scaling_study(folder: Path) -> Any:
    """A scaling study that was trained before, fitted and reported anew."""
    shutil.copytree(BEFORE / "scaling", folder / "runs" / "scaling")
    shutil.copy(BEFORE / "scaling" / "base.json", folder)
    (folder / "runs" / "scaling" / "report.md").unlink()
    command(folder, "scale", "name=scaling", "resume=true")
    run = folder / "runs" / "scaling"
    return {"report": (run / "report.md").read_text(), "runs": (run / "runs.csv").read_text()}


def trained(folder: Path) -> Any:
    """A search that trains: what it tried, and the scores."""
    words = (
        "+space=mbconv",
        "sampler=random",
        "workers=1",
        "search.trials=3",
        "train.epochs=2",
        "constraints.macs=2e6",
        "fit=none",  # results from before spaces were brought to limits
        "search.portfolio=0",  # and from before a search began with known designs
    )
    command(folder, "search", *words, "name=run", "records.mlflow=false")
    kept = ("number", "state", "genotype", "arch_id", "cost", "reason", "seed", "scores")
    return [{key: trial[key] for key in kept} for trial in trials_in(folder / "runs" / "run")]


def printed(name: str, folder: Path, *words: str) -> Any:
    """What a command says."""
    shutil.copy(HERE / SPACE, folder)
    return command(folder, name, *words)


IN_THIS_PROCESS: dict[str, Callable[[Path], Any]] = {
    **{
        f"search {name}": partial(searched, name)
        for name in ("default", "evolution", "local", "grid", "uniform", "random", "tpe", "tpe_multivariate", "nsga2")
    },
    "search for two objectives": partial(searched, "default", objective=["val_accuracy", "macs"], soft=None),
    "search with baseline": partial(searched, "default", baseline_fraction=0.25),
    "search median": partial(searched, "random", pruner="median", budget=nas.Budget(epochs=EPOCHS)),
    "search curve": partial(searched, "random", pruner="curve", budget=nas.Budget(epochs=EPOCHS)),
    "warm start": warm_started,
    "scale networks": scaled,
}
BY_COMMAND: dict[str, Callable[[Path], Any]] = {
    "table": lambda folder: on_table(folder, "constraints.macs=1.5e6"),
    "table asha": lambda folder: on_table(folder, "pruner=asha", "search.baseline_fraction=0.2"),
    "table hyperband": lambda folder: on_table(folder, "pruner=hyperband", "sampler=tpe"),
    "table halving": lambda folder: on_table(folder, "pruner=successive_halving", "sampler=evolution"),
    "resumed search": lambda folder: resumed(folder, "search"),
    "resumed asha": lambda folder: resumed(folder, "asha"),
    "compare": compared,
    "spaces": spaces_compared,
    "family compound": lambda folder: family("compound", folder, "phi=[0,1,2,3,4]"),
    "family depth": lambda folder: family("depth", folder, "times=[1,2,4]", "tolerance=0.2"),
    "family width": lambda folder: family("width", folder, "times=[1,2,4]", "budget=params"),
    "family resolution": lambda folder: family("resolution", folder, "times=[1,2,4,8]"),
    "family dWr": lambda folder: family("dWr", folder, "times=[2,4]", "tolerance=0.2"),
    "scaling study": scaling_study,
    "limits": lambda folder: printed("limits", folder, f"+space={SPACE}", "constraints.macs=1e6", "fit=none"),
    "space": lambda folder: printed("space", folder, SPACE),
    "profile": lambda folder: printed("profile", folder, "reference/resnet18"),
}
TRAINED: dict[str, Callable[[Path], Any]] = {"search that trains": trained}
STUDIES = {**IN_THIS_PROCESS, **BY_COMMAND, **TRAINED}


def file_of(name: str) -> Path:
    """Where the results of a study are kept."""
    return RESULTS / f"{name.replace(' ', '_')}.json"
