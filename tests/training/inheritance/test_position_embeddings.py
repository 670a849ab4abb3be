"""Position embeddings of images of another size, against Pillow's own bicubic resizing."""

from __future__ import annotations

from dataclasses import replace
from math import prod
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

import nas
from nas.errors import DataError
from nas.network import Architecture, Block, Section
from nas.network.lower import lower
from nas.training.inheritance.positions import position_maps, resized, square
from nas.training.transfer.published import begin_with
from tests.training.transfer import public_small_networks as small
from tests.training.transfer.public_networks import CLASSES

_CLASSES = [str(i) for i in range(CLASSES)]


def _by_pillow(weight: Tensor, before: tuple[int, int], after: tuple[int, int]) -> Tensor:
    """Resize what stands behind the other tokens, a feature at a time."""
    first = weight.shape[1] - prod(before)
    maps = weight[0, first:].T.reshape(-1, *before).numpy()
    made = [np.asarray(Image.fromarray(one).resize(after[::-1], Image.Resampling.BICUBIC)) for one in maps]
    return torch.cat([weight[:, :first], torch.from_numpy(np.stack(made)).flatten(1).T[None]], dim=1)


def _vit(height: int, width: int, *, class_token: bool = True) -> Architecture:
    embed = Block.of("patch_embed", {"features": 8, "patch": 5, "class_token": class_token})
    stage = Section((Block.of("transformer_encoder", {"heads": 2}),))
    head = Section((Block.of("token_classifier", {"pool": "token" if class_token else "mean"}),))
    return Architecture((3, height, width), 10, Section((embed,)), (stage,), head)


@pytest.mark.parametrize("first", [0, 1, 2])
@pytest.mark.parametrize(("before", "after"), [((4, 4), (7, 5)), ((7, 7), (3, 3)), ((2, 3), (2, 6)), ((5, 3), (8, 1))])
def test_they_are_resized_as_pictures_are(before: tuple[int, int], after: tuple[int, int], first: int) -> None:
    weight = torch.randn(1, first + prod(before), 6, generator=torch.Generator().manual_seed(0))
    found = resized(weight, before, after)
    assert found.shape == (1, first + prod(after), 6)
    torch.testing.assert_close(found, _by_pillow(weight, before, after), rtol=0, atol=1e-5)


def test_a_series_is_a_column() -> None:
    weight = torch.randn(1, 6, 3, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(resized(weight, (5,), (9,)), _by_pillow(weight, (5, 1), (9, 1)), rtol=0, atol=1e-5)


def test_the_map_is_the_one_that_becomes_tokens() -> None:
    assert position_maps(lower(_vit(20, 15))) == {"stem.0.position": (4, 3)}


@pytest.mark.parametrize(("count", "size"), [(49, (7, 7)), (1, (1, 1)), (48, None), (0, None), (-1, None)])
def test_a_square(count: int, size: tuple[int, int] | None) -> None:
    assert square(count) == size


def test_a_network_for_larger_images_takes_them_over() -> None:
    parent, child = _vit(10, 15), _vit(20, 20)
    weights = nas.build(parent).state_dict()
    weights["stem.0.position.weight"].normal_(generator=torch.Generator().manual_seed(0))
    state, taken = nas.inherit(parent, weights, child)
    wanted = _by_pillow(weights["stem.0.position.weight"], (2, 3), (4, 4))
    torch.testing.assert_close(state["stem.0.position.weight"], wanted, rtol=0, atol=1e-5)
    assert taken.share == 1
    assert not taken.exact


def test_as_many_tokens_of_another_form_are_resized_too() -> None:
    parent, child = _vit(10, 20), _vit(20, 10)
    weights = nas.build(parent).state_dict()
    weights["stem.0.position.weight"].normal_(generator=torch.Generator().manual_seed(0))
    state, _ = nas.inherit(parent, weights, child)
    wanted = _by_pillow(weights["stem.0.position.weight"], (2, 4), (4, 2))
    torch.testing.assert_close(state["stem.0.position.weight"], wanted, rtol=0, atol=1e-5)


def test_with_a_class_token_more_they_begin_fresh() -> None:
    parent, child = _vit(10, 10, class_token=False), _vit(20, 20)
    weights = nas.build(parent).state_dict()
    state, taken = nas.inherit(parent, weights, child)
    assert state["stem.0.position.weight"].shape == (1, 17, 8)
    assert 0 < taken.share < 1


@pytest.mark.parametrize("library", ["timm", "torchvision"])
def test_published_weights_serve_other_image_sizes(library: str, tmp_path: Path) -> None:
    theirs = small.vit_tiny(library)  # of images of 64x64: a map of 4x4
    path = tmp_path / "vit.pt"
    torch.save(theirs.state_dict(), path)
    arch = nas.load_space("reference/vit_tiny_16").for_data((3, 96, 96), CLASSES, task="classification").decode({})
    ours = nas.build(arch)
    begun = begin_with(path, ours, arch, _CLASSES)
    public = theirs.state_dict()["pos_embed" if library == "timm" else "encoder.pos_embedding"]
    found = ours.state_dict()["stem.0.position.weight"]
    torch.testing.assert_close(found, _by_pillow(public, (4, 4), (6, 6)), rtol=0, atol=1e-5)
    assert begun.share == pytest.approx(1)


def test_those_of_no_square_image_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "vit.pt"
    torch.save(small.vit_tiny("timm", tokens=18).state_dict(), path)
    arch = nas.load_space("reference/vit_tiny_16").for_data((3, 64, 64), CLASSES, task="classification").decode({})
    with pytest.raises(DataError, match=r"'pos_embed' has shape \(1, 18, 192\), but 'stem.0.position.weight' \(1, 17"):
        begin_with(path, nas.build(arch), arch, _CLASSES)


def test_of_a_parent_at_another_size_they_are_not_lost() -> None:
    parent = _vit(20, 20)
    weights = nas.build(parent).state_dict()
    state, _ = nas.inherit(parent, weights, replace(parent, input_shape=(3, 20, 20)))
    assert torch.equal(state["stem.0.position.weight"], weights["stem.0.position.weight"])
