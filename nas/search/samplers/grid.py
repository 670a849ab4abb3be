"""Grid search: every genotype of a space, far apart from one trial to the next."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from contextlib import suppress
from typing import Unpack

from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from nas.errors import ConfigError
from nas.search.samplers.domain import Domain, Draft, SpaceDomain
from nas.search.samplers.genotype_sampler import History, Options, ProposingSampler

_GOLDEN = 6180339887498949, 10**16
"""The golden section, as a fraction: sizes of spaces have no limit."""


class GridSampler(ProposingSampler):
    """Proposes each genotype of a space once, and then stops the study.

    It walks through the numbers of the genotypes in steps of about the golden section of their count, so that any
    first part of the walk is spread evenly over the space. Limits are left to whoever examines what it proposes.
    """

    def __init__(self, seed: int = 0, **options: Unpack[Options]) -> None:
        """Make a sampler.

        Raises:
            ConfigError: no space.
        """
        super().__init__(seed, **options)
        if self._space is None:
            raise ConfigError("sampler grid needs to know the space: nas.sampler('grid', space=space)")
        size = self._space.size()
        step = max(1, size * _GOLDEN[0] // _GOLDEN[1])
        while math.gcd(step, size) > 1:
            step += 1
        self._size, self._step = size, step
        self._count = 0
        """Genotypes that are known to have been proposed, by whoever."""

    @property
    def exhausted(self) -> bool:
        return self._count >= self._size

    def propose(self, history: History, domain: Domain, rng: random.Random) -> Draft | None:
        assert self._space is not None
        assert isinstance(domain, SpaceDomain)
        # Trials that others have proposed, random or known ones, take numbers: the walk goes on where it is new.
        for place in range(history.now, history.now + self._size):
            genotype = self._space.unrank((place * self._step + self._seed) % self._size)
            if domain.is_untold(genotype):
                return domain.draft(genotype)
        return None

    def after_trial(self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None) -> None:
        super().after_trial(study, trial, state, values)
        assert isinstance(self._domain, SpaceDomain)
        self._domain.learn(trial)
        self._count = self._domain.told
        if self.exhausted:
            with suppress(RuntimeError):  # Optuna stops no study that is asked and told by others
                study.stop()
