"""The default sampler: evolution whose children are chosen by a surrogate."""

from __future__ import annotations

import random
from collections.abc import Hashable, Iterator, Sequence
from copy import copy
from itertools import cycle, islice
from typing import Unpack

import numpy as np
from scipy.stats import norm
from threadpoolctl import ThreadpoolController

from nas.cost import FREE_METRICS, value_of
from nas.pareto import domination_counts, front
from nas.search.samplers.acquisition import Gain, expected_hypervolume_improvement, expected_improvement
from nas.search.samplers.domain import Domain, Proposal, new_proposals, random_new
from nas.search.samplers.encoding import Array, Encoding
from nas.search.samplers.genotype_sampler import GenotypeSampler, Options
from nas.search.samplers.history import History
from nas.search.samplers.prior_model import PriorModel
from nas.search.samplers.surrogate import Features, Surrogate, warp_lower_half

_BLAS = ThreadpoolController()
RANDOM_TRIALS = 8
_MAX_RESULTS = 192
"""Trials that the surrogate learns from; with more, the better half of them and some of all others."""
_NUM_PARENTS = 20
_NUM_CHILDREN = 80
_ATTEMPTS_PER_CHILD = 2
_RANDOM_SHARE, _CROSSOVER_SHARE = 0.2, 0.2
"""Shares of the children that are random, and that have two parents."""
_NUM_CHANGES = (1, 1, 1, 2, 2, 3)
"""How many decisions a mutation changes, one of these."""
_NUM_CENTRES, _NUM_NEIGHBOURS = 2, 40
"""Of each round of the climb: proposals whose neighbours are looked at, and attempts to find such neighbours."""
_MAX_ROUNDS, _MAX_JUDGED = 12, 320
"""The climb ends after so many rounds, or with so many proposals judged, children included."""
_EXPLORING_EVERY, _EXPLORING_MARGIN = 4, 0.5
"""With numbers, every so many-th proposal is for gains beyond a margin, in standard deviations of the scores."""
_ANY_RECIPE_EVERY = 3
"""Where the recipe is decided, every so many-th proposal may be of a network that was tried by another one."""


class PredictorSampler(GenotypeSampler):
    """Proposes what has the highest acquisition of children of the best trials, and of networks around these.

    Children come from mutation and crossover of the best trials; from the best of them the search climbs on. A
    surrogate, an ensemble of Gaussian processes over decisions and free costs, predicts their scores, and the
    acquisition is the expected improvement over the best trial as the surrogate sees it, so that one lucky evaluation
    does not stop the search; with several objectives the expected improvement of the hypervolume, where an objective
    that is a free cost is counted and not predicted. What has been tried is not proposed again, nor, with a space,
    another genotype of the same network, nor one over a limit.

    Where the recipe is decided too, two of three proposals are of networks that no trial has had by any recipe: a rate
    can always be refined, and what it is to be for one network tells of others, too.

    Numbers from a range can always be refined a little more, and while they are no other category is tried. So with
    numbers and one objective every fourth proposal is for improvements of some size only.

    With a prior, the results of an earlier search, a surrogate of these alone gives prior means; the other one learns
    from the study's own trials what they are worth, whichever way they point. The first trials have to be diverse for
    that: `run_search` begins with the best ones of the earlier search, and the rest are random.
    """

    def __init__(self, seed: int = 0, **options: Unpack[Options]) -> None:
        """Make a sampler; the same seed gives the same proposals."""
        super().__init__(seed, **options)
        self._prior_model: PriorModel | None = None

    def expect(self, count: int) -> None:
        """Fit the surrogates once for so many proposals; each counts as pending for those after it."""
        self._expected = count
        self._round: _Round | None = None

    def propose(self, history: History, domain: Domain, rng: random.Random) -> Proposal | None:
        """Return the proposal with the highest acquisition; a random genotype for the first 8 trials."""
        self.gain = None
        if len(history.results) < RANDOM_TRIALS:
            return random_new(domain, rng)
        # Matrices this small gain nothing from threads, and lose much where other processes use the cores.
        with _BLAS.limit(limits=1):
            if self._round is not None and self._expected > 1 and (again := self._round.next(domain)) is not None:
                self._expected -= 1
                self.gain = self._round.gain
                return again
            return self._best_child(history, domain, rng)

    def _model_of_prior(self, domain: Domain) -> PriorModel | None:
        """Return the model of the earlier search, made anew where decisions were added; None without one."""
        changed = self._prior_model is None or self._prior_model.distributions != dict(domain.distributions())
        if self._prior and changed:
            self._prior_model = PriorModel(self._prior, domain)
        return self._prior_model

    def _best_child(self, history: History, domain: Domain, rng: random.Random) -> Proposal | None:
        acquisition = _Acquisition(history, domain, self._model_of_prior(domain))
        parents = acquisition.best(_NUM_PARENTS)
        wanted = domain if history.trial_number % _ANY_RECIPE_EVERY == 0 else domain.of_new_networks()
        children = _new_children(wanted, parents, rng)
        if not children and wanted is not domain:  # all networks were tried
            wanted, children = domain, _new_children(domain, parents, rng)
        if not children:
            return random_new(domain, rng)
        children, gains = _climb(wanted, acquisition, children, rng)
        if self._expected > 1:
            self._round = _Round(acquisition, children, gains)
        best = children[int(np.argmax(gains))]
        self.gain = acquisition.gain(best)
        return best


