"""A network that was just trained, in 8 bits: the file that an export makes of it, and how often that is right."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from nas.cost import AFTER_TRAINING, INT8_ACCURACY
from nas.errors import NasError
from nas.exporting.int8 import accuracy, quantise
from nas.exporting.onnx.graph import to_onnx
from nas.exporting.onnx.series import as_shipped
from nas.exporting.settings import ExportSettings
from nas.network.architecture import Architecture
from nas.network.lower import lower
from nas.run_folder import write_bytes
from nas.training.data.splits import ImageData
from nas.training.preprocess import check_images, preprocess_of
from nas.training.tasks.classification import CLASSIFICATION
from nas.training.weights import weights_of


def int8_scores(
    network: nn.Module, architecture: Architecture, data: ImageData, folder: Path
) -> tuple[dict[str, float], dict[str, str]]:
    """Write a trained network in 8 bits, and return what that is worth.

    It is quantised as `nas.exporting.folder.export_model` does by the settings that `ExportSettings` has where nothing
    else is said, and the accuracy is that of the `model.int8.onnx` which that writes.

    Args:
        network: trained, as `nas.build` makes it.
        architecture: of the network.
        data: what it was trained on; its training split gives the ranges of activations.
        folder: takes the file `ARCH_ID.onnx`, whose input is that of the network, normalised, fp32.

    Returns:
        `int8_accuracy`, a share of the validation split. And why there is none, by the names of
        `nas.cost.AFTER_TRAINING`, where the network cannot be written, quantised or run so.

    Raises:
        OSError: the file cannot be written.
    """
    if data.task.eight_bits != CLASSIFICATION.eight_bits:
        return {}, dict.fromkeys(AFTER_TRAINING, f"{INT8_ACCURACY} is of {CLASSIFICATION.name}, not {data.task.name}")
    preprocess = preprocess_of(data, architecture)
    images = check_images(data, ExportSettings().calibration_images)
    weights = {name: value.numpy() for name, value in weights_of(network).items()}
    try:
        model = quantise(to_onnx(lower(architecture), weights), images.inputs(preprocess))
        right = accuracy(as_shipped(model, preprocess), images.validation())
    except NasError as error:
        return {}, dict.fromkeys(AFTER_TRAINING, str(error))
    write_bytes(folder / f"{architecture.arch_id}.onnx", model)
    return {INT8_ACCURACY: right}, {}
