"""Checks candidates against limits before they are evaluated, and rejects what ran out of memory in training."""

from __future__ import annotations

import math
import random
from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Generic, TypeVar

from nas.cost import TRAINING_MEMORY, Constraint, Cost, Workload, value_of, violation
from nas.errors import DeviceError
from nas.latency.measure import Latency
from nas.network.architecture import Architecture
from nas.search.trial import State, Trial
from nas.space import Genotype, SearchSpace
from nas.space.feasible import Candidate, Predict, examine, feasible, with_latency
from nas.training.recipe_decisions import NOTHING_DECIDED, RecipeDecisions

_FITTING_SHARE = 0.95
"""Others are limited to this share of what a network needed that ran out of memory, once there is evidence."""
_SIMILAR_NEEDS = 2.0
"""Two networks that ran out of memory are evidence of a limit where their needs differ by no more than this factor."""
_TAKES_MEMORY = frozenset({"batch_size", "optimizer", "precision", "ema"})
"""Settings of a recipe on which it depends how much memory a network is trained with."""
_MAX_DRAWS = 1000
"""Random genotypes that are examined for one that holds the limits."""
_WINDOW = 100
"""The sampler's latest proposals, over which it is judged whether too few are accepted."""


Job = TypeVar("Job")


class ExclusiveQueue(Generic[Job]):
    """Evaluations that wait until nothing else runs, and then run alone."""

    def __init__(self) -> None:
        """Start empty."""
        self._waiting: list[tuple[int, Job]] = []
        self._running: int | None = None

    def add(self, number: int, job: Job) -> None:
        """Let the evaluation of a trial, by its number, wait until nothing else runs."""
        self._waiting.append((number, job))

    def next(self, running: Collection[int]) -> Job | None:
        """Return the first evaluation that waits; None where others run (by number), or none waits."""
        if not self._waiting or running:
            return None
        self._running, job = self._waiting.pop(0)
        return job

    def drain(self) -> list[Job]:
        """Remove and return all evaluations that wait."""
        waiting, self._waiting = [job for _, job in self._waiting], []
        return waiting

    def holds(self, running: Collection[int]) -> bool:
        """Whether nothing else may begin now, since one of its evaluations waits or runs."""
        return bool(self._waiting) or self._running in running


