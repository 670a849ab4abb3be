"""What the default search gains over random search, a network by hand and the best published one, in equal seconds.

    python -m benchmarks.search_gain search fashion --seeds 10 --minutes 170   # so long at most; the same goes on
    python -m benchmarks.search_gain truth fashion
    python -m benchmarks.search_gain table

A search of each strategy has a core for the minutes of its case, the two side by side with the same seed, in the same
space brought to the same limits. The network with the best score of each is then trained with seeds that no search had,
by a recipe of its own: its truth. Random search with four times the seconds is four of the random searches, from that
with the same seed on, of which it has the network with the best score. So it needs no searches more; those of two
seeds have three of the four in common.
Lines are kept in benchmarks/data, so that a question of them is answered without training.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from statistics import fmean
from typing import Any

import nas
from nas.finishing.intervals import interval_of
from nas.latency.deployment import processor
from nas.training.data.config import DataConfig
from nas.training.recipe import Recipe
from nas.workers.processes import SINGLE_THREAD

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT / "benchmarks" / "data"
_RUNS = "runs/search_gain"
DEFAULT, RANDOM = "default", "random"
STRATEGIES: Mapping[str, Sequence[str]] = {
    DEFAULT: (),
    RANDOM: ("sampler=random", "search.portfolio=0"),
}
_TIMES = 4
"""Searches that random search with so many times the seconds is made of."""
_FIRST_TRUE_SEED = 1000
_SPARE_SECONDS = 90.0
"""That a search takes beside its minutes: starting, and ending what runs."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """Data, limits, and how long a search has a core."""

    search: Sequence[str]
    minutes: float
    data: DataConfig
    """Of the truth."""
    recipe: Recipe
    """Of the truth."""
    others: Mapping[str, tuple[Path, str]]
    """Networks beside those of the searches: a file of candidates and the name of one in it, or a space and no name."""


_ADAMW = Recipe(epochs=10, batch_size=64, optimizer="adamw", lr=0.003, weight_decay=0.02, flip=True)
_PUBLISHED = DATA / "equal_seconds" / "fashion_200k" / "finish" / "candidates.json"
"""What published networks hold the limits; the one that 90 minutes of successive halving on 2 cores chose is taken."""
CASES: Mapping[str, Case] = {
    "fashion": Case(
        search=(
            *("+space=small_images", "data=fashion_mnist", "recipe=short", "train.epochs=3"),
            *("pruner=asha", "pruner.fidelity=data", "constraints.params=2e5", "constraints.macs=8e6"),
        ),
        minutes=60,
        data=DataConfig(name="fashion_mnist", train_fraction=10_000 / 54_000, val_fraction=0.1, augment="none"),
        recipe=_ADAMW,
        others={
            "by hand": (DATA / "by_hand.yaml", ""),
            "published": (_PUBLISHED, "resnet18, width 0.15, depth 0.5, input 112"),
        },
    ),
    "digits": Case(
        search=("+space=small_images", "recipe=short", "constraints.params=5e4", "constraints.macs=1e6"),
        minutes=6,
        data=DataConfig(name="digits", augment="none"),
        recipe=replace(_ADAMW, epochs=40, flip=False),
        others={},
    ),
    "series": Case(
        search=("+space=conv1d", "data=mnist1d", "recipe=short", "constraints.params=5e4", "constraints.macs=1e6"),
        minutes=6,
        data=DataConfig(name="mnist1d", augment="none"),
        recipe=replace(_ADAMW, epochs=40, flip=False),
        others={},
    ),
}


def main() -> None:
    """Search, train what was found, or print the tables."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.search_gain",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("what", choices=("search", "truth", "table"))
    parser.add_argument("case", nargs="?", choices=CASES, help="not for table, which prints those that are there")
    parser.add_argument("--seeds", type=int, help="of searches (10), or of a truth (5)")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="begin nothing that would take longer")
    given = parser.parse_args()
    until = time.monotonic() + 60 * given.minutes
    if given.what == "table":
        print("\n".join(line for name in CASES for line in _table(name)))
    elif given.case is None:
        parser.error(f"{given.what} takes a case: {', '.join(CASES)}")
    elif given.what == "search":
        _search(given.case, given.seeds or 10, until)
    else:
        _truth(given.case, given.seeds or 5, until)


