"""Networks with 8-bit weights and activations: static quantisation by onnxruntime, and what it is worth.

Convolutions and matrix products get weights of a scale for each output channel, and activations of a scale and zero
point from the least and the largest value over training images (Jacob et al. 2018, "Quantization and training of
neural networks for efficient integer-arithmetic-only inference", section 2).
"""

from __future__ import annotations

import logging
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from nas.errors import DeviceError, reason_of
from nas.exporting.onnx.pictures import PREFIX
from nas.exporting.preprocess import Floats
from nas.training.tasks.classification import CLASSIFICATION
from nas.training.tasks.task import Scale, Task

_INTEGER = frozenset({"QLinearConv", "QGemm", "QLinearMatMul", "MatMulInteger", "MatMulIntegerToFloat", "ConvInteger"})
"""Operators of onnxruntime that multiply 8-bit integers."""
_FLOAT = frozenset({"Conv", "FusedConv", "ConvTranspose", "Gemm", "FusedGemm", "MatMul", "FusedMatMul"})
"""Those that multiply fp32 numbers."""
_BETWEEN = frozenset({"QuantizeLinear", "DequantizeLinear"})
_ROUNDS = 51
"""In which every model is timed once."""
_ROUND_SECONDS = 0.004
"""Of a model in a round, or `_LEAST_RUNS` where these take longer."""
_LEAST_RUNS = 3
"""Of a model in a round."""


@dataclass(frozen=True, slots=True)
class Operators:
    """What a quantised model runs as, after onnxruntime's own optimisation."""

    integer: int
    """Convolutions and matrix products of 8-bit integers."""
    in_float: tuple[str, ...]
    """Names of those that are computed in fp32 nevertheless."""
    others: Mapping[str, int]
    """Other operators that compute in fp32, such as activations, by kind."""
    conversions: int
    """Steps between 8 bits and fp32."""

    def __str__(self) -> str:
        text = f"{self.integer} of {self.integer + len(self.in_float)} convolutions and matrix products run in 8 bits"
        if self.in_float:
            more = f" and {len(self.in_float) - 5} more" if len(self.in_float) > 5 else ""
            text += f"; in fp32: {', '.join(self.in_float[:5])}{more}"
        others = ", ".join(f"{number} {kind}" for kind, number in sorted(self.others.items()))
        return f"{text}; {others} in fp32" if others else text


def quantise(model: bytes, calibration: Iterable[Floats], *, reduce_range: bool = True) -> bytes:
    """Return a network with 8-bit weights and activations.

    Args:
        model: ONNX of a network with one input, without what makes that of pictures.
        calibration: batches of its input, which the ranges of activations come from.
        reduce_range: weights of 7 bits, so that no sum overflows on processors without VNNI (AVX2, AVX-512): there two
            products of 8 bits are added in 16.

    Raises:
        DeviceError: onnxruntime cannot quantise it.
    """
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    with tempfile.TemporaryDirectory(prefix="nas-int8-") as folder, _quiet():
        whole, folded, quantised = (Path(folder, f"{name}.onnx") for name in ("whole", "folded", "int8"))
        whole.write_bytes(model)
        try:
            # Normalisation is folded into convolutions first, which are else quantised without it.
            quant_pre_process(whole, folded, skip_symbolic_shape=True)
            quantize_static(
                folded,
                quantised,
                _Reader(calibration, onnx.load(whole).graph.input[0].name),
                quant_format=QuantFormat.QDQ,
                per_channel=True,
                reduce_range=reduce_range,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
            )
        except Exception as error:  # its own code raises all kinds
            raise DeviceError(f"onnxruntime cannot quantise the network: {reason_of(error)}") from None
        return quantised.read_bytes()


class _Reader:
    """Gives the batches to onnxruntime one by one."""

    def __init__(self, batches: Iterable[Floats], name: str) -> None:
        self._batches, self._name = iter(batches), name

    def get_next(self) -> dict[str, Floats] | None:
        """Return the next batch, or None at the end."""
        batch = next(self._batches, None)
        return None if batch is None else {self._name: batch}

    def __iter__(self) -> Iterator[dict[str, Floats]]:
        return ({self._name: batch} for batch in self._batches)


@contextmanager
def _quiet() -> Iterator[None]:
    """Leave out what onnxruntime's quantisation advises on the root logger."""
    root = logging.getLogger()
    before = root.level
    root.setLevel(logging.ERROR)
    try:
        yield
    finally:
        root.setLevel(before)


def operators(model: bytes) -> Operators:
    """Say what a quantised model runs as; what makes the network's input of pictures is left out.

    Raises:
        DeviceError: onnxruntime cannot run it.
    """
    import onnxruntime

    with tempfile.TemporaryDirectory(prefix="nas-int8-") as folder:
        options = _options(1)
        options.optimized_model_filepath = str(Path(folder, "optimised.onnx"))
        # Beyond this level it is rearranged for one processor.
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
        _session(model, options)
        graph = onnx.load(options.optimized_model_filepath).graph
    nodes = [node for node in graph.node if not any(name.startswith(PREFIX) for name in (node.name, *node.output))]
    types = _types(graph)
    others = Counter(node.op_type for node in nodes if _computes_in_float(node, types))
    return Operators(
        integer=sum(node.op_type in _INTEGER for node in nodes),
        in_float=tuple(node.name or node.output[0] for node in nodes if node.op_type in _FLOAT),
        others={kind: number for kind, number in others.items() if kind not in (*_FLOAT, *_BETWEEN)},
        conversions=sum(node.op_type in _BETWEEN for node in nodes),
    )


