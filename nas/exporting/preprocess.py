"""What is done to a picture before a network sees it: one record, which every exported file follows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nas.errors import DataError, is_text
from nas.exporting.reading import COVER_CROP, DROP, FULL_DEPTH, READ_AS, Reading
from nas.training.tasks.registry import DEFAULT, task_named
from nas.training.tasks.task import Scale

PREPROCESS = "preprocess.json"
"""The file that a `Preprocess` stands in, in the folder of a training and in an exported one."""

Floats = NDArray[np.float32]
"""Numbers of a network, or what goes into it."""
Pixels = NDArray[np.uint8]
"""Pictures of `(pictures, height, width, channels)`."""

LEVELS = "(level / 255 - mean) / std, a channel"
"""How the 8-bit levels of a picture become the numbers that a network takes."""
LARGEST = 1e30
"""Of mean and deviation, which become numbers of 32 bits."""
_MOST = 2**16
"""Pixels along a side, and classes."""
_MOST_LEVELS = 2**28
"""Of a picture, which `nas.exporting.predict` takes no more of either."""


@dataclass(frozen=True, slots=True)
class Preprocess:
    """How a picture becomes the input of a network, and what its outputs are called."""

    shape: tuple[int, int, int]
    """`(channels, height, width)` that a picture is first brought to, as 8-bit levels: what the data set has."""
    mean: tuple[float, ...]
    """Subtracted, a channel, in units of full white = 1."""
    std: tuple[float, ...]
    """Divided by, a channel, in units of full white = 1."""
    classes: tuple[str, ...]
    """Names of the network's outputs, in order."""
    network_size: tuple[int, int] | None = None
    """Height and width that the normalised picture is then resized to; None: those of `shape`."""
    resize: str = COVER_CROP
    """How a picture is brought to `shape`: one of `nas.exporting.reading.RESIZES`."""
    background: str = DROP
    """That transparency is laid on, as `#rrggbb`; or `nas.exporting.reading.DROP`."""
    depth: int = FULL_DEPTH
    """Bits of the levels of files with 16 bits a level."""
    normalise: str = LEVELS
    """What is done to its levels then."""
    task: str = DEFAULT.name
    """What the network was trained for, by the name of `nas.training.tasks`."""
    target_mean: tuple[float, ...] = ()
    """Of numbers that are told: an output of the network times `target_std` and this added is in their own units."""
    target_std: tuple[float, ...] = ()
    """See `target_mean`; both are empty where the task has no scale."""

    def __post_init__(self) -> None:
        channels = self.shape[0] if len(self.shape) == 3 else 0
        _check(len(self.shape) == 3 and all(0 < n <= _MOST for n in self.shape), "shape", "3 sizes > 0", self.shape)
        _check(channels in (1, 3), "shape", "1 or 3 channels, then height and width", self.shape)
        _check(
            len(self.mean) == channels and all(abs(n) <= LARGEST for n in self.mean),
            "mean",
            "a number for each channel",
            self.mean,
        )
        positive = len(self.std) == channels and all(0 < n <= LARGEST for n in self.std)
        _check(positive, "std", "a number > 0 for each channel", self.std)
        _check(0 < len(self.classes) <= _MOST, "classes", "a name for each output", len(self.classes))
        size = self.network_size
        _check(
            size is None or (len(size) == 2 and all(0 < n <= _MOST for n in size)), "network_size", "2 sizes > 0", size
        )
        _check(len(self.target_mean) == len(self.target_std), "target_mean", "as many as target_std", self.target_mean)
        for name in ("target_mean", "target_std"):
            numbers = getattr(self, name)
            many = len(numbers) in (0, len(self.classes)) and all(abs(n) <= LARGEST for n in numbers)
            _check(many, name, "a number for each output, or none", numbers)
        _check(all(n > 0 for n in self.target_std), "target_std", "numbers > 0", self.target_std)
        task_named(self.task)
        _check(self.normalise == LEVELS, "normalise", LEVELS, self.normalise)
        _check(prod(self.shape) <= _MOST_LEVELS, "shape", f"at most {_MOST_LEVELS:,} levels", self.shape)
        _check(all(map(is_text, self.classes)), "classes", "names that can be written as UTF-8", self.classes)
        try:
            self.reading  # noqa: B018  # it checks what it is made of
        except ValueError as error:
            raise DataError(f"preprocess.{error}") from None

    @property
    def kind(self) -> str:
        """What it is of: no series, which have a record of their own."""
        return "pictures"

    @property
    def noun(self) -> str:
        """What one of them is called."""
        return "picture"

    @property
    def one(self) -> str:
        """One of them, in words."""
        return f"picture of {self.shape[2]}x{self.shape[1]} pixels"

    @property
    def extreme_words(self) -> str:
        """What `extremes` are, in words."""
        return "a black and a white picture"

    def blank(self) -> Pixels:
        """Return a black picture as the exported model takes it, of the size of `shape`."""
        channels, height, width = self.shape
        return np.zeros((1, height, width, channels), dtype=np.uint8)

    def extremes(self) -> Pixels:
        """Return a black and a white picture likewise, of a size that the model brings to that of `shape`."""
        channels, height, width = self.shape
        black = np.zeros((2, height + 1, width + 2, channels), dtype=np.uint8)
        black[1] = 255
        return black

    @property
    def reading(self) -> Reading:
        """How the file of a picture becomes 8-bit levels of `shape`."""
        return Reading(self.shape, self.background, self.depth, self.resize)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the network's input."""
        return self.network_size or (self.shape[1], self.shape[2])

    @property
    def gives(self) -> tuple[int, ...]:
        """Shape of what an exported model gives for a picture."""
        return task_named(self.task).out_shapes(len(self.classes), self.shape[1:])[0]

    @property
    def network_gives(self) -> tuple[int, ...]:
        """Shape of what the network alone gives for a picture."""
        return task_named(self.task).out_shapes(len(self.classes), self.size)[0]

    @property
    def scale(self) -> Scale | None:
        """Of the numbers that are told; None where the task has none."""
        return Scale(self.target_mean, self.target_std) if self.target_mean else None

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, values: object) -> Preprocess:
        """Read what `to_dict` wrote.

        Raises:
            DataError: a name that is missing or unknown, or a value that cannot be; with the rule and the value.
        """
        names = {field.name for field in fields(cls)}
        if not isinstance(values, Mapping) or not {"shape", "mean", "std", "classes"} <= values.keys() <= names:
            given = sorted(map(str, values)) if isinstance(values, Mapping) else f"{values!r:.80}"
            raise DataError(f"preprocess must have shape, mean, std, classes of {sorted(names)}, but got {given}")
        size = values.get("network_size")
        return cls(
            shape=_three(_numbers("shape", values["shape"], int)),
            mean=_numbers("mean", values["mean"], float),
            std=_numbers("std", values["std"], float),
            classes=_names(values["classes"]),
            network_size=None if size is None else _two(_numbers("network_size", size, int)),
            **{name: values[name] for name in READ_AS if name in values},
            task=values.get("task", DEFAULT.name),
            target_mean=_numbers("target_mean", values.get("target_mean", ()), float),
            target_std=_numbers("target_std", values.get("target_std", ()), float),
            normalise=str(values.get("normalise", LEVELS)),  # none in files from before it was said
        )

    def levels(self) -> tuple[Floats, Floats]:
        """Return mean and standard deviation in grey levels, where full white is 255, of `(channels, 1, 1)`."""
        white = np.float32(255)
        mean, std = (np.array(values, dtype=np.float32).reshape(-1, 1, 1) * white for values in (self.mean, self.std))
        return mean, std

    def resizing(self) -> tuple[Floats, Floats] | None:
        """Return what a picture is multiplied by, from the left and from the right, to get the network's size.

        None where it has that size already.
        """
        if self.size == self.shape[1:]:
            return None
        rows, columns = (resize_matrix(*sizes) for sizes in zip(self.shape[1:], self.size, strict=True))
        return np.ascontiguousarray(rows.T), columns

    def network_input(self, pixels: Pixels) -> Floats:
        """Return what the network takes of pictures that are brought to `shape` already.

        Args:
            pixels: `(pictures, height, width, channels)`.

        Returns:
            `(pictures, channels, *size)`: normalised, then resized.
        """
        mean, std = self.levels()
        inputs: Floats = (pixels.transpose(0, 3, 1, 2).astype(np.float32) - mean) / std
        resizing = self.resizing()
        return np.ascontiguousarray(inputs if resizing is None else resizing[0] @ inputs @ resizing[1])


