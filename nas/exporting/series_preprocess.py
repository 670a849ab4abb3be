"""What is done to a series before a network sees it: one record, which every exported file follows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nas.errors import DataError, is_text
from nas.exporting.preprocess import LARGEST, Floats, Preprocess, resize_matrix
from nas.exporting.series_files import SeriesReading, mask_of
from nas.exporting.series_words import MISSING, REFUSE
from nas.training.tasks.registry import DEFAULT, task_named
from nas.training.tasks.task import Scale

SERIES = "series"
"""What the record says that it is of."""
VALUES = "(value - mean) / std, a channel; 0 where there is no value"
"""How the numbers of a series become those that a network takes."""
_MOST_VALUES, _MOST_CLASSES = 2**26, 2**16
"""Of a series, and of what is told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesPreprocess:
    """How a series becomes the input of a network, and what its outputs are called."""

    kind: str = SERIES
    channels: int
    """Of a series, without the mask."""
    length: int
    """Steps that a series is brought to: longer ones are cut at their end, at the end of shorter ones steps are absent,
    which is NaN in the input of the exported model."""
    mean: tuple[float, ...]
    """Subtracted, a channel."""
    std: tuple[float, ...]
    """Divided by, a channel."""
    classes: tuple[str, ...]
    """Names of the network's outputs, in order."""
    mask: bool = False
    """Whether the network takes one channel more: 1 at steps where any channel has a value, else 0."""
    missing: str = REFUSE
    """What was done to missing values in training: `refuse`, or `mean`, which is 0 when it is normalised."""
    network_length: int | None = None
    """Steps that the normalised series is then resized to, mask and all; None: `length`."""
    normalise: str = VALUES
    """What is done to its values."""
    task: str = DEFAULT.name
    """What the network was trained for, by the name of `nas.training.tasks`."""

    def __post_init__(self) -> None:
        _check(self.kind == SERIES, "kind", SERIES, self.kind)
        for name in ("channels", "length", "network_length"):
            size = getattr(self, name)
            whole = type(size) is int and 0 < size <= _MOST_VALUES
            _check(whole or (size is None and name == "network_length"), name, "a whole number > 0", size)
        _check(self.channels * self.length <= _MOST_VALUES, "length", f"at most {_MOST_VALUES:,} values", self.length)
        many = len(self.mean) == len(self.std) == self.channels
        _check(many and all(abs(n) <= LARGEST for n in self.mean), "mean", "a number for each channel", self.mean)
        _check(all(0 < n <= LARGEST for n in self.std), "std", "a number > 0 for each channel", self.std)
        _check(0 < len(self.classes) <= _MOST_CLASSES, "classes", "a name for each output", len(self.classes))
        _check(all(map(is_text, self.classes)), "classes", "names that can be written as UTF-8", self.classes)
        _check(isinstance(self.mask, bool), "mask", "true or false", self.mask)
        _check(self.missing in MISSING, "missing", " or ".join(MISSING), self.missing)
        _check(self.normalise == VALUES, "normalise", VALUES, self.normalise)
        _check(not task_named(self.task).dense, "task", "one with an answer for a whole series", self.task)

    @property
    def noun(self) -> str:
        """What one of them is called."""
        return self.kind

    @property
    def one(self) -> str:
        """One of them, in words."""
        return f"series of {self.channels}x{self.length} values"

    @property
    def extreme_words(self) -> str:
        """What `extremes` are, in words."""
        return "series of 0 and of what lies three deviations above the mean"

    def blank(self) -> Floats:
        """Return a series of 0 as the exported model takes it, of the length of `shape`."""
        return np.zeros((1, self.channels, self.length), dtype=np.float32)

    def extremes(self) -> Floats:
        """Return two series likewise, which are longer where the model takes any length."""
        high = np.array(self.mean, dtype=np.float64) + 3 * np.array(self.std, dtype=np.float64)
        values = np.stack([np.zeros_like(high), high])[:, :, None]
        return np.repeat(values, self.length + 3 * self.mask, axis=2).astype(np.float32)

    @property
    def reading(self) -> SeriesReading:
        """How series are brought to one length."""
        return SeriesReading(self.channels, self.length, self.mask, self.missing)

    @property
    def shape(self) -> tuple[int, int]:
        """`(channels, length)` of what the data are read as: with the mask, where there is one."""
        return self.channels + self.mask, self.length

    @property
    def size(self) -> tuple[int]:
        """Length of the network's input."""
        return (self.network_length or self.length,)

    @property
    def gives(self) -> tuple[int, ...]:
        """Shape of what an exported model gives for a series."""
        return (len(self.classes),)

    @property
    def network_gives(self) -> tuple[int, ...]:
        """Shape of what the network alone gives for a series."""
        return self.gives

    @property
    def scale(self) -> Scale | None:
        """None: numbers are not learned of series."""
        return None

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> SeriesPreprocess:
        """Read what `to_dict` wrote.

        Raises:
            DataError: a name that is missing or unknown, or a value that cannot be; with the rule and the value.
        """
        names, needed = {field.name for field in fields(cls)}, {"channels", "length", "mean", "std", "classes"}
        if not needed <= values.keys() <= names:
            given = sorted(map(str, values))
            raise DataError(f"preprocess of series must have {sorted(needed)} of {sorted(names)}, but got {given}")
        numbers = {name: _numbers(name, values[name]) for name in ("mean", "std")}
        classes = values["classes"]
        named = isinstance(classes, list | tuple) and all(isinstance(name, str) for name in classes)
        _check(named, "classes", "a list of names", classes)
        return cls(**{**values, **numbers, "classes": tuple(classes)})

    def resizing(self) -> Floats | None:
        """Return what series are multiplied by from the right to get the network's length; None where they have it."""
        return None if self.size[0] == self.length else resize_matrix(self.length, self.size[0])

    def network_input(self, series: NDArray[np.float32]) -> Floats:
        """Return what the network takes of series that are brought to `length` already.

        Args:
            series: `(n, channels, length)`, NaN where there is no value.

        Returns:
            `(n, channels, *size)`, with the mask as the last channel where there is one.
        """
        mean, std = (np.array(values, dtype=np.float32).reshape(-1, 1) for values in (self.mean, self.std))
        inputs = np.nan_to_num((series - mean) / std, nan=0.0)
        if self.mask:
            inputs = np.concatenate([inputs, mask_of(series)], axis=1)
        resizing = self.resizing()
        return np.ascontiguousarray(inputs if resizing is None else inputs @ resizing, dtype=np.float32)


AnyPreprocess = Preprocess | SeriesPreprocess
"""What is done to pictures, or to series."""


def preprocess_from(values: object) -> AnyPreprocess:
    """Read what `to_dict` of either wrote; raises `DataError` for anything else."""
    if isinstance(values, Mapping) and values.get("kind") == SERIES:
        return SeriesPreprocess.from_dict(values)
    return Preprocess.from_dict(values)


def _check(holds: bool, name: str, rule: str, value: object) -> None:
    if not holds:
        raise DataError(f"preprocess.{name} must be {rule}, but got {value!r:.80}")


def _numbers(name: str, values: object) -> tuple[float, ...]:
    listed = isinstance(values, list | tuple) and all(type(value) in (int, float) for value in values)
    _check(listed, name, "a list of numbers", values)
    assert isinstance(values, list | tuple)
    try:
        return tuple(map(float, values))
    except OverflowError:
        raise DataError(f"preprocess.{name} must be numbers of at most 1.8e308, but got {values!r:.80}") from None