_COPIES = frozenset(
    {"Reshape", "Transpose", "Flatten", "Squeeze", "Unsqueeze", "Identity", "Slice", "Concat", "Gather"}
)


def _types(graph: onnx.GraphProto) -> dict[str, int]:
    """Return the types of elements by name: onnx infers none behind operators that are onnxruntime's own."""
    types = {value.name: value.type.tensor_type.elem_type for value in graph.input}
    types |= {constant.name: constant.data_type for constant in graph.initializer}
    for node in graph.node:
        first = types.get(node.input[0], onnx.TensorProto.FLOAT) if node.input else onnx.TensorProto.FLOAT
        if node.op_type == "QuantizeLinear":
            first = types.get(node.input[2], onnx.TensorProto.UINT8) if len(node.input) > 2 else onnx.TensorProto.UINT8
        elif node.op_type in ("DequantizeLinear", "MatMulIntegerToFloat"):
            first = onnx.TensorProto.FLOAT
        types |= dict.fromkeys(node.output, first)
    return types


def _computes_in_float(node: onnx.NodeProto, types: Mapping[str, int]) -> bool:
    """Whether an operator computes in fp32: it is none of integers by its name, and writes no 8 bits."""
    if node.op_type.startswith(("QLinear", "QGemm")) or node.op_type in (*_INTEGER, *_BETWEEN, *_COPIES):
        return False
    return types.get(node.output[0], onnx.TensorProto.FLOAT) == onnx.TensorProto.FLOAT


def _options(threads: int) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 3
    return options


def _session(model: bytes, options: Any) -> Any:
    import onnxruntime

    try:
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # an exception for each of its codes, as in `_run`
        raise DeviceError(f"onnxruntime cannot run the model: {reason_of(error)}") from None


def outputs(model: bytes, batches: Iterable[NDArray[Any]], *, threads: int = 1) -> Iterator[Floats]:
    """Yield the first output of a model with one input for each batch.

    Raises:
        DeviceError: onnxruntime cannot run it.
    """
    session = _session(model, _options(threads))
    name = session.get_inputs()[0].name
    for batch in batches:
        yield np.asarray(_run(session, {name: batch})[0], dtype=np.float32)


def _run(session: Any, feed: Mapping[str, NDArray[Any]]) -> Any:
    """Return all outputs of a model."""
    try:
        return session.run(None, feed)
    except Exception as error:  # it has an exception for each of its codes, which share no other base
        raise DeviceError(f"onnxruntime cannot run the model: {reason_of(error)}") from None


def accuracy(model: bytes, batches: Iterable[tuple[NDArray[Any], NDArray[Any]]], *, threads: int = 1) -> float:
    """Return the share of inputs that a model gives the right class, see `scored`."""
    return scored(model, batches, CLASSIFICATION, threads=threads)


def scored(
    model: bytes,
    batches: Iterable[tuple[NDArray[Any], NDArray[Any]]],
    task: Task,
    scale: Scale | None = None,
    *,
    threads: int = 1,
) -> float:
    """Return how well a model does by the score that 8 bits are compared by.

    Args:
        model: ONNX with one input, whose first output is what its network gives.
        batches: inputs, and their targets `(batch, ...)`.
        task: that it was trained for.
        scale: of the targets, where they have one.
        threads: of the CPU.

    Raises:
        DeviceError: onnxruntime cannot run it, or there are no inputs.
    """
    targets: list[NDArray[Any]] = []

    def inputs() -> Iterator[NDArray[Any]]:
        for x, y in batches:
            targets.append(np.asarray(y))
            yield x

    # Of maps what they say is all that is kept: logits of every pixel would take the memory of hundreds of pictures.
    found = [task.answers(part.astype(np.float64), scale) for part in outputs(model, inputs(), threads=threads)]
    if not found:
        raise DeviceError(f"{task.eight_bits} needs images, but got none")
    return task.measured(np.concatenate(found), np.concatenate(targets))[task.eight_bits]


def side_by_side(
    models: Sequence[bytes], x: NDArray[Any], *, rounds: int = _ROUNDS, threads: int = 1, seed: int = 0
) -> NDArray[np.float64]:
    """Time models in one process, each in every round, in an order that changes.

    What counts of a round is its fastest run. On a busy machine the system takes the processor away every few
    milliseconds; the mean of a round would have such a pause in it or not, depending on how many runs it has.

    Args:
        models: ONNX with one input.
        x: the input.
        rounds: in which each is timed once.
        threads: of the CPU.
        seed: of the order.

    Returns:
        Milliseconds of the fastest run, `(rounds, models)`.

    Raises:
        DeviceError: onnxruntime cannot run one of them.
    """
    sessions = [_session(model, _options(threads)) for model in models]
    feeds = [{session.get_inputs()[0].name: x} for session in sessions]
    fastest = [_seconds(*both, runs=_LEAST_RUNS) for both in zip(sessions, feeds, strict=True)]
    runs = [max(_LEAST_RUNS, round(_ROUND_SECONDS / seconds)) for seconds in fastest]
    rng = np.random.default_rng(seed)
    found = np.empty((rounds, len(models)))
    for number in range(rounds):
        for place in rng.permutation(len(models)):
            found[number, place] = 1e3 * _seconds(sessions[place], feeds[place], runs=runs[place])
    return found


def _seconds(session: Any, feed: Mapping[str, NDArray[Any]], *, runs: int) -> float:
    """Return the seconds that the fastest of some runs takes, behind one that warms the caches."""
    _run(session, feed)
    ends = [time.perf_counter()]
    for _ in range(runs):
        session.run(None, feed)
        ends.append(time.perf_counter())
    return min(end - start for start, end in pairwise(ends))
