"""The search: one driver that owns the study. It asks, checks, records and tells; others evaluate."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any, Protocol, cast

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution
from optuna.samplers import BaseSampler
from optuna.trial import TrialState

from nas.errors import ConfigError, DeviceError
from nas.evaluation import Budget, Evaluation
from nas.limits.feasible import Candidate
from nas.search.gate import Gate
from nas.search.log import RunFolder
from nas.search.study import Study
from nas.search.trial import State, Trial
from nas.search.workers import Outcome, Task
from nas.space import SearchSpace
from nas.space.tree import Choice

# How often the recorders hear of time passing.
_TICK_SECONDS = 1.0
_GLANCE_SECONDS = 0.001


class Recorder(Protocol):
    """Is told what happens, from the driver's thread; it must not keep the driver waiting."""

    def begin(self, study: Study) -> None:
        """The search starts or goes on; `study` has the trials so far."""

    def proposed(self, study: Study, running: int) -> None:
        """A proposal was sent to be evaluated, or time passed; `running` are being evaluated."""

    def ended(self, study: Study, trial: Trial) -> None:
        """A trial ended, and is on disk."""

    def end(self, study: Study) -> None:
        """The search is over; `study.stop_reason` says why."""


class Pool(Protocol):
    """What evaluates: worker processes, or the driver's own process."""

    @property
    def free(self) -> int: ...

    def submit(self, task: Task) -> None: ...

    def wait(self, timeout: float | None) -> list[Outcome]: ...

    def paused(self) -> AbstractContextManager[None]:
        """Do nothing else meanwhile on this machine."""
        ...


@dataclass(frozen=True, kw_only=True)
class Limits:
    """When a search ends."""

    trials: int
    """Accepted candidates that are evaluated; rejected ones and duplicates do not count."""
    minutes: float | None = None
    """No evaluation starts after this time; those that run are finished."""
    max_rejections: int = 1000
    """Proposals in a row that are not evaluated: rejected, or duplicates."""


def derived_seed(seed: int, number: int, purpose: str) -> int:
    """Return a seed for one purpose of one trial. A resumed study derives the same ones."""
    digest = hashlib.sha256(f"{seed} {number} {purpose}".encode()).digest()
    return int.from_bytes(digest[:4], "little")


