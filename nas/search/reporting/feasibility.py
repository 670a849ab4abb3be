"""What a search says before it starts: how much of the space its limits leave, and whether that is nothing."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from nas.cost import Constraint
from nas.errors import SpaceError
from nas.latency.deployment import Deployment
from nas.latency.measure import Meter
from nas.network.architecture import Architecture
from nas.search.config import Config, other_input
from nas.space import SearchSpace
from nas.space.explain import explain
from nas.space.explain_text import infeasible, percent
from nas.space.feasible import feasible

_LOOKED = 1500


def look_ahead(config: Config, space: SearchSpace, say: Callable[[str], None], *, resumed: bool = False) -> None:
    """Say how much of a space the limits of a search leave; of one that is resumed, only how it goes on.

    Raises:
        SpaceError: nothing was found that holds them.
    """
    every = space.limits_with(config.constraints, config.soft)
    profile = None
    if any(limit.measured for limit in every):
        profile, how = config.profile()
        say(f"Latency: {config.deployment}; {how}")
        if profile is not None and (hint := other_input(config, space, profile)):
            say(hint)
    if resumed:
        return
    soft = ", ".join(str(limit) for limit in every if limit.soft)
    if soft:
        cost = f"{config.search.soft_weight:g} of {config.search.objective}"
        say(f"Soft limits: {soft}; being over one by all of it costs {cost}")
    predict = profile.interval if profile else None
    constraints = [limit for limit in every if not limit.soft and (predict or not limit.measured)]
    if constraints:
        limits = ", ".join(map(str, constraints))
        say(f"Looking for networks that hold {limits} ...")
        found = explain(space, constraints, samples=1000, seed=config.seed, workload=config.workload, predict=predict)
        if found.infeasible:
            raise SpaceError(
                f"{infeasible(found)}. python -m nas.limits with the same settings says what would let more in"
            )
        which = "all" if found.accepted.exact else "random"
        unsure = f"; of {percent(found.unsure)} the latency has to be measured" if found.unsure.count else ""
        say(f"Limits: {percent(found.accepted)} of {which} genotypes hold {limits}{unsure}")
        if predict and found.accepted.count:
            return
    _try_smallest(space, [limit for limit in every if limit.measured and not limit.soft], config.deployment)


def _try_smallest(space: SearchSpace, limits: Sequence[Constraint], deployment: Deployment) -> None:
    """Measure some of the smallest networks: where all of them take too long, no search finds one that does not."""
    for limit in limits:
        networks = [_smallest(space, metric) for metric in ("macs", "activations", "params")]
        least = min(one.ms for one in Meter(deployment).measure_all(networks))
        if least > limit.high:
            raise SpaceError(
                f"no network of the space holds {limit}, as far as the smallest ones show: those with the fewest "
                f"multiply-adds, activations and parameters that were found take {least:.4g} ms or more ({deployment})"
            )


def _smallest(space: SearchSpace, metric: str) -> Architecture:
    """Come as near to none of a metric as mutation does."""
    return feasible(space, [Constraint(metric, high=0)], random.Random(0), most=_LOOKED)[0].architecture
