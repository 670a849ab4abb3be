"""Proposals from the decisions that the trials of a plain Optuna study have made."""

from __future__ import annotations

import random
from collections.abc import Hashable, Mapping
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.trial import FrozenTrial, TrialState

from nas.search.samplers.distributions import nearby_value, random_value
from nas.search.samplers.domain import Domain, Params, Proposal


class _Tried:
    """Sets of decisions, as a tree of what was asked for first, second, and so on.

    An objective function asks for the next decision by those before it, so that mostly one path has to be followed,
    however many trials there were.
    """

    def __init__(self) -> None:
        self._next: dict[str, dict[Any, _Tried]] = {}
        """By what is asked for next, and the answer."""
        self._ends = False
        """Whether a trial asked for nothing more."""

    def add(self, params: Params) -> None:
        """Add the decisions of a trial, in the order in which it asked for them."""
        node = self
        for name, value in params.items():
            node = node._next.setdefault(name, {}).setdefault(value, _Tried())
        node._ends = True

    def any_in(self, params: Params) -> bool:
        """Whether some parameters state all decisions of any trial, with the same values."""
        open_nodes = [self]
        while open_nodes:
            node = open_nodes.pop()
            if node._ends:
                return True
            answers = ((by_value, params[name]) for name, by_value in node._next.items() if name in params)
            open_nodes += [by_value[value] for by_value, value in answers if value in by_value]
        return False


class ObservedDomain:
    """The decisions that trials have made so far; there are no limits.

    Which decisions the objective function asks for may depend on others. A proposal states decisions that may turn out
    not to be asked for, and others may be asked for that it does not state: those are drawn.
    """

    def __init__(self) -> None:
        """Start without any decision."""
        self._distributions: dict[str, BaseDistribution] = {}
        self._tried = _Tried()
        """What the trials tried that ended."""
        self._names_by_option: dict[tuple[str, Any], frozenset[str]] = {}
        """By a decision and its option, the names of all decisions of the latest trial that had it."""
        self._incomplete: dict[int, Hashable] = {}
        """By number, the decisions of trials that run or have failed, which may lack some."""

    def distributions(self) -> Mapping[str, BaseDistribution]:
        """Return the latest distribution of each decision that some trial has made."""
        return self._distributions

    def recipe_distributions(self) -> Mapping[str, BaseDistribution]:
        """Return nothing: what decisions mean is not known."""
        return {}

    def observe(self, trial: FrozenTrial) -> None:
        """Take note of what a trial has decided, and from which distributions."""
        self._distributions.update(trial.distributions)
        key = frozenset(trial.params.items())
        if trial.state in (TrialState.COMPLETE, TrialState.PRUNED) and key:
            self._incomplete.pop(trial.number, None)
            names = frozenset(trial.params)
            self._tried.add(trial.params)
            for name, distribution in trial.distributions.items():
                if isinstance(distribution, CategoricalDistribution):
                    self._names_by_option[name, trial.params[name]] = names
        elif trial.state.is_finished() or trial.number not in self._incomplete:
            self._incomplete[trial.number] = key

    def mark_tried(self, number: int, proposal: Proposal) -> None:
        """Take note of what a trial is going to try."""
        self._incomplete[number] = proposal.key

    def decisions_in(self, params: Params) -> Params | None:
        """Return all parameters; None where there are none."""
        return params or None

    def proposal(self, params: Params) -> Proposal:
        """Return decisions as a proposal, whose cost cannot be counted."""
        return Proposal(params, frozenset(params.items()))

    def sample(self, rng: random.Random) -> Proposal | None:
        """Draw all decisions; None where there are none yet."""
        drawn = {name: random_value(distribution, rng) for name, distribution in self._distributions.items()}
        return self.proposal(drawn) if drawn else None

    def sample_feasible(self, rng: random.Random) -> Proposal | None:
        """Do what `sample` does."""
        return self.sample(rng)

    def mutate(self, proposal: Proposal, rng: random.Random, num_changes: int) -> Proposal | None:
        """Change decisions, and draw those that other options have asked for before."""
        params = proposal.params
        names = sorted(name for name in params if not self._distributions[name].single())
        chosen = rng.sample(names, min(num_changes, len(names)))
        changed = {name: nearby_value(self._distributions[name], params[name], rng) for name in chosen}
        asked_for = {name for option in changed.items() for name in self._names_by_option.get(option, ())}
        missing = sorted(asked_for - params.keys())
        added = {name: random_value(self._distributions[name], rng) for name in missing}
        return self.proposal({**params, **added, **changed})

    def crossover(self, first: Proposal, second: Proposal, rng: random.Random) -> Proposal | None:
        """Take each decision that both have from one of them, and all others from the one that has it."""
        parents = first.params, second.params
        shared = {name: rng.choice(parents)[name] for name in sorted({*parents[0]} & {*parents[1]})}
        return self.proposal({**parents[1], **parents[0], **shared})

    def is_new(self, proposal: Proposal) -> bool:
        """Whether no trial has tried it; of one that ended all decisions must be stated, with the same values."""
        return proposal.key not in self._incomplete.values() and not self._tried.any_in(proposal.params)

    def of_new_networks(self) -> Domain:
        """Return itself: decisions are those of a network."""
        return self

    def sample_untried(self, rng: random.Random) -> Proposal | None:
        """Return None: what has not been tried cannot be gone through."""
        return None
