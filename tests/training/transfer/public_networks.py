"""Published networks with the names that torchvision and timm give their weights, written from the papers.

Nothing here is from either library but the names of what has weights.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

CLASSES = 7


class Named(nn.Module):
    """Modules by names, which may have dots: `{"layer1.0.conv1": ..., "fc": ...}`."""

    def __init__(self, modules: dict[str, nn.Module]) -> None:
        super().__init__()
        for name, module in modules.items():
            *path, last = name.split(".")
            place: nn.Module = self
            for part in path:
                if part not in place._modules:
                    place.add_module(part, nn.Module())
                place = place.get_submodule(part)
            place.add_module(last, module)

    def run(self, name: str, x: Tensor) -> Tensor:
        found: Tensor = self.get_submodule(name)(x)
        return found


def conv(c_in: int, c_out: int, kernel: int = 1, stride: int = 1, *, groups: int = 1, bias: bool = False) -> nn.Conv2d:
    return nn.Conv2d(c_in, c_out, kernel, stride, (kernel - 1) // 2, groups=groups, bias=bias)


def pooled(x: Tensor) -> Tensor:
    return x.mean((2, 3))


class Forward(nn.Module):
    """A network whose weights have the names of another module's, and a forward of its own."""

    def __init__(self, net: nn.Module, forward: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self._modules.update(net._modules)
        self._parameters.update(net._parameters)
        self._forward = forward

    def forward(self, x: Tensor) -> Tensor:
        return self._forward(x)


def resnet(depths: tuple[int, ...], *, bottleneck: bool, se: bool = False) -> nn.Module:
    """He et al. 2016, figure 5 and table 1; with squeeze-and-excitation of Hu et al. 2018."""
    found: dict[str, nn.Module] = {"conv1": conv(3, 64, 7, 2), "bn1": nn.BatchNorm2d(64)}
    channels, plan = 64, []
    for stage, depth in enumerate(depths):
        width = 64 * 2**stage
        out = width * (4 if bottleneck else 1)
        for block in range(depth):
            name, stride = f"layer{stage + 1}.{block}", 2 if stage and not block else 1
            three = [(channels, width, 1, 1), (width, width, 3, stride), (width, out, 1, 1)]
            sizes = three if bottleneck else [(channels, width, 3, stride), (width, width, 3, 1)]
            for i, (a, b, kernel, by) in enumerate(sizes, 1):
                found |= {f"{name}.conv{i}": conv(a, b, kernel, by), f"{name}.bn{i}": nn.BatchNorm2d(b)}
            if channels != out or stride > 1:
                found |= {f"{name}.downsample": nn.Sequential(conv(channels, out, 1, stride), nn.BatchNorm2d(out))}
            squeeze = max(8, out // 16)
            gate = {"fc1": conv(out, squeeze, bias=True), "fc2": conv(squeeze, out, bias=True)}
            found |= {f"{name}.se.{part}": module for part, module in gate.items() if se}
            plan.append((name, len(sizes)))
            channels = out
    net = Named(found | {"fc": nn.Linear(channels, CLASSES)})

    def forward(x: Tensor) -> Tensor:
        x = F.max_pool2d(F.relu(net.run("bn1", net.run("conv1", x))), 3, 2, 1)
        for name, count in plan:
            y = x
            for i in range(1, count + 1):
                y = net.run(f"{name}.bn{i}", net.run(f"{name}.conv{i}", y))
                y = F.relu(y) if i < count else y
            if se:
                gate = net.run(f"{name}.se.fc2", F.relu(net.run(f"{name}.se.fc1", y.mean((2, 3), keepdim=True))))
                y = y * torch.sigmoid(gate)
            x = F.relu(y + (net.run(f"{name}.downsample", x) if f"{name}.downsample" in found else x))
        return net.run("fc", pooled(x))

    return Forward(net, forward)


def vgg11(hidden: int, *, norm: bool = False) -> nn.Module:
    """Simonyan & Zisserman 2015, table 1 A, with smaller hidden layers."""
    layers: list[nn.Module] = []
    channels = 3
    for width, depth in ((64, 1), (128, 1), (256, 2), (512, 2), (512, 2)):
        for _ in range(depth):
            layers += [conv(channels, width, 3, bias=True), *([nn.BatchNorm2d(width)] if norm else []), nn.ReLU()]
            channels = width
        layers.append(nn.MaxPool2d(2))
    linear = [nn.Linear(512 * 49, hidden), nn.ReLU(), nn.Dropout(), nn.Linear(hidden, hidden), nn.ReLU(), nn.Dropout()]
    net = Named({"features": nn.Sequential(*layers), "classifier": nn.Sequential(*linear, nn.Linear(hidden, CLASSES))})
    return Forward(net, lambda x: net.run("classifier", F.adaptive_avg_pool2d(net.run("features", x), 7).flatten(1)))


class Fire(nn.Module):
    """Iandola et al. 2016, figure 1."""

    def __init__(self, c_in: int, squeeze: int, expand: int) -> None:
        super().__init__()
        self.squeeze = conv(c_in, squeeze, bias=True)
        self.expand1x1, self.expand3x3 = conv(squeeze, expand, bias=True), conv(squeeze, expand, 3, bias=True)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.squeeze(x))
        return torch.cat([F.relu(self.expand1x1(x)), F.relu(self.expand3x3(x))], 1)


def squeezenet1_0() -> nn.Module:
    """Table 1."""

    def pool() -> nn.Module:
        return nn.MaxPool2d(3, 2, ceil_mode=True)

    fires = [Fire(96, 16, 64), Fire(128, 16, 64), Fire(128, 32, 128), pool()]
    fires += [
        Fire(256, 32, 128),
        Fire(256, 48, 192),
        Fire(384, 48, 192),
        Fire(384, 64, 256),
        pool(),
        Fire(512, 64, 256),
    ]
    features = nn.Sequential(nn.Conv2d(3, 96, 7, 2), nn.ReLU(), pool(), *fires)
    head = nn.Sequential(nn.Dropout(), conv(512, CLASSES, bias=True))
    net = Named({"features": features, "classifier": head})
    return Forward(net, lambda x: pooled(F.relu(net.run("classifier", net.run("features", x)))))


def squeezenet1_1() -> nn.Module:
    """With the poolings earlier, and a smaller first convolution."""

    def pool() -> nn.Module:
        return nn.MaxPool2d(3, 2, ceil_mode=True)

    fires = [Fire(64, 16, 64), Fire(128, 16, 64), pool(), Fire(128, 32, 128), Fire(256, 32, 128), pool()]
    fires += [Fire(256, 48, 192), Fire(384, 48, 192), Fire(384, 64, 256), Fire(512, 64, 256)]
    features = nn.Sequential(nn.Conv2d(3, 64, 3, 2), nn.ReLU(), pool(), *fires)
    head = nn.Sequential(nn.Dropout(), conv(512, CLASSES, bias=True))
    net = Named({"features": features, "classifier": head})
    return Forward(net, lambda x: pooled(F.relu(net.run("classifier", net.run("features", x)))))


def alexnet() -> nn.Module:
    """Krizhevsky 2014, of one column."""
    sizes = [(64, 192, 5), (192, 384, 3), (384, 256, 3), (256, 256, 3)]
    layers: list[nn.Module] = [nn.Conv2d(3, 64, 11, 4, 2), nn.ReLU(), nn.MaxPool2d(3, 2)]
    for i, (a, b, kernel) in enumerate(sizes):
        layers += [conv(a, b, kernel, bias=True), nn.ReLU(), *([nn.MaxPool2d(3, 2)] if i in (0, 3) else [])]
    linear = [nn.Dropout(), nn.Linear(256 * 36, 4096), nn.ReLU(), nn.Dropout(), nn.Linear(4096, 4096), nn.ReLU()]
    net = Named({"features": nn.Sequential(*layers), "classifier": nn.Sequential(*linear, nn.Linear(4096, CLASSES))})
    return Forward(net, lambda x: net.run("classifier", F.adaptive_avg_pool2d(net.run("features", x), 6).flatten(1)))


def densenet121(*, old_names: bool = False) -> nn.Module:
    """Huang et al. 2017, table 1."""
    dot = "." if old_names else ""
    found: dict[str, nn.Module] = {"features.conv0": conv(3, 64, 7, 2), "features.norm0": nn.BatchNorm2d(64)}
    channels, order = 64, []
    for stage, depth in enumerate((6, 12, 24, 16), 1):
        for layer in range(1, depth + 1):
            name = f"features.denseblock{stage}.denselayer{layer}"
            parts = [f"{name}.{what}" for what in (f"norm{dot}1", f"conv{dot}1", f"norm{dot}2", f"conv{dot}2")]
            made = (nn.BatchNorm2d(channels), conv(channels, 128), nn.BatchNorm2d(128), conv(128, 32, 3))
            found |= dict(zip(parts, made, strict=True))
            order.append(parts)
            channels += 32
        if stage < 4:
            parts = [f"features.transition{stage}.{what}" for what in ("norm", "conv")]
            found |= dict(zip(parts, (nn.BatchNorm2d(channels), conv(channels, channels // 2)), strict=True))
            order.append(parts)
            channels //= 2
    found |= {"features.norm5": nn.BatchNorm2d(channels), "classifier": nn.Linear(channels, CLASSES)}
    net = Named(found)

    def forward(x: Tensor) -> Tensor:
        x = F.max_pool2d(F.relu(net.run("features.norm0", net.run("features.conv0", x))), 3, 2, 1)
        for norm1, conv1, *rest in order:
            y = net.run(conv1, F.relu(net.run(norm1, x)))
            x = torch.cat([x, net.run(rest[1], F.relu(net.run(rest[0], y)))], 1) if rest else F.avg_pool2d(y, 2)
        return net.run("classifier", pooled(F.relu(net.run("features.norm5", x))))

    return Forward(net, forward)


class ConvBn(nn.Module):
    """Convolution, normalisation with TensorFlow's epsilon, relu."""

    def __init__(self, c_in: int, c_out: int, kernel: int | tuple[int, int] = 1, **settings: int) -> None:
        super().__init__()
        high, wide = kernel if isinstance(kernel, tuple) else (kernel, kernel)
        padding = settings.pop("padding", None)
        around = ((high - 1) // 2, (wide - 1) // 2) if padding is None else (padding, padding)
        self.conv = nn.Conv2d(c_in, c_out, (high, wide), settings.get("stride", 1), around, bias=False)
        self.bn = nn.BatchNorm2d(c_out, eps=1e-3)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv(x)))


class GoogLeNet(Named):
    """Szegedy et al. 2015, table 1, with batch normalisation and 3x3 in the place of 5x5."""

    ROWS = (
        ("3a", 192, 64, 96, 128, 16, 32, 32),
        ("3b", 256, 128, 128, 192, 32, 96, 64),
        ("4a", 480, 192, 96, 208, 16, 48, 64),
        ("4b", 512, 160, 112, 224, 24, 64, 64),
        ("4c", 512, 128, 128, 256, 24, 64, 64),
        ("4d", 512, 112, 144, 288, 32, 64, 64),
        ("4e", 528, 256, 160, 320, 32, 128, 128),
        ("5a", 832, 256, 160, 320, 32, 128, 128),
        ("5b", 832, 384, 192, 384, 48, 128, 128),
    )

    def __init__(self) -> None:
        found: dict[str, nn.Module] = {
            "conv1": ConvBn(3, 64, 7, stride=2),
            "conv2": ConvBn(64, 64),
            "conv3": ConvBn(64, 192, 3),
            "fc": nn.Linear(1024, CLASSES),
            "aux1.conv": ConvBn(512, 128),
        }
        for name, c_in, one, reduce3, three, reduce5, five, pool in self.ROWS:
            found |= {
                f"inception{name}.branch1": ConvBn(c_in, one),
                f"inception{name}.branch2.0": ConvBn(c_in, reduce3),
                f"inception{name}.branch2.1": ConvBn(reduce3, three, 3),
                f"inception{name}.branch3.0": ConvBn(c_in, reduce5),
                f"inception{name}.branch3.1": ConvBn(reduce5, five, 3),
                f"inception{name}.branch4.1": ConvBn(c_in, pool),
            }
        super().__init__(found)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(self.run("conv1", x), 3, 2, ceil_mode=True)
        x = F.max_pool2d(self.run("conv3", self.run("conv2", x)), 3, 2, ceil_mode=True)
        for name, *_ in self.ROWS:
            at = f"inception{name}.branch"
            two, three = self.run(f"{at}2.1", self.run(f"{at}2.0", x)), self.run(f"{at}3.1", self.run(f"{at}3.0", x))
            four = self.run(f"{at}4.1", F.max_pool2d(x, 3, 1, 1))
            x = torch.cat([self.run(f"{at}1", x), two, three, four], 1)
            if name in ("3b", "4e"):
                x = F.max_pool2d(x, 3 if name == "3b" else 2, 2, ceil_mode=True)
        return self.run("fc", pooled(x))


class InceptionV3(Named):
    """Szegedy et al. 2016, table 1 and figures 5, 6, 7 and 10."""

    def __init__(self) -> None:
        found: dict[str, nn.Module] = {
            "Conv2d_1a_3x3": ConvBn(3, 32, 3, stride=2, padding=0),
            "Conv2d_2a_3x3": ConvBn(32, 32, 3, padding=0),
            "Conv2d_2b_3x3": ConvBn(32, 64, 3),
            "Conv2d_3b_1x1": ConvBn(64, 80),
            "Conv2d_4a_3x3": ConvBn(80, 192, 3, padding=0),
            "AuxLogits.conv0": ConvBn(768, 128),
            "fc": nn.Linear(2048, CLASSES),
        }

        def block(name: str, *branches: list[tuple[str, ConvBn]]) -> None:
            for branch in branches:
                found.update({f"Mixed_{name}.{part}": made for part, made in branch})

        for name, c_in, pool in (("5b", 192, 32), ("5c", 256, 64), ("5d", 288, 64)):
            block(
                name,
                [("branch1x1", ConvBn(c_in, 64)), ("branch_pool", ConvBn(c_in, pool))],
                [("branch5x5_1", ConvBn(c_in, 48)), ("branch5x5_2", ConvBn(48, 64, 5))],
                [("branch3x3dbl_1", ConvBn(c_in, 64)), ("branch3x3dbl_2", ConvBn(64, 96, 3))],
                [("branch3x3dbl_3", ConvBn(96, 96, 3))],
            )
        block(
            "6a",
            [("branch3x3", ConvBn(288, 384, 3, stride=2, padding=0)), ("branch3x3dbl_1", ConvBn(288, 64))],
            [("branch3x3dbl_2", ConvBn(64, 96, 3)), ("branch3x3dbl_3", ConvBn(96, 96, 3, stride=2, padding=0))],
        )
        for name, c in (("6b", 128), ("6c", 160), ("6d", 160), ("6e", 192)):
            block(
                name,
                [("branch1x1", ConvBn(768, 192)), ("branch_pool", ConvBn(768, 192))],
                [("branch7x7_1", ConvBn(768, c)), ("branch7x7_2", ConvBn(c, c, (1, 7)))],
                [("branch7x7_3", ConvBn(c, 192, (7, 1))), ("branch7x7dbl_1", ConvBn(768, c))],
                [("branch7x7dbl_2", ConvBn(c, c, (7, 1))), ("branch7x7dbl_3", ConvBn(c, c, (1, 7)))],
                [("branch7x7dbl_4", ConvBn(c, c, (7, 1))), ("branch7x7dbl_5", ConvBn(c, 192, (1, 7)))],
            )
        block(
            "7a",
            [("branch3x3_1", ConvBn(768, 192)), ("branch3x3_2", ConvBn(192, 320, 3, stride=2, padding=0))],
            [("branch7x7x3_1", ConvBn(768, 192)), ("branch7x7x3_2", ConvBn(192, 192, (1, 7)))],
            [("branch7x7x3_3", ConvBn(192, 192, (7, 1)))],
            [("branch7x7x3_4", ConvBn(192, 192, 3, stride=2, padding=0))],
        )
        for name, c_in in (("7b", 1280), ("7c", 2048)):
            block(
                name,
                [("branch1x1", ConvBn(c_in, 320)), ("branch_pool", ConvBn(c_in, 192))],
                [("branch3x3_1", ConvBn(c_in, 384)), ("branch3x3_2a", ConvBn(384, 384, (1, 3)))],
                [("branch3x3_2b", ConvBn(384, 384, (3, 1))), ("branch3x3dbl_1", ConvBn(c_in, 448))],
                [("branch3x3dbl_2", ConvBn(448, 384, 3)), ("branch3x3dbl_3a", ConvBn(384, 384, (1, 3)))],
                [("branch3x3dbl_3b", ConvBn(384, 384, (3, 1)))],
            )
        super().__init__(found)

    def chain(self, block: str, stem: str, parts: str, x: Tensor) -> Tensor:
        for part in parts:
            x = self.run(f"Mixed_{block}.{stem}_{part}", x)
        return x

    def split(self, block: str, stem: str, part: int, x: Tensor) -> list[Tensor]:
        return [self.run(f"Mixed_{block}.{stem}_{part}{side}", x) for side in "ab"]

    def forward(self, x: Tensor) -> Tensor:
        x = self.run("Conv2d_2b_3x3", self.run("Conv2d_2a_3x3", self.run("Conv2d_1a_3x3", x)))
        x = self.run("Conv2d_4a_3x3", self.run("Conv2d_3b_1x1", F.max_pool2d(x, 3, 2)))
        x = F.max_pool2d(x, 3, 2)
        for name in ("5b", "5c", "5d", "6a", "6b", "6c", "6d", "6e", "7a", "7b", "7c"):
            x = torch.cat(self.block(name, x), 1)
        return self.run("fc", pooled(x))

    def block(self, name: str, x: Tensor) -> list[Tensor]:
        if name == "6a":
            three = self.run("Mixed_6a.branch3x3", x)
            return [three, self.chain(name, "branch3x3dbl", "123", x), F.max_pool2d(x, 3, 2)]
        if name == "7a":
            both = [self.chain(name, "branch3x3", "12", x), self.chain(name, "branch7x7x3", "1234", x)]
            return [*both, F.max_pool2d(x, 3, 2)]
        one = self.run(f"Mixed_{name}.branch1x1", x)
        pool = self.run(f"Mixed_{name}.branch_pool", F.avg_pool2d(x, 3, 1, 1))
        if name[0] == "5":
            return [one, self.chain(name, "branch5x5", "12", x), self.chain(name, "branch3x3dbl", "123", x), pool]
        if name[0] == "6":
            return [one, self.chain(name, "branch7x7", "123", x), self.chain(name, "branch7x7dbl", "12345", x), pool]
        both = self.split(name, "branch3x3", 2, self.chain(name, "branch3x3", "1", x))
        return [one, *both, *self.split(name, "branch3x3dbl", 3, self.chain(name, "branch3x3dbl", "12", x)), pool]
