"""What a search says of a network in 8 bits is what its export is worth."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from nas.cost import AFTER_TRAINING
from nas.errors import DeviceError
from nas.exporting.folder import export_model
from nas.exporting.settings import ExportSettings
from nas.training import int8 as module
from nas.training.int8 import int8_scores
from nas.training.preprocess import check_images
from tests.exporting.conftest import Trained


def right(model: bytes, trained: Trained) -> float:
    """The share of the validation split that a model for pictures is right in, by onnxruntime alone."""
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    images, labels = trained.data.val, trained.data.val.labels.numpy()
    pixels = images.read(range(len(labels))).permute(0, 2, 3, 1).contiguous().numpy()  # type: ignore[arg-type]
    (found,) = session.run(["logits"], {session.get_inputs()[0].name: pixels})
    return float((found.argmax(1) == labels).mean())


def test_it_is_the_accuracy_of_the_exported_file(trained: Trained, tmp_path: Path) -> None:
    scores, missing = int8_scores(trained.module, trained.architecture, trained.data, tmp_path)
    export_model(
        tmp_path / "shipped",
        trained.architecture,
        trained.weights,
        trained.preprocess,
        trained.card,
        images=check_images(trained.data, ExportSettings().calibration_images),
        settings=ExportSettings(max_drop=100),
    )
    shipped = (tmp_path / "shipped" / "model.int8.onnx").read_bytes()
    assert scores == {"int8_accuracy": pytest.approx(right(shipped, trained), abs=1e-12)}
    assert missing == {}
    # The file to be measured is the network alone, in the weights of the one that ships.
    alone = onnx.load(tmp_path / f"{trained.architecture.arch_id}.onnx").graph
    assert [dim.dim_value for dim in alone.input[0].type.tensor_type.shape.dim][1:] == [1, 12, 12]
    own, of_export = (_quantised(graph) for graph in (alone, onnx.load_from_string(shipped).graph))
    assert own
    assert sorted(own) == sorted(of_export)


def _quantised(graph: onnx.GraphProto) -> list[bytes]:
    """The 8-bit weights of a model."""
    constants = [onnx.numpy_helper.to_array(one) for one in graph.initializer]
    return [value.tobytes() for value in constants if value.dtype == np.int8 and value.ndim > 1]


def test_what_cannot_be_quantised_says_why(trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> bytes:
        raise DeviceError("onnxruntime cannot quantise the network: no")

    monkeypatch.setattr(module, "quantise", refuse)
    scores, missing = int8_scores(trained.module, trained.architecture, trained.data, tmp_path)
    assert scores == {}
    assert missing == dict.fromkeys(AFTER_TRAINING, "onnxruntime cannot quantise the network: no")
    assert not [*tmp_path.iterdir()]
