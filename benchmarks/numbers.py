"""Our default sampler, Optuna's TPE and random search on functions of numbers, in plain Optuna studies.

    python -m benchmarks.numbers [--seeds 20] [--trials 100] [--functions branin mixed] [--strategies default tpe]

All functions are minimized and without noise. Regret is the best value so far minus the least one that there is. Of the
strategies the first one is compared with the others; verdicts are corrected for all comparisons of the table.
"""

from __future__ import annotations

import argparse
import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context

import numpy as np
import optuna

from nas.search.samplers import sampler
from nas.statistics import Array, judge, median_interval, paired
from nas.workers.processes import SINGLE_THREAD


@dataclass(frozen=True)
class Function:
    """A function of the parameters of a trial."""

    value: Callable[[optuna.Trial], float]
    least: float
    """Its minimum."""


def _floats(trial: optuna.Trial, count: int, low: float, high: float) -> list[float]:
    return [trial.suggest_float(f"x{index}", low, high) for index in range(count)]


def _branin(trial: optuna.Trial) -> float:
    x, y = trial.suggest_float("x", -5, 10), trial.suggest_float("y", 0, 15)
    square = y - 5.1 / (4 * math.pi**2) * x**2 + 5 / math.pi * x - 6
    return square**2 + 10 * (1 - 1 / (8 * math.pi)) * math.cos(x) + 10


_HARTMANN_3 = (
    ((3, 10, 30), (0.1, 10, 35), (3, 10, 30), (0.1, 10, 35)),
    ((3689, 1170, 2673), (4699, 4387, 7470), (1091, 8732, 5547), (381, 5743, 8828)),
)
_HARTMANN_6 = (
    ((10, 3, 17, 3.5, 1.7, 8), (0.05, 10, 17, 0.1, 8, 14), (3, 3.5, 1.7, 10, 17, 8), (17, 8, 0.05, 10, 0.1, 14)),
    (
        (1312, 1696, 5569, 124, 8283, 5886),
        (2329, 4135, 8307, 3736, 1004, 9991),
        (2348, 1451, 3522, 2883, 3047, 6650),
        (4047, 8828, 8732, 5743, 1091, 381),
    ),
)


def _hartmann(trial: optuna.Trial, constants: Sequence[Sequence[Sequence[float]]]) -> float:
    steepness, centres = np.array(constants[0]), np.array(constants[1]) / 10_000
    point = np.array(_floats(trial, centres.shape[1], 0, 1))
    return -float(np.array([1, 1.2, 3, 3.2]) @ np.exp(-(steepness * (point - centres) ** 2).sum(axis=1)))


def _ackley_4(trial: optuna.Trial) -> float:
    """Return Ackley's function on a range whose middle, where some samplers look first, is not its optimum."""
    point = np.array(_floats(trial, 4, -20, 45))
    waves = math.exp(float(np.cos(2 * np.pi * point).mean()))
    return 20 + math.e - 20 * math.exp(-0.2 * math.sqrt(float((point**2).mean()))) - waves


def _learning_rate(trial: optuna.Trial) -> float:
    """Return an error that grows with each factor by which the rate is off; a little above the best one it diverges.

    Momentum makes steps 1 / (1 - momentum) times as long. Best are rate 0.005, weight decay 1e-4 and momentum 0.9.
    """
    rate = trial.suggest_float("rate", 1e-5, 1, log=True)
    decay = trial.suggest_float("weight_decay", 1e-6, 1e-1, log=True)
    momentum = trial.suggest_float("momentum", 0, 0.99)
    factor = math.log10(rate / (1 - momentum) / 0.05)
    if factor > 0.4:
        return 10.0
    return 2 * abs(factor) + 0.2 * math.log10(decay / 1e-4) ** 2 + 2 * (momentum - 0.9) ** 2


def _mixed(trial: optuna.Trial) -> float:
    """Return an error that depends on two numbers, a depth and two kinds; the optimizer decides which rate is best.

    The best are adam at a rate of 0.001 with dropout 0.2, 6 layers and silu.
    """
    optimizer = trial.suggest_categorical("optimizer", ("sgd", "rmsprop", "adam"))
    activation = trial.suggest_categorical("activation", ("relu", "tanh", "silu", "gelu"))
    rate = trial.suggest_float("rate", 1e-5, 1, log=True)
    dropout, layers = trial.suggest_float("dropout", 0, 0.8), trial.suggest_int("layers", 1, 12)
    penalty, best_rate = {"sgd": (0.3, 0.1), "rmsprop": (0.2, 0.003), "adam": (0.0, 0.001)}[optimizer]
    penalty += {"relu": 0.1, "tanh": 0.4, "silu": 0.0, "gelu": 0.05}[activation]
    off = math.log10(rate / best_rate)
    return penalty + min(off**2, 3.0) + 4 * (dropout - 0.2) ** 2 + 0.02 * (layers - 6) ** 2


