"""A training step of the generated module against the same network written by hand.

    python -m benchmarks.training_step

Both take turns, in an order that changes, with the same batch; the ratio of the medians is what counts.
"""

from __future__ import annotations

import argparse
import random
import statistics
import time

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import nas
from tests.pytorch.published import PUBLISHED


def step(module: nn.Module, optimizer: torch.optim.Optimizer, x: Tensor, labels: Tensor) -> float:
    """Seconds of one forward, backward and update."""
    started = time.perf_counter()
    optimizer.zero_grad()
    F.cross_entropy(module(x), labels).backward()
    optimizer.step()
    return time.perf_counter() - started


def compare(name: str, size: int, batch: int, rounds: int) -> str:
    """Return one row of the table."""
    space = nas.load_space(f"reference/{name}").for_data((3, size, size), 1000)
    modules: list[nn.Module] = [nas.build(space.decode({})), PUBLISHED[name]()]
    # Torch's stubs leave memory_format alone out of Module.to.
    modules = [module.to(memory_format=torch.channels_last).train() for module in modules]  # type: ignore[call-overload]
    optimizers = [torch.optim.SGD(module.parameters(), lr=1e-3) for module in modules]
    x = torch.randn(batch, 3, size, size).to(memory_format=torch.channels_last)
    labels = torch.randint(1000, (batch,))
    seconds: list[list[float]] = [[], []]
    for turn in range(rounds + 3):
        for which in random.sample([0, 1], 2):
            taken = step(modules[which], optimizers[which], x, labels)
            if turn >= 3:  # the first ones warm up
                seconds[which].append(taken)
    ours, hand = (statistics.median(times) for times in seconds)
    pairs = sorted(a / b for a, b in zip(*seconds, strict=True))
    spread = f"{pairs[len(pairs) // 20]:.2f} to {pairs[-1 - len(pairs) // 20]:.2f}"
    return f"| {name} | {1000 * ours:.1f} | {1000 * hand:.1f} | {ours / hand:.3f} | {spread} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=64, help="side of the images")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=40)
    options = parser.parse_args()
    torch.set_num_threads(1)
    random.seed(0)
    print("| network | generated, ms (median) | by hand, ms (median) | ratio | 5 % to 95 % of the pairs |")
    print("| --- | --: | --: | --: | --: |")
    for name in ("resnet18", "efficientnet_b0"):
        print(compare(name, options.size, options.batch, options.rounds))


if __name__ == "__main__":
    main()