def _file(case: str) -> Path:
    return DATA / f"search_gain_{case}.jsonl"


def _lines(case: str, kind: str) -> list[dict[str, Any]]:
    path = _file(case)
    every = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    return [line for line in every if line["kind"] == kind]


def _note(case: str, line: Mapping[str, Any]) -> None:
    DATA.mkdir(exist_ok=True)
    with _file(case).open("a") as file:
        file.write(json.dumps(line) + "\n")


def _search(case: str, seeds: int, until: float) -> None:
    """Search with each seed that was not searched with, both strategies side by side, each on a core of its own."""
    cores = sorted(os.sched_getaffinity(0))[: len(STRATEGIES)]
    if len(cores) < len(STRATEGIES):
        raise SystemExit(f"search takes {len(STRATEGIES)} cores, of which this process has {len(cores)}")
    done = {line["seed"] for line in _lines(case, "search")}
    for seed in (one for one in range(seeds) if one not in done):
        if time.monotonic() + 60 * CASES[case].minutes + _SPARE_SECONDS > until:
            return
        names = [f"{case}_{strategy}_{seed}" for strategy in STRATEGIES]
        running = [
            _started(case, strategy, seed, name, core)
            for strategy, name, core in zip(STRATEGIES, names, cores, strict=True)
        ]
        codes = [process.wait() for process in running]
        if any(codes):
            raise SystemExit(f"a search ended with exit code {max(codes)}: see {ROOT / _RUNS}")
        for strategy, name in zip(STRATEGIES, names, strict=True):
            _note(case, _found(strategy, seed, ROOT / _RUNS / name))
        print(f"{case}: seed {seed} done", flush=True)


def _started(case: str, strategy: str, seed: int, name: str, core: int) -> subprocess.Popen[bytes]:
    one = CASES[case]
    words = [*one.search, *STRATEGIES[strategy], f"seed={seed}", f"search.minutes={one.minutes:g}", "search.keep=0"]
    words += [f"name={name}", f"records.dir={_RUNS}", "records.mlflow=false", "workers=1"]
    (ROOT / _RUNS).mkdir(parents=True, exist_ok=True)
    with (ROOT / _RUNS / f"{name}.log").open("wb") as log:
        return subprocess.Popen(
            ["taskset", "-c", str(core), sys.executable, "-m", "nas.search", *words],
            cwd=ROOT,
            env={**os.environ, **SINGLE_THREAD},
            stdout=log,
            stderr=subprocess.STDOUT,
        )


def _found(strategy: str, seed: int, run: Path) -> dict[str, Any]:
    """Return what a search found as a line."""
    study = nas.load_study(run)
    best = study.winner
    assert best is not None
    assert best.cost is not None
    return {
        "kind": "search",
        "strategy": strategy,
        "seed": seed,
        "score": best.scores["val_accuracy"],
        "params": best.cost.params,
        "macs": best.cost.macs,
        "trials": {state: count for state, count in study.counts().items() if count},
        "architecture": json.loads((run / "best_architecture.json").read_text()),
        "machine": processor(),
    }


def _networks(case: str) -> dict[str, nas.Architecture]:
    """Return all networks whose truth is asked for, by their ids, of searches and others."""
    found = [_architecture(line["architecture"]) for line in _lines(case, "search")]
    found += [_other(case, name) for name in CASES[case].others]
    return {arch.arch_id: arch for arch in found}


def _other(case: str, name: str) -> nas.Architecture:
    path, candidate = CASES[case].others[name]
    if not candidate:
        return nas.load_space(path).decode({})
    known = json.loads(path.read_text())["candidates"]
    return _architecture(next(one["architecture"] for one in known if one["name"] == candidate))


def _architecture(values: Mapping[str, Any]) -> nas.Architecture:
    return nas.Architecture.from_json(json.dumps(values))


