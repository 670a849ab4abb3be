"""How long a proposal takes, by the number of past trials: ours and Optuna's default, side by side.

    python -m benchmarks.suggestion_time

A space of 20 decisions with 3 to 5 options each; once as plain Optuna decisions, once as a search space of networks,
whose costs the sampler counts. And plain decisions of which many depend on others: blocks of kinds with their own.
"""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.samplers import BaseSampler, TPESampler

import nas
from nas.search.samplers import sampler
from nas.search.samplers.distributions import distribution_of

_COUNTS = (100, 1000, 5000)
_ASKED = 15


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


def _time(make: Callable[[], BaseSampler], distributions: dict[str, BaseDistribution], past: int) -> float:
    """Return the median seconds of a proposal after so many trials."""
    rng = random.Random(past)
    study = optuna.create_study(direction="maximize", sampler=make())
    for _ in range(past):
        params = {}
        for name, spread in distributions.items():
            assert isinstance(spread, CategoricalDistribution)
            params[name] = rng.choice(spread.choices)
        study.add_trial(optuna.create_trial(params=params, distributions=distributions, value=rng.random()))
    seconds = []
    for _ in range(_ASKED):
        started = time.perf_counter()
        trial = study.ask()
        for name, spread in distributions.items():
            assert isinstance(spread, CategoricalDistribution)
            trial.suggest_categorical(name, spread.choices)
        seconds.append(time.perf_counter() - started)
        study.tell(trial, rng.random())
    print(f"    first {1e3 * seconds[0]:.1f} ms, mean {1e3 * statistics.mean(seconds):.1f} ms")
    return statistics.median(seconds)


def _ask_conditional(trial: optuna.Trial) -> float:
    """Ask for four stages of one to four blocks each: every block has a kind, and each kind decisions of its own."""
    for stage in range(4):
        for block in range(trial.suggest_int(f"depth {stage}", 1, 4)):
            kind = trial.suggest_categorical(f"kind {stage} {block}", ("plain", "inverted"))
            trial.suggest_categorical(f"{kind} kernel {stage} {block}", (3, 5))
            if kind == "inverted":
                trial.suggest_categorical(f"expansion {stage} {block}", (2, 4, 6))
    return random.Random(str(sorted(trial.params.items()))).random()


def _time_conditional(past: int) -> float:
    """Return the median seconds of a proposal of the default sampler where decisions depend on others."""
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.RandomSampler(seed=past))
    study.optimize(_ask_conditional, past)
    study.sampler = sampler("default")
    seconds = []
    for _ in range(_ASKED):
        started = time.perf_counter()
        trial = study.ask()
        value = _ask_conditional(trial)
        seconds.append(time.perf_counter() - started)
        study.tell(trial, value)
    print(f"    first {1e3 * seconds[0]:.1f} ms, mean {1e3 * statistics.mean(seconds):.1f} ms")
    return statistics.median(seconds)


def main() -> None:
    """Measure and print a table."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    space = _space()
    plain: dict[str, BaseDistribution] = {
        f"decision {i}": CategoricalDistribution(tuple(range(3 + i % 3))) for i in range(20)
    }
    known = {path: distribution_of(choice) for path, choice in space.decisions().items()}
    kinds: dict[str, tuple[Callable[[], BaseSampler], dict[str, BaseDistribution]]] = {
        "default, plain decisions": (lambda: sampler("default"), plain),
        "default, a search space": (lambda: sampler("default", space=space), known),
        "TPE (Optuna's default)": (lambda: TPESampler(seed=0), plain),
    }
    rows = []
    for name, (make, distributions) in kinds.items():
        print(name)
        rows.append((name, [_time(make, distributions, past) for past in _COUNTS]))
    print("default, conditional decisions")
    rows.append(("default, conditional decisions", [_time_conditional(past) for past in _COUNTS]))
    print("\n| sampler | " + " | ".join(f"{past:,} trials" for past in _COUNTS) + " | ratio |")
    print("| --- |" + " --: |" * (len(_COUNTS) + 1))
    for name, seconds in rows:
        cells = " | ".join(f"{1e3 * one:.1f} ms" for one in seconds)
        print(f"| {name} | {cells} | {seconds[-1] / seconds[0]:.2f} |")


if __name__ == "__main__":
    main()
