"""Graph -> ONNX, operation by operation, for inference with any batch size.

Written from the graph and not traced, so that it takes milliseconds and has the operations of the graph. Normalisation
is left to be folded by the runtime.
"""

from __future__ import annotations

import onnx
from onnx import TensorProto, helper

from nas.errors import NasError
from nas.exporting.onnx.operations import has_onnx, write
from nas.exporting.onnx.writer import Weights, Writer
from nas.network.graph import Graph
from nas.network.ops import Shape
from nas.network.user_operations import name_of

OPSET = 18
"""Version of ONNX's operators."""
_IR = 9
_MOST_BYTES = 2**31 - 2**24
"""Of weights: protobuf takes messages up to 2 GiB, and the operations have to go in, too."""


def to_onnx(graph: Graph, weights: Weights) -> bytes:
    """Write a network as an ONNX model.

    Args:
        graph: the network; its auxiliary classifiers are left out.
        weights: its state dict as arrays.

    Returns:
        The model: input `x` of `(batch, *in_shape)`, fp32, outputs `y` or `y0`, `y1`, ...

    Raises:
        NasError: nobody registered how to write an operation of a user, or the weights take more than a file can hold.
        DataError: the weights lack one of the network.
    """
    _check_size(weights)
    writer = Writer(weights)
    values = {0: "x"}
    for index in graph.live()[1:]:
        node = graph.nodes[index]
        if not has_onnx(node.op):
            raise NasError(
                f"{node.name}: ONNX has no {name_of(type(node.op))} yet; register a function that writes it with "
                "nas.exporting.onnx.operations.write.register"
            )
        writer.name, writer.out_shape = node.name, node.shape
        writer.inputs = [values[i] for i in node.inputs]
        writer.shapes = [graph.nodes[i].shape for i in node.inputs]
        values[index] = write(node.op, writer)
    outputs = []
    for number, index in enumerate(graph.outputs):
        name = "y" if len(graph.outputs) == 1 else f"y{number}"
        writer.nodes.append(helper.make_node("Identity", [values[index]], [name]))
        outputs.append(_info(name, graph.nodes[index].shape))
    model = helper.make_model(
        helper.make_graph(writer.nodes, "network", [_info("x", graph.in_shape)], outputs, writer.constants),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=_IR,
        producer_name="nas",
    )
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def _check_size(weights: Weights) -> None:
    """Raise `NasError` where weights take more than a protobuf message can hold; a file beside it may not be found."""
    size = sum(value.nbytes for name, value in weights.items() if not name.startswith("auxiliary."))
    if size > _MOST_BYTES:
        raise NasError(
            f"an ONNX file holds {_MOST_BYTES / 2**30:.2f} GiB of weights at most, but the network has "
            f"{size / 2**30:.2f} GiB; a smaller network, or its safetensors and PyTorch code, can be shipped"
        )


def _info(name: str, shape: Shape) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", *shape])
