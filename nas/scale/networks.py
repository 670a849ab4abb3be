"""The networks of a study: found, counted, shown and written down before anything is trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from nas.cost import LATENCY, cost_of
from nas.errors import ConfigError
from nas.network.architecture import Architecture
from nas.scale.config import ScaleConfig
from nas.scale.family import family, table, write_family
from nas.scale.latency import Latencies
from nas.scale.law import why_insufficient
from nas.scale.means import Observation
from nas.scale.rules import Rule
from nas.scale.solve import Member, counted
from nas.scale.sweep import regularised


@dataclass(frozen=True)
class Networks:
    """What a study is about, all found before anything is trained, since a rule may not have a size."""

    families: dict[str, list[Member]]
    """By the name of their rule."""
    ahead: Member | None
    """The network of the forecast that will be tried."""
    latencies: Latencies | None = None
    """What measures them, where that is wanted."""

    @property
    def members(self) -> list[Member]:
        every = [one for family in self.families.values() for one in family]
        return every if self.ahead is None else [*every, self.ahead]

    @property
    def only(self) -> list[Member]:
        """The family of a study of one rule."""
        (members,) = self.families.values()
        return members


def networks_of(config: ScaleConfig, base: Architecture) -> Networks:
    """Return the networks of a study; raises `NasError` where a rule has no network of a size that is asked for."""
    latencies = _latencies(config)
    if config.mode == "coefficients":  # which networks are tried hangs on what those before them showed
        return Networks({}, None, latencies)
    of = partial(
        family,
        base,
        metric=config.budget,
        measure=latencies.ms if config.budget == LATENCY and latencies is not None else counted(config.budget),
        rounding=config.rounding,
        tolerance=config.tolerance,
    )
    phis, times = config.sizes
    rules = config.scaled_by()
    cost = cost_of(base)

    def trained(rule: Rule, phis: Sequence[float], times: Sequence[float]) -> list[Member]:
        return [regularised(one, cost, config.by_size) for one in of(rule, phis=phis, times=times)]

    families = {rule.name: trained(rule, phis, times) for rule in rules}
    if config.forecast is None or config.mode == "plan":
        return Networks(families, None, latencies)
    macs = {float(one.cost.macs) for one in families[rules[0].name]}
    reason = why_insufficient([Observation((size,), 1.0, f"{size} {i}") for size in macs for i in range(config.seeds)])
    if reason:
        raise ConfigError(f"forecast: insufficient: {reason}")
    (ahead,) = trained(rules[0], [], [config.forecast])
    if any(one.arch == ahead.arch for one in families[rules[0].name]):
        raise ConfigError(f"forecast={config.forecast:g} is one of the sizes that the law is fitted to: give another")
    return Networks(families, ahead, latencies)


def _latencies(config: ScaleConfig) -> Latencies | None:
    """What measures latencies, where they are wanted, with what an earlier session measured."""
    if not config.measures:
        return None
    records = Path(config.records.dir).expanduser()
    found = Latencies(config.inference.deployment, records, partial(print, flush=True))
    if config.resume:
        found.read(records / str(config.name))
    return found


def write_networks(config: ScaleConfig, base: Architecture, networks: Networks, folder: Path) -> list[str]:
    """Write the architectures and their table to the study's folder, and return the table for people."""
    latencies = networks.latencies
    if latencies is None:
        write_family(networks.members, cost_of(base), folder)
        return table(networks.members, cost_of(base))
    latencies.keep(folder)
    if not config.reports:  # else they are measured after training, which by then has left the machine quiet
        latencies.of(one.arch for one in networks.members)
    ms = latencies.known()
    write_family(networks.members, cost_of(base), folder, ms)
    return [*table(networks.members, cost_of(base), ms), *([latencies.how()] if ms else [])]


def base_line(base: Architecture, latencies: Latencies | None) -> str:
    """What the base is and costs, which `times` are multiples of."""
    cost, ms = cost_of(base), latencies.known().get(base.arch_id) if latencies is not None else None
    return (
        f"base: input {'x'.join(map(str, base.input_shape))}, {cost.params:,} params, {cost.macs:,} MACs, peak "
        f"{cost.peak_memory_mib:.3g} MiB{f', {ms:.4g} ms' if ms is not None else ''}"
    )
