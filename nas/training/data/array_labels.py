"""Arrays of labels: which classes there are, and which each has. Never loads torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nas.errors import DataError, is_text


def classes_of(
    labels: Mapping[str, tuple[str, NDArray[Any]]], what: str = "arrays"
) -> tuple[tuple[str, ...], dict[str, NDArray[np.int64]]]:
    """Return the names of the classes, and the class of each image by split.

    Numbers and texts are sorted; of one-hot labels the columns are the classes.

    Args:
        labels: by split, the name of their array and that.
        what: name of the data set, for messages.

    Raises:
        DataError: labels that are neither, or of a single class.
    """
    plain = {split: _plain(name, array, what) for split, (name, array) in labels.items()}
    kinds = {array.dtype.kind in "biu" for array in plain.values()}
    if len(kinds) > 1 or len({array.shape[1:] for array in plain.values()}) > 1:
        raise DataError(f"data {what}: the labels of all splits must be of one kind: whole numbers, text or one-hot")
    if next(iter(plain.values())).ndim == 2:
        count = next(iter(plain.values())).shape[1]
        names = tuple(map(str, range(count)))
        places = {split: array.argmax(1) for split, array in plain.items()}
    else:
        found = np.unique(np.concatenate([*plain.values()]))
        names = tuple(map(str, found.tolist()))
        places = {split: np.searchsorted(found, array) for split, array in plain.items()}
    first = labels[next(iter(labels))][0]
    if not all(map(str.strip, names)):
        raise DataError(f"data {what}: {first} must have a class for each, but has labels that are empty texts")
    if len(names) < 2 or not all(map(is_text, names)):
        raise DataError(f"data {what}: {first} must have labels of two classes at least, with names in UTF-8")
    return names, {split: place.astype(np.int64) for split, place in places.items()}


def _plain(name: str, array: NDArray[Any], what: str) -> NDArray[Any]:
    """Return labels as whole numbers or texts, `(n,)`, or one-hot, `(n, classes)`."""
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim == 2 and array.dtype.kind in "buif":
        if not (((array == 0) | (array == 1)).all() and (array.sum(1) == 1).all()):
            raise DataError(
                f"data {what}: {name} has the shape {array.shape}, but is not one-hot: a 1 in each row, else 0"
            )
        return array
    if array.ndim != 1 or array.dtype.kind not in "biuSU":
        advice = "; `.astype(int)` makes whole numbers of them" if array.dtype.kind == "f" and array.ndim == 1 else ""
        raise DataError(
            f"data {what}: {name} is {array.dtype} of shape {array.shape}, but labels are whole numbers or text, one "
            f"an image, or one-hot{advice}"
        )
    try:
        texts = np.char.decode(array, "utf-8") if array.dtype.kind == "S" else array
        texts.tolist()  # four bytes of a text may be no letter
    except (ValueError, SystemError) as error:
        raise DataError(f"data {what}: {name} has a label that is no text in UTF-8: {error}") from None
    return np.asarray(texts)
