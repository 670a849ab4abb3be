"""The nodes and constants of an ONNX model while it is written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from nas.errors import DataError, nearest
from nas.network.ops import Shape

Weights = Mapping[str, NDArray[Any]]
"""The numbers of a network by the names of its state dict."""


class Writer:
    """Collects nodes and constants; `name`, `inputs`, `shapes` and `out_shape` are of the operation being written."""

    def __init__(self, weights: Weights) -> None:
        self.weights = weights
        self.name = ""
        self.inputs: list[str] = []
        self.shapes: list[Shape] = []
        """Of the inputs, without the batch."""
        self.out_shape: Shape = ()
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self._constant_names: set[str] = set()

    @property
    def x(self) -> str:
        """The first input."""
        return self.inputs[0]

    def array(self, what: str) -> NDArray[Any]:
        """Return an entry of the state dict for the operation, e.g. `bias`; raises `DataError` where it is missing."""
        name = f"{self.name}.{what}"
        if name not in self.weights:
            raise DataError(f"weights: the network has {name!r}, but they do not. {nearest(name, self.weights)}")
        return self.weights[name]

    def parameter(self, what: str) -> str:
        """Add such an entry as a constant, under its name in the state dict, and return that."""
        return self.constant(f"{self.name}.{what}", self.array(what))

    def constant(self, name: str, value: NDArray[Any]) -> str:
        """Add a constant once and return its name."""
        if name not in self._constant_names:
            self._constant_names.add(name)
            self.constants.append(numpy_helper.from_array(np.asarray(value, order="C"), name))
        return name

    def number(self, name: str, value: float) -> str:
        """Add a scalar constant in fp32 and return its name."""
        return self.constant(name, np.array(value, dtype=np.float32))

    def integers(self, name: str, *values: int) -> str:
        """Add a constant of 64-bit integers and return its name."""
        return self.constant(name, np.array(values, dtype=np.int64))

    def add(self, kind: str, name: str, *inputs: str, **attributes: Any) -> str:
        """Add a node of one output, which has the node's name."""
        self.nodes.append(helper.make_node(kind, list(inputs), [name], name=name, **attributes))
        return name