class _Acquisition:
    """The acquisition of proposals, by surrogates of the trials so far."""

    def __init__(self, history: History, domain: Domain, prior_model: PriorModel | None = None) -> None:
        """Fit a surrogate to each objective that is no free cost, and to each constraint that is not counted."""
        self._domain, self._prior_model = domain, prior_model
        subset = _training_subset(history.values)
        self._evaluated = [domain.proposal(history.results[index].params) for index in subset]
        values = history.values[subset]
        self._encoding = Encoding(domain.distributions(), domain.recipe_distributions())
        costs = np.array([proposal.cost_features for proposal in self._evaluated])
        self._cost_mean, self._cost_sd = costs.mean(axis=0), np.maximum(costs.std(axis=0), 0.1)
        self._signs = history.signs
        self._metrics = [
            _free_metric(self._evaluated, values[:, index] * sign) for index, sign in enumerate(self._signs)
        ]
        features = self.features(self._evaluated)
        pending = self.features([domain.proposal(params) for params in history.pending]) if history.pending else None
        self._surrogates: list[Surrogate | None] = []
        for column, metric in zip(values.T, self._metrics, strict=True):
            scores = warp_lower_half(column) if len(self._metrics) == 1 else column
            surrogate = None if metric else Surrogate(self._encoding, features, scores)
            self._surrogates.append(surrogate.believing(pending) if surrogate and pending else surrogate)
        self._constraints = self._constraint_surrogates(history)
        self._means, _ = self._predict(self._evaluated, features)
        explores = self._encoding.has_numbers and history.trial_number % _EXPLORING_EVERY == 0
        self._margin = _EXPLORING_MARGIN * float(self._means.std()) if explores else 0.0

    def believing(self, features: Features) -> _Acquisition:
        """Return one for which the proposals of these features run too."""
        other = copy(self)
        other._surrogates = [surrogate and surrogate.believing(features) for surrogate in self._surrogates]
        return other

    def features(self, proposals: Sequence[Proposal]) -> Features:
        """Return proposals as the surrogates see them."""
        costs = np.array([proposal.cost_features for proposal in proposals])
        prior_means = self._prior_model.prior_means(proposals) if self._prior_model is not None else None
        levels = self._encoding.levels([proposal.params for proposal in proposals])
        return Features(levels, (costs - self._cost_mean) / self._cost_sd, prior_means)

    def _constraint_surrogates(self, history: History) -> list[Surrogate]:
        """Return surrogates of the constraints that only an evaluation shows, such as a measured latency."""
        surrogates = []
        for name, excesses in history.excesses.items():
            counted = name in FREE_METRICS and bool(self._evaluated[0].cost_features)
            if not counted and any(excess > 0 for _, _, excess in excesses):
                recent = excesses[-_MAX_RESULTS:]
                features = self.features([self._domain.proposal(params) for _, params, _ in recent])
                surrogates.append(Surrogate(self._encoding, features, np.array([excess for _, _, excess in recent])))
        return surrogates

    def _predict(self, proposals: Sequence[Proposal], features: Features) -> tuple[Array, Array]:
        """Return means and standard deviations, `(proposals, objectives)` each."""
        means, sds = [], []
        for surrogate, metric, sign in zip(self._surrogates, self._metrics, self._signs, strict=True):
            if surrogate is not None:
                mean, sd = surrogate.predict(features)
            else:
                mean = sign * np.array(
                    [value_of(proposal.cost, metric) for proposal in proposals if proposal.cost and metric]
                )
                sd = np.zeros(len(mean))
            means.append(mean)
            sds.append(sd)
        return np.stack(means, axis=1), np.stack(sds, axis=1)

    def best(self, count: int) -> list[Proposal]:
        """Return the best trials, and networks of an earlier search, as the surrogate sees them, best first."""
        proposals, means = self._evaluated, self._means
        earlier = (
            [proposal for proposal in self._prior_model.proposals if proposal.feasible]
            if self._prior_model is not None
            else []
        )
        if earlier:
            proposals = proposals + earlier
            means = np.concatenate([means, self._predict(earlier, self.features(earlier))[0]])
        return [proposals[index] for index in np.argsort(domination_counts(means), kind="stable")[:count]]

    def __call__(self, proposals: Sequence[Proposal], features: Features | None = None) -> Array:
        """Return the acquisition of proposals, `(proposals,)`: what is gained times the chance that limits hold.

        `features` are those of `proposals`, where they are known.
        """
        features = features or self.features(proposals)
        means, sds = self._predict(proposals, features)
        if means.shape[1] == 1:
            gains = expected_improvement(means[:, 0], sds[:, 0], float(self._means.max()) + self._margin)
        else:
            points = self._means[front(self._means)]
            gains = expected_hypervolume_improvement(means, sds, points, self._means.min(axis=0))
        for surrogate in self._constraints:
            excess, sd = surrogate.predict(features)
            gains = gains * norm.cdf(-excess / sd)
        return gains

    def gain(self, proposal: Proposal) -> Gain | None:
        """Return what a proposal is expected to improve on the best, whatever the margin; None with several objectives.

        Their hypervolume has no noise of its own.
        """
        surrogate = self._surrogates[0]
        if len(self._surrogates) != 1 or surrogate is None:
            return None
        whole = copy(self)
        whole._margin = 0.0
        return Gain(float(whole([proposal])[0]), surrogate.noise_sd)


