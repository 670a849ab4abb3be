"""`python -m nas.limits`: what limits leave of a space, before a search."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from nas.console import run
from nas.errors import ConfigError, SpaceError
from nas.json_output import add_facts
from nas.resources import spaces_to_search
from nas.search.config import Config, calibration, other_input
from nas.space import SearchSpace
from nas.space.describe import extreme, input_text
from nas.space.explain import explain
from nas.space.explain_text import infeasible, lines
from nas.space.tree.genotype import count_text


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
    if config.chooses_space:
        raise ConfigError(f"which space? nas limits explains one: give +space=NAME. {spaces_to_search()}")
    space = shaped(config.load_space(), config)
    fit = config.fitted(space)
    space = fit.space
    constraints = space.limits_with(config.constraints, config.soft)
    hard = [limit for limit in constraints if not limit.soft and not limit.after_training]
    if late := [str(limit) for limit in constraints if limit.after_training and not limit.soft]:
        print(f"Left out, since only training shows it: {', '.join(late)}")
    if not hard:
        soft = " Soft ones do not exclude anything." if constraints else ""
        raise ConfigError(
            f"no limits: give one, such as constraints.params=5e5; python -m nas.space shows the costs.{soft}"
        )
    predict = None
    print(f"{space.name}: {count_text(space.size())} genotypes, {input_text(space)}")
    if line := fit.line():
        print(line)
    if any(limit.measured for limit in hard):
        profile, how = config.profile()
        predict = profile.interval if profile else None
        if predict is None and all(limit.measured for limit in hard):
            raise ConfigError(
                "a limit on latency needs a device profile to be explained; "
                f"{calibration(config, space)} makes one for {config.deployment}"
            )
        print(f"Latency: {config.deployment}; {how}" if profile else f"The limit on latency is left out: {how}")
        if profile is not None and (hint := other_input(config, space, profile)):
            print(hint)
    explanation = explain(space, constraints, seed=config.seed, workload=config.workload, predict=predict)
    smallest = extreme(space, largest=False, seed=config.seed)
    add_facts(
        {
            "space": space.name,
            "genotypes": space.size(),
            "input_shape": space.input_shape,
            "num_classes": space.num_classes,
            "width_multiplier": fit.multiplier,
            **explanation.to_dict(),
            "smallest": {"genotype": smallest.genotype, "cost": smallest.cost.to_dict(), "exact": smallest.exact},
        }
    )
    print()
    for line in lines(explanation):
        print(line)
    how = "" if smallest.exact else " found"
    print(
        f"\nSmallest network{how}: {smallest.cost.params:,} params, {smallest.cost.macs:,} MACs, "
        f"{smallest.cost.size_mib:.2f} MiB"
    )
    if explanation.infeasible:
        raise SpaceError(infeasible(explanation))
    what = "may hold them (its latency is unknown)" if explanation.nearest.unsure else "holds them"
    print(f"\nA candidate that {what}: {json.dumps(explanation.nearest.genotype)}")
