"""What a short training says of a network: noise between seeds, spread of networks, and rank against a longer truth.

    python -m benchmarks.search_noise truth --seeds 3           # trains what is not there yet, a line a training
    python -m benchmarks.search_noise short --minutes 60        # so long at most; the same command goes on
    python -m benchmarks.search_noise --table

The networks are 60 random ones of `small_images` that hold 200,000 parameters and 8 M multiply-adds, and their truth is
the mean over seeds of ten epochs on 10,000 images of Fashion-MNIST, validation accuracy on 6,000. A way to score in a
search is another recipe, scored with seeds that the truth has not seen. All networks have the same seeds, so that what
a seed does to all of them alike, the order of images and the draws of augmentation, can be told from noise. Lines are
kept in benchmarks/data, so that a question of them is answered without training.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from dataclasses import asdict, dataclass, replace
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata, spearmanr

import nas
from nas.cost import constraints_from
from nas.seeds import derived_seed
from nas.space.fit import fit_to_limits
from nas.statistics import bootstrap_indices
from nas.training.data.config import DataConfig
from nas.training.recipe import Recipe
from nas.workers.processes import SINGLE_THREAD

Array = NDArray[np.float64]
FILE = Path(__file__).parent / "data" / "search_noise_fashion_mnist.jsonl"
LIMITS = {"params": 2e5, "macs": 8e6}
NETWORKS = 60
_TRAINING_IMAGES = 54_000
_SHORT = Recipe(epochs=10, batch_size=64, optimizer="adamw", lr=0.003, weight_decay=0.02, flip=True)
_DRAWS = 1000


@dataclass(frozen=True)
class Way:
    """A recipe, and on how many images."""

    recipe: Recipe
    images: int
    first_seed: int
    """Seeds count up from it; those of the truth are 0, 1, 2."""


TRUTH = "truth"
WAYS: Mapping[str, Way] = {
    TRUTH: Way(_SHORT, 10_000, 0),
    "short": Way(replace(_SHORT, epochs=3), 10_000, 100),
    "fewer images": Way(replace(_SHORT, epochs=6), 5_000, 100),
    "more images": Way(replace(_SHORT, epochs=1), 30_000, 100),
    "averaged weights": Way(replace(_SHORT, epochs=3, ema=0.99), 10_000, 100),
    "one epoch": Way(replace(_SHORT, epochs=1), 10_000, 100),
}


@cache
def networks() -> list[nas.Architecture]:
    """Return the networks, by genotypes drawn until enough hold the limits."""
    space = nas.load_space("small_images").for_data((1, 28, 28), 10)
    space = fit_to_limits(space, constraints_from(LIMITS)).space
    found: dict[str, nas.Architecture] = {}
    draw = 0
    while len(found) < NETWORKS:
        arch = space.decode(space.sample(derived_seed(0, "search noise", draw)))
        draw += 1
        cost = nas.cost_of(arch)
        if cost.params <= LIMITS["params"] and cost.macs <= LIMITS["macs"]:
            found.setdefault(arch.arch_id, arch)
    return [*found.values()]


def main() -> None:
    """Train what is not trained yet, or print the table."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.search_noise",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("way", nargs="?", choices=WAYS)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--minutes", type=float, default=float("inf"), help="begin no training after so many")
    parser.add_argument("--table", action="store_true", help="print what is there by now")
    given = parser.parse_args()
    if given.way:
        _train(given.way, given.seeds, given.workers, time.monotonic() + 60 * given.minutes)
    if given.table or not given.way:
        print("\n".join(table(_lines())))


def _train(way: str, seeds: int, workers: int, until: float) -> None:
    """Train all networks with the first seed, then with the second: a part of it says something too."""
    done = {_key(line) for line in _lines()}
    first = WAYS[way].first_seed
    keys = [(way, seed, place) for seed in range(first, first + seeds) for place in range(NETWORKS)]
    todo = [key for key in keys if key not in done]
    FILE.parent.mkdir(exist_ok=True)
    os.environ.update(SINGLE_THREAD)
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool, FILE.open("a") as file:
        running = {pool.submit(_trained, *todo.pop(0)) for _ in range(min(workers, len(todo)))}
        while running:
            ended, running = wait(running, return_when=FIRST_COMPLETED)
            for one in ended:
                file.write(json.dumps(one.result()) + "\n")
                file.flush()
                if todo and time.monotonic() < until:
                    running.add(pool.submit(_trained, *todo.pop(0)))
            print(f"{way}: {len(keys) - len(todo) - len(running)} of {len(keys)}", flush=True)


def _trained(way: str, seed: int, place: int) -> dict[str, Any]:
    from nas.training.data.load import load_data
    from nas.training.fit import fit

    one, arch = WAYS[way], networks()[place]
    fraction = one.images / _TRAINING_IMAGES
    data = DataConfig(name="fashion_mnist", train_fraction=fraction, val_fraction=0.1, augment="none")
    loaded = load_data(data)
    begun = time.process_time()
    found = fit(arch, loaded, one.recipe, seed=seed, augment="none", accelerator="cpu")
    used = time.process_time() - begun
    cost = nas.cost_of(arch)
    return {
        "way": way,
        "seed": seed,
        "network": place,
        "arch_id": arch.arch_id,
        "params": cost.params,
        "macs": cost.macs,
        "images": one.images,
        "recipe": asdict(one.recipe),
        "history": [{name: round(value, 6) for name, value in row.items()} for row in found.history],
        "seconds": round(used, 2),
    }


