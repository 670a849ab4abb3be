"""The classical questions and their answers; every command that is printed has settings that the search accepts."""

from __future__ import annotations

import shlex
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from nas.advise.advice import Advice, advise, spaces_for
from nas.advise.networks import candidates, choose_starts
from nas.advise.request import Request
from nas.advise.rules_of_thumb import PRIORITIES
from nas.commands import profile
from nas.commands import space as space_command
from nas.resources import resource_dir
from nas.search.config import Config
from nas.space import load_space
from nas.training.data.registry import DATA_SETS

# Question, the network to start from, networks that have to be among those named, spaces that have to be there.
SCENARIOS: dict[str, tuple[dict[str, Any], str, set[str], set[str]]] = {
    "mobile, real time": (
        {"device": "mobile", "latency_ms": 30.0},
        "mobilenet_v3_small",
        {"mobilenet_v3_large"},
        {"mobilenet_v3"},
    ),
    "mobile, speed": ({"device": "mobile", "priority": "speed"}, "mobilenet_v3_small", set(), {"mobilenet_v3"}),
    "mobile, slow is fine": ({"device": "mobile", "latency_ms": 80.0}, "mobilenet_v3_large", set(), {"mobilenet_v3"}),
    "mobile, quality": (
        {"device": "mobile", "priority": "quality"},
        "mobilenet_v3_large",
        {"efficientnet_b0"},
        {"mobilenet_v3", "mbconv"},
    ),
    "mobile, highest": ({"device": "mobile", "priority": "highest"}, "efficientnet_b0", set(), {"mbconv"}),
    "edge": ({"device": "edge"}, "mobilenet_v3_large", {"mobilenet_v3_small"}, {"mobilenet_v3"}),
    "cloud, balanced": ({"device": "cloud"}, "efficientnet_b1", {"efficientnet_b0", "resnet50"}, {"mbconv"}),
    "cpu, balanced": ({"device": "cpu"}, "efficientnet_b1", {"efficientnet_b0"}, {"mbconv"}),
    "high accuracy": (
        {"device": "gpu", "priority": "quality"},
        "efficientnet_b4",
        {"efficientnet_b5", "resnet152"},
        {"mbconv"},
    ),
    "high accuracy, very much data": (
        {"device": "gpu", "priority": "quality", "images": 5_000_000},
        "efficientnet_b4",
        {"vit_b_16", "resnet152"},
        {"mbconv", "vit"},
    ),
    "maximum accuracy": ({"priority": "highest"}, "efficientnet_b7", {"efficientnet_b6"}, {"mbconv"}),
    "few images, transfer": (
        {"device": "cloud", "images": 4_000, "pretrained": True},
        "mobilenet_v3_large",
        {"efficientnet_b0", "resnet50"},
        {"mobilenet_v3", "mbconv"},
    ),
    "few images, from nothing": ({"images": 4_000}, "mobilenet_v3_small", {"resnet18"}, {"mobilenet_v3"}),
    "many images": (
        {"device": "cloud", "images": 300_000},
        "efficientnet_b3",
        {"resnet50", "efficientnet_b4"},
        {"mbconv"},
    ),
    "strict size": ({"size_mib": 5.0}, "squeezenet1_1", set(), {"squeezenet", "mbconv"}),
    "small size": (
        {"size_mib": 32.0, "device": "cloud"},
        "efficientnet_b1",
        {"densenet121"},
        {"mbconv", "densenet"},
    ),
    "strict parameters": ({"params": 1e6}, "mobilenet_v1", set(), {"mbconv", "densenet"}),
    "general purpose": ({}, "resnet50", {"resnet34", "resnet101", "efficientnet_b1"}, {"resnet"}),
    "general purpose, own images": ({"shape": (3, 224, 224), "classes": 20}, "resnet50", set(), {"resnet"}),
    "28x28": (
        {"shape": (1, 28, 28), "classes": 10, "images": 70_000, "params": 1e5},
        "lenet5",
        {"small_cnn"},
        {"small_images", "densenet"},
    ),
    "32x32": ({"shape": (3, 32, 32), "classes": 10, "device": "mobile"}, "lenet5", {"small_cnn"}, {"small_images"}),
    "8x8": (
        {"shape": (1, 8, 8), "data_set": "digits", "classes": 10, "images": 1797},
        "small_cnn",
        set(),
        {"small_images", "mbconv"},
    ),
    "not square": ({"shape": (3, 128, 96), "device": "edge"}, "mobilenet_v3_large", set(), {"mobilenet_v3"}),
}
OTHER_TASKS = {
    "detection": ("resnet50_fpn", set[str](), set[str]()),
}


