"""Networks that people add, with the numbers of their papers: a row a network."""

from __future__ import annotations

import csv
import itertools
from pathlib import Path

import pytest

import nas

# space, params and MACs at the space's own input; the source in the last column.
ROWS = list(csv.DictReader((Path(__file__).parent.parent / "data" / "golden.csv").open()))


@pytest.mark.parametrize("row", ROWS, ids=[row["space"] for row in ROWS])
def test_golden(row: dict[str, str]) -> None:
    cost = nas.cost_of(nas.load_space(row["space"]).decode({}))
    assert (cost.params, cost.macs) == (int(row["params"]), int(row["macs"]))


def test_convnext_by_its_formula() -> None:
    """A block has C k^2 + C, twice C, 4 C^2 twice with their biases, and C; a downsampling 2 C + 4 C C' + C'."""

    def convnext(c: int) -> int:
        return (49 * c + c) + 2 * c + (4 * c * c + 4 * c) + (4 * c * c + c) + c

    widths, depths = (96, 192, 384, 768), (3, 3, 9, 3)
    stem = 3 * 96 * 16 + 96 + 2 * 96
    downs = sum(2 * a + 4 * a * b + b for a, b in itertools.pairwise(widths))
    head = 2 * 768 + 768 * 1000 + 1000
    blocks = sum(n * convnext(c) for c, n in zip(widths, depths, strict=True))
    sizes = (56, 28, 14, 7)
    macs = 3 * 96 * 16 * 56**2 + 768 * 1000
    macs += sum(4 * a * b * s * s for a, b, s in zip(widths, widths[1:], sizes[1:], strict=False))
    macs += sum(n * (49 * c + 8 * c * c) * s * s for c, n, s in zip(widths, depths, sizes, strict=True))
    cost = nas.cost_of(nas.load_space("reference/convnext_tiny").decode({}))
    assert (cost.params, cost.macs) == (stem + downs + blocks + head, macs)
