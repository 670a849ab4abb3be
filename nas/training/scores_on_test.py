"""Trained weights scored on the test split."""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F

from nas.network.architecture import Architecture
from nas.pytorch import build
from nas.training.data.batches import Batches
from nas.training.data.config import DataConfig
from nas.training.data.load import load_data
from nas.training.data.splits import Images
from nas.training.recipe import Recipe
from nas.training.weights import fit_weights, load_weights


def read_test_images(config: DataConfig, *, arch_id: str, seed: int, run: str) -> Images:
    """Return the images of the test split.

    Args:
        config: the data set.
        arch_id: of the network that is scored.
        seed: that it was trained with.
        run: the run folder.
    """
    return load_data(config).test


def scores_on_test(
    architecture: Architecture, weights: str, config: DataConfig, recipe: Recipe, *, seed: int, run: str
) -> dict[str, float]:
    """Return accuracy and mean cross-entropy of a trained network over the test split.

    Args:
        architecture: the network.
        weights: file that `nas.training.weights.save_weights` wrote.
        config: the data set.
        recipe: four times its batch size is that of the scoring, as in validation.
        seed: that it was trained with, for the ledger.
        run: the run folder, which has the ledger.

    Returns:
        `test_accuracy` and `test_loss`.

    Raises:
        DataError: the weights or the data cannot be read, or do not fit the network.
    """
    network = build(architecture)
    fit_weights(network, load_weights(Path(weights)))
    network.eval()
    data = load_data(config)
    data.check_fits(architecture)
    images = read_test_images(config, arch_id=architecture.arch_id, seed=seed, run=run)
    loss, hits, count = 0.0, 0, 0
    with torch.inference_mode():
        for inputs, labels in Batches(images, data, 4 * recipe.batch_size, architecture.input_shape):
            logits = network(inputs)
            loss += float(F.cross_entropy(logits, labels, reduction="sum"))
            hits += int((logits.argmax(1) == labels).sum())
            count += len(labels)
    return {"test_accuracy": hits / count, "test_loss": loss / count}
