"""Which blocks training computes again in the backward pass, so that it holds a limit of memory."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import NamedTuple

from nas.cost.cost import Cost, cost_of, network_parts
from nas.cost.memory import FLOAT_BYTES, MIB, SavedMemory, chain_saved
from nas.cost.metrics import Workload, training_memory_bytes
from nas.network.architecture import Architecture

_MOST_STATES = 4096
"""Ways to have come so far that are kept; of more the cheapest in each of as many equal ranges of memory are."""


class CheckpointedPart(NamedTuple):
    """A part of a chain that training may keep nothing of but its input (Chen et al. 2016)."""

    saved: SavedMemory
    """What training keeps of it otherwise."""
    macs: int
    """Multiply-adds of computing it again."""
    activations: int = 0
    """Numbers that this writes; of two choices with the same multiply-adds fewer are better."""


@dataclass(frozen=True, slots=True)
class CheckpointPlan:
    """Blocks that are computed again in the backward pass, and what that comes to, for one example."""

    blocks: tuple[str, ...]
    """Their names, e.g. `stages.2.blocks.0`, in order."""
    recomputed_macs: int
    """Multiply-adds that a training step has beside its own."""
    training_memory_bytes: int
    """Most that is kept for the backward pass at one time: at its begin, or while one of the blocks is there again."""


def checkpoint_plan(arch: Architecture, limit: int) -> CheckpointPlan | None:
    """Return the blocks to compute again, the cheapest with which training keeps no more of an example than a limit.

    Chen et al. 2016, "Training deep nets with sublinear memory cost": of a block only its input is kept; in the
    backward pass it is computed once more, and while it is there all that it keeps counts beside what blocks before it
    keep.

    Args:
        arch: the network.
        limit: bytes an example, in the unit of `Cost.training_memory_bytes`.

    Returns:
        None where no choice of blocks holds the limit (`least_memory` says what can be held).

    Raises:
        ShapeError: the architecture is not a network.
    """
    parts, in_bytes = _parts(arch)
    chosen = cheapest(parts, in_bytes, limit)
    if chosen is None:
        return None
    names = [name for name, _ in arch.named_blocks()]
    return CheckpointPlan(
        blocks=tuple(names[index] for index in chosen),
        recomputed_macs=sum(parts[index].macs for index in chosen),
        training_memory_bytes=most_memory([part.saved for part in parts], in_bytes, chosen),
    )


def least_memory(arch: Architecture) -> int:
    """Return the smallest limit, in bytes an example, that some choice of blocks holds; raises as `checkpoint_plan`."""
    parts, in_bytes = _parts(arch)
    saved = [part.saved for part in parts]
    low, high = 0, most_memory(saved, in_bytes, ())
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if _holds(saved, in_bytes, middle) else (middle + 1, high)
    return high


def room_for_example(cost: Cost, workload: Workload) -> int:
    """Return the bytes that training may keep of an example, so that it holds `workload.training_limit_mib`.

    Less than 0 where parameters alone take more.
    """
    assert workload.training_limit_mib is not None
    fixed = training_memory_bytes(replace(cost, training_memory_bytes=0), workload)
    return int((workload.training_limit_mib * MIB - fixed) // workload.training_batch)


def held_cost(arch: Architecture, workload: Workload) -> Cost:
    """Return the costs of a network, those of training as it is held to `workload.training_limit_mib`.

    Of a network that takes more it is as many bytes as the limit leaves, which blocks that are computed again keep; or
    the least that can be held, where that is more than the limit.

    Raises:
        ShapeError: the architecture is not a network.
    """
    cost = cost_of(arch)
    if workload.training_limit_mib is None:
        return cost
    room = room_for_example(cost, workload)
    if cost.training_memory_bytes <= room:
        return cost
    return replace(cost, training_memory_bytes=max(room, least_memory(arch)))


def _parts(arch: Architecture) -> tuple[list[CheckpointedPart], int]:
    parts = [CheckpointedPart(part.saved, part.counts.macs, part.counts.activations) for part in network_parts(arch)]
    return parts, FLOAT_BYTES * prod(arch.input_shape)


def most_memory(parts: Sequence[SavedMemory], in_bytes: int, chosen: Collection[int]) -> int:
    """Return the most bytes that a chain keeps for the backward pass at one time.

    Args:
        parts: what each part keeps, in order.
        in_bytes: size of the input of the chain.
        chosen: places of those that are computed again.
    """
    kept = [_input_alone(part) if index in chosen else part for index, part in enumerate(parts)]
    again = [chain_saved(in_bytes, [*kept[:index], _with_input(parts[index])]) for index in chosen]
    return max([chain_saved(in_bytes, kept), *again])


def _input_alone(part: SavedMemory) -> SavedMemory:
    return replace(part, inner_bytes=0, saves_input=True, output_saved=False)


def _with_input(part: SavedMemory) -> SavedMemory:
    return replace(part, saves_input=True)


class _Way(NamedTuple):
    """What was chosen of the first parts of a chain, and what that comes to."""

    kept: int
    """Bytes that they keep."""
    between_kept: bool
    """Whether what lies between them and the next part is among that."""
    work: tuple[int, int]
    """Multiply-adds and activations of what is computed again."""
    chosen: tuple[int, ...]
    """Places of these parts."""

    def then(self, part: SavedMemory, between: int) -> _Way:
        """Return it with one more part, as `chain_saved` adds it; `between` is the size of its input."""
        adds = part.saves_input and not self.between_kept
        there = self.between_kept or part.saves_input
        return self._replace(
            kept=self.kept + part.inner_bytes + (between if adds else 0),
            between_kept=there if part.passes_input else part.output_saved,
        )


def cheapest(parts: Sequence[CheckpointedPart], in_bytes: int, limit: int) -> tuple[int, ...] | None:
    """Return the places of the parts to compute again with the fewest multiply-adds, so that a limit holds.

    It is exact but for chains with very many ways to hold it, where it may be a little more than the fewest. Of choices
    with equally many it has the one that writes the fewest activations.

    Args:
        parts: of the chain, in order.
        in_bytes: size of its input.
        limit: bytes that are kept at most at one time.

    Returns:
        None where no choice holds it.
    """
    ways, between = [_Way(0, False, (0, 0), ())], in_bytes
    for index, part in enumerate(parts):
        ways = _fewest(
            [one for way in ways for one in _next(way, index, part, between, limit) if one.kept <= limit], limit
        )
        between = between if part.saved.passes_input else part.saved.output_bytes
    return min(ways, key=lambda way: (way.work, way.kept)).chosen if ways else None


def _next(way: _Way, index: int, part: CheckpointedPart, between: int, limit: int) -> Iterator[_Way]:
    """Yield a way with one more part, which is kept, or computed again where it has room to be there again."""
    yield way.then(part.saved, between)
    if way.then(_with_input(part.saved), between).kept <= limit:
        again = way.then(_input_alone(part.saved), between)
        macs, activations = way.work
        yield again._replace(work=(macs + part.macs, activations + part.activations), chosen=(*way.chosen, index))


def _fewest(ways: Sequence[_Way], limit: int) -> list[_Way]:
    """Return the ways that no other one beats, in memory and in multiply-adds."""
    best: list[_Way] = []
    for between_kept in (False, True):
        fewest = None
        for way in sorted(
            (way for way in ways if way.between_kept is between_kept), key=lambda way: (way.kept, way.work)
        ):
            if fewest is None or way.work < fewest:
                best.append(way)
                fewest = way.work
    if len(best) <= _MOST_STATES:
        return best
    ranges: dict[tuple[bool, int], _Way] = {}
    least: dict[bool, _Way] = {}
    for way in best:  # in each range the last one, which has the fewest multiply-adds
        ranges[way.between_kept, way.kept * _MOST_STATES // max(1, limit)] = way
        least.setdefault(way.between_kept, way)  # which holds the limit in the end, if any does
    return [*dict.fromkeys([*least.values(), *ranges.values()])]


def _holds(parts: Sequence[SavedMemory], in_bytes: int, limit: int) -> bool:
    """Whether some choice of parts holds a limit: of all ways so far the one that keeps least leads to it, if any."""
    found = cheapest([CheckpointedPart(part, 0) for part in parts], in_bytes, limit)
    return found is not None
