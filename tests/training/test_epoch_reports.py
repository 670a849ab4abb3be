"""Training that stops early and goes on: as if it had never stopped."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import nas
from nas.evaluation import listening
from nas.evaluators.training import TrainingEvaluator
from nas.search.budgets.pruning import Pruning
from nas.search.trial import State
from nas.training.data.batches import Batches
from nas.training.data.load import load_data
from nas.training.fit import fit
from nas.training.recipe import Recipe
from nas.training.tasks.classification import CLASSIFICATION
from nas.training.weights import load_weights
from tests.training.test_fit import ARCH, DATA, RECIPE, SPACE

DROPS = nas.SearchSpace.from_dict(
    {
        "assume": {"channels": 3, "resolution": 16, "num_classes": 4},
        "stem": {"block": "conv", "out_channels": 8, "stride": 2},
        "stages": [
            {"block": "mbconv", "out_channels": 16, "stride": 2, "expand_ratio": 2},
            {"block": "mbconv", "depth": 2, "out_channels": 16, "expand_ratio": 2},
        ],
        "head": {"block": "classifier"},
    }
).decode({})
"""With residual branches that can drop out."""
PIXELS: dict[str, Any] = {
    "flip_vertical": True,
    "crop_scale": 0.3,
    "rotation": 20.0,
    "brightness": 0.4,
    "contrast": 0.4,
    "saturation": 0.4,
    "hue": 0.1,
}
INGREDIENTS: dict[str, dict[str, Any]] = {
    "none": {},
    "shift": {"shift": 0.2},
    "pixels": PIXELS | {"trivial_augment": True},
    "erase": {"erase": 0.5},
    "mixup": {"mixup": 0.3},
    "cutmix": {"cutmix": 1.0},
    "drop path": {"drop_path": 0.3},
    "ema": {"ema": 0.9},
    "all": PIXELS
    | {"shift": 0.2, "rand_augment": 2, "erase": 0.5, "mixup": 0.3, "cutmix": 1.0, "drop_path": 0.3, "ema": 0.9},
}


@pytest.mark.parametrize("augment", ["none", "shift_flip"])
@pytest.mark.parametrize("name", INGREDIENTS)
def test_what_goes_on_comes_out_as_if_it_had_never_stopped(augment: str, name: str, tmp_path: Path) -> None:
    """Weights, their average, optimiser, schedule, order and augmentation, with the same numbers to the last bit."""
    data, recipe = load_data(DATA), replace(RECIPE, **INGREDIENTS[name])
    kept = tmp_path / "whole.safetensors"
    whole = fit(DROPS, data, recipe, nas.Budget(epochs=4, weights=str(kept)), seed=3, augment=augment)
    path, parts = str(tmp_path / "state.ckpt"), tmp_path / "parts.safetensors"
    for epochs in (1, 3, 4, 4):
        budget = nas.Budget(epochs=epochs, schedule_epochs=4, checkpoint=path, weights=str(parts))
        part = fit(DROPS, data, recipe, budget, seed=3, augment=augment)
        assert part.history == whole.history[:epochs]
        assert part.scores == {name: part.history[-1][name] for name in CLASSIFICATION.val_scores}
    first, second = load_weights(kept), load_weights(parts)
    assert all(torch.equal(first[name], second[name]) for name in first)
    state = torch.load(path, weights_only=True)  # plain data, nothing to be run
    assert state["state_dict"]


class _KilledError(Exception):
    pass


@pytest.mark.parametrize("recipe", [RECIPE, replace(RECIPE, **INGREDIENTS["all"])], ids=["plain", "all"])
@pytest.mark.parametrize("killed", [1, 2, 4])
def test_a_run_that_is_killed_goes_on_from_its_last_whole_epoch(recipe: Recipe, killed: int, tmp_path: Path) -> None:
    """Killed in the epoch behind the one that was reported, or when all are done."""
    data, path = load_data(DATA), tmp_path / "state.ckpt"
    weights = [tmp_path / "a.safetensors", tmp_path / "b.safetensors"]
    budget = nas.Budget(epochs=4, checkpoint=str(path), weights=str(weights[1]))
    whole = fit(DROPS, data, recipe, nas.Budget(epochs=4, weights=str(weights[0])), seed=3)
    heard: list[float] = []

    def kill(metrics: Mapping[str, float]) -> None:
        heard.append(metrics["epoch"])
        if len(heard) > killed:
            raise _KilledError

    with pytest.raises(_KilledError) if killed < 4 else nullcontext():
        fit(DROPS, data, recipe, budget, seed=3, after_epoch=kill)
    assert torch.load(path, weights_only=True)["callbacks"]["FollowEpochs"]["rows"] == list(whole.history[:killed])
    again: list[float] = []
    found = fit(DROPS, data, recipe, budget, seed=3, after_epoch=lambda metrics: again.append(metrics["epoch"]))
    assert again == [*range(killed + 1, 5)]
    assert found.history == whole.history
    first, second = (load_weights(one) for one in weights)
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_a_torn_checkpoint_begins_anew(tmp_path: Path) -> None:
    """It comes out as a run that began with nothing, wherever the file was cut."""
    data, path = load_data(DATA), tmp_path / "state.ckpt"
    budget = nas.Budget(epochs=2, schedule_epochs=2, checkpoint=str(path))
    whole = fit(ARCH, data, RECIPE, nas.Budget(epochs=1, schedule_epochs=2, checkpoint=str(path)), seed=3)
    expected = fit(ARCH, data, RECIPE, nas.Budget(epochs=2, schedule_epochs=2), seed=3)
    assert whole.history == expected.history[:1]
    state, saved = torch.load(path, weights_only=True), path.read_bytes()
    del state["loops"]
    torch.save(state, tmp_path / "less.ckpt")
    for torn in (b"", b"no checkpoint", saved[: len(saved) // 2], saved[:-1], (tmp_path / "less.ckpt").read_bytes()):
        path.write_bytes(torn)
        assert fit(ARCH, data, RECIPE, budget, seed=3).history == expected.history
        assert torch.load(path, weights_only=True)["epoch"] == 2, "it is whole again"


def test_a_listener_ends_training() -> None:
    heard: list[tuple[int, Mapping[str, float]]] = []

    def hear(step: int, scores: Mapping[str, float]) -> bool:
        heard.append((step, scores))
        return step == 2

    with listening(hear):
        found = fit(ARCH, load_data(DATA), RECIPE, nas.Budget(epochs=4), seed=0)
    assert [step for step, _ in heard] == [1, 2]
    assert len(found.history) == 2
    assert heard[-1][1] == found.scores


def test_parts_of_the_data_are_nested() -> None:
    data = load_data(DATA)
    train, parts = data.train, [data.part_of_train(fraction) for fraction in (0.1, 0.5, 1.0)]
    small, half, whole = (
        {image.numpy().tobytes() for image in part.read(torch.arange(len(part.labels)))} for part in parts
    )
    assert len(parts[0].labels) == round(0.1 * len(train.labels))
    assert small < half < whole


def test_a_part_of_the_resolution() -> None:
    found = fit(ARCH, load_data(DATA), RECIPE, nas.Budget(epochs=1, resolution_fraction=0.5), seed=0)
    assert found.scores


def test_ranks_share_the_images_of_an_epoch() -> None:
    data = load_data(DATA)

    def labels(shuffle: bool, rank: int, ranks: int) -> list[int]:
        batches = Batches(data.train, data, 16, (3, 16, 16), shuffle=shuffle, seed=1, rank=rank, ranks=ranks)
        found = [batch[1].tolist() for batch in batches]
        assert len(found) == len(batches)
        return [label for batch in found for label in batch]

    for shuffle in (True, False):
        whole = labels(shuffle, 0, 1)
        for ranks in (2, 7):
            parts = [labels(shuffle, rank, ranks) for rank in range(ranks)]
            shortest = min(map(len, parts))
            together = [label for row in zip(*parts, strict=False) for label in row]
            assert together == whole[: ranks * shortest]
            if shuffle:
                assert {len(part) for part in parts} == {shortest}
            else:
                assert sum(map(len, parts)) == len(whole)


def test_asha_trains_and_goes_on(tmp_path: Path) -> None:
    study = nas.run_search(
        SPACE,
        TrainingEvaluator(DATA, RECIPE),
        trials=3,
        seed=0,
        budget=nas.Budget(epochs=4),
        pruner=Pruning(name="asha", eta=2),
        run_dir=tmp_path / "run",
    )
    done = [trial for trial in study.trials if trial.state is State.COMPLETED]
    assert done
    assert len(done[0].history) == 4
    alone = fit(SPACE.decode(done[0].genotype), load_data(DATA), RECIPE, nas.Budget(epochs=4), seed=done[0].seed)
    assert done[0].history == alone.history


def test_checkpoints_of_earlier_versions_are_continued(tmp_path: Path) -> None:
    """The history is under the name that the callback had when the first checkpoints were written."""
    data, path = load_data(DATA), tmp_path / "state.ckpt"
    budget = nas.Budget(epochs=1, schedule_epochs=2, checkpoint=str(path))
    fit(ARCH, data, RECIPE, budget, seed=3)
    callbacks = torch.load(path, weights_only=True)["callbacks"]
    assert list(callbacks) == ["FollowEpochs"]
    assert [row["epoch"] for row in callbacks["FollowEpochs"]["rows"]] == [1.0]
