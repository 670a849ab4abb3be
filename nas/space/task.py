"""What a network is for, and the check that its outputs fit that."""

from __future__ import annotations

from typing import Literal

from nas.cost import output_shapes
from nas.errors import ShapeError
from nas.network.architecture import Architecture
from nas.network.ops import Shape, kind_of
from nas.network.ops.base import by

Task = Literal["classification", "segmentation", "open", "any"]
"""What a network is for. `classification`: it gives one number for each class. `segmentation`: it gives one map for
each class, as large as its input. `open`: not stated; it may also end in
maps or tokens, as for segmentation, detection or as a part of something larger, but features are one number for each
class. `any`: it is only examined, so its outputs are not checked."""

_CLASSIFIERS = frozenset({"classifier", "conv_classifier", "token_classifier"})
"""Blocks that give one number a class whatever they read."""
_ENDS = {"map": "`classifier`", "tokens": "`token_classifier`", "features": "`classifier` with pool null"}


def check_task(arch: Architecture, task: Task) -> None:
    """Raise `ShapeError`, at the last block, where a network's outputs do not fit its task, or it is no network."""
    blocks = [(f"{name}.{i}", block) for name, section in arch.sections() for i, block in enumerate(section.blocks)]
    where, kind = (blocks[-1][0], blocks[-1][1].kind) if blocks else ("head", "")
    if task == "any" or (kind in _CLASSIFIERS and task != "segmentation"):
        return
    shapes = output_shapes(arch)
    if task == "segmentation":
        _check_maps(arch, shapes, where)
        return
    one_per_class = ((arch.num_classes,),)
    if shapes == one_per_class or (task == "open" and any(kind_of(shape) != "features" for shape in shapes)):
        return
    gives = " and ".join(f"{kind_of(shape)} {by(shape)}" for shape in shapes)
    number = "" if len(shapes) == 1 else f"{len(shapes)} outputs, "
    raise ShapeError(
        f"the network gives {number}{gives}, but the data ask for one output of {arch.num_classes} numbers, one a "
        f"class; {_ENDS[kind_of(shapes[-1])]} ends in them"
    ).inside(where)


def _check_maps(arch: Architecture, shapes: tuple[Shape, ...], where: str) -> None:
    """Raise `ShapeError` where these are something else than a map a class of the size of the input."""
    wanted = (arch.num_classes, *arch.input_shape[1:])
    if shapes != (wanted,):
        gives = " and ".join(f"{kind_of(shape)} {by(shape)}" for shape in shapes)
        raise ShapeError(
            f"the network gives {gives}, but the data ask for a map of {by(wanted)}, {arch.num_classes} classes for "
            "each pixel of its input; `pixel_classifier` ends in classes, `upsampled` around a network enlarges them"
        ).inside(where)
