"""Grid search: all genotypes of a space, far apart from one trial to the next."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from contextlib import suppress
from typing import Unpack

from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from nas.errors import ConfigError
from nas.search.samplers.domain import Domain, Proposal
from nas.search.samplers.genotype_sampler import GenotypeSampler, Options
from nas.search.samplers.history import History
from nas.search.samplers.recipe_domain import RecipeDomain
from nas.search.samplers.space_domain import SpaceDomain
from nas.space import Genotype
from nas.training.recipe_decisions import with_prefix

_GOLDEN = 6180339887498949, 10**16
"""Numerator and denominator of the golden section: sizes of spaces have no limit, so floats do not do."""


class GridSampler(GenotypeSampler):
    """Proposes each genotype of a space once, by each recipe where that is decided, and then stops the study.

    It walks through the ranks of the genotypes in steps of about the golden section of their count, so that any first
    part of the walk is spread evenly over the space. It does not check limits.
    """

    def __init__(self, seed: int = 0, **options: Unpack[Options]) -> None:
        """Make a sampler; the seed is the rank at which the walk begins.

        Raises:
            ConfigError: no space, or a decision of the recipe from a range of real numbers.
        """
        super().__init__(seed, **options)
        if self._space is None:
            raise ConfigError("sampler grid needs to know the space: nas.sampler('grid', space=space)")
        recipes = self._recipe.recipes
        if recipes is None:
            raise ConfigError(
                "sampler grid tries all there is, but search.recipe has a range of real numbers, or more than 100,000 "
                "recipes: give it choices, as search.recipe.lr={choices: [1e-3, 3e-3]}, or take another sampler"
            )
        self._recipes = recipes
        size = self._space.size() * len(recipes)
        step = max(1, size * _GOLDEN[0] // _GOLDEN[1])
        while math.gcd(step, size) > 1:
            step += 1
        self._size, self._step = size, step
        self._num_tried = 0
        """Genotypes that trials have tried, whoever proposed them."""

    @property
    def exhausted(self) -> bool:
        """Whether all genotypes have been tried."""
        return self._num_tried >= self._size

    def propose(self, history: History, domain: Domain, rng: random.Random) -> Proposal | None:
        """Return the next genotype of the walk that was not tried; None after the last one."""
        assert isinstance(domain, SpaceDomain | RecipeDomain)
        # Trials that others have proposed, such as random ones, take numbers: the walk continues where it is new.
        for step in range(history.trial_number, history.trial_number + self._size):
            params = self._params((step * self._step + self._seed) % self._size)
            if domain.is_untried(params):
                return domain.proposal(params)
        return None

    def _params(self, rank: int) -> Genotype:
        assert self._space is not None
        network, recipe = divmod(rank, len(self._recipes))
        return {**self._space.unrank(network), **with_prefix(self._recipes[recipe])}

    def after_trial(self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None) -> None:
        """Stop the study once all genotypes have been tried."""
        super().after_trial(study, trial, state, values)
        assert isinstance(self._domain, SpaceDomain | RecipeDomain)
        self._domain.observe(trial)
        self._num_tried = self._domain.num_tried
        if self.exhausted:
            with suppress(RuntimeError):  # Optuna stops no study that is asked and told by others
                study.stop()