def resize_matrix(before: int, after: int) -> Floats:
    """Return the matrix `(before, after)` that resizes a row: bilinear, antialiased where it becomes smaller.

    The filter is Pillow's, and that of torch's `interpolate(mode="bilinear", antialias=True)`: a triangle that is as
    wide as a new pixel, or as an old one where that is wider, cut off at the edges.
    """
    scale = before / after
    reach = max(scale, 1.0)
    matrix = np.zeros((before, after), dtype=np.float64)
    for place in range(after):
        centre = scale * (place + 0.5)
        first, last = max(int(centre - reach + 0.5), 0), min(int(centre + reach + 0.5), before)
        weights = np.maximum(0, 1 - np.abs(np.arange(first, last) + 0.5 - centre) / reach)
        matrix[first:last, place] = weights / weights.sum()
    return matrix.astype(np.float32)


def _check(holds: bool, name: str, rule: str, value: object) -> None:
    if not holds:
        raise DataError(f"preprocess.{name} must be {rule}, but got {value!r:.80}")


def _numbers(name: str, values: object, kind: type) -> tuple[Any, ...]:
    kinds = (int,) if kind is int else (int, float)
    _check(
        isinstance(values, list | tuple) and all(type(value) in kinds for value in values),
        name,
        "a list of whole numbers" if kind is int else "a list of numbers",
        values,
    )
    assert isinstance(values, list | tuple)
    try:
        return tuple(map(kind, values))
    except OverflowError:
        raise DataError(f"preprocess.{name} must be numbers of at most 1.8e308, but got {values!r:.80}") from None


def _names(values: object) -> tuple[str, ...]:
    _check(
        isinstance(values, list | tuple) and all(isinstance(value, str) for value in values),
        "classes",
        "a list of names",
        values,
    )
    assert isinstance(values, list | tuple)
    return tuple(values)


def _three(values: tuple[Any, ...]) -> tuple[int, int, int]:
    _check(len(values) == 3, "shape", "channels, height and width", values)
    return values[0], values[1], values[2]


def _two(values: tuple[Any, ...]) -> tuple[int, int]:
    _check(len(values) == 2, "network_size", "height and width", values)
    return values[0], values[1]
