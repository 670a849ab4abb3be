"""Optuna's side of a study: how sampler and pruner learn of trials, as they end and when a search is resumed."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler
from optuna.study import StudyDirection
from optuna.trial import TrialState

from nas.errors import ConfigError
from nas.search.budgets.halving import Halving
from nas.search.samplers.distributions import distribution_of, recipe_distributions, suggest_recipe
from nas.search.samplers.genotype_sampler import GenotypeSampler
from nas.search.study import Study
from nas.search.trial import State, Trial
from nas.space import Genotype, SearchSpace
from nas.training.recipe_decisions import NOTHING_DECIDED, RecipeDecisions, with_prefix


def new_optuna_study(
    study: Study, sampler: Callable[[int], BaseSampler] | BaseSampler, pruner: BasePruner
) -> optuna.Study:
    """Return Optuna's study in memory; a sampler that is made anew for each proposal is set when it is made."""
    return optuna.create_study(
        directions=directions_of(study),
        sampler=sampler if isinstance(sampler, BaseSampler) else None,
        pruner=pruner,
    )


def directions_of(study: Study) -> list[StudyDirection]:
    """Return Optuna's directions of the objectives."""
    return [
        StudyDirection.MAXIMIZE if objective.sign > 0 else StudyDirection.MINIMIZE for objective in study.objectives
    ]


def optuna_result(trial: Trial, study: Study) -> tuple[TrialState, tuple[float, ...] | None, dict[str, float]]:
    """Return the state that Optuna gets for a trial that ended, its values, and its constraints (<= 0 holds).

    A rejected one is pruned with positive constraints: samplers that support constraints learn from it, while they
    would ignore a failed one. One that was trained, and is over a limit on what that shows, has its values beside
    them. Soft limits are in the values.
    """
    constraints = {violation.metric: violation.excess for violation in trial.violations if not violation.soft}
    if trial.refused_recipe:
        return TrialState.PRUNED, None, {**constraints, "valid recipe": 1.0}
    if trial.state is State.REJECTED:
        return TrialState.PRUNED, None, constraints or {"valid network": 1.0}
    values = study.values(trial)
    if values is None and any(excess > 0 for excess in constraints.values()):  # it cannot be had in 8 bits
        return TrialState.PRUNED, None, constraints
    if trial.state is State.FAILED or values is None or not trial.scores:
        return TrialState.FAIL, None, constraints
    # A duplicate has the reason of the trial that it repeats.
    if trial.state is State.PRUNED or (trial.state is State.DUPLICATE and trial.reason):
        return TrialState.PRUNED, None, constraints
    return TrialState.COMPLETE, values, constraints


def with_step(trial: Trial, optuna_trial: optuna.Trial, step: int, values: tuple[float, ...]) -> Trial:
    """Return a trial with its objectives at a step; of one objective, report it to Optuna, which takes no more."""
    if len(values) == 1:
        optuna_trial.report(values[0], step)
    return replace(trial, steps=(*trial.steps, (step, values)))


def with_report(
    trial: Trial, optuna_trial: optuna.Trial, step: int, scores: Mapping[str, float], study: Study
) -> Trial:
    """Return a trial that runs with what it reported, as pruned where Optuna's pruner ends it.

    What no pruner can judge is left out: objectives that are missing or not finite, and steps that do not rise.
    """
    values = study.values(replace(trial, scores=scores))
    if values is None or not all(map(math.isfinite, values)) or (trial.steps and step <= trial.steps[-1][0]):
        return trial
    trial = with_step(trial, optuna_trial, step, values)
    if len(values) == 1 and optuna_trial.should_prune():
        return replace(trial, state=State.PRUNED, reason=f"ended after step {step}: it did not promise enough")
    return trial


def tell(optuna_study: optuna.Study, optuna_trial: optuna.Trial, trial: Trial, study: Study) -> bool:
    """Tell Optuna the result of a trial that ended; return False where its sampler has nothing more to propose.

    Raises:
        RuntimeError: from the sampler.
    """
    state, values, constraints = optuna_result(trial, study)
    for name, excess in constraints.items():
        optuna_trial.set_constraint(name, excess)
    try:
        optuna_study.tell(optuna_trial, values, state=state)
    except RuntimeError as error:
        # A sampler of Optuna's that has proposed everything stops the study, which is refused outside its own loop.
        if "Study.stop" not in str(error):
            raise
        return False
    return not (isinstance(optuna_study.sampler, GenotypeSampler) and optuna_study.sampler.exhausted)


