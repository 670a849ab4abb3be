"""Data sets of images, split once by seed and kept in memory where they fit."""

from nas.training.data.config import DATA_SETS, DataConfig
from nas.training.data.load import load_data
from nas.training.data.splits import ImageData, MemoryImages

__all__ = ["DATA_SETS", "DataConfig", "ImageData", "MemoryImages", "load_data"]
