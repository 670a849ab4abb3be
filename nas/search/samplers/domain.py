"""Where candidates come from: a search space with its limits, or what an Optuna study has asked for so far."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState

from nas.cost import Cost
from nas.errors import NasError
from nas.space import Genotype, SearchSpace, variation
from nas.space.feasible import Candidate, climb, examine
from nas.space.tree.nodes import Choice

Params = Mapping[str, Any]
Look = Callable[[Genotype], Candidate]
"""Examines a genotype: what it costs, and whether it holds the limits."""

_DRAWS = 50
"""Random genotypes that are looked at for one that holds the limits, before it is mutated towards them."""
_REMEMBERED = 4_000
"""Candidates whose costs are kept."""
_SMALL_SPACE = 50_000
"""Genotypes of a space that are all gone through, where chance finds nothing new."""
_SMALL_STEP = 0.2
"""Of a range: standard deviation of a mutation."""


def distribution_of(choice: Choice) -> BaseDistribution:
    """Return the distribution that `SearchSpace.suggest` asks Optuna for."""
    span = choice.int_range
    if span is not None:
        return IntDistribution(span.low, span.high, step=span.step)
    return CategoricalDistribution(choice.values)


def draw_from(distribution: BaseDistribution, rng: random.Random) -> Any:
    """Draw one value, uniform on the distribution's scale."""
    if isinstance(distribution, CategoricalDistribution):
        return rng.choice(distribution.choices)
    assert isinstance(distribution, IntDistribution | FloatDistribution)
    return _at(distribution, rng.random())


def _at(spread: IntDistribution | FloatDistribution, share: float) -> float | int:
    """Return the value at a share of a range, from 0 to 1."""
    low, high = float(spread.low), float(spread.high)
    if spread.log:
        value = math.exp(math.log(low) + share * (math.log(high) - math.log(low)))
        value = round(value) if isinstance(spread, IntDistribution) else value
    elif spread.step:
        steps = round((high - low) / spread.step)
        value = low + spread.step * min(int(share * (steps + 1)), steps)
    else:
        value = low + share * (high - low)
    value = min(max(value, low), high)
    return int(value) if isinstance(spread, IntDistribution) else float(value)


def _near(distribution: BaseDistribution, value: Any, rng: random.Random) -> Any:
    """Draw another value: any other name, or a number near by."""
    if isinstance(distribution, CategoricalDistribution):
        others = [one for one in distribution.choices if one != value]
        return rng.choice(others) if others else value
    assert isinstance(distribution, IntDistribution | FloatDistribution)
    low, high, at = float(distribution.low), float(distribution.high), float(value)
    if not high > low:
        return value
    if distribution.log:
        low, high, at = math.log(low), math.log(high), math.log(max(at, low))
    share = min(max((at - low) / (high - low) + rng.gauss(0, _SMALL_STEP), 0.0), 1.0)
    found = _at(distribution, share)
    return found if found != value else draw_from(distribution, rng)


@dataclass(frozen=True, slots=True, eq=False)
class Draft:
    """A candidate, with what is known of it before it is evaluated."""

    params: Params
    key: Hashable
    """Equal for equal decisions."""
    cost: Cost | None = None
    """None where it is not known without evaluating it."""
    traits: tuple[float, ...] = ()
    """What is known of it, as numbers."""
    candidate: Candidate | None = None
    """Where its space is known."""

    @property
    def allowed(self) -> bool:
        """Whether it holds the limits, as far as they are known."""
        return self.candidate is None or self.candidate.accepted


