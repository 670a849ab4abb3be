"""The metrics that a limit can bound, and the workload that some of them depend on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from nas.cost.cost import Cost
from nas.cost.memory import MIB

_ALL_POSITIONS = 2**20
"""Receptive field where all of the input counts, as with attention: the longest side that an input may have."""


@dataclass(frozen=True, slots=True)
class Workload:
    """How many examples a network takes at a time, and what training keeps for each parameter."""

    batch: int = 1
    """Examples at a time in inference."""
    training_batch: int = 64
    """Examples at a time in training."""
    training_copies: int = 4
    """Numbers kept for each parameter in training: itself, its gradient, and what the optimiser remembers (Adam: two,
    stochastic gradient descent with momentum: one)."""
    training_limit_mib: float | None = None
    """MiB that training is held to by computing blocks again in the backward pass (`held_cost`); None: it is not."""


BATCH_OF_ONE = Workload()
"""One example at a time."""


def inference_memory_bytes(cost: Cost, batch: int) -> int:
    """Most memory in inference, fp32: stored state, the input, and the activations alive at one time."""
    return cost.size_bytes + batch * (cost.input_bytes + cost.peak_memory_bytes)


def training_memory_bytes(cost: Cost, workload: Workload) -> int:
    """Memory at the end of a forward pass in training, fp32: parameters with gradients and optimiser, running
    statistics, and for each example what the backward pass needs, with the input, which a first layer keeps."""
    statistics = cost.size_bytes - 4 * cost.params
    return (
        4 * cost.params * workload.training_copies + statistics + workload.training_batch * cost.training_memory_bytes
    )


@dataclass(frozen=True, slots=True)
class Metric:
    """A cost that is counted on the graph."""

    doc: str
    """What it is, as a phrase."""
    of: Callable[[Cost, Workload], float]


TRAINING_MEMORY = "training_memory_mib"
"""The metric that `train.memory_mib` holds."""

_COUNTED: Mapping[str, Metric] = {
    "params": Metric("parameters that are trained", lambda cost, _: cost.params),
    "macs": Metric("multiply-adds at batch 1", lambda cost, _: cost.macs),
    "activations": Metric("numbers written in inference at batch 1", lambda cost, _: cost.activations),
    "size_mib": Metric("stored size, fp32", lambda cost, _: cost.size_mib),
    "size_fp16_mib": Metric("stored size, 16 bits", lambda cost, _: cost.size_fp16_bytes / MIB),
    "size_int8_mib": Metric(
        "stored size, weights of convolution and linear layers in 8 bits", lambda cost, _: cost.size_int8_bytes / MIB
    ),
    "peak_memory_mib": Metric("activations alive at one time, batch 1", lambda cost, _: cost.peak_memory_mib),
    "inference_memory_mib": Metric(
        "stored size, input and activations, at inference.batch",
        lambda cost, workload: inference_memory_bytes(cost, workload.batch) / MIB,
    ),
    TRAINING_MEMORY: Metric(
        "parameters with optimiser, and what backward needs, at train.batch_size, as far as train.memory_mib lets it",
        lambda cost, workload: training_memory_bytes(cost, workload) / MIB,
    ),
    "receptive_field": Metric(
        "positions of the input along its longest side",
        lambda cost, _: _ALL_POSITIONS if cost.receptive_field is None else cost.receptive_field,
    ),
}
LATENCY = "latency_ms"
"""The metric that is measured before a network is trained."""

INT8_ACCURACY, INT8_LATENCY = "int8_accuracy", "int8_latency_ms"
AFTER_TRAINING: tuple[str, ...] = (INT8_ACCURACY, INT8_LATENCY)
"""What only a trained network shows: what it is worth with 8-bit weights and activations."""

FREE_METRICS: tuple[str, ...] = tuple(_COUNTED)
"""Metrics that are counted on the graph."""

METRICS: tuple[str, ...] = (*FREE_METRICS, LATENCY)
"""Costs that are known before a network is trained: counted ones, and `latency_ms`."""

SEARCH_METRICS: tuple[str, ...] = (*METRICS, *AFTER_TRAINING)
"""All that a limit of a search can bound."""


COUNTED_DOCS: Mapping[str, str] = {name: metric.doc for name, metric in _COUNTED.items()}
"""What each of `FREE_METRICS` is, as a phrase."""

METRIC_DOCS: Mapping[str, str] = {
    **COUNTED_DOCS,
    LATENCY: "measured on this machine, as inference.* says, before a candidate is trained",
    INT8_ACCURACY: "on the validation split in 8 bits, after training; at least .9 is [0.9,null]",
    INT8_LATENCY: "in 8 bits by onnxruntime, as inference.batch and threads say, after training",
}
"""What each of `SEARCH_METRICS` is, as a phrase."""


def value_of(cost: Cost, metric: str, workload: Workload = BATCH_OF_ONE) -> float:
    """Return a metric of a network, one of `FREE_METRICS`, in the unit of its name."""
    return float(_COUNTED[metric].of(cost, workload))
