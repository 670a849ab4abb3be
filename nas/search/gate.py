"""What a candidate has to hold before it is evaluated: what is counted, what is predicted, then what is measured."""

from __future__ import annotations

import math
import random
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace

from nas.cost import Constraint, Cost, Workload, measure, value_of
from nas.latency.measure import Latency
from nas.limits.feasible import Candidate, Predict, examine, feasible, with_latency
from nas.network.architecture import Architecture
from nas.search.trial import State, Trial
from nas.space import Genotype, SearchSpace

_MEMORY = "training_memory_mib"
# What ran out of memory teaches that nothing fits which needs more than this share of it.
_FITS = 0.95
# Random genotypes that are looked at for one that holds the limits.
_DRAWS = 1000
# Proposals over which it is judged whether rejecting is wasteful.
_WINDOW = 100


class Gate:
    """Checks candidates against limits. It learns from trials: measured latencies, and what memory does not hold."""

    def __init__(
        self,
        space: SearchSpace,
        constraints: Sequence[Constraint],
        workload: Workload,
        *,
        predict: Predict | None = None,
        meter: Callable[[Architecture], Latency] | None = None,
    ) -> None:
        """Take the limits of a search.

        Args:
            space: where candidates come from.
            constraints: limits, hard and soft ones.
            workload: what the networks are to run as.
            predict: of latency, so that what is surely over a limit need not be measured.
            meter: measures latency, where there is a limit on it.
        """
        self._space, self._constraints, self._workload = space, tuple(constraints), workload
        self._predict, self._meter = predict, meter
        self._latencies: dict[str, Latency] = {}
        self._failed: list[float] = []
        """MiB of training memory, by the graph, of what ran out of memory."""
        self._fitted = 0.0
        """The most that was trained."""
        self._accepted: deque[bool] = deque(maxlen=_WINDOW)
        """Whether the sampler's latest proposals were accepted."""

    @property
    def measures(self) -> bool:
        """Whether candidates that hold the other limits have to be measured."""
        return self._meter is not None

    @property
    def wasteful(self) -> bool:
        """Whether fewer than 1 in 50 of the sampler's latest proposals were accepted."""
        return len(self._accepted) == _WINDOW and sum(self._accepted) * 50 < _WINDOW

    def proposed(self, accepted: bool) -> None:
        """Hear of a proposal of the sampler."""
        self._accepted.append(accepted)

    def examine(self, genotype: Genotype) -> Candidate:
        """Check what can be counted and predicted."""
        return examine(self._space, genotype, self._limits, self._workload, self._predict)

    def guided(self, start: Candidate, seed: int) -> tuple[Candidate, int]:
        """Bring a rejected candidate to where the limits hold; see `feasible`."""
        rng = random.Random(seed)
        return feasible(self._space, self._limits, rng, self._workload, self._predict, start=start)

    def random(self, seed: int) -> tuple[Candidate, int]:
        """Draw a random candidate that holds the limits: the first that does, or where few do see `feasible`."""
        rng = random.Random(seed)
        for looked in range(1, _DRAWS + 1):
            found = self.examine(self._space.sample(rng))
            if found.accepted:
                return found, looked
        return self.guided(found, rng.getrandbits(32))

    def measure(self, trial: Trial, candidate: Candidate, quiet: AbstractContextManager[None]) -> tuple[Trial, bool]:
        """Measure the latency of a candidate while it is `quiet`, and check it again.

        Returns:
            The trial with what was found, and whether it is accepted.

        Raises:
            DeviceError: the network cannot run.
        """
        assert self._meter is not None
        network = candidate.architecture.arch_id
        if network not in self._latencies:
            with quiet:
                self._latencies[network] = self._meter(candidate.architecture)
        latency = self._latencies[network]
        found = with_latency(candidate, self._constraints, latency.ms)
        return replace(trial, latency=latency, violations=found.violations, reason=found.problem), found.accepted

    def out_of_memory(self, trial: Trial, reason: str) -> Trial:
        """Return a trial that did not fit as one that is over a limit: that of this machine."""
        assert trial.cost is not None
        needed = self._training_mib(trial.cost)
        violation = measure(needed, Constraint(_MEMORY, high=_FITS * needed))
        return replace(
            trial,
            state=State.REJECTED,
            out_of_memory=True,
            reason=f"out of memory in training, at about {needed:,.0f} MiB by the graph: {reason}",
            violations=(*trial.violations, violation),
        )

    def learn(self, trial: Trial) -> None:
        """Learn from a trial that ended."""
        if trial.latency is not None and trial.arch_id is not None:
            self._latencies[trial.arch_id] = trial.latency
        if trial.cost is None:
            return
        needed = self._training_mib(trial.cost)
        if trial.state is State.COMPLETED:
            self._fitted = max(self._fitted, needed)
        elif trial.out_of_memory:
            self._failed.append(needed)

    @property
    def _limits(self) -> tuple[Constraint, ...]:
        """The limits of the search, and what running out of memory taught.

        What needs nearly as much memory as a network that ran out of it is rejected. Where something larger did fit, it
        was not the network, but something else that had taken the memory.
        """
        failed = min((needed for needed in self._failed if needed > self._fitted), default=math.inf)
        if failed == math.inf:
            return self._constraints
        return (*self._constraints, Constraint(_MEMORY, high=max(self._fitted, _FITS * failed)))

    def _training_mib(self, cost: Cost) -> float:
        return value_of(cost, _MEMORY, self._workload)