class Driver:
    """Runs one study. See `run_search` for what its parts are."""

    def __init__(
        self,
        study: Study,
        space: SearchSpace,
        pool: Pool,
        *,
        sampler: Callable[[int], BaseSampler] | BaseSampler,
        gate: Gate,
        limits: Limits,
        seed: int,
        budget: Budget,
        folder: RunFolder | None,
        recorders: Sequence[Recorder],
    ) -> None:
        self.study, self.space, self.pool, self.folder = study, space, pool, folder
        self.gate, self.limits = gate, limits
        self.seed, self.budget = seed, budget
        self.recorders = recorders
        # A sampler made anew for each proposal from a seed of its own has no state to lose: a resumed study
        # proposes what an uninterrupted one does.
        self._make_sampler = sampler if not isinstance(sampler, BaseSampler) else None
        self._optuna = optuna.create_study(
            direction=cast("Any", study.direction), sampler=sampler if isinstance(sampler, BaseSampler) else None
        )
        self._running: dict[int, tuple[Trial, optuna.Trial]] = {}
        self._waiting: dict[str, list[tuple[Trial, optuna.Trial]]] = {}
        """Duplicates of networks that are being evaluated, by `arch_id`."""
        self._by_network: dict[str, Trial] = {}
        """Evaluated networks, by `arch_id`."""
        self._tried: set[frozenset[tuple[str, Any]]] = set()
        self._next_number = 0
        self._trained = 0
        self._fruitless = 0
        """Proposals since one was last evaluated to its end."""
        self._before = max((trial.elapsed for trial in study.trials), default=0.0)
        self._started = time.monotonic()

    @property
    def elapsed(self) -> float:
        """Seconds of search, earlier sessions included."""
        return self._before + time.monotonic() - self._started

    def run(self) -> Study:
        """Search until a limit is reached, or Ctrl-C; `study.stop_reason` then says which."""
        self._replay()
        for recorder in self.recorders:
            recorder.begin(self.study)
        try:
            self._fill()
            while self._running:
                self._collect(_TICK_SECONDS)
                self._fill()
                for recorder in self.recorders:
                    recorder.proposed(self.study, len(self._running))
        except KeyboardInterrupt:
            self.study.stop_reason, self.study.can_go_on = "interrupted", True
        for recorder in self.recorders:
            recorder.end(self.study)
        return self.study

    def _fill(self) -> None:
        """Propose until every worker is busy, or the search is over."""
        while self.pool.free and not self.study.stop_reason:
            self.study.stop_reason = self._why_stop()
            if self.study.stop_reason or self._trained + len(self._running) >= self.limits.trials:
                return
            self._propose()
            if self.gate.measures and self.pool.free and self._running:  # measuring takes time: others may be done
                self._collect(_GLANCE_SECONDS)

    def _collect(self, seconds: float) -> None:
        for outcome in self.pool.wait(seconds):
            self._finish(outcome)

    def _why_stop(self) -> str:
        limits = self.limits
        if self._trained >= limits.trials:
            return f"{self._trained} trials done"
        if limits.minutes is not None and self.elapsed >= 60 * limits.minutes:
            self.study.can_go_on = True
            return f"{limits.minutes:g} minutes are over"
        if len(self._tried) >= self.space.size():
            return f"every genotype of the space ({self.space.size()}) has been tried"
        if self._fruitless >= limits.max_rejections:
            counts = self.study.rejections()
            causes = ", ".join(f"{name} {count}" for name, count in counts.items()) or "none"
            return (
                f"{self._fruitless} proposals in a row were over a limit or known already "
                f"(rejected so far, by limit: {causes})"
            )
        return ""

    # One proposal

    def _propose(self) -> None:
        number = self._new_number()
        if self._make_sampler is not None:
            self._optuna.sampler = self._make_sampler(derived_seed(self.seed, number, "proposal"))
        handle = self._optuna.ask()
        candidate = self.gate.examine(self.space.suggest(handle))
        self._consider(number, candidate, handle, guided=0)
        if candidate.accepted or not self.gate.wasteful:
            return
        # So few random candidates hold the limits that this one is brought to where they hold.
        found, looked = self.gate.guided(candidate, derived_seed(self.seed, number, "guided"))
        if not found.accepted:
            self.study.stop_reason = (
                f"no candidate holds the limits: {looked:,} looked at by guided sampling, the nearest: {found.problem}"
            )
            return
        self._optuna.enqueue_trial(found.genotype)
        handle = self._optuna.ask()
        assert self.space.suggest(handle) == found.genotype
        self._consider(self._new_number(), found, handle, guided=looked)

    def _new_number(self) -> int:
        number, self._next_number = self._next_number, self._next_number + 1
        return number

    def _consider(self, number: int, candidate: Candidate, handle: optuna.Trial, *, guided: int) -> None:
        """Record a candidate that is not accepted; hand the others on."""
        self._fruitless += 1
        trial = Trial(
            number=number,
            state=State.REJECTED,
            genotype=candidate.genotype,
            seed=derived_seed(self.seed, number, "evaluation"),
            cost=candidate.cost,
            violations=candidate.violations,
            reason=candidate.problem,
            guided=guided,
        )
        self._tried.add(frozenset(candidate.genotype.items()))
        if not guided:
            self.gate.proposed(candidate.accepted)
        if candidate.cost is not None:
            trial = replace(trial, arch_id=candidate.architecture.arch_id)
        if candidate.accepted:
            self._accept(trial, candidate, handle)
        else:
            self._close(trial, handle)

    def _accept(self, trial: Trial, candidate: Candidate, handle: optuna.Trial) -> None:
        """Evaluate a candidate that holds the limits that can be counted and predicted, unless its network is known."""
        network = candidate.architecture.arch_id
        if network in self._by_network:
            self._close(_answer_from(self._by_network[network], trial), handle)
        elif any(other.arch_id == network for other, _ in self._running.values()):
            self._waiting.setdefault(network, []).append((trial, handle))
        else:
            self._measure_and_submit(trial, candidate, handle)

    def _measure_and_submit(self, trial: Trial, candidate: Candidate, handle: optuna.Trial) -> None:
        accepted = True
        if self.gate.measures:
            try:
                trial, accepted = self.gate.measure(trial, candidate, self.pool.paused())
            except DeviceError as error:
                trial, accepted = replace(trial, state=State.FAILED, reason=str(error)), False
        if accepted:
            self._running[trial.number] = trial, handle
            self.pool.submit(Task(trial.number, candidate.architecture, self.budget, trial.seed))
        else:
            self._close(trial, handle)

    # The end of a trial

    def _finish(self, outcome: Outcome) -> None:
        trial, handle = self._running.pop(outcome.number)
        evaluation = outcome.evaluation
        reason = outcome.reason if evaluation is None else self._fault(evaluation)
        if evaluation is not None:
            trial = replace(trial, history=evaluation.history, seconds=evaluation.seconds)
        if outcome.out_of_memory:
            trial = self.gate.out_of_memory(trial, reason)
        elif evaluation is None or reason:
            trial = replace(trial, state=State.FAILED, reason=reason)
        else:
            trial = replace(trial, state=State.COMPLETED, scores=evaluation.scores)
        self._close(trial, handle)
        for other, other_handle in self._waiting.pop(trial.arch_id or "", []):
            self._close(_answer_from(trial, other), other_handle)

    def _fault(self, evaluation: Evaluation) -> str:
        """Say why an evaluation is no result; empty where it is one."""
        score = evaluation.scores.get(self.study.objective)
        if score is None:
            return f"the evaluator gave no {self.study.objective!r}, but {sorted(evaluation.scores)}"
        if not abs(score) < float("inf"):
            return f"{self.study.objective} is {score}"
        return ""

    def _close(self, trial: Trial, handle: optuna.Trial) -> None:
        """Record a trial that ended, on disk first, then tell the sampler and the recorders."""
        trial = replace(trial, finished=time.time(), elapsed=self.elapsed)
        if self.folder is not None:
            self.folder.append(trial, durable=trial.trained)
        self._remember(trial)
        state, value, constraints = _optuna_end(trial, self.study)
        for name, excess in constraints.items():
            handle.set_constraint(name, excess)
        try:
            self._optuna.tell(handle, value, state=state)
        except RuntimeError as error:
            # A sampler that has proposed everything stops the study, which Optuna refuses outside its own loop.
            if "Study.stop" not in str(error):
                raise
            self.study.stop_reason = "the sampler has proposed everything it can"
        for recorder in self.recorders:
            recorder.ended(self.study, trial)

    def _remember(self, trial: Trial) -> None:
        self.study.trials.append(trial)
        self.gate.learn(trial)
        if trial.trained:
            assert trial.arch_id is not None
            self._by_network[trial.arch_id] = trial
            self._trained += 1
            self._fruitless = 0

    def _replay(self) -> None:
        """Rebuild the in-memory Optuna study from the trials of earlier sessions."""
        trials, self.study.trials = self.study.trials, []
        choices = self.space.decisions()
        for trial in sorted(trials, key=lambda trial: trial.number):
            state, value, constraints = _optuna_end(trial, self.study)
            try:
                known = optuna.trial.create_trial(
                    state=state,
                    value=value,
                    params=dict(trial.genotype),
                    distributions={path: _distribution(choices[path]) for path in trial.genotype},
                    constraints=constraints,
                )
            except (KeyError, ValueError) as error:
                raise ConfigError(f"resume: trial {trial.number} does not fit the space: {error}") from None
            self._optuna.add_trial(known)
            self._remember(trial)
            self._tried.add(frozenset(trial.genotype.items()))
            if not trial.guided:
                self.gate.proposed(_was_accepted(trial))
            self._fruitless += not trial.trained
            self._next_number = trial.number + 1


