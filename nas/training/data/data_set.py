"""What a data set states of itself before it is read. Never loads torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nas.training.tasks.registry import DEFAULT
from nas.training.tasks.task import Task

if TYPE_CHECKING:
    from nas.training.data.config import DataConfig
    from nas.training.data.splits import Splits


@dataclass(frozen=True, kw_only=True)
class DataSet:
    """A data set. Each has a file of its own, listed in `nas.training.data.registry`."""

    load: Callable[[DataConfig], Splits]
    """Reads and splits it; raises `DataError`, which says how to get what is missing.

    Test images are in what it returns only while `nas.training.data.test_split` reads them.
    """
    check: Callable[[DataConfig], object] = lambda config: None
    """Looks at its files as far as that needs no torch, and caches them; raises `DataError`, which says all."""
    shape: Callable[[DataConfig], tuple[tuple[int, ...], int] | None] = lambda config: None
    """Shape of an image, `(channels, height, width)`, and number of classes, where they are known before it is read."""
    task: Callable[[DataConfig], Task] = lambda config: DEFAULT
    """What is to be learned, as its settings or a table of labels say; raises `DataError` where that cannot be read."""
    images: int | None = None
    """How many there are in all, as their authors say, where that is known."""
    resizes: bool = False
    """Whether `data.resolution` sets the size of its images."""
    has_files: bool = True
    """Whether there are files of it, which `data.root` may name; others are made, or come with a package."""
    files: bool = False
    """Whether each of its images is a file, of any kind and size that pillow reads."""
    has_test_split: bool = False
    """Whether its test split is made already, so that `data.test_fraction` has no meaning."""
    series: bool = False
    """Whether it has series, `(channels, length)`, in place of images."""
    mirrors: bool = False
    """Whether a mirror image shows the same, as of clothes, and not of digits or text: `train.flip` goes by it."""
