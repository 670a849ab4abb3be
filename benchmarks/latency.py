"""How well latency is predicted: a calibration, then networks that it has not seen, beside two simpler ways.

python -m benchmarks.latency --runtime onnxruntime
python -m benchmarks.latency --runtime onnxruntime --profile runs/devices/onnxruntime-batch1-threads1.json
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

import nas
from nas.cost import cost_of
from nas.errors import NasError
from nas.latency.calibrate import accuracy, calibrate
from nas.latency.deployment import Deployment, deployment
from nas.latency.device_profile import DeviceProfile
from nas.latency.measure import Meter
from nas.latency.runtimes import Timer, open_graph
from nas.network import ops
from nas.network.graph import Graph, Node
from nas.network.lower import lower

SPACES = ("mbconv", "mobilenet_v3", "resnet")


def unseen(spaces: Sequence[str], count: int, known: Mapping[str, float]) -> list[nas.Architecture]:
    """Draw networks that were not measured, from each space in turn."""
    rng, found = random.Random("unseen"), list[nas.Architecture]()
    while len(found) < count:
        space = nas.load_space(spaces[len(found) % len(spaces)])
        arch = space.decode(space.sample(rng))
        try:
            cost_of(arch)
        except NasError:
            continue
        if arch.arch_id not in known:
            found.append(arch)
    return found


def seen(spaces: Sequence[str], known: Mapping[str, float], seed: int) -> tuple[list[int], list[float]]:
    """The multiply-adds and milliseconds of the networks of a calibration, drawn again."""
    rng, macs, ms = random.Random(seed), list[int](), list[float]()
    while len(ms) < len(known):
        for name in spaces:
            space = nas.load_space(name)
            arch = space.decode(space.sample(rng))
            try:
                network = arch.arch_id
            except NasError:
                continue
            if network in known:
                macs.append(cost_of(arch).macs)
                ms.append(known[network])
    return macs, ms


def alone(graph: Graph, index: int) -> Graph | None:
    """An operation by itself, reading the same value wherever it reads several of one shape; None where it cannot."""
    node = graph.nodes[index]
    shapes = [graph.nodes[i].shape for i in node.inputs]
    if not shapes or any(shape != shapes[0] for shape in shapes):
        return None
    nodes = [Node("input", ops.Input(shapes[0]), (), shapes[0])]
    nodes.append(Node("op", node.op, (0,) * len(shapes), node.shape))
    return Graph(tuple(nodes))


class Layers:
    """Times of single operations, each measured by itself once."""

    def __init__(self, where: Deployment) -> None:
        self.where, self.known = where, dict[object, float]()
        self.empty = self._time(Graph((Node("input", ops.Input((3, 8, 8)), (), (3, 8, 8)), _relu((3, 8, 8)))))

    def _time(self, graph: Graph) -> float:
        timer: Timer = open_graph(graph, self.where)
        once = min(timer(3))
        runs = min(max(int(0.004 / once), 5), 300)
        return 1e3 * min(float(np.percentile(timer(runs), 10)) for _ in range(3))

    def total(self, arch: nas.Architecture) -> float:
        """The sum of a network's operations, less what starting a network takes for each."""
        graph, total = lower(arch), self.empty
        for index in graph.live()[1:]:
            key = (graph.nodes[index].op, tuple(graph.nodes[i].shape for i in graph.nodes[index].inputs))
            if key not in self.known:
                single = alone(graph, index)
                self.known[key] = max(0.0, self._time(single) - self.empty) if single else 0.0
            total += self.known[key]
        return total


def _relu(shape: tuple[int, ...]) -> Node:
    return Node("op", ops.Activation("relu"), (0,), shape)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runtime", default="auto")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--networks", type=int, default=60)
    parser.add_argument("--space", action="append")
    parser.add_argument("--profile", type=Path, help="of an earlier calibration of the same spaces with seed 0")
    options = parser.parse_args()
    spaces = options.space or SPACES
    where = deployment(options.runtime, options.batch, options.threads)
    profile = (
        DeviceProfile.load(options.profile)
        if options.profile
        else calibrate([nas.load_space(name) for name in spaces], where)
    )
    print(f"{profile.device.hardware}, {profile.device.cores} cores, {where}, {dict(profile.device.versions)}")
    print(f"Calibration: {profile.accuracy.networks} networks of {', '.join(spaces)} in {profile.seconds:.0f} s")
    networks = unseen(spaces, options.networks, profile.measured)
    meter, started = Meter(where), time.monotonic()
    # Judged by the first figure, as a search would have it; the second says how well figures repeat.
    ms, second = (np.array([one.ms for one in meter.measure_all(networks, seed=seed)]) for seed in (1, 2))
    again = np.abs(np.log(ms / second))
    print(f"{len(networks)} others measured twice in {time.monotonic() - started:.0f} s; the two figures differ by "
          f"{np.median(again):.1%} (median), {np.percentile(again, 90):.1%} (nine in ten)")  # fmt: skip
    found = [profile.predict(arch) for arch in networks]
    macs = np.array([cost_of(arch).macs for arch in networks])
    known_macs, known_ms = seen(spaces, profile.measured, 0)
    slope, start = np.polyfit(np.log(known_macs), np.log(known_ms), 1)
    layers = Layers(where)
    totals = np.array([layers.total(arch) for arch in networks])
    covered = np.mean([one.low_ms <= true <= one.high_ms for one, true in zip(found, ms, strict=True)])
    print(f"The 90 % interval (+-{profile.accuracy.interval:.1%}) holds {covered:.1%} of them; "
          f"{sum(bool(one.unknown) for one in found)} are said to be unlike those measured\n")  # fmt: skip
    print(
        "| predicted by | within 5 % | within 10 % | mean error | rank correlation |\n| --- | --: | --: | --: | --: |"
    )
    for name, predicted in (
        ("device profile", np.array([one.ms for one in found])),
        ("multiply-adds alone", np.exp(start + slope * np.log(macs))),
        (f"sum of {len(layers.known)} operations timed one by one", totals),
    ):
        result = accuracy(ms, predicted / ms - 1)
        print(f"| {name} | {result.within_5:.1%} | {result.within_10:.1%} | {result.mean_error:.1%} "
              f"| {result.rank_correlation:.4f} |")  # fmt: skip


if __name__ == "__main__":
    main()
