"""Training: recipe, schedule, scores, repetition, divergence."""

from __future__ import annotations

import math
import subprocess
import sys
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any, cast

import pytest
import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import nas
from nas.errors import ConfigError, DataError, TrainingError
from nas.evaluators.training import TrainingEvaluator
from nas.pytorch import build
from nas.search.trial import State
from nas.training import fit as fit_module
from nas.training.batch_norm import FreshStatistics
from nas.training.data.batches import Batches
from nas.training.data.config import DataConfig
from nas.training.data.load import load_data
from nas.training.data.splits import ImageData
from nas.training.fit import fit
from nas.training.recipe import Recipe
from nas.training.schedule import lr_factor
from nas.training.task import ImageModule, TaskModule
from nas.training.transfer.name_map import name_maps
from nas.training.transfer.parts import parameter_groups
from nas.training.transfer.settings import SCRATCH, Transfer

SPACE = nas.SearchSpace.from_dict(
    {
        "assume": {"channels": 3, "resolution": 16, "num_classes": 4},
        "stem": {"block": "conv", "out_channels": {"choose": [4, 8, 16]}, "stride": 2},
        "stages": [{"block": "mbconv", "out_channels": 16, "stride": 2, "expand_ratio": 2}],
        "head": {"block": "classifier"},
    }
)
ARCH = SPACE.decode({"stem.0.out_channels": 8})
DATA = DataConfig(name="synthetic", samples=300, num_classes=4)
RECIPE = Recipe(epochs=4, batch_size=16)


@pytest.fixture(scope="module")
def data() -> ImageData:
    return load_data(DATA)


@pytest.mark.parametrize(
    "recipe",
    [
        RECIPE,
        replace(RECIPE, optimizer="sgd", lr=0.1),
        replace(RECIPE, label_smoothing=0.1, zero_init_last=True, gradient_clip=None),
    ],
)
def test_training_learns(data: ImageData, recipe: Recipe) -> None:
    result = fit(ARCH, data, recipe, nas.Budget(epochs=6), seed=0)
    assert result.scores["val_accuracy"] > 0.9
    losses = [row["train_loss"] for row in result.history]
    assert losses[-1] < min(losses[:2])
    assert [row["epoch"] for row in result.history] == [1, 2, 3, 4, 5, 6]
    assert result.scores["val_loss"] == result.history[-1]["val_loss"]
    assert 0 < result.seconds["train_steps"] < result.seconds["evaluation"]


def test_same_seed_same_scores(data: ImageData) -> None:
    runs = [fit(ARCH, data, RECIPE, nas.Budget(epochs=2), seed=seed, augment="shift").history for seed in (1, 1, 2)]
    assert runs[0] == runs[1]
    assert runs[0] != runs[2]


def test_scores_are_those_of_the_trained_network(data: ImageData, monkeypatch: pytest.MonkeyPatch) -> None:
    """Accuracy and loss of the last epoch, worked out again by plain torch."""
    built: list[nn.Module] = []

    def remember(arch: nas.Architecture, *, zero_init_last: bool) -> nn.Module:
        built.append(build(arch, zero_init_last=zero_init_last))
        return built[-1]

    monkeypatch.setattr(fit_module, "build", remember)
    result = fit(ARCH, data, RECIPE, nas.Budget(epochs=3), seed=0)
    network = built[0].eval()
    pixels = data.val.read(torch.arange(len(data.val.labels))).float() / 255
    mean, std = (torch.tensor(v).view(-1, 1, 1) for v in (data.mean, data.std))
    with torch.no_grad():
        logits = network((pixels - mean) / std)
    accuracy = (logits.argmax(1) == data.val.labels).double().mean().item()
    assert result.scores["val_accuracy"] == pytest.approx(accuracy, abs=1e-6)
    assert result.scores["val_loss"] == pytest.approx(F.cross_entropy(logits, data.val.labels).item(), rel=1e-4)


