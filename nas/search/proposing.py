"""What a search tries next, in the order of its numbers; some of it is proposed ahead, before a worker is free."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from random import Random
from statistics import median
from typing import Any

import optuna
from optuna.samplers import BaseSampler

from nas.search.first import First
from nas.search.gate import Gate
from nas.search.optuna_study import enqueue
from nas.search.samplers.acquisition import Gain
from nas.search.samplers.distributions import suggest_recipe
from nas.search.samplers.genotype_sampler import GenotypeSampler
from nas.search.settings import Settings
from nas.search.study import Study
from nas.search.trial import Trial
from nas.seeds import derived_seed
from nas.space import Genotype
from nas.training.recipe_decisions import with_prefix

Tried = Collection[frozenset[tuple[str, Any]]]
"""What was decided by trials, as pairs of names and values."""

LEAST_GAIN = 0.03
"""What must be expected of a proposal, in standard deviations of the noise of a score; see `search.patience`."""
_LATEST = 16
"""Proposals and evaluations by whose times it is judged how many proposals are to be made ahead."""
_NEGLIGIBLE = 0.01
"""Share of the time of an evaluation that a worker may wait for its proposal: less is not worth knowing less."""


@dataclass(frozen=True, slots=True)
class Proposed:
    """A genotype, with a recipe where that is decided: to be examined, and evaluated where it holds the limits."""

    number: int
    genotype: Genotype
    optuna_trial: optuna.Trial
    recipe: Mapping[str, Any] = field(default_factory=dict)
    """What is decided of the recipe, by setting."""
    baseline: bool = False
    """Whether it is a random one, to compare those of the sampler with."""
    from_sampler: bool = False
    design: str = ""
    """What it is, where it is a known design."""
    gain: Gain | None = None
    """What is expected of it, where the sampler has a model that says so."""
    rerun_of: int | None = None
    """The number of the failed trial that is run again, where it is no new proposal."""

    def described(self, trial: Trial, guided: int) -> Trial:
        """Return its trial with where it came from, and what is expected of it.

        `guided` candidates were examined by guided sampling to make it.
        """
        trial = replace(trial, guided=guided, baseline=self.baseline, design=self.design, rerun_of=self.rerun_of)
        if self.gain is None:
            return trial
        return replace(trial, expected_gain=self.gain.expected, noise_sd=self.gain.noise_sd)


class Pace:
    """How many proposals are to wait for workers, by how long the latest proposals and evaluations have taken.

    A proposal that waits was made without the results that come meanwhile, so that no more wait than evaluations end
    while a proposal is made: none where a proposal takes less than 1 % of an evaluation, nor with one worker, and at
    most as many as there are workers.
    """

    def __init__(self, workers: int) -> None:
        """Take the number of evaluations that run at a time."""
        self.resize(workers)
        self._proposals: deque[float] = deque(maxlen=_LATEST)
        self._evaluations: deque[float] = deque(maxlen=_LATEST)

    def resize(self, workers: int) -> None:
        """Take another number of evaluations that run at a time."""
        self._workers = workers

    def proposed(self, count: int, seconds: float) -> None:
        """Note how long it took to make so many proposals."""
        self._proposals.append(seconds / count)

    def evaluated(self, seconds: float) -> None:
        """Note how long an evaluation took."""
        self._evaluations.append(seconds)

    @property
    def ahead(self) -> int:
        """How many proposals are to wait; 0 where each is to be made when a worker is free for it."""
        if self._workers == 1 or not self._proposals or not self._evaluations:
            return 0
        proposal, evaluation = median(self._proposals), median(self._evaluations)
        if proposal <= _NEGLIGIBLE * evaluation:
            return 0
        return self._workers if proposal >= evaluation else math.ceil(self._workers * proposal / evaluation)


class Proposals:
    """Makes proposals, and keeps those that were made ahead until they are taken.

    These are nowhere on record: a search that ends forgets them, and one that is resumed proposes anew under their
    numbers, which are above all that were taken. Whatever follows from a proposal (checks, records, limits of the
    search) is done when it is taken, as if it had been made then; only the sampler knows of it before, as of a trial
    that runs.
    """

    def __init__(
        self,
        optuna_study: optuna.Study,
        study: Study,
        gate: Gate,
        settings: Settings,
        *,
        pace: Pace,
        now: Callable[[], float],
        sampler: Callable[[int], BaseSampler] | BaseSampler,
        first: Sequence[First],
    ) -> None:
        """Begin with what `first` holds; `now` gives the seconds that count for `pace`."""
        self._space, self._recipe = study.space, study.recipe
        self._optuna, self._gate, self._pace, self._now = optuna_study, gate, pace, now
        self._seed, self._baseline_fraction = settings.seed, settings.search.baseline_fraction
        self._first = list(first)
        # A sampler made anew for each proposal from a seed of its own has no state to lose: a resumed study
        # proposes what an uninterrupted one does.
        self._make_sampler = sampler if not isinstance(sampler, BaseSampler) else None
        self._ours = sampler if isinstance(sampler, GenotypeSampler) else None
        self._ahead: deque[Proposed] = deque()
        self.next_number = 0
        self.without_gain = 0
        """Proposals in a row of which less than `LEAST_GAIN` was expected; others do not count."""
        self.closed = False
        """Whether the sampler has nothing more to propose; what was made ahead is still to be taken."""

    def __len__(self) -> int:
        """Return how many were made ahead."""
        return len(self._ahead)

    def new_number(self) -> int:
        """Return the number of a trial that is not proposed here; none may be ahead, so that numbers are in order."""
        assert not self._ahead
        return self._number()

    def wanted_ahead(self, left: int) -> int:
        """Return how many are to be made now, while all workers are busy; `left` is how many the search needs yet."""
        if self.closed or self._gate.wasteful:  # in which case the next one may be guided
            return 0
        return max(0, min(self._pace.ahead, left) - len(self._ahead))

    def make(self, count: int, tried: Tried) -> None:
        """Make proposals, to be taken in their order.

        Args:
            count: of them; the project's own samplers may look at the trials once for all of them.
            tried: genotypes that were taken before.
        """
        started = self._now()
        if self._ours is not None:
            self._ours.expect(count)
        for _ in range(count):
            self._ahead.append(self._made(tried))
        self._pace.proposed(count, self._now() - started)

    def take(self, waiting: int, left: int, tried: Tried) -> Proposed:
        """Remove and return the earliest proposal; make some where there is none.

        Args:
            waiting: workers that wait for a proposal: where proposals hold up the search all get theirs at once.
            left: as for `wanted_ahead`.
            tried: as for `make`.
        """
        if not self._ahead:
            ahead = self.wanted_ahead(left)
            self.make(max(ahead, min(waiting, left)) if ahead else 1, tried)
        made = self._ahead.popleft()
        self._count(made.gain)
        return made

    def again(self, failed: Trial) -> Proposed:
        """Return a proposal of what a failed trial had, under a new number; to the sampler it is another trial."""
        optuna_trial = enqueue(self._optuna, self._space, failed.genotype, self._recipe, failed.recipe)
        return Proposed(
            self._number(),
            failed.genotype,
            optuna_trial,
            failed.recipe,
            baseline=failed.baseline,
            design=failed.design,
            rerun_of=failed.number,
        )

    def recorded(self, trial: Trial) -> None:
        """Take note of a trial of an earlier session."""
        self.next_number = trial.number + 1
        if trial.expected_gain is not None and trial.noise_sd is not None:
            self._count(Gain(trial.expected_gain, trial.noise_sd))

    def _count(self, gain: Gain | None) -> None:
        if gain is not None:
            self.without_gain = self.without_gain + 1 if gain.expected < LEAST_GAIN * gain.noise_sd else 0

    def _number(self) -> int:
        number, self.next_number = self.next_number, self.next_number + 1
        return number

    def _made(self, tried: Tried) -> Proposed:
        number = self._number()
        while self._first:
            first = self._first.pop(0)
            recipe = self._recipe.nearest(first.recipe)
            waits = any((other.genotype, other.recipe) == (first.genotype, recipe) for other in self._ahead)
            if not waits and frozenset({**first.genotype, **with_prefix(recipe)}.items()) not in tried:
                optuna_trial = enqueue(self._optuna, self._space, first.genotype, self._recipe, recipe)
                return Proposed(number, first.genotype, optuna_trial, recipe, design=first.design)
        if derived_seed(self._seed, number, "baseline") < self._baseline_fraction * 2**32:
            candidate, _ = self._gate.random(derived_seed(self._seed, number, "proposal"))
            recipe = self._recipe.draw(Random(derived_seed(self._seed, number, "recipe")))
            optuna_trial = enqueue(self._optuna, self._space, candidate.genotype, self._recipe, recipe)
            return Proposed(number, candidate.genotype, optuna_trial, recipe, baseline=True)
        if self._make_sampler is not None:
            self._optuna.sampler = self._make_sampler(derived_seed(self._seed, number, "proposal"))
        optuna_trial = self._optuna.ask()
        genotype, recipe = self._space.suggest(optuna_trial), suggest_recipe(self._recipe, optuna_trial)
        gain = self._ours.gain if self._ours is not None else None
        return Proposed(number, genotype, optuna_trial, recipe, from_sampler=True, gain=gain)
