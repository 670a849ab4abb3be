"""The search: one driver that owns the study. It asks the sampler, checks, records and reports; others evaluate."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import optuna
from optuna.samplers import BaseSampler

from nas.console import DeferredSignals, defer_signals
from nas.errors import reason_of
from nas.evaluation import Budget
from nas.search.after_training import AfterTraining
from nas.search.first import First
from nas.search.gate import ExclusiveQueue, Gate
from nas.search.known_networks import KnownNetworks
from nas.search.log import RunFolder
from nas.search.objectives import fault
from nas.search.optuna_study import (
    add_recorded,
    after_rung,
    enqueue,
    new_optuna_study,
    restore_rungs,
    tell,
    with_report,
)
from nas.search.proposing import Pace, Proposals, Proposed
from nas.search.recording import Recorder, Recording
from nas.search.settings import Settings
from nas.search.steering import Steering
from nas.search.stop_reason import Stop, StopReason
from nas.search.stopping import end_where_alike, end_where_time_is_over, limit_reached
from nas.search.study import Study
from nas.search.trial import State, Trial, proposed
from nas.search.trial_files import TrialFiles
from nas.seeds import derived_seed
from nas.space import SearchSpace
from nas.space.feasible import Candidate
from nas.workers.evaluating import Outcome, Task
from nas.workers.giving_up import EqualFailures, Watch, work_of
from nas.workers.pool import Pool

# How often the recorders are called while nothing ends.
_TICK_SECONDS, _GLANCE_SECONDS = 1.0, 0.001


class Driver:
    """Runs one study. See `run_search` for what its parts are."""

    def __init__(
        self,
        study: Study,
        space: SearchSpace,
        pool: Pool,
        settings: Settings,
        *,
        sampler: Callable[[int], BaseSampler] | BaseSampler,
        gate: Gate,
        after_training: AfterTraining,
        budget: Budget,
        first: Sequence[First],
        files: TrialFiles,
        folder: RunFolder | None,
        recorders: Sequence[Recorder],
    ) -> None:
        self.study, self.space, self.pool = study, space, pool
        self.gate, self._after_training, self.settings, pruning = gate, after_training, settings.search, settings.pruner
        self.seed, self._record = settings.seed, Recording(study, folder, recorders)
        self._budgets = pruning.budgets(budget)
        self._halving = pruning.halving(self._budgets, self.settings.most_trials)
        self._files = files
        pool.listen(self._on_report)
        self._optuna = new_optuna_study(study, sampler, pruning.pruner())
        self._pace = Pace(pool.free)
        self._steering = Steering(study, pool, self._pace)
        self._proposals = Proposals(
            self._optuna, study, gate, settings, pace=self._pace, now=pool.now, sampler=sampler, first=first
        )
        self._running: dict[int, tuple[Trial, optuna.Trial]] = {}
        self._paused: dict[int, tuple[Trial, optuna.Trial]] = {}  # they may get more budget
        self._rung: dict[int, int] = {}  # at whose end a running trial will be
        self._interrupted: list[tuple[Trial, optuna.Trial]] = []  # in an earlier session, to be run again
        self._failures = EqualFailures(self.settings.max_equal_failures)
        self._watch = Watch(pool)
        self._alone: ExclusiveQueue[tuple[Trial, optuna.Trial, int]] = ExclusiveQueue()  # out of memory on a rung
        self._known = KnownNetworks()
        self._tried: set[frozenset[tuple[str, Any]]] = set()
        self._fruitless = 0  # proposals since one was last evaluated to its end
        self._before = max((trial.elapsed for trial in study.trials), default=0.0)
        self._started = pool.now()

    @property
    def elapsed(self) -> float:
        """Seconds of search, earlier sessions included."""
        return self._before + self.pool.now() - self._started

    def run(self) -> Study:
        """Search until a limit is reached, or Ctrl-C; `study.stop_reason` then says which.

        A signal waits until what is being done is done, and one that comes later does not cut the end.
        """
        self._replay()
        self.gate.begin()
        with defer_signals("The search is ending and writes its records") as deferred:
            try:
                self._search(deferred)
            except KeyboardInterrupt:
                deferred.stop_deferring()
                self.study.stop, self.study.can_go_on = StopReason.INTERRUPTED.stop(), True
                self._interrupt()
            except BaseException as error:  # whatever it is, what was begun is ended
                self.study.stop, self.study.can_go_on = StopReason.ERROR.stop(error=reason_of(error)), True
                raise
            finally:
                self.study.trials += [trial for trial, _ in self._paused.values()]  # they are in its record
                self._record.end()
        return self.study

    def _search(self, deferred: DeferredSignals) -> None:
        self._record.begin()
        self._fill(deferred)
        while self._running and not self._out_of_time:
            deferred.check()
            busy = not self.pool.free and not self.study.stop
            ahead = self._proposals.wanted_ahead(self._left) if busy else 0
            ended = self._collect(0.0 if ahead else _TICK_SECONDS)
            if ahead and not ended:
                self._proposals.make(ahead, self._tried)
            self.settings = self._steering.taken(self.settings, self.study, self._halving)
            self._fill(deferred)
            self._record.proposed(len(self._running))
        self._interrupt()
        self._give_up_paused()

    def _fill(self, deferred: DeferredSignals) -> None:
        """Go on with trials and propose new ones until every worker is busy, or the search is over."""
        while self.pool.free and not self._out_of_time and not self.study.failed_alike:
            deferred.check()
            if (again := self._alone.next(self._running)) is not None:
                self._submit(*again)
            if self._alone.holds(self._running):
                return
            if self._interrupted and self._begun < self.settings.most_trials:
                trial, optuna_trial = self._interrupted.pop(0)
                self._submit(trial, optuna_trial, trial.first_rung or 0)
                continue
            if (failed := self._steering.next_rerun()) is not None:
                self._run_again(failed)
                continue
            promoted = self._halving.next() if self._halving is not None else None
            if promoted is not None:
                number, rung = promoted
                self._submit(*self._paused.pop(number), rung)
                continue
            self.study.stop = self.study.stop or self._reached()
            if self.study.stop and self._halving is not None and not self._halving.closed:
                self._halving.close()
                continue
            if self.study.stop or self._begun >= self.settings.most_trials:
                return
            self._consider_next()
            if self.gate.measures and self.pool.free and self._running:  # measuring takes time: others may be done
                self._collect(_GLANCE_SECONDS)

    @property
    def _begun(self) -> int:
        """Trials whose evaluation has begun."""
        return self._known.count + len(self._running) + len(self._paused)

    @property
    def _left(self) -> int:
        """Trials that are to be proposed yet, where each of them is evaluated."""
        return self.settings.most_trials - self._begun - len(self._interrupted)

    @property
    def _out_of_time(self) -> bool:
        return end_where_time_is_over(self.study, self.settings, lambda: self.elapsed, trained=self._known.count)

    def _give_up_paused(self) -> None:
        """End the trials that will not get more budget."""
        if self.study.can_go_on:
            return
        for trial, optuna_trial in list(self._paused.values()):
            rung = f"rung {trial.steps[-1][0]} of {len(self._budgets)}"
            self._end(replace(trial, state=State.PRUNED, reason=f"ended on {rung}: others were promoted"), optuna_trial)
        self._paused.clear()
        self.study.stop = self.study.stop or self._reached()

    def _collect(self, seconds: float) -> bool:
        """Wait for evaluations, at most so long, and see to those that ended; return whether any did."""
        outcomes = (*self.pool.wait(seconds), *(self._watch.late() if self.settings.trial_minutes is None else ()))
        ended = False
        for outcome in outcomes:
            if outcome.number in self._running:  # nobody waits for any other
                self._finish(outcome)
                ended = True
        return ended

    def _reached(self) -> Stop | None:
        """Return why the search is to end now; None where it is to go on."""
        if self._proposals.closed and not self._proposals:
            return StopReason.SAMPLER_EXHAUSTED.stop()
        counts = {"trained": self._known.count, "tried": len(self._tried), "fruitless": self._fruitless}
        return limit_reached(self.settings, self.study, without_gain=self._proposals.without_gain, **counts)

    def _interrupt(self) -> None:
        """End what runs; a resumed search runs it again."""
        while self._running:
            number, (trial, _) = self._running.popitem()
            self.pool.end(number)
            self._keep_interrupted(trial)
        for trial, _, _ in self._alone.drain():
            self._keep_interrupted(trial)

    def _keep_interrupted(self, trial: Trial) -> None:
        """Record a trial whose evaluation did not come to its end; one that was promoted stays paused in the log."""
        if not trial.steps or self._halving is None:
            trial = trial.interrupted(self.study.stop_reason, self.elapsed)
            self._record.keep(trial, durable=True)
        self.study.trials.append(trial)

    # One proposal

    def _consider_next(self) -> None:
        made = self._proposals.take(self.pool.free, self._left, self._tried)
        candidate = self.gate.examine(made.genotype)
        self._consider(made, candidate)
        if candidate.accepted or not made.from_sampler or not self.gate.wasteful or self._proposals:
            return
        # So few random candidates hold the limits that this one is brought to where they hold.
        guided, examined = self.gate.guided(candidate, derived_seed(self.seed, made.number, "guided"))
        if not guided.accepted:
            self.study.stop = StopReason.INFEASIBLE.stop(examined=examined, problem=guided.problem)
            return
        optuna_trial = enqueue(self._optuna, self.space, guided.genotype, self.study.recipe, made.recipe)
        proposed_now = Proposed(self._proposals.new_number(), guided.genotype, optuna_trial, made.recipe)
        self._consider(proposed_now, guided, guided=examined)

    def _run_again(self, failed: Trial) -> None:
        """Evaluate what a trial had that failed, in a trial of its own, which counts in its place."""
        self._forget(failed)
        made = self._proposals.again(failed)
        self._consider(made, self.gate.examine(made.genotype))

    def _forget(self, failed: Trial) -> None:
        self._known.run_again(failed)
        if self._halving is not None:
            self._halving.forget(failed.number)

    def _consider(self, made: Proposed, candidate: Candidate, *, guided: int = 0) -> None:
        """Record a candidate that is not accepted; hand the others on."""
        self._fruitless += 1
        seed, problem = derived_seed(self.seed, made.number, "evaluation"), self.study.recipe.problem(made.recipe)
        trial = made.described(proposed(candidate, made.number, seed, made.recipe, problem), guided)
        self._tried.add(frozenset(trial.decisions.items()))
        if not guided and not made.baseline:
            self.gate.proposed(candidate.accepted)
        if candidate.accepted and not problem:
            self._accept(trial, candidate, made.optuna_trial)
        else:
            self._close(trial, made.optuna_trial)

    def _accept(self, trial: Trial, candidate: Candidate, optuna_trial: optuna.Trial) -> None:
        """Evaluate a candidate that holds the limits that can be counted and predicted, unless its network is known."""
        begun = (*self._running.values(), *self._paused.values())
        if (original := self._known.by(trial)) is not None:
            self._close(trial.answered_by(original), optuna_trial)
        elif any(other.trained_id == trial.trained_id for other, _ in begun):
            self._known.wait(trial, optuna_trial)
        else:
            self._measure_and_submit(trial, candidate, optuna_trial)

    def _measure_and_submit(self, trial: Trial, candidate: Candidate, optuna_trial: optuna.Trial) -> None:
        accepted = True
        if self.gate.measures:
            trial, accepted = self.gate.measure(trial, candidate, self.pool.paused())
        if accepted:
            rung = 0
            if self._halving is not None:
                rung = self._halving.begin(trial.number)
                trial = replace(trial, first_rung=rung)
            self._submit(trial, optuna_trial, rung)
        else:
            self._close(trial, optuna_trial)

    # An evaluation

    def _submit(self, trial: Trial, optuna_trial: optuna.Trial, rung: int) -> None:
        """Have a trial evaluated with the budget of a rung."""
        trial, budget = self._files.prepared(self._budgets[rung], trial)
        self._running[trial.number] = trial, optuna_trial
        self._rung[trial.number] = rung
        assert trial.cost is not None
        self._watch.began(trial.number, work_of(trial.cost, budget))
        self.pool.submit(Task(trial.number, self.space.decode(trial.genotype), budget, trial.seed))

    def _on_report(self, number: int, step: int, scores: Mapping[str, float]) -> bool:
        """Note how an evaluation goes; return whether it is to end."""
        trial, optuna_trial = self._running[number]
        if self._out_of_time:  # where an evaluation cannot be ended from outside
            self._running[number] = replace(trial, state=State.INTERRUPTED), optuna_trial
            return True
        if self._halving is None:
            trial = with_report(trial, optuna_trial, step, scores, self.study)
            self._running[number] = trial, optuna_trial
        return trial.state is State.PRUNED

    # The end of a trial

    def _finish(self, outcome: Outcome) -> None:
        trial, optuna_trial = self._running.pop(outcome.number)
        self._watch.ended(outcome)
        if trial.state is State.INTERRUPTED:
            self._keep_interrupted(trial)
            return
        self._files.evaluated(trial)
        rung = self._rung.pop(outcome.number)
        if outcome.out_of_memory and self.gate.tries_again(trial.number):
            self._alone.add(trial.number, (trial, optuna_trial, rung))
            return
        evaluation = outcome.evaluation
        reason = outcome.reason if evaluation is None else fault(self.study.objectives, evaluation)
        if evaluation is not None:
            trial = trial.evaluated(evaluation)
            self._pace.evaluated(evaluation.seconds.get("evaluation", 0.0))
        if outcome.out_of_memory or evaluation is None or reason:
            if self._halving is not None:
                self._halving.dropped(trial.number)
            failed = replace(trial, state=State.FAILED, reason=reason, scores={}, folds=())  # not those of a lower rung
            trial = self.gate.out_of_memory(trial, reason, killed=outcome.killed) if outcome.out_of_memory else failed
        else:
            self._failures.succeeded()
            trial = replace(trial, scores=evaluation.scores)
            if self._halving is not None:
                trial = after_rung(self._halving, trial, optuna_trial, rung, self.study)
                if trial.state is State.PAUSED:
                    self._pause(trial, optuna_trial)
                    return
            if trial.state is not State.PRUNED:
                trial = self._after_training.check(trial.completed(), evaluation, self.pool.paused())
        self._end(trial, optuna_trial)

    def _pause(self, trial: Trial, optuna_trial: optuna.Trial) -> None:
        """Keep a trial that has had the budget of a rung, and may get more."""
        trial = replace(trial, finished=time.time(), elapsed=self.elapsed)
        self._paused[trial.number] = trial, optuna_trial
        self._fruitless = 0
        self._record.paused(trial)

    def _end(self, trial: Trial, optuna_trial: optuna.Trial) -> None:
        """Close a trial and those that are the same network."""
        self._files.ended(trial)
        self._close(trial, optuna_trial)
        for other, other_trial in self._known.take_waiting(trial):
            self._close(other.answered_by(trial), other_trial)

    def _close(self, trial: Trial, optuna_trial: optuna.Trial) -> None:
        """Record a trial that ended, on disk first, then tell the sampler and the recorders."""
        trial = replace(trial, finished=time.time(), elapsed=self.elapsed)
        self._record.keep(trial, durable=trial.trained)
        self._remember(trial)
        if trial.state is State.FAILED:
            end_where_alike(self.study, self._failures, trial.reason)
        if not tell(self._optuna, optuna_trial, trial, self.study):
            self._proposals.closed = True
            self.study.stop = self.study.stop if self._proposals else StopReason.SAMPLER_EXHAUSTED.stop()
        self._record.ended(trial)

    def _remember(self, trial: Trial) -> None:
        self.study.trials.append(trial)
        self.gate.learn(trial)
        if trial.trained:
            self._known.add(trial)
            self._fruitless = 0

    def _replay(self) -> None:
        """Rebuild what is in memory from the trials of earlier sessions."""
        trials, self.study.trials = self.study.trials, []
        by_number = {trial.number: trial for trial in trials}
        for trial in sorted(trials, key=lambda trial: trial.number):
            if trial.rerun_of is not None:
                self._forget(by_number[trial.rerun_of])
            optuna_trial = add_recorded(self._optuna, trial, self.study)
            if self._halving is not None:
                restore_rungs(self._halving, trial, self.study)
            if optuna_trial is None:
                self._remember(trial)
            elif trial.state is State.INTERRUPTED:
                self._interrupted.append((replace(trial, state=State.REJECTED, reason=""), optuna_trial))
            else:
                self._paused[trial.number] = trial, optuna_trial
            self._tried.add(frozenset(trial.decisions.items()))
            if not trial.guided and not trial.baseline:
                self.gate.proposed(trial.held_free_limits)
            self._fruitless = 0 if trial.trained or optuna_trial is not None else self._fruitless + 1
            self._proposals.recorded(trial)
