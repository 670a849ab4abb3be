"""Published networks within limits, and published networks for small images."""

from __future__ import annotations

import pytest

import nas
from nas.advise.published import Published
from nas.cost import check, constraints_from
from nas.finishing.published import FOR_SMALL_IMAGES, PublishedCandidate, published_candidates
from nas.finishing.small_inputs import halvings, without_first_strides
from nas.space.task import check_task
from tests.cost.test_goldens import ROWS

GREY, CLASSES = (1, 28, 28), 10
LIMITS = constraints_from({"params": 200_000, "macs": 8_000_000})


@pytest.fixture(scope="module")
def small() -> list[PublishedCandidate]:
    return published_candidates(GREY, CLASSES, LIMITS)


def test_at_least_20_candidates_of_6_families_hold_the_limits_of_a_small_device(
    small: list[PublishedCandidate],
) -> None:
    assert len({candidate.architecture.arch_id for candidate in small}) == len(small) >= 20
    assert len({candidate.family for candidate in small}) >= 6
    assert len({candidate.name for candidate in small}) == len(small)
    for candidate in small:
        cost = nas.cost_of(candidate.architecture)
        assert cost.params <= 200_000
        assert cost.macs <= 8_000_000
        assert cost == candidate.cost
        assert candidate.architecture.input_shape[0] == 1
        assert nas.lower(candidate.architecture).out_shapes == ((CLASSES,),)
        assert candidate.width >= 0.1


def test_families_come_in_turn(small: list[PublishedCandidate]) -> None:
    families = [candidate.family for candidate in small]
    count = len(set(families))
    assert len(set(families[:count])) == count


def test_a_candidate_is_as_wide_as_the_limits_allow() -> None:
    """Channels are multiples of 8: at .85 they are 16, 32, 56 (224,000 parameters), at .75 16, 24, 48."""
    (found,) = [
        one
        for one in published_candidates((3, 32, 32), 10, constraints_from({"params": 200_000}))
        if one.name.startswith("resnet20_cifar") and one.depth == 1 and one.architecture.input_shape[1] == 32
    ]
    assert (found.width, found.cost.params) == (0.75, 159_258)  # by hand
    (whole,) = [
        one
        for one in published_candidates((3, 32, 32), 10, constraints_from({"params": 269_722}))
        if one.name.startswith("resnet20_cifar") and one.depth == 1 and one.architecture.input_shape[1] == 32
    ]
    assert whole.width == 1
    assert whole.architecture.arch_id == nas.load_space("reference/resnet20_cifar").decode({}).arch_id


def test_without_limits_published_networks_come_as_they_are() -> None:
    found = published_candidates((3, 224, 224), 1000, ())
    assert {one.width for one in found} == {1.0}
    assert {(one.removed, one.architecture.input_shape) for one in found} == {(0, (3, 224, 224)), (0, (3, 159, 159))}
    whole = [one for one in found if one.depth == 1 and one.architecture.input_shape[1] == 224]
    by_name = {one.published.space: one for one in whole if not one.published.let}
    assert by_name["resnet50"].cost.params == 25_557_032  # torchvision's
    assert by_name["mobilenet_v2"].cost.params == 3_504_872
    assert not any(one.family == "ViT" for one in found)


def test_nothing_holds_impossible_limits() -> None:
    assert published_candidates(GREY, CLASSES, constraints_from({"params": 100})) == []


def test_small_images_get_networks_without_first_strides_or_are_enlarged(small: list[PublishedCandidate]) -> None:
    forms = {(one.removed, one.architecture.input_shape[1]) for one in small if one.published.space == "mobilenet_v2"}
    # 224 pixels are halved 5 times; a last map of 3 to 8 takes 2 or 3 strides away, or an image of 4 times the side.
    # The last form has images of half the pixels, which are tried after all others.
    assert forms <= {(2, 28), (3, 28), (0, 112), (2, 20)}
    assert (2, 28) in forms


def test_resnet18_without_its_first_strides_is_the_one_for_cifar() -> None:
    """As everybody's ResNet-18 for CIFAR-10 has it: a 3x3 stem without stride and pooling, 11,173,962 parameters."""
    arch = nas.load_space("reference/resnet18").for_data((3, 224, 224), 10).decode({})
    assert halvings(arch) == 5
    changed = without_first_strides(arch, 2)
    assert halvings(changed) == 3
    assert nas.cost_of(changed).params == 11_173_962
    # Its multiply-adds at 32 pixels, by hand: 3x3 convolutions of 64 at 32^2, 128 at 16^2, 256 at 8^2, 512 at 4^2.
    macs = 27 * 64 * 32**2 + 4 * 9 * 64 * 64 * 32**2 + 5120
    macs += sum((9 * 2 + 9 * 4 * 3 + 2) * c * c * s * s for c, s in ((64, 16), (128, 8), (256, 4)))
    shrunk = nas.scale(changed, resolution=32)
    assert nas.cost_of(shrunk).macs == macs


def test_patches_get_half_as_large_and_pools_go() -> None:
    arch = nas.load_space("reference/convnext_tiny").decode({})
    (stem,) = without_first_strides(arch, 1).stem.blocks
    assert (dict(stem.settings)["kernel"], dict(stem.settings)["stride"]) == (2, 2)
    vgg = nas.load_space("reference/vgg11").decode({})
    kinds = [[block.kind for block in stage.blocks] for stage in without_first_strides(vgg, 2).stages]
    assert ["max_pool" in stage for stage in kinds] == [False, False, True, True, True]
    assert without_first_strides(vgg, 0) == vgg


@pytest.mark.parametrize("published", FOR_SMALL_IMAGES, ids=lambda one: one.space)
def test_networks_for_small_images_are_goldens_too(published: Published) -> None:
    assert f"reference/{published.space}" in {row["space"] for row in ROWS}


def test_every_candidate_is_checked_by_the_limits_of_the_search() -> None:
    limits = constraints_from({"peak_memory_mib": 0.2, "params": (10_000, 150_000)})
    found = published_candidates(GREY, CLASSES, limits)
    assert found
    for one in found:
        assert not any(violation.rejects for violation in check(nas.cost_of(one.architecture), limits))


def test_classes_of_pixels_are_compared_with_unets() -> None:
    """Its input is enlarged to what it takes, and its width is the largest that holds the limit."""
    limits = constraints_from({"params": 500_000})
    found = published_candidates((1, 50, 33), 3, limits, segments=True)
    assert [one.architecture.input_shape for one in found] == [(1, 64, 48), (1, 48, 32)]
    for one in found:
        check_task(one.architecture, "segmentation")
        assert one.family == "U-Net"
        assert one.cost.params <= 500_000 < one.cost.params * 2.5
    assert not published_candidates((1, 50, 33), 3, constraints_from({"params": 1_000}), segments=True)


def test_series_have_published_networks_of_their_own_which_take_them_as_they_are() -> None:
    found = published_candidates((2, 50), 4, constraints_from({"params": 60_000}))
    assert {one.published.space for one in found} == {"fcn1d", "resnet1d"}
    for one in found:
        assert one.architecture.input_shape == (2, 50)
        assert nas.lower(one.architecture).out_shapes == ((4,),)
        assert one.cost == nas.cost_of(one.architecture)
        assert one.cost.params <= 60_000
    (whole, *_) = published_candidates((1, 128), 10, [])
    assert whole.architecture.arch_id == nas.load_space(f"reference/{whole.published.space}").decode({}).arch_id