def test_each_epoch_walks_through_the_images_as_its_number_says(
    data: ImageData, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """So a run that goes on after its first epoch sees what it would have seen."""
    walks: list[list[int]] = []
    step = TaskModule.training_step

    def noted(task: TaskModule, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        if batch_idx == 0:
            walks.append([])
        walks[-1] += batch[1].tolist()
        return step(task, batch, batch_idx)

    monkeypatch.setattr(TaskModule, "training_step", noted)
    budget = nas.Budget(epochs=1, schedule_epochs=3, checkpoint=str(tmp_path / "state.ckpt"))
    fit(ARCH, data, RECIPE, budget, seed=7)
    fit(ARCH, data, RECIPE, replace(budget, epochs=3), seed=7)
    expected = Batches(data.train, data, RECIPE.batch_size, data.input_shape, shuffle=True, seed=7)  # counts its walks
    assert walks == [torch.cat([labels for _, labels in expected]).tolist() for _ in range(3)]
    assert walks[0] != walks[1] != walks[2]


def test_a_loss_that_is_no_number_is_an_error(data: ImageData) -> None:
    with pytest.raises(TrainingError, match=r"the loss is (nan|inf) at epoch \d, step \d+; a lower train\.lr"):
        fit(ARCH, data, replace(RECIPE, optimizer="sgd", lr=100, gradient_clip=None), nas.Budget(epochs=3), seed=0)


def test_divergence_is_a_failed_trial_with_its_reason() -> None:
    wild = replace(RECIPE, optimizer="sgd", lr=100, gradient_clip=None)
    study = nas.run_search(SPACE, TrainingEvaluator(DATA, wild), trials=2, budget=nas.Budget(epochs=2))
    assert {t.state for t in study.trials} == {State.FAILED}
    assert all(t.reason.startswith("TrainingError: the loss is") for t in study.trials)


def test_a_rejected_candidate_never_reaches_build(monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[int] = []

    def spy(arch: nas.Architecture, *, zero_init_last: bool) -> nn.Module:
        built.append(nas.cost_of(arch).params)
        return build(arch, zero_init_last=zero_init_last)

    monkeypatch.setattr(fit_module, "build", spy)
    params = sorted(nas.cost_of(SPACE.decode({"stem.0.out_channels": n})).params for n in (4, 8, 16))
    study = nas.run_search(
        SPACE,
        TrainingEvaluator(DATA, RECIPE),
        trials=3,
        sampler="random",
        constraints={"params": params[1]},
        budget=nas.Budget(epochs=1),
        max_rejections=30,
    )
    assert sorted(built) == params[:2]
    assert [t for t in study.trials if t.state is State.REJECTED]


def test_a_search_with_training_repeats_exactly() -> None:
    runs = [
        nas.run_search(SPACE, TrainingEvaluator(DATA, RECIPE), trials=2, seed=7, budget=nas.Budget(epochs=1))
        for _ in range(2)
    ]
    facts = [[(t.genotype, t.scores, t.history) for t in run.trials] for run in runs]
    assert facts[0] == facts[1]


def test_data_must_fit_the_architecture(data: ImageData) -> None:
    with pytest.raises(DataError, match=r"3 channels and 4 classes, .*takes 1 channels and gives .*9"):
        fit(
            SPACE.for_data((1, 16, 16), 9).decode({"stem.0.out_channels": 8}),
            data,
            RECIPE,
            nas.Budget(epochs=1),
            seed=0,
        )
    series = nas.load_space("reference/fcn1d").for_data((3, 16), 4)
    with pytest.raises(DataError, match=r"inputs of shape \(3, 16, 16\), but the architecture takes \(3, 16\): "):
        data.check_fits(series.decode(series.sample(0)))


def test_the_network_decides_the_input_size(data: ImageData) -> None:
    small = SPACE.for_data((3, 8, 8), 4).decode({"stem.0.out_channels": 8})
    assert fit(small, data, RECIPE, nas.Budget(epochs=1), seed=0).scores
    assert next(iter(Batches(data.val, data, 8, small.input_shape)))[0].shape == (8, 3, 8, 8)


@pytest.mark.parametrize("total", [1, 7, 100])
@pytest.mark.parametrize("warmup", [0.0, 0.1, 0.5])
def test_schedule_is_a_warm_up_and_half_a_cosine(total: int, warmup: float) -> None:
    steps = round(total * warmup)
    for step in range(total):
        expected = (
            (step + 1) / (steps + 1)
            if step < steps
            else (1 + math.cos(math.pi * (step - steps) / max(1, total - steps))) / 2
        )
        assert lr_factor(step, total, warmup) == pytest.approx(expected)
    assert lr_factor(total, total, warmup) == pytest.approx(0, abs=1e-12)


def test_only_weights_decay() -> None:
    network = build(ARCH)
    decayed, rest = parameter_groups(network, replace(RECIPE, weight_decay=0.3), SCRATCH)
    assert (decayed["weight_decay"], rest["weight_decay"]) == (0.3, 0.0)
    names = {id(p): name for name, p in network.named_parameters()}
    assert all(names[id(p)].endswith(("conv.weight", "linear.weight")) for p in decayed["params"])
    assert all(names[id(p)].endswith(("norm.weight", "bias")) for p in rest["params"])
    assert len(decayed["params"]) + len(rest["params"]) == len(names)


def test_of_a_transformer_the_parameters_decay_that_do_in_timm() -> None:
    """There all do not that have one dimension, and `no_weight_decay` of its VisionTransformer, by its names."""
    arch = nas.load_space("reference/vit_tiny_16").for_data((3, 32, 32), 10).decode({})
    network = build(arch)
    public = next(one for one in name_maps() if "ViT of timm" in one.about).public_names(network.state_dict())
    timm = {public[name][0]: parameter for name, parameter in network.named_parameters()}
    expected = {name for name, value in timm.items() if value.ndim > 1 and name not in ("pos_embed", "cls_token")}
    assert {"pos_embed", "cls_token", "patch_embed.proj.weight", "blocks.3.attn.qkv.weight"} <= timm.keys()
    for decay in (SCRATCH, Transfer(weights="w", lr_decay=0.9)):
        groups = parameter_groups(network, replace(RECIPE, weight_decay=0.3), decay)
        decayed = {id(p) for group in groups if group["weight_decay"] for p in group["params"]}
        assert {name for name, parameter in timm.items() if id(parameter) in decayed} == expected
        assert sum(len(group["params"]) for group in groups) == len(timm)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"optimizer": "adam"}, "train.optimizer: unknown 'adam'. Did you mean 'adamw'"),
        ({"precision": "16"}, "train.precision: unknown '16'"),
        ({"epochs": 0}, "train.epochs must be >= 1, but got 0"),
        ({"batch_size": 1}, "train.batch_size must be >= 2"),
        ({"lr": 0.0}, "train.lr must be > 0, but got 0.0"),
        ({"lr": math.nan}, "train.lr must be > 0"),
        ({"weight_decay": -1.0}, "train.weight_decay must be >= 0"),
        ({"label_smoothing": 1.0}, "`0 <= label_smoothing < 1` must hold, but got 1.0"),
        ({"gradient_clip": 0.0}, "train.gradient_clip must be > 0"),
    ],
)
def test_bad_recipes(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Recipe(**settings)


def test_settings_load_without_torch() -> None:
    code = (
        "import nas.evaluators.training, nas.training.recipe, nas.training.data.config, sys\n"
        "print('torch' in sys.modules or 'numpy' in sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "False"


def test_validation_goes_by_statistics_of_the_weights_that_it_has(data: ImageData) -> None:
    """For the first layer as worked out by hand, from training images and the weights at the end of the epoch."""
    module = ImageModule(data, RECIPE, ARCH.input_shape, seed=3)
    task = TaskModule(build(ARCH), RECIPE)
    pl.seed_everything(0, verbose=False)
    seen: dict[str, torch.Tensor] = {}

    class Look(pl.Callback):
        def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
            seen.update({name: one.clone() for name, one in task.network.state_dict().items()})

    trainer = pl.Trainer(
        max_epochs=1,
        accelerator="cpu",
        callbacks=[FreshStatistics(), Look()],
        num_sanity_val_steps=0,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(task, datamodule=module)
    # The first normalisation sees the first convolution of each batch.
    layers = [(name, one) for name, one in task.network.named_modules() if isinstance(one, nn.Conv2d | nn.BatchNorm2d)]
    (_, convolution), (first, norm) = layers[:2]
    batches = [convolution(inputs) for inputs, _ in islice(module.some_training_batches(), 10)]
    means = torch.stack([one.mean(dim=(0, 2, 3)) for one in batches]).mean(dim=0)
    variances = torch.stack([one.var(dim=(0, 2, 3)) for one in batches]).mean(dim=0)
    torch.testing.assert_close(seen[f"{first}.running_mean"], means)
    torch.testing.assert_close(seen[f"{first}.running_var"], variances)
    assert norm.momentum == 0.1


def test_one_epoch_on_few_images_is_better_than_chance() -> None:
    """Running averages would still be where they began: validation at 10 %."""
    digits = load_data(DataConfig(augment="shift"))
    space = nas.load_space("mbconv").for_data((1, 8, 8), 10)
    small = min((space.decode(space.sample(seed=seed)) for seed in range(40)), key=lambda arch: nas.cost_of(arch).macs)
    scores = fit(small, digits, Recipe(epochs=12), nas.Budget(epochs=1, schedule_epochs=12), seed=0).scores
    assert scores["val_accuracy"] > 0.3


@pytest.mark.parametrize(("optimizer", "precision", "fused"), [
    ("adamw", "32-true", True), ("sgd", "32-true", True), ("adamw", "bf16-mixed", False), ("sgd", "bf16-mixed", False)
])  # fmt: skip
def test_optimisers_are_fused_where_their_gradients_can_be_clipped(optimizer: str, precision: str, fused: bool) -> None:
    digits = load_data(DataConfig())
    architecture = SPACE.for_data((1, 8, 8), 10).decode({"stem.0.out_channels": 8})
    recipe = Recipe(optimizer=optimizer, lr=0.01, epochs=1, precision=precision)
    seen = list[bool]()

    class Look(pl.Callback):
        def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
            seen.extend(bool(group["fused"]) for group in trainer.optimizers[0].param_groups)

    task = TaskModule(nas.build(architecture), recipe)
    trainer = pl.Trainer(
        max_epochs=1,
        accelerator="cpu",
        precision=cast("Any", precision),
        gradient_clip_val=recipe.gradient_clip,
        callbacks=[Look()],
        num_sanity_val_steps=0,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(task, datamodule=ImageModule(digits, recipe, (1, 8, 8)))
    assert seen == [fused, fused]
    found = fit(architecture, digits, recipe, seed=0)
    assert math.isfinite(found.scores["val_loss"])


def test_a_training_step_never_waits_for_its_device() -> None:
    """Tensors of `meta` have no values, so that a look at one is an error; the loss is checked in one step of 50."""
    recipe = Recipe(erase=0.5, mixup=0.2, cutmix=1.0, label_smoothing=0.1)
    space = nas.load_space("mbconv").for_data((3, 16, 16), 4)
    network = nas.build(space.decode(space.sample(0))).to("meta")
    task = TaskModule(network, recipe).to("meta")
    batch = torch.empty(8, 3, 16, 16, device="meta"), torch.empty(8, dtype=torch.int64, device="meta")
    loss = task.training_step(batch, 1)
    loss.backward()
    assert loss.device.type == "meta"
    with pytest.raises(Exception, match="meta"):
        task.training_step(batch, 50)
