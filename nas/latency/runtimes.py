"""A network ready to run in a runtime, and the seconds that runs of it take."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from nas.latency.deployment import Deployment
from nas.network.architecture import Architecture
from nas.network.graph import Graph
from nas.network.lower import lower
from nas.pytorch import build_graph, initialise

Timer = Callable[[int], list[float]]
"""Runs a network a number of times and returns the seconds of each run."""


def open_network(architecture: Architecture, deployment: Deployment) -> Timer:
    """Make a network ready to run, with random weights and a random input.

    Raises:
        ShapeError: the architecture is not a network.
    """
    return open_graph(lower(architecture), deployment)


def open_graph(graph: Graph, deployment: Deployment) -> Timer:
    """Make any graph of operations ready to run."""
    torch.manual_seed(0)
    network = build_graph(graph).eval()
    initialise(network, graph)  # numbers that neither vanish nor grow: tiny ones take a processor longer
    x = torch.randn(deployment.batch, *graph.in_shape)
    if deployment.runtime == "cuda":
        return _cuda(network, x)
    if deployment.runtime == "torch":
        return _torch(network, x, deployment.threads)
    from nas.exporting.onnx.graph import to_onnx

    model = to_onnx(graph, {name: value.numpy() for name, value in network.state_dict().items()})
    run = _onnxruntime if deployment.runtime == "onnxruntime" else _openvino
    return _timed(run(model, x.numpy(), deployment.threads))


def open_model(model: bytes, deployment: Deployment) -> Timer:
    """Make a network that is written as ONNX ready to run by onnxruntime, with a random input.

    Args:
        model: with one input, whose first dimension is the batch.
        deployment: how it is run; its runtime is `onnxruntime`.
    """
    session = _session(model, deployment.threads)
    (taken,) = session.get_inputs()
    x = np.random.default_rng(0).standard_normal((deployment.batch, *taken.shape[1:]), dtype=np.float32)
    return _timed(lambda: session.run(None, {taken.name: x}))


def _timed(run: Callable[[], object]) -> Timer:
    def timer(runs: int) -> list[float]:
        seconds = []
        for _ in range(runs):
            started = time.perf_counter()
            run()
            seconds.append(time.perf_counter() - started)
        return seconds

    return timer


def _channels_last(x: torch.Tensor) -> torch.Tensor:
    return x.contiguous(memory_format=torch.channels_last) if x.dim() == 4 else x


def _torch(network: Any, x: torch.Tensor, threads: int) -> Timer:
    """Eager mode. The number of threads is torch's own, so networks of one process share it."""
    torch.set_num_threads(threads)
    network, x = network.to(memory_format=torch.channels_last), _channels_last(x)
    timer = _timed(lambda: network(x))

    def inference(runs: int) -> list[float]:
        with torch.inference_mode():
            return timer(runs)

    return inference


def _cuda(network: Any, x: torch.Tensor) -> Timer:
    """Eager mode on the first GPU, timed there by events, so that the queue of work is not what is measured."""
    network, x = network.cuda().to(memory_format=torch.channels_last), _channels_last(x.cuda())

    def timer(runs: int) -> list[float]:
        events = []
        with torch.inference_mode():
            torch.cuda.synchronize()
            for _ in range(runs):
                start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
                start.record()
                network(x)
                end.record()
                torch.cuda.synchronize()
                events.append((start, end))
        return [start.elapsed_time(end) / 1e3 for start, end in events]

    return timer


def _onnxruntime(model: bytes, x: np.ndarray[Any, Any], threads: int) -> Callable[[], object]:
    session = _session(model, threads)
    return lambda: session.run(None, {"x": x})


def _session(model: bytes, threads: int) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def _openvino(model: bytes, x: np.ndarray[Any, Any], threads: int) -> Callable[[], object]:
    import openvino

    core = openvino.Core()
    network = core.read_model(model)
    network.reshape({"x": x.shape})
    settings = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
    request = core.compile_model(network, "CPU", settings).create_infer_request()
    return lambda: request.infer({"x": x}, share_inputs=True)