def _config(command: str) -> Config:
    words = shlex.split(command)
    assert words[:2] == ["python", "-m"]
    with initialize_config_dir(str(resource_dir("conf")), version_base="1.3"):
        settings = words[2].removeprefix("nas.")
        values = OmegaConf.to_container(compose(settings, words[3:]), resolve=True)
    assert isinstance(values, dict)
    return Config.from_values({str(key): value for key, value in values.items()})


def _check_commands(advice: Advice) -> None:
    """Every command is one that the tool takes, and the space takes the input with its limits."""
    for command in advice.commands:
        words = shlex.split(command.line)
        if words[2] in ("nas.search", "nas.limits"):
            config = _config(command.line)
            assert config.space is not None
            space = load_space(config.space).for_data(advice.input_shape, advice.num_classes)
            space.limits_with(config.constraints)
            known = config.data.known_shape()
            assert known is None or known == (advice.input_shape, advice.num_classes)
            size = advice.input_shape[1] if len(set(advice.input_shape[1:])) == 1 else None
            if len(advice.input_shape) == 3:
                assert config.data.resolution == (size if known is None or config.data.name == "synthetic" else None)
                assert config.data.channels == advice.input_shape[0]


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow if place % 3 else ()) for place, name in enumerate(SCENARIOS)]
)
def test_the_answer(name: str) -> None:
    asked, first, among, spaces = SCENARIOS[name]
    wanted = Request(**asked)
    advice = advise(wanted)
    assert not advice.impossible
    named = [start.network.published.space for start in advice.starts]
    assert named[0] == first
    assert among <= set(named)
    assert spaces <= {choice.space.name for choice in advice.spaces}
    assert all(len(start.reason) > 20 for start in advice.starts)
    for start in advice.starts:
        assert start.network.cost.size_mib <= (wanted.size_mib or 1e9)
        assert start.network.cost.params <= (wanted.params or 1e12)
        assert wanted.shape in (None, start.network.input_shape)
    small = max(wanted.shape or (224,)) <= 64
    assert (advice.spaces[0].space.name == "small_images") == small
    lines = [command.line for command in advice.commands]
    assert any(line.startswith(f"python -m nas.search +space={advice.spaces[0].space.name} ") for line in lines)
    _check_commands(advice)


@pytest.mark.parametrize("task", OTHER_TASKS)
def test_a_task_that_cannot_be_trained_gets_what_works(task: str, capsys: pytest.CaptureFixture[str]) -> None:
    first, among, spaces = OTHER_TASKS[task]
    advice = advise(Request(task=task, params=1e8))
    assert advice.starts[0].network.published.space == first
    assert among == {start.network.published.space for start in advice.starts[1:]}
    assert {choice.space.name for choice in advice.spaces} == spaces
    assert f"no training code for {task}" in advice.notes[0]
    assert advice.python
    _check_commands(advice)
    for command in advice.commands:
        words = shlex.split(command.line)
        assert words[2] != "nas.search"
        main = {"nas.profile": profile.main, "nas.space": space_command.main}.get(words[2])
        assert main is None or main(words[3:]) == 0
    assert f"{advice.starts[0].network.cost.params:,}" in capsys.readouterr().out


