"""Whether what a finish reports and recommends is true, in studies that are simulated: no network is trained.

    python -m benchmarks.honest_finish [--studies 2000] [--comparisons 500] [--noise 0.5] [--spread 0.5]

A study: networks whose true scores have a standard deviation of `spread` points are tried once each with `noise` points
between seeds; `nas.finishing.study.carry_out`, the code of the command, then chooses, trains anew and compares. The
first table says how far what is reported is from the truth, beside what the search and the choosing themselves would
have reported; the second how often the wrong network is recommended at a true difference to the baseline; the third how
many seeds two rules need.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from math import inf, sqrt
from statistics import NormalDist, fmean

import numpy as np
from scipy.stats import nct, t

from nas.finishing.bench import REPORT, TEST, Bench, Contestant, FinishTrial, Job, Measure
from nas.finishing.settings import NONE, PUBLISHED, FinishSettings
from nas.finishing.study import WINNER, Finish, Rival, carry_out
from nas.network.architecture import Architecture
from nas.space import load_space
from nas.training.recipe import Recipe

MEASURE = Measure("val_accuracy")
_TRIED = 40
"""Networks that the simulated search tries."""
_RECIPE = Recipe(epochs=9)


@cache
def networks(count: int) -> list[Architecture]:
    """Return different networks, which stand for those of a study; the last is the baseline."""
    base = load_space("reference/lenet5").decode({})
    return [replace(base, num_classes=10 + number) for number in range(count)]


@dataclass
class SimulatedBench:
    """Gives the true score of a network, in points, with noise for each training."""

    truth: dict[str, float]
    """By `arch_id`."""
    noise: float
    """Standard deviation between seeds."""
    rng: np.random.Generator
    difference: float | None = None
    """What the winner is truly better by than the baseline; None: there is no baseline."""
    seconds: float = 1.0
    """That every training takes."""
    trials: dict[str, FinishTrial] = field(default_factory=dict)
    """What was done, by key."""

    def run(self, jobs: Sequence[Job], *, until: float = inf) -> Mapping[str, FinishTrial]:
        """Do jobs one after the other; see `Bench.run`."""
        for job in jobs:
            if job.phase == REPORT and self.difference is not None:
                # The winner is known: the baseline is so much worse than it.
                baseline = networks(_NETWORKS)[-1].arch_id
                winner = next(one.architecture.arch_id for one in jobs if one.architecture.arch_id != baseline)
                self.truth[baseline] = self.truth[winner] - self.difference
            if job.key not in self.trials:
                score = self.truth[job.architecture.arch_id] + self.noise * float(self.rng.normal())
                name = MEASURE.on_test.name if job.phase == TEST else MEASURE.name
                self.trials[job.key] = FinishTrial.of(job, scores={name: score}, seconds=self.seconds)
        return {job.key: self.trials[job.key] for job in jobs}

    def test(self, jobs: Sequence[Job]) -> Mapping[str, FinishTrial]:
        """Draw scores on the test split; see `Bench.test`."""
        return self.run(jobs)

    def spent(self, phase: str) -> float:
        """Return 0: there is no limit of time; see `Bench.spent`."""
        return 0.0


_NETWORKS = FinishSettings().top_k + 1


@dataclass(frozen=True)
class SimulatedStudy:
    """A finish with what is true of it."""

    finish: Finish
    truth: Mapping[str, float]
    """By `arch_id`."""
    search_score: float
    """Of the winner, in the search."""

    @property
    def true_score(self) -> float:
        """Of the winner."""
        return self.truth[self.finish.finals[WINNER].contestant.architecture.arch_id]


def simulate(
    seed: int, settings: FinishSettings, *, noise: float, spread: float, difference: float | None = None
) -> SimulatedStudy:
    """Simulate a search and its finish.

    Args:
        seed: of all chance.
        settings: of the finish.
        noise: standard deviation between seeds, in points.
        spread: standard deviation of the true scores, in points.
        difference: what the winner is truly better by than its baseline; None: there is none.
    """
    rng = np.random.default_rng(seed)
    truth = spread * rng.normal(size=_TRIED)
    tried = truth + noise * rng.normal(size=_TRIED)
    best = np.argsort(-tried)[: settings.top_k]
    archs = networks(_NETWORKS)
    finalists = [Contestant(f"trial {i}", arch, _RECIPE) for i, arch in zip(best, archs, strict=False)]
    by_network = {one.architecture.arch_id: float(truth[i]) for one, i in zip(finalists, best, strict=True)}
    by_network[archs[-1].arch_id] = 0.0
    bench: Bench = SimulatedBench(by_network, noise, rng, difference)
    rivals = [] if difference is None else [Rival(PUBLISHED, [Contestant("published", archs[-1], _RECIPE)])]
    found = carry_out(settings, finalists, rivals, bench, MEASURE, study_seed=seed, search_seconds=100.0)
    return SimulatedStudy(found, by_network, float(tried[best[found.race.winner]]))


def reported(studies: Sequence[SimulatedStudy]) -> dict[str, float]:
    """Return how far reports are from the truth: means in points, and the share of intervals that hold it."""
    errors: dict[str, list[float]] = {"search": [], "choosing": [], "reported": []}
    covered = []
    for study in studies:
        interval = study.finish.finals[WINNER].interval(MEASURE)
        race = study.finish.race
        errors["search"].append(study.search_score - study.true_score)
        errors["choosing"].append(fmean(race.scores[race.winner]) - study.true_score)
        errors["reported"].append(interval.mean - study.true_score)
        covered.append(interval.low <= study.true_score <= interval.high)
    return {**{name: fmean(values) for name, values in errors.items()}, "covered": fmean(covered)}


def winner_share(studies: Sequence[SimulatedStudy]) -> float:
    """Return the share of studies in which the winner of the search is recommended."""
    return fmean(study.finish.recommended == WINNER for study in studies)


def wrong_by_rule(seeds: int, noise: float, difference: float) -> dict[str, float]:
    """Return the chance of a wrong recommendation at a true difference, worse and better, by exact distributions.

    Args:
        seeds: that both networks are trained with.
        noise: standard deviation between seeds, in points.
        difference: between the two networks, in points.
    """
    effect = difference / (noise * sqrt(2)) * sqrt(seeds)
    bound = float(t.ppf(0.975, seeds - 1))
    return {
        "mean, worse": NormalDist().cdf(-effect),
        "mean, better": NormalDist().cdf(-effect),
        "interval, worse": float(nct.sf(bound, seeds - 1, -effect)),
        "interval, better": float(nct.cdf(bound, seeds - 1, effect)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=2000)
    parser.add_argument("--comparisons", type=int, default=500)
    parser.add_argument("--noise", type=float, default=0.5)
    parser.add_argument("--spread", type=float, default=0.5)
    given = parser.parse_args()
    chance = {"noise": given.noise, "spread": given.spread}
    print("| final seeds | search - true | choosing - true | reported - true | 95 % interval holds the truth |")
    print("| --- | --- | --- | --- | --- |")
    for seeds in (3, FinishSettings().final_seeds):
        settings = FinishSettings(baseline=NONE, final_seeds=seeds)
        found = reported([simulate(seed, settings, **chance) for seed in range(given.studies)])
        figures = " | ".join(f"{found[name]:+.3f}" for name in ("search", "choosing", "reported"))
        print(f"| {seeds} | {figures} | {found['covered']:.1%} |")
    print("\n| final seeds | true difference | the winner is recommended | wrong |")
    print("| --- | --- | --- | --- |")
    for seeds in (3, 6, FinishSettings().final_seeds):
        settings = FinishSettings(final_seeds=seeds)
        for difference in (-0.5, 0.0, 0.5):
            studies = [
                simulate(10_000 + seed, settings, **chance, difference=difference) for seed in range(given.comparisons)
            ]
            share = winner_share(studies)
            wrong = f"{share if difference < 0 else 1 - share:.1%}" if difference else "none is"
            print(f"| {seeds} | {difference:+.1f} | {share:.1%} | {wrong} |")
    print("\nWrong at a true difference of half a point, exactly, by rule:\n")
    print("| final seeds | larger mean: worse, better | interval above 0: worse, better |")
    print("| --- | --- | --- |")
    for seeds in (3, 4, 5, 6, 7, 8, 10, 12, 16, 24, 28, 29, 30):
        wrong_by = wrong_by_rule(seeds, given.noise, 0.5)
        print(
            f"| {seeds} | {wrong_by['mean, worse']:.1%}, {wrong_by['mean, better']:.1%} "
            f"| {wrong_by['interval, worse']:.2%}, {wrong_by['interval, better']:.1%} |"
        )


if __name__ == "__main__":
    main()
