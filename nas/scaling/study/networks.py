"""The networks of a study: found, counted, shown and written down before anything is trained."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from nas.cost import LATENCY, cost_of
from nas.errors import ConfigError, NasError
from nas.network.architecture import Architecture
from nas.scaling.family import distinct_members, family, note_lines, table_lines, write_family
from nas.scaling.laws.law import why_insufficient
from nas.scaling.laws.observations import Observation
from nas.scaling.rules import Rule
from nas.scaling.solve import Member, metric_counter
from nas.scaling.study.config import ScaleConfig
from nas.scaling.study.measured_latency import Latencies
from nas.scaling.study.sizes import regularised


@dataclass(frozen=True)
class Networks:
    """What a study is about, all found before anything is trained."""

    families: dict[str, list[Member]]
    """By the name of their rule."""
    ahead: Member | None
    """The network of the forecast that will be tried."""
    latencies: Latencies | None = None
    """What measures them, where that is wanted."""
    missing: tuple[str, ...] = ()
    """Which sizes a rule does not have, with the reason: the others go on without them."""

    @property
    def members(self) -> list[Member]:
        every = [one for family in self.families.values() for one in family]
        return every if self.ahead is None else [*every, self.ahead]

    @property
    def distinct_members(self) -> list[Member]:
        """Of a study of one rule what a law can be of: the different networks in its proportions."""
        (members,) = self.families.values()
        return distinct_members(members)

    @property
    def notes(self) -> list[str]:
        """What a report has to say of them beside their table."""
        return [*self.missing, *note_lines(self.members)]


def networks_of(config: ScaleConfig, base: Architecture) -> Networks:
    """Return the networks of a study.

    Raises:
        NasError: a rule that is not compared with others has no network of any size that is asked for, fewer than two
            that are compared have one, or what a law needs is not there.
    """
    latencies = _latencies(config)
    if config.mode == "coefficients":  # which networks are tried hangs on what those before them showed
        return Networks({}, None, latencies)
    families, missing = dict[str, list[Member]](), list[str]()
    for rule in config.scaled_by():
        members, reasons = _family(config, base, rule, latencies)
        missing += reasons
        if members:
            families[rule.name] = members
    if len(families) < (2 if config.mode == "compare" else 1):
        raise ConfigError("; ".join(missing))
    found = Networks(families, None, latencies, tuple(missing))
    if config.mode in ("isoflop", "plan") and not found.distinct_members:
        raise ConfigError(f"mode={config.mode}: no size is in the proportions of its rule: {found.notes[-1]}")
    return found if config.forecast is None or config.mode == "plan" else _with_forecast(config, base, found)


def _family(
    config: ScaleConfig, base: Architecture, rule: Rule, latencies: Latencies | None, forecast: float | None = None
) -> tuple[list[Member], list[str]]:
    """The members of one rule's family, and why it lacks sizes that were to be solved for; or that of a forecast."""
    of = partial(
        family,
        base,
        rule,
        metric=config.budget,
        measure=latencies.ms if config.budget == LATENCY and latencies is not None else metric_counter(config.budget),
        rounding=config.rounding,
        tolerance=config.tolerance,
    )
    phis, times = config.sizes if forecast is None else ([], [forecast])
    members, missing, cost = of(phis=phis), list[str](), cost_of(base)
    for one in times:
        try:
            members += of(times=[one])
        except NasError as error:
            missing.append(f"left out: {rule.name} at {one:g} times the base: {error}")
    return [regularised(one, cost, config.by_size) for one in members], missing


def _with_forecast(config: ScaleConfig, base: Architecture, networks: Networks) -> Networks:
    assert config.forecast is not None
    rule = config.scaled_by()[0]
    own = distinct_members(networks.families.get(rule.name, []))
    macs = {float(one.cost.macs) for one in own}
    reason = why_insufficient([Observation((size,), 1.0, f"{size} {i}") for size in macs for i in range(config.seeds)])
    if reason:
        raise ConfigError("; ".join([f"forecast: insufficient: {reason}", *networks.notes]))
    ahead, missing = _family(config, base, rule, networks.latencies, config.forecast)
    if not ahead:
        raise ConfigError(f"forecast: {missing[0]}")
    if any(one.arch == ahead[0].arch for one in own):
        raise ConfigError(f"forecast={config.forecast:g} is one of the sizes that the law is fitted to: give another")
    return replace(networks, ahead=ahead[0])


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
        return [*table_lines(networks.members, cost_of(base)), *networks.missing]
    latencies.keep(folder)
    if not config.reports:  # else they are measured after training, which by then has left the machine quiet
        latencies.of(one.arch for one in networks.members)
    ms = latencies.known()
    write_family(networks.members, cost_of(base), folder, ms)
    return [*table_lines(networks.members, cost_of(base), ms), *networks.missing, *([latencies.how()] if ms else [])]


def base_line(base: Architecture, latencies: Latencies | None) -> str:
    """What the base is and costs, which `times` are multiples of."""
    cost, ms = cost_of(base), latencies.known().get(base.arch_id) if latencies is not None else None
    return (
        f"base: input {'x'.join(map(str, base.input_shape))}, {cost.params:,} params, {cost.macs:,} MACs, peak "
        f"{cost.peak_memory_mib:.3g} MiB{f', {ms:.4g} ms' if ms is not None else ''}"
    )
