"""Every recipe that is shipped, and what its settings do in a training."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
import torch.nn.functional as F
import yaml
from torch import Tensor

import nas
from nas.commands.conf_files import help_text
from nas.pytorch import build
from nas.resources import resource_dir
from nas.settings import as_before
from nas.training.best_epoch import best_row
from nas.training.data.batches import Batches
from nas.training.data.load import load_data
from nas.training.ema import WeightAverage
from nas.training.fit import channels_last, fit
from nas.training.recipe import Recipe
from nas.training.recipe_files import read_data_config, read_recipe, recipe_heads
from nas.training.schedule import lr_factor
from nas.training.task import TaskModule
from nas.training.tasks.registry import DEFAULT
from nas.training.tasks.regression import REGRESSION
from nas.training.transfer.parts import parameter_groups
from nas.training.transfer.settings import SCRATCH
from nas.training.weights import load_weights
from tests.training.test_fit import ARCH, DATA, RECIPE, SPACE

NAMES = sorted(path.stem for path in (resource_dir("conf") / "recipe").glob("*.yaml"))
DIGITS = SPACE.for_data((1, 16, 16), 10).decode({"stem.0.out_channels": 8})


@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_sets_everything_and_says_what_it_is_for(name: str) -> None:
    stated = yaml.safe_load((resource_dir("conf") / "recipe" / f"{name}.yaml").read_text())
    assert [*stated] == [one.name for one in fields(Recipe)]
    head = next(head for head in recipe_heads() if head.name == name)
    text = " ".join((help_text("train") or "").split())
    assert f"recipe={name} {head.use} " in text
    page = (Path(__file__).resolve().parents[2] / "docs" / "recipes.md").read_text()
    assert f"| `{name}` | {head.source} | {head.use} |" in page


@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_trains(name: str) -> None:
    recipe = read_recipe(name)
    data = load_data(read_data_config("digits"))
    budget = nas.Budget(epochs=1, schedule_epochs=recipe.epochs, data_fraction=0.1)
    found = fit(DIGITS, data, recipe, budget, seed=0)
    assert 0 <= found.scores["val_accuracy"] <= 1
    assert found.scores["val_loss"] < 100


def test_settings_that_are_younger_do_not_change_the_key_of_a_recipe() -> None:
    known = {
        *("epochs", "batch_size", "optimizer", "lr", "weight_decay", "momentum", "warmup_fraction", "label_smoothing"),
        *("gradient_clip", "zero_init_last", "precision"),
    }
    assert as_before(Recipe()).keys() == known
    assert as_before(Recipe(teacher="a", accumulate=2)).keys() == known | {"teacher", "accumulate"}


def _by_hand(recipe: Recipe, epochs: int, seed: int) -> dict[str, Tensor]:
    """The weights after a training with gradients added up, in a plain loop: SGD, a cosine, decay of weights alone."""
    data = load_data(DATA)
    pl.seed_everything(seed, verbose=False)
    network = channels_last(build(ARCH, zero_init_last=recipe.zero_init_last)).train()
    groups = parameter_groups(network, recipe, SCRATCH)
    optimizer = torch.optim.SGD(groups, lr=recipe.lr, momentum=recipe.momentum, nesterov=True)
    batches = Batches(data.train, data, recipe.batch_size, data.input_shape, shuffle=True, seed=seed)
    per_epoch = -(-len(batches) // recipe.accumulate)
    step = 0
    for _ in range(epochs):
        for number, (inputs, labels) in enumerate(batches, start=1):
            (F.cross_entropy(network(inputs), labels) / recipe.accumulate).backward()
            if number % recipe.accumulate == 0 or number == len(batches):
                for group in optimizer.param_groups:
                    group["lr"] = recipe.lr * lr_factor(step, epochs * per_epoch, recipe.warmup_fraction)
                optimizer.step()
                optimizer.zero_grad()
                step += 1
    return {name: value.detach() for name, value in network.named_parameters()}


@pytest.mark.parametrize("accumulate", [1, 4])
def test_gradients_are_added_up_as_in_a_plain_loop(tmp_path: Path, accumulate: int) -> None:
    recipe = replace(RECIPE, optimizer="sgd", lr=0.05, gradient_clip=None, accumulate=accumulate)
    path = tmp_path / "weights.safetensors"
    fit(ARCH, load_data(DATA), recipe, nas.Budget(epochs=2, weights=str(path)), seed=3)
    found, expected = load_weights(path), _by_hand(recipe, 2, 3)
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=1e-4, atol=1e-5)


def test_averages_count_steps_and_not_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[WeightAverage] = []
    start = WeightAverage.on_train_start

    def started(self: WeightAverage, trainer: Any, module: Any) -> None:
        kept.append(self)
        start(self, trainer, module)

    monkeypatch.setattr(WeightAverage, "on_train_start", started)
    data = load_data(DATA)
    batches = len(Batches(data.train, data, RECIPE.batch_size, data.input_shape, shuffle=True))
    fit(ARCH, data, replace(RECIPE, ema=0.9, accumulate=5), nas.Budget(epochs=2), seed=0)
    assert kept[0].state_dict()["steps"] == 2 * -(-batches // 5)


def _with_accuracies(monkeypatch: pytest.MonkeyPatch, values: list[float]) -> list[dict[str, Tensor]]:
    """Have epochs score so, and note the networks that were validated."""
    seen: list[dict[str, Tensor]] = []
    metrics, end = TaskModule.epoch_metrics, TaskModule.on_validation_epoch_start

    def scored(task: TaskModule) -> dict[str, float]:
        found = metrics(task)
        return found | {"val_accuracy": values[int(found["epoch"]) - 1]}

    def begun(task: TaskModule) -> None:
        end(task)
        seen.append({name: value.detach().clone() for name, value in task.network.state_dict().items()})

    monkeypatch.setattr(TaskModule, "epoch_metrics", scored)
    monkeypatch.setattr(TaskModule, "on_validation_epoch_start", begun)
    return seen


@pytest.mark.parametrize("ema", [0.0, 0.9])
def test_the_best_epoch_is_kept_and_training_ends_after_the_patience(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ema: float
) -> None:
    seen = _with_accuracies(monkeypatch, [0.2, 0.6, 0.5, 0.6, 0.9, 0.9])
    path, recipe = tmp_path / "weights.safetensors", replace(RECIPE, patience=2, ema=ema)
    found = fit(ARCH, load_data(DATA), recipe, nas.Budget(epochs=6, weights=str(path)), seed=1)
    assert [row["val_accuracy"] for row in found.history] == [0.2, 0.6, 0.5, 0.6]
    assert found.scores == {name: found.history[1][name] for name in DEFAULT.val_scores}
    kept = load_weights(path)
    assert all(torch.equal(kept[name], seen[1][name]) for name in kept)
    assert not all(torch.equal(kept[name], seen[3][name]) for name in kept)


def test_a_training_that_goes_on_ends_where_one_that_never_stopped_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _with_accuracies(monkeypatch, [0.2, 0.6, 0.5, 0.6, 0.9, 0.9])
    data, recipe = load_data(DATA), replace(RECIPE, patience=2, epochs=6)

    def run(name: str, *epochs: int) -> tuple[Any, dict[str, Tensor]]:
        paths = {"checkpoint": str(tmp_path / f"{name}.ckpt"), "weights": str(tmp_path / f"{name}.safetensors")}
        for count in epochs:
            found = fit(ARCH, data, recipe, nas.Budget(epochs=count, schedule_epochs=6, **paths), seed=1)  # type: ignore[arg-type]  # paths
        return (found.scores, found.history), load_weights(Path(paths["weights"]))

    (facts, weights), *others = run("whole", 6), run("parts", 3, 6), run("again", 6, 6)
    for other, state in others:
        assert other == facts
        assert all(torch.equal(state[name], weights[name]) for name in weights)


def test_without_patience_it_is_the_last_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    _with_accuracies(monkeypatch, [0.9, 0.1])
    assert fit(ARCH, load_data(DATA), RECIPE, nas.Budget(epochs=2), seed=0).scores["val_accuracy"] == 0.1


def test_what_is_best_goes_by_the_main_score_of_the_task() -> None:
    rows = [{"val_accuracy": 0.5}, {"val_accuracy": 0.7}, {"val_accuracy": 0.7}]
    assert best_row(rows, DEFAULT) is rows[1]
    score = REGRESSION.score(REGRESSION.default)
    worse, better = sorted((1.0, 2.0), reverse=not score.larger_is_better)
    losses = [{score.on_val: worse}, {score.on_val: better}]
    assert best_row(losses, REGRESSION) is losses[1]


def test_the_values_of_papers() -> None:
    """Those that other people look up: what the code of each paper has."""
    efficient = read_recipe("efficientnet")
    assert (efficient.optimizer, efficient.rmsprop_decay, efficient.momentum, efficient.rmsprop_eps) == (
        *("rmsprop", 0.9, 0.9),
        1e-3,
    )
    assert efficient.lr * 4096 / efficient.batch_size == pytest.approx(0.256)  # of the paper, with batches of 4,096
    assert (efficient.lr_decay, efficient.lr_decay_epochs, efficient.weight_decay) == (0.97, 2.4, 1e-5)
    assert efficient.warmup_fraction * efficient.epochs == pytest.approx(5, abs=0.1)
    resnet = read_recipe("resnet_rs")
    assert resnet.lr * 4096 / resnet.batch_size == pytest.approx(1.6)
    assert (resnet.weight_decay, resnet.ema, resnet.nesterov) == (4e-5, 0.9999, False)
    vit = read_recipe("vit")
    assert (vit.lr * 1024 / vit.batch_size, vit.weight_decay) == pytest.approx((1e-3, 0.05))
    assert (vit.mixup, vit.cutmix, vit.drop_path, vit.erase) == (0.8, 1.0, 0.1, 0.25)
    air = read_recipe("airbench")
    assert air.lr == pytest.approx(11.5 / (1 + 1 / (1 - 0.85)), rel=1e-3)
    assert air.weight_decay == pytest.approx(0.0153 / 11.5, rel=1e-3)
    assert air.shift * 32 == 2
