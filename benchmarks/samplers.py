"""Our default sampler against others in plain Optuna studies on a table, where a repeated proposal costs an evaluation.

    python -m benchmarks.samplers TABLE.csv [--noise] [--tightest 0.1] [--two] [--seeds 30] [--trials 200]

TABLE.csv is NAS-Bench-Macro with the columns arch, acc_run1, acc_run2, acc_run3. `nas.compare` does the same inside our
own search, which answers a repeated network from its record.
"""

from __future__ import annotations

import argparse
import os
import random
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from multiprocessing import get_context

import numpy as np
import optuna
from optuna.samplers import BaseSampler, NSGAIISampler, RandomSampler, TPESampler

from nas.compare.strategies.curves import Array, Curve
from nas.compare.strategies.report import StrategyComparison, evaluations_to_reach, report_of
from nas.cost import constraints_from, cost_of
from nas.evaluators.table.settings import TableSettings
from nas.evaluators.table.table import Table, read_table
from nas.pareto import growing_hypervolume, hypervolume
from nas.search.samplers import sampler
from nas.space import load_space
from nas.space.feasible import examine
from nas.workers.processes import SINGLE_THREAD

_SCORES = {"val_accuracy": ("acc_run1", "acc_run2", "acc_run3")}


@dataclass(frozen=True)
class Problem:
    """What is searched for."""

    file: str
    noise: bool
    tightest: float | None
    two: bool
    trials: int

    @property
    def table(self) -> Table:
        """The table of the problem."""
        return _table(self.file)

    @property
    def bound(self) -> float | None:
        """The limit on parameters that a share of the networks hold."""
        return None if self.tightest is None else float(np.quantile(_params(self.file), self.tightest))


@cache
def _table(file: str) -> Table:
    space = load_space("nasbench_macro").for_data((3, 32, 32), 10)
    return read_table(space, TableSettings(file=file, genotype="arch", scores=_SCORES, scale=0.01))


@cache
def _params(file: str) -> tuple[int, ...]:
    table = _table(file)
    return tuple(cost_of(table.space.decode(genotype)).params for genotype in table.genotypes)


def _points(problem: Problem) -> Array:
    """Accuracy without noise and minus multiply-adds of all networks that hold the limit."""
    table, bound = problem.table, problem.bound
    found = []
    for genotype, params in zip(table.genotypes, _params(problem.file), strict=True):
        if bound is None or params <= bound:
            architecture = table.space.decode(genotype)
            found.append((table.true(architecture, "val_accuracy"), -float(cost_of(architecture).macs)))
    return np.array(found)


def _make(name: str, seed: int, problem: Problem) -> BaseSampler:
    space, bound = problem.table.space, problem.bound
    limits = constraints_from({} if bound is None else {"params": bound})
    plain: dict[str, Callable[[], BaseSampler]] = {
        "tpe": lambda: TPESampler(seed=seed),
        "tpe_multivariate": lambda: TPESampler(seed=seed, multivariate=True),
        "random": lambda: RandomSampler(seed=seed),
        "nsga2": lambda: NSGAIISampler(seed=seed),
    }
    if name in plain:
        return plain[name]()
    return sampler(name, seed, space=space, examine=lambda genotype: examine(space, genotype, limits))


def search(problem: Problem, name: str, seed: int) -> tuple[Curve, int]:
    """Let one sampler search; return its curve, and how many proposals were over the limit."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    table, bound, rng = problem.table, problem.bound, random.Random(seed)
    study = optuna.create_study(
        directions=["maximize", "minimize"] if problem.two else ["maximize"], sampler=_make(name, seed, problem)
    )
    seen: list[float] = []
    worth: list[tuple[float, float]] = []
    over = 0
    while len(seen) < problem.trials:
        trial = study.ask()
        architecture = table.space.decode(table.space.suggest(trial))
        cost = cost_of(architecture)
        if bound is not None:
            trial.set_constraint("params", cost.params / bound - 1)
            if cost.params > bound:  # costs nothing
                over += 1
                study.tell(trial, state=optuna.trial.TrialState.PRUNED)
                continue
        runs, true = table.entry(architecture).scores["val_accuracy"], table.true(architecture, "val_accuracy")
        score = rng.choice(runs) if problem.noise else true
        study.tell(trial, [score, cost.macs] if problem.two else score)
        seen.append(score)
        worth.append((true, -float(cost.macs)))
    points = np.array(worth)
    if problem.two:
        every = _points(problem)
        reference = every.min(axis=0)
        whole = hypervolume(every, reference)
        quality = np.array(growing_hypervolume(points, reference)) / whole
    else:
        quality = np.array([points[int(np.argmax(seen[: count + 1])), 0] for count in range(len(seen))])
    return Curve(name, seed, quality, np.zeros(len(seen)), 0.0, 0.0, len(study.trials)), over


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the comparison and print it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file")
    parser.add_argument("--noise", action="store_true", help="draw one of the three runs for each evaluation")
    parser.add_argument("--tightest", type=float, help="limit parameters to those of this share of the networks")
    parser.add_argument("--two", action="store_true", help="accuracy and multiply-adds: hypervolume")
    parser.add_argument("--seeds", type=int, default=30)
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--strategies", default="default,tpe,random,nsga2,evolution")
    given = parser.parse_args(arguments)
    problem = Problem(os.path.abspath(given.file), given.noise, given.tightest, given.two, given.trials)
    names = given.strategies.split(",")
    os.environ |= SINGLE_THREAD
    jobs = [(name, seed) for name in names for seed in range(given.seeds)]
    with ProcessPoolExecutor(len(os.sched_getaffinity(0)), mp_context=get_context("spawn")) as pool:
        found = list(pool.map(search, [problem] * len(jobs), *zip(*jobs, strict=True)))
    curves = {name: [curve for curve, _ in found if curve.strategy == name] for name in names}
    points = _points(problem)
    best = None if problem.two else float(points[:, 0].max())
    measure = "share of the true hypervolume" if problem.two else "val_accuracy"
    places = sorted({min(place, given.trials) for place in (25, 50, 100, 200)})
    comparison = StrategyComparison(curves=curves, measure=measure, best=best, evaluations=places)
    limit = "" if problem.bound is None else f", params <= {problem.bound:,.0f} ({len(points):,} networks)"
    print(f"{problem}{limit}\n")
    print("\n".join(report_of(comparison)))
    if "tpe" in names:
        print("\n".join(evaluations_to_reach(comparison, "tpe", given.trials)))
    for name in names:
        rows = [(curve, over) for curve, over in found if curve.strategy == name]
        asked = sum(curve.proposals for curve, _ in rows)
        print(f"{name}: {asked} proposals, {sum(over for _, over in rows)} of them over the limit")


if __name__ == "__main__":
    main()
