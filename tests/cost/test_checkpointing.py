"""The blocks that are computed again, against every choice of them."""

from __future__ import annotations

from itertools import chain, combinations
from math import prod

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import nas
from nas.cost.checkpointing import CheckpointedPart, cheapest, checkpoint_plan, least_memory, most_memory
from nas.cost.cost import network_parts
from nas.cost.memory import SavedMemory

SIZES = st.integers(0, 12)
SAVED = st.builds(
    SavedMemory,
    inner_bytes=SIZES,
    saves_input=st.booleans(),
    output_saved=st.booleans(),
    output_bytes=SIZES,
    passes_input=st.booleans(),
)
PARTS = st.lists(st.builds(CheckpointedPart, saved=SAVED, macs=st.integers(0, 9)), min_size=1, max_size=7)


def _choices(count: int) -> list[tuple[int, ...]]:
    return [*chain.from_iterable(combinations(range(count), size) for size in range(count + 1))]


def _by_hand(parts: list[SavedMemory], in_bytes: int, chosen: tuple[int, ...]) -> int:
    """Most bytes alive at one time, tensor by tensor: what each part keeps, and what lies between two of them."""

    def alive(until: int, again: int | None) -> int:
        tensors: dict[str, int] = {}
        name, size = "in", in_bytes
        for index, part in enumerate(parts[:until]):
            keeps_input_alone = index in chosen and index != again
            out = name if part.passes_input else f"out{index}"
            if part.saves_input or index in chosen:
                tensors[name] = size
            if not keeps_input_alone:
                tensors[f"inner{index}"] = part.inner_bytes
                if part.output_saved and not part.passes_input:
                    tensors[out] = 0  # it is among the inner bytes
            if not part.passes_input:
                name, size = out, part.output_bytes
                if name in tensors:
                    size = 0
        return sum(tensors.values())

    return max([alive(len(parts), None), *(alive(index + 1, index) for index in chosen)])


@settings(max_examples=150, deadline=None)
@given(PARTS, SIZES)
def test_memory_is_what_is_alive(parts: list[CheckpointedPart], in_bytes: int) -> None:
    saved = [part.saved for part in parts]
    for chosen in _choices(len(parts))[:40]:
        assert most_memory(saved, in_bytes, chosen) == _by_hand(saved, in_bytes, chosen)


@settings(max_examples=150, deadline=None)
@given(PARTS, SIZES, st.integers(0, 60))
def test_the_choice_is_the_cheapest_of_all(parts: list[CheckpointedPart], in_bytes: int, limit: int) -> None:
    saved = [part.saved for part in parts]
    costs = [
        sum(parts[index].macs for index in chosen)
        for chosen in _choices(len(parts))
        if most_memory(saved, in_bytes, chosen) <= limit
    ]
    found = cheapest(parts, in_bytes, limit)
    assert (found is None) == (not costs)
    if found is not None:
        assert most_memory(saved, in_bytes, found) <= limit
        assert sum(parts[index].macs for index in found) == min(costs)


def test_very_many_ways_still_hold_the_limit() -> None:
    """Of 40 parts with sizes like powers of two there are more ways than are kept."""
    parts = [CheckpointedPart(SavedMemory(3**index, False, False, 1, False), 2**index) for index in range(40)]
    limit = 2 * 3**40 // 5
    found = cheapest(parts, 1, limit)
    assert found is not None
    assert most_memory([part.saved for part in parts], 1, found) <= limit


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v2", "efficientnet_b0"])
def test_networks_hold_every_limit_down_to_the_least(name: str) -> None:
    arch = nas.load_space(f"reference/{name}").for_data((3, 64, 64), 10).decode({})
    whole, least = nas.cost_of(arch).training_memory_bytes, least_memory(arch)
    assert least < 0.8 * whole
    plans = [checkpoint_plan(arch, round(least + share * (whole - least))) for share in (0, 0.3, 0.7, 1)]
    found = [plan for plan in plans if plan is not None]
    assert len(found) == 4
    macs = [plan.recomputed_macs for plan in found]
    assert macs == sorted(macs, reverse=True)
    assert (found[-1].blocks, found[-1].recomputed_macs, found[-1].training_memory_bytes) == ((), 0, whole)
    assert found[0].training_memory_bytes == least
    assert checkpoint_plan(arch, least - 1) is None
    names = [block for block, _ in arch.named_blocks()]
    for plan, share in zip(found, (0, 0.3, 0.7, 1), strict=True):
        chosen = [names.index(block) for block in plan.blocks]
        saved = [part.saved for part in network_parts(arch)]
        assert plan.training_memory_bytes == most_memory(saved, 4 * prod(arch.input_shape), chosen)
        assert plan.training_memory_bytes <= least + share * (whole - least) + 1
