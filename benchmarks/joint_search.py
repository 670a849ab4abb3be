"""How many more evaluations a search needs that decides the learning rate with each network.

    python -m benchmarks.joint_search --seeds 20                  # some 10 minutes of CPU; nothing is trained
    python -m benchmarks.joint_search --seeds 4 --sampler tpe --trials 80

The space has 82,944 networks: a width, and in each of three stages a depth, a kernel and a kind of block. A landscape,
one for each seed, scores them by effects of single decisions and of pairs of them, in standard deviations over the
space. A learning rate that is off by a factor of 3 costs one of these, and at most 3; the best one is 0.003 at 32
channels, and falls as the width grows. So the best network and its best rate are known. A search has found both when
a network of theirs is within the tolerance of the best one, and its rate costs no more than that: with the network
alone, which is always trained by its best rate, and with both.
"""

from __future__ import annotations

import argparse
import itertools
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import optuna
from numpy.typing import NDArray

from nas.search.samplers import sampler
from nas.search.samplers.distributions import suggest_recipe
from nas.space import Genotype, SearchSpace
from nas.statistics import Array, mean_interval, median_interval
from nas.training.recipe_decisions import NOTHING_DECIDED, recipe_decisions

WIDTHS, DEPTHS, KERNELS, KINDS = (16, 24, 32, 48, 64, 96), (1, 2, 3, 4), (3, 5, 7), ("conv", "residual_basic")
SPACE = {
    "let": {"width": {"choose": list(WIDTHS)}},
    "stem": {"block": "conv", "out_channels": 16, "stride": 1},
    "stages": [
        {
            "block": {"choose": list(KINDS)},
            "depth": {"choose": list(DEPTHS)},
            "kernel": {"choose": list(KERNELS)},
            "out_channels": "= width",
            "stride": 2,
        }
        for _ in range(3)
    ],
    "head": {"block": "classifier"},
}
RATES = recipe_decisions({"lr": [1e-4, 1e-1]})
Places = NDArray[np.int64]
WIDTH = "let.width"
"""The decision of the width."""
_PAIRS = 12
_OFF_BY_3, _MOST = 1.0, 3.0
"""What a rate costs that is off by a factor of 3, and at most, in standard deviations of the scores."""


def best_rate(width: int) -> float:
    """Return the learning rate that is best for networks of a width."""
    return 0.003 * 32 / width


def penalty(width: int, rate: float) -> float:
    """Return what a learning rate costs a network of a width."""
    return min(_OFF_BY_3 * math.log(rate / best_rate(width), 3) ** 2, _MOST)


@cache
def space() -> SearchSpace:
    """Return the space of the networks."""
    return SearchSpace.from_dict(SPACE).for_data((3, 16, 16), 10)


@dataclass(frozen=True)
class Landscape:
    """Scores of all networks."""

    seed: int
    options: Sequence[Sequence[object]]
    singles: Sequence[Array]
    """Of each decision the effects of its options."""
    pairs: Sequence[tuple[int, int, Array]]
    """Two decisions, and the effects of their options together."""
    mean: float
    sd: float
    best: float
    """The score of the best network, in standard deviations from the mean."""

    def score(self, genotype: Genotype) -> float:
        """Return the score of a network that is trained by its best rate."""
        names = space().decisions()
        places = [
            np.array(list(options).index(genotype[name])) for name, options in zip(names, self.options, strict=True)
        ]
        return float((_sum(self.singles, self.pairs, places) - self.mean) / self.sd)


def _sum(singles: Sequence[Array], pairs: Sequence[tuple[int, int, Array]], places: Sequence[Places]) -> Array:
    """Add up the effects of options, given by their places, an array a decision."""
    single = [effects[place] for effects, place in zip(singles, places, strict=True)]
    together = [effects[places[one], places[two]] for one, two, effects in pairs]
    return np.asarray(np.sum([*single, *together], axis=0))


def landscape(seed: int) -> Landscape:
    """Return the landscape of a seed."""
    rng = np.random.default_rng(seed)
    options = [choice.values for choice in space().decisions().values()]
    singles = [rng.normal(0, 1, len(values)) for values in options]
    chosen = rng.permutation(list(itertools.combinations(range(len(options)), 2)))[:_PAIRS]
    pairs = [(int(one), int(two), rng.normal(0, 0.5, (len(options[one]), len(options[two])))) for one, two in chosen]
    grid = np.meshgrid(*(np.arange(len(values), dtype=np.int64) for values in options), indexing="ij")
    scores = _sum(singles, pairs, [places.ravel() for places in grid])
    mean, sd = float(scores.mean()), float(scores.std())
    return Landscape(seed, options, singles, pairs, mean, sd, float((scores.max() - mean) / sd))


def evaluations(name: str, seed: int, *, joint: bool, tolerance: float, most: int) -> int:
    """Return after how many evaluations a search has found both within a tolerance; `most` + 1 where it has not."""
    found, decided = landscape(seed), RATES if joint else NOTHING_DECIDED
    study = optuna.create_study(direction="maximize", sampler=sampler(name, seed, space=space(), recipe=decided))
    for count in range(1, most + 1):
        trial = study.ask()
        genotype, recipe = space().suggest(trial), suggest_recipe(decided, trial)
        width = genotype[WIDTH]
        assert isinstance(width, int)
        network, lost = found.score(genotype), penalty(width, recipe["lr"]) if joint else 0.0
        study.tell(trial, network - lost)
        if network >= found.best - tolerance and lost <= tolerance:
            return count
    return most + 1


def main(arguments: Sequence[str] | None = None) -> None:
    """Search with and without the rate, and print how many evaluations each took, and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--trials", type=int, default=200, help="evaluations after which a search is given up")
    parser.add_argument("--sampler", default="default")
    parser.add_argument("--tolerance", type=float, default=0.3, help="in standard deviations of the scores")
    given = parser.parse_args(arguments)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    started, counts = time.process_time(), list[tuple[int, int]]()
    for seed in range(given.first_seed, given.first_seed + given.seeds):
        alone, both = (
            evaluations(given.sampler, seed, joint=joint, tolerance=given.tolerance, most=given.trials)
            for joint in (False, True)
        )
        counts.append((alone, both))
        print(f"seed {seed}: network alone {alone}, with its learning rate {both}", flush=True)
    alone_all, both_all = np.array(counts, float).T
    for what, values in (("network alone", alone_all), ("with the learning rate", both_all)):
        middle, low, high = median_interval(values)
        missed = int((values > given.trials).sum())
        print(f"{what}: median {middle:g} evaluations ({low:g} to {high:g}); {missed} of {len(values)} not found")
    low, high = np.exp(mean_interval([*np.log(both_all / alone_all)]))
    ratio = math.exp(float(np.log(both_all / alone_all).mean()))
    print(
        f"times as many: {ratio:.2f} ({low:.2f} to {high:.2f}), geometric mean of pairs; "
        f"ratio of medians {np.median(both_all) / np.median(alone_all):.2f}"
    )
    print(f"{time.process_time() - started:.0f} s of CPU")


if __name__ == "__main__":
    main()
