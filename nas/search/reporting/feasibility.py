"""Reports before a search starts how much of the space its limits leave, and ends it where that is nothing."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from nas.cost import Constraint
from nas.errors import SpaceError
from nas.latency.deployment import Deployment
from nas.latency.known import KnownLatencies
from nas.latency.measure import Meter
from nas.network.architecture import Architecture
from nas.search.config import Config, other_input
from nas.space import SearchSpace
from nas.space.explain import explain
from nas.space.explain_text import infeasible, percent
from nas.space.feasible import feasible

_MAX_EXAMINED = 1500
"""Candidates that are examined for a small network."""


def report_feasibility(
    config: Config, space: SearchSpace, show: Callable[[str], None], *, resumed: bool = False
) -> None:
    """Show how much of a space the limits of a search leave.

    Args:
        config: of the search.
        space: made for its data.
        show: takes each line.
        resumed: whether the search is resumed: then only the latency is reported.

    Raises:
        SpaceError: no network of the space was found that holds the limits.
    """
    limits = space.limits_with(config.constraints, config.soft)
    profile = None
    if any(limit.measured for limit in limits):
        profile, how = config.profile()
        show(f"Latency: {config.deployment}; {how}")
        folder = config.known_latencies
        if folder is not None and (known := len(KnownLatencies(Meter(config.deployment), folder))):
            show(f"  {known:,} networks were measured by earlier searches (inference.remeasure=true measures again)")
        if profile is not None and (hint := other_input(config, space, profile)):
            show(hint)
    late = ", ".join(str(limit) for limit in limits if limit.after_training and not limit.soft)
    if late:
        show(f"Limits on what only training shows, so that networks over them are trained all the same: {late}")
    if resumed:
        return
    soft = ", ".join(str(limit) for limit in limits if limit.soft)
    if soft:
        cost = f"{config.search.soft_weight:g} of {config.search.objective}"
        show(f"Soft limits: {soft}; being over one by all of it costs {cost}")
    predict = profile.interval if profile else None
    constraints = [limit for limit in limits if not limit.soft and (limit.counted or (predict and limit.measured))]
    if constraints:
        text = ", ".join(map(str, constraints))
        show(f"Looking for networks that hold {text} ...")
        share = explain(space, constraints, samples=1000, seed=config.seed, workload=config.workload, predict=predict)
        if share.infeasible:
            raise SpaceError(
                f"{infeasible(share)}. python -m nas.limits with the same settings says what would let more in"
            )
        which = "all" if share.accepted.exact else "random"
        unsure = f"; of {percent(share.unsure)} the latency has to be measured" if share.unsure.count else ""
        show(f"Limits: {percent(share.accepted)} of {which} genotypes hold {text}{unsure}")
        if predict and share.accepted.count:
            return
    _try_smallest(space, [limit for limit in limits if limit.measured and not limit.soft], config.deployment, show)


def _try_smallest(
    space: SearchSpace, limits: Sequence[Constraint], deployment: Deployment, show: Callable[[str], None]
) -> None:
    """Raise `SpaceError` where even the smallest networks, which are measured, are over a limit on latency."""
    for limit in limits:
        show("Measuring the smallest networks of the space ...")
        networks = [_smallest(space, metric) for metric in ("macs", "activations", "params")]
        least = min(latency.ms for latency in Meter(deployment).measure_all(networks))
        if least > limit.high:
            raise SpaceError(
                f"no network of the space holds {limit}, as far as the smallest ones show: those with the fewest "
                f"multiply-adds, activations and parameters that were found take {least:.4g} ms or more ({deployment})"
            )


def _smallest(space: SearchSpace, metric: str) -> Architecture:
    """Return the network with the least of a metric that mutation finds."""
    return feasible(space, [Constraint(metric, high=0)], random.Random(0), most=_MAX_EXAMINED)[0].architecture
