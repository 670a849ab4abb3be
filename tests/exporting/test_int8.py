"""8-bit networks: what they compute, what they run as, and when they are kept."""

from __future__ import annotations

from dataclasses import replace
from math import nan
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest

from nas.errors import ConfigError, DeviceError
from nas.exporting import int8 as int8_module
from nas.exporting.choice import CheckImages, Comparison, compare, measured_models
from nas.exporting.int8 import Operators, accuracy, operators, outputs, quantise, side_by_side
from nas.exporting.onnx.graph import to_onnx
from nas.exporting.onnx.pictures import for_pictures
from nas.exporting.onnx.writer import Weights
from nas.exporting.settings import ExportSettings
from nas.network.lower import lower
from nas.pytorch import build_graph
from nas.training.data.batches import Batches
from tests.exporting.conftest import Trained


def _int8(trained: Trained) -> tuple[bytes, bytes]:
    """The network in fp32 and in 8 bits, both alone."""
    network = to_onnx(lower(trained.architecture), trained.weights)
    return network, quantise(network, trained.images.inputs(trained.preprocess))


def test_8_bits_say_nearly_the_same(trained: Trained) -> None:
    """Against torch: the step of 7-bit weights and 8-bit activations is about a hundredth of their range."""
    network, int8 = _int8(trained)
    inputs, labels = next(iter(Batches(trained.data.val, trained.data, 1000, trained.architecture.input_shape)))
    expected = trained.logits().numpy()
    (found,) = outputs(int8, [inputs.contiguous().numpy()])
    error = np.abs(found - expected).mean() / expected.std()
    assert 1e-4 < error < 0.1
    assert accuracy(int8, [(inputs.contiguous().numpy(), labels.numpy())]) >= trained.accuracy - 0.02
    assert int8 == quantise(network, trained.images.inputs(trained.preprocess))


def test_weights_are_of_8_bits_with_a_scale_a_channel(trained: Trained) -> None:
    _, int8 = _int8(trained)
    constants = {one.name: onnx.numpy_helper.to_array(one) for one in onnx.load_from_string(int8).graph.initializer}
    weights = {name: value for name, value in constants.items() if value.dtype == np.int8 and value.ndim == 4}
    assert len(weights) == 4
    for name, value in weights.items():
        scale = constants[name.replace("_quantized", "_scale")]
        assert scale.shape == (value.shape[0],)
        assert np.abs(value.astype(int)).max() <= 64  # 7 bits, so that sums of two products fit into 16


def test_what_runs_in_8_bits_is_counted(trained: Trained) -> None:
    network, int8 = _int8(trained)
    found = operators(int8)
    assert (found.integer, found.in_float) == (5, ())  # four convolutions and the classifier
    assert "5 of 5 convolutions and matrix products run in 8 bits" in str(found)
    whole = operators(network)
    assert whole.integer == 0
    assert len(whole.in_float) == 5
    assert "0 of 5" in str(whole)
    # What makes the input of pictures stays as it is, and is not counted.
    assert operators(for_pictures(int8, trained.preprocess)).integer == 5


def test_pictures_come_before_8_bits_too(trained: Trained) -> None:
    network, int8 = _int8(trained)
    fp32, small = (for_pictures(model, trained.preprocess) for model in (network, int8))
    images = trained.images
    assert accuracy(fp32, images.validation()) == pytest.approx(trained.accuracy, abs=1e-3)
    (pixels, _), *_ = images.validation()
    inputs = trained.preprocess.network_input(pixels)
    np.testing.assert_allclose(next(outputs(small, [pixels])), next(outputs(int8, [inputs])), atol=1e-5)
    shape, count = pixels.shape[1:], len(images.calibration)
    assert (shape, count, images.images) == ((8, 8, 1), 128, len(trained.data.val.labels))


def test_models_are_timed_side_by_side(trained: Trained) -> None:
    network, int8 = _int8(trained)
    x = np.zeros((1, *trained.architecture.input_shape), dtype=np.float32)
    times = side_by_side([network, int8, network], x, rounds=5)
    assert times.shape == (5, 3)
    assert (times > 0).all()


class _BusyMachine:
    """A clock, and sessions that take it on: the system takes the processor away for 60 ms after each 5 ms of work."""

    def __init__(self) -> None:
        self.now = self.worked = 0.0

    def work(self, seconds: float) -> None:
        before, self.worked = self.worked, self.worked + seconds
        self.now += seconds + 0.060 * (int(self.worked / 0.005) - int(before / 0.005))

    def session(self, model: bytes, options: Any) -> Any:
        return SimpleNamespace(
            get_inputs=lambda: [SimpleNamespace(name="x")], run=lambda *_: self.work(float(model.decode()))
        )


@pytest.mark.parametrize("slower", [0.0001, 0.0002, 0.0011])
def test_a_busy_machine_makes_no_model_faster(monkeypatch: pytest.MonkeyPatch, slower: float) -> None:
    machine = _BusyMachine()
    monkeypatch.setattr(int8_module, "_session", machine.session)
    monkeypatch.setattr("nas.exporting.int8.time.perf_counter", lambda: machine.now)
    times = side_by_side([b"0.0001", str(slower).encode()], np.zeros(1))
    assert times == pytest.approx(np.tile([0.1, 1e3 * slower], (len(times), 1)))