class _Round:
    """The children of one look at the trials, of which the best are proposed one after the other."""

    def __init__(self, acquisition: _Acquisition, children: Sequence[Proposal], gains: Array) -> None:
        """Take children with their acquisition, `(children,)`."""
        self._acquisition, self._children = acquisition, children
        self._features = acquisition.features(children)
        self._gains = gains

    @property
    def best(self) -> Proposal:
        """The child with the highest acquisition."""
        return self._children[int(np.argmax(self._gains))]

    @property
    def gain(self) -> Gain | None:
        """What the best is expected to improve."""
        return self._acquisition.gain(self.best)

    def next(self, domain: Domain) -> Proposal | None:
        """Return the best child once the one before is pending; None where none is left that is new."""
        taken = int(np.argmax(self._gains))
        self._acquisition = self._acquisition.believing(self._features.among([taken]))
        left = [index for index, child in enumerate(self._children) if domain.is_new(child)]
        if not left:
            return None
        self._children, self._features = [self._children[index] for index in left], self._features.among(left)
        self._gains = self._acquisition(self._children, self._features)
        return self.best


def _training_subset(values: Array) -> list[int]:
    """Return the indices of the trials to learn from: all, or of many the better half, and some others.

    Args:
        values: `(trials, objectives)`; larger is better. A trial is as good as its best rank in any objective.
    """
    if len(values) <= _MAX_RESULTS:
        return list(range(len(values)))
    ranks = np.argsort(np.argsort(-values, axis=0, kind="stable"), axis=0, kind="stable").min(axis=1)
    order = np.argsort(ranks, kind="stable")
    half = _MAX_RESULTS // 2
    others = order[np.linspace(half, len(order) - 1, _MAX_RESULTS - half).round().astype(int)]
    return sorted({*order[:half].tolist(), *others.tolist()})


