"""The default: evolution whose children are chosen by a surrogate, which knows the costs of all of them."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Unpack

import numpy as np
from scipy.stats import norm
from threadpoolctl import ThreadpoolController

from nas.cost import FREE_METRICS, ONE, value_of
from nas.pareto import better_ones, front
from nas.search.samplers.acquisition import expected_excess, expected_hypervolume_gain
from nas.search.samplers.domain import Domain, Draft
from nas.search.samplers.encoding import Array, Encoding
from nas.search.samplers.genotype_sampler import History, Options, ProposingSampler, draw_new
from nas.search.samplers.prior_model import Earlier
from nas.search.samplers.surrogate import Facts, Surrogate, upper_half

_BLAS = ThreadpoolController()
_START = 8
"""Random trials before it."""
_MOST_RESULTS = 192
"""Trials that the surrogate learns from; with more, the better half of them and some of all others."""
_PARENTS = 20
_CHILDREN = 160
_TRIES = 2
"""Times as many children may be looked at."""
_RANDOM, _CROSSED = 0.2, 0.2
"""Shares of the children that are random, and that have two parents."""
_CHANGES = (1, 1, 1, 2, 2, 3)
"""How many decisions a mutation changes, one of these."""
_BEST, _NEIGHBOURS = 5, 40
"""So many neighbours of the best children are looked at too."""
_MARGIN = 0.1
"""The reference point of the hypervolume lies so much of the front's extent behind its ends."""


class PredictorSampler(ProposingSampler):
    """Proposes the child of the best trials that promises most.

    Children come from mutation and crossover of the best trials. A surrogate, an ensemble of Gaussian processes over
    decisions and free costs, says what each is worth: the expected improvement over the best trial as the surrogate
    sees it, so that one lucky evaluation does not stop the search; with several objectives the expected gain of
    hypervolume, where an objective that is a free cost is known and not predicted. What has been tried is not proposed
    again, nor, where the space is known, another description of the same network, nor one over a limit.

    With a prior, what an earlier search has seen, a surrogate of that alone says what is to be believed of networks;
    the other one learns from the study's own trials what that is worth, whichever way it points. The first trials have
    to be unlike for that: `run_search` begins with the best ones of the earlier search, and the rest are random.
    """

    def __init__(self, seed: int = 0, **options: Unpack[Options]) -> None:
        """Make a sampler; the same seed gives the same proposals."""
        super().__init__(seed, **options)
        self._earlier: Earlier | None = None

    def propose(self, history: History, domain: Domain, rng: random.Random) -> Draft | None:
        if len(history.results) < _START:
            return draw_new(domain, rng)
        # Matrices this small gain nothing from threads, and lose much where other processes use the cores.
        with _BLAS.limit(limits=1):
            return self._best_child(history, domain, rng)

    def _believed(self, domain: Domain) -> Earlier | None:
        """Return what the earlier search says, where there was one."""
        if self._prior and (self._earlier is None or self._earlier.distributions != dict(domain.distributions())):
            self._earlier = Earlier(self._prior, domain)
        return self._earlier

    def _best_child(self, history: History, domain: Domain, rng: random.Random) -> Draft | None:
        worth = _Worth(history, domain, self._believed(domain))
        parents = worth.best(_PARENTS)
        # Parents from an earlier search have not been tried in this one.
        children = [one for one in parents if domain.is_new(one)] + _children(domain, parents, rng)
        if not children:
            return draw_new(domain, rng)
        gains = worth(children)
        best = [children[place] for place in np.argsort(-gains, kind="stable")[:_BEST]]
        others = _neighbours(domain, best, rng)
        if others:
            children, gains = children + others, np.concatenate([gains, worth(others)])
        return children[int(np.argmax(gains))]


