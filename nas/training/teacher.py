"""Distillation: a network learns from the outputs of a trained one beside the labels."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, fx

from nas.errors import ConfigError, DataError, reason_of
from nas.network.architecture import Architecture
from nas.run_folder import read_json, user_path
from nas.training.data.registry import check_taught
from nas.training.data.splits import ImageData
from nas.training.model_file import ModelIn, check_classes, model_in, open_session
from nas.training.preprocess import as_trained
from nas.training.recipe import Recipe
from nas.training.weights import load_metadata, trained_network


def distillation_loss(outputs: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """Return how far outputs are from those of a teacher: the mean divergence of the softened answers, times T^2.

    Hinton et al. 2015, "Distilling the knowledge in a neural network", section 2: both are divided by T before their
    softmax; the square keeps gradients of one size whatever T is. The entropy of the teacher's answers, which no output
    changes, is left out of the cross-entropy, so that the loss is 0 where both agree.

    Args:
        outputs: logits `(batch, classes)`.
        teacher: those of the teacher, likewise.
        temperature: T, above 0.
    """
    own, wanted = (F.log_softmax(logits / temperature, dim=1) for logits in (outputs, teacher))
    return temperature**2 * F.kl_div(own, wanted, reduction="batchmean", log_target=True)


class Teacher(ABC):
    """A trained network that says what it takes images of a training for.

    It sees each image as the network that learns does, augmented and mixed (Beyer et al. 2022, "Knowledge distillation:
    a good teacher is patient and consistent"), in the size and with the mean and deviation of its own training.
    """

    def __init__(self, data: ImageData) -> None:
        """Take the data, whose mean and deviation the images are normalised by."""
        self._mean, self._std = (torch.tensor(values).view(-1, 1, 1) for values in (data.mean, data.std))

    def logits(self, inputs: Tensor) -> Tensor:
        """Return its logits `(batch, classes)` on the device of the images `(batch, channels, height, width)`."""
        with torch.no_grad(), torch.autocast(inputs.device.type, enabled=False):
            levels = inputs.float() * self._std.to(inputs.device) + self._mean.to(inputs.device)
            return self._answer(levels)

    @abstractmethod
    def _answer(self, levels: Tensor) -> Tensor:
        """Return logits of images whose levels go from 0 to 1."""


class TorchTeacher(Teacher):
    """A network of ours, with its weights."""

    def __init__(self, data: ImageData, network: fx.GraphModule, architecture: Architecture, own: ImageData) -> None:
        """Make it.

        Args:
            data: whose mean and deviation the images are normalised by.
            network: with trained weights.
            architecture: of it.
            own: the data with the mean and deviation of its training.
        """
        super().__init__(data)
        self._network = network.eval().requires_grad_(False)
        self._size = tuple(architecture.input_shape[1:])
        self._own_mean, self._own_std = (torch.tensor(values).view(-1, 1, 1) for values in (own.mean, own.std))

    def _answer(self, levels: Tensor) -> Tensor:
        device = levels.device
        self._network.to(device)
        inputs = (levels - self._own_mean.to(device)) / self._own_std.to(device)
        if tuple(inputs.shape[2:]) != self._size:
            inputs = F.interpolate(inputs, self._size, mode="bilinear", antialias=True)
        answer: Tensor = self._network(inputs.contiguous(memory_format=torch.channels_last))
        return answer


class OnnxTeacher(Teacher):
    """An ONNX file that takes pixels from 0 to 255, as `nas export` writes them; it runs on the CPU."""

    def __init__(self, data: ImageData, session: Any, path: Path) -> None:
        """Make it.

        Args:
            data: whose mean and deviation the images are normalised by.
            session: of onnxruntime.
            path: of the file, for messages.

        Raises:
            DataError: it takes something else than one batch of images.
        """
        super().__init__(data)
        self._session, self._path, self._classes = session, path, data.num_classes
        inputs, outputs = session.get_inputs(), [output.name for output in session.get_outputs()]
        if len(inputs) != 1 or len(inputs[0].shape) != 4:
            raise DataError(f"train.teacher {path} must take one input of 4 dimensions, but takes {len(inputs)}")
        given, channels = inputs[0], data.input_shape[0]
        self._given = given.name
        self._wanted = data.task.raw if data.task.raw in outputs else outputs[0]
        self._channels_last = given.shape[-1] == channels and given.shape[1] != channels
        self._whole = given.type == "tensor(uint8)"
        sizes = given.shape[1:3] if self._channels_last else given.shape[2:]
        self._size = tuple(sizes) if all(isinstance(size, int) for size in sizes) else None

    def _answer(self, levels: Tensor) -> Tensor:
        if self._size is not None and tuple(levels.shape[2:]) != self._size:
            levels = F.interpolate(levels, self._size, mode="bilinear", antialias=True)
        pixels = (levels * 255).cpu().numpy()
        if self._whole:
            pixels = np.clip(np.rint(pixels), 0, 255).astype(np.uint8)
        pixels = pixels.transpose(0, 2, 3, 1) if self._channels_last else pixels
        try:
            (logits,) = self._session.run([self._wanted], {self._given: np.ascontiguousarray(pixels)})
        except Exception as error:  # of onnxruntime's own kinds, which are no public names
            raise DataError(f"train.teacher {self._path} cannot be run: {reason_of(error)}") from None
        if np.shape(logits) != (len(pixels), self._classes):
            raise DataError(
                f"train.teacher {self._path} must give {(len(pixels), self._classes)} numbers for {len(pixels)} images "
                f"of {self._classes} classes, but gives {np.shape(logits)}"
            )
        return torch.from_numpy(np.array(logits, dtype=np.float32)).to(levels.device)


def teacher_of(recipe: Recipe, data: ImageData) -> Teacher | None:
    """Return what a recipe lets a network learn from; None where it names nothing.

    Raises:
        ConfigError: there is no model, or the data have something else than one class an image.
        DataError: it cannot be read, or is for other data.
    """
    if recipe.teacher is None:
        return None
    check_taught(data.name, data.task)
    model = teacher_model(recipe.teacher)
    if model.architecture is None:
        session = open_session(model.file)
        check_classes(session.get_modelmeta().custom_metadata_map, data, model.file)
        return OnnxTeacher(data, session, model.file)
    architecture = read_json(model.architecture, "the network", Architecture.from_dict)
    metadata = load_metadata(model.file)
    data.check_fits(architecture)
    check_classes(metadata, data, model.file)
    own = as_trained(data, metadata, model.file)
    return TorchTeacher(data, trained_network(architecture, model.file), architecture, own)


def teacher_model(path: str) -> ModelIn:
    """Return the model that `train.teacher` names; raises `ConfigError` where there is none."""
    place = user_path(path)
    if place.suffix == ".onnx":
        if not place.is_file():
            raise ConfigError(f"train.teacher: there is no file {place}")
        return ModelIn(place.parent, place, None)
    try:
        return model_in(place)
    except ConfigError as error:
        raise ConfigError(f"train.teacher: {error}") from None
