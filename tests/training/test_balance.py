"""Classes of uneven size, evened out by the loss or by what is drawn."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.utils.class_weight import compute_class_weight

import nas
from nas.errors import ConfigError
from nas.training.augment import Mixed
from nas.training.data.balance import balanced_order
from nas.training.data.batches import Batches
from nas.training.data.config import DataConfig
from nas.training.data.load import load_data
from nas.training.data.splits import ImageData, part_of
from nas.training.fit import fit
from nas.training.recipe import Recipe
from nas.training.task import ImageModule, TaskModule
from nas.training.tasks.classification import CLASSIFICATION, class_weights
from nas.training.train import TrainJob, begin

SPACE = nas.SearchSpace.from_dict(
    {
        "assume": {"channels": 1, "resolution": 8, "num_classes": 10},
        "stem": {"block": "conv", "out_channels": 8, "stride": 2},
        "stages": [{"block": "conv", "out_channels": 8}],
        "head": {"block": "classifier"},
    }
)
ARCH = SPACE.decode({})
LABELS = torch.tensor([0] * 60 + [1] * 30 + [2] * 7 + [4] * 3)
"""Of five classes, one of which has no images."""


@pytest.fixture(scope="module")
def digits() -> ImageData:
    """Digits of which all but 4 threes are gone from training."""
    data = load_data(DataConfig())
    threes = torch.nonzero(data.train.labels == 3).flatten()[4:]
    kept = np.setdiff1d(np.arange(len(data.train.labels)), threes.numpy())
    return replace(data, train=part_of(data.train, torch.from_numpy(kept)))


def test_weights_are_scikit_learns_and_1_on_average() -> None:
    weights = class_weights(LABELS, 5)
    theirs = compute_class_weight("balanced", classes=np.array([0, 1, 2, 4]), y=LABELS.numpy())
    assert weights[[0, 1, 2, 4]].tolist() == pytest.approx(theirs.tolist())
    assert weights[3] == 0
    assert float(weights[LABELS].mean()) == pytest.approx(1)


def test_the_order_draws_each_class_equally_often_and_any_of_its_images() -> None:
    order = balanced_order(LABELS, torch.Generator().manual_seed(0))
    assert len(order) == 100
    assert Counter(LABELS[order].tolist()) == {0: 25, 1: 25, 2: 25, 4: 25}
    # In random order: a half has about a half of each class.
    assert all(5 < count < 20 for count in Counter(LABELS[order[:50]].tolist()).values())
    drawn = torch.cat([balanced_order(LABELS, torch.Generator().manual_seed(seed)) for seed in range(40)])
    assert sorted({*drawn.tolist()}) == [*range(100)]
    # With replacement, and evenly: each of the 3 images of class 4 is drawn 40 * 25 / 3 times, give or take.
    rare = Counter(drawn[LABELS[drawn] == 4].tolist())
    assert all(abs(count - 1000 / 3) < 5 * (1000 * 2 / 9) ** 0.5 for count in rare.values())


def test_where_images_do_not_share_out_evenly_each_class_has_the_odd_ones_now_and_then() -> None:
    labels = torch.tensor([0, 0, 0, 0, 1, 1, 2])
    counts = [Counter(labels[balanced_order(labels, torch.Generator().manual_seed(s))].tolist()) for s in range(20)]
    assert all(sorted(count.values()) == [2, 2, 3] for count in counts)
    assert {max(count, key=lambda label: count[label]) for count in counts} == {0, 1, 2}


def test_the_weighted_loss_is_a_mean_over_images() -> None:
    """Not over weights, as torch has it: a batch of one rare class would else weigh no more than any other."""
    rng = torch.Generator().manual_seed(0)
    logits, weights = torch.randn(6, 5, generator=rng), class_weights(LABELS, 5)
    labels, partners, share = torch.tensor([0, 1, 2, 4, 4, 0]), torch.tensor([4, 0, 1, 1, 2, 2]), torch.rand(6)
    one = [F.cross_entropy(logits[i : i + 1], labels[i : i + 1], label_smoothing=0.1) for i in range(6)]
    expected = sum(weights[labels[i]] * one[i] for i in range(6)) / 6
    loss = CLASSIFICATION.loss(None, 0.1, weights)
    assert float(Mixed(logits, labels).loss(logits, loss)) == pytest.approx(float(expected))
    two = [F.cross_entropy(logits[i : i + 1], partners[i : i + 1], label_smoothing=0.1) for i in range(6)]
    mixed = sum(
        share[i] * weights[labels[i]] * one[i] + (1 - share[i]) * weights[partners[i]] * two[i] for i in range(6)
    )
    found = Mixed(logits, labels, partners, share).loss(logits, loss)
    assert float(found) == pytest.approx(float(mixed) / 6)
    # Weights of 1 are no weights, with and without mixing.
    ones, none = (CLASSIFICATION.loss(None, 0.1, own) for own in (torch.ones(5), None))
    for batch in (Mixed(logits, labels), Mixed(logits, labels, partners, share)):
        assert float(batch.loss(logits, ones)) == pytest.approx(float(batch.loss(logits, none)))


def _drawn(data: ImageData, **settings: Any) -> list[int]:
    batches = Batches(data.train, data, 32, (1, 8, 8), shuffle=True, seed=1, **settings)
    found = [labels for _, labels in batches]
    assert len(found) == len(batches)
    return torch.cat(found).tolist()


def test_the_sampler_takes_as_many_steps_and_processes_share_its_images(digits: ImageData) -> None:
    plain, balanced = _drawn(digits), _drawn(digits, balanced=True)
    assert len(balanced) == len(plain)
    assert Counter(plain)[3] == 4
    whole = len(digits.train.labels)
    # A last batch of one image is left out, so a class may lack one.
    assert all(whole // 10 - 1 <= Counter(balanced)[label] <= whole // 10 + 1 for label in range(10))
    parts = [_drawn(digits, balanced=True, rank=rank, ranks=2) for rank in (0, 1)]
    assert len(parts[0]) == len(parts[1])
    both = Counter(parts[0]) + Counter(parts[1])
    assert all(abs(both[label] - whole / 10) <= 3 for label in range(10))
    batches = Batches(digits.train, digits, 32, (1, 8, 8), shuffle=True, balanced=True, seed=1)
    walks = [torch.cat([labels for _, labels in batches]).tolist() for _ in range(2)]
    assert walks[0] == balanced != walks[1]


@pytest.mark.slow
def test_a_rare_class_is_told_better(digits: ImageData) -> None:
    recipe = Recipe(epochs=8, batch_size=32)
    found = {kind: fit(ARCH, digits, recipe, seed=0, balance=kind).scores for kind in ("none", "weights", "sampler")}
    balanced = {kind: scores["val_balanced_accuracy"] for kind, scores in found.items()}
    assert balanced["weights"] > balanced["none"] + 0.02
    assert balanced["sampler"] > balanced["none"] + 0.02


def test_each_kind_trains_in_another_way(digits: ImageData) -> None:
    few = replace(digits, train=digits.part_of_train(0.2))
    found = {
        kind: fit(ARCH, few, Recipe(epochs=1, batch_size=32), seed=0, balance=kind).scores["val_loss"]
        for kind in ("none", "weights", "sampler")
    }
    assert len({*found.values()}) == 3
    assert found["none"] == fit(ARCH, few, Recipe(epochs=1, batch_size=32), seed=0).scores["val_loss"]


@pytest.mark.parametrize("balance", ["weights", "sampler"])
def test_what_goes_on_comes_out_as_if_it_had_never_stopped(digits: ImageData, balance: str, tmp_path: Path) -> None:
    few, recipe = replace(digits, train=digits.part_of_train(0.2)), Recipe(epochs=2, batch_size=32, mixup=0.3)
    whole = fit(ARCH, few, recipe, seed=0, balance=balance)
    for epochs in (1, 2):
        budget = nas.Budget(epochs=epochs, schedule_epochs=2, checkpoint=str(tmp_path / "state.ckpt"))
        parts = fit(ARCH, few, recipe, budget, seed=0, balance=balance)
    assert parts.history == whole.history


def test_validation_and_parts_of_the_data(digits: ImageData) -> None:
    """Validation is as it was; weights are those of the part that is trained on."""
    recipe = Recipe(batch_size=32)
    small = ImageModule(digits, recipe, ARCH.input_shape, balance="weights", fraction=0.1)
    assert small.class_weights is not None
    assert small.class_weights.tolist() == class_weights(digits.part_of_train(0.1).labels, 10).tolist()
    for kind in ("none", "sampler"):
        module = ImageModule(digits, recipe, ARCH.input_shape, balance=kind)
        assert module.class_weights is None
        assert torch.cat([labels for _, labels in module.val_dataloader()]).tolist() == digits.val.labels.tolist()
    task = TaskModule(nas.build(ARCH), recipe, class_weights=small.class_weights).eval()
    inputs, labels = next(iter(small.val_dataloader()))
    with torch.inference_mode():
        task.validation_step((inputs, labels), 0)
        unweighted = F.cross_entropy(task(inputs), labels)
    assert float(vars(task._val)["_loss"]) == pytest.approx(float(unweighted) * len(labels))
    assert not any("class_weights" in name for name in task.state_dict())  # no checkpoint depends on them


def test_a_training_from_before_goes_on(tmp_path: Path) -> None:
    job = TrainJob(architecture=ARCH, data=DataConfig(), recipe=Recipe())
    begin(job, tmp_path, {}, resume=False)
    path = tmp_path / "settings.json"
    record = json.loads(path.read_text())
    assert record["job"]["data"].pop("balance") == "none"
    path.write_text(json.dumps(record))
    begin(job, tmp_path, {}, resume=True)
    weighted = replace(job, data=DataConfig(balance="weights"))
    with pytest.raises(ConfigError, match=r"data\.balance was 'none' in .*, but is now 'weights'"):
        begin(weighted, tmp_path, {}, resume=True)


def test_an_unknown_word_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"data\.balance: unknown 'weight'\. Did you mean 'weights'\?"):
        DataConfig(balance="weight")
