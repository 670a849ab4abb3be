"""A small network trained on digits, and the same as an exported folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

import nas
from nas.exporting.card import Card, Score
from nas.exporting.choice import CheckImages
from nas.exporting.folder import export_model
from nas.exporting.onnx.writer import Weights
from nas.exporting.preprocess import Preprocess
from nas.training.data.batches import Batches
from nas.training.data.config import DataConfig
from nas.training.data.load import load_data
from nas.training.data.splits import ImageData
from nas.training.preprocess import check_images, preprocess_of


@dataclass(frozen=True, eq=False)
class Trained:
    """A network with its weights, and what it was trained on."""

    architecture: nas.Architecture
    module: torch.nn.Module
    data: ImageData

    @property
    def weights(self) -> Weights:
        return {name: value.detach().numpy() for name, value in self.module.state_dict().items()}

    @property
    def preprocess(self) -> Preprocess:
        found = preprocess_of(self.data, self.architecture)
        assert isinstance(found, Preprocess)
        return found

    @property
    def images(self) -> CheckImages:
        return check_images(self.data, 128)

    @property
    def card(self) -> Card:
        score = Score(value=self.accuracy, split="validation", how="selected out of 1 trial", images=287)
        return Card(name="digits by small_cnn", scores=(score,), data=self.data.record())

    def logits(self) -> torch.Tensor:
        """Of the validation split, by the training pipeline."""
        walk = Batches(self.data.val, self.data, 64, self.architecture.input_shape)
        with torch.no_grad():
            return torch.cat([self.module(inputs) for inputs, _ in walk])

    @property
    def accuracy(self) -> float:
        return float((self.logits().argmax(1) == self.data.val.labels).float().mean())


@pytest.fixture(scope="session")
def trained() -> Trained:
    torch.manual_seed(0)
    torch.set_num_threads(1)
    data = load_data(DataConfig(name="digits"))
    arch = nas.load_space("reference/small_cnn").for_data((1, 12, 12), 10).decode({})  # larger than its pictures
    module = nas.build(arch)
    optimizer = torch.optim.AdamW(module.parameters(), lr=3e-3)
    for _ in range(8):
        for inputs, labels in Batches(data.train, data, 64, arch.input_shape, shuffle=True):
            optimizer.zero_grad()
            F.cross_entropy(module(inputs), labels).backward()
            optimizer.step()
    return Trained(arch, module.eval(), data)


@pytest.fixture(scope="session")
def exported(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("exported") / "shipped"
    export_model(out, trained.architecture, trained.weights, trained.preprocess, trained.card, images=trained.images)
    return out