def _lines() -> list[dict[str, Any]]:
    return [json.loads(line) for line in FILE.read_text().splitlines()] if FILE.exists() else []


def _key(line: Mapping[str, Any]) -> tuple[str, int, int]:
    return line["way"], line["seed"], line["network"]


def scores_of(lines: Sequence[Mapping[str, Any]], way: str, score: str = "val_accuracy") -> Array:
    """Return the last scores of a way, `(networks, seeds)`, of the seeds that all networks have; a loss is negated."""
    found = {(line["seed"], line["network"]): line["history"][-1][score] for line in lines if line["way"] == way}
    seeds = sorted({seed for seed, _ in found})
    whole = [seed for seed in seeds if all((seed, place) in found for place in range(NETWORKS))]
    sign = -1.0 if score == "val_loss" else 1.0
    return sign * np.array([[found[seed, place] for seed in whole] for place in range(NETWORKS)], dtype=float)


@dataclass(frozen=True)
class Parts:
    """Standard deviations that scores of networks and seeds are made of, by the analysis of variance."""

    spread: float
    """Of networks, noise taken off."""
    of_seeds: float
    """Of what a seed does to all networks alike, which comparisons with common seeds are free of."""
    noise: float
    """Of what is left: a network with a seed."""


def parts_of(scores: Array) -> Parts:
    """Return the parts of scores `(networks, seeds)`, two seeds at least."""
    count, seeds = scores.shape
    by_network, by_seed, mean = scores.mean(axis=1), scores.mean(axis=0), scores.mean()
    residual = scores - by_network[:, None] - by_seed[None] + mean
    noise = (residual**2).sum() / ((count - 1) * (seeds - 1))
    spread = max(0.0, by_network.var(ddof=1) - noise / seeds)
    of_seeds = max(0.0, by_seed.var(ddof=1) - noise / count)
    return Parts(float(np.sqrt(spread)), float(np.sqrt(of_seeds)), float(np.sqrt(noise)))


def rank_correlation(scores: Array, truth: Array, beside: Array | None = None) -> float:
    """Return the mean Spearman correlation of each seed's scores with the truth, `(networks,)`.

    Args:
        scores: `(networks, seeds)`.
        truth: of each network.
        beside: what is given, `(networks, k)`: of ranks only what these do not explain is compared.
    """
    if beside is None:
        return float(np.mean([spearmanr(one, truth).statistic for one in scores.T]))
    columns = np.column_stack([np.ones(len(truth)), *map(rankdata, beside.T)])

    def rest(values: Array) -> Array:
        ranks = rankdata(values)
        return np.asarray(ranks - columns @ np.linalg.lstsq(columns, ranks, rcond=None)[0])

    return float(np.mean([np.corrcoef(rest(one), rest(truth))[0, 1] for one in scores.T]))


def table(lines: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield a row for each way to score that has all networks with two seeds at least."""
    truth = scores_of(lines, TRUTH)
    if truth.size == 0 or truth.shape[1] < 2:
        yield f"the truth is not there yet: {sum(line['way'] == TRUTH for line in lines)} trainings"
        return
    parts = parts_of(truth)
    reliability = parts.spread**2 / (parts.spread**2 + parts.noise**2 / truth.shape[1])
    costs = {line["network"]: (line["params"], line["macs"]) for line in lines}
    beside = np.array([costs[place] for place in range(NETWORKS)], dtype=float)
    yield f"Truth: {truth.shape[1]} seeds; a score without any noise would have a correlation of {reliability**0.5:.3f}"
    yield ""
    yield "| way | score | seeds | spread | of seeds | noise | rank correlation | given params, MACs | seconds |"
    yield "| --- | --- | --: | --: | --: | --: | --- | --- | --: |"
    for way in WAYS:
        for score in ("val_accuracy", "val_loss"):
            scores = scores_of(lines, way, score)
            if scores.size and scores.shape[1] > 1:
                sizes, scale = parts_of(scores), 100 if score == "val_accuracy" else 1
                shown = [f"{scale * one:.3f}" for one in (sizes.spread, sizes.of_seeds, sizes.noise)]
                ranks = ["", ""] if way == TRUTH else _ranks(scores, truth.mean(axis=1), beside)
                cells = [way, score, str(scores.shape[1]), *shown, *ranks, f"{_seconds(lines, way):.0f}"]
                yield f"| {' | '.join(cells)} |"


def _ranks(scores: Array, truth: Array, beside: Array) -> list[str]:
    """Return rank correlations with their 95 % intervals, from networks drawn again: plain, and given the costs."""
    draws = bootstrap_indices(np.random.default_rng(0), NETWORKS, _DRAWS)
    cells = []
    for given in (None, beside):
        drawn = [rank_correlation(scores[i], truth[i], None if given is None else given[i]) for i in draws]
        low, high = np.quantile(drawn, [0.025, 0.975])
        cells.append(f"{rank_correlation(scores, truth, given):.3f} ({low:.3f} to {high:.3f})")
    return cells


def _seconds(lines: Sequence[Mapping[str, Any]], way: str) -> float:
    return float(np.mean([line["seconds"] for line in lines if line["way"] == way]))


if __name__ == "__main__":
    main()
