"""What a warm start is worth: searches on generated tables that begin with what one on a like or unlike task has found.

    python -m benchmarks.warm_start [--seeds 20] [--trials 60] [--workers 2] [--earlier uniform]

A table gives each of the 6,561 networks of nasbench_macro a score: effects of single decisions, of pairs of decisions
and of the logarithm of parameters, all drawn from a seed, with a standard deviation of 2 points over the networks. The
earlier search, with as many evaluations as the later one, is on

- same: the same table;
- related: the mean of that table and an unrelated one (a rank correlation of about .7);
- opposite: minus the table;
- shuffled: its scores dealt to other networks;
- unrelated: a table of another seed.

Regret is the best score of the table minus the best one that the search has found.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import nas
from nas.statistics import judge, paired
from nas.workers.processes import SINGLE_THREAD

Array = NDArray[np.float64]
TASKS = ("none", "same", "related", "opposite", "shuffled", "unrelated")
_SPREAD = 2.0
_PAIRS, _SIZE = 0.7, 1.0
"""Standard deviations of an effect of a pair, and of that of the size, where one of a single decision has 1."""
_PLACES = (10, 20, 40, 60)
_ALLOWED = 0.1
"""A warm start must not make the median regret at the end worse by more than this."""


@cache
def _networks() -> tuple[NDArray[np.int64], Array]:
    """The options of all networks, `(networks, decisions)`, and the logarithms of their parameters, standardised."""
    space = _space()
    options = [{value: place for place, value in enumerate(one.values)} for one in space.decisions().values()]
    every = list(space.enumerate())
    rows = np.array([[known[value] for known, value in zip(options, one.values(), strict=True)] for one in every])
    sizes = np.log([nas.cost_of(space.decode(one)).params for one in every])
    return rows, (sizes - sizes.mean()) / sizes.std()


@cache
def _space() -> nas.SearchSpace:
    return nas.load_space("nasbench_macro").for_data((3, 32, 32), 10)


@cache
def _places() -> dict[frozenset[tuple[str, object]], int]:
    return {frozenset(one.items()): place for place, one in enumerate(_space().enumerate())}


def table(seed: int) -> Array:
    """Return the scores of all networks, `(networks,)`."""
    rng = np.random.default_rng(seed)
    rows, sizes = _networks()
    single = rng.normal(size=(rows.shape[1], 3))
    pairs = _PAIRS * rng.normal(size=(rows.shape[1], rows.shape[1], 3, 3))
    found = _SIZE * rng.normal() * sizes
    for place, options in enumerate(rows.T):
        found += single[place][options]
        for other in range(place):
            found += pairs[place, other][options, rows[:, other]]
    return np.asarray(90 + _SPREAD * (found - found.mean()) / found.std())


def earlier(task: str, seed: int) -> Array:
    """Return the table of an earlier task."""
    target, other = table(2 * seed), table(2 * seed + 1)
    return {
        "same": target,
        "related": (target + other) / 2,
        "opposite": -target,
        "shuffled": np.random.default_rng(seed).permutation(target),
        "unrelated": other,
    }[task]


def search(scores: Array, seed: int, trials: int, **options: Any) -> Array:
    """Search a table; return the scores in the order of the evaluations."""
    space = _space()
    values: list[float] = []

    def look_up(architecture: nas.Architecture, budget: nas.Budget, trial_seed: int) -> float:
        values.append(float(scores[_places()[frozenset(space.encode(architecture).items())]]))
        return values[-1]

    nas.run_search(space, look_up, trials=trials, seed=seed, **options)
    return np.array(values)


def regrets(task: str, seed: int, trials: int, sampler: str) -> Array:
    """Return the regret after each evaluation of a search that begins with an earlier one on a task."""
    scores = table(2 * seed)
    with tempfile.TemporaryDirectory() as folder:
        options = {}
        if task != "none":
            path = Path(folder) / "earlier"
            search(earlier(task, seed), 1000 + seed, trials, sampler=sampler, run_dir=path)
            options = {"warm_start": path}
        found = search(scores, seed, trials, **options)
    return np.asarray(scores.max() - np.maximum.accumulate(found))


def main(arguments: Sequence[str] | None = None) -> None:
    """Run all searches and print the medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--trials", type=int, default=60)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--earlier", default="uniform", help="sampler of the earlier searches")
    given = parser.parse_args(arguments)
    os.environ |= SINGLE_THREAD
    jobs = [(task, seed) for task in TASKS for seed in range(given.seeds)]
    with ProcessPoolExecutor(given.workers, mp_context=get_context("spawn")) as pool:
        count = len(jobs)
        found = list(pool.map(regrets, *zip(*jobs, strict=True), [given.trials] * count, [given.earlier] * count))
    by_task = {task: np.array([r for (t, _), r in zip(jobs, found, strict=True) if t == task]) for task in TASKS}
    places = sorted({min(place, given.trials) for place in (*_PLACES, given.trials)})
    print(f"Median regret over {given.seeds} seeds; at the end also mean, maximum, and the median less that of none")
    print("| warm start from | " + " | ".join(f"after {place}" for place in places) + " | mean | maximum | than none |")
    print("| --- |" + " --: |" * (len(places) + 3))
    none = float(np.median(by_task["none"][:, -1]))
    for task, curves in by_task.items():
        medians = [float(np.median(curves[:, place - 1])) for place in places]
        last = curves[:, -1]
        cells = [f"{value:.3f}" for value in (*medians, last.mean(), last.max())]
        print(f"| {task} | " + " | ".join(cells) + f" | {medians[-1] - none:+.3f} |")
    worst = max(float(np.median(curves[:, -1])) - none for curves in by_task.values())
    print(f"\nNever worse than none by more than {_ALLOWED}: {'yes' if worst <= _ALLOWED else 'NO'}")
    gains = [paired(-by_task["same"][:, place - 1], -by_task["none"][:, place - 1]) for place in places]
    print("From the same task, by the difference with the same seed:")
    for place, gain, verdict in zip(places, gains, judge(gains), strict=True):
        ends = f"{gain.median:.3f} ({gain.low:.3f} to {gain.high:.3f})"
        print(f"after {place}: {ends}, {gain.ahead} : {gain.behind}, p {verdict.p:.2g}: {verdict.text}")


if __name__ == "__main__":
    main()
