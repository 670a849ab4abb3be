"""What Optuna is told of trials, as they end and when a search goes on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import optuna
from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler
from optuna.study import StudyDirection
from optuna.trial import TrialState

from nas.search.budgets.halving import Halving
from nas.search.samplers.domain import distribution_of
from nas.search.samplers.genotype_sampler import ProposingSampler
from nas.search.study import Study
from nas.search.trial import State, Trial
from nas.space import Genotype, SearchSpace


def new_study(study: Study, sampler: Callable[[int], BaseSampler] | BaseSampler, pruner: BasePruner) -> optuna.Study:
    """Return Optuna's side of a study; a sampler that is made anew for each proposal is set when it is."""
    return optuna.create_study(
        directions=[StudyDirection.MAXIMIZE if one.sign > 0 else StudyDirection.MINIMIZE for one in study.objectives],
        sampler=sampler if isinstance(sampler, BaseSampler) else None,
        pruner=pruner,
    )


def optuna_end(trial: Trial, study: Study) -> tuple[TrialState, tuple[float, ...] | None, dict[str, float]]:
    """How Optuna is told of a trial: its state, its values, and its constraints (<= 0 holds).

    A rejected one is pruned with positive constraints: samplers that know constraints learn from it, while they
    would ignore a failed one. Soft limits are in the values.
    """
    constraints = {violation.metric: violation.excess for violation in trial.violations if not violation.soft}
    if trial.state is State.REJECTED:
        return TrialState.PRUNED, None, constraints or {"valid network": 1.0}
    values = study.values(trial)
    if trial.state is State.FAILED or values is None or not trial.scores:
        return TrialState.FAIL, None, constraints
    # A duplicate has the reason of the trial that it repeats.
    if trial.state is State.PRUNED or (trial.state is State.DUPLICATE and trial.reason):
        return TrialState.PRUNED, None, constraints
    return TrialState.COMPLETE, values, constraints


def with_step(trial: Trial, handle: optuna.Trial, step: int, values: tuple[float, ...]) -> Trial:
    """Return a trial with its objectives at a step, of which Optuna hears where there is one: it has no others."""
    if len(values) == 1:
        handle.report(values[0], step)
    return replace(trial, steps=(*trial.steps, (step, values)))


def tell_end(told: optuna.Study, handle: optuna.Trial, trial: Trial, study: Study) -> bool:
    """Tell Optuna of a trial that ended; returns False where the sampler has nothing more to propose."""
    state, values, constraints = optuna_end(trial, study)
    for name, excess in constraints.items():
        handle.set_constraint(name, excess)
    try:
        told.tell(handle, values, state=state)
    except RuntimeError as error:
        # A sampler of Optuna's that has proposed everything stops the study, which is refused outside its own loop.
        if "Study.stop" not in str(error):
            raise
        return False
    return not (isinstance(told.sampler, ProposingSampler) and told.sampler.exhausted)


def enqueued(told: optuna.Study, space: SearchSpace, genotype: Genotype) -> optuna.Trial:
    """Let Optuna propose a genotype that did not come from its sampler.

    Raises:
        KeyError, ValueError: it is none of the space.
    """
    told.enqueue_trial(dict(genotype))
    handle = told.ask()
    assert space.suggest(handle) == genotype
    return handle


def add_known(told: optuna.Study, trial: Trial, study: Study) -> optuna.Trial | None:
    """Tell Optuna of a trial of an earlier session.

    Returns:
        The handle of a trial that is paused or was interrupted; None for one that has ended.

    Raises:
        KeyError, ValueError: it is no trial of the space.
    """
    steps = {step: values[0] for step, values in trial.steps} if len(study.objectives) == 1 else {}
    if trial.state in (State.PAUSED, State.INTERRUPTED):
        handle = enqueued(told, study.space, trial.genotype)
        for step, value in steps.items():
            handle.report(value, step)
        return handle
    choices = study.space.decisions()
    state, values, constraints = optuna_end(trial, study)
    told.add_trial(
        optuna.trial.create_trial(
            state=state,
            values=values,
            params=dict(trial.genotype),
            distributions={path: distribution_of(choices[path]) for path in trial.genotype},
            constraints=constraints,
            intermediate_values=steps,
        )
    )
    return None


def place_known(halving: Halving, trial: Trial, study: Study) -> None:
    """Tell of a trial of an earlier session which rungs it has ended."""
    if trial.first_rung is None:
        return
    if trial.state is State.INTERRUPTED:  # on its first rung, which it begins anew
        halving.begin(trial.number)
        return
    halving.restore(
        trial.number,
        trial.first_rung,
        known_rungs(trial, study),
        alive=trial.state is State.PAUSED,
        failed=trial.state in (State.FAILED, State.REJECTED),
    )


def known_rungs(trial: Trial, study: Study) -> list[tuple[int, tuple[float, ...]]]:
    """Return the rungs, from 0, that a trial of an earlier session has ended, and its objectives: larger is better."""
    return [(step - 1, signed(found, study)) for step, found in trial.steps]


def signed(values: Sequence[float], study: Study) -> tuple[float, ...]:
    """Return objectives so that larger is better."""
    return tuple(one.sign * value for one, value in zip(study.objectives, values, strict=True))
