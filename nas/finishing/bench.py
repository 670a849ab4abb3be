"""What a finish asks of whatever trains: jobs in, trials out. The decisions know nothing else of it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from math import inf, isfinite
from typing import Any, Protocol

from nas.cost import cost_of
from nas.errors import TrainingError
from nas.network.architecture import Architecture
from nas.settings import as_before
from nas.training.recipe import Recipe
from nas.training.tasks.registry import known_score

CHOOSE, REPORT, TEST = "choose", "report", "test"
"""Phases: training to choose the winner, training of what is reported, scores of that on the test split. What else
is chosen from has a phase of its own, by the name of the baseline."""


@lru_cache(maxsize=1024)
def _digest(recipe: Recipe) -> str:
    # Without settings that recipes had not yet when an earlier finish began: its trainings keep their keys.
    return hashlib.sha256(json.dumps(as_before(recipe), sort_keys=True).encode()).hexdigest()[:8]


@dataclass(frozen=True)
class Job:
    """A training, or the scoring of its weights on the test split, that is to be done."""

    phase: str
    name: str
    """Of the network, for people."""
    architecture: Architecture
    recipe: Recipe
    seed: int

    @cached_property
    def key(self) -> str:
        """What its trial is known by: equal jobs have the same."""
        return f"{self.phase}-{self.architecture.arch_id}-{_digest(self.recipe)}-{self.seed}"

    @property
    def trained(self) -> Job:
        """Of a job of the test split: that of the training whose weights it scores."""
        return replace(self, phase=REPORT)

    @property
    def tested(self) -> Job:
        """Of a training that is reported: the scoring of its weights on the test split."""
        return replace(self, phase=TEST)


@dataclass(frozen=True)
class FinishTrial:
    """How a job ended: a line of `finish/trials.jsonl`."""

    key: str
    phase: str
    name: str
    arch_id: str
    params: int
    macs: int
    """Multiply-adds at batch 1."""
    epochs: int
    lr: float
    """Highest learning rate."""
    seed: int
    scores: Mapping[str, float] = field(default_factory=dict)
    """By name, of the last epoch; empty where it failed."""
    folds: tuple[Mapping[str, float], ...] = ()
    """Of k-fold validation: the scores on each fold, of which `scores` are the means."""
    seconds: float = 0.0
    """That it took."""
    elapsed: float = 0.0
    """Seconds that its phase had taken when it ended, earlier sessions included."""
    reason: str = ""
    """Why it failed, or nothing."""

    @property
    def of_itself(self) -> bool:
        """Whether it failed by itself, as by a loss that is no number, so that the same training fails again.

        Others failed by what was around them, such as a machine without memory.
        """
        return self.reason.startswith(f"{TrainingError.__name__}: ")

    @classmethod
    def of(cls, job: Job, **result: Any) -> FinishTrial:
        """Return the trial of a job with its result: scores, seconds, elapsed, reason."""
        cost = cost_of(job.architecture)
        return cls(
            key=job.key,
            phase=job.phase,
            name=job.name,
            arch_id=job.architecture.arch_id,
            params=cost.params,
            macs=cost.macs,
            epochs=job.recipe.epochs,
            lr=job.recipe.lr,
            seed=job.seed,
            **result,
        )

    @classmethod
    def from_dict(cls, values: Any) -> FinishTrial:
        """Read what `asdict` gives; raises `TypeError` or `ValueError` for anything else."""
        trial = cls(**{**values, "folds": tuple(values.get("folds", ()))})
        for name in ("key", "phase", "name", "arch_id", "reason"):
            if not isinstance(getattr(trial, name), str):
                raise TypeError(f"{name} is {getattr(trial, name)!r}")
        numbers = {name: getattr(trial, name) for name in ("params", "macs", "epochs", "lr", "seed", "seconds")}
        numbers |= {"elapsed": trial.elapsed, **_scores(trial.scores)}
        for number, fold in enumerate(trial.folds, start=1):
            numbers |= {f"fold {number}: {name}": score for name, score in _scores(fold).items()}
        for name, number in numbers.items():
            if isinstance(number, bool) or not isinstance(number, int | float) or not isfinite(number):
                raise ValueError(f"{name} is {number!r}")
        return trial


def _scores(scores: object) -> Mapping[str, Any]:
    if not isinstance(scores, dict):
        raise TypeError(f"scores are {scores!r}")
    return {f"scores.{name}": value for name, value in scores.items()}


class Bench(Protocol):
    """Trains networks, scores what is reported on the test split, and keeps what came out."""

    def run(self, jobs: Sequence[Job], *, until: float = inf) -> Mapping[str, FinishTrial]:
        """Do trainings of one phase, and return their trials by key; those that were done before are not done again.

        Args:
            jobs: in the order in which they begin.
            until: seconds of the phase, earlier sessions included, after which none begins; what then runs is ended,
                and has no trial.
        """
        ...

    def spent(self, phase: str) -> float:
        """Return the seconds that the trainings of a phase have taken, waiting and earlier sessions included."""
        ...

    def test(self, jobs: Sequence[Job]) -> Mapping[str, FinishTrial]:
        """Score what came of trainings on the test split, once for each, and return the trials by key.

        It is asked when nothing is left to choose.

        Args:
            jobs: of the phase `TEST`, each of a training of the phase `REPORT` that gave a score.
        """
        ...


@dataclass(frozen=True)
class Contestant:
    """A network with the recipe that it is trained by."""

    name: str
    """For people."""
    architecture: Architecture
    recipe: Recipe
    """With the learning rate that this network is trained with."""
    lr_multiple: float = 1.0
    """That learning rate as a multiple of the one that the recipe has for all."""

    def by(self, recipe: Recipe) -> Contestant:
        """Return it with another recipe, at the same multiple of the learning rate of that."""
        return replace(self, recipe=replace(recipe, lr=recipe.lr * self.lr_multiple))

    def job(self, phase: str, seed: int, *, epochs: int | None = None) -> Job:
        """Return its training, or its scoring, in a phase; `epochs` are by default those of its recipe."""
        recipe = self.recipe if epochs is None else replace(self.recipe, epochs=epochs)
        return Job(phase, self.name, self.architecture, recipe, seed)


@dataclass(frozen=True, slots=True)
class Measure:
    """A score by which networks are judged."""

    name: str
    sign: int = 1
    """1 where larger is better, -1 where smaller is."""

    def of(self, trial: FinishTrial) -> float:
        """Return the score of a trial that did not fail, so that larger is better."""
        return self.sign * trial.scores[self.name]

    @property
    def is_share(self) -> bool:
        """Whether it is a share, which is shown in per cent."""
        known = known_score(self.name)
        return known is not None and known.share

    @property
    def of_images(self) -> bool:
        """Whether it is the share of the images that are told right, each of which counts the same."""
        known = known_score(self.name)
        return known is not None and known.of_images

    @property
    def on_test(self) -> Measure:
        """The same on the test split."""
        return Measure(self.name.replace("val_", "test_", 1), self.sign)
