"""Operations on the pixels of a whole batch, in which each image has a parameter of its own.

Pixels are uint8 of shape `(batch, channels, height, width)`, before and after; parameters are float32 of shape
`(batch,)` on the same device. No operation looks at a value, so that a GPU is never waited for. What they compute is
what Pillow does (`ImageOps`, `ImageEnhance`), which the papers' own code calls, to within a level of brightness.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

_LEVELS = 256


def resampled(pixels: Tensor, maps: Tensor, mode: str = "bilinear") -> Tensor:
    """Return images moved, turned, sheared or cropped; edge pixels fill gaps.

    Args:
        pixels: the images.
        maps: `(batch, 2, 3)`; each takes a place `(x, y, 1)` of the result to the place `(x, y)` of the image where its
            value is from. Places run from -1 to 1 between the outer edges, x to the right and y down.
        mode: bilinear, or nearest, for numbers that are names, such as those of classes.
    """
    grid = F.affine_grid(maps, list(pixels.shape), align_corners=False)
    found = F.grid_sample(pixels.float(), grid, mode=mode, padding_mode="border", align_corners=False)
    return _rounded(found)


def brightened(pixels: Tensor, factor: Tensor) -> Tensor:
    """Multiply all values: 0 gives black, 1 the image itself."""
    return _rounded(pixels * _each(factor))


def contrasted(pixels: Tensor, factor: Tensor) -> Tensor:
    """Move values away from the mean grey of the image: 0 gives that grey alone, 1 the image itself."""
    grey = _grey(pixels).mean((1, 2, 3), keepdim=True)
    return _rounded(torch.lerp(grey.expand(pixels.shape), pixels.float(), _each(factor)))


def saturated(pixels: Tensor, factor: Tensor) -> Tensor:
    """Move colours away from the grey of the same pixel: 0 gives a grey image, 1 the image itself."""
    return _rounded(torch.lerp(_grey(pixels).expand(pixels.shape), pixels.float(), _each(factor)))


def sharpened(pixels: Tensor, factor: Tensor) -> Tensor:
    """Move values away from a smoothed image: 0 gives that one, 1 the image itself. Outermost pixels stay as they are.

    It is smoothed by a kernel of 3 by 3 that has a weight of 5 in the middle and 1 around it.
    """
    if min(pixels.shape[2:]) < 3:
        return pixels
    values = pixels.float()
    smooth = values.clone()
    inner = values[:, :, 1:-1, 1:-1]
    smooth[:, :, 1:-1, 1:-1] = (9 * F.avg_pool2d(values, 3, stride=1) + 4 * inner) / 13
    return _rounded(torch.lerp(smooth, values, _each(factor)))


def hue_turned(pixels: Tensor, turn: Tensor) -> Tensor:
    """Turn the hue of images of three channels by a share of the colour circle, with value and chroma as they are.

    From and to hue, saturation and value as in Smith 1978, "Color gamut transform pairs".
    """
    values = pixels.float()
    red, green, blue = values.split(1, dim=1)
    value = values.amax(1, keepdim=True)
    chroma = value - values.amin(1, keepdim=True)
    unit = chroma.clamp_min(1)  # grey has no hue, and none is seen
    sixth = torch.where(
        value == red,
        (green - blue) / unit,
        torch.where(value == green, 2 + (blue - red) / unit, 4 + (red - green) / unit),
    )
    sixth = sixth + 6 * _each(turn)

    def channel(offset: int) -> Tensor:
        place = torch.remainder(sixth + offset, 6)
        return value - chroma * torch.minimum(place, 4 - place).clamp(0, 1)

    return _rounded(torch.cat([channel(5), channel(3), channel(1)], dim=1))


def posterized(pixels: Tensor, bits: Tensor) -> Tensor:
    """Keep the highest bits of each value, of 8; a number of bits with a fraction is rounded."""
    step = torch.exp2(8 - bits.round())
    kept = torch.div(pixels, _each(step), rounding_mode="floor") * _each(step)
    return kept.to(torch.uint8)


def solarized(pixels: Tensor, threshold: Tensor) -> Tensor:
    """Invert the values that are not below a threshold, from 0 to 256."""
    return torch.where(pixels >= _each(threshold), 255 - pixels, pixels)


def autocontrasted(pixels: Tensor) -> Tensor:
    """Stretch the values of each channel to 0 to 255; a channel of one value stays as it is."""
    values = pixels.int()
    low, high = values.amin((2, 3), keepdim=True), values.amax((2, 3), keepdim=True)
    stretched = (values - low) * 255 // (high - low).clamp_min(1)
    return torch.where(high > low, stretched, values).to(torch.uint8)


def equalized(pixels: Tensor) -> Tensor:
    """Spread the values of each channel evenly, by its histogram; as Pillow does it, to the last level."""
    flat = pixels.flatten(2).long()
    counts = torch.zeros(*flat.shape[:2], _LEVELS, dtype=torch.int64, device=pixels.device)
    counts.scatter_add_(2, flat, torch.ones_like(flat))
    # The pixels of the highest value are left out, so that they come out at 255.
    step = (flat.shape[2] - counts.gather(2, flat.amax(2, keepdim=True))) // 255
    below = counts.cumsum(2) - counts
    levels = ((below + step // 2) // step.clamp_min(1)).clamp_max(255)
    unchanged = torch.arange(_LEVELS, device=pixels.device).expand_as(levels)
    levels = torch.where(step > 0, levels, unchanged)
    return levels.gather(2, flat).view(pixels.shape).to(torch.uint8)


def _each(parameter: Tensor) -> Tensor:
    """Return `(batch,)` in a shape that goes with that of images."""
    return parameter.view(-1, 1, 1, 1)


def _rounded(values: Tensor) -> Tensor:
    return values.round().clamp(0, 255).to(torch.uint8)


def _grey(pixels: Tensor) -> Tensor:
    """Return the luma of images of three channels (ITU-R BT.601), else the mean of the channels: `(batch, 1, ...)`."""
    values = pixels.float()
    if pixels.shape[1] != 3:
        return values.mean(1, keepdim=True)
    grey: Tensor = 0.299 * values[:, :1] + 0.587 * values[:, 1:2] + 0.114 * values[:, 2:]
    return grey
