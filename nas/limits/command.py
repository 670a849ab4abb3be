"""`python -m nas.limits`: what limits leave of a space, before a search."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from nas.console import run
from nas.cost import Constraint
from nas.errors import ConfigError, SpaceError
from nas.limits.explain import Explanation, LimitEffect, Share, explain
from nas.search.config import Config
from nas.space import SearchSpace, load_space
from nas.space.describe import extreme
from nas.space.tree import count_text

INFEASIBLE = "no network of the space holds the limits"


def limits(values: Mapping[str, Any]) -> int:
    """Explain the limits of some settings; returns the exit code: 2 where nothing holds them."""
    return run("nas.limits", lambda: _explain(Config.from_values(values)))


def shaped(space: SearchSpace, config: Config) -> SearchSpace:
    """Return the space for the data of a search, which are read only where nothing else tells their shape."""
    known = config.data.known_shape()
    if known is None:
        from nas.training.data.load import load_data

        data = load_data(config.data)
        known = data.input_shape, data.num_classes
    return space.for_data(*known)


def _explain(config: Config) -> None:
    space = shaped(load_space(config.space or ""), config)
    constraints = config.constraints_on(space)
    hard = [limit for limit in constraints if not limit.soft]
    if not hard:
        raise ConfigError("no limits: give one, such as constraints.params=5e5; python -m nas.space shows the costs")
    found = explain(space, constraints, seed=config.seed, workload=config.workload)
    shape = "x".join(map(str, space.input_shape))
    print(f"{space.name}: {count_text(space.size())} genotypes, input {shape}, {space.num_classes} classes\n")
    for line in lines(found):
        print(line)
    smallest = extreme(space, largest=False, seed=config.seed)
    how = "" if smallest.exact else " found"
    print(
        f"\nSmallest network{how}: {smallest.cost.params:,} params, {smallest.cost.macs:,} MACs, "
        f"{smallest.cost.size_mib:.2f} MiB"
    )
    if found.infeasible:
        raise SpaceError(
            f"{INFEASIBLE}{'' if found.accepted.exact else ' as far as sampling and guided sampling could find'}; "
            f"the nearest: {found.nearest.problem}"
        )
    print(f"\nA candidate that holds them: {json.dumps(found.nearest.genotype)}")


def lines(found: Explanation) -> list[str]:
    """Write an explanation for people."""
    accepted = found.accepted
    text = [f"Accepted: {percent(accepted)} of {accepted.of:,} genotypes" + ("" if accepted.exact else " drawn")]
    if not accepted.found and not found.infeasible:
        text.append("  none of those drawn, but mutation towards the limits finds some: a search does the same")
    if found.no_network.found:
        text.append(f"No network, since shapes do not fit: {percent(found.no_network)}")
    text += ["", "Limits"]
    for effect in found.effects:
        text.append(
            f"  {bounds(effect.limit)}: excludes {percent(effect.excluded)}, "
            f"{effect.alone.value:.2%} that no other limit does"
        )
        if effect.relaxed is not None:
            text.append(f"    {_relaxed(effect)} would accept 10 %, the other limits as they are")
    if found.weights:
        text += ["", "Decisions that matter most (share of the spread that each explains by itself)"]
        text += [f"  {one.metric:22} {one.explained:5.0%}  {one.decision}" for one in found.weights]
    if found.sections:
        text += ["", "Where the costs are (mean share of random networks)", f"  {'':12}{'params':>8}{'MACs':>8}"]
        text += [f"  {name:12}{params:8.0%}{macs:8.0%}" for name, params, macs in found.sections]
    return text


def percent(share: Share) -> str:
    """Write a share, with the interval that holds it 95 times of 100 where it is an estimate."""
    if share.exact:
        return f"{share.value:.2%}"
    low, high = share.interval()
    return f"{share.value:.2%} ({low:.2%} to {high:.2%})"


def bounds(limit: Constraint) -> str:
    """Write a limit, e.g. `params <= 500,000`."""
    low = f"{limit.low:,.6g} <= " if limit.low > -math.inf else ""
    return f"{low}{limit.metric}" + (f" <= {limit.high:,.6g}" if limit.high < math.inf else "")


def _relaxed(effect: LimitEffect) -> str:
    assert effect.relaxed is not None
    # Two digits, rounded to the side that lets more through.
    step = 10.0 ** (math.floor(math.log10(effect.relaxed)) - 1) if effect.relaxed > 0 else 1.0
    value = (math.floor if effect.relaxed_low else math.ceil)(effect.relaxed / step) * step
    return f"{effect.limit.metric} {'>=' if effect.relaxed_low else '<='} {value:,.6g}"
