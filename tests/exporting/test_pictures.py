"""Models that take pictures, run by onnxruntime: against Pillow, and against torch behind the training pipeline."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper
from PIL import Image

import nas
from nas.errors import DataError, NasError
from nas.exporting.int8 import outputs
from nas.exporting.onnx.graph import to_onnx
from nas.exporting.onnx.pictures import for_pictures
from nas.exporting.onnx.series import as_shipped
from nas.exporting.predict import ModelError, open_model
from nas.exporting.preprocess import Preprocess
from nas.exporting.reading import RESIZES, Reading, read_picture
from nas.network.lower import lower
from nas.resources import space_names
from nas.training.data.batches import Batches
from nas.training.data.config import DataConfig
from nas.training.data.load import load_data
from nas.training.preprocess import preprocess_of
from nas.training.tasks.segmentation import at_size

CLASSES = ("ankle boot", "t-shirt/top", "中")


def _flat_network(size: tuple[int, int], channels: int) -> tuple[bytes, Preprocess]:
    """A network that gives its input as it is, and a preprocessing that changes no level."""
    count = channels * size[0] * size[1]
    graph = helper.make_graph(
        [helper.make_node("Flatten", ["x"], ["y"])],
        "flat",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", channels, *size])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", count])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    same = (0.0,) * channels, (1 / 255,) * channels
    return bytes(model.SerializeToString()), Preprocess(
        (channels, *size), *same, tuple(str(number) for number in range(count))
    )


@settings(max_examples=60)
@example(height=5, width=7, size=(2, 2), channels=1, resize="cover_crop")  # 7 * 2 / 5 = 2.8
@example(height=4, width=10, size=(2, 1), channels=1, resize="cover_crop")  # 10 * 2 / 4 = 5, whose half is cut to 2
@example(height=2, width=5, size=(1, 1), channels=3, resize="cover_crop")  # 2.5, which rounds to 2
@given(
    height=st.integers(1, 60),
    width=st.integers(1, 60),
    size=st.tuples(st.integers(1, 24), st.integers(1, 24)),
    channels=st.sampled_from([1, 3]),
    resize=st.sampled_from(RESIZES),
)
def test_a_picture_is_brought_to_a_size_as_pillow_does(
    *,
    height: int,
    width: int,
    size: tuple[int, int],
    channels: int,
    resize: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    pixels = np.random.default_rng(height * 61 + width).integers(0, 256, (height, width, channels), dtype=np.uint8)
    path = tmp_path_factory.mktemp("picture") / "picture.png"
    Image.fromarray(pixels[:, :, 0] if channels == 1 else pixels).save(path)
    network, preprocess = _flat_network(size, channels)
    preprocess = replace(preprocess, resize=resize, background="#0ac84d")
    expected = read_picture(path, preprocess.reading)
    model = for_pictures(network, preprocess)
    (found,) = outputs(model, [pixels[None]])
    levels = found.reshape(channels, *size).transpose(1, 2, 0)
    # Both round to 8 bits after each direction: a level apart is the same number, rounded in another order.
    np.testing.assert_allclose(levels, expected.astype(np.float32), atol=1.001)


def test_a_picture_of_the_right_size_stays_as_it_is() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (2, 9, 7, 3), dtype=np.uint8)
    (found,) = outputs(for_pictures(*_flat_network((9, 7), 3)), [pixels])
    np.testing.assert_allclose(found.reshape(2, 3, 9, 7).transpose(0, 2, 3, 1), pixels, atol=1e-4)


def _spaces() -> list[str]:
    return [name for name in space_names() if not name.startswith("reference/")]


SERIES, SEGMENT = {"conv1d"}, {"deeplab", "fpn", "unet"}


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.slow if place % 2 else ())
        for place, name in enumerate(n for n in _spaces() if n not in SERIES)
    ],
)
def test_networks_of_every_space_give_what_torch_gives(name: str) -> None:
    torch.manual_seed(0)
    made = "cells" if name in SEGMENT else "synthetic"
    data = load_data(DataConfig(name=made, samples=60, num_classes=4, resolution=40))
    space = nas.load_space(name).for_data((3, 32, 32), data.num_classes, task=data.task.network)
    arch = space.decode(space.sample(seed=3))
    module = nas.build(arch).eval()
    walk = Batches(data.val, data, 7, arch.input_shape)
    inputs, _ = next(iter(walk))
    for batch in module.modules():
        if isinstance(batch, torch.nn.modules.batchnorm._BatchNorm):  # statistics that are not 0 and 1
            assert batch.running_mean is not None
            assert batch.running_var is not None
            batch.running_mean.normal_()
            batch.running_var.uniform_(0.5, 1.5)
    with torch.no_grad():
        given = module(inputs)
        expected = (at_size(given, (40, 40)) if name in SEGMENT else given).numpy()
    weights = {key: value.numpy() for key, value in module.state_dict().items()}
    model = as_shipped(to_onnx(lower(arch), weights), preprocess_of(data, arch))
    pixels = data.val.read(torch.arange(7)).permute(0, 2, 3, 1).numpy()
    tolerance = 1e-4 * max(1.0, float(np.abs(expected).max()))
    (together,) = outputs(model, [pixels])
    np.testing.assert_allclose(together, expected, atol=tolerance)
    for one, row in zip(outputs(model, [pixels[i : i + 1] for i in range(7)]), expected, strict=True):
        np.testing.assert_allclose(one[0], row, atol=tolerance)


def test_names_and_shares_are_inside(tmp_path: Path) -> None:
    network, _ = _flat_network((1, 1), 3)
    model = for_pictures(network, Preprocess((3, 1, 1), (0.0,) * 3, (1.0,) * 3, CLASSES))
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    known = session.get_modelmeta().custom_metadata_map
    assert tuple(json.loads(known["classes"])) == CLASSES
    assert json.loads(known["preprocess"])["classes"] == [*CLASSES]
    (pixels,) = session.get_inputs()
    assert (pixels.name, pixels.type, pixels.shape) == ("pixels", "tensor(uint8)", ["batch", "height", "width", 3])
    assert [(one.name, one.shape) for one in session.get_outputs()] == [
        ("logits", ["batch", 3]),
        ("probabilities", ["batch", 3]),
    ]
    levels = np.array([[[[0, 255, 51]]]], dtype=np.uint8)
    logits, shares = session.run(None, {"pixels": levels})
    np.testing.assert_allclose(logits, [[0, 1, 0.2]], atol=1e-6)  # white is 1
    np.testing.assert_allclose(shares, torch.tensor([[0.0, 1.0, 0.2]]).softmax(1).numpy(), atol=1e-6)
    assert "batch" in onnx.load_from_string(model).doc_string


def _network(name: str, shape: tuple[int, ...]) -> bytes:
    arch = nas.load_space(f"reference/{name}").for_data(shape, 10, task="any").decode({})
    return to_onnx(lower(arch), {key: value.numpy() for key, value in nas.build(arch).eval().state_dict().items()})


def test_the_shipped_code_reads_as_the_model_says(tmp_path: Path) -> None:
    network, preprocess = _flat_network((2, 2), 3)
    said = replace(preprocess, resize="pad", background="#0ac84d", depth=12)
    (tmp_path / "model.onnx").write_bytes(for_pictures(network, said))
    opened = open_model(tmp_path / "model.onnx", max_pixels=7)
    assert opened.reading == Reading((3, 2, 2), "#0ac84d", 12, "pad", 7)
    model = onnx.load(tmp_path / "model.onnx")
    for changed, message in (
        ({"depth": 99}, "its depth must be a whole number from 8 to 16, but got 99"),
        ({"background": 7}, "its background must be #rrggbb"),
        ({"resize": None}, "its resize must be one of"),
        ({"background": "drop"}, "its background must be a colour to pad with"),
    ):
        values = {"classes": json.dumps(list(said.classes)), "preprocess": json.dumps(said.to_dict() | changed)}
        helper.set_model_props(model, values)
        onnx.save(model, tmp_path / "other.onnx")
        with pytest.raises(ModelError, match=message):
            open_model(tmp_path / "other.onnx")
    old = {name: value for name, value in said.to_dict().items() if name not in ("background", "depth", "resize")}
    helper.set_model_props(model, {"classes": json.dumps(list(said.classes)), "preprocess": json.dumps(old)})
    onnx.save(model, tmp_path / "old.onnx")
    assert open_model(tmp_path / "old.onnx").reading == Reading((3, 2, 2), "drop", 16, "cover_crop")


def test_what_is_no_classifier_of_images_is_refused() -> None:
    preprocess = Preprocess((3, 64, 64), (0.0,) * 3, (1.0,) * 3, CLASSES)
    for network in (_flat_network((2, 2), 3)[0], _network("unet", (3, 64, 64))):
        with pytest.raises(NasError, match="a network for 3 classes gives a number for each, but this one gives"):
            for_pictures(network, preprocess)


def test_weights_that_no_file_holds_are_refused() -> None:
    graph = lower(nas.load_space("reference/small_cnn").decode({}))
    many: dict[str, Any] = {"a": np.broadcast_to(np.float32(0), (2**29,))}  # 2 GiB that take no memory
    with pytest.raises(NasError, match=r"holds 1.98 GiB of weights at most, but the network has 2.00 GiB"):
        to_onnx(graph, many)
    with pytest.raises(DataError, match=r"the network has 'stages\.0\.blocks\.0"):
        to_onnx(graph, {"stages": np.zeros(1, dtype=np.float32)})