def _distribution(choice: Choice) -> BaseDistribution:
    """The distribution that `SearchSpace.suggest` asks Optuna for."""
    span = choice.int_range
    if span is not None:
        return IntDistribution(span.low, span.high, step=span.step)
    return CategoricalDistribution(choice.values)


def _was_accepted(trial: Trial) -> bool:
    """Whether a recorded proposal held what is counted and predicted: what was measured, or ran out of memory, did."""
    return trial.state is not State.REJECTED or trial.latency is not None or trial.out_of_memory


def _answer_from(known: Trial, trial: Trial) -> Trial:
    """Return `trial` as a duplicate with the result of the trial that evaluated its network."""
    return replace(trial, state=State.DUPLICATE, scores=known.scores, reason=known.reason, duplicate_of=known.number)


def _optuna_end(trial: Trial, study: Study) -> tuple[TrialState, float | None, dict[str, float]]:
    """How Optuna is told of a trial: its state, its value, and its constraints (<= 0 holds).

    A rejected one is pruned with positive constraints: samplers that know constraints learn from it, while they
    would ignore a failed one. Soft limits are in the value.
    """
    constraints = {violation.metric: violation.excess for violation in trial.violations if not violation.soft}
    if trial.state is State.REJECTED:
        return TrialState.PRUNED, None, constraints or {"valid network": 1.0}
    if study.objective not in trial.scores:
        return TrialState.FAIL, None, constraints
    return TrialState.COMPLETE, study.judged(trial), constraints
