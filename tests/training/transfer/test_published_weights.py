"""Weights under the names of other libraries give, in our networks, what they give there."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import nas
from nas.errors import DataError
from nas.network.architecture import Architecture
from nas.training.transfer.published import Begun, begin_with
from tests.training.transfer import public_networks as public
from tests.training.transfer import public_small_networks as small

Make = Callable[[], nn.Module]


def reference(
    name: str, size: int = 64, channels: int = 3, classes: int = public.CLASSES, **values: Any
) -> Architecture:
    space = nas.load_space(name if "/" in name and name.endswith(".yaml") else f"reference/{name}", **values)
    return space.for_data((channels, size, size), classes, task="classification").decode({})


def disturbed(network: nn.Module) -> nn.Module:
    """Give a network statistics, shifts and scales that are not those which every layer begins with."""
    torch.manual_seed(1)
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight)  # so that the image still matters at the end
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            module.running_mean.normal_(0, 0.2)
            module.running_var.uniform_(0.3, 2)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0, 0.2)
    return network.eval()


def saved(path: Path, state: dict[str, Tensor]) -> Path:
    if path.suffix == ".safetensors":
        safetensors.torch.save_file({name: value.contiguous() for name, value in state.items()}, path)
    else:
        torch.save(state, path)
    return path


def compared(theirs: nn.Module, arch: Architecture, path: Path, size: int = 64) -> Begun:
    """Load theirs into ours, and assert that both give the same numbers, which are not all alike."""
    ours = nas.build(arch)
    begun = begin_with(saved(path, theirs.state_dict()), ours, arch, [str(i) for i in range(public.CLASSES)])
    x = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        a, b = ours.eval()(x), theirs(x)
    scale = float(b.abs().max())
    assert float((b[0] - b[1]).abs().max()) > 1e-2 * scale > 1e-3
    assert float((a - b).abs().max()) <= 1e-5 * max(1.0, scale)
    assert begun.share == pytest.approx(1.0)
    assert not begun.fresh
    return begun


QUICK: dict[str, tuple[str, Make, str]] = {
    "mobilenet_v3_small": (
        "mobilenet_v3_small",
        partial(small.mobilenet_v3, "torchvision", "small"),
        "MobileNetV3 of to",
    ),
}
SLOW: dict[str, tuple[str, Make, str]] = {
    "resnet18": ("resnet18", partial(public.resnet, (2, 2, 2, 2), bottleneck=False), "ResNet of"),
    "vit_timm": ("vit_tiny_16", partial(small.vit_tiny, "timm"), "ViT of timm"),
    "resnet50": ("resnet50", partial(public.resnet, (3, 4, 6, 3), bottleneck=True), "ResNet of"),
    "seresnet18": ("seresnet18", partial(public.resnet, (2, 2, 2, 2), bottleneck=False, se=True), "ResNet of"),
    "vgg11": ("vgg11", partial(public.vgg11, 4096), "VGG of"),
    "alexnet": ("alexnet", public.alexnet, "AlexNet of"),
    "squeezenet1_0": ("squeezenet1_0", public.squeezenet1_0, "SqueezeNet of"),
    "squeezenet1_1": ("squeezenet1_1", public.squeezenet1_1, "SqueezeNet of"),
    "densenet121": ("densenet121", public.densenet121, "DenseNet of"),
    "densenet121_old": ("densenet121", partial(public.densenet121, old_names=True), "DenseNet of"),
    "googlenet": ("googlenet", public.GoogLeNet, "GoogLeNet of"),
    "inception_v3": ("inception_v3", public.InceptionV3, "Inception v3 of"),
    "mobilenet_v2": ("mobilenet_v2", partial(small.mobilenet_v2, "torchvision"), "MobileNetV2 of"),
    "mobilenet_v2_timm": ("mobilenet_v2", partial(small.mobilenet_v2, "timm"), "EfficientNet or M"),
    "mobilenet_v3_large": (
        "mobilenet_v3_large",
        partial(small.mobilenet_v3, "torchvision", "large"),
        "MobileNetV3 of to",
    ),
    "mobilenet_v3_small_timm": (
        "mobilenet_v3_small",
        partial(small.mobilenet_v3, "timm", "small"),
        "MobileNetV3 of ti",
    ),
    "mobilenet_v3_large_timm": (
        "mobilenet_v3_large",
        partial(small.mobilenet_v3, "timm", "large"),
        "MobileNetV3 of ti",
    ),
    "efficientnet_b0": ("efficientnet_b0", partial(small.efficientnet_b0, "torchvision"), "EfficientNet of to"),
    "efficientnet_b0_timm": (
        "efficientnet_b0",
        partial(small.efficientnet_b0, "timm"),
        "EfficientNet or M",
    ),
    "vit_torchvision": ("vit_tiny_16", partial(small.vit_tiny, "torchvision"), "ViT of to"),
    "vit_torchvision_old": (
        "vit_tiny_16",
        partial(small.vit_tiny, "torchvision", old_names=True),
        "ViT of to",
    ),
}
SIZES = {"inception_v3": 96}


@pytest.mark.parametrize("case", list(QUICK))
def test_values_are_those_of_the_library(case: str, tmp_path: Path) -> None:
    name, make, about = QUICK[case]
    begun = compared(disturbed(make()), reference(name), tmp_path / "w.pth")
    assert begun.names.startswith(about)


@pytest.mark.slow
@pytest.mark.parametrize("case", list(SLOW))
def test_values_are_those_of_the_library_of_all_families(case: str, tmp_path: Path) -> None:
    name, make, about = SLOW[case]
    size = SIZES.get(case, 64)
    begun = compared(disturbed(make()), reference(name, size), tmp_path / "w.safetensors", size)
    assert begun.names.startswith(about)


def tensorflow_padded(network: nn.Module) -> nn.Module:
    """Pad as TensorFlow does, and normalise with its epsilon.

    Zeros of a side as https://www.tensorflow.org/api_docs/python/tf/nn has them under "same": where the stride divides
    the size, kernel - stride, else kernel - size modulo stride, and the odd one behind the map.
    """

    def padded(conv: nn.Conv2d, x: Tensor) -> Tensor:
        zeros: list[int] = []
        for size, kernel, stride in zip(x.shape[:1:-1], conv.kernel_size[::-1], conv.stride[::-1], strict=True):
            more = max(0, kernel - (size % stride or stride))
            zeros += [more // 2, more - more // 2]
        return F.conv2d(F.pad(x, zeros), conv.weight, conv.bias, conv.stride, 0, 1, conv.groups)

    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            module.forward = partial(padded, module)  # type: ignore[method-assign]
        if isinstance(module, nn.BatchNorm2d):
            module.eps = 1e-3
    return network


@pytest.mark.parametrize("size", [65, 97])
def test_weights_of_tensorflow_give_its_numbers_where_the_padding_is_the_same(size: int, tmp_path: Path) -> None:
    theirs = tensorflow_padded(disturbed(small.mobilenet_v3("timm", "small")))
    begun = compared(theirs, reference("mobilenet_v3_small", size), tmp_path / "tf_mobilenetv3_small_100.pth", size)
    assert begun.names == "MobileNetV3 of timm"


def test_weights_of_tensorflow_are_refused_where_they_would_give_others(tmp_path: Path) -> None:
    state = disturbed(small.mobilenet_v3("timm", "small")).state_dict()
    arch = reference("mobilenet_v3_small")
    ours, classes = nas.build(arch), [str(i) for i in range(public.CLASSES)]
    for name in ("tf_mobilenetv3_small_100-37f49e2b.pth", "models--timm--tf_mobilenetv3_small_100.in1k/w.safetensors"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        saved(path, state)
        with pytest.raises(DataError) as caught:
            begin_with(path, ours, arch, classes)
        assert str(caught.value) == (
            f"weights {path}: tf_mobilenetv3_small_100 is of timm's networks that pad as TensorFlow does: where a map "
            "has an even size more behind it than before it. With images of 64x64 stem.0.conv and 4 others would give "
            "other numbers: take images of 65x65 (resolution=65), for which both are one, or weights whose name does "
            "not begin with tf_"
        )
    begin_with(saved(tmp_path / "mobilenetv3_small_100.pth", state), ours, arch, classes)
    begin_with(saved(tmp_path / "betf_mobilenet.pth", state), ours, arch, classes)