def _truth(case: str, seeds: int, until: float) -> None:
    """Train each network with each seed that it was not trained with."""
    networks = _networks(case)
    done = {(line["arch_id"], line["seed"]) for line in _lines(case, "truth")}
    wanted = range(_FIRST_TRUE_SEED, _FIRST_TRUE_SEED + seeds)
    todo = [(arch_id, seed) for seed in wanted for arch_id in networks if (arch_id, seed) not in done]
    os.environ.update(SINGLE_THREAD)
    with ProcessPoolExecutor(len(os.sched_getaffinity(0)), mp_context=get_context("spawn")) as pool:
        jobs = ((case, networks[arch_id].to_json(), seed, until) for arch_id, seed in todo)
        for count, line in enumerate(pool.map(_trained, *zip(*jobs, strict=True)) if todo else (), 1):
            if line is not None:
                _note(case, line)
                print(f"{case}: {count} of {len(todo)}", flush=True)


def _trained(case: str, text: str, seed: int, until: float) -> dict[str, Any] | None:
    if time.monotonic() > until:
        return None
    from nas.training.data.load import load_data
    from nas.training.fit import fit

    arch = nas.Architecture.from_json(text)
    found = fit(arch, load_data(CASES[case].data), CASES[case].recipe, seed=seed, augment="none", accelerator="cpu")
    return {
        "kind": "truth",
        "arch_id": arch.arch_id,
        "seed": seed,
        "val_accuracy": found.history[-1]["val_accuracy"],
        "seconds": round(found.seconds["evaluation"], 1),
    }


def _table(case: str) -> Iterator[str]:
    """Yield the means of what each way has found, and how much more than each other the default search."""
    searches = {(line["strategy"], line["seed"]): line for line in _lines(case, "search")}
    truths: dict[str, list[float]] = {}
    for line in _lines(case, "truth"):
        truths.setdefault(line["arch_id"], []).append(line["val_accuracy"])
    seeds = sorted({seed for _, seed in searches})
    found = {name: [_true(truths, searches[name, seed]) for seed in seeds] for name in STRATEGIES if seeds}
    found |= {f"{RANDOM}, {_TIMES} times the seconds": [_of_more(truths, searches, seed, seeds) for seed in seeds]}
    found |= {name: [_true_of(truths, _other(case, name).arch_id)] * len(seeds) for name in CASES[case].others}
    found = {name: values for name, values in found.items() if values and None not in values}
    if DEFAULT not in found:
        return
    yield f"{case}: {len(seeds)} searches of each, {CASES[case].minutes:g} minutes of a core"
    yield ""
    yield "| network | true val_accuracy, %, mean of the searches | least | most | default minus it, points |"
    yield "| --- | --: | --: | --: | --- |"
    for name, values in found.items():
        known = [100 * value for value in values if value is not None]
        ours = [100 * value for value in found[DEFAULT] if value is not None]
        gap = interval_of([a - b for a, b in zip(ours, known, strict=True)])
        shown = "" if name == DEFAULT else f"{gap.mean:+.2f} ({gap.low:+.2f} to {gap.high:+.2f})"
        yield f"| {name} | {fmean(known):.2f} | {min(known):.2f} | {max(known):.2f} | {shown} |"
    yield ""


def _true(truths: Mapping[str, Sequence[float]], line: Mapping[str, Any]) -> float | None:
    return _true_of(truths, _architecture(line["architecture"]).arch_id)


def _true_of(truths: Mapping[str, Sequence[float]], arch_id: str) -> float | None:
    return fmean(truths[arch_id]) if arch_id in truths else None


def _of_more(
    truths: Mapping[str, Sequence[float]], searches: Mapping[tuple[str, int], Any], seed: int, seeds: Sequence[int]
) -> float | None:
    """Return the truth of the best of some random searches: that of a seed and those behind it, in a circle."""
    if len(seeds) < _TIMES:
        return None
    first = seeds.index(seed)
    own = [searches[RANDOM, seeds[(first + step) % len(seeds)]] for step in range(_TIMES)]
    return _true(truths, max(own, key=lambda line: float(line["score"])))


if __name__ == "__main__":
    main()
