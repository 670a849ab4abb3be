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


def _conv(c_in: int, c_out: int, size: int) -> tuple[int, int]:
    """Parameters without bias, and multiply-adds, of a 3x3 convolution that gives a map of some size."""
    return 9 * c_in * c_out, 9 * c_in * c_out * size**2


def _sum(parts: list[tuple[int, int]]) -> tuple[int, int]:
    return sum(part[0] for part in parts), sum(part[1] for part in parts)


def _cifar_resnet(n: int) -> tuple[int, int]:
    """He et al. 2016, section 4.2: 6n + 2 layers, batch normalisation behind each, shortcuts without parameters."""
    parts, before = [_conv(3, 16, 32), (32, 0)], 16
    for width, size in ((16, 32), (32, 16), (64, 8)):
        for i in range(2 * n):
            parts += [_conv(before if i == 0 else width, width, size), (2 * width, 0)]
        before = width
    return _sum([*parts, (650, 640)])


def _wide_resnet(n: int, k: int) -> tuple[int, int]:
    """Zagoruyko & Komodakis 2016, table 1: 6n + 4 layers; normalisation before each convolution, 1x1 shortcuts."""
    parts, before = [_conv(3, 16, 32)], 16
    for width, size in ((16 * k, 32), (32 * k, 16), (64 * k, 8)):
        for i in range(n):
            own = before if i == 0 else width
            parts += [(2 * own + 2 * width, 0), _conv(own, width, size), _conv(width, width, size)]
            parts += [(own * width, own * width * size**2)] if i == 0 else []
        before = width
    return _sum([*parts, (2 * before + 10 * before + 10, 10 * before)])


def _densenet(growth: int) -> tuple[int, int]:
    """Huang et al. 2017, section 3: 3 blocks of 12 layers; normalisation before each convolution."""
    parts, c = [_conv(3, 16, 32)], 16
    for size in (32, 16, 8):
        for _ in range(12):
            parts += [(2 * c, 0), _conv(c, growth, size)]
            c += growth
        parts += [(2 * c + c * c, c * c * size**2)] if size > 8 else [(2 * c, 0)]
    return _sum([*parts, (10 * c + 10, 10 * c)])


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        *((f"resnet{6 * n + 2}_cifar", _cifar_resnet(n)) for n in (3, 5, 7, 9)),
        *((f"wrn{6 * n + 4}_{k}", _wide_resnet(n, k)) for n, k in ((2, 4), (6, 4), (4, 10))),
        ("densenet40_12", _densenet(12)),
    ],
)
def test_networks_for_small_images_by_their_formulas(name: str, expected: tuple[int, int]) -> None:
    cost = nas.cost_of(nas.load_space(f"reference/{name}").decode({}))
    assert (cost.params, cost.macs) == expected
