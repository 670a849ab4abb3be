"""What was asked of a search and what came out, in sentences."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import isfinite

from nas.cost import Constraint
from nas.reports.importance import Importance, Share
from nas.reports.markup import percent, score_text
from nas.reports.search_figures import completed, normalised_hypervolume
from nas.reports.search_record import SearchRecord
from nas.search.objectives import Objective
from nas.search.reporting.progress import duration
from nas.search.reporting.rejections import Rejection
from nas.search.reporting.summary import expected_gain
from nas.search.study import Study
from nas.search.trial import Trial
from nas.space.tree.genotype import count_text

_TOLD = ("params", "macs", "size_mib", "latency_ms")
"""Costs that are told of any network."""
_SHOWN = 0.02
"""A decision is said to matter where at least so much of the variance is due to it."""


def asked(record: SearchRecord) -> str:
    """Return what was asked of a search."""
    study = record.study
    goal = " and ".join(f"{_aim(one.direction)} {one.name}" for one in study.objectives)
    hard = [limit_text(limit) for limit in record.limits if not limit.soft]
    soft = [limit_text(limit) for limit in record.limits if limit.soft]
    limits = f" under the limits {', '.join(hard)}" if hard else " without limits"
    softly = f", softly {', '.join(soft)}" if soft else ""
    data = f" on {record.data['name']}" if "name" in record.data else ""
    shape = "x".join(map(str, study.space.input_shape))
    return (
        f"Asked: in the space {study.space.name} ({count_text(study.space.size())} genotypes) the network with the "
        f"{goal}{limits}{softly}{data} (input {shape}, {study.space.num_classes} classes), proposed by the sampler "
        f"{record.saved.get('sampler', 'unknown')} with seed {record.saved.get('seed', 'unknown')}."
    )


def _aim(direction: str) -> str:
    return "highest" if direction == "maximize" else "lowest"


def limit_text(limit: Constraint) -> str:
    """Return a limit as `params at most 60,000`."""
    low = f" at least {cost_text(limit.low)}" if isfinite(limit.low) else ""
    high = f" at most {cost_text(limit.high)}" if isfinite(limit.high) else ""
    return f"{limit.metric}{' and'.join(filter(None, [low, high]))}"


def cost_text(value: float) -> str:
    """Return a cost: whole where it is a count, else with six digits; what is no finite number as `n/a`."""
    if not isfinite(value):  # a latency in 8 bits of what cannot be had in them
        return "n/a"
    return f"{value:,.0f}" if value == round(value) else f"{value:,.6g}"


def came_out(record: SearchRecord) -> Iterator[str]:
    """Yield what came out of a search."""
    study = record.study
    counts = {name: count for name, count in study.counts().items() if count}
    ended = f" It ended: {study.stop_reason}." if study.stop_reason else ""
    elapsed = max((trial.elapsed for trial in study.trials), default=0.0)
    tally = ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in counts.items()) or "none"
    yield f"Candidates in {duration(elapsed)}: {tally}.{ended}"
    winner = study.winner
    if winner is None:
        yield "Nothing was evaluated to its end within the limits, so there is no best network."
        return
    which = "The knee of the front" if len(study.objectives) > 1 else "The best"
    yield f"{which} is {winner_words(study, winner)}."
    yield from _front_words(study)
    tried = study.compared
    if tried > 1:
        yield (
            f"It was selected out of {tried:,} by this very score, which is therefore optimistic: luck is selected "
            "too. Trained anew, expect worse; nas finish says by how much."
        )
    yield from expected_gain(study)


def winner_words(study: Study, winner: Trial) -> str:
    """Return which trial a network is of, its scores and its costs."""
    scores = [one for one in study.objectives if one.name not in _TOLD]
    said = ", ".join(f"{one.name} {objective_text(study, one, winner)}{folds_text(winner, one.name)}" for one in scores)
    cost = winner.cost
    costs = f", {cost.params:,} parameters, {cost.macs:,} multiply-adds, {cost.size_mib:.2f} MiB" if cost else ""
    latency = f", {winner.latency.ms:.3f} ms" if winner.latency else ""
    design = f" (the known design {winner.design})" if winner.design else ""
    return f"trial {winner.number}{design} with {said}{costs}{latency}"


def folds_text(trial: Trial, name: str) -> str:
    """Return how much a score differs between folds, where there are some."""
    deviation = trial.deviation(name)
    return (
        "" if deviation is None else f" (mean of {len(trial.folds)} folds, standard deviation {score_text(deviation)})"
    )


def objective_text(study: Study, objective: Objective, trial: Trial) -> str:
    """Return the value of an objective of a trial."""
    value = objective.value(trial, study.workload)
    if value is None:
        return "n/a"
    return cost_text(value) if objective.is_cost else score_text(value)


def _front_words(study: Study) -> Iterator[str]:
    volumes = normalised_hypervolume(study)
    if volumes:
        names = " and ".join(one.name for one in study.objectives)
        yield (
            f"The front has {len(study.front())} networks. Between the worst and the best {names} that were found, "
            f"they are at least as good in all objectives as {percent(volumes[-1])} of all combinations (the "
            "hypervolume, 1 being the ideal point)."
        )


def importance_words(found: Importance | None, study: Study) -> str:
    """Return what the chart of the decisions says, or why there is none."""
    if found is None:
        return (
            f"Of {len(completed(study))} evaluated networks nothing can be said of what matters: it takes at least 12 "
            "with different scores."
        )
    of = f"Of the variance of {study.objective} over networks drawn from the space"
    clear = [f"{name} {share_text(share)}" for name, share in found.decisions.items() if share.low >= _SHOWN]
    rest = f"What decisions do only together, and noise, make {share_text(found.rest)}."
    if not clear:
        most = max(found.decisions.values(), key=lambda share: share.high)
        return (
            f"{of}, no decision is shown to explain a part: {found.trials} networks are too few for that many "
            f"decisions, each of which may still explain up to {percent(most.high)}. {rest}"
        )
    last = " and ".join([", ".join(clear[:-1]), clear[-1]]) if len(clear) > 1 else clear[0]
    return f"{of}, these decisions explain a part by themselves, with 95 % intervals: {last}. {rest}"


def share_text(share: Share) -> str:
    """Return a share with its interval, in whole per cents."""
    return f"{percent(share.share)} ({100 * share.low:.0f} to {100 * share.high:.0f})"


def rejection_words(found: Sequence[Rejection], record: SearchRecord) -> str:
    """Return what the table of rejections says, or why there is none."""
    looked = [trial.guided for trial in record.study.trials if trial.guided]
    guided = (
        f" {len(looked)} candidates were found by mutation towards the limits, among {sum(looked):,} looked at."
        if looked
        else ""
    )
    if not found:
        own = " The sampler counts costs itself and proposes nothing that is over a limit."
        return f"No candidate was rejected.{own if record.limits else ''}{guided}"
    return f"Nearest miss: the rejected candidate that is over the limit by the smallest share of it.{guided}"


def value_text(value: object) -> str:
    """Return an option of a decision as a space file has it."""
    return str(value).lower() if isinstance(value, bool) else str(value)
