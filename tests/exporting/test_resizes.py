"""Enlarged maps in ONNX: of the size that was asked for, with the values that torch gives."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import pytest
import torch
import torch.nn.functional as F

from nas.exporting.int8 import outputs
from nas.exporting.onnx.graph import to_onnx
from nas.network import ops
from nas.network.builder import GraphBuilder
from nas.network.ops import Ints, Op


@pytest.mark.parametrize(("make", "mode"), [(ops.Upsample, "nearest"), (ops.UpsampleBilinear, "bilinear")])
@pytest.mark.parametrize(
    ("old", "new"), [((3, 4), (7, 7)), ((113, 1), (225, 9)), ((1, 1), (24, 31)), ((29, 7), (57, 28))]
)
def test_sizes_that_no_factor_of_32_bits_gives(make: Callable[[Ints], Op], mode: str, old: Ints, new: Ints) -> None:
    g = GraphBuilder((2, *old))
    model = to_onnx(g.finish(g.add("larger", make(new), g.input)), {})
    inferred = onnx.shape_inference.infer_shapes(onnx.load_from_string(model), strict_mode=True, data_prop=True)
    assert [dim.dim_value for dim in inferred.graph.output[0].type.tensor_type.shape.dim][1:] == [2, *new]
    x = np.random.default_rng(0).normal(size=(3, 2, *old)).astype(np.float32)
    (found,) = outputs(model, [x])
    np.testing.assert_allclose(found, F.interpolate(torch.from_numpy(x), new, mode=mode).numpy(), atol=1e-4)
