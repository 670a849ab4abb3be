"""What `search.patience` saves and loses: searches that went on to their last trial, beside where it would end them.

    python -m benchmarks.patience TABLE.csv [--seeds 16] [--trials 200]

TABLE.csv is NAS-Bench-Macro (see benchmarks/samplers.py), of whose three runs an evaluation draws one. The landscapes
of benchmarks/landscapes.py, of 430 million networks, are searched too, by scores that chance moves by .3 points. Each
search is done once: what it would have ended with is read from its trials.
"""

from __future__ import annotations

import argparse
import os
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import optuna

from benchmarks.landscapes import Landscape, Networks, limit_of
from benchmarks.samplers import Problem
from nas.search.proposing import LEAST_GAIN
from nas.search.samplers import sampler
from nas.search.samplers.acquisition import Gain
from nas.search.samplers.domain import random_new
from nas.search.samplers.history import History, Result
from nas.search.samplers.predictor import RANDOM_TRIALS, PredictorSampler

_SHARES = (0.3, 0.1, LEAST_GAIN, 0.01)
"""Of the noise: what must be expected of a proposal."""
_PATIENCE = (5, 10, 20)
_NOISE = 0.003


@dataclass(frozen=True)
class Tried:
    """A trial: what was expected of it, the score that the search saw, and the true one."""

    gain: Gain | None
    score: float
    true: float


def on_table(problem: Problem, seed: int) -> list[Tried]:
    """Search the table by noisy scores."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    table, rng, tried = problem.table, random.Random(seed), []
    ours = sampler("default", seed, space=table.space)
    assert isinstance(ours, PredictorSampler)
    study = optuna.create_study(direction="maximize", sampler=ours)
    for _ in range(problem.trials):
        trial = study.ask()
        architecture = table.space.decode(table.space.suggest(trial))
        score = rng.choice(table.entry(architecture).scores["val_accuracy"])
        study.tell(trial, score)
        tried.append(Tried(ours.gain, score, table.true(architecture, "val_accuracy")))
    return tried


def on_landscape(tightest: float | None, seed: int, trials: int) -> list[Tried]:
    """Search the landscape of a seed by noisy scores, under a limit that a share of the networks hold."""
    landscape, domain, ours = Landscape(seed), Networks(limit_of(tightest)), PredictorSampler(seed)
    history, rng, tried = History(domain), random.Random(seed), []
    history.signs = [1.0]
    for number in range(trials):
        history.trial_number = number
        chance = random.Random(f"{seed}-{number}")
        wanted = random_new(domain, chance) if number < RANDOM_TRIALS else ours._best_child(history, domain, chance)
        assert wanted is not None
        domain.mark_tried(number, wanted)
        true = landscape.score(domain.genotype(wanted.params))
        score = true + rng.gauss(0, _NOISE)
        history.results.append(Result(number, wanted.params, (score,)))
        tried.append(Tried(ours.gain if number >= RANDOM_TRIALS else None, score, true))
    return tried


def ended_after(tried: Sequence[Tried], share: float, patience: int) -> int:
    """Return after how many trials a search would have ended."""
    without = 0
    for number, trial in enumerate(tried, 1):
        if trial.gain is not None:
            without = without + 1 if trial.gain.expected < share * trial.gain.noise_sd else 0
            if without == patience:
                return number
    return len(tried)


def _winner(tried: Sequence[Tried]) -> float:
    """Return the true score of what a search would take."""
    return max(tried, key=lambda trial: trial.score).true


def rows(name: str, searches: Sequence[Sequence[Tried]]) -> Iterator[str]:
    """Yield the rows of a table."""
    for share in _SHARES:
        for patience in _PATIENCE:
            ends = [ended_after(tried, share, patience) for tried in searches]
            lost = 100 * np.array(
                [_winner(tried) - _winner(tried[:end]) for tried, end in zip(searches, ends, strict=True)]
            )
            yield (
                f"| {name} | {share:g} | {patience} | {np.median(ends):.0f} ({min(ends)} to {max(ends)}) of "
                f"{len(searches[0])} | {lost.mean():+.3f} ({lost.min():+.3f} to {lost.max():+.3f}) |"
            )


def main() -> None:
    """Search, and print what would have been saved and lost."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file")
    parser.add_argument("--seeds", type=int, default=16)
    parser.add_argument("--trials", type=int, default=200)
    given = parser.parse_args()
    problem = Problem(os.path.abspath(given.file), True, None, False, given.trials)
    print("| problem | less than, noise sd | patience | ended after, median | lost, points |")
    print("| --- | --: | --: | --- | --- |")
    print("\n".join(rows("NAS-Bench-Macro", [on_table(problem, seed) for seed in range(given.seeds)])), flush=True)
    for name, tightest in (("landscapes", None), ("landscapes, tightest 1 %", 0.01)):
        searches = [on_landscape(tightest, seed, given.trials) for seed in range(given.seeds)]
        print("\n".join(rows(name, searches)), flush=True)


if __name__ == "__main__":
    main()