def test_what_cannot_be_measured_says_so(trained: Trained) -> None:
    network, _ = _int8(trained)
    with pytest.raises(DeviceError, match="onnxruntime cannot quantise the network"):
        quantise(network, [])
    with pytest.raises(DeviceError, match="onnxruntime cannot quantise the network"):
        quantise(network, [np.zeros((1, 5), dtype=np.float32)])
    with pytest.raises(DeviceError, match="onnxruntime cannot run the model"):
        next(outputs(b"no model", [np.zeros(1)]))
    with pytest.raises(DeviceError, match="accuracy needs images"):
        accuracy(network, [])


COMPARED = Comparison(
    bytes=(1000, 400),
    shares=(0.9, 0.897),
    latency_ms=(2.0, 1.0),
    speed_up=(2.0, 1.5, 2.5),
    operators=Operators(integer=5, in_float=(), others={}, conversions=2),
)
SLOWER = replace(COMPARED, speed_up=(0.5, 0.4, 0.6), latency_ms=(1.0, 2.0))
LARGER = replace(SLOWER, bytes=(1000, 1001))
UNSURE = replace(COMPARED, speed_up=(1.1, 0.9, 1.3))


@pytest.mark.parametrize(
    ("found", "int8", "max_drop", "why_not"),
    [
        (COMPARED, "auto", 0.5, ""),
        (COMPARED, "faster", 0.5, ""),
        (COMPARED, "auto", 0.3, ""),  # .3 points, as much as it may lose
        (COMPARED, "auto", 0.29, "it loses 0.30 points, and export.max_drop is 0.29"),
        (replace(COMPARED, shares=(0.9, nan)), "auto", 0.5, "it loses nan points, and export.max_drop is 0.5"),
        (SLOWER, "auto", 0.5, ""),
        (SLOWER, "smaller", 0.5, ""),
        (SLOWER, "faster", 0.5, "it is not faster than fp32 here"),
        (UNSURE, "faster", 0.5, "it is not faster than fp32 here"),
        (LARGER, "smaller", 0.5, "it is not smaller than fp32 here"),
        (LARGER, "auto", 0.5, "it is neither faster nor smaller than fp32 here"),
        (
            replace(COMPARED, operators=Operators(integer=0, in_float=("a",), others={}, conversions=0)),
            "auto",
            0.5,
            "none of its convolutions and matrix products run in 8 bits",
        ),
    ],
)
def test_when_8_bits_are_kept(found: Comparison, int8: str, max_drop: float, why_not: str) -> None:
    assert found.why_not(ExportSettings(int8=int8, max_drop=max_drop)) == why_not


@pytest.mark.parametrize("int8", ["auto", "never"])
def test_the_table_says_what_to_ship(trained: Trained, int8: str) -> None:
    network = to_onnx(lower(trained.architecture), trained.weights)
    model = for_pictures(network, trained.preprocess)
    settings = ExportSettings(int8=int8, max_drop=100)
    measured, small = measured_models(network, model, trained.preprocess, trained.images, settings)
    assert [one.file for one in measured.files] == ["model.onnx", "model.int8.onnx"][: 1 if int8 == "never" else 2]
    assert sum(one.verdict.startswith("ship this") for one in measured.files) == 1
    assert measured.images == len(trained.data.val.labels)
    assert "onnxruntime" in measured.device
    assert "8x8 pixels" in measured.device
    assert (small is None) == (int8 == "never")
    if small is not None:
        assert measured.files[1].bytes == len(small) < len(model)
        assert compare(model, small, trained.images).shares[1] == measured.files[1].share


def test_a_network_that_8_bits_ruin_stays_in_fp32(trained: Trained) -> None:
    """Calibrated on black images alone, the activations of real ones are cut off."""
    black = CheckImages(np.zeros_like(trained.images.calibration), trained.images.validation, trained.images.images)
    network = to_onnx(lower(trained.architecture), trained.weights)
    model = for_pictures(network, trained.preprocess)
    measured, small = measured_models(network, model, trained.preprocess, black, ExportSettings())
    assert small is None
    assert "not kept: it loses" in measured.files[1].verdict
    assert measured.files[0].verdict == "ship this"


def test_settings_are_checked() -> None:
    with pytest.raises(ConfigError, match=r"export.int8: unknown 'fast'. Did you mean 'faster'"):
        ExportSettings(int8="fast")
    with pytest.raises(ConfigError, match=r"export\.max_drop"):
        ExportSettings(max_drop=-1)


QUANTISED = ["mobilenet_v3_small", "resnetv2_18", "densenet121", "convnext_tiny", "vit_tiny_16", "squeezenet1_1"]


@pytest.mark.slow
@pytest.mark.parametrize("name", QUANTISED)
def test_published_networks_run_in_8_bits(name: str) -> None:
    import torch

    import nas

    torch.manual_seed(0)
    arch = nas.load_space(f"reference/{name}").for_data((3, 64, 64), 10).decode({})
    graph = lower(arch)
    module = build_graph(graph).eval()
    weights: Weights = {key: value.numpy() for key, value in module.state_dict().items()}
    x = np.random.default_rng(0).standard_normal((4, *arch.input_shape), dtype=np.float32)
    model = quantise(to_onnx(graph, weights), [x])
    found = operators(model)
    assert found.integer >= 10
    assert next(outputs(model, [x])).shape == (4, 10)