class Domain(Protocol):
    """Makes candidates and tells them apart. All chance comes from the generator that is given."""

    def learn(self, trial: FrozenTrial) -> None:
        """Hear of a trial, as soon as it has begun."""

    def reserve(self, number: int, draft: Draft) -> None:
        """Hear what a trial is going to try, before it has decided anything."""

    def distributions(self) -> Mapping[str, BaseDistribution]:
        """Return all decisions that are known of."""

    def own(self, params: Params) -> Params | None:
        """Return those parameters of a trial that are decisions; None where they do not make a candidate (yet)."""

    def draft(self, params: Params) -> Draft:
        """Return what is known of decisions."""

    def draw(self, rng: random.Random, *, patient: bool) -> Draft | None:
        """Return a random candidate; None where nothing is known yet, or none was found that holds the limits.

        A `patient` one is looked for until it is found, or nothing helps.
        """

    def mutate(self, draft: Draft, rng: random.Random, count: int) -> Draft | None:
        """Return one with `count` decisions changed; None where it does not hold the limits."""

    def cross(self, first: Draft, second: Draft, rng: random.Random) -> Draft | None:
        """Return one with each decision from one of two; None where it does not hold the limits."""

    def is_new(self, draft: Draft) -> bool:
        """Whether no trial has tried the same network."""

    def untried(self, rng: random.Random) -> Draft | None:
        """Return a new one by going through all; None where there is none, or there are too many to go through."""


class SpaceDomain:
    """A search space. Candidates over a limit that can be counted never leave it.

    Traits are the logarithms of parameters, multiply-adds and activations, and the number of blocks.
    """

    def __init__(self, space: SearchSpace, look: Look | None = None) -> None:
        """Take a space and how its candidates are examined, by default against its own limits."""
        self._space = space
        self._look: Look = look or (lambda genotype: examine(space, genotype, space.limits))
        self._distributions = {path: distribution_of(choice) for path, choice in space.decisions().items()}
        self._tried: set[Hashable] = set()
        self._by_cost: dict[Cost | None, list[Candidate]] = {}
        self._known: dict[Hashable, Draft] = {}
        self._hopeless = False
        """Whether nothing was found that holds the limits."""
        self._every: list[Draft] | None = None
        """All that hold the limits, where they had to be gone through."""

    def distributions(self) -> Mapping[str, BaseDistribution]:
        return self._distributions

    def own(self, params: Params) -> Params | None:
        own = {name: value for name, value in params.items() if name in self._distributions}
        try:
            self.draft(own)
        except NasError:  # of another space, or not all is decided
            return None
        return own

    def learn(self, trial: FrozenTrial) -> None:
        own = self.own(trial.params)
        if own is not None:
            self.reserve(trial.number, self.draft(own))

    def reserve(self, number: int, draft: Draft) -> None:
        if draft.key in self._tried:
            return
        self._tried.add(draft.key)
        assert draft.candidate is not None
        self._by_cost.setdefault(draft.cost, []).append(draft.candidate)

    @property
    def told(self) -> int:
        """Genotypes that trials have tried."""
        return len(self._tried)

    def is_untold(self, params: Params) -> bool:
        """Whether no trial has made these decisions, whatever network they make."""
        return frozenset(params.items()) not in self._tried

    def draft(self, params: Params) -> Draft:
        key = frozenset(params.items())
        found = self._known.get(key)
        if found is None:
            if len(self._known) > _REMEMBERED:
                self._known.clear()
            found = self._known[key] = _seen(key, self._look(dict(params)))
        return found

    def _held(self, params: Params) -> Draft | None:
        draft = self.draft(params)
        assert draft.candidate is not None
        return draft if draft.candidate.accepted else None

    def draw(self, rng: random.Random, *, patient: bool) -> Draft | None:
        if not patient:
            return self._held(self._space.sample(rng))
        best: Candidate | None = None
        for _ in range(_DRAWS):
            one = self._look(self._space.sample(rng))
            if one.accepted:
                return self.draft(one.genotype)
            if best is None or one.distance < best.distance:
                best = one
        if self._hopeless:
            return None
        found, _ = climb(self._space, self._look, rng, start=best)
        self._hopeless = not found.accepted
        return self.draft(found.genotype) if found.accepted else None

    def mutate(self, draft: Draft, rng: random.Random, count: int) -> Draft | None:
        if self._space.size() == 1:
            return None
        return self._held(variation.mutate(self._space, draft.params, rng, count))

    def cross(self, first: Draft, second: Draft, rng: random.Random) -> Draft | None:
        return self._held(variation.crossover(self._space, first.params, second.params, rng))

    def is_new(self, draft: Draft) -> bool:
        if draft.key in self._tried:
            return False
        # Two descriptions of one network cost the same; only where they do are they compared in full.
        others = self._by_cost.get(draft.cost, ())
        if not others:
            return True
        assert draft.candidate is not None
        mine = draft.candidate.architecture.arch_id
        return all(other.architecture.arch_id != mine for other in others)

    def untried(self, rng: random.Random) -> Draft | None:
        if self._space.size() > _SMALL_SPACE:
            return None
        if self._every is None:
            every = (self._look(genotype) for genotype in self._space.enumerate())
            self._every = [_seen(frozenset(one.genotype.items()), one) for one in every if one.accepted]
        self._every = [one for one in self._every if self.is_new(one)]
        return rng.choice(self._every) if self._every else None