def _free_metric(proposals: Sequence[Proposal], values: Array) -> str | None:
    """Return the free cost that an objective is, where it has that value in every trial; else None."""
    costs = [proposal.cost for proposal in proposals]
    for metric in FREE_METRICS:
        if all(cost is not None and value_of(cost, metric) == value for cost, value in zip(costs, values, strict=True)):
            return metric
    return None


def _new_children(domain: Domain, parents: Sequence[Proposal], rng: random.Random) -> list[Proposal]:
    """Return new proposals from the best, which are among them where they are new: those of an earlier search are."""
    return [parent for parent in parents if domain.is_new(parent)] + _children(domain, parents, rng)


def _children(domain: Domain, parents: Sequence[Proposal], rng: random.Random) -> list[Proposal]:
    """Return new proposals from the best trials, the better ones having more of them."""

    def child() -> Proposal | None:
        parent = parents[min(int(rng.expovariate(4 / len(parents))), len(parents) - 1)]
        chance = rng.random()
        if chance < _RANDOM_SHARE:
            return domain.sample(rng)
        if chance < _RANDOM_SHARE + _CROSSOVER_SHARE:
            return domain.crossover(parent, rng.choice(parents), rng)
        return domain.mutate(parent, rng, rng.choice(_NUM_CHANGES))

    return list(islice(new_proposals(domain, child, _ATTEMPTS_PER_CHILD * _NUM_CHILDREN), _NUM_CHILDREN))


def _climb(
    domain: Domain, acquisition: _Acquisition, children: Sequence[Proposal], rng: random.Random
) -> tuple[list[Proposal], Array]:
    """Return children with new proposals around the best of them, and the acquisition of all, `(proposals,)`.

    A best-first search: each round judges neighbours of the best proposals whose neighbours were not looked at. It goes
    on with the next best where none is better, since under tight limits most climbs end in a poor local optimum.
    """
    judged = list({child.key: child for child in children}.values())
    gains = acquisition(judged)
    keys, centres_before = {proposal.key for proposal in judged}, set[Hashable]()
    for _ in range(_MAX_ROUNDS):
        order = (judged[index] for index in np.argsort(-gains, kind="stable"))
        centres = list(islice((one for one in order if one.key not in centres_before), _NUM_CENTRES))
        if not centres or len(judged) >= _MAX_JUDGED:
            break
        centres_before |= {centre.key for centre in centres}
        found = {proposal.key: proposal for proposal in _neighbours(domain, centres, rng)}
        neighbours = [proposal for key, proposal in found.items() if key not in keys]
        if neighbours:
            judged, gains = judged + neighbours, np.concatenate([gains, acquisition(neighbours)])
            keys |= found.keys()
    return judged, gains


def _neighbours(domain: Domain, centres: Sequence[Proposal], rng: random.Random) -> Iterator[Proposal]:
    """Yield new neighbours of some proposals, in turn.

    Where a changed decision breaks a limit two are changed: at a limit one has to give what another one takes.
    """
    turn = cycle(centres)

    def neighbour() -> Proposal | None:
        centre = next(turn)
        return domain.mutate(centre, rng, 1) or domain.mutate(centre, rng, 2)

    return new_proposals(domain, neighbour, _NUM_NEIGHBOURS)
