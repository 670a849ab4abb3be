"""What a candidate costs: on the graph, against building it on torch's meta device and counting there.

    python benchmarks/candidates.py --space mbconv
    python benchmarks/candidates.py --all            candidates a second of every search space

Times sample + decode + cost + check of candidates one by one, and interleaved with that the same question answered by
building the module on the meta device under `FlopCounterMode`. Both ways must agree on every candidate that both see.
"""

from __future__ import annotations

import argparse
import random
import statistics
import subprocess
import sys
import time

import torch
from torch.utils.flop_counter import FlopCounterMode

import nas
from nas.cost import check, constraints_from
from nas.errors import ShapeError
from nas.network.lower import lower
from nas.pytorch import build_graph

LIMITS = constraints_from({"params": 5e5, "macs": 2e7})


def on_the_graph(space: nas.SearchSpace, rng: random.Random, count: int, *, with_id: bool = False) -> float:
    """Seconds a candidate for sample, decode, cost and check; with `arch_id` where asked."""
    started = time.perf_counter()
    for _ in range(count):
        arch = space.decode(space.sample(rng))
        try:
            check(nas.cost_of(arch), LIMITS)
        except ShapeError:  # a map too small for this depth; that is an answer too
            continue
        if with_id:
            assert arch.arch_id
    return (time.perf_counter() - started) / count


def on_meta(space: nas.SearchSpace, rng: random.Random, count: int) -> float:
    """Seconds a candidate for sample, decode, building on the meta device and counting there."""
    seconds = 0.0
    for _ in range(count):
        started = time.perf_counter()
        arch = space.decode(space.sample(rng))
        with torch.device("meta"), torch.no_grad():
            module = build_graph(lower(arch)).eval()
            with FlopCounterMode(display=False) as counter:
                module(torch.empty(1, *arch.input_shape))
        params = sum(parameter.numel() for parameter in module.parameters())
        macs = counter.get_total_flops() // 2
        seconds += time.perf_counter() - started
        cost = nas.cost_of(arch)
        assert (cost.params, cost.macs) == (params, macs), "both ways must agree"
    return seconds / count


def cold(space: str, count: int, with_id: bool) -> float:
    """Seconds a candidate of the first ones in a process of their own, where nothing is remembered yet."""
    command = [sys.executable, __file__, "--space", space, "--cold", str(count), *(["--with-id"] if with_id else [])]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def every_space(rounds: int) -> None:
    """Print candidates a second on one core, after 20,000 of each space."""
    print("| space | genotypes | candidates a second (median) | range |")
    print("| --- | --: | --: | --: |")
    for name in (name for name in nas.space_names() if "/" not in name):
        space, rng = nas.load_space(name), random.Random(0)
        on_the_graph(space, rng, 20_000)
        rates = [1 / on_the_graph(space, rng, 2000) for _ in range(rounds)]
        middle = statistics.median(rates)
        print(f"| {name} | {space.size():.3g} | {middle:,.0f} | {min(rates):,.0f} to {max(rates):,.0f} |", flush=True)


def _row(name: str, seconds: list[float], meta: list[float]) -> str:
    rates = [1 / s for s in seconds]
    ratio = statistics.median(meta) / statistics.median(seconds)
    micro = statistics.median(seconds) * 1e6
    return (
        f"| {name} | {micro:,.0f} | {statistics.median(rates):,.0f} ({min(rates):,.0f} to {max(rates):,.0f}) "
        f"| {ratio:,.0f} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--space", default="mbconv")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--cold", type=int, help="only time so many first candidates and print the seconds")
    parser.add_argument("--with-id", action="store_true", help="with --cold: compute arch_id too")
    parser.add_argument("--all", action="store_true", help="every search space, without the comparison")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.all:
        every_space(options.rounds)
        return
    space = nas.load_space(options.space)
    if options.cold:
        print(on_the_graph(space, random.Random(0), options.cold, with_id=options.with_id))
        return
    first = [cold(options.space, 2000, with_id=False) for _ in range(3)]
    first_id = [cold(options.space, 2000, with_id=True) for _ in range(3)]
    rng = random.Random(0)
    on_the_graph(space, rng, 20_000)
    on_meta(space, rng, 3)
    graph, meta = [], []
    for _ in range(options.rounds):
        graph.append(on_the_graph(space, rng, 2000))
        meta.append(on_meta(space, rng, 10))
    print("| way | us a candidate (median) | candidates a second (range) | times faster than meta |")
    print("| --- | --: | --: | --: |")
    print(_row("graph, after 20,000 candidates", graph, meta))
    print(_row("graph, first 2,000 in a new process", first, meta))
    print(_row("the same with arch_id", first_id, meta))
    print(_row("meta device and FlopCounterMode", meta, meta))


if __name__ == "__main__":
    main()
