"""Fashion-MNIST from its four IDX files (Xiao et al. 2017).

Never loads numpy or torch before they are read.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from nas.errors import DataError
from nas.run_folder import user_path
from nas.training.data.data_set import DataSet

if TYPE_CHECKING:
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
    from nas.training.data.split_by_content import split_images

    root = user_path(config.root) if config.root else _DEBIAN
    train, test = (_read_pair(root, prefix, config.memory_mib) for prefix in ("train", "t10k"))
    return split_images(config, CLASSES, {TRAIN: train, TEST: test})


FASHION_MNIST = DataSet(
    load=load_fashion_mnist,
    shape=lambda config: ((1, 28, 28), 10),
    images=70_000,
    has_test_split=True,
    mirrors=True,
)


def _read_pair(root: Path, prefix: str, memory_mib: int) -> MemoryImages:
    from nas.training.data.idx_files import IdxPair

    pair = IdxPair(_find(root, f"{prefix}-images-idx3-ubyte"), _find(root, f"{prefix}-labels-idx1-ubyte"))
    images = pair.read("fashion_mnist", memory_mib)
    if len(images.labels) and images.labels.max() >= len(CLASSES):
        raise DataError(f"data fashion_mnist: {pair.labels} has a label over {len(CLASSES) - 1}: {images.labels.max()}")
    return images


def _find(root: Path, name: str) -> Path:
    for path in (root / name, root / f"{name}.gz"):
        if path.is_file():
            return path
    raise DataError(f"data fashion_mnist: no {name}[.gz] in {root}. {_HOW}")
