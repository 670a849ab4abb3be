"""Fashion-MNIST from its four IDX files (Xiao et al. 2017); MNIST's files have the same form.

Never loads numpy or torch before they are read.
"""

from __future__ import annotations

import gzip
import zlib
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

from nas.errors import DataError, why_unreadable
from nas.run_folder import user_path
from nas.training.data.data_set import DataSet

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from nas.training.data.config import DataConfig
    from nas.training.data.splits import MemoryImages, Splits

CLASSES = (
    "t-shirt/top",
    "trouser",
    "pullover",
    "dress",
    "coat",
    "sandal",
    "shirt",
    "sneaker",
    "bag",
    "ankle boot",
)

_DEBIAN = Path("/usr/share/datasets/fashion-mnist")
_HOW = (
    "Get the four files train-images-idx3-ubyte.gz, train-labels-idx1-ubyte.gz, t10k-images-idx3-ubyte.gz and "
    "t10k-labels-idx1-ubyte.gz: on Debian or Ubuntu `apt-get install dataset-fashion-mnist` (found without "
    "data.root), elsewhere from the zalandoresearch/fashion-mnist repository; then give data.root=FOLDER."
)


def load_fashion_mnist(config: DataConfig) -> Splits:
    """60,000 training images, of which about `val_fraction` is for validation, and 10,000 test images, 1x28x28.

    Raises:
        DataError: files missing or malformed; says how to get them.
    """
    from nas.training.data.content import TEST, TRAIN
    from nas.training.data.split_by_content import in_memory, split_by_content
    from nas.training.data.split_by_place import split_indices, splits_by_place

    root = user_path(config.root) if config.root else _DEBIAN
    train, test = (_read_pair(root, prefix) for prefix in ("train", "t10k"))
    shape = tuple(train.pixels.shape[1:])
    if config.split_scheme == 1:
        rest, val = split_indices(train.labels.numpy(), config.val_fraction, config.split_seed)
        return splits_by_place(config, CLASSES, shape, train=train.take(rest), val=train.take(val), test=test)
    given = {TRAIN: in_memory(train, "training image"), TEST: in_memory(test, "test image")}
    return split_by_content(config, CLASSES, shape, given)


FASHION_MNIST = DataSet(
    load=load_fashion_mnist,
    shape=lambda config: ((1, 28, 28), 10),
    images=70_000,
    has_test_split=True,
    mirrors=True,
)


def _read_pair(root: Path, prefix: str) -> MemoryImages:
    import numpy as np
    import torch

    from nas.training.data.splits import MemoryImages

    pixels = _read_idx(_find(root, f"{prefix}-images-idx3-ubyte"), dims=3)
    labels = _read_idx(_find(root, f"{prefix}-labels-idx1-ubyte"), dims=1)
    if len(pixels) != len(labels) or (len(labels) and labels.max() >= len(CLASSES)):
        raise DataError(f"data fashion_mnist: {root}: {prefix} images and labels do not belong together")
    return MemoryImages(torch.from_numpy(pixels.copy()).unsqueeze(1), torch.from_numpy(labels.astype(np.int64)))


def _find(root: Path, name: str) -> Path:
    for path in (root / name, root / f"{name}.gz"):
        if path.is_file():
            return path
    raise DataError(f"data fashion_mnist: no {name}[.gz] in {root}. {_HOW}")


def _read_idx(path: Path, dims: int) -> NDArray[np.uint8]:
    """Read an IDX file of unsigned bytes: magic 0 0 8 dims, big-endian sizes, then the bytes."""
    import numpy as np

    try:
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"data fashion_mnist: {path} cannot be read: {why_unreadable(error)}") from None
    header = 4 + 4 * dims
    if len(data) < header or data[:4] != bytes((0, 0, 8, dims)):
        raise DataError(f"data fashion_mnist: {path} is not an IDX file of bytes in {dims} dimensions")
    shape = np.frombuffer(data, ">u4", dims, offset=4).astype(int).tolist()
    if len(data) != header + prod(shape):
        raise DataError(f"data fashion_mnist: {path} should hold {prod(shape)} bytes, has {len(data) - header}")
    return np.frombuffer(data, np.uint8, offset=header).reshape(shape)
