"""Images in a folder with a mask each."""

from __future__ import annotations

import torch

from nas.errors import DataError
from nas.training.data.config import DataConfig
from nas.training.data.folders.masks import NAME, masked_pictures
from nas.training.data.folders.usable import Pictures
from nas.training.data.image_files import FileImages, split_files_by_content
from nas.training.data.pictures import fit_in_memory
from nas.training.data.splits import Splits
from nas.training.tasks.segmentation import SEGMENTATION


def load_mask_folder(config: DataConfig) -> Splits:
    """Pictures with masks, whose levels are the classes of pixels; masks are kept in memory.

    Splits that the folder has not are drawn from the training images.

    Raises:
        DataError: the folder is of no known form, files that cannot be used, images of several sizes without
            `data.resolution`.
    """
    if config.split_scheme == 1:
        raise DataError(f"data {NAME} is split by content alone: data.split_scheme must be 2 or 3, but got 1")
    found = masked_pictures(config)
    given = {
        split: FileImages(tuple(files), torch.from_numpy(found.masks[split]), found.reading)
        for split, files in found.files.items()
    }
    pictures = Pictures(found.root, found.classes, {}, {}, found.notes, 0, SEGMENTATION)
    in_memory = fit_in_memory(sum(len(images.files) for images in given.values()), found.reading, config)
    return split_files_by_content(config, pictures, given, in_memory=in_memory)
