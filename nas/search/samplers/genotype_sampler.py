"""What our samplers have in common: they propose whole genotypes, from what the trials so far tell."""

from __future__ import annotations

import random
import threading
from abc import abstractmethod
from bisect import insort
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, TypedDict, Unpack

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState

from nas.search.samplers.domain import Domain, Draft, Look, ObservedDomain, Params, SpaceDomain, draw_from
from nas.search.samplers.encoding import Array
from nas.seeds import derived_seed
from nas.space import SearchSpace

_DRY = 3
"""Proposals in a row that were tried before, after which there is nothing left to propose."""
_NEW_TRIES = 200
"""Draws for one that was not tried yet."""
_PAIRS = 5
"""Trials that a line from one step to the next needs."""


@dataclass(frozen=True, slots=True)
class Result:
    """How good a trial is."""

    number: int
    params: Params
    values: tuple[float, ...]
    """Larger is better, whatever the directions of the study."""


Curves = dict[int, tuple[Params, dict[int, float]]]
"""By number of a trial: its decisions, and its values by step."""


class History:
    """The trials of a study, read as they come."""

    def __init__(self, domain: Domain) -> None:
        """Take where candidates come from."""
        self.results: list[Result] = []
        """What is known of how good trials are, in their order."""
        self.excesses: dict[str, list[tuple[int, Params, float]]] = {}
        """By constraint, each trial's number, decisions and signed distance from it: above 0 it is violated."""
        self.pending: list[Params] = []
        """Of trials of which nothing is known yet."""
        self.now = 0
        """Number of the trial that is being decided."""
        self.signs: list[float] = []
        """By objective: 1 where the study maximizes it, -1 where it minimizes."""
        self._domain = domain
        self._seen = 0
        self._open: list[int] = []
        self._complete: list[Result] = []
        self._curves: Curves = {}
        """By number: values on the way of trials that have reported some."""

    def read(self, study: Study, now: FrozenTrial) -> None:
        """Read what is new; `now` is the trial that is being decided."""
        self.now = now.number
        trials = study.get_trials(deepcopy=False)
        waiting = [*self._open, *range(self._seen, len(trials))]
        self._seen, self._open, self.pending = len(trials), [], []
        self.signs = [1.0 if one is StudyDirection.MAXIMIZE else -1.0 for one in study.directions]
        for place in waiting:
            trial = trials[place]
            if trial.number == now.number:
                self._open.append(place)
                continue
            self._domain.learn(trial)
            params = self._domain.own(trial.params)
            if not trial.state.is_finished():
                self._open.append(place)
                if params is not None and not trial.intermediate_values:
                    self.pending.append(params)
            elif params is not None:
                self._take(trial, params)
            if (
                params is not None
                and trial.intermediate_values
                and trial.state is not TrialState.FAIL
                and _holds(trial)
            ):
                curve = {step: self.signs[0] * value for step, value in trial.intermediate_values.items()}
                self._curves[trial.number] = params, curve
        partial = len(self._curves) > sum(one.number in self._curves for one in self._complete)
        self.results = self._with_partial() if partial else self._complete

    def _take(self, trial: FrozenTrial, params: Params) -> None:
        for name, excess in trial.constraints.items():
            insort(self.excesses.setdefault(name, []), (trial.number, params, excess), key=lambda one: one[0])
        if trial.state is not TrialState.COMPLETE:
            return
        values = tuple(sign * value for sign, value in zip(self.signs, trial.values, strict=True))
        if all(map(np.isfinite, values)) and _holds(trial):
            insort(self._complete, Result(trial.number, params, values), key=lambda one: one.number)

    def _with_partial(self) -> list[Result]:
        """Return the results with those of trials that were evaluated in part, brought to the scale of the others.

        From each step to the next one a line does that, fitted to the trials that have both.
        """
        curves = self._curves
        steps = sorted({step for _, curve in curves.values() for step in curve})
        lines = {}
        for step, following in pairwise(steps):
            both = [(c[step], c[following]) for _, (_, c) in sorted(curves.items()) if {step, following} <= c.keys()]
            lines[step] = _line(np.array(both).reshape(-1, 2))
        found = {one.number: one for one in self._complete}
        for number, (params, curve) in curves.items():
            if number not in found:
                last = max(curve)
                value = curve[last]
                for step in steps[steps.index(last) : -1]:
                    slope, start = lines[step]
                    value = start + slope * value
                found[number] = Result(number, params, (value,))
        return [found[number] for number in sorted(found)]

    @property
    def values(self) -> Array:
        """`(results, objectives)`; larger is better."""
        return np.array([one.values for one in self.results])


