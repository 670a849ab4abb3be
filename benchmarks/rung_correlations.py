"""How far the rank correlation between rungs is from the truth, of the promoted trials alone and corrected.

    python -m benchmarks.rung_correlations [200] [--seed 0]

Scores on two rungs are a normal pair with a known tau (2 / pi asin r), or a quality that is skewed to the left with
normal noise on each rung, whose tau is that of 100,000 trials. A trial is promoted as asha does: where it is among the
best third of those so far.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import numpy as np
from scipy.stats import kendalltau

from nas.search.reporting.rungs import Array, RungCorrelation, correlation

_ETA = 3


def promoted(scores: Array) -> list[int]:
    """Return the places of the trials that asha promotes, as scores come in, one at a time."""
    found: list[int] = []
    for count in range(1, len(scores) + 1):
        best = np.argsort(-scores[:count], kind="stable")[: count // _ETA]
        if len(found) < count // _ETA:
            found += [int(place) for place in best if place not in found][:1]
    return found


def normal(rng: np.random.Generator, trials: int, tau: float) -> Array:
    """Return scores on both rungs, `(2, trials)`."""
    lower, noise = rng.normal(size=(2, trials))
    r = np.sin(np.pi * tau / 2)
    return np.array([lower, r * lower + np.sqrt(1 - r**2) * noise])


def skewed(rng: np.random.Generator, trials: int, noise: float) -> Array:
    """Return scores on both rungs, `(2, trials)`: good networks are close together, and bad ones far from them."""
    return -rng.exponential(size=trials) + noise * rng.normal(size=(2, trials))


def _row(name: str, truth: float, found: Sequence[RungCorrelation]) -> str:
    taus = np.array([one.tau for one in found])
    held = np.mean([one.low <= truth <= one.high for one in found])
    alone = np.mean([one.promoted_tau for one in found])
    error = taus.std() / np.sqrt(len(taus))
    return f"| {name} | {truth:.2f} | {alone:.2f} | {taus.mean():.3f} +- {error:.3f} | {taus.std():.2f} | {held:.0%} |"


def main(arguments: Sequence[str] | None = None) -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("count", type=int, nargs="?", default=200, help="studies of each kind")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args(arguments)
    rng = np.random.default_rng(given.seed)
    print("| scores, trials | true tau | of the promoted | corrected, mean | standard deviation | interval holds |")
    print("| --- | --: | --: | --: | --: | --: |")
    for trials in (27, 81, 243):
        for tau in (0.21, 0.55, 0.8):
            pairs = [normal(rng, trials, tau) for _ in range(given.count)]
            found = [correlation(lower, np.column_stack([lower, upper])[promoted(lower)]) for lower, upper in pairs]
            print(_row(f"normal, {trials}", tau, found), flush=True)
    for noise in (0.3, 1.0):
        truth = float(kendalltau(*skewed(rng, 100_000, noise)).statistic)
        pairs = [skewed(rng, 81, noise) for _ in range(given.count)]
        found = [correlation(lower, np.column_stack([lower, upper])[promoted(lower)]) for lower, upper in pairs]
        print(_row(f"skewed with noise {noise:g}, 81", truth, found), flush=True)


if __name__ == "__main__":
    main()
