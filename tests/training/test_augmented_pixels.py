"""What is drawn for a batch and done to it: sizes, distributions, order, independence of images."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from nas.errors import ConfigError, DataError
from nas.training.data import pixel_operations as operations
from nas.training.data.augmented_pixels import Policy, augmented, drawn_crops, drawn_maps, drawn_policy
from nas.training.recipe import Recipe

SETTINGS: dict[str, dict[str, Any]] = {
    "vertical": {"flip_vertical": True},
    "crop": {"crop_scale": 0.2},
    "rotation": {"rotation": 40.0},
    "brightness": {"brightness": 0.6},
    "contrast": {"contrast": 0.6},
    "saturation": {"saturation": 0.6},
    "hue": {"hue": 0.3},
    "rand": {"rand_augment": 2, "rand_augment_magnitude": 15},
    "trivial": {"trivial_augment": True},
}
_NAMES = ["identity", "autocontrast", "equalize", "rotate", "shear_x", "shear_y", "translate_x", "translate_y"]
_NAMES += ["brightness", "contrast", "saturation", "sharpness", "posterize", "solarize"]


def _rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def _images(count: int, channels: int = 3, size: tuple[int, int] = (12, 10)) -> Tensor:
    return torch.from_numpy(_rng(9).integers(0, 256, (count, channels, *size)).astype(np.uint8))


def _smooth(count: int, size: tuple[int, int] = (40, 40)) -> Tensor:
    """Images without sharp edges, which are the same by any way to resample them."""
    rows, columns = np.mgrid[: size[0], : size[1]]
    image = 120 + 60 * np.sin(rows / 9) + 50 * np.cos(columns / 7 + rows / 15)
    return torch.from_numpy(image.astype(np.uint8)).expand(count, 1, *size)


def test_a_recipe_that_asks_for_nothing_changes_and_draws_nothing() -> None:
    pixels, rng = _images(4), _rng()
    before = rng.bit_generator.state
    assert augmented(pixels, Recipe(), rng) is pixels
    assert rng.bit_generator.state == before


@pytest.mark.parametrize("name", SETTINGS)
def test_each_image_is_changed_by_numbers_of_its_own(name: str) -> None:
    """Equal images come out different; the same numbers give the same, and what is given stays as it is."""
    pixels = _images(1).repeat(32, 1, 1, 1)
    before, recipe = pixels.clone(), Recipe(**SETTINGS[name])
    found = augmented(pixels, recipe, _rng(1))
    assert found.dtype == torch.uint8
    assert found.shape == pixels.shape
    assert torch.equal(pixels, before)
    assert torch.equal(found, augmented(pixels, recipe, _rng(1)))
    assert not torch.equal(found, augmented(pixels, recipe, _rng(2)))
    assert len({image.numpy().tobytes() for image in found}) >= (2 if name == "vertical" else 15)


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("shape", [(1, 1, 64), (1, 8, 8), (4, 2, 2)])
def test_series_grey_and_many_channels(name: str, shape: tuple[int, int, int]) -> None:
    """Images of one row and of other numbers of channels; those have neither saturation nor hue."""
    pixels = _images(16, shape[0], shape[1:])
    found = augmented(pixels, Recipe(**SETTINGS[name]), _rng(1))
    assert found.shape == pixels.shape
    none = name in {"saturation", "hue"} or (name == "vertical" and shape[1] == 1)
    assert torch.equal(found, pixels) == none


@pytest.mark.parametrize("name", SETTINGS)
def test_what_is_no_image_of_8_bits_is_refused(name: str) -> None:
    """A series in one dimension, and values that are no levels; where nothing is to be done they may pass."""
    for values in (torch.zeros(2, 3, 64, dtype=torch.uint8), torch.zeros(2, 3, 8, 8)):
        assert augmented(values, Recipe(erase=0.5), _rng()) is values
        with pytest.raises(
            DataError, match=r"are for images of 8 bits .* but got torch\.(uint8 of \(3, 64\)|float32 of)"
        ):
            augmented(values, Recipe(**SETTINGS[name]), _rng())


def test_half_of_the_images_are_upside_down() -> None:
    pixels = _images(400)
    found = augmented(pixels, Recipe(flip_vertical=True), _rng())
    turned = (found == pixels.flip(-2)).flatten(1).all(1)
    same = (found == pixels).flatten(1).all(1)
    assert (turned ^ same).all()
    assert 150 < turned.sum() < 250  # binomial(400, 1/2): outside with probability 1e-6


@pytest.mark.parametrize("degrees", [30.0, 90.0, -45.0])
def test_a_rotation_is_that_of_pillow(degrees: float) -> None:
    """About the centre, against the clock; within the circle that no edge comes into."""

    class Fixed(np.random.Generator):
        def uniform(self, *_: object, **__: object) -> Any:
            return np.array([degrees])

    pixels = _smooth(1)
    maps = drawn_maps(Recipe(rotation=180.0), drawn_policy(Recipe(), 1, 1, _rng()), 40, 40, Fixed(np.random.PCG64(0)))
    found = operations.resampled(pixels, torch.from_numpy(maps[:, :2]).float())[0, 0].int()
    picture = Image.fromarray(pixels[0, 0].numpy()).rotate(degrees, Image.Resampling.BILINEAR)
    rows, columns = np.mgrid[:40, :40] - 19.5
    inside = torch.from_numpy(rows**2 + columns**2 < 18**2)
    assert (found - torch.from_numpy(np.array(picture)).int()).abs()[inside].max() <= 1


@pytest.mark.parametrize("amount", [0.3, -0.99])
@pytest.mark.parametrize("name", ["shear_x", "shear_y", "translate_x", "translate_y"])
def test_what_a_policy_moves_is_moved_as_by_pillow(name: str, amount: float) -> None:
    """By its affine transform, in pixels from the corner; sheared about the centre; where no edge is near."""
    pixels, moved = _smooth(1, (40, 60)), 0.2 * amount
    policy = Policy(np.array([[_NAMES.index(name)]]), np.array([[amount if "shear" in name else moved]]))
    maps = drawn_maps(Recipe(), policy, 40, 60, _rng())
    found = operations.resampled(pixels, torch.from_numpy(maps[:, :2]).float())[0, 0].int()
    data = {
        "shear_x": (1, amount, -20 * amount, 0, 1, 0),
        "shear_y": (1, 0, 0, amount, 1, -30 * amount),
        "translate_x": (1, 0, 60 * moved, 0, 1, 0),
        "translate_y": (1, 0, 0, 0, 1, 40 * moved),
    }[name]
    picture = Image.fromarray(pixels[0, 0].numpy()).transform(
        (60, 40), Image.Transform.AFFINE, data, Image.Resampling.BILINEAR
    )
    inner = (slice(10, 30), slice(20, 40))
    assert (found - torch.from_numpy(np.array(picture)).int()).abs()[inner].max() <= 1


def test_a_turned_image_that_is_not_square_keeps_its_angles() -> None:
    """A quarter turn of 20 by 40 pixels shows the middle 20 by 20 turned; `rot90` goes against the clock too."""
    pixels = _smooth(1, (20, 40))
    policy = drawn_policy(Recipe(), 1, 1, _rng())
    angles = drawn_maps(Recipe(rotation=90.0), policy, 20, 40, _rng(3))
    scale = angles[0, 0, 1] / angles[0, 1, 0]
    assert scale == pytest.approx(-((20 / 40) ** 2)), (
        "sine times height over width against sine times width over height"
    )
    quarter = torch.tensor([[[0, -20 / 40, 0], [40 / 20, 0, 0]]])
    found = operations.resampled(pixels, quarter)
    assert torch.equal(found[0, 0, :, 10:30], torch.rot90(pixels[0, 0, :, 10:30], 1))


def test_rotations_are_drawn_evenly() -> None:
    maps = drawn_maps(Recipe(rotation=40.0), drawn_policy(Recipe(), 4000, 3, _rng()), 8, 8, _rng())
    degrees = np.degrees(np.arcsin(maps[:, 1, 0]))
    assert np.abs(degrees).max() <= 40
    assert np.histogram(degrees, 8, (-40, 40))[0] == pytest.approx(500, abs=120)  # binomial: 5.7 deviations


@pytest.mark.parametrize("size", [(32, 32), (24, 48)])
def test_crops_have_the_sizes_of_the_paper(size: tuple[int, int]) -> None:
    """8 % to all of the area, sides of 3/4 to 4/3, anywhere inside."""
    crops = drawn_crops(Recipe(crop_scale=0.08), 4000, *size, _rng())
    across, down = crops[:, 0, 0], crops[:, 1, 1]
    area, ratio = across * down, across * size[1] / (down * size[0])
    assert np.histogram(area, 4, (0.08, 1))[0] == pytest.approx(1000, abs=160)
    assert area.min() >= 0.08
    fits = area < 0.75 * min(size) / max(size)  # where the image limits no ratio
    assert ratio[fits].min() == pytest.approx(3 / 4, abs=0.01)
    assert ratio[fits].max() == pytest.approx(4 / 3, abs=0.02)
    assert np.log(ratio[fits]).mean() == pytest.approx(0, abs=0.03)
    for side, middle in ((across, crops[:, 0, 2]), (down, crops[:, 1, 2])):
        assert (side <= 1 + 1e-12).all()
        assert (np.abs(middle) + side <= 1 + 1e-12).all()
        loose = side < 0.9
        assert np.std(middle[loose] / (1 - side[loose])) == pytest.approx(3**-0.5, abs=0.02), "even from -1 to 1"


def test_a_crop_shows_its_part_of_the_image() -> None:
    """Values that rise by a level a pixel say where a pixel of the crop is from."""
    image = torch.arange(100, dtype=torch.uint8).view(1, 1, 1, 100).repeat(50, 1, 100, 1)
    found = augmented(image, Recipe(crop_scale=0.3), _rng(4))[:, 0, 50].double().numpy()
    crops = drawn_crops(Recipe(crop_scale=0.3), 50, 100, 100, _rng(4))
    places = (np.arange(100) + 0.5) / 50 - 1
    expected = (crops[:, 0, :1] * places + crops[:, 0, 2:] + 1) * 50 - 0.5
    assert np.abs(found - expected.clip(0, 99)).max() <= 0.51


@pytest.mark.parametrize(
    ("name", "operation"), [("brightness", operations.brightened), ("contrast", operations.contrasted)]
)
def test_factors_are_drawn_evenly_about_one(name: str, operation: Any) -> None:
    """The factor that gives an image back is the one that was drawn."""
    pixels = torch.tensor([50, 150], dtype=torch.uint8).view(1, 1, 1, 2).repeat(3000, 1, 1, 1)
    recipe = Recipe(brightness=0.5) if name == "brightness" else Recipe(contrast=0.5)
    found = augmented(pixels, recipe, _rng()).double()
    dark, light = found[:, 0, 0].unbind(1)
    factors = dark / 50 if name == "brightness" else (light - dark) / 100
    assert 0.48 <= factors.min() < 0.53
    assert 1.47 < factors.max() <= 1.52
    assert np.histogram(factors, 4, (0.48, 1.52))[0] == pytest.approx(750, abs=140)
    assert torch.equal(found[:1].to(torch.uint8), operation(pixels[:1], factors[:1].float()))


def test_trivial_augment_draws_operation_magnitude_and_sign_evenly() -> None:
    """Mueller & Hutter 2021: the wide ranges, and 31 magnitudes."""
    policy = drawn_policy(Recipe(trivial_augment=True), 42_000, 3, _rng())
    assert policy.which.shape == (1, 42_000)
    counts = Counter(policy.which[0].tolist())
    assert len(counts) == 14
    assert list(counts.values()) == pytest.approx([3000] * 14, abs=300)
    ends = {
        "rotate": (-135, 135),
        "shear_x": (-0.99, 0.99),
        "shear_y": (-0.99, 0.99),
        "brightness": (0.01, 1.99),
        "contrast": (0.01, 1.99),
        "saturation": (0.01, 1.99),
        "sharpness": (0.01, 1.99),
        "posterize": (2, 8),
        "solarize": (0, 256),
    }
    for name, (low, high) in ends.items():
        drawn = policy.amount[policy.which == _NAMES.index(name)]
        assert drawn.min() == pytest.approx(low)
        assert drawn.max() == pytest.approx(high)
        assert len(np.unique(drawn.round(9))) == (31 if name in {"posterize", "solarize"} else 61)
        assert drawn.mean() == pytest.approx((low + high) / 2, abs=0.05 * (high - low))


def test_rand_augment_draws_operations_of_one_magnitude() -> None:
    """A third of the way to 30 degrees and so on; grey images have no saturation."""
    recipe = Recipe(rand_augment=3, rand_augment_magnitude=10)
    policy = drawn_policy(recipe, 5000, 3, _rng())
    assert policy.which.shape == (3, 5000)
    found = {name: set(policy.amount[policy.which == place].round(6)) for place, name in enumerate(_NAMES)}
    assert found["rotate"] == {-10, 10}
    assert found["shear_x"] == found["shear_y"] == {-0.1, 0.1}
    assert found["translate_x"] == found["translate_y"] == {-round(50 / 331, 6), round(50 / 331, 6)}
    assert found["brightness"] == found["contrast"] == found["saturation"] == found["sharpness"] == {0.7, 1.3}
    assert found["posterize"] == {round(8 - 4 / 3, 6)}
    assert found["solarize"] == {round(256 * 2 / 3, 6)}
    assert (policy.which[0] != policy.which[1]).mean() == pytest.approx(13 / 14, abs=0.02)
    grey = drawn_policy(recipe, 5000, 1, _rng())
    assert set(np.unique(grey.which)) == set(range(14)) - {_NAMES.index("saturation")}


def test_what_a_policy_says_is_done() -> None:
    """Each image comes out as its own operation makes it of that image alone."""
    pixels, recipe = _images(200, size=(16, 20)), Recipe(trivial_augment=True)
    policy, found = drawn_policy(recipe, 200, 3, _rng(5)), augmented(pixels, recipe, _rng(5))
    change: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
        "autocontrast": lambda image, _: operations.autocontrasted(image),
        "equalize": lambda image, _: operations.equalized(image),
        "brightness": operations.brightened,
        "contrast": operations.contrasted,
        "saturation": operations.saturated,
        "sharpness": operations.sharpened,
        "posterize": operations.posterized,
        "solarize": operations.solarized,
    }
    places: dict[str, Callable[[float], list[list[float]]]] = {
        # Of a place in halves of 16 by 20 pixels.
        "shear_x": lambda amount: [[1, amount * 16 / 20, 0], [0, 1, 0]],
        "shear_y": lambda amount: [[1, 0, 0], [amount * 20 / 16, 1, 0]],
        "translate_x": lambda amount: [[1, 0, 2 * amount], [0, 1, 0]],
        "translate_y": lambda amount: [[1, 0, 0], [0, 1, 2 * amount]],
        "rotate": lambda amount: [
            [np.cos(np.radians(amount)), -np.sin(np.radians(amount)) * 16 / 20, 0],
            [np.sin(np.radians(amount)) * 20 / 16, np.cos(np.radians(amount)), 0],
        ],
        "identity": lambda _: [[1, 0, 0], [0, 1, 0]],
    }
    seen = set()
    for number, (place, amount) in enumerate(zip(policy.which[0], policy.amount[0], strict=True)):
        name, image = _NAMES[place], pixels[number : number + 1]
        if name in change:
            expected = change[name](image, torch.tensor([amount]).float())
        else:
            expected = operations.resampled(image, torch.tensor([places[name](amount)]).float())
        assert (found[number].int() - expected[0].int()).abs().max() <= (0 if name in change else 1), name
        seen.add(name)
    assert seen == set(_NAMES)


def test_a_crop_comes_before_a_rotation_and_what_a_policy_moves() -> None:
    """The product of the maps, in the order of what is done to the image."""
    recipe = Recipe(crop_scale=0.4, rotation=20.0, rand_augment=2)
    policy, rng = drawn_policy(recipe, 3000, 1, _rng(1)), _rng(2)
    maps = drawn_maps(recipe, policy, 8, 8, _rng(2))
    crops = drawn_crops(recipe, 3000, 8, 8, rng)
    turned = rng.uniform(-20, 20, 3000)
    first, second = (
        np.where(policy.which[row] == _NAMES.index("translate_x"), policy.amount[row], 0.0) for row in (0, 1)
    )
    still = np.isin(policy.which, [3, 4, 5, 7]).sum(0) == 0  # only moved to the side, if at all
    assert (still & (first != 0) & (second != 0)).any()
    cosine, sine = np.cos(np.radians(turned)), np.sin(np.radians(turned))
    # The middle of the result is so far right of that of the turned crop, which is `crops` about its own centre.
    along = 2 * (first + second)
    assert maps[still, 0, 2] == pytest.approx((crops[:, 0, 2] + crops[:, 0, 0] * cosine * along)[still])
    assert maps[still, 1, 2] == pytest.approx((crops[:, 1, 2] + crops[:, 1, 1] * sine * along)[still])


def test_two_policies_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"train\.rand_augment and train\.trivial_augment .* set one of them"):
        Recipe(rand_augment=2, trivial_augment=True)
    for wrong in ({"crop_scale": 0.0}, {"crop_ratio": 1.5}, {"rotation": 181}, {"hue": 0.6}, {"rand_augment": -1}):
        with pytest.raises(ConfigError, match=f"train.{next(iter(wrong))}"):
            Recipe(**wrong)