FUNCTIONS: Mapping[str, Function] = {
    "branin": Function(_branin, 10 / (8 * math.pi)),
    "hartmann_3": Function(lambda trial: _hartmann(trial, _HARTMANN_3), -3.86278214782076),
    "hartmann_6": Function(lambda trial: _hartmann(trial, _HARTMANN_6), -3.32236801141551),
    "ackley_4": Function(_ackley_4, 0.0),
    "learning_rate": Function(_learning_rate, 0.0),
    "mixed": Function(_mixed, 0.0),
}
"""Branin, Hartmann and Ackley have their constants, and Hartmann its minima, as in Surjanovic & Bingham, "Virtual
library of simulation experiments". The minimum of Branin is 10 / (8 pi), where its square is 0 and the cosine -1, and
those of the other three are 0, by their formulas."""


def search(name: str, strategy: str, seed: int, trials: int) -> tuple[list[float], float]:
    """Let a sampler minimize a function; return the regret after each trial, and the seconds that it all took."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(sampler=sampler(strategy, seed))
    started = time.perf_counter()
    study.optimize(FUNCTIONS[name].value, trials)
    seconds = time.perf_counter() - started
    values = np.array([trial.value for trial in study.trials], float)
    return (np.minimum.accumulate(values) - FUNCTIONS[name].least).tolist(), seconds


def main(arguments: Sequence[str] | None = None) -> None:
    """Run all searches, and print the table and how long a proposal takes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--functions", nargs="*", default=list(FUNCTIONS), choices=list(FUNCTIONS))
    parser.add_argument("--strategies", nargs="*", default=["default", "tpe", "random"])
    given = parser.parse_args(arguments)
    jobs = [
        (f, s, seed, given.trials) for f in given.functions for s in given.strategies for seed in range(given.seeds)
    ]
    os.environ |= SINGLE_THREAD
    with ProcessPoolExecutor(len(os.sched_getaffinity(0)), mp_context=get_context("spawn")) as pool:
        found = list(pool.map(search, *zip(*jobs, strict=True)))
    regrets: dict[tuple[str, str], list[list[float]]] = {}
    seconds: dict[str, list[float]] = {}
    for (function, strategy, _, _), (curve, took) in zip(jobs, found, strict=True):
        regrets.setdefault((function, strategy), []).append(curve)
        seconds.setdefault(strategy, []).append(1e3 * took / given.trials)
    places = sorted({max(1, given.trials // 2), given.trials})
    print("\n".join(table({key: np.array(curves)[:, np.array(places) - 1] for key, curves in regrets.items()}, places)))
    for strategy, each in seconds.items():
        print(f"{strategy}: {np.median(each):.1f} ms a trial")


def table(regrets: Mapping[tuple[str, str], Array], places: Sequence[int]) -> list[str]:
    """Return the lines of a table: median regrets with 95 % intervals, and the verdicts on the first strategy.

    Args:
        regrets: by function and strategy, `(seeds, places)`.
        places: numbers of trials.
    """
    first = next(strategy for _, strategy in regrets)
    pairs = [(key, place) for key in regrets if key[1] != first for place in range(len(places))]
    gaps = [paired(-regrets[key[0], first][:, place], -regrets[key][:, place]) for key, place in pairs]
    verdicts = dict(zip(pairs, judge(gaps), strict=True))
    lines = [
        "| function | strategy | " + " | ".join(f"after {n} | {first} is" for n in places) + " |",
        "| --- | --- |" + " --: | --- |" * len(places),
    ]
    for (function, strategy), values in regrets.items():
        cells = []
        for place in range(len(places)):
            median, low, high = median_interval(values[:, place])
            verdict = verdicts.get(((function, strategy), place))
            cells += [f"{median:.3g} ({low:.2g} to {high:.2g})", verdict.text if verdict else ""]
        lines.append(f"| {function} | {strategy} | {' | '.join(cells)} |")
    return lines


if __name__ == "__main__":
    main()
