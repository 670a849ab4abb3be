"""What `upsampled` makes of maps, and what it refuses."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F

import nas
from nas.errors import ShapeError, SpaceError

POOL = {"block": "max_pool", "ceil": True}


def _arch(*stages: dict[str, Any], side: int = 9) -> nas.Architecture:
    values = {"assume": {"channels": 2, "resolution": side, "num_classes": 3}, "stages": list(stages), "head": []}
    return nas.SearchSpace.from_dict(values).decode({})


@pytest.mark.parametrize("mode", ["nearest", "bilinear"])
@pytest.mark.parametrize("side", [4, 5, 9, 16])
def test_a_body_comes_back_to_the_map_of_its_input(mode: str, side: int) -> None:
    arch = _arch({"block": "upsampled", "mode": mode, "body": [POOL, POOL]}, side=side)
    x = torch.randn(2, 2, side, side)
    small = F.max_pool2d(F.max_pool2d(x, 2, ceil_mode=True), 2, ceil_mode=True)
    torch.testing.assert_close(nas.build(arch).eval()(x), F.interpolate(small, (side, side), mode=mode))
    assert nas.cost_of(arch).params == nas.cost_of(arch).macs == 0


def test_a_body_that_keeps_its_map_is_that_body() -> None:
    conv = {"block": "conv", "out_channels": 4}
    for mode in ("nearest", "bilinear"):
        assert _arch({"block": "upsampled", "mode": mode, "body": [conv]}).arch_id == _arch(conv).arch_id


@pytest.mark.parametrize(
    ("stages", "message"),
    [
        (
            [{"block": "upsampled", "body": [{"block": "linear", "out_channels": 4}]}],
            "needs a map, but gets features 4",
        ),
        (
            [{"block": "upsampled", "body": [{"block": "up_conv", "out_channels": 4}]}],
            r"must give a map of \(9, 9\) or smaller, but gives \(18, 18\)",
        ),
        ([{"block": "linear", "out_channels": 4}, {"block": "upsampled", "body": [POOL]}], "but gets features 4"),
    ],
)
def test_what_cannot_be_enlarged(stages: list[dict[str, Any]], message: str) -> None:
    with pytest.raises((ShapeError, SpaceError), match=message):
        nas.lower(_arch(*stages))


def test_bilinear_is_for_images() -> None:
    values = {"assume": {"channels": 2, "resolution": 8, "num_classes": 3, "dims": 1}, "head": []}
    for mode in ("nearest", "bilinear"):
        space = nas.SearchSpace.from_dict(values | {"stages": [{"block": "upsampled", "mode": mode, "body": [POOL]}]})
        if mode == "nearest":
            assert nas.lower(space.decode({})).out_shape == (2, 8)
        else:
            with pytest.raises(ShapeError, match="upsample_bilinear: a window of 2 dimensions cannot slide"):
                nas.lower(space.decode({}))


@pytest.mark.parametrize("name", ["unet", "fpn", "deeplab"])
def test_spaces_for_pixels_give_classes_of_each_at_odd_sizes(name: str) -> None:
    space = nas.load_space(name).for_data((3, 37, 53), 4, task="segmentation")
    for seed in range(8):
        assert nas.lower(space.decode(space.sample(seed))).out_shapes == ((4, 37, 53),)
