"""Files of data sets as others write them, for tests."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path
from typing import Any

import numpy as np


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
