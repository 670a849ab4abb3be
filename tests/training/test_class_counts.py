"""Scores by class from counts of batches, against scikit-learn and torchmetrics on all images at once."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from sklearn.metrics import balanced_accuracy_score, f1_score, top_k_accuracy_score
from torchmetrics.functional.classification import multiclass_accuracy, multiclass_f1_score

import nas
from nas.training.data.batches import Batches
from nas.training.data.config import DataConfig
from nas.training.data.load import load_data
from nas.training.data.splits import ImageData, Images, part_of
from nas.training.fit import fit
from nas.training.recipe import Recipe
from nas.training.tasks.classification import CLASSIFICATION, ClassCounts
from nas.training.weights import trained_network

SPACE = nas.SearchSpace.from_dict(
    {
        "assume": {"channels": 3, "resolution": 8, "num_classes": 7},
        "stem": {"block": "conv", "out_channels": 8, "stride": 2},
        "stages": [{"block": "conv", "out_channels": 8}],
        "head": {"block": "classifier"},
    }
)


def _logits(labels: torch.Tensor, num_classes: int, seed: int) -> torch.Tensor:
    logits = torch.randn(len(labels), num_classes, generator=torch.Generator().manual_seed(seed))
    logits[torch.arange(len(labels)), labels] += 1
    return logits


def _theirs(logits: torch.Tensor, labels: torch.Tensor) -> dict[str, float]:
    named, num_classes = logits.argmax(1).numpy(), logits.shape[1]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a class that is named and has no images
        balanced = float(balanced_accuracy_score(labels.numpy(), named))
    top = top_k_accuracy_score(labels.numpy(), logits.numpy(), k=5, labels=range(num_classes))
    return {
        "balanced_accuracy": balanced,
        "macro_f1": float(f1_score(labels.numpy(), named, average="macro")),
        "top5": float(top),
    }


@pytest.mark.parametrize("absent", [6, None])
def test_counts_of_batches_give_what_scikit_learn_gives_of_all(absent: int | None) -> None:
    shares = torch.tensor([0.4, 0.3, 0.1, 0.1, 0.05, 0.03, 0.02])
    if absent is not None:
        shares[absent] = 0
    labels = torch.multinomial(shares, 300, replacement=True, generator=torch.Generator().manual_seed(0))
    logits, counts = _logits(labels, 7, 1), ClassCounts()
    for part in torch.split(torch.arange(300), 64):
        counts.add(logits[part], labels[part])
    found = counts.scores()
    assert found == pytest.approx(_theirs(logits, labels), abs=1e-12)
    assert found["macro_f1"] == pytest.approx(
        float(multiclass_f1_score(logits, labels, num_classes=7, average="macro")), abs=1e-6
    )
    assert found["top5"] == pytest.approx(
        float(multiclass_accuracy(logits, labels, num_classes=7, top_k=5, average="micro")), abs=1e-6
    )
    assert len({round(score, 3) for score in found.values()}) == 3


def test_with_five_classes_or_fewer_top5_is_1_and_processes_add_up() -> None:
    labels = torch.tensor([0, 1, 2, 2])
    counts = ClassCounts()
    counts.add(_logits(labels, 3, 0), labels)
    assert counts.scores()["top5"] == 1.0
    # Each of two equal processes has the half of everything: shares stay.
    assert counts.scores(lambda one: 2 * one) == counts.scores()
    assert ClassCounts().scores() == {"balanced_accuracy": 0.0, "macro_f1": 0.0, "top5": 0.0}


def _uneven() -> ImageData:
    """Seven classes, of which the later ones have fewer images, in training and validation."""
    data = load_data(DataConfig(name="synthetic", samples=700, num_classes=7, resolution=8))

    def thinned(images: Images) -> Images:
        seen = [0] * 7
        kept = []
        for place, label in enumerate(images.labels.tolist()):
            seen[label] += 1
            if seen[label] % (label + 1) == 0:
                kept.append(place)
        return part_of(images, torch.tensor(kept))

    return replace(data, train=thinned(data.train), val=thinned(data.val))


def test_a_training_gives_the_scores_of_its_weights_on_the_validation_split(tmp_path: Path) -> None:
    data, architecture = _uneven(), SPACE.decode({})
    budget = nas.Budget(epochs=2, weights=str(tmp_path / "weights.safetensors"))
    found = fit(architecture, data, Recipe(epochs=2, batch_size=16), budget, seed=0)
    network = trained_network(architecture, tmp_path / "weights.safetensors")
    batches = [*Batches(data.val, data, 1000, architecture.input_shape)]
    assert len(batches) == 1
    with torch.inference_mode():
        theirs = _theirs(network(batches[0][0]), batches[0][1])
    assert {*found.scores} == {*CLASSIFICATION.val_scores}
    assert {name: found.scores[f"val_{name}"] for name in theirs} == pytest.approx(theirs)
    assert found.scores["val_balanced_accuracy"] != pytest.approx(found.scores["val_accuracy"], abs=1e-3)
    assert all(row.keys() >= {*CLASSIFICATION.val_scores} for row in found.history)
