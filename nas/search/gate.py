"""What a candidate has to hold before it is evaluated: what is counted, what is predicted, then what is measured."""

from __future__ import annotations

import math
import random
from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Generic, TypeVar

from nas.cost import Constraint, Cost, Workload, value_of, violation
from nas.latency.measure import Latency
from nas.network.architecture import Architecture
from nas.search.trial import State, Trial
from nas.space import Genotype, SearchSpace
from nas.space.feasible import Candidate, Predict, examine, feasible, with_latency

_MEMORY = "training_memory_mib"
# Of what a network needed that ran out of memory: nothing that needs more is tried, once there is evidence.
_FITS = 0.95
# Two networks that ran out of memory speak for a limit where their needs differ by no more than this factor.
_NEAR = 2.0
# Random genotypes that are looked at for one that holds the limits.
_DRAWS = 1000
# Proposals over which it is judged whether rejecting is wasteful.
_WINDOW = 100


Evaluated = TypeVar("Evaluated")


class Alone(Generic[Evaluated]):
    """What is to be evaluated when nothing else runs."""

    def __init__(self) -> None:
        self._waiting: list[tuple[int, Evaluated]] = []
        self._running: int | None = None

    def add(self, number: int, evaluated: Evaluated) -> None:
        """Let a trial wait until nothing else runs."""
        self._waiting.append((number, evaluated))

    def next(self, running: Collection[int]) -> Evaluated | None:
        """Return what is to be evaluated now, where nothing else runs."""
        if not self._waiting or running:
            return None
        self._running, found = self._waiting.pop(0)
        return found

    def drain(self) -> list[Evaluated]:
        """Return what waits, which does so no longer."""
        waiting, self._waiting = [evaluated for _, evaluated in self._waiting], []
        return waiting

    def holds(self, running: Collection[int]) -> bool:
        """Whether nothing else may begin now."""
        return bool(self._waiting) or self._running in running


class Gate:
    """Checks candidates against limits. It learns from trials: measured latencies, and what memory does not hold.

    That an evaluation ran out of memory may have many causes that pass: another program, the other workers. So it is
    tried once again, alone. That there is a limit is believed where the system itself killed a network's process for
    its memory in that second try, or where two networks of about the same need have failed twice; of one network only
    itself is given up. What was believed holds for one session: another may have more memory, or another machine.
    """

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
        self._tried_again: set[int] = set()
        """Trials that have run out of memory, by number."""
        self._failed: list[tuple[float, bool]] = []
        """MiB of training memory, by the graph, of what ran out of it twice, and whether the system said so."""
        self._fitted = 0.0
        """The most that was trained in this session."""
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

    def tries_again(self, number: int) -> bool:
        """Whether a trial that ran out of memory is to be evaluated again, when nothing else runs; once it is."""
        first = number not in self._tried_again
        self._tried_again.add(number)
        return first

    def out_of_memory(self, trial: Trial, reason: str, *, killed: bool = False) -> Trial:
        """Return a trial that did not fit, also alone, as one that is over a limit: that of this machine.

        `killed` says whether the system killed its process because memory ran out.
        """
        assert trial.cost is not None
        needed = self._training_mib(trial.cost)
        self._failed.append((needed, killed))
        memory_violation = violation(needed, Constraint(_MEMORY, high=_FITS * needed))
        return replace(
            trial,
            state=State.REJECTED,
            out_of_memory=True,
            reason=f"out of memory in training, at about {needed:,.0f} MiB by the graph, also alone: {reason}",
            scores={},
            violations=(*trial.violations, memory_violation),
        )

    def learn(self, trial: Trial) -> None:
        """Learn from a trial that ended, in this session or an earlier one."""
        if trial.latency is not None and trial.arch_id is not None:
            self._latencies[trial.arch_id] = trial.latency
        if trial.state is State.COMPLETED and trial.cost is not None:
            self._fitted = max(self._fitted, self._training_mib(trial.cost))

    def begin(self) -> None:
        """Forget what memory held in earlier sessions."""
        self._fitted = 0.0

    @property
    def _limits(self) -> tuple[Constraint, ...]:
        """The limits of the search, and what running out of memory taught.

        What needs nearly as much memory as a network that ran out of it is rejected. Where something larger did fit, it
        was not the network, but something else that had taken the memory.
        """
        failed = min(self._believed(), default=math.inf)
        if failed == math.inf:
            return self._constraints
        return (*self._constraints, Constraint(_MEMORY, high=max(self._fitted, _FITS * failed)))

    def _believed(self) -> Iterator[float]:
        """Needs of networks that did not fit, as far as there is evidence that it was they."""
        over = [(needed, killed) for needed, killed in self._failed if needed > self._fitted]
        for place, (needed, killed) in enumerate(over):
            others = (other for at, (other, _) in enumerate(over) if at != place)
            if killed or any(max(needed, other) <= _NEAR * min(needed, other) for other in others):
                yield needed

    def _training_mib(self, cost: Cost) -> float:
        return value_of(cost, _MEMORY, self._workload)
