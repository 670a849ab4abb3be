"""Files of data sets as others write them, for tests."""

from __future__ import annotations

import gzip
import io
import pickle
import struct
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from PIL import Image


def write_idx(path: Path, values: np.ndarray[Any, Any]) -> None:
    """Write bytes of any shape as an IDX file."""
    data = bytes((0, 0, 8, values.ndim)) + struct.pack(f">{values.ndim}I", *values.shape) + values.tobytes()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)


def idx_folder(root: Path, suffix: str = ".gz", count: int = 60, before: str = "") -> Path:
    """Write the four files of a set like MNIST: 28x28, ten classes, `count` images in each of two splits."""
    rng = np.random.default_rng(0)
    for prefix in ("train", "t10k"):
        pixels = rng.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        write_idx(root / f"{before}{prefix}-images-idx3-ubyte{suffix}", pixels)
        write_idx(root / f"{before}{prefix}-labels-idx1-ubyte{suffix}", (np.arange(count) % 10).astype(np.uint8))
    return root


class _Python2(pickle._Pickler):
    """Writes as Python 2 did: text and bytes are one kind, and numpy's modules have their older names."""

    dispatch: ClassVar[dict[Any, Any]] = dict(pickle._Pickler.dispatch)

    def _save_text(self, value: str | bytes) -> None:
        data = value.encode("latin-1") if isinstance(value, str) else value
        short = len(data) < 256
        self.write(b"U" + bytes([len(data)]) if short else b"T" + struct.pack("<i", len(data)))  # type: ignore[attr-defined]
        self.write(data)  # type: ignore[attr-defined]
        self.memoize(value)  # type: ignore[attr-defined]

    def save_global(self, value: Any, name: str | None = None) -> None:
        module = value.__module__.replace("numpy._core", "numpy.core")
        self.write(f"c{module}\n{value.__name__}\n".encode())  # type: ignore[attr-defined]
        self.memoize(value)  # type: ignore[attr-defined]

    dispatch[str] = dispatch[bytes] = _save_text
    dispatch[type] = save_global


def as_python_2(value: object) -> bytes:
    """Return the pickle of protocol 2 that Python 2 wrote of a value."""
    file = io.BytesIO()
    _Python2(file, 2).dump(value)
    return file.getvalue()


CIFAR_NAMES = {
    "cifar10": ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
    "cifar100": tuple(f"class_{number}" for number in range(100)),
}
CIFAR_FOLDERS = {
    ("cifar10", "python"): "cifar-10-batches-py",
    ("cifar10", "binary"): "cifar-10-batches-bin",
    ("cifar100", "python"): "cifar-100-python",
    ("cifar100", "binary"): "cifar-100-binary",
}


def cifar_folder(root: Path, name: str, kind: str) -> Path:
    """Write a small set in the form of CIFAR's `python` or `binary` files; `root/packed` is an empty folder."""
    folder = root / CIFAR_FOLDERS[name, kind]
    folder.mkdir()
    (root / "packed").mkdir()
    rng = np.random.default_rng(2)
    names, suffix = CIFAR_NAMES[name], "" if kind == "python" else ".bin"
    files = [f"data_batch_{number}" for number in range(1, 6)] + ["test_batch"]
    for file in files if name == "cifar10" else ["train", "test"]:
        count = {"train": 400, "test": 200}.get(file, 40)
        pixels = rng.integers(0, 256, (count, 3072), dtype=np.uint8)
        labels = (np.arange(count) % len(names)).astype(np.uint8)
        (folder / f"{file}{suffix}").write_bytes(_cifar_file(name, kind, pixels, labels))
    _write_names(folder, name, kind)
    return folder


def own_module(root: Path) -> str:
    """Write a Python file with a small set, and return what names it."""
    file = root / "own_data.py"
    file.write_text(
        "import numpy as np\n\nclass Noise:\n    classes = ('one', 'other')\n\n    def train(self):\n"
        "        rng = np.random.default_rng(3)\n"
        "        return [(rng.integers(0, 256, (7, 9, 3), dtype=np.uint8), i % 2) for i in range(60)]\n"
    )
    return f"{file}:Noise"


def _cifar_file(name: str, kind: str, pixels: np.ndarray[Any, Any], labels: np.ndarray[Any, Any]) -> bytes:
    coarse = labels // 5
    if kind == "python":
        keys = {"labels": labels} if name == "cifar10" else {"fine_labels": labels, "coarse_labels": coarse}
        lists = {key: values.tolist() for key, values in keys.items()}
        files = [f"picture_{place}.png" for place in range(len(labels))]
        return as_python_2({"filenames": files, "batch_label": "a part", **lists, "data": pixels})
    columns = [labels] if name == "cifar10" else [coarse, labels]
    return np.column_stack([*columns, pixels]).tobytes()


def _write_names(folder: Path, name: str, kind: str) -> None:
    names, ten = list(CIFAR_NAMES[name]), name == "cifar10"
    if kind == "binary":
        (folder / ("batches.meta.txt" if ten else "fine_label_names.txt")).write_text("\n".join([*names, ""]))
    elif ten:
        (folder / "batches.meta").write_bytes(as_python_2({"num_cases_per_batch": 40, "label_names": names}))
    else:
        (folder / "meta").write_bytes(as_python_2({"fine_label_names": names, "coarse_label_names": ["few"] * 20}))


def arrays_file(root: Path) -> Path:
    """Write an `.npz` of 60 colour 6x5 images of three classes."""
    path = root / "mine.npz"
    pixels = np.random.default_rng(3).integers(0, 256, (60, 6, 5, 3), dtype=np.uint8)
    np.savez(path, x=pixels, y=np.arange(60) % 3)
    return path


def hf_folder(root: Path) -> Path:
    """Save 60 colour 6x5 images of three classes as Hugging Face's package does; skips the test where it is not."""
    datasets = pytest.importorskip("datasets")
    pixels = np.random.default_rng(4).integers(0, 256, (60, 6, 5, 3), dtype=np.uint8)
    columns = {"image": [Image.fromarray(one) for one in pixels], "label": np.arange(60) % 3}
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(num_classes=3)})
    datasets.Dataset.from_dict(columns, features=features).save_to_disk(root / "saved")
    return root / "saved"
