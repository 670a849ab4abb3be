"""8-bit networks against the same in fp32: accuracy, size and time of trained networks, side by side.

    python -m benchmarks.int8 --data digits --networks 10 --epochs 12 --eight-bits
    python -m benchmarks.int8 --data fashion_mnist --networks 10 --epochs 4 --eight-bits
    python -m benchmarks.int8 --networks 0 --int8 faster

Trains random networks of several spaces, quantises each, and measures both models as `nas export` does: accuracy on the
validation split, and time for one picture with one thread, alternating in one process. Each network is a line of a
file as soon as it is measured, and one that is in it is not trained again, so that a run can be stopped and others be
added to it. Prints the table of all that the file has, and how many `nas export` would keep; the last command prints
that alone, as with `export.int8=faster`.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from math import cos, pi
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional as F

import nas
from nas.errors import NasError
from nas.exporting.choice import CheckImages, Comparison, compare
from nas.exporting.int8 import Operators, quantise
from nas.exporting.onnx.graph import to_onnx
from nas.exporting.onnx.series import as_shipped
from nas.exporting.onnx.writer import Weights
from nas.exporting.series_preprocess import AnyPreprocess
from nas.exporting.settings import INT8, ExportSettings
from nas.line_log import LineLog
from nas.network.lower import lower
from nas.training.data.batches import Batches
from nas.training.data.config import DataConfig
from nas.training.data.load import load_data
from nas.training.data.splits import ImageData
from nas.training.preprocess import check_images, preprocess_of

SPACES = ("mbconv", "resnet", "mobilenet_v3", "vgg", "mixed")
"""In turn."""


@dataclass(frozen=True, eq=False)
class Network:
    """A trained network."""

    name: str
    """Its space."""
    architecture: nas.Architecture
    weights: Weights


def networks(data: ImageData, count: int, macs: float, seed: int) -> Iterator[tuple[str, nas.Architecture]]:
    """Yield random networks of the spaces in turn, that cost at most so many multiply-adds and at least a tenth."""
    rng = random.Random(seed)
    for number in range(count):
        space = nas.load_space(SPACES[number % len(SPACES)]).for_data(data.input_shape, data.num_classes)
        while True:
            arch = space.decode(space.sample(rng))
            try:
                if macs / 10 <= nas.cost_of(arch).macs <= macs:
                    break
            except NasError:  # too many strides for so small an image
                continue
        yield space.name, arch


def train(name: str, arch: nas.Architecture, data: ImageData, epochs: int) -> Network:
    """Train by AdamW with a cosine, as the recipe of a search does."""
    torch.manual_seed(0)
    module = nas.build(arch)
    batches = Batches(data.train, data, 64, arch.input_shape, shuffle=True)
    optimizer = torch.optim.AdamW(module.parameters(), lr=3e-3, weight_decay=0.02)
    total = epochs * len(batches)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min(1.0, (step + 1) / (0.1 * total)) * 0.5 * (1 + cos(pi * min(1.0, step / total)))
    )
    for _ in range(epochs):
        for inputs, labels in batches:
            optimizer.zero_grad()
            F.cross_entropy(module(inputs), labels).backward()
            torch.nn.utils.clip_grad_norm_(module.parameters(), 5.0)
            optimizer.step()
            schedule.step()
    return Network(name, arch, {key: value.numpy() for key, value in module.eval().state_dict().items()})


def measure(network: Network, preprocess: AnyPreprocess, images: CheckImages, *, reduce_range: bool) -> Comparison:
    """Quantise a network and measure it beside fp32, each with pictures in front of it."""
    alone = to_onnx(lower(network.architecture), network.weights)
    int8 = quantise(alone, images.inputs(preprocess), reduce_range=reduce_range)
    return compare(as_shipped(alone, preprocess), as_shipped(int8, preprocess), images)


def line(key: Mapping[str, Any], network: Network, found: Comparison, *, bits: int) -> dict[str, Any]:
    """Return what is kept of a network with weights of so many bits."""
    cost = nas.cost_of(network.architecture)
    return {
        "key": key,
        "bits": bits,
        "space": network.name,
        "arch_id": network.architecture.arch_id,
        "params": cost.params,
        "macs": cost.macs,
        "found": asdict(found),
    }


def comparison(values: Mapping[str, Any]) -> Comparison:
    """Read what `asdict` made of one."""
    earlier = {"shares": values["accuracy"]} if "accuracy" in values else {}
    values = {**values, **earlier}
    tuples = {name: tuple(values[name]) for name in ("bytes", "shares", "latency_ms", "speed_up")}
    operators = Operators(**{**values["operators"], "in_float": tuple(values["operators"]["in_float"])})
    return Comparison(**tuples, operators=operators)


def table(lines: Sequence[Mapping[str, Any]], settings: ExportSettings) -> Iterator[str]:
    """Yield the rows of the table, and how many are kept of each data set."""
    figures = ("params", "MACs", "fp32", "drop, points", "size", "fp32, ms", "times as fast", "in 8 bits")
    yield f"| data | network | weights | {' | '.join(figures)} | |"
    yield f"| --- | --- | --- |{' --: |' * len(figures)} --- |"
    lines = sorted(lines, key=lambda one: (one["key"]["data"], one["bits"], one["key"]["number"]))
    kept: dict[tuple[str, int], list[bool]] = {}
    for one in lines:
        found = comparison(one["found"])
        group = one["key"]["data"], one["bits"]
        kept.setdefault(group, []).append(not found.why_not(settings))
        yield row(one, found, settings)
    yield ""
    for (data, bits), good in kept.items():
        yield f"{data}, weights of {bits} bits: {sum(good)} of {len(good)} kept"


def row(one: Mapping[str, Any], found: Comparison, settings: ExportSettings) -> str:
    """Return a row of the table."""
    median, low, high = found.speed_up
    verdict = found.why_not(settings) or ("kept, faster" if found.faster else "kept, smaller")
    return (
        f"| {one['key']['data']} | {one['space']} | {one['bits']} bits | {one['params']:,} | {one['macs'] / 1e6:.2f} M "
        f"| {found.shares[0]:.2%} | {found.drop:+.2f} | {found.bytes[1] / found.bytes[0]:.2f} "
        f"| {found.latency_ms[0]:.3f} | {median:.2f} [{low:.2f}, {high:.2f}] "
        f"| {found.operators.integer} of {found.operators.integer + len(found.operators.in_float)} | {verdict} |"
    )


def main() -> None:
    options = _options()
    torch.set_num_threads(1)
    log = LineLog(options.out)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    lines: list[dict[str, Any]] = log.read("a network", dict)
    data = load_data(DataConfig(name=options.data, train_fraction=options.train_fraction))
    images, settings = check_images(data, options.calibration_images), ExportSettings(int8=options.int8)
    names = ("data", "epochs", "macs", "calibration_images", "train_fraction", "seed")
    for number, (name, arch) in enumerate(networks(data, options.networks, options.macs, options.seed)):
        key = {**{name: getattr(options, name) for name in names}, "number": number}
        done = {one["bits"] for one in lines if one["key"] == key}
        missing = [bits for bits in ((7, 8) if options.eight_bits else (7,)) if bits not in done]
        if not missing:
            continue
        started = time.perf_counter()
        network, preprocess = train(name, arch, data, options.epochs), preprocess_of(data, arch)
        for bits in missing:
            found = measure(network, preprocess, images, reduce_range=bits == 7)
            lines.append(line(key, network, found, bits=bits))
            log.append(lines[-1], durable=True)
            print(row(lines[-1], found, settings), flush=True)
        print(f"  {time.perf_counter() - started:.0f} s", flush=True)
    log.close()
    print("\n".join(["", *table(lines, settings)]))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="digits", help="digits or fashion_mnist")
    parser.add_argument("--networks", type=int, default=10)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--macs", type=float, default=4e6, help="of a network, at most; a tenth at least")
    parser.add_argument("--calibration-images", type=int, default=ExportSettings().calibration_images)
    parser.add_argument("--train-fraction", type=float, default=1.0, help="share of the training split")
    parser.add_argument("--seed", type=int, default=0, help="of the networks")
    parser.add_argument("--int8", default="auto", choices=INT8, help="when one is kept, as export.int8 (auto)")
    parser.add_argument("--eight-bits", action="store_true", help="show weights of 8 bits beside those of 7")
    parser.add_argument("--out", type=Path, default=Path("runs/int8.jsonl"), help="takes a line for each network")
    return parser.parse_args()


if __name__ == "__main__":
    main()
