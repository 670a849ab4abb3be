"""Trained weights scored on the test split."""

from __future__ import annotations

from pathlib import Path

import torch

from nas.network.architecture import Architecture
from nas.training.data.batches import Batches
from nas.training.data.config import DataConfig
from nas.training.data.load import load_learned
from nas.training.data.test_split import Ledger, read_test_split
from nas.training.preprocess import as_trained
from nas.training.recipe import Recipe
from nas.training.tasks.task import Alone
from nas.training.weights import load_metadata, trained_network


def scores_on_test(
    architecture: Architecture,
    weights: Path,
    config: DataConfig,
    recipe: Recipe,
    *,
    seed: int,
    run: Path,
    accelerator: str = "auto",
) -> dict[str, float]:
    """Return the scores of a trained network on the test split.

    Args:
        architecture: the network.
        weights: file that `nas.training.weights.save_weights` wrote.
        config: the data set.
        recipe: four times its batch size is that of the scoring, as in validation.
        seed: that it was trained with, for the ledger.
        run: the run folder, which has the ledger.
        accelerator: auto, cpu or gpu; auto takes a GPU where there is one.

    Returns:
        Those of `Task.scores`, with `test_` before their names.

    Raises:
        HeldOutError: this process may not read the test split.
        DataError: the weights or the data cannot be read, do not fit the network, or are split in another way than in
            its training.
    """
    network = trained_network(architecture, weights)
    device = torch.device("cuda" if accelerator != "cpu" and torch.cuda.is_available() else "cpu")
    network.to(device)
    metadata = load_metadata(weights)
    data = as_trained(load_learned(config), metadata, weights)
    data.check_fits(architecture)
    ledger, purpose = Ledger(run), "finish: a training that is reported"
    # All that can be wrong is found before they are read: reading them is noted, and is for a score.
    images = read_test_split(
        config,
        ledger,
        arch_id=architecture.arch_id,
        seed=seed,
        purpose=purpose,
        fingerprint=metadata.get("split_fingerprint"),
    )
    tally, loss = data.task.tally(data.scale), data.task.loss(data.scale)
    with torch.inference_mode():
        for inputs, labels in Batches(images, data, 4 * recipe.batch_size, architecture.input_shape):
            outputs = network(inputs.to(device)).cpu()
            tally.add(outputs, labels, loss(outputs, labels, "mean"))
    found = tally.scores(Alone())
    return {score.on_test: found[score.name] for score in data.task.scores}
