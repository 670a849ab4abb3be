"""Whether families keep the proportions of their rules, over winners of small searches.

    python -m benchmarks.families --searches 40

A winner is the best of 30 random networks of a space for 8, 16, 32 or 64 pixels, by a criterion that costs nothing:
the most parameters times multiply-adds within a limit (a search of this kind ends near its limits). Each is
scaled by four rules to 2, 4 and 8 times its multiply-adds. Depth, width and resolution of what comes out are measured
here from the architectures alone, in other words than `nas.scale` has for them: blocks that convolve, channels that the
first block of each stage gives out, pixels. `phi` is looked for on a fine grid.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, islice
from math import inf, log
from random import Random

import numpy as np

import nas
from nas.cost import cost_of
from nas.errors import NasError
from nas.network.architecture import Architecture
from nas.network.registry import Block
from nas.scaling.family import note_lines
from nas.scaling.proportions import MAX_DEVIATION, MAX_MISPLACED
from nas.scaling.rounding import Rounding
from nas.scaling.rules import RULES, Rule
from nas.scaling.solve import Member, solve

SPACES = ("mbconv", "resnet", "mobilenet_v3", "five_stage")
SIZES = (8, 16, 32, 64)
NAMES = ("compound", "depth", "width", "resolution")
TIMES = (2, 4, 8)
_TRIED = 30
_LIMIT = 3e4
"""Multiply-adds a pixel."""
_PHI = np.linspace(-2, 20, 2201)
_POWERS = np.array([1, 2, 2])


@dataclass(frozen=True)
class Size:
    """One size that was asked for of one winner."""

    winner: str
    rule: str
    times: float
    member: Member | None
    off: float = 0.0
    """The dimension that is farthest from the rule, as a share, at the best `phi`."""
    misplaced: float = 0.0
    reason: str = ""


def winner(space: str, size: int, seed: int) -> Architecture:
    """Return the best of some random networks within a limit."""
    found, rng = nas.load_space(space).for_data((3, size, size), 10), Random(seed)

    def worth(arch: Architecture) -> float:
        try:
            cost = cost_of(arch)
        except NasError:  # too small an input for it
            return -inf
        return log(cost.params * cost.macs) if cost.macs <= _LIMIT * size**2 else -log(cost.macs)

    return max((found.decode(found.sample(rng)) for _ in range(_TRIED)), key=worth)


def dimensions(arch: Architecture, base: Architecture) -> tuple[float, float, float]:
    """Return depth, width and resolution beside those of the base."""

    def blocks(one: Architecture) -> int:
        return sum(
            "pool" not in block.kind and block.kind != "identity" for stage in one.stages for block in stage.blocks
        )

    pairs = list(zip([arch.stem, *arch.stages], [base.stem, *base.stages], strict=True))
    weights = [len(old.blocks) for _, old in pairs]
    ratios = [_channels(new.blocks[0]) / _channels(old.blocks[0]) for new, old in pairs if old.blocks]
    width = np.exp(np.average(np.log(ratios), weights=[one for one in weights if one]))
    return blocks(arch) / blocks(base), float(width), max(arch.input_shape[1:]) / max(base.input_shape[1:])


def _channels(block: Block) -> int:
    return int(dict(block.settings).get("out_channels") or 1)  # type: ignore[arg-type]  # a block that has channels has a number of them


def deviation(has: Sequence[float], rule: Rule) -> tuple[float, float]:
    """Return how far dimensions are from a rule at the best `phi` of a grid, and how much growth is elsewhere."""
    asked = np.array([[by.depth, by.width, by.resolution] for by in map(rule.multipliers, _PHI)])
    farthest = np.abs(np.log(np.array(has) / asked)).max(axis=1)
    best = int(farthest.argmin())
    growth, wanted = _POWERS * np.log(has), _POWERS * np.log(asked[best])
    total, wanted_total = np.abs(growth).sum(), np.abs(wanted).sum()
    misplaced = 0.0 if total == 0 else float(np.abs(growth / total - wanted / max(wanted_total, 1e-12)).sum() / 2)
    return float(np.exp(farthest[best]) - 1), misplaced


def sizes(name: str, base: Architecture, *, times: Sequence[float] = TIMES, tolerance: float = 0.05) -> Iterator[Size]:
    """Scale one winner by every rule."""
    macs = cost_of(base).macs
    for rule in map(RULES.__getitem__, NAMES):
        for one in times:
            try:
                member = solve(base, rule, one * macs, tolerance=tolerance, rounding=Rounding()).member
            except NasError as error:
                yield Size(name, rule.name, one, None, reason=str(error))
                continue
            yield Size(name, rule.name, one, member, *deviation(dimensions(member.arch, base), rule))


def winners() -> Iterator[tuple[str, Architecture]]:
    """Yield winners without end: of every space for every size, then with other seeds."""
    seed = 0
    while True:
        for size in SIZES:
            for space in SPACES:
                yield f"{space} {size} px, seed {seed}", winner(space, size, seed)
        seed += 1


def faults(found: Sequence[Size]) -> list[str]:
    """Return the members off their rule, and rules that give one network without a word."""
    lines = [
        f"{one.winner}: {one.rule} at {one.times:g}: off by {one.off:.1%}, {one.misplaced:.0%} misplaced"
        for one in found
        if one.member
        and one.member.on_rule
        and (one.off > MAX_DEVIATION + 1e-3 or one.misplaced > MAX_MISPLACED + 0.02)
    ]
    reached = [one for one in found if one.member]
    for one, other in combinations(reached, 2):
        same = one.winner == other.winner and one.rule != other.rule and _id(one) == _id(other)
        if same and not any(line.startswith("One network") for line in note_lines([_of(one), _of(other)])):
            lines.append(f"{one.winner}: {one.rule} at {one.times:g} is {other.rule} at {other.times:g}")
    return lines


def _of(one: Size) -> Member:
    assert one.member is not None
    return one.member


def _id(one: Size) -> str:
    return _of(one).arch.arch_id


def lines_of(found: Sequence[Size]) -> list[str]:
    """The table: a row a rule and size."""
    lines = ["| rule | x base | reached | refused | by phi | farthest off the rule | misplaced | median miss |"]
    lines.append("| --- | --: | --: | --: | --: | --: | --: | --: |")
    for rule in NAMES:
        for times in dict.fromkeys(one.times for one in found):
            own = [one for one in found if (one.rule, one.times) == (rule, times)]
            kept = [one for one in own if one.member]
            far = max((one.off for one in kept), default=0.0)
            misplaced = max((one.misplaced for one in kept), default=0.0)
            misses = [abs(_of(one).miss or 0.0) for one in kept] or [0.0]
            by_phi = sum(not _of(one).made_by for one in kept)
            lines.append(
                f"| {rule} | {times:g} | {len(kept)} | {len(own) - len(kept)} | {by_phi} | {far:.1%} | {misplaced:.0%} "
                f"| {np.median(misses):.1%} |"
            )
    return lines


def main() -> None:
    """Print the table and what is wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--searches", type=int, default=40)
    parser.add_argument("--tolerance", type=float, default=0.05)
    options = parser.parse_args()
    found = list[Size]()
    for name, base in islice(winners(), options.searches):
        found += sizes(name, base, tolerance=options.tolerance)
    print("\n".join(lines_of(found)))
    wrong = faults(found)
    print("\n".join(["", f"{len(wrong)} members off their rule, or of two rules without a word", *wrong]))


if __name__ == "__main__":
    main()