def test_classes_of_pixels_are_searched_for_in_spaces_of_their_own() -> None:
    advice = advise(Request(task="segmentation", params=1e8))
    assert [start.network.published.space for start in advice.starts] == ["unet", "unet_paper"]
    assert {choice.space.name for choice in advice.spaces} == {"unet", "fpn", "deeplab"}
    assert not advice.python
    assert not any("no training code" in note for note in advice.notes)
    search = f"python -m nas.search +space={advice.spaces[0].space.name} data=mask_folder data.root=FOLDER "
    assert advice.commands[-1].line.startswith(f"{search}data.resolution=256 ")
    _check_commands(advice)


@pytest.mark.parametrize("data_set", [None, "mnist1d"])
def test_series_get_networks_a_space_and_the_commands_that_search_it(data_set: str | None) -> None:
    shape = (1, 40) if data_set else (5, 300)
    advice = advise(Request(task="series", shape=shape, classes=10, images=3000, data_set=data_set))
    assert [start.network.published.space for start in advice.starts] == ["fcn1d", "resnet1d"]
    assert [choice.space.name for choice in advice.spaces] == ["conv1d"]
    assert not advice.python
    data = f"data={data_set}" if data_set else "data=series data.root=FOLDER"
    assert f"nas.search +space=conv1d {data} " in advice.commands[-1].line
    assert advice.commands[-1].line.endswith("data.augment=shift")  # of few there is no mirror image
    _check_commands(advice)
    assert [one.name for one in spaces_for(shape, 10)] == ["conv1d"]


def test_what_nas_trains_is_known_to_the_advice() -> None:
    """With a data set for another task, `nas.advise.rules_of_thumb.TRAINED` has to grow."""
    images = ["arrays", "cells", "cifar10", "cifar100", "digits", "fashion_mnist", "hf", "idx", "image_folder"]
    assert [*DATA_SETS] == [*images, "mask_folder", "mnist1d", "own", "series", "synthetic"]


def test_more_wanted_is_never_a_worse_network() -> None:
    for device in ("mobile", "gpu"):
        asked = [Request(device=device, priority=one) for one in PRIORITIES]
        firsts = [choose_starts(wanted, candidates(wanted)[0])[0].network for wanted in asked]
        assert [one.top1 for one in firsts] == sorted(one.top1 for one in firsts)
        assert [one.published_macs for one in firsts] == sorted(one.published_macs for one in firsts)


def test_what_is_no_better_for_more_work_is_called_no_trade() -> None:
    """SqueezeNet 1.1 has 58.2 % for 349 M multiply-adds (torchvision), MobileNetV3-Small 67.4 % for 56 M."""
    wanted = Request(device="mobile", priority="speed")
    reasons = {one.network.published.space: one.reason for one in choose_starts(wanted, candidates(wanted)[0])}
    assert reasons["squeezenet1_1"].startswith("To compare with, the best of the SqueezeNet family: 9.2 points less")
    assert reasons["efficientnet_b0"].startswith("The best trade of the EfficientNet family: 9.7 points more")


def test_limits_follow_from_the_network_to_start_from() -> None:
    advice = advise(Request(device="mobile", priority="speed"))
    # MobileNetV3-Small: 56,510,400 multiply-adds and 9.746 MiB, both rounded up to two digits.
    assert {one.constraint.metric: one.constraint.high for one in advice.limits} == {"macs": 5.7e7, "size_mib": 9.8}
    assert not any(one.requested for one in advice.limits)
    advice = advise(Request(device="mobile", priority="speed", macs=4e7))
    first = advice.limits[0]
    assert (first.constraint.metric, first.constraint.high, first.requested) == ("macs", 4e7, True)


def test_an_accuracy_does_not_count_for_a_much_smaller_input() -> None:
    advice = advise(Request(device="gpu", priority="highest", shape=(3, 224, 224), classes=10))
    # At 224x224 ConvNeXt-T has 82.1; EfficientNet-B3 to B7 have their accuracies at 300 to 600.
    assert advice.starts[0].network.published.space == "convnext_tiny"
    assert any("efficientnet_b7" in note and "300" not in advice.starts[0].reason for note in advice.notes)
    advice = advise(Request(device="gpu", priority="highest", shape=(3, 600, 600), classes=10))
    assert advice.starts[0].network.published.space == "efficientnet_b7"
