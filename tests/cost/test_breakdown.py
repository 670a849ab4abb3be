"""Costs block by block and section by section add up to those of the network."""

from __future__ import annotations

from dataclasses import asdict

import pytest

import nas
from nas.cost import block_costs, section_costs
from nas.cost.cost import Cost, Counts

NAMES = ("reference/mobilenet_v2", "reference/googlenet", "reference/vit_tiny_16")


def test_what_adds_up_has_a_field_of_the_cost_each() -> None:
    assert set(Counts._fields) <= set(asdict(Cost()))
    counts = [Counts(*range(i, i + len(Counts._fields))) for i in (1, 20)]
    assert Counts.total(counts)._asdict() == {name: 21 + 2 * i for i, name in enumerate(Counts._fields)}
    assert Counts.total([]) == Counts()


@pytest.mark.parametrize("name", NAMES)
def test_blocks_and_sections_add_up(name: str) -> None:
    arch = nas.load_space(name).decode({})
    cost, blocks, sections = nas.cost_of(arch), block_costs(arch), section_costs(arch)
    for field in Counts._fields:
        assert sum(getattr(block.cost, field) for block in blocks) == getattr(cost, field), field
    assert sum(section.params for section in sections.values()) == cost.params
    assert sum(section.macs for section in sections.values()) == cost.macs
    assert blocks[-1].cumulative == cost
    assert [(block.name, block.block) for block in blocks] == list(arch.named_blocks())
    assert list(sections) == [section.removesuffix(".blocks") for section, _ in arch.sections()]
