"""Whether the latency of an 8-bit network depends on its weights: trained ones beside those before training.

    python -m benchmarks.int8_weights --data digits --networks 10 --epochs 4

Trains random networks of several spaces, and quantises each twice: trained, calibrated on training images; and as the
latency in fp32 is measured, with initial weights and noise for images. Measures both as a search does, each in a
process of its own, and the trained one once again: the same file, whose ratio to itself says what a ratio can tell.
"""

from __future__ import annotations

import argparse
from collections import Counter

import numpy as np
import onnx
import torch

import nas
from benchmarks.int8 import networks, train
from nas.exporting.int8 import operators, quantise
from nas.exporting.onnx.graph import to_onnx
from nas.exporting.settings import ExportSettings
from nas.latency.deployment import Deployment
from nas.latency.measure import Meter
from nas.network.lower import lower
from nas.pytorch import build_graph, initialise
from nas.training.data.config import DataConfig
from nas.training.data.load import load_data
from nas.training.preprocess import check_images, preprocess_of


def untrained(arch: nas.Architecture) -> bytes:
    """Return a network in 8 bits, with the weights that `nas.latency` measures with, calibrated on noise."""
    torch.manual_seed(0)
    graph = lower(arch)
    module = build_graph(graph).eval()
    initialise(module, graph)
    noise = np.random.default_rng(0).standard_normal((64, *arch.input_shape), dtype=np.float32)
    return quantise(to_onnx(graph, {name: value.numpy() for name, value in module.state_dict().items()}), [noise])


def kinds(model: bytes) -> Counter[str]:
    """Return how many operators a model has, by kind."""
    return Counter(node.op_type for node in onnx.load_from_string(model).graph.node)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="digits", help="digits or fashion_mnist")
    parser.add_argument("--networks", type=int, default=10)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--macs", type=float, default=4e6, help="of a network, at most; a tenth at least")
    parser.add_argument("--seed", type=int, default=0, help="of the networks")
    options = parser.parse_args()
    torch.set_num_threads(1)
    data = load_data(DataConfig(name=options.data))
    images = check_images(data, ExportSettings().calibration_images)
    print("| network | MACs | trained, ms | untrained / trained | again / trained | same operators | run in 8 bits |")
    print("| --- | --: | --: | --: | --: | --- | --- |")
    ratios, again = [], []
    meter = Meter(Deployment("onnxruntime"))
    for name, arch in networks(data, options.networks, options.macs, options.seed):
        weights = train(name, arch, data, options.epochs).weights
        trained = quantise(to_onnx(lower(arch), weights), images.inputs(preprocess_of(data, arch)))
        before = untrained(arch)
        ms = [latency.ms for latency in meter.measure_all([trained, before, trained])]
        ratios.append(ms[1] / ms[0])
        again.append(ms[2] / ms[0])
        print(
            f"| {name} | {nas.cost_of(arch).macs / 1e6:.2f} M | {ms[0]:.3f} | {ratios[-1]:.3f} | {again[-1]:.3f} | "
            f"{'yes' if kinds(trained) == kinds(before) else 'no'} | "
            f"{operators(trained).integer}, untrained {operators(before).integer} |",
            flush=True,
        )
    for what, found in (("Untrained / trained", ratios), ("Again / trained", again)):
        print(f"{what}: from {min(found):.3f} to {max(found):.3f}, median {np.median(found):.3f}")


if __name__ == "__main__":
    main()