def _holds(trial: FrozenTrial) -> bool:
    return all(excess <= 0 for excess in trial.constraints.values())


def _line(pairs: Array) -> tuple[float, float]:
    """Return slope and start of a line through pairs; with few of them its slope is 1."""
    if not len(pairs):
        return 1.0, 0.0
    now, later = pairs.T
    slope = 1.0
    if len(pairs) >= _PAIRS and np.ptp(now) > 0:
        slope = max(0.0, float(np.polyfit(now, later, 1)[0]))
    return slope, float(later.mean() - slope * now.mean())


class Options(TypedDict, total=False):
    """What every sampler of ours takes beside its seed."""

    space: SearchSpace | None
    """Where candidates come from; the objective is to ask `space.suggest(trial)`."""
    look: Look | None
    """Examines genotypes, against the limits of a search; by default against those of the space."""
    prior: Sequence[tuple[Params, float]]
    """What is known of some genotypes from elsewhere, as numbers of which larger is better, on any scale. `predictor`
    learns from its own trials what that is worth; the others leave it alone."""


class ProposingSampler(BaseSampler):
    """Proposes a whole genotype when a trial's first decision is asked for.

    What it proposes follows from the seed, the number of the trial and the trials before it, and from nothing else: a
    study that goes on in another process gets what it would have got. With a `space` candidates are mutated as that
    space allows, and none over its limits is proposed; without one the sampler learns from the trials which decisions
    there are, and can be used with any objective function.
    """

    def __init__(self, seed: int = 0, **options: Unpack[Options]) -> None:
        """Make a sampler; the same seed gives the same proposals."""
        unknown = options.keys() - Options.__annotations__.keys()
        if unknown:
            raise TypeError(f"{type(self).__name__} has no options {sorted(unknown)}")
        self._seed, self._space, self._look = seed, options.get("space"), options.get("look")
        self._prior = tuple(options.get("prior", ()))
        self._lock = threading.RLock()
        self._plans: dict[int, Params] = {}
        self._forget()

    def _forget(self) -> None:
        self._domain: Domain = SpaceDomain(self._space, self._look) if self._space is not None else ObservedDomain()
        self._history = History(self._domain)
        self._study = ""
        self._dry = 0

    @property
    def exhausted(self) -> bool:
        """Whether it finds nothing more to propose that was not tried."""
        return self._dry >= _DRY

    def __getstate__(self) -> dict[str, Any]:
        # What was read from a study is read again.
        return {"seed": self._seed, "space": self._space, "look": self._look, "prior": self._prior}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]  # that of the subclass

    @abstractmethod
    def propose(self, history: History, domain: Domain, rng: random.Random) -> Draft | None:
        """Return what to try; decisions that it leaves out, or all of them with None, are drawn."""

    def _rng(self, trial: FrozenTrial, purpose: str) -> random.Random:
        return random.Random(derived_seed(self._seed, trial.number, purpose, num_bytes=8))

    def _plan(self, study: Study, trial: FrozenTrial) -> Params:
        with self._lock:
            if self._study != study.study_name:
                self._forget()
                self._study = study.study_name
            if trial.number not in self._plans:
                self._history.read(study, trial)
                rng = self._rng(trial, "proposal")
                draft = self.propose(self._history, self._domain, rng)
                self._dry = 0 if draft is None or self._domain.is_new(draft) else self._dry + 1
                if draft is not None:
                    self._domain.reserve(trial.number, draft)
                self._plans[trial.number] = draft.params if draft is not None else {}
            return self._plans[trial.number]

    def _value(self, study: Study, trial: FrozenTrial, name: str, distribution: BaseDistribution) -> Any:
        plan = self._plan(study, trial)
        if name in plan and distribution._contains(_internal(distribution, plan[name])):
            return plan[name]
        return draw_from(distribution, self._rng(trial, name))

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        # Every decision is answered when it is asked for, since which ones are depends on the others.
        return {}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: Mapping[str, BaseDistribution]
    ) -> dict[str, Any]:
        return {name: self._value(study, trial, name, spread) for name, spread in search_space.items()}

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        return self._value(study, trial, param_name, param_distribution)

    def after_trial(self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None) -> None:
        self._plans.pop(trial.number, None)


def _internal(distribution: BaseDistribution, value: Any) -> float:
    try:
        return distribution.to_internal_repr(value)
    except ValueError:
        return float("nan")


def draw_new(domain: Domain, rng: random.Random) -> Draft | None:
    """Draw a random candidate that was not tried yet, or, where none is found, one that was."""
    found = None
    for _ in range(_NEW_TRIES):
        found = domain.draw(rng, patient=True)
        if found is None or domain.is_new(found):
            return found
    return domain.untried(rng) or found
