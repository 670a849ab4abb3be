"""Search, published and random networks with equal seconds of choosing, as a user has them: search, then finish.

    python -m benchmarks.equal_seconds digits_100k
    python -m benchmarks.equal_seconds fashion_200k --minutes 100   # so long at most; the same command goes on
    python -m benchmarks.equal_seconds --table

A side has some minutes on all cores: the search and the choosing of its winner together, and each baseline as many. The
trainings that are reported come after that, by seeds that chose nothing. Nothing else may run meanwhile. Records,
without weights, are kept in benchmarks/data/equal_seconds, where another machine finds them; what is being trained at
the end of `--minutes` is trained again.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nas.finishing.settings import RANDOM, FinishSettings
from nas.finishing.study import choosing_share
from nas.latency.deployment import processor

ROOT = Path(__file__).resolve().parents[1]
RECORDS = ROOT / "benchmarks" / "data" / "equal_seconds"
_RUNS, _DONE = "runs/equal_seconds", "search_done"
_NOT_KEPT = (
    "weights",
    "model",
    "checkpoints",
    "artifacts",
    "lock",
    "*.ckpt*",
    "*.safetensors",
    "*.log",
    "*.html",
    "*.png",
    "seconds.jsonl",
)
_FINAL_MINUTES = 600
"""For the trainings that are reported, which need not be equal in time: they are equal in epochs."""
_PICTURES = "runs/equal_seconds/shapes"


@dataclass(frozen=True, kw_only=True)
class Case:
    """Data, limits, and how many minutes a side has."""

    search: Sequence[str]
    """Settings of the search: data, limits, epochs."""
    finish: Sequence[str]
    """Settings of the trainings that choose the winner, and that are reported."""
    side: float
    """Minutes of a side."""
    choosing: float
    """Of these the minutes in which the winner is chosen from the best of the search; 0: the search has chosen it."""
    settings: FinishSettings


def _few(top_k: int, seeds: int, final_seeds: int) -> FinishSettings:
    return FinishSettings(top_k=top_k, seeds=seeds, final_seeds=final_seeds, baseline=RANDOM)


# A candidate has a whole schedule on few images, the better third the same on three times as many, and so on.
_HALVES = ("recipe=short", "pruner=asha", "pruner.fidelity=data")
_SHAPES = ("data=image_folder", f"data.root={_PICTURES}", "data.resolution=64", *_HALVES, "train.epochs=9")
CASES: Mapping[str, Case] = {
    "digits_100k": Case(
        search=("recipe=short", "constraints.params=1e5", "constraints.macs=2e6"),
        finish=(),
        side=10,
        choosing=3.5,
        settings=_few(5, 1, 8),
    ),
    "digits_50k": Case(
        search=("recipe=short", "constraints.params=5e4", "constraints.macs=1e6"),
        finish=(),
        side=10,
        choosing=3.5,
        settings=_few(5, 1, 8),
    ),
    "shapes_100k": Case(
        search=(*_SHAPES, "constraints.params=1e5", "constraints.macs=1e7"),
        finish=("train.epochs=12",),
        side=45,
        choosing=15,
        settings=_few(3, 1, 5),
    ),
    "shapes_300k": Case(
        search=(*_SHAPES, "constraints.params=3e5", "constraints.macs=2e7"),
        finish=("train.epochs=12",),
        side=45,
        choosing=15,
        settings=_few(3, 1, 5),
    ),
    "fashion_200k": Case(
        search=("data=fashion_mnist", *_HALVES, "train.epochs=3", "constraints.params=2e5", "constraints.macs=8e6"),
        finish=("train.epochs=10",),
        side=90,
        choosing=0,  # ten epochs of three networks take longer than that
        settings=_few(1, 1, 5),
    ),
}


def main() -> None:
    """Do a case, or print the table of those that are done."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.equal_seconds",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("case", nargs="?", choices=CASES)
    parser.add_argument("--minutes", type=float, default=float("inf"), help="stop after so many; the same goes on")
    parser.add_argument("--table", action="store_true", help="print what is there by now")
    given = parser.parse_args()
    if given.case:
        _do(given.case, time.monotonic() + 60 * given.minutes)
    if given.table or not given.case:
        print("\n".join(_table()))


def _do(name: str, until: float) -> None:
    """Search, then finish; what is there is gone on with."""
    case, run, kept, started = CASES[name], ROOT / _RUNS / name, RECORDS / name, time.monotonic()
    if kept.exists() and not run.exists():
        shutil.copytree(kept, run)
    if any(_PICTURES in word for word in case.search) and not (ROOT / _PICTURES).exists():
        _call("benchmarks.rendered_shapes", [_PICTURES], until)
    try:
        if not (run / _DONE).exists():
            _search(name, case, run, until)
        if (run / _DONE).exists():
            _finish(case, run, until)
    finally:
        if run.exists():
            _keep(run, kept)
            _note_seconds(kept / "seconds.jsonl", started)


