"""How well the share of feasible candidates is estimated, and how soon guided sampling finds rare ones.

python -m benchmarks.limits
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Mapping

import nas
from nas.cost import Cost, check, constraints_from, cost_of
from nas.errors import ShapeError
from nas.space.explain import Share
from nas.space.feasible import feasible

LIMITS: list[Mapping[str, object]] = [
    {"params": 4.5e5},
    {"params": [5e5, 1.2e6], "macs": 5e7},
    {"macs": [2e7, 9e7], "peak_memory_mib": 0.6},
    {"params": 4.1e5, "receptive_field": [60, None]},
    {"params": 2.4e6},
]


def coverage(repetitions: int, samples: int) -> None:
    """Print how often the 99 % interval of a sample holds the true share, by enumeration of nasbench_macro."""
    space = nas.load_space("nasbench_macro")
    costs = [cost_of(space.decode(genotype)) for genotype in space.enumerate()]
    rng = random.Random(0)
    print(f"Share of nasbench_macro that holds the limits: {repetitions} samples of {samples} genotypes\n")
    print("| limits | true share | intervals that hold it |")
    print("| --- | --: | --: |")
    for limits in LIMITS:
        constraints = constraints_from(limits)
        holds = [not any(one.rejects for one in check(cost, constraints)) for cost in costs]
        true = sum(holds) / len(holds)
        covered = 0
        for _ in range(repetitions):
            low, high = Share(sum(rng.choices(holds, k=samples)), samples, exact=False).interval()
            covered += low <= true <= high
        print(f"| {dict(limits)} | {true:.3%} | {covered / repetitions:.1%} |")


def rare(names: list[str], count: int) -> None:
    """Print how long it takes to find candidates where one in 10,000 is feasible."""
    print(f"\n{count} feasible candidates where one in 10,000 random genotypes is, on one core\n")
    print("| space | params <= | seconds | different | looked at, for each | seconds by rejection (estimated) |")
    print("| --- | --: | --: | --: | --: | --: |")
    for name in names:
        space, rng = nas.load_space(name), random.Random(0)
        costs: list[Cost] = []
        started = time.perf_counter()
        while len(costs) < 20_000:
            try:
                costs.append(cost_of(space.decode(space.sample(rng))))
            except ShapeError:
                continue
        a_sample = (time.perf_counter() - started) / len(costs)
        bound = sorted(cost.params for cost in costs)[1]
        started = time.perf_counter()
        found = [feasible(space, constraints_from({"params": bound}), rng) for _ in range(count)]
        seconds = time.perf_counter() - started
        assert all(one.accepted for one, _ in found)
        different = len({one.architecture.arch_id for one, _ in found})
        looked = sum(number for _, number in found) / count
        print(f"| {name} | {bound:,} | {seconds:.2f} | {different} | {looked:.0f} | {10_000 * count * a_sample:.0f} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=200)
    parser.add_argument("--samples", type=int, default=1000)
    parser.add_argument("--count", type=int, default=100)
    options = parser.parse_args()
    coverage(options.repetitions, options.samples)
    rare(["mbconv", "five_stage", "mobilenet_v3", "vit"], options.count)


if __name__ == "__main__":
    main()