def _seen(key: Hashable, candidate: Candidate) -> Draft:
    cost = candidate.cost
    traits: tuple[float, ...] = ()
    if cost is not None:
        blocks = sum(len(section.blocks) for _, section in candidate.architecture.sections())
        traits = (math.log1p(cost.params), math.log1p(cost.macs), math.log1p(cost.activations), float(blocks))
    return Draft(candidate.genotype, key, cost, traits, candidate)


class ObservedDomain:
    """What trials of a plain Optuna study have asked for so far.

    A candidate states decisions that may turn out not to be asked for, and others may be asked for that it does not
    state: those are drawn. So the conditions of the objective function need not be known.
    """

    def __init__(self) -> None:
        self._distributions: dict[str, BaseDistribution] = {}
        self._tried: dict[frozenset[str], set[Hashable]] = {}
        """By which decisions they had to make: those of the trials that ended."""
        self._company: dict[tuple[str, Any], frozenset[str]] = {}
        """By an option, all that the latest trial with it had to decide."""
        self._others: dict[int, Hashable] = {}
        """Those of trials that run or have failed, which may lack some, by number."""

    def distributions(self) -> Mapping[str, BaseDistribution]:
        return self._distributions

    def learn(self, trial: FrozenTrial) -> None:
        self._distributions.update(trial.distributions)
        key = frozenset(trial.params.items())
        if trial.state in (TrialState.COMPLETE, TrialState.PRUNED) and key:
            self._others.pop(trial.number, None)
            names = frozenset(trial.params)
            self._tried.setdefault(names, set()).add(key)
            for name, spread in trial.distributions.items():
                if isinstance(spread, CategoricalDistribution):
                    self._company[name, trial.params[name]] = names
        elif trial.state.is_finished() or trial.number not in self._others:
            self._others[trial.number] = key

    def reserve(self, number: int, draft: Draft) -> None:
        self._others[number] = draft.key

    def own(self, params: Params) -> Params | None:
        return params or None

    def draft(self, params: Params) -> Draft:
        return Draft(params, frozenset(params.items()))

    def draw(self, rng: random.Random, *, patient: bool) -> Draft | None:
        drawn = {name: draw_from(spread, rng) for name, spread in self._distributions.items()}
        return self.draft(drawn) if drawn else None

    def mutate(self, draft: Draft, rng: random.Random, count: int) -> Draft | None:
        params = draft.params
        names = sorted(name for name in params if not self._distributions[name].single())
        chosen = rng.sample(names, min(count, len(names)))
        changed = {name: _near(self._distributions[name], params[name], rng) for name in chosen}
        # Another option may ask for other decisions.
        more = {one for option in changed.items() for one in self._company.get(option, ())} - params.keys()
        return self.draft(
            {**params, **{one: draw_from(self._distributions[one], rng) for one in sorted(more)}, **changed}
        )

    def cross(self, first: Draft, second: Draft, rng: random.Random) -> Draft | None:
        one, other = first.params, second.params
        return self.draft(
            {**other, **one, **{name: rng.choice((one, other))[name] for name in sorted({*one} & {*other})}}
        )

    def is_new(self, draft: Draft) -> bool:
        # A draft also states decisions that would not be asked for: it is known where all that were asked for are.
        params = draft.params
        return draft.key not in self._others.values() and not any(
            names <= params.keys() and frozenset((name, params[name]) for name in names) in seen
            for names, seen in self._tried.items()
        )

    def untried(self, rng: random.Random) -> Draft | None:
        return None
