"""More of `public_networks.py`: networks for phones, and vision transformers, with the names of either library."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.training.transfer.public_networks import CLASSES, Forward, Named, conv, pooled

Act = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Row:
    """An inverted residual block of Sandler et al. 2018, figure 4d, with a squeeze of Howard et al. 2019."""

    stage: int
    block: int
    c_in: int
    hidden: int
    c_out: int
    kernel: int
    stride: int
    squeeze: int
    act: Act


@dataclass(frozen=True)
class Names:
    """What a library calls the parts of a network."""

    stem: tuple[str, str]
    expand: tuple[str, str]
    depthwise: tuple[str, str]
    squeeze: tuple[str, str]
    project: tuple[str, str]
    head: tuple[str, str]


def inverted(
    rows: list[Row],
    names: Callable[[Row, int], Names],
    *,
    stem: int,
    head: int,
    last: dict[str, nn.Module],
    ends: tuple[Act, Act, Act],
    eps: float = 1e-5,
) -> nn.Module:
    """Make a network; `ends` are the non-linearity of both ends, the gate, and what follows the pooling."""
    act, gate, classify = ends
    found: dict[str, nn.Module] = {}

    def norm(channels: int) -> nn.Module:
        return nn.BatchNorm2d(channels, eps=eps)

    first = names(rows[0], 0)
    found |= {first.stem[0]: conv(3, stem, 3, 2), first.stem[1]: norm(stem)}
    for number, row in enumerate(rows):
        own, h = names(row, number), row.hidden
        if h != row.c_in:
            found |= {own.expand[0]: conv(row.c_in, h), own.expand[1]: norm(h)}
        found |= {own.depthwise[0]: conv(h, h, row.kernel, row.stride, groups=h), own.depthwise[1]: norm(h)}
        if row.squeeze:
            found |= {own.squeeze[0]: conv(h, row.squeeze, bias=True), own.squeeze[1]: conv(row.squeeze, h, bias=True)}
        found |= {own.project[0]: conv(h, row.c_out), own.project[1]: norm(row.c_out)}
    found |= {first.head[0]: conv(rows[-1].c_out, head), first.head[1]: norm(head), **last}
    net = Named(found)

    def both(pair: tuple[str, str], x: Tensor) -> Tensor:
        return net.run(pair[1], net.run(pair[0], x))

    def forward(x: Tensor) -> Tensor:
        x = act(both(first.stem, x))
        for number, row in enumerate(rows):
            own = names(row, number)
            y = row.act(both(own.expand, x)) if row.hidden != row.c_in else x
            y = row.act(both(own.depthwise, y))
            if row.squeeze:
                inner = F.relu if row.act is not F.silu else F.silu
                y = y * gate(net.run(own.squeeze[1], inner(net.run(own.squeeze[0], y.mean((2, 3), keepdim=True)))))
            y = both(own.project, y)
            x = x + y if row.stride == 1 and row.c_in == row.c_out else y
        return classify(pooled(act(both(first.head, x))))

    return Forward(net, forward)


def _table(rows: list[tuple[int, int, int, int, int]], *, squeezed: bool, act: Act, c_in: int) -> list[Row]:
    """Rows of a paper's table: expansion, channels, repeats, stride, kernel."""
    found = []
    for stage, (expand, width, depth, stride, kernel) in enumerate(rows):
        for block in range(depth):
            squeeze = max(1, c_in // 4) if squeezed else 0
            by = 1 if block else stride
            found.append(Row(stage, block, c_in, c_in * expand, width, kernel, by, squeeze, act))
            c_in = width
    return found


_V2 = [(1, 16, 1, 1, 3), (6, 24, 2, 2, 3), (6, 32, 3, 2, 3), (6, 64, 4, 2, 3), (6, 96, 3, 1, 3)]
_V2 += [(6, 160, 3, 2, 3), (6, 320, 1, 1, 3)]
_B0 = [(1, 16, 1, 1, 3), (6, 24, 2, 2, 3), (6, 40, 2, 2, 5), (6, 80, 3, 2, 3), (6, 112, 3, 1, 5)]
_B0 += [(6, 192, 4, 2, 5), (6, 320, 1, 1, 3)]


def _timm(place: str, expands: bool, head: tuple[str, str]) -> Names:
    project, numbers = ("conv_pwl", (2, 3)) if expands else ("conv_pw", (1, 2))
    return Names(
        ("conv_stem", "bn1"),
        (f"{place}.conv_pw", f"{place}.bn1"),
        (f"{place}.conv_dw", f"{place}.bn{numbers[0]}"),
        (f"{place}.se.conv_reduce", f"{place}.se.conv_expand"),
        (f"{place}.{project}", f"{place}.bn{numbers[1]}"),
        head,
    )


def _torchvision(place: str, row: Row, last: int) -> Names:
    """Names of MobileNetV3 and EfficientNet: a sequence a block, with pairs of convolution and normalisation."""
    at = iter(range(5))
    expand = f"{place}.block.{next(at)}" if row.hidden != row.c_in else ""
    depthwise = f"{place}.block.{next(at)}"
    squeeze = f"{place}.block.{next(at)}" if row.squeeze else ""
    project = f"{place}.block.{next(at)}"
    pairs = [(f"{name}.0", f"{name}.1") for name in (expand, depthwise, project)]
    ends = [(f"features.{i}.0", f"features.{i}.1") for i in (0, last)]
    return Names(ends[0], pairs[0], pairs[1], (f"{squeeze}.fc1", f"{squeeze}.fc2"), pairs[2], ends[1])


def _torchvision_v2(row: Row, number: int) -> Names:
    place = f"features.{number + 1}.conv"
    shift = int(row.hidden != row.c_in)
    ends = [(f"features.{i}.0", f"features.{i}.1") for i in (0, 18)]
    project = f"{place}.{shift + 1}", f"{place}.{shift + 2}"
    depthwise = f"{place}.{shift}.0", f"{place}.{shift}.1"
    return Names(ends[0], (f"{place}.0.0", f"{place}.0.1"), depthwise, ("", ""), project, ends[1])


def mobilenet_v2(library: str) -> nn.Module:
    def names(row: Row, number: int) -> Names:
        if library == "torchvision":
            return _torchvision_v2(row, number)
        return _timm(f"blocks.{row.stage}.{row.block}", row.hidden != row.c_in, ("conv_head", "bn2"))

    linear = nn.Linear(1280, CLASSES)
    name = "classifier.1" if library == "torchvision" else "classifier"
    rows = _table(_V2, squeezed=False, act=F.relu6, c_in=32)
    return inverted(rows, names, stem=32, head=1280, last={name: linear}, ends=(F.relu6, torch.sigmoid, linear))


def efficientnet_b0(library: str) -> nn.Module:
    def names(row: Row, number: int) -> Names:
        if library == "torchvision":
            return _torchvision(f"features.{row.stage + 1}.{row.block}", row, 8)
        return _timm(f"blocks.{row.stage}.{row.block}", row.hidden != row.c_in, ("conv_head", "bn2"))

    linear = nn.Linear(1280, CLASSES)
    name = "classifier.1" if library == "torchvision" else "classifier"
    rows = _table(_B0, squeezed=True, act=F.silu, c_in=32)
    return inverted(rows, names, stem=32, head=1280, last={name: linear}, ends=(F.silu, torch.sigmoid, linear))


_SMALL = [  # Howard et al. 2019, table 2: kernel, hidden, out, squeeze, swish, stride; and the stage and block in timm
    (3, 16, 16, True, False, 2, "0.0"),
    (3, 72, 24, False, False, 2, "1.0"),
    (3, 88, 24, False, False, 1, "1.1"),
    (5, 96, 40, True, True, 2, "2.0"),
    (5, 240, 40, True, True, 1, "2.1"),
    (5, 240, 40, True, True, 1, "2.2"),
    (5, 120, 48, True, True, 1, "3.0"),
    (5, 144, 48, True, True, 1, "3.1"),
    (5, 288, 96, True, True, 2, "4.0"),
    (5, 576, 96, True, True, 1, "4.1"),
    (5, 576, 96, True, True, 1, "4.2"),
]
_LARGE = [  # table 1
    (3, 16, 16, False, False, 1, "0.0"),
    (3, 64, 24, False, False, 2, "1.0"),
    (3, 72, 24, False, False, 1, "1.1"),
    (5, 72, 40, True, False, 2, "2.0"),
    (5, 120, 40, True, False, 1, "2.1"),
    (5, 120, 40, True, False, 1, "2.2"),
    (3, 240, 80, False, True, 2, "3.0"),
    (3, 200, 80, False, True, 1, "3.1"),
    (3, 184, 80, False, True, 1, "3.2"),
    (3, 184, 80, False, True, 1, "3.3"),
    (3, 480, 112, True, True, 1, "4.0"),
    (3, 672, 112, True, True, 1, "4.1"),
    (5, 672, 160, True, True, 2, "5.0"),
    (5, 960, 160, True, True, 1, "5.1"),
    (5, 960, 160, True, True, 1, "5.2"),
]


def _eights(channels: int) -> int:
    """Round to eights, and by no more than a tenth down."""
    rounded = max(8, (channels + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * channels else rounded


def mobilenet_v3(library: str, size: str) -> nn.Module:
    table = _SMALL if size == "small" else _LARGE
    places = [row[-1] for row in table]
    rows, c_in = [], 16
    for kernel, hidden, out, squeezed, swish, stride, _ in table:
        squeeze = _eights(hidden // 4) if squeezed else 0
        rows.append(Row(0, 0, c_in, hidden, out, kernel, stride, squeeze, F.hardswish if swish else F.relu))
        c_in = out
    head, wide = (576, 1024) if size == "small" else (960, 1280)
    stage = "5" if size == "small" else "6"

    def names(row: Row, number: int) -> Names:
        if library == "torchvision":
            return _torchvision(f"features.{number + 1}", row, len(table) + 1)
        ends = (f"blocks.{stage}.0.conv", f"blocks.{stage}.0.bn1")
        return _timm(f"blocks.{places[number]}", row.hidden != row.c_in, ends)

    linear = nn.Linear(wide, CLASSES)
    hidden_layer: nn.Module = nn.Linear(head, wide) if library == "torchvision" else conv(head, wide, bias=True)
    last_names = ("classifier.0", "classifier.3") if library == "torchvision" else ("conv_head", "classifier")

    def classify(x: Tensor) -> Tensor:
        y = hidden_layer(x) if library == "torchvision" else hidden_layer(x[:, :, None, None])[:, :, 0, 0]
        found: Tensor = linear(F.hardswish(y))
        return found

    eps = 1e-3 if library == "torchvision" else 1e-5
    last = dict(zip(last_names, (hidden_layer, linear), strict=True))
    return inverted(rows, names, stem=16, head=head, last=last, ends=(F.hardswish, F.hardsigmoid, classify), eps=eps)


class SplitHeads(nn.Module):
    """Attention of Vaswani et al. 2017, section 3.2, with the weights of queries, keys and values in one."""

    def __init__(self, features: int, heads: int, weight: str) -> None:
        super().__init__()
        self.heads, self.weight = heads, weight
        if weight == "qkv":
            self.qkv, self.proj = nn.Linear(features, 3 * features), nn.Linear(features, features)
        else:
            self.in_proj_weight = nn.Parameter(torch.randn(3 * features, features) * features**-0.5)
            self.in_proj_bias = nn.Parameter(torch.randn(3 * features) * 0.1)
            self.out_proj = nn.Linear(features, features)

    def forward(self, x: Tensor) -> Tensor:
        wide = self.qkv(x) if self.weight == "qkv" else F.linear(x, self.in_proj_weight, self.in_proj_bias)
        batch, tokens, features = x.shape
        q, k, v = wide.view(batch, tokens, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        weights = (q @ k.transpose(-1, -2) / (features // self.heads) ** 0.5).softmax(-1)
        y = (weights @ v).transpose(1, 2).reshape(batch, tokens, features)
        found: Tensor = self.proj(y) if self.weight == "qkv" else self.out_proj(y)
        return found


def vit_tiny(library: str, *, old_names: bool = False, tokens: int = 17) -> nn.Module:
    """Dosovitskiy et al. 2021, equations 1 to 4, of 12 blocks, 192 features and 3 heads."""
    timm = library == "timm"
    features, depth = 192, 12
    linears = ("linear_1", "linear_2") if old_names else ("0", "3")
    parts = ("norm1", "attn", "norm2", "mlp.fc1", "mlp.fc2")
    if not timm:
        parts = ("ln_1", "self_attention", "ln_2", f"mlp.{linears[0]}", f"mlp.{linears[1]}")
    blocks = [f"blocks.{i}" if timm else f"encoder.layers.encoder_layer_{i}" for i in range(depth)]
    patch, norm, head = ("patch_embed.proj", "norm", "head") if timm else ("conv_proj", "encoder.ln", "heads.head")
    found: dict[str, nn.Module] = {patch: nn.Conv2d(3, features, 16, 16), head: nn.Linear(features, CLASSES)}
    found |= {norm: nn.LayerNorm(features, eps=1e-6)}
    for block in blocks:
        made = (
            nn.LayerNorm(features, eps=1e-6),
            SplitHeads(features, 3, "qkv" if timm else "in_proj"),
            nn.LayerNorm(features, eps=1e-6),
            nn.Linear(features, 4 * features),
            nn.Linear(4 * features, features),
        )
        found |= {f"{block}.{part}": module for part, module in zip(parts, made, strict=True)}
    net = Named(found)
    token, position = nn.Parameter(torch.randn(1, 1, features)), nn.Parameter(torch.randn(1, tokens, features))
    net.register_parameter("cls_token" if timm else "class_token", token)
    (net if timm else net.get_submodule("encoder")).register_parameter(
        "pos_embed" if timm else "pos_embedding", position
    )

    def forward(x: Tensor) -> Tensor:
        x = net.run(patch, x).flatten(2).transpose(1, 2)
        x = torch.cat([token.expand(len(x), -1, -1), x], 1) + position
        for block in blocks:
            names = [f"{block}.{part}" for part in parts]
            x = x + net.run(names[1], net.run(names[0], x))
            x = x + net.run(names[4], F.gelu(net.run(names[3], net.run(names[2], x))))
        return net.run(head, net.run(norm, x)[:, 0])

    return Forward(net, forward)
