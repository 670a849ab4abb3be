"""The networks of a study: solved for, counted, printed and written before any of them is trained."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from nas.cost import LATENCY, cost_of
from nas.errors import ConfigError, NasError
from nas.network.architecture import Architecture
from nas.run_folder import user_path
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
    """The networks of a study."""

    families: dict[str, list[Member]]
    """By the name of their rule."""
    forecast_member: Member | None
    """The network whose forecast is checked."""
    latencies: Latencies | None = None
    """Their latencies; None where they are not measured."""
    missing: tuple[str, ...] = ()
    """A line for each size that a rule does not have, with the reason."""

    @property
    def members(self) -> list[Member]:
        """All networks, that of the forecast last."""
        members = [member for family in self.families.values() for member in family]
        return members if self.forecast_member is None else [*members, self.forecast_member]

    @property
    def distinct_members(self) -> list[Member]:
        """The different networks in the proportions of the rule, of a study of a single rule."""
        (members,) = self.families.values()
        return distinct_members(members)

    @property
    def notes(self) -> list[str]:
        """Lines on the networks that a report has beside their table."""
        return [*self.missing, *note_lines(self.members)]

    def facts(self) -> list[dict[str, Any]]:
        """Return each network as plain values."""
        ms = self.latencies.measured() if self.latencies is not None else {}
        return [
            {
                "rule": member.rule,
                "phi": member.phi,
                "arch_id": member.arch.arch_id,
                "input_shape": member.arch.input_shape,
                "cost": member.cost.to_dict(),
                "latency_ms": ms.get(member.arch.arch_id),
                "multipliers": asdict(member.real),
                "budget_miss": member.miss,
                "off_rule": member.off_rule,
            }
            for member in self.members
        ]


def networks_of(config: ScaleConfig, base: Architecture) -> Networks:
    """Return the networks of a study.

    Raises:
        NasError: the rule has no network of any size that is asked for, fewer than two of the rules that are compared
            have one, or the sizes are too few for the forecast's law.
    """
    latencies = _latencies(config)
    if config.mode == "coefficients":  # which networks are trained depends on the results of those before them
        return Networks({}, None, latencies)
    families, missing = dict[str, list[Member]](), list[str]()
    for rule in config.scaled_by():
        members, reasons = _family(config, base, rule, latencies)
        missing += reasons
        if members:
            families[rule.name] = members
    if len(families) < (2 if config.mode == "compare" else 1):
        raise ConfigError("; ".join(missing))
    networks = Networks(families, None, latencies, tuple(missing))
    if config.mode in ("isoflop", "plan") and not networks.distinct_members:
        raise ConfigError(f"mode={config.mode}: no size is in the proportions of its rule: {networks.notes[-1]}")
    return networks if config.forecast is None or config.mode == "plan" else _with_forecast(config, base, networks)


def _family(
    config: ScaleConfig, base: Architecture, rule: Rule, latencies: Latencies | None, forecast: float | None = None
) -> tuple[list[Member], list[str]]:
    """Return the members of a rule's family, or that of a forecast, and a line for each size that it does not have."""
    make = partial(
        family,
        base,
        rule,
        metric=config.budget,
        measure=latencies.ms if config.budget == LATENCY and latencies is not None else metric_counter(config.budget),
        rounding=config.rounding,
        tolerance=config.tolerance,
    )
    phis, times = config.sizes if forecast is None else ([], [forecast])
    members, missing, cost = make(phis=phis), list[str](), cost_of(base)
    for factor in times:
        try:
            members += make(times=[factor])
        except NasError as error:
            missing.append(f"left out: {rule.name} at {factor:g} times the base: {error}")
    return [regularised(factor, cost, config.by_size) for factor in members], missing


def _with_forecast(config: ScaleConfig, base: Architecture, networks: Networks) -> Networks:
    assert config.forecast is not None
    rule = config.scaled_by()[0]
    fitted = distinct_members(networks.families.get(rule.name, []))
    macs = {float(member.cost.macs) for member in fitted}
    reason = why_insufficient([Observation((size,), 1.0, f"{size} {i}") for size in macs for i in range(config.seeds)])
    if reason:
        raise ConfigError("; ".join([f"forecast: insufficient: {reason}", *networks.notes]))
    forecasts, missing = _family(config, base, rule, networks.latencies, config.forecast)
    if not forecasts:
        raise ConfigError(f"forecast: {missing[0]}")
    if any(member.arch == forecasts[0].arch for member in fitted):
        raise ConfigError(f"forecast={config.forecast:g} is one of the sizes that the law is fitted to: give another")
    return replace(networks, forecast_member=forecasts[0])


def _latencies(config: ScaleConfig) -> Latencies | None:
    """Return the latencies, with those of an earlier session of the study; None where they are not measured."""
    if not config.measures:
        return None
    records = user_path(config.records.dir)
    latencies = Latencies(config.inference.deployment, records, partial(print, flush=True))
    if config.resume:
        latencies.read(records / str(config.name))
    return latencies


def write_networks(config: ScaleConfig, base: Architecture, networks: Networks, folder: Path) -> list[str]:
    """Write the architectures and their table to the study's folder, and return the table as lines."""
    latencies = networks.latencies
    if latencies is None:
        write_family(networks.members, cost_of(base), folder)
        return [*table_lines(networks.members, cost_of(base)), *networks.missing]
    latencies.write_to(folder)
    if not config.reports:  # else they are measured after training, when the machine is quiet
        latencies.measure(member.arch for member in networks.members)
    ms = latencies.measured()
    write_family(networks.members, cost_of(base), folder, ms)
    how_measured = [latencies.describe()] if ms else []
    return [*table_lines(networks.members, cost_of(base), ms), *networks.missing, *how_measured]


def base_line(base: Architecture, latencies: Latencies | None) -> str:
    """Return a line with the input and the costs of the base, which `times` are multiples of."""
    cost, ms = cost_of(base), latencies.measured().get(base.arch_id) if latencies is not None else None
    return (
        f"base: input {'x'.join(map(str, base.input_shape))}, {cost.params:,} params, {cost.macs:,} MACs, peak "
        f"{cost.peak_memory_mib:.3g} MiB{f', {ms:.4g} ms' if ms is not None else ''}"
    )
