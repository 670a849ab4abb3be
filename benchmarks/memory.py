"""Predicted memory against what torch's allocator hands out, and against the process's resident memory.

python -m benchmarks.memory
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

import nas
from nas.cost import Workload, cost_of, inference_memory_bytes, training_memory_bytes

MIB = 2**20
NETWORKS = (
    "resnet18",
    "resnet50",
    "vgg16",
    "densenet121",
    "googlenet",
    "inception_v3",
    "squeezenet1_1",
    "mobilenet_v2",
    "mobilenet_v3_large",
    "efficientnet_b0",
    "convnext_tiny",
    "vit_tiny_16",
)


def _open(name: str, batch: int) -> tuple[nas.Architecture, Any, torch.Tensor]:
    """A network and its input, as the project trains and times them."""
    space = nas.load_space(f"reference/{name}")
    arch = space.decode(space.sample(seed=0))
    network: Any = nas.build(arch)
    x = torch.randn(batch, *arch.input_shape).contiguous(memory_format=torch.channels_last)
    return arch, network.to(memory_format=torch.channels_last), x


def inference(name: str, batch: int) -> tuple[float, float, float, float]:
    """Return predicted MiB, those of the allocator, those allocated on a GPU (0 without), and the growth of memory."""
    arch, network, x = _open(name, batch)
    predicted = inference_memory_bytes(cost_of(arch), batch)
    network.eval()
    fixed = sum(value.nbytes for value in network.state_dict().values()) + x.nbytes
    with torch.inference_mode():
        network(x[:1])  # what is made once, such as code for the processor
        before = _resident()
        network(x)
        grown = _resident(peak=True) - before
        with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as found:
            network(x)
    return predicted / MIB, (fixed + _peak(found)) / MIB, _on_gpu(network, x) / MIB, (fixed + grown) / MIB


def training(name: str, batch: int) -> tuple[float, float, float, float]:
    """Return the same for a step of training with AdamW, as Lightning does it: old gradients go before the new ones."""
    arch, network, x = _open(name, batch)
    predicted = training_memory_bytes(cost_of(arch), Workload(training_batch=batch))
    optimiser = torch.optim.AdamW(network.parameters(), foreach=False)

    def step() -> None:
        given = network(x)
        loss = sum(one.square().mean() for one in given) if isinstance(given, tuple) else given.square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()

    step()
    state = sum(value.nbytes for value in network.state_dict().values())
    params = sum(value.nbytes for value in network.parameters())
    fixed = state + 3 * params + x.nbytes  # gradients and two moments
    before = _resident()
    step()
    grown = _resident(peak=True) - before
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as found:
        step()
    return predicted / MIB, (fixed + _peak(found)) / MIB, 0.0, (fixed + grown) / MIB


def _peak(found: Any) -> int:
    """The most that was handed out at one time: the events of the allocator, added up in their order."""
    events = [event for event in found.profiler.kineto_results.events() if event.name() == "[memory]"]
    held = peak = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        held += event.nbytes()
        peak = max(peak, held)
    return peak


def _on_gpu(network: Any, x: torch.Tensor) -> int:
    if not torch.cuda.is_available():
        return 0
    network, x = network.cuda(), x.cuda()
    torch.cuda.reset_peak_memory_stats()
    with torch.inference_mode():
        network(x)
    return torch.cuda.max_memory_allocated()


def _resident(*, peak: bool = False) -> int:
    """Bytes of this process in memory now, or the most since it was last asked for now."""
    status = Path("/proc/self/status").read_text()
    if not peak:
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    field = "VmHWM" if peak else "VmRSS"
    return 1024 * int(next(line.split()[1] for line in status.splitlines() if line.startswith(field)))


def main() -> None:
    """Print the table; each row comes from a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--one", nargs=3, metavar=("WHAT", "NETWORK", "BATCH"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        what, name, batch = options.one
        print(*(training if what == "training" else inference)(name, int(batch)))
        return
    where = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    print(f"torch {torch.__version__}, {where}; MiB of stored state, input and activations together")
    for what, batches in (("inference", (1, 32)), ("training", (32,))):
        print(f"\n| {what} | batch | predicted | allocator | ratio | GPU allocator | ratio | resident | ratio |")
        print("| --- | --: | --: | --: | --: | --: | --: | --: | --: |")
        for batch in batches:
            for name in NETWORKS:
                command = [sys.executable, "-m", "benchmarks.memory", "--one", what, name, str(batch)]
                out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
                predicted, *others = map(float, out.split())
                cells = [f"{one:.2f} | {predicted / one:.3f}" if one else "- | -" for one in others]
                print(f"| {name} | {batch} | {predicted:.2f} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