def _note_seconds(path: Path, started: float) -> None:
    """Add what this call took, since a side's seconds are worth what the machine could do in them."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    line = {
        "seconds": round(time.monotonic() - started),
        "cpu_seconds": round(used.ru_utime + used.ru_stime),
        "machine": processor(),
    }
    with path.open("a") as file:
        file.write(json.dumps(line) + "\n")


def _keep(run: Path, kept: Path) -> None:
    """Copy the records of a run, with paths from the root, which is elsewhere on another machine."""
    shutil.copytree(run, kept, dirs_exist_ok=True, ignore=shutil.ignore_patterns(*_NOT_KEPT))
    report = kept / "finish" / "report.json"
    if report.exists() and _is_whole(json.loads(report.read_text())):  # it names them; they are a megabyte
        (kept / "finish" / "candidates.json").unlink(missing_ok=True)
    for path in kept.rglob("*.[jm]*"):  # json, jsonl, md
        text = path.read_text()
        if f"{ROOT}/" in text:
            path.write_text(text.replace(f"{ROOT}/", ""))


def _is_whole(report: Mapping[str, Any]) -> bool:
    """Whether all that is to be reported was trained with all seeds."""
    return all(final["trainings"] == len(report["reporting_seeds"]) for final in report["final"].values())


def _search(name: str, case: Case, run: Path, until: float) -> None:
    began = (run / "trials.jsonl").exists()
    new = ["+space=small_images", f"name={name}", f"records.dir={_RUNS}", "records.mlflow=false"]
    minutes = f"search.minutes={case.side - case.choosing:g}"
    code = _call("nas.search", [f"resume={_RUNS}/{name}", minutes] if began else [*new, minutes, *case.search], until)
    if code == 0:
        (run / _DONE).touch()


def _finish(case: Case, run: Path, until: float) -> None:
    settings, lines = case.settings, run / "finish" / "trials.jsonl"
    words = [f"finish.{key}={getattr(settings, key)}" for key in ("top_k", "seeds", "final_seeds", "baseline")]
    minutes = case.choosing / choosing_share(settings, rivals=2) if case.choosing else _FINAL_MINUTES
    words += [f"finish.minutes={minutes:g}", "mlflow=false", *case.finish]
    if lines.exists():  # its settings are in its record; what is chosen is no longer bound by minutes
        words = [f"finish.minutes={_FINAL_MINUTES}"] if '"phase":"report"' in lines.read_text() else []
    _call("nas", ["finish", str(run.relative_to(ROOT)), *words], until)


def _call(module: str, words: Sequence[str], until: float) -> int:
    """Run a module from the root, print what it prints, interrupt it when the time is up; returns its exit code."""
    print("$ python -m", module, *words, flush=True)
    process = subprocess.Popen(
        [sys.executable, "-m", module, *words], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert process.stdout is not None
    for line in process.stdout:
        print(line, end="", flush=True)
        if time.monotonic() > until:  # seen with the next line, which is never far
            process.send_signal(signal.SIGTERM)  # shells start what is in the background with SIGINT ignored
            until = float("inf")
    return process.wait()


def _table() -> Iterator[str]:
    """Yield a row for each network of each case that is done."""
    yield "| case | network | params | MACs | test accuracy, % | seeds | winner minus it, points | recommended |"
    yield "| --- | --- | --: | --: | --- | --: | --- | --- |"
    for name in CASES:
        path = RECORDS / name / "finish" / "report.json"
        if path.exists():
            yield from _rows(name, json.loads(path.read_text()))


def _rows(name: str, report: Mapping[str, Any]) -> Iterator[str]:
    for kind, final in report["final"].items():
        test, found = final["test"], report["comparisons"].get(kind)
        gap = "" if found is None else _with_ends(found["test"], "+.2f")
        yes = "yes" if kind == report["recommended"] else ""
        yield (
            f"| {name} | {kind}: {final['name']} | {final['params']:,} | {final['macs']:,} | {_with_ends(test, '.2f')} "
            f"| {test['count']} | {gap} | {yes} |"
        )


def _with_ends(found: Mapping[str, Any], form: str) -> str:
    mean, low, high = (found[end] and 100 * found[end] for end in ("mean", "low", "high"))
    if mean is None:
        return "none"
    if low is None:
        return f"{mean:{form}}"
    low, high = (low, high) if "+" in form else (max(0.0, low), min(100.0, high))
    return f"{mean:{form}} ({low:{form}} to {high:{form}})"


if __name__ == "__main__":
    main()
