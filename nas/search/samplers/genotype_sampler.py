"""What the project's own samplers have in common: they propose whole genotypes, learned from the trials so far."""

from __future__ import annotations

import random
import threading
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, TypedDict, Unpack

from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from nas.search.samplers.acquisition import Gain
from nas.search.samplers.distributions import random_value
from nas.search.samplers.domain import Domain, Params, Proposal
from nas.search.samplers.history import History
from nas.search.samplers.observed_domain import ObservedDomain
from nas.search.samplers.recipe_domain import RecipeDomain
from nas.search.samplers.space_domain import Examine, SpaceDomain
from nas.seeds import derived_seed
from nas.space import SearchSpace
from nas.training.recipe_decisions import NOTHING_DECIDED, RecipeDecisions

_MAX_REPEATS = 3
"""Proposals in a row that were tried before, after which there is nothing new to propose."""


class Options(TypedDict, total=False):
    """What each of these samplers takes beside its seed."""

    space: SearchSpace | None
    """Where proposals come from; the objective is to ask `space.suggest(trial)`."""
    examine: Examine | None
    """Checks genotypes against the limits of a search; by default those of the space are checked."""
    prior: Sequence[tuple[Params, float]]
    """Genotypes with their values in an earlier search, larger being better, on any scale. `predictor` learns from its
    own trials what they are worth; the others ignore them."""
    recipe: RecipeDecisions
    """With a space: what is decided of the recipe beside the network; the objective then asks for that too
    (`nas.search.samplers.distributions.suggest_recipe`)."""


class GenotypeSampler(BaseSampler):
    """Proposes a whole genotype when a trial's first decision is asked for.

    What it proposes follows from the seed, the number of the trial and the trials before it, and from nothing else: a
    study that is resumed in another process gets the same proposals. With a `space` genotypes are mutated as that space
    allows, and none over its limits is proposed; without one the sampler learns from the trials which decisions there
    are, and can be used with any objective function.
    """

    gain: Gain | None = None
    """Of the latest proposal; None where no model says what is expected of it."""

    def __init__(self, seed: int = 0, **options: Unpack[Options]) -> None:
        """Make a sampler; the same seed gives the same proposals.

        Raises:
            TypeError: an option that it does not have.
        """
        unknown = options.keys() - Options.__annotations__.keys()
        if unknown:
            raise TypeError(f"{type(self).__name__} has no options {sorted(unknown)}")
        self._seed, self._space, self._examine = seed, options.get("space"), options.get("examine")
        self._prior, self._recipe = tuple(options.get("prior", ())), options.get("recipe", NOTHING_DECIDED)
        self._lock = threading.RLock()
        self._begin_study("")
        self.expect(1)

    def _begin_study(self, name: str) -> None:
        """Forget the trials of any study before."""
        self._domain = self._new_domain()
        self._history = History(self._domain)
        self._study_name = name
        self._proposed: dict[int, Params] = {}
        """By the number of a trial that runs, what was proposed for it."""
        self._repeats = 0

    def _new_domain(self) -> Domain:
        if self._space is None:
            return ObservedDomain()
        networks = SpaceDomain(self._space, self._examine)
        return RecipeDomain(self._space, networks, self._recipe) if self._recipe else networks

    @property
    def exhausted(self) -> bool:
        """Whether it finds nothing more to propose that was not tried."""
        return self._repeats >= _MAX_REPEATS

    def expect(self, count: int) -> None:
        """Take note that so many proposals are asked for at once, so that one look at the trials may do for all.

        The driver of a search says so, where several workers wait. Otherwise each follows from the trials as they are.
        """

    def __getstate__(self) -> dict[str, Any]:
        """Return the arguments of the constructor: what was read from a study is read again."""
        state = {"seed": self._seed, "space": self._space, "examine": self._examine, "prior": self._prior}
        return {**state, "recipe": self._recipe}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Construct it again."""
        self.__init__(**state)  # type: ignore[misc]  # that of the subclass

    @abstractmethod
    def propose(self, history: History, domain: Domain, rng: random.Random) -> Proposal | None:
        """Return what a trial is to try; decisions that it leaves out, or all of them with None, are drawn.

        Args:
            history: the trials so far.
            domain: what can be proposed.
            rng: where all chance comes from.
        """

    def _rng(self, trial: FrozenTrial, purpose: str) -> random.Random:
        return random.Random(derived_seed(self._seed, trial.number, purpose, num_bytes=8))

    def _proposed_params(self, study: Study, trial: FrozenTrial) -> Params:
        with self._lock:
            if self._study_name != study.study_name:
                if self._study_name:
                    self.expect(1)  # what was expected was for the study before
                self._begin_study(study.study_name)
            if trial.number not in self._proposed:
                self._history.read(study, trial)
                proposal = self.propose(self._history, self._domain, self._rng(trial, "proposal"))
                self._repeats = 0 if proposal is None or self._domain.is_new(proposal) else self._repeats + 1
                if proposal is not None:
                    self._domain.mark_tried(trial.number, proposal)
                self._proposed[trial.number] = proposal.params if proposal is not None else {}
            return self._proposed[trial.number]

    def _value(self, study: Study, trial: FrozenTrial, name: str, distribution: BaseDistribution) -> Any:
        params = self._proposed_params(study, trial)
        if name in params and distribution._contains(_internal(distribution, params[name])):
            return params[name]
        return random_value(distribution, self._rng(trial, name))

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Return no distributions, so that each decision is answered when it is asked for: others decide which are."""
        return {}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: Mapping[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Return the values that the proposal for a trial has, or drawn ones where it has none."""
        return {name: self._value(study, trial, name, distribution) for name, distribution in search_space.items()}

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Return the value that the proposal for a trial has, or a drawn one where it has none."""
        return self._value(study, trial, param_name, param_distribution)

    def after_trial(self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None) -> None:
        """Forget what was proposed for a trial that ended."""
        self._proposed.pop(trial.number, None)


def _internal(distribution: BaseDistribution, value: Any) -> float:
    """Return Optuna's number for a value; nan where the distribution does not have it."""
    try:
        return distribution.to_internal_repr(value)
    except ValueError:
        return float("nan")
