"""Learns how long a search will take: trains random candidates of it for a moment on its workers."""

from __future__ import annotations

import random
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from math import inf
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from nas.cost import Constraint
from nas.errors import DeviceError
from nas.evaluation import Budget, Evaluator
from nas.latency.measure import Meter
from nas.search.budgets.rung_counts import added_epochs, trials_by_rung
from nas.search.config import Config
from nas.search.first import first_proposals
from nas.search.reporting.estimate import LEAST_PROBED, Candidates, Estimate, Measuring, Probed, Rung, estimate
from nas.search.reporting.proposal_time import proposal_seconds
from nas.search.samplers.predictor import RANDOM_TRIALS
from nas.search.warm_start import earlier_results
from nas.seeds import derived_seed
from nas.space import Genotype, SearchSpace
from nas.space.feasible import Candidate, examine, feasible
from nas.workers.evaluating import Task
from nas.workers.pool import Pool

_LEAST_IMAGES = 100_000
"""A search that trains on fewer, all epochs of all trials together, takes a minute or so, and is not probed before."""
_PROBED = 5
"""Candidates that are trained for a moment, at least; so many more that all workers are busy to the end."""
_SECONDS = 8.0
"""After which no other candidate is begun, where enough have ended; steps that take seconds make it longer."""
_ACCEPTED, _EXAMINED = 100, 1000
"""Random candidates that hold the limits are drawn until there are so many, or so many were examined."""
_NEVER_LEARN = ("random", "uniform", "grid")
"""Samplers that propose the same whatever trials have shown."""


@dataclass(frozen=True)
class Outlook:
    """What was learned of the time of a search."""

    estimate: Estimate | None
    """None where too few candidates could be trained."""
    probed: int
    """Candidates that were."""
    problem: str = ""
    """Why a candidate could not be trained."""


def worth_probing(config: Config, images: int) -> bool:
    """Whether a search on so many training images takes long enough for a probe, and does not end by its minutes."""
    trials = config.search.known_trials
    if config.search.minutes is not None or trials is None:
        return False
    walks = sum(rung.trials * rung.epochs * rung.budget.data_fraction for rung in rungs_of(config, trials))
    return walks * images >= _LEAST_IMAGES


