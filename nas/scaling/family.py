"""A family of networks from one base: which sizes, what they cost, and their files."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from nas.cost import Cost
from nas.network.architecture import Architecture
from nas.run_folder import write_whole, writing
from nas.scaling.counted_family import number_text
from nas.scaling.rounding import AS_PUBLISHED, Rounding
from nas.scaling.rules import Rule
from nas.scaling.solve import Member, member, solve

Latency = Mapping[str, float]
"""Milliseconds by `arch_id`."""
NOT_MEASURED: Latency = {}

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
    rounding: Rounding = AS_PUBLISHED,
    tolerance: float = 0.05,
) -> list[Member]:
    """Return the members of a family, at some `phi` or at some multiples of what the base costs.

    Args:
        base: the network at `phi` 0.
        rule: how it grows.
        phis: sizes as the rule says them.
        times: sizes as multiples of the base's counted cost, solved for.
        metric: what `times` is of.
        measure: counts it.
        rounding: how multipliers become whole numbers.
        tolerance: how far a size that is solved for may miss.

    Raises:
        NasError: a size that the rule cannot give; see `solve` and `nas.scale`.
    """
    members = [member(base, rule, phi, rounding) for phi in phis]
    if times:
        cost = measure(base)
        for one in times:
            found = solve(
                base, rule, one * cost, metric=metric, measure=measure, rounding=rounding, tolerance=tolerance
            )
            members.append(replace(found.member, times=float(one)))
    return members


def fitted(members: Sequence[Member]) -> list[Member]:
    """Return the members in their rule's proportions, each network once."""
    return list({one.arch.arch_id: one for one in reversed(members) if one.on_rule}.values())[::-1]


def write_family(members: Sequence[Member], base: Cost, folder: Path, ms: Latency = NOT_MEASURED) -> list[Path]:
    """Write every member as an architecture file, and a table of them all; returns the paths of the files."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{name}.json" for name in _names(members)]
    for one, path in zip(members, paths, strict=True):
        write_whole(path, one.arch.to_json(indent=1) + "\n")
    with writing(folder / "family.csv") as file:
        writer = csv.writer(file)
        writer.writerow(_COLUMNS)
        for one, path in zip(members, paths, strict=True):
            writer.writerow(_row(one, base, ms, path.name))
    return paths


def _names(members: Sequence[Member]) -> list[str]:
    """A name for each, of its rule and `phi`; two networks can have both, where a dimension was moved alone."""
    names: dict[str, Architecture] = {}
    found = []
    for one in members:
        name = f"{one.rule}_{number_text(one.phi)}"
        if names.setdefault(name, one.arch) != one.arch:
            name = f"{name}_{one.cost.macs}"
            names[name] = one.arch
        found.append(name)
    return found


def _row(one: Member, base: Cost, ms: Latency, file: str) -> list[object]:
    by, real, cost = one.multipliers, one.real, one.cost
    field = "" if cost.receptive_field is None else cost.receptive_field
    return [
        *(one.rule, *map(number_text, (one.phi, by.depth, by.width, by.resolution))),
        "x".join(map(str, one.arch.input_shape)),
        *(cost.params, cost.macs, f"{cost.macs / base.macs:.6g}", "" if one.miss is None else f"{one.miss:.4g}"),
        *(cost.activations, cost.peak_memory_bytes, field, ms.get(one.arch.arch_id, ""), file),
        *(f"{real.depth:.6g}", f"{real.width:.6g}", f"{real.resolution:.6g}"),
        *(one.rounding.repeats or "up", one.moved, one.off),
    ]


def table(members: Sequence[Member], base: Cost, ms: Latency = NOT_MEASURED) -> list[str]:
    """The family as lines of a table for people, with latencies, and misses of a budget, where there are any.

    Depth and width are those that rounding left; `notes` follow the table.
    """
    solved = any(one.miss is not None for one in members)
    head = ("rule", "phi", "depth", "width", "input", "params", "MACs", "x base MACs", "peak MiB")
    extra = [*(["ms"] if ms else []), *(["off by"] if solved else [])]
    rows = [(*head, *extra), *(_cells(one, base, ms, solved=solved) for one in members)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    return [*lines, *notes(members)]


def _cells(one: Member, base: Cost, ms: Latency, *, solved: bool) -> tuple[str, ...]:
    return (
        one.rule,
        number_text(one.phi),
        f"{one.real.depth:.3g}",
        f"{one.real.width:.3g}",
        "x".join(map(str, one.arch.input_shape)),
        f"{one.cost.params:,}",
        f"{one.cost.macs:,}",
        f"{one.cost.macs / base.macs:.2f}",
        f"{one.cost.peak_memory_mib:.3g}",
        *([f"{ms[one.arch.arch_id]:.4g}" if one.arch.arch_id in ms else "-"] if ms else []),
        *(["" if one.miss is None else f"{one.miss:+.1%}"] if solved else []),
    )


def notes(members: Sequence[Member]) -> list[str]:
    """What a table does not say: how its networks are made again, which are one, and which are off their rule."""
    again: dict[tuple[str, str], list[str]] = {}
    for one in members:
        if one.rounding.repeats and not one.moved:
            again.setdefault((one.rule, one.rounding.repeats), []).append(number_text(one.phi))
    lines = [
        f"{rule} again: rounding.repeats={repeats} phi=[{','.join(dict.fromkeys(phis))}]"
        for (rule, repeats), phis in again.items()
    ]
    lines += [f"{_name(one)} again: {one.moved}" for one in members if one.moved]
    alike: dict[str, list[str]] = {}
    for one in members:
        alike.setdefault(one.arch.arch_id, []).append(_name(one))
    lines += [f"One network: {' and '.join(dict.fromkeys(names))}" for names in alike.values() if len(names) > 1]
    off = [f"{_name(one)} is off its rule, so that no law is of it: {one.off}" for one in members if not one.on_rule]
    return [*dict.fromkeys([*lines, *off])]


def _name(one: Member) -> str:
    return f"{one.rule}, phi {number_text(one.phi)}" + (
        f", {one.times:g} times the base" if one.moved and one.times else ""
    )
