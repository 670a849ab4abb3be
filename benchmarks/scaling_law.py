"""How often the interval of a forecast holds, and how far forecasts are off, on laws that are known.

python -m benchmarks.scaling_law [--laws 500] [--only plain] [--seed 0] [--workers 2]

Each condition has 5 sizes over 32 times; the forecast is of 4 times the largest. A second table is of the best sizes
for a cost of training (`benchmarks.scaling_isoflop`).
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks import scaling_isoflop
from benchmarks.coverage import share, simulated
from nas.errors import NasError
from nas.scaling.laws.forms import Array
from nas.scaling.laws.law import fit_law
from nas.scaling.laws.observations import Observation

Truth = Callable[[Array], Array]
SIZES = np.geomspace(1, 32, 5)
TARGET = 128.0


@dataclass(frozen=True)
class Condition:
    """A truth, and how runs scatter around it."""

    name: str
    truth: Truth
    seeds: int = 3
    scatter: float = 0.0
    """Standard deviation of a size, in logarithms: all of its runs share it."""
    off: tuple[float, ...] = ()
    """By how much the smallest sizes are off trend."""
    noise: float = 0.02
    """Standard deviation of a run, in logarithms."""


@dataclass(frozen=True)
class Outcome:
    """What came of one law."""

    refused: bool = False
    held: bool = False
    """The law's value was inside the interval."""
    over: bool = False
    """It was missed, since the interval is too high."""
    runs_held: bool = False
    """The mean of further runs of a network at that size was inside its interval."""
    off: float = 0.0
    width: float = 0.0


def power(exponent: float, irreducible: float) -> Truth:
    """E + x^-a."""
    return lambda x: irreducible + x**-exponent


def broken(before: float, behind: float, at: float, irreducible: float = 0.0) -> Truth:
    """A power law whose exponent changes at a size (Caballero et al. 2023, equation 1)."""
    return lambda x: irreducible + x**-before * (1 + (x / at) ** 4) ** ((before - behind) / 4)


CONDITIONS = (
    *(Condition(f"plain, a={a:g}, E={e:g}", power(a, e)) for a in (0.2, 0.35, 0.8) for e in (0.0, 0.3)),
    Condition("size effect of 2 %, a=.5, E=.3", power(0.5, 0.3), seeds=5, scatter=0.02),
    Condition("size effect of 2 %, a=.35, E=0", power(0.35, 0.0), seeds=5, scatter=0.02),
    Condition("smallest 8 % and 4 % off, 3 seeds", power(0.5, 0.3), off=(0.08, 0.04)),
    Condition("smallest 8 % and 4 % off, 5 seeds", power(0.5, 0.3), off=(0.08, 0.04), seeds=5),
    Condition("no power: log", lambda x: 1 - 0.1 * np.log(x)),
    Condition("no power: steeper from 6 on", broken(0.1, 0.5, 6.0, 0.1)),
    Condition("no power: flatter from 6 on", broken(0.8, 0.2, 6.0)),
    Condition("no power: U, least at 9", lambda x: 0.3 + 0.03 * np.log(x / 9.0) ** 2),
    Condition("no power: U, least at 14", lambda x: 0.2 + x**-0.5 + 0.01 * x),
    Condition("no power: grows", lambda x: 0.3 * x**0.1),
)


def simulate(place: int, number: int, seed: int) -> Outcome:
    """Fit one law of a condition and try its forecast."""
    condition = CONDITIONS[place]
    rng = np.random.default_rng((seed, place, number))
    sizes = condition.scatter * rng.normal(size=len(SIZES))
    sizes[: len(condition.off)] += np.log1p(condition.off)
    logs = np.log(condition.truth(SIZES)) + sizes
    observations = [
        Observation((size,), float(np.exp(log + condition.noise * rng.normal())), f"{size:g} {run}")
        for size, log in zip(SIZES.tolist(), logs, strict=True)
        for run in range(condition.seeds)
    ]
    truth = float(condition.truth(np.array([TARGET]))[0])
    try:
        law = fit_law(observations)
    except NasError:
        return Outcome(refused=True)
    found, run = law.forecast(TARGET), law.forecast(TARGET, seeds=condition.seeds)
    of_runs = condition.noise * rng.normal(size=condition.seeds)
    mean = truth * float(np.exp(condition.scatter * rng.normal() + of_runs).mean())
    return Outcome(
        held=found.low <= truth <= found.high,
        over=truth < found.low,
        runs_held=run.low <= mean <= run.high,
        off=abs(found.loss / truth - 1),
        width=found.width,
    )


def row(condition: Condition, found: Sequence[Outcome]) -> str:
    """A condition's row of the table."""
    tried, count = [one for one in found if not one.refused], len(found)
    held = share(sum(one.held for one in tried), len(tried)) if tried else ""
    runs = f"{sum(one.runs_held for one in tried) / len(tried):.1%}" if tried else ""
    off = f"{np.median([one.off for one in tried]):.1%}" if tried else ""
    width = f"{np.median([one.width for one in tried]):.1%}" if tried else ""
    good = (sum(one.held for one in tried) + count - len(tried)) / count
    over, refused = sum(one.over for one in tried), count - len(tried)
    return f"| {condition.name} | {refused} | {held} | {good:.1%} | {over} | {runs} | {off} | {width} |"


def main() -> None:
    """Print a row a condition."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--laws", type=int, default=500)
    parser.add_argument("--only", default="", help="conditions whose name has this; best sizes have isoflop in theirs")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    started = time.perf_counter()
    print(
        "| truth | refused | 90 % interval holds the law (95 %) | held or refused | interval too high | holds the mean "
        "of runs | median error | median width |"
    )
    print("| --- | --: | --: | --: | --: | --: | --: | --: |")
    for place, condition in enumerate(CONDITIONS):
        if options.only in condition.name:
            print(row(condition, simulated(simulate, place, options.laws, options.seed, options.workers)), flush=True)
    print(f"{options.laws} laws each, seed {options.seed}, {time.perf_counter() - started:.0f} s\n")
    scaling_isoflop.table(options.laws, options.only, options.seed, options.workers)


if __name__ == "__main__":
    main()