class Gate:
    """Checks candidates against limits, and learns from trials: measured latencies, and how much memory there is.

    That an evaluation ran out of memory may have causes that pass, such as another program or the other workers. So it
    is tried once again, alone. A limit of memory is inferred where the system itself killed a network's process for its
    memory in that second try, or where two networks of about the same need have failed twice; one network alone is only
    given up itself. The inferred limit holds for one session: the next one may have more memory, or another machine.
    """

    def __init__(
        self,
        space: SearchSpace,
        constraints: Sequence[Constraint],
        workload: Workload,
        *,
        predict: Predict | None = None,
        meter: Callable[[Architecture], Latency] | None = None,
        recipe: RecipeDecisions = NOTHING_DECIDED,
    ) -> None:
        """Make a gate for the limits of a search.

        Args:
            space: where candidates come from.
            constraints: limits, hard and soft ones.
            workload: what the networks are to run as.
            predict: predicts latency, so that what is surely over a limit need not be measured.
            meter: measures latency, where there is a limit on it.
            recipe: what is decided of it. Where one network needs more memory by one recipe than by another, no limit
                of memory is inferred.
        """
        self._infers_memory = not recipe.decisions.keys() & _TAKES_MEMORY
        self._space, self._constraints, self._workload = space, tuple(constraints), workload
        self._predict, self._meter = predict, meter
        self._latencies: dict[str, Latency] = {}
        """By `arch_id`, as measured."""
        self._tried_again: set[int] = set()
        """Numbers of trials that have run out of memory once."""
        self._failed: list[tuple[float, bool]] = []
        """MiB of training memory, by the graph, of networks that ran out of it twice, and whether they were killed."""
        self._fitted = 0.0
        """MiB of training memory, by the graph, of the largest network that was trained in this session."""
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
        """Count a proposal of the sampler, by whether it was accepted."""
        self._accepted.append(accepted)

    def examine(self, genotype: Genotype) -> Candidate:
        """Check counted costs and predicted latency."""
        return examine(self._space, genotype, self._limits, self._workload, self._predict)

    def guided(self, start: Candidate, seed: int) -> tuple[Candidate, int]:
        """Mutate a rejected candidate until the limits hold; see `feasible`.

        Returns:
            The candidate, or the nearest one where none holds them, and how many were examined.
        """
        rng = random.Random(seed)
        return feasible(self._space, self._limits, rng, self._workload, self._predict, start=start)

    def random(self, seed: int) -> tuple[Candidate, int]:
        """Draw candidates until one holds the limits; after 1,000 the last one is mutated as in `guided`.

        Returns:
            The candidate, and how many were examined since the last start.
        """
        rng = random.Random(seed)
        for examined in range(1, _MAX_DRAWS + 1):
            candidate = self.examine(self._space.sample(rng))
            if candidate.accepted:
                return candidate, examined
        return self.guided(candidate, rng.getrandbits(32))

    def measure(self, trial: Trial, candidate: Candidate, pause: AbstractContextManager[None]) -> tuple[Trial, bool]:
        """Measure the latency of a candidate, and check it again.

        Args:
            trial: of the candidate.
            candidate: what holds the other limits.
            pause: stops whatever else uses the machine while it measures.

        Returns:
            The trial with latency and violations, as failed where the network cannot run, and whether it is accepted.
        """
        assert self._meter is not None
        network = candidate.architecture.arch_id
        if network not in self._latencies:
            try:
                with pause:
                    self._latencies[network] = self._meter(candidate.architecture)
            except DeviceError as error:
                return replace(trial, state=State.FAILED, reason=str(error)), False
        latency = self._latencies[network]
        checked = with_latency(candidate, self._constraints, latency.ms)
        return replace(trial, latency=latency, violations=checked.violations, reason=checked.problem), checked.accepted

    def tries_again(self, number: int) -> bool:
        """Whether a trial that ran out of memory is to be evaluated again, alone: True once for each number."""
        first = number not in self._tried_again
        self._tried_again.add(number)
        return first

    def out_of_memory(self, trial: Trial, reason: str, *, killed: bool = False) -> Trial:
        """Return a trial that ran out of memory also alone, as rejected by the limit of this machine.

        Args:
            trial: what was evaluated.
            reason: the error.
            killed: whether the system killed its process because memory ran out.
        """
        assert trial.cost is not None
        needed = self._training_mib(trial.cost)
        self._failed.append((needed, killed))
        memory_violation = violation(needed, Constraint(TRAINING_MEMORY, high=_FITTING_SHARE * needed))
        return replace(
            trial,
            state=State.REJECTED,
            out_of_memory=True,
            reason=f"out of memory in training, at about {needed:,.0f} MiB by the graph, also alone: {reason}",
            scores={},
            folds=(),
            violations=(*trial.violations, memory_violation),
        )

    def learn(self, trial: Trial) -> None:
        """Keep the latency and the memory of a trial that ended, in this session or an earlier one."""
        if trial.latency is not None and trial.arch_id is not None:
            self._latencies[trial.arch_id] = trial.latency
        if trial.state in (State.COMPLETED, State.OVER_LIMIT) and trial.cost is not None:
            self._fitted = max(self._fitted, self._training_mib(trial.cost))

    def begin(self) -> None:
        """Start a session: the memory of trials that were trained in earlier ones does not count."""
        self._fitted = 0.0

    @property
    def _limits(self) -> tuple[Constraint, ...]:
        """The limits of the search, and that of memory where one was inferred.

        What needs nearly as much memory as a network that ran out of it is rejected. Where a larger network was
        trained, something else had taken the memory.
        """
        too_large = min(self._too_large(), default=math.inf) if self._infers_memory else math.inf
        if too_large == math.inf:
            return self._constraints
        return (*self._constraints, Constraint(TRAINING_MEMORY, high=max(self._fitted, _FITTING_SHARE * too_large)))

    def _too_large(self) -> Iterator[float]:
        """Yield the MiB of networks that ran out of memory, as far as there is evidence that they need too much."""
        over = [(needed, killed) for needed, killed in self._failed if needed > self._fitted]
        for index, (needed, killed) in enumerate(over):
            others = (other for position, (other, _) in enumerate(over) if position != index)
            if killed or any(max(needed, other) <= _SIMILAR_NEEDS * min(needed, other) for other in others):
                yield needed

    def _training_mib(self, cost: Cost) -> float:
        return value_of(cost, TRAINING_MEMORY, self._workload)
