"""Published networks as plain torch modules, written from the papers without the package, to compare with."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def conv_norm(c_in: int, c_out: int, kernel: int = 1, stride: int = 1, groups: int = 1) -> nn.Sequential:
    conv = nn.Conv2d(c_in, c_out, kernel, stride, (kernel - 1) // 2, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(c_out))


class Basic(nn.Module):
    """He et al. 2016, figure 5 left."""

    def __init__(self, c_in: int, c_out: int, stride: int) -> None:
        super().__init__()
        self.a, self.b = conv_norm(c_in, c_out, 3, stride), conv_norm(c_out, c_out, 3)
        self.shortcut = conv_norm(c_in, c_out, 1, stride) if stride > 1 or c_in != c_out else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.b(F.relu(self.a(x))) + self.shortcut(x))


def resnet18() -> nn.Module:
    layers: list[nn.Module] = [conv_norm(3, 64, 7, 2), nn.ReLU(), nn.MaxPool2d(3, 2, 1)]
    channels = 64
    for width, stride in ((64, 1), (128, 2), (256, 2), (512, 2)):
        layers += [Basic(channels, width, stride), Basic(width, width, 1)]
        channels = width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 1000))


class Inverted(nn.Module):
    """Sandler et al. 2018, figure 4d; with a squeeze the block of Tan & Le 2019."""

    def __init__(
        self,
        c_in: int,
        c_out: int,
        *,
        kernel: int,
        stride: int,
        expand: int,
        squeeze: int,
        act: Callable[[Tensor], Tensor],
    ) -> None:
        super().__init__()
        hidden = c_in * expand
        self.expand = conv_norm(c_in, hidden) if expand > 1 else None
        self.depthwise = conv_norm(hidden, hidden, kernel, stride, hidden)
        self.down = nn.Conv2d(hidden, squeeze, 1) if squeeze else None
        self.up = nn.Conv2d(squeeze, hidden, 1) if squeeze else None
        self.project = conv_norm(hidden, c_out)
        self.act, self.skip = act, stride == 1 and c_in == c_out

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = x if self.expand is None else self.act(self.expand(x))
        y = self.act(self.depthwise(y))
        if self.down is not None and self.up is not None:
            y = y * torch.sigmoid(self.up(self.act(self.down(y.mean((2, 3), keepdim=True)))))
        y = self.project(y)
        return x + y if self.skip else y


class Act(nn.Module):
    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.function(x)
        return found


def _inverted(
    stem: int, head: int, stages: list[tuple[int, ...]], act: Callable[[Tensor], Tensor], se: bool
) -> nn.Module:
    layers: list[nn.Module] = [conv_norm(3, stem, 3, 2), Act(act)]
    channels = stem
    for expand, width, depth, stride, kernel in stages:
        for i in range(depth):
            squeeze = max(1, channels // 4) if se else 0
            first = stride if i == 0 else 1
            layers.append(
                Inverted(channels, width, kernel=kernel, stride=first, expand=expand, squeeze=squeeze, act=act)
            )
            channels = width
    layers += [conv_norm(channels, head), Act(act), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.2)]
    return nn.Sequential(*layers, nn.Linear(head, 1000))


def mobilenet_v2() -> nn.Module:
    """Table 2: expansion, channels, repeats, stride; all kernels are 3."""
    rows = [(1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)]
    return _inverted(32, 1280, [(*row, 3) for row in rows], F.relu6, se=False)


def efficientnet_b0() -> nn.Module:
    """Table 1."""
    stages: list[tuple[int, ...]] = [
        (1, 16, 1, 1, 3),
        (6, 24, 2, 2, 3),
        (6, 40, 2, 2, 5),
        (6, 80, 3, 2, 3),
        (6, 112, 3, 1, 5),
        (6, 192, 4, 2, 5),
        (6, 320, 1, 1, 3),
    ]
    return _inverted(32, 1280, stages, F.silu, se=True)


class DenseLayer(nn.Module):
    """Huang et al. 2017, section 3, DenseNet-B."""

    def __init__(self, c_in: int, growth: int) -> None:
        super().__init__()
        self.norm1, self.conv1 = nn.BatchNorm2d(c_in), nn.Conv2d(c_in, 4 * growth, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(4 * growth)
        self.conv2 = nn.Conv2d(4 * growth, growth, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, self.conv2(F.relu(self.norm2(self.conv1(F.relu(self.norm1(x))))))], 1)


def densenet121() -> nn.Module:
    layers: list[nn.Module] = [conv_norm(3, 64, 7, 2), nn.ReLU(), nn.MaxPool2d(3, 2, 1)]
    channels = 64
    for i, depth in enumerate((6, 12, 24, 16)):
        for _ in range(depth):
            layers.append(DenseLayer(channels, 32))
            channels += 32
        layers += [nn.BatchNorm2d(channels), nn.ReLU()]
        if i < 3:
            layers += [nn.Conv2d(channels, channels // 2, 1, bias=False), nn.AvgPool2d(2)]
            channels //= 2
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 1000))


class Encoder(nn.Module):
    """Dosovitskiy et al. 2021, equations 2 and 3, with attention written out."""

    def __init__(self, features: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.qkv = nn.LayerNorm(features, eps=1e-6), nn.Linear(features, 3 * features)
        self.out = nn.Linear(features, features)
        self.norm2 = nn.LayerNorm(features, eps=1e-6)
        self.mlp1, self.mlp2 = nn.Linear(features, 4 * features), nn.Linear(4 * features, features)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(self.norm1(x)).chunk(3, -1)
        size = q.shape[-1] // self.heads
        parts = []
        for h in range(self.heads):
            part = slice(h * size, (h + 1) * size)
            scores = q[..., part] @ k[..., part].transpose(1, 2) / size**0.5
            parts.append(scores.softmax(-1) @ v[..., part])
        x = x + self.out(torch.cat(parts, -1))
        hidden: Tensor = self.mlp2(F.gelu(self.mlp1(self.norm2(x))))
        return x + hidden


class Learned(nn.Module):
    """A learned tensor."""

    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.value = nn.Parameter(torch.zeros(shape))


class VisionTransformer(nn.Module):
    def __init__(self, features: int = 768, heads: int = 12, depth: int = 12, tokens: int = 196) -> None:
        super().__init__()
        self.project = nn.Conv2d(3, features, 16, 16)
        self.token, self.position = Learned(1, 1, features), Learned(1, tokens + 1, features)
        self.encoders = nn.Sequential(*(Encoder(features, heads) for _ in range(depth)))
        self.norm, self.head = nn.LayerNorm(features, eps=1e-6), nn.Linear(features, 1000)

    def forward(self, x: Tensor) -> Tensor:
        x = self.project(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.value.expand(len(x), -1, -1), x], 1) + self.position.value
        logits: Tensor = self.head(self.norm(self.encoders(x))[:, 0])
        return logits


class ShuffleUnit(nn.Module):
    """Zhang et al. 2018, figure 2b, and with a stride figure 2c; both pointwise convolutions are grouped."""

    def __init__(self, c_in: int, c_out: int, groups: int, *, stride: int = 1, first: bool = False) -> None:
        super().__init__()
        self.groups, self.stride = groups, stride
        inner = c_out // 4
        self.reduce = conv_norm(c_in, inner, groups=1 if first else groups)
        self.depthwise = conv_norm(inner, inner, 3, stride, inner)
        self.expand = conv_norm(inner, c_out - c_in if stride > 1 else c_out, groups=groups)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.reduce(x))
        if self.groups > 1:
            each = y.shape[1] // self.groups
            y = y[:, [i + each * j for i in range(each) for j in range(self.groups)]]
        y = self.expand(self.depthwise(y))
        if self.stride > 1:
            return F.relu(torch.cat([y, F.avg_pool2d(x, 3, self.stride, 1)], 1))
        return F.relu(y + x)


def shufflenet(groups: int = 3, width: int = 240) -> nn.Module:
    """Table 1: stages of 4, 8 and 4 units, the first pointwise convolution of stage 2 not grouped (section 3.3)."""
    layers: list[nn.Module] = [conv_norm(3, 24, 3, 2), nn.ReLU(), nn.MaxPool2d(3, 2, 1)]
    channels = 24
    for stage, repeats in enumerate((3, 7, 3)):
        out = width * 2**stage
        layers.append(ShuffleUnit(channels, out, groups, stride=2, first=stage == 0))
        layers += [ShuffleUnit(out, out, groups) for _ in range(repeats)]
        channels = out
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 1000))


PUBLISHED: dict[str, Callable[[], nn.Module]] = {
    "resnet18": resnet18,
    "mobilenet_v2": mobilenet_v2,
    "efficientnet_b0": efficientnet_b0,
    "densenet121": densenet121,
    "vit_b_16": VisionTransformer,
    "shufflenet": shufflenet,
}
