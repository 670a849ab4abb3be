"""The spaces of two tabular benchmarks against closed forms of the published networks."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest

import nas
from nas.cost import graph_cost
from nas.network.lower import lower

# NAS-Bench-Macro: Su et al. 2021, section 4.1.

LAYERS = [f"stages.{stage}.blocks.{i}.block" for stage, depth in enumerate((2, 3, 3)) for i in range(depth)]


def _conv(c_in: int, c_out: int, k: int, size: int, groups: int = 1) -> tuple[int, int]:
    """Parameters with batch normalisation, and multiply-adds, of a convolution to a map of this size."""
    weights = c_out * (c_in // groups) * k * k
    return weights + 2 * c_out, weights * size * size


def _macro(choices: list[str]) -> tuple[int, int]:
    parts = [_conv(3, 32, 3, 32)]
    channels, size, layer = 32, 32, 0
    for out, depth in ((64, 2), (128, 3), (256, 3)):
        for i in range(depth):
            before, size = size, size // 2 if i == 0 else size
            expand, kernel = {"identity": (0, 0), "mb3_k3": (3, 3), "mb6_k5": (6, 5)}[choices[layer]]
            if expand:
                hidden = expand * channels
                parts += [_conv(channels, hidden, 1, before), _conv(hidden, hidden, kernel, size, hidden)]
                parts += [_conv(hidden, out, 1, size)]
            elif i == 0:
                parts.append(_conv(channels, out, 1, size))
            channels, layer = out, layer + 1
    parts.append(_conv(256, 1280, 1, 4))
    return sum(p for p, _ in parts) + 1280 * 10 + 10, sum(m for _, m in parts) + 1280 * 10


def test_nasbench_macro_is_the_published_network() -> None:
    space = nas.load_space("nasbench_macro")
    assert space.size() == 6561
    for genotype in space.enumerate():
        cost = nas.cost_of(space.decode(genotype))
        assert (cost.params, cost.macs) == _macro([str(genotype[path]) for path in LAYERS])


# NAS-Bench-201: Dong & Yang 2020, section 2.

EDGES = [f"let.cell.edges.{i}.block" for i in range(6)]
ENDS = [(0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3)]
KERNEL = {"conv_1x1": 1, "conv_3x3": 3}


def _skeleton() -> tuple[int, int]:
    """Everything but the cells, with C = 16: the stem, two reductions, the last normalisation, the classifier."""
    parts = [_conv(3, 16, 3, 32)]
    for c, size in ((16, 16), (32, 8)):
        parts += [_conv(c, 2 * c, 3, size), _conv(2 * c, 2 * c, 3, size), (2 * c * c, 2 * c * c * size * size)]
    return sum(p for p, _ in parts) + 2 * 64 + 64 * 10 + 10, sum(m for _, m in parts) + 64 * 10


def _cells(edges: list[str]) -> tuple[int, int]:
    """N = 5 cells at 16, 32 and 64 channels: every convolution of a cell counts."""
    params = macs = 0
    for c, size in ((16, 32), (32, 16), (64, 8)):
        for edge in edges:
            p, m = _conv(c, c, KERNEL[edge], size) if edge in KERNEL else (0, 0)
            params, macs = params + 5 * p, macs + 5 * m
    return params, macs


def _reaching(edges: list[str]) -> list[str]:
    """The edges that lie on a way to the last node that no `none` cuts off, without those that read zeros only."""
    there = [(a, b) for (a, b), edge in zip(ENDS, edges, strict=True) if edge != "none"]
    ends_well = {3}
    for a, b in reversed(there):
        ends_well |= {a} if b in ends_well else set()
    # A convolution of zeros still gives the shift of its normalisation, so what follows it is not zero.
    shifted = {0}
    for (a, b), edge in sorted(zip(ENDS, edges, strict=True), key=lambda one: one[0][1]):
        if edge in KERNEL or (edge != "none" and a in shifted):
            shifted.add(b)
    kept = []
    for (a, b), edge in zip(ENDS, edges, strict=True):
        if edge in KERNEL and b in ends_well:
            kept.append(edge if a in shifted else f"{edge} of zeros")
    return kept


@pytest.mark.slow
def test_nasbench201_is_the_published_network() -> None:
    """As it is written the space has the published network's parameters and multiply-adds; what is built leaves out
    convolutions whose result nobody reads, or that read zeros. Every 61st of 15,625 genotypes: of each edge all."""
    space = nas.load_space("nasbench201")
    assert space.size() == 15_625
    skeleton, smaller = _skeleton(), 0
    for genotype in itertools.islice(space.enumerate(), 0, None, 61):
        arch = space.decode(genotype)
        edges = [str(genotype[path]) for path in EDGES]
        published = tuple(a + b for a, b in zip(skeleton, _cells(edges), strict=True))
        written = graph_cost(lower(arch, simplified=False))
        assert (written.params, written.macs) == published
        cost = nas.cost_of(arch)
        kept = _reaching(edges)
        params, macs = _cells([edge for edge in kept if edge in KERNEL])
        # Of a convolution of zeros the normalisation stays, whose shift it gives.
        shifts = sum(5 * 2 * c for c in (16, 32, 64)) * sum(edge.endswith("zeros") for edge in kept)
        assert (cost.params, cost.macs) == (skeleton[0] + params + shifts, skeleton[1] + macs)
        smaller += cost.params < published[0]
    assert smaller > 0


def _expression(edges: list[str], label: dict[int, int]) -> Any:
    """The last node as a sum of terms, each a function of a sum; convolutions have the numbers of their weights."""
    sums: list[tuple[Any, ...]] = [(("input",),), (), (), ()]
    for target in (1, 2, 3):
        terms: list[Any] = []
        for index, ((a, b), edge) in enumerate(zip(ENDS, edges, strict=True)):
            if b != target or edge == "none":
                continue
            if edge == "skip":
                terms += sums[a]
            elif edge == "pool_3x3":
                terms += [("pool", sums[a])] if sums[a] else []
            else:
                terms.append((edge if sums[a] else "shift", label[index], sums[a]))
        sums[target] = tuple(sorted(terms, key=repr))
    return sums[3]


def _numberings(edges: list[str]) -> Iterator[dict[int, int]]:
    convs = [i for i, edge in enumerate(edges) if edge in KERNEL]
    for order in itertools.permutations(range(len(convs))):
        yield dict(zip(convs, order, strict=True))


@pytest.mark.slow
def test_distinct_networks_of_nasbench201() -> None:
    """`arch_id` finds as many networks as there are expressions that differ under every numbering of the weights.

    The authors' own count of 6,466 writes a node as nested text, so that it tells a skipped sum from the sum of the
    same terms; here those are one network.
    """
    space = nas.load_space("nasbench201")
    ids: dict[str, set[str]] = {}
    expressions: dict[str, set[str]] = {}
    for genotype in space.enumerate():
        edges = [str(genotype[path]) for path in EDGES]
        canonical = min(repr(_expression(edges, label)) for label in _numberings(edges))
        arch_id = space.decode(genotype).arch_id
        ids.setdefault(arch_id, set()).add(canonical)
        expressions.setdefault(canonical, set()).add(arch_id)
    assert len(ids) == len(expressions) == 5485
    assert all(len(found) == 1 for found in (*ids.values(), *expressions.values()))
