"""The trials of an Optuna study, as far as a sampler learns from them."""

from __future__ import annotations

from bisect import insort
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState

from nas.search.samplers.domain import Domain, Params
from nas.search.samplers.encoding import Array

_MIN_PAIRS = 5
"""Trials that have values at two steps, without which the line from one to the other has the slope 1."""


@dataclass(frozen=True, slots=True)
class Result:
    """The decisions of a trial and the values of its objectives."""

    number: int
    params: Params
    values: tuple[float, ...]
    """Larger is better, whatever the directions of the study."""


Curves = dict[int, tuple[Params, dict[int, float]]]
"""By the number of a trial, its decisions and its intermediate values by step; larger is better."""


class History:
    """Reads the trials of a study as they are added and end."""

    def __init__(self, domain: Domain) -> None:
        """Read for a domain, which says what of a trial's parameters are decisions."""
        self.results: list[Result] = []
        """Trials with values that hold all constraints, by number; those evaluated in part as `_with_partial` says."""
        self.excesses: dict[str, list[tuple[int, Params, float]]] = {}
        """By constraint, the number, decisions and signed excess of each trial; above 0 it is violated."""
        self.pending: list[Params] = []
        """The decisions of trials that run and have reported no value."""
        self.trial_number = 0
        """The trial that is being decided."""
        self.signs: list[float] = []
        """By objective: 1 where the study maximizes it, -1 where it minimizes."""
        self._domain = domain
        self._num_read = 0
        self._open: list[int] = []
        """Indices of trials that had not ended when they were read."""
        self._complete: list[Result] = []
        self._curves: Curves = {}

    def read(self, study: Study, deciding: FrozenTrial) -> None:
        """Read what is new in a study, but for the trial that is being decided."""
        self.trial_number = deciding.number
        trials = study.get_trials(deepcopy=False)
        unread = [*self._open, *range(self._num_read, len(trials))]
        self._num_read, self._open, self.pending = len(trials), [], []
        self.signs = [1.0 if direction is StudyDirection.MAXIMIZE else -1.0 for direction in study.directions]
        for index in unread:
            trial = trials[index]
            if trial.number == deciding.number:
                self._open.append(index)
                continue
            self._domain.observe(trial)
            params = self._domain.decisions_in(trial.params)
            if not trial.state.is_finished():
                self._open.append(index)
            if params is not None:
                self._add(trial, params)
        partial = len(self._curves) > sum(result.number in self._curves for result in self._complete)
        self.results = self._with_partial() if partial else self._complete

    def _add(self, trial: FrozenTrial, params: Params) -> None:
        if trial.state.is_finished():
            self._add_finished(trial, params)
        elif not trial.intermediate_values:
            self.pending.append(params)
        if not _holds_constraints(trial):  # which may only show when it ends
            self._curves.pop(trial.number, None)
        elif trial.intermediate_values and trial.state is not TrialState.FAIL:
            curve = {step: self.signs[0] * value for step, value in trial.intermediate_values.items()}
            self._curves[trial.number] = params, curve

    def _add_finished(self, trial: FrozenTrial, params: Params) -> None:
        for name, excess in trial.constraints.items():
            insort(self.excesses.setdefault(name, []), (trial.number, params, excess), key=lambda entry: entry[0])
        if trial.state is not TrialState.COMPLETE:
            return
        values = tuple(sign * value for sign, value in zip(self.signs, trial.values, strict=True))
        if all(map(np.isfinite, values)) and _holds_constraints(trial):
            insort(self._complete, Result(trial.number, params, values), key=lambda result: result.number)

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
        results = {result.number: result for result in self._complete}
        for number, (params, curve) in curves.items():
            if number not in results:
                last = max(curve)
                value = curve[last]
                for step in steps[steps.index(last) : -1]:
                    slope, intercept = lines[step]
                    value = intercept + slope * value
                results[number] = Result(number, params, (value,))
        return [results[number] for number in sorted(results)]

    @property
    def values(self) -> Array:
        """The values of `results`, `(results, objectives)`; larger is better."""
        return np.array([result.values for result in self.results])


def _holds_constraints(trial: FrozenTrial) -> bool:
    return all(excess <= 0 for excess in trial.constraints.values())


def _line(pairs: Array) -> tuple[float, float]:
    """Return slope and intercept of the least-squares line through pairs, `(pairs, 2)`.

    The slope is 1 with fewer than 5 pairs, and never below 0; without pairs the line is the identity.
    """
    if not len(pairs):
        return 1.0, 0.0
    now, later = pairs.T
    slope = 1.0
    if len(pairs) >= _MIN_PAIRS and np.ptp(now) > 0:
        slope = max(0.0, float(np.polyfit(now, later, 1)[0]))
    return slope, float(later.mean() - slope * now.mean())
