"""Words of series, in settings and in what is typed. Never loads NumPy."""

from collections.abc import Sequence

REFUSE, MEAN = "refuse", "mean"
MISSING = (REFUSE, MEAN)
"""What is done where values are missing: such series are refused, or the mean of the training split stands there."""


def to_predict(shape: Sequence[int]) -> str:
    """Return what stands behind `nas predict FOLDER`: pictures, or files of series.

    Args:
        shape: of an input of the network: `(channels, height, width)`, of series `(channels, length)`.
    """
    return "FILE.ts ..." if len(shape) == 2 else "PICTURE ..."