def enqueue(
    optuna_study: optuna.Study,
    space: SearchSpace,
    genotype: Genotype,
    decided: RecipeDecisions = NOTHING_DECIDED,
    recipe: Mapping[str, Any] | None = None,
) -> optuna.Trial:
    """Return a new trial of Optuna's with decisions that did not come from its sampler.

    Args:
        optuna_study: takes the trial.
        space: of the genotype.
        genotype: of the network.
        decided: what is decided of the recipe.
        recipe: these decisions.

    Raises:
        KeyError, ValueError: they are none of the space, or of the recipe.
    """
    recipe = recipe or {}
    optuna_study.enqueue_trial({**genotype, **with_prefix(recipe)})
    optuna_trial = optuna_study.ask()
    assert space.suggest(optuna_trial) == genotype
    if suggest_recipe(decided, optuna_trial) != recipe:
        raise ValueError(f"its recipe {dict(recipe)!r:.200} is none of search.recipe")
    return optuna_trial


def distributions_of(trial: Trial, study: Study) -> dict[str, BaseDistribution]:
    """Return the distributions of all that a trial has decided, by name.

    Raises:
        KeyError: it is no trial of the study.
    """
    choices, recipe = study.space.decisions(), recipe_distributions(study.recipe)
    of_network = {path: distribution_of(choices[path]) for path in trial.genotype}
    return {**of_network, **{name: recipe[name] for name in with_prefix(trial.recipe)}}


def add_recorded(optuna_study: optuna.Study, trial: Trial, study: Study) -> optuna.Trial | None:
    """Add a trial of an earlier session to Optuna's study.

    Returns:
        Optuna's trial of one that is paused or was interrupted; None for one that has ended.

    Raises:
        ConfigError: it is no trial of the space.
    """
    try:
        return _added(optuna_study, trial, study)
    except (KeyError, ValueError) as error:
        raise ConfigError(f"resume: trial {trial.number} does not fit the space: {error}") from None


def _added(optuna_study: optuna.Study, trial: Trial, study: Study) -> optuna.Trial | None:
    steps = {step: values[0] for step, values in trial.steps} if len(study.objectives) == 1 else {}
    if trial.state in (State.PAUSED, State.INTERRUPTED):
        optuna_trial = enqueue(optuna_study, study.space, trial.genotype, study.recipe, trial.recipe)
        for step, value in steps.items():
            optuna_trial.report(value, step)
        return optuna_trial
    if not study.recipe.states(trial.recipe):
        raise ValueError(f"its recipe {dict(trial.recipe)!r:.200} is none of search.recipe")
    state, values, constraints = optuna_result(trial, study)
    optuna_study.add_trial(
        optuna.trial.create_trial(
            state=state,
            values=values,
            params=trial.decisions,
            distributions=distributions_of(trial, study),
            constraints=constraints,
            intermediate_values=steps,
        )
    )
    return None


def restore_rungs(halving: Halving, trial: Trial, study: Study) -> None:
    """Add a trial of an earlier session to successive halving, with the rungs that it has ended."""
    if trial.first_rung is None:
        return
    if trial.state is State.INTERRUPTED:  # on its first rung, which it begins anew
        halving.begin(trial.number)
        return
    halving.restore(
        trial.number,
        trial.first_rung,
        [(step - 1, signed(values, study)) for step, values in trial.steps],
        alive=trial.state is State.PAUSED,
        failed=trial.state in (State.FAILED, State.REJECTED),
    )


def after_rung(halving: Halving, trial: Trial, optuna_trial: optuna.Trial, rung: int, study: Study) -> Trial:
    """Return a trial that has had the budget of a rung: completed on the last one, paused on the others."""
    values = study.values(trial)
    assert values is not None
    trial = with_step(trial, optuna_trial, rung + 1, values)
    last = halving.ended(trial.number, signed(values, study))
    return replace(trial, state=State.COMPLETED if last else State.PAUSED)


def signed(values: Sequence[float], study: Study) -> tuple[float, ...]:
    """Return the values of the objectives so that larger is better."""
    return tuple(objective.sign * value for objective, value in zip(study.objectives, values, strict=True))