class _Worth:
    """What candidates are worth trying for, as the trials so far tell."""

    def __init__(self, history: History, domain: Domain, earlier: Earlier | None = None) -> None:
        self._domain, self._earlier = domain, earlier
        places = _learned(history.values)
        self._drafts = [domain.draft(history.results[place].params) for place in places]
        values = history.values[places]
        self._encoding = Encoding(domain.distributions())
        traits = np.array([one.traits for one in self._drafts])
        self._middle, self._spread = traits.mean(axis=0), np.maximum(traits.std(axis=0), 0.1)
        self._signs = history.signs
        self._free = [_free_metric(self._drafts, values[:, i] * self._signs[i]) for i in range(values.shape[1])]
        facts = self._facts(self._drafts)
        pending = self._facts([domain.draft(one) for one in history.pending]) if history.pending else None
        self._models: list[Surrogate | None] = []
        for column, free in zip(values.T, self._free, strict=True):
            scores = upper_half(column) if len(self._free) == 1 else column
            model = None if free else Surrogate(self._encoding, facts, scores)
            self._models.append(model.believing(pending) if model and pending else model)
        self._allowed = self._constraints(history)
        self._means, _ = self._predict(self._drafts, facts)

    def _facts(self, every: Sequence[Draft]) -> Facts:
        traits = np.array([one.traits for one in every])
        beliefs = self._earlier.beliefs(every) if self._earlier is not None else None
        return Facts(
            self._encoding.rows([one.params for one in every]), (traits - self._middle) / self._spread, beliefs
        )

    def _constraints(self, history: History) -> list[Surrogate]:
        """Return what has been learned of limits that only an evaluation shows, such as a measured latency."""
        found = []
        for name, pairs in history.excesses.items():
            counted = name in FREE_METRICS and bool(self._drafts[0].traits)
            if not counted and any(excess > 0 for _, _, excess in pairs):
                recent = pairs[-_MOST_RESULTS:]
                excesses = np.array([excess for _, _, excess in recent])
                found.append(
                    Surrogate(self._encoding, self._facts([self._domain.draft(one) for _, one, _ in recent]), excesses)
                )
        return found

    def _predict(self, every: Sequence[Draft], facts: Facts) -> tuple[Array, Array]:
        """Return means and standard deviations, `(networks, objectives)` each."""
        means, sds = [], []
        for model, free, sign in zip(self._models, self._free, self._signs, strict=True):
            if model is not None:
                mean, sd = model.predict(facts)
            else:
                mean = sign * np.array([value_of(one.cost, free, ONE) for one in every if one.cost and free])
                sd = np.zeros(len(mean))
            means.append(mean)
            sds.append(sd)
        return np.stack(means, axis=1), np.stack(sds, axis=1)

    def best(self, count: int) -> list[Draft]:
        """Return the best trials, and networks of an earlier search, as the surrogate sees them, best first."""
        drafts, means = self._drafts, self._means
        others = [one for one in self._earlier.drafts if one.allowed] if self._earlier is not None else []
        if others:
            drafts, means = drafts + others, np.concatenate([means, self._predict(others, self._facts(others))[0]])
        return [drafts[place] for place in np.argsort(better_ones(means), kind="stable")[:count]]

    def __call__(self, every: Sequence[Draft]) -> Array:
        facts = self._facts(every)
        means, sds = self._predict(every, facts)
        if means.shape[1] == 1:
            found = expected_excess(means[:, 0], sds[:, 0], float(self._means.max()))
        else:
            points = self._means[front(self._means)]
            found = expected_hypervolume_gain(means, sds, points, self._means.min(axis=0))
        for model in self._allowed:
            excess, sd = model.predict(facts)
            found = found * norm.cdf(-excess / sd)
        return found


def _learned(values: Array) -> list[int]:
    """Return the places of the trials to learn from: all, or the better half of as many as can be and some others."""
    if len(values) <= _MOST_RESULTS:
        return list(range(len(values)))
    ranks = np.argsort(np.argsort(-values, axis=0, kind="stable"), axis=0, kind="stable").min(axis=1)
    order = np.argsort(ranks, kind="stable")
    half = _MOST_RESULTS // 2
    others = order[np.linspace(half, len(order) - 1, _MOST_RESULTS - half).round().astype(int)]
    return sorted({*order[:half].tolist(), *others.tolist()})


def _free_metric(drafts: Sequence[Draft], values: Array) -> str | None:
    """Return the cost that an objective is, where it is one in every trial."""
    costs = [one.cost for one in drafts]
    for metric in FREE_METRICS:
        if all(
            cost is not None and value_of(cost, metric, ONE) == value for cost, value in zip(costs, values, strict=True)
        ):
            return metric
    return None


def _children(domain: Domain, parents: Sequence[Draft], rng: random.Random) -> list[Draft]:
    """Return new candidates from the best trials, the better ones having more of them."""
    found: list[Draft] = []
    for _ in range(_TRIES * _CHILDREN):
        parent = parents[min(int(rng.expovariate(4 / len(parents))), len(parents) - 1)]
        chance = rng.random()
        if chance < _RANDOM:
            child = domain.draw(rng, patient=False)
        elif chance < _RANDOM + _CROSSED:
            child = domain.cross(parent, rng.choice(parents), rng)
        else:
            child = domain.mutate(parent, rng, rng.choice(_CHANGES))
        if child is not None and domain.is_new(child):
            found.append(child)
            if len(found) == _CHILDREN:
                break
    return found


def _neighbours(domain: Domain, best: Sequence[Draft], rng: random.Random) -> list[Draft]:
    found = []
    for place in range(_NEIGHBOURS):
        child = domain.mutate(best[place % len(best)], rng, 1)
        if child is not None and domain.is_new(child):
            found.append(child)
    return found
