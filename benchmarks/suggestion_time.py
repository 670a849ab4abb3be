"""How long a proposal takes, by the number of past trials: ours and Optuna's default, side by side.

    python -m benchmarks.suggestion_time
    python -m benchmarks.suggestion_time --only conditional nasbench201

A space of 20 decisions with 3 to 5 options each; once as plain Optuna decisions, once as a search space of networks,
whose costs the sampler counts. Plain decisions of which many depend on others: blocks of kinds with their own. And the
space `nasbench201`, whose 15 cells are counted for every network. Times are medians, by the clock and in brackets of
CPU, which says more where other programs use the machine too.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.samplers import BaseSampler, TPESampler

import nas
from nas.machine import cores
from nas.search.samplers import sampler
from nas.search.samplers.distributions import distribution_of

_COUNTS = (100, 1000, 3000, 5000)
_ASKED = 15
_KINDS = ("plain", "space", "tpe", "conditional", "nasbench201")


def _space() -> nas.SearchSpace:
    """Five stages with four decisions each: 20 in all."""
    stage = {
        "block": {"choose": ["mbconv", "residual_basic", "conv"]},
        "out_channels": {"choose": [16, 24, 32, 48]},
        "kernel": {"choose": [3, 5, 7]},
        "depth": {"choose": [1, 2, 3]},
    }
    space = nas.SearchSpace.from_dict(
        {
            "name": "twenty",
            "assume": {"channels": 3, "resolution": 32, "num_classes": 10},
            "stages": [stage for _ in range(5)],
            "head": {"block": "classifier"},
        }
    )
    assert len(space.decisions()) == 20
    return space


class _Times:
    """What each proposal takes, by the clock and of CPU."""

    def __init__(self) -> None:
        self._all: list[tuple[float, float]] = []

    @contextmanager
    def one(self) -> Iterator[None]:
        """Measure one."""
        wall, cpu = time.perf_counter(), time.process_time()
        yield
        self._all.append((time.perf_counter() - wall, time.process_time() - cpu))

    def medians(self) -> tuple[float, float]:
        """Return the medians in seconds, and print the first and the mean."""
        wall, cpu = zip(*self._all, strict=True)
        print(f"    first {1e3 * wall[0]:.1f} ms, mean {1e3 * statistics.mean(wall):.1f} ms", flush=True)
        return statistics.median(wall), statistics.median(cpu)


def _time(
    make: Callable[[], BaseSampler], distributions: dict[str, BaseDistribution], past: int
) -> tuple[float, float]:
    """Return the median seconds of a proposal after so many trials, by the clock and of CPU."""
    rng = random.Random(past)
    study = optuna.create_study(direction="maximize", sampler=make())
    for _ in range(past):
        params = {}
        for name, spread in distributions.items():
            assert isinstance(spread, CategoricalDistribution)
            params[name] = rng.choice(spread.choices)
        study.add_trial(optuna.create_trial(params=params, distributions=distributions, value=rng.random()))
    times = _Times()
    for _ in range(_ASKED):
        with times.one():
            trial = study.ask()
            for name, spread in distributions.items():
                assert isinstance(spread, CategoricalDistribution)
                trial.suggest_categorical(name, spread.choices)
        study.tell(trial, rng.random())
    return times.medians()


def _ask_conditional(trial: optuna.Trial) -> float:
    """Ask for four stages of one to four blocks each: every block has a kind, and each kind decisions of its own."""
    for stage in range(4):
        for block in range(trial.suggest_int(f"depth {stage}", 1, 4)):
            kind = trial.suggest_categorical(f"kind {stage} {block}", ("plain", "inverted"))
            trial.suggest_categorical(f"{kind} kernel {stage} {block}", (3, 5))
            if kind == "inverted":
                trial.suggest_categorical(f"expansion {stage} {block}", (2, 4, 6))
    return random.Random(str(sorted(trial.params.items()))).random()


def _time_conditional(past: int) -> tuple[float, float]:
    """Return what `_time` does for the default sampler where decisions depend on others."""
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.RandomSampler(seed=past))
    study.optimize(_ask_conditional, past)
    study.sampler = sampler("default")
    times = _Times()
    for _ in range(_ASKED):
        with times.one():
            trial = study.ask()
            value = _ask_conditional(trial)
        study.tell(trial, value)
    return times.medians()


def main() -> None:
    """Measure and print a table."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=_KINDS, default=_KINDS)
    asked = parser.parse_args()
    space, cells = _space(), nas.load_space("nasbench201")
    plain: dict[str, BaseDistribution] = {
        f"decision {i}": CategoricalDistribution(tuple(range(3 + i % 3))) for i in range(20)
    }
    kinds: dict[str, tuple[str, Callable[[int], tuple[float, float]]]] = {
        "plain": ("default, plain decisions", partial(_time, lambda: sampler("default"), plain)),
        "space": (
            "default, a search space",
            partial(_time, lambda: sampler("default", space=space), _distributions(space)),
        ),
        "tpe": ("TPE (Optuna's default)", partial(_time, lambda: TPESampler(seed=0), plain)),
        "conditional": ("default, conditional decisions", _time_conditional),
        "nasbench201": (
            "default, nasbench201",
            partial(_time, lambda: sampler("default", space=cells), _distributions(cells)),
        ),
    }
    rows = []
    for kind in asked.only:
        name, measure = kinds[kind]
        print(name)
        rows.append((name, [measure(past) for past in _COUNTS]))
    print(f"\n{cores()} cores, load {', '.join(f'{load:.1f}' for load in os.getloadavg())}")
    print("\n| sampler | " + " | ".join(f"{past:,} trials" for past in _COUNTS) + " | ratio |")
    print("| --- |" + " --: |" * (len(_COUNTS) + 1))
    for name, times in rows:
        shown = " | ".join(f"{1e3 * wall:.1f} ms ({1e3 * cpu:.1f})" for wall, cpu in times)
        (wall, cpu), (last_wall, last_cpu) = times[0], times[-1]
        print(f"| {name} | {shown} | {last_wall / wall:.2f} ({last_cpu / cpu:.2f}) |")


def _distributions(space: nas.SearchSpace) -> dict[str, BaseDistribution]:
    return {path: distribution_of(choice) for path, choice in space.decisions().items()}


if __name__ == "__main__":
    main()
