"""Families of networks from one base: several sizes by a rule, their files and their tables."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from nas.cost import Cost
from nas.network.architecture import Architecture
from nas.run_folder import write_whole, writing
from nas.scaling.counted_family import number_text
from nas.scaling.rounding import EFFICIENTNET_ROUNDING, Rounding
from nas.scaling.rules import Rule
from nas.scaling.solve import Member, member_at, solve

Latency = Mapping[str, float]
"""Latencies in milliseconds by `arch_id`."""
NOT_MEASURED: Latency = {}
"""Of networks whose latency is not measured."""

_COLUMNS = (
    *("rule", "phi", "depth", "width", "resolution", "input", "params", "macs", "macs_ratio", "miss"),
    *("activations", "peak_memory_bytes", "receptive_field", "latency_ms", "file"),
    *("real_depth", "real_width", "real_resolution", "repeats", "made_by", "off_rule"),
)


def family(
    base: Architecture,
    rule: Rule,
    *,
    phis: Sequence[float] = (),
    times: Sequence[float] = (),
    metric: str = "macs",
    measure: Callable[[Architecture], float],
    rounding: Rounding = EFFICIENTNET_ROUNDING,
    tolerance: float = 0.05,
) -> list[Member]:
    """Return the members of a family, at some `phi` or at some multiples of what the base costs.

    Args:
        base: the network at `phi` 0.
        rule: how it grows.
        phis: sizes as `phi` of the rule.
        times: sizes as multiples of the base's cost, which are solved for.
        metric: the name of that cost.
        measure: gives the cost of a network.
        rounding: how multipliers become whole numbers.
        tolerance: how far a size that is solved for may miss, as a share.

    Raises:
        NasError: a size that the rule cannot give; see `solve` and `nas.scale`.
    """
    members = [member_at(base, rule, phi, rounding) for phi in phis]
    if times:
        cost = measure(base)
        for multiple in times:
            solution = solve(
                base, rule, multiple * cost, metric=metric, measure=measure, rounding=rounding, tolerance=tolerance
            )
            members.append(replace(solution.member, times=float(multiple)))
    return members


def distinct_members(members: Sequence[Member]) -> list[Member]:
    """Return the members in their rule's proportions, each network once: those that a law can be fitted to."""
    return list({member.arch.arch_id: member for member in reversed(members) if member.on_rule}.values())[::-1]


def write_family(members: Sequence[Member], base: Cost, folder: Path, ms: Latency = NOT_MEASURED) -> list[Path]:
    """Write every member as an architecture file, and `family.csv` with a row for each; returns the files' paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{name}.json" for name in _names(members)]
    for member, path in zip(members, paths, strict=True):
        write_whole(path, member.arch.to_json(indent=1) + "\n")
    with writing(folder / "family.csv") as file:
        writer = csv.writer(file)
        writer.writerow(_COLUMNS)
        for member, path in zip(members, paths, strict=True):
            writer.writerow(_row(member, base, ms, path.name))
    return paths


def _names(members: Sequence[Member]) -> list[str]:
    """Return a name for each, of its rule and `phi`, and of its cost where another network has both of those."""
    names: dict[str, Architecture] = {}
    unique = []
    for member in members:
        name = f"{member.rule}_{number_text(member.phi)}"
        if names.setdefault(name, member.arch) != member.arch:
            name = f"{name}_{member.cost.macs}"
            names[name] = member.arch
        unique.append(name)
    return unique


def _row(member: Member, base: Cost, ms: Latency, file: str) -> list[object]:
    by, real, cost = member.multipliers, member.real, member.cost
    field = "" if cost.receptive_field is None else cost.receptive_field
    return [
        *(member.rule, *map(number_text, (member.phi, by.depth, by.width, by.resolution))),
        "x".join(map(str, member.arch.input_shape)),
        *(cost.params, cost.macs, f"{cost.macs / base.macs:.6g}", "" if member.miss is None else f"{member.miss:.4g}"),
        *(cost.activations, cost.peak_memory_bytes, field, ms.get(member.arch.arch_id, ""), file),
        *(f"{real.depth:.6g}", f"{real.width:.6g}", f"{real.resolution:.6g}"),
        *(member.rounding.repeats or "up", member.made_by, member.off_rule),
    ]


def table_lines(members: Sequence[Member], base: Cost, ms: Latency = NOT_MEASURED) -> list[str]:
    """Return a table of the family as lines, with latencies and misses of a budget where there are any.

    Depth and width are those after rounding; `note_lines` follow the table.
    """
    solved = any(member.miss is not None for member in members)
    head = ("rule", "phi", "depth", "width", "input", "params", "MACs", "x base MACs", "peak MiB")
    extra = [*(["ms"] if ms else []), *(["off by"] if solved else [])]
    rows = [(*head, *extra), *(_cells(member, base, ms, solved=solved) for member in members)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    return [*lines, *note_lines(members)]


def _cells(member: Member, base: Cost, ms: Latency, *, solved: bool) -> tuple[str, ...]:
    return (
        member.rule,
        number_text(member.phi),
        f"{member.real.depth:.3g}",
        f"{member.real.width:.3g}",
        "x".join(map(str, member.arch.input_shape)),
        f"{member.cost.params:,}",
        f"{member.cost.macs:,}",
        f"{member.cost.macs / base.macs:.2f}",
        f"{member.cost.peak_memory_mib:.3g}",
        *([f"{ms[member.arch.arch_id]:.4g}" if member.arch.arch_id in ms else "-"] if ms else []),
        *(["" if member.miss is None else f"{member.miss:+.1%}"] if solved else []),
    )


def note_lines(members: Sequence[Member]) -> list[str]:
    """Return how the networks of a table are made again, which are the same network, and which are off their rule."""
    by_rounding: dict[tuple[str, str], list[str]] = {}
    for member in members:
        if member.rounding.repeats and not member.made_by:
            by_rounding.setdefault((member.rule, member.rounding.repeats), []).append(number_text(member.phi))
    lines = [
        f"{rule} again: rounding.repeats={repeats} phi=[{','.join(dict.fromkeys(phis))}]"
        for (rule, repeats), phis in by_rounding.items()
    ]
    lines += [f"{_name(member)} again: {member.made_by}" for member in members if member.made_by]
    by_network: dict[str, list[str]] = {}
    for member in members:
        by_network.setdefault(member.arch.arch_id, []).append(_name(member))
    lines += [f"One network: {' and '.join(dict.fromkeys(names))}" for names in by_network.values() if len(names) > 1]
    off = [
        f"{_name(member)} is off its rule, so that no law is of it: {member.off_rule}"
        for member in members
        if not member.on_rule
    ]
    return [*dict.fromkeys([*lines, *off])]


def _name(member: Member) -> str:
    return f"{member.rule}, phi {number_text(member.phi)}" + (
        f", {member.times:g} times the base" if member.made_by and member.times else ""
    )
