"""How often reports say that equal strategies differ, how often their intervals hold, and what differences they show.

    python -m benchmarks.null_comparisons [2000] [--seed 0]

Every comparison is a whole report, as `python -m nas.compare` prints it: one strategy against three rivals at three
places, nine cells, over 3 to 30 seeds. A report is wrong where any of its cells says better or worse.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np

from nas.compare.strategies.curves import Array, Curve
from nas.compare.strategies.report import StrategyComparison, report_of
from nas.statistics import median_interval, unpaired

_RIVALS, _PLACES = 3, 3
_SEEDS = (3, 30)
_SAID = (": better |", ": worse |")

Draw = Callable[[np.random.Generator, tuple[int, ...]], Array]

SCORES: dict[str, tuple[Draw, float]] = {
    "normal": (lambda rng, shape: rng.normal(size=shape), 0.0),
    "ties": (lambda rng, shape: np.round(rng.normal(size=shape)), 0.0),
    "t3": (lambda rng, shape: rng.standard_t(3, size=shape), 0.0),
    "skewed": (lambda rng, shape: rng.lognormal(size=shape), 1.0),
}
"""Scores of every strategy alike, and their median."""
DIFFERENCES: dict[str, Draw] = {
    "exponential, median 0": lambda rng, shape: rng.exponential(size=shape) - np.log(2),
    "lognormal, median 0": lambda rng, shape: rng.lognormal(size=shape) - 1,
    "exponential, mean 0": lambda rng, shape: rng.exponential(size=shape) - 1,
    "lognormal, mean 0": lambda rng, shape: rng.lognormal(size=shape) - np.exp(0.5),
}
"""Skewed differences between the first strategy and each rival: equal in one sense, and not in the other."""


def _report(scores: Array) -> list[str]:
    """Report on strategies with the scores `(strategies, seeds, places)`."""
    curves = {
        str(name): [
            Curve(str(name), seed, row, np.zeros(len(row)), 0.0, 0.0, len(row)) for seed, row in enumerate(rows)
        ]
        for name, rows in enumerate(scores)
    }
    return report_of(StrategyComparison(curves=curves, measure="score", best=None, evaluations=[1, 2, 3], timed=False))


def _says(lines: Sequence[str]) -> int:
    """Return how many cells say better or worse."""
    return sum(f"{line} ".count(word) for line in lines for word in _SAID)


def null_reports(draw: Draw, count: int, rng: np.random.Generator, *, differences: bool) -> tuple[float, float, int]:
    """Return the share of wrong reports, that with the number of seeds where it is largest, and that number."""
    wrong, made = Counter[int](), Counter[int]()
    for number in range(count):
        seeds = _SEEDS[0] + number % (_SEEDS[1] - _SEEDS[0] + 1)
        if differences:
            first = rng.normal(size=(1, seeds, _PLACES))
            scores = np.concatenate([first, first - draw(rng, (_RIVALS, seeds, _PLACES))])
        else:
            scores = draw(rng, (1 + _RIVALS, seeds, _PLACES))
        wrong[seeds] += _says(_report(scores)) > 0
        made[seeds] += 1
    worst = max(made, key=lambda seeds: wrong[seeds] / made[seeds])
    return wrong.total() / count, wrong[worst] / made[worst], worst


def median_coverage(draw: Draw, median: float, count: int, rng: np.random.Generator) -> tuple[float, float, int]:
    """Return how many intervals of medians hold them: of all, and of the number of seeds where fewest do, with that."""
    shares = {}
    for seeds in range(_SEEDS[0], _SEEDS[1] + 1):
        ends = np.array([median_interval(draw(rng, (seeds,)))[1:] for _ in range(count)])
        if not np.isnan(ends).any():
            shares[seeds] = float(((ends[:, 0] <= median) & (median <= ends[:, 1])).mean())
    worst = min(shares, key=lambda seeds: shares[seeds])
    return float(np.mean(list(shares.values()))), shares[worst], worst


def power(effect: float, seeds: int, count: int, rng: np.random.Generator) -> float:
    """Return the share of the nine cells that say better where all are, by so many standard deviations."""
    said = 0
    for _ in range(count):
        scores = rng.normal(size=(1 + _RIVALS, seeds, _PLACES)) / np.sqrt(2)
        scores[0] += effect
        said += _says(_report(scores))
    return said / count / _RIVALS / _PLACES


def unpaired_errors(draw: Draw, sizes: tuple[int, int], count: int, rng: np.random.Generator) -> float:
    """Return how often two samples of one distribution are said to differ."""
    return float(
        np.mean(
            [
                unpaired(draw(rng, (sizes[0],)), draw(rng, (sizes[1],))).verdict in ("better", "worse")
                for _ in range(count)
            ]
        )
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Print all tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("count", type=int, nargs="?", default=2000, help="reports of each kind")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args(arguments)
    rng = np.random.default_rng(given.seed)
    print("| equal strategies | reports that say that any differs | worst | medians held | worst |")
    print("| --- | --: | --: | --: | --: |")
    for name, (draw, median) in SCORES.items():
        wrong, most, seeds = null_reports(draw, given.count, rng, differences=False)
        held, least, few = median_coverage(draw, median, given.count, rng)
        print(f"| {name} scores | {wrong:.1%} | {most:.1%} ({seeds}) | {held:.1%} | {least:.1%} ({few}) |", flush=True)
    for name, draw in DIFFERENCES.items():
        wrong, most, seeds = null_reports(draw, given.count, rng, differences=True)
        print(f"| differences {name} | {wrong:.1%} | {most:.1%} ({seeds}) | | |", flush=True)
    print("\n| all nine cells differ by | 9 seeds | 12 seeds | 20 seeds | 30 seeds |")
    print("| --- | --: | --: | --: | --: |")
    for effect in (0.5, 0.75, 1.0, 1.5, 2.0):
        shares = [f"{power(effect, seeds, max(1, given.count // 20), rng):.0%}" for seeds in (9, 12, 20, 30)]
        print(f"| {effect:g} standard deviations | {' | '.join(shares)} |", flush=True)
    print("\n| two samples of one distribution | 4 and 4 | 3 and 24 | 10 and 10 |")
    print("| --- | --: | --: | --: |")
    for name, (draw, _) in SCORES.items():
        rates = [f"{unpaired_errors(draw, sizes, given.count // 4, rng):.1%}" for sizes in ((4, 4), (3, 24), (10, 10))]
        print(f"| {name} | {' | '.join(rates)} |", flush=True)


if __name__ == "__main__":
    main()