def probe(config: Config, space: SearchSpace, evaluator: Evaluator, pool: Pool, *, at_once: int) -> Outlook:
    """Train random candidates that hold the limits for a moment, and estimate the time of the search from that.

    All workers are busy with it, as they will be. The search is not changed by it: it has seeds of its own, and no
    trial comes of it.

    Args:
        config: of the search.
        space: made for its data.
        evaluator: what times an evaluation (`EvaluatorSettings.probe`).
        pool: of the search, in which nothing runs.
        at_once: candidates that it trains at a time.
    """
    config = config.with_portfolio(space)
    limits = space.limits_with(config.constraints, config.soft)
    drawn, first = _drawn(config, space, limits), _first(config, space, limits)
    if not drawn:
        return Outlook(None, 0)
    work, trials = _work_among(drawn), config.search.known_trials
    count = -(-max(_PROBED, 3 * at_once) // at_once) * at_once
    probed, problem = _probed(_chosen(first, drawn, work, count, trials=trials), work, config, evaluator, pool)
    if len(probed) < LEAST_PROBED:
        return Outlook(None, len(probed), problem)
    known, random_ones, measuring = [*map(work, first)], [*map(work, drawn)], None
    if config.measures(space):
        with pool.paused():
            latencies = _latencies(config, limits, _spread(drawn, work, _PROBED), work)
        if latencies is not None:
            known, holding = [*filter(latencies.holds, known)], [*filter(latencies.holds, random_ones)]
            measuring = Measuring(latencies.seconds, len(holding) / len(random_ones))
            random_ones = holding or [min(random_ones)]
    learns = None if config.sampler.name in _NEVER_LEARN else RANDOM_TRIALS
    some = drawn[: max(RANDOM_TRIALS, (trials or _ACCEPTED) // 2)]
    proposal = 0.0 if learns is None else proposal_seconds(config, space, some, limits)
    candidates = Candidates(tuple(known), tuple(random_ones), learns, len(config.search.objectives))

    def estimated(trials: int) -> Estimate:
        rungs = rungs_of(config, trials)
        return estimate(
            rungs, probed, candidates, trials=trials, workers=at_once, measuring=measuring, proposal=proposal
        )

    minutes = config.search.minutes
    found = estimated(trials or _PROBED)
    for _ in range(3 if trials is None else 0):
        assert minutes is not None
        # What a sampler learns, and who is promoted, depends on how many there are.
        found = estimated(max(1, round(found.fitting(60 * minutes).middle)))
    return Outlook(found, len(probed))


def rungs_of(config: Config, count: int) -> list[Rung]:
    """Return what so many trials of a search get on each rung."""
    budgets = config.pruner.budgets(config.budget)
    counts = trials_by_rung(config.pruner, config.budget, count)
    return [Rung(*one) for one in zip(counts, added_epochs(config.pruner, budgets), budgets, strict=True)]


def _drawn(config: Config, space: SearchSpace, limits: Sequence[Constraint]) -> list[Candidate]:
    """Draw random candidates that hold the limits, as a sampler does before it has learned anything."""
    rng = random.Random(derived_seed(config.seed, "probe"))
    profile = config.profile()[0] if config.measures(space) else None
    predict = profile.interval if profile is not None else None
    found: list[Candidate] = []
    for _ in range(_EXAMINED):
        candidate = examine(space, space.sample(rng), limits, config.workload, predict)
        found += [candidate] if candidate.accepted else []
        if len(found) == _ACCEPTED:
            break
    while len(found) < _PROBED:  # so tight are the limits: the search too comes near them by mutation
        candidate, _ = feasible(space, limits, rng, config.workload, predict)
        if not candidate.accepted:
            break
        found.append(candidate)
    return found


@dataclass(frozen=True)
class _Work:
    """What the time of a training is about proportional to: multiply-adds and activations, of the same weight.

    Either of them alone says less: small networks wait for memory, large ones for arithmetic.
    """

    macs: float
    """Mean of random candidates."""
    activations: float
    """Likewise."""

    def __call__(self, candidate: Candidate) -> float:
        """Return it, as 1 for what is like the mean in both."""
        assert candidate.cost is not None
        return (candidate.cost.macs / self.macs + candidate.cost.activations / self.activations) / 2


def _work_among(drawn: Sequence[Candidate]) -> _Work:
    costs = [candidate.cost for candidate in drawn if candidate.cost is not None]
    means = (fmean(getattr(cost, name) for cost in costs) for name in ("macs", "activations"))
    return _Work(*(max(1.0, mean) for mean in means))


def _chosen(
    first: Sequence[Candidate], drawn: Sequence[Candidate], work: _Work, count: int, *, trials: int | None
) -> list[Candidate]:
    """Return so many candidates to be probed: of those that come first and of the drawn, as the search will have them.

    From each they are those in the middle of equal parts by their work.
    """
    share = 0.0 if trials is None else min(1.0, len(first) / trials)
    known = min(len(first), round(share * count))
    return [*_spread(first, work, known), *_spread(drawn, work, count - known)]


def _spread(candidates: Sequence[Candidate], work: _Work, count: int) -> list[Candidate]:
    """Return so many candidates, from the middle of as many equal parts by work."""
    ordered = sorted(candidates, key=work)
    return [ordered[int((part + 0.5) * len(ordered) / count)] for part in range(count)] if ordered else []


def _probed(
    chosen: Sequence[Candidate], work: _Work, config: Config, evaluator: Evaluator, pool: Pool
) -> tuple[list[Probed], str]:
    """Train candidates for a moment, as many at a time as there are workers; returns also why one failed."""
    left = [*enumerate(chosen)]
    random.Random(derived_seed(config.seed, "probe", "order")).shuffle(left)
    # The first training of a process takes up to five times as long: one on each worker, which does not count.
    left += [(len(chosen) + worker, chosen[len(chosen) // 2]) for worker in range(pool.free)]
    running: dict[int, Candidate] = {}
    found, problem, started = list[Probed](), "", time.monotonic()
    while left or running:
        expected = len(found) + sum(number >= -len(chosen) for number in running)
        if time.monotonic() - started > _SECONDS and expected >= LEAST_PROBED:
            left.clear()
        while left and pool.free:
            place, candidate = left.pop()
            running[-1 - place] = candidate  # no number of a trial
            seed = derived_seed(config.seed, "probe", place)
            pool.submit(Task(-1 - place, candidate.architecture, Budget(), seed, evaluator))
        for outcome in pool.wait(1.0):
            candidate = running.pop(outcome.number)
            if outcome.evaluation is None:
                problem = outcome.reason
            elif -1 - outcome.number < len(chosen):
                found.append(_from_seconds(work(candidate), outcome.evaluation.seconds))
    return found, problem


def _from_seconds(work: float, seconds: Mapping[str, Any]) -> Probed:
    return Probed(work, seconds["start_up"], seconds["train_epoch"], seconds["validation"])


@dataclass(frozen=True)
class _Latencies:
    """What was measured of some candidates."""

    seconds: float
    """Of a measurement."""
    mean_work: float
    mean_ms: float
    slope: float
    """Of a line of latency over work."""
    limit: float
    """In ms; inf where there is none."""

    def holds(self, work: float) -> bool:
        """Whether a candidate will hold the limit, as far as the line says."""
        return self.mean_ms + self.slope * (work - self.mean_work) <= self.limit


def _latencies(
    config: Config, limits: Sequence[Constraint], chosen: Sequence[Candidate], work: _Work
) -> _Latencies | None:
    """Measure some candidates; None where none can be, of which the search says more."""
    meter, found, started = Meter(config.deployment), list[tuple[float, float]](), time.monotonic()
    for candidate in chosen:
        with suppress(DeviceError):
            found.append((work(candidate), meter.measure(candidate.architecture).ms))
    if not found:
        return None
    x, ms = np.array(found).T
    slope = float(np.polyfit(x, ms, 1)[0]) if len(set(x)) > 1 else 0.0
    most = min((limit.high for limit in limits if limit.measured and not limit.soft), default=inf)
    seconds = (time.monotonic() - started) / len(chosen)
    return _Latencies(seconds, float(x.mean()), float(ms.mean()), slope, most)


def _first(config: Config, space: SearchSpace, limits: Sequence[Constraint]) -> list[Candidate]:
    """Return what the search begins with, before its sampler is asked."""

    def checked(genotype: Genotype) -> Candidate:
        return examine(space, genotype, limits, config.workload)

    search = config.search
    known = earlier_results(Path(search.warm_start), space) if search.warm_start is not None else ()
    first = first_proposals(search, space, known, checked, limits=limits, workload=config.workload)
    candidates = [checked(one.genotype) for one in first]
    return [candidate for candidate in candidates if candidate.accepted]
