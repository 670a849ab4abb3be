"""`nas.diagnose`: which weights and data it takes, over seeds, and on the published networks."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pytest
import torch

import nas
from nas.errors import ConfigError, DataError
from nas.network import Architecture
from nas.training.data.config import DataConfig
from nas.training.data.load import load_data
from nas.training.diagnostics.names import MEASUREMENTS, check_measurements
from nas.training.diagnostics.results import NUMBERS
from nas.training.weights import save_weights, weights_metadata

ARCH = nas.SearchSpace.from_dict(
    {
        "assume": {"channels": 1, "resolution": 8, "num_classes": 10},
        "stages": [{"block": "conv", "out_channels": 4, "stride": 2}],
        "head": {"block": "classifier"},
    }
).decode({})
DATA = DataConfig(name="digits", split_seed=5)


def _trained(folder: Path) -> Path:
    """Write a folder of a training whose units are all dead."""
    network = nas.build(ARCH)
    with torch.no_grad():
        network.get_parameter("stages.0.blocks.0.norm.bias").fill_(-100)
    folder.mkdir()
    save_weights(folder / "weights.safetensors", network, weights_metadata(ARCH, load_data(DATA)))
    (folder / "architecture.json").write_text(ARCH.to_json())
    (folder / "train.json").write_text(json.dumps({"data_settings": asdict(DATA)}))
    return folder


def test_trained_weights_are_taken_where_there_are_some_and_the_data_of_their_training(tmp_path: Path) -> None:
    folder = _trained(tmp_path / "run")
    found = nas.diagnose({"fresh": ARCH, "trained": folder}, images=16, seeds=2, measure=["dead_units"])
    fresh, trained = found.networks
    assert (fresh.name, fresh.weights, [run.seed for run in fresh.runs]) == ("fresh", None, [0, 1])
    assert (trained.weights, len(trained.runs)) == (folder / "weights.safetensors", 1)
    assert trained.numbers() == {"dead_share": 1.0}
    assert fresh.numbers()["dead_share"] < 1
    assert found.fingerprint == load_data(DATA).fingerprint
    assert fresh.depth == 2

    (folder / "weights.safetensors").unlink()
    (again,) = nas.diagnose(folder, "digits", images=16, measure=["dead_units"]).networks
    assert again.weights is None
    assert again.numbers() == fresh.runs[0].numbers()


def test_the_same_seed_gives_the_same_numbers_and_the_random_state_stays() -> None:
    torch.manual_seed(7)
    first = nas.diagnose(ARCH, images=16, seed=3)
    drawn = torch.rand(2)
    second = nas.diagnose([ARCH], images=16, seed=3)
    torch.manual_seed(7)
    assert torch.equal(drawn, torch.rand(2))
    assert first.to_dict() == second.to_dict()
    other = nas.diagnose(ARCH, images=16, seed=4, measure=["gradients"])
    assert other.networks[0].numbers()["loss"] != first.networks[0].numbers()["loss"]
    assert {*first.networks[0].numbers()} == {*NUMBERS}
    assert first.networks[0].name == ARCH.arch_id
    json.dumps(first.to_dict(), allow_nan=False)


def test_fresh_networks_have_the_statistics_of_the_images() -> None:
    """Else what is normalised in training would be measured as if it were not."""
    deep = {"block": "conv", "depth": 6, "out_channels": 4}
    space = {"assume": {"channels": 1, "resolution": 8, "num_classes": 10}, "stages": [deep]}
    arch = nas.SearchSpace.from_dict({**space, "head": {"block": "classifier"}}).decode({})
    (one,) = nas.diagnose(arch, images=64, seeds=3, measure=["dead_units"]).networks
    # Of numbers with the mean 0 about as many are on either side; without, whole channels are on one.
    for run in one.runs:
        assert [units.inactive for units in run.units] == pytest.approx([0.5] * 6, abs=0.15)


def test_what_is_measured_is_what_was_asked_for() -> None:
    assert check_measurements(["shift", "gradients", "shift"], "measure") == ("gradients", "shift")
    (one,) = nas.diagnose(ARCH, images=8, measure=["shift"]).networks
    assert {*one.numbers()} == {name for name in NUMBERS if name.startswith("shift_")}
    with pytest.raises(ConfigError, match=r"measure: unknown 'sharpnes'. Did you mean 'sharpness'"):
        check_measurements(["sharpnes"], "measure")
    with pytest.raises(ConfigError, match="measure must name a measurement"):
        check_measurements([], "measure")


def test_what_cannot_be_measured_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"there is no folder|has no architecture|cannot be read"):
        nas.diagnose(tmp_path / "nothing", "digits")
    with pytest.raises(ConfigError, match="is there twice; a mapping gives"):
        nas.diagnose([ARCH, ARCH])
    with pytest.raises(ConfigError, match="must hold one at least"):
        nas.diagnose([])
    with pytest.raises(ConfigError, match=r"networks: a must be .* but got 5"):
        nas.diagnose({"a": 5})  # type: ignore[dict-item]
    with pytest.raises(DataError, match="has 1 channels"):
        nas.diagnose(nas.load_space("reference/resnet18").decode({}))
    with pytest.raises(ConfigError, match="images must be >= 2, but got 1"):
        nas.diagnose(ARCH, images=1)


_SMALL = ("lenet5", "squeezenet1_1")
_LARGER = (
    *("convnext_tiny", "densenet40_12", "efficientnet_b0", "googlenet", "legacy_seresnet50", "mobilenet_v1"),
    *("mobilenet_v2", "mobilenet_v3_large", "resnet18", "resnet20_cifar", "resnet50", "resnetv2_18", "seresnet18"),
    *("small_cnn", "squeezenet1_0", "vgg11_cifar", "vgg_small", "vit_tiny_16", "wrn16_4"),
    *("mobilenet_v3_small", "shufflenet"),
)
"""Networks that are others made deeper or wider are left out, and those that do not take small images."""


_NEVER_FLAT = ("convnext_tiny", "efficientnet_b0", "lenet5", "vit_tiny_16")
"""Those whose activations have a derivative everywhere."""


@pytest.mark.parametrize("name", [*_SMALL, *(pytest.param(name, marks=pytest.mark.slow) for name in _LARGER)])
def test_every_measurement_of_a_published_network(name: str) -> None:
    space = nas.load_space(f"reference/{name}").for_data((1, 32, 32), 10, task="classification")
    arch: Architecture = space.decode({})
    cost = nas.cost_of(arch)
    wanted = [one for one in MEASUREMENTS if one != "sharpness" or cost.macs < 3e7]  # which takes longest
    (one,) = nas.diagnose({name: arch}, "digits", images=10, measure=wanted).networks
    numbers = one.numbers()
    missing = {"dead_share"} if name in _NEVER_FLAT else set()
    missing |= set() if "sharpness" in wanted else {"largest_eigenvalue", "loss_rise"}
    missing |= {"reached_field", "effective_field"} if cost.receptive_field is None else set()
    assert {*numbers} == {*NUMBERS} - missing
    run = one.runs[0]
    assert run.gradients is not None
    assert all(layer.gradient_norm >= 0 for layer in run.gradients.layers)
    assert one.depth == max(layer.depth for layer in run.gradients.layers)
    if run.field is not None:
        # As far as the input goes, no more than the theory allows.
        assert run.field.reached <= min(32, cost.receptive_field or 32)
        assert run.field.effective <= 32
