"""A bench that gives scores by a rule and takes time on a clock of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import inf

import nas
from nas.finishing.bench import TEST, Contestant, FinishTrial, Job
from nas.training.recipe import Recipe

RECIPE = Recipe(epochs=9)


def contestants(count: int, recipe: Recipe = RECIPE) -> list[Contestant]:
    """Networks that differ in their number of classes, named 0, 1, 2, ..."""
    base = nas.load_space("reference/lenet5").decode({})
    return [Contestant(str(i), replace(base, num_classes=10 + i), recipe) for i in range(count)]


@dataclass
class RuleBench:
    """One worker; a job begins only before `until`, and one that would end after it has no trial."""

    score: Callable[[Job], float]
    seconds: Callable[[Job], float] = lambda job: 1.0
    metric: str = "val_accuracy"
    fails: Callable[[Job], str] = lambda job: ""
    clocks: dict[str, float] = field(default_factory=dict)
    done: list[Job] = field(default_factory=list)
    trials: dict[str, FinishTrial] = field(default_factory=dict)

    def run(self, jobs: Sequence[Job], *, until: float = inf) -> Mapping[str, FinishTrial]:
        for job in jobs:
            if job.key in self.trials:
                continue
            clock = self.clocks.get(job.phase, 0.0)
            if clock >= until:
                break
            self.clocks[job.phase] = min(until, clock + self.seconds(job))
            if clock + self.seconds(job) > until:
                break
            self.done.append(job)
            why = self.fails(job)
            name = self.metric.replace("val_", "test_") if job.phase == TEST else self.metric
            self.trials[job.key] = FinishTrial.of(
                job,
                scores={} if why else {name: self.score(job)},
                seconds=self.seconds(job),
                elapsed=self.clocks[job.phase],
                reason=why,
            )
        return {job.key: self.trials[job.key] for job in jobs if job.key in self.trials}

    def test(self, jobs: Sequence[Job]) -> Mapping[str, FinishTrial]:
        assert all(job.phase == TEST for job in jobs)
        return self.run(jobs)

    def spent(self, phase: str) -> float:
        return self.clocks.get(phase, 0.0)
