"""Segmentation: its loss and scores by other code, masks that move with their pictures, and what is made up for it."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from sklearn import metrics
from torchmetrics.functional.classification import multiclass_jaccard_index

import nas
from nas.errors import ConfigError, DataError
from nas.exporting.class_maps import restored
from nas.exporting.preprocess import Preprocess
from nas.training.data.batches import Batches
from nas.training.data.cells import picture
from nas.training.data.config import DataConfig
from nas.training.data.load import load_data
from nas.training.data.splits import ImageData, MemoryImages
from nas.training.fit import fit
from nas.training.memory import training_memory
from nas.training.progressive import check_stages, stages_of
from nas.training.recipe import Recipe
from nas.training.scores_of_maps import BOOTSTRAP, scores_of_maps
from nas.training.tasks.segmentation import IGNORED, SEGMENTATION, at_size, confusion_of
from nas.training.tasks.task import Alone
from nas.training.weights import trained_network
from tests.run_command import run
from tests.training.tasks.pictures_with_targets import folder_for

CELLS = DataConfig(name="cells", samples=60, resolution=24, channels=1)


def _maps(classes: int = 4, count: int = 12) -> tuple[Any, Any]:
    rng = np.random.default_rng(0)
    masks = rng.integers(0, classes, (count, 6, 5)).astype(np.uint8)
    told = np.where(rng.random(masks.shape) < 0.6, masks, rng.integers(0, classes, masks.shape)).astype(np.uint8)
    masks[rng.random(masks.shape) < 0.2] = IGNORED
    return told, masks


def test_scores_are_scikit_learns_and_torchmetrics() -> None:
    told, masks = _maps()
    counted = masks != IGNORED
    ours = SEGMENTATION.measured(told, masks)
    theirs = metrics.confusion_matrix(masks[counted], told[counted])
    np.testing.assert_array_equal(confusion_of(told, masks)[:4, :4], theirs)
    index = multiclass_jaccard_index(
        torch.from_numpy(told).long(), torch.from_numpy(masks).long(), num_classes=4, ignore_index=IGNORED
    )
    assert ours["mean_iou"] == pytest.approx(float(index), rel=1e-6)
    assert ours["pixel_accuracy"] == pytest.approx(metrics.accuracy_score(masks[counted], told[counted]))


def test_the_mean_is_over_classes_that_are_there_or_told() -> None:
    """By hand: class 0 has 2 of 3, class 1 none of 1, class 2 is told of a pixel of 0; class 3 is nowhere."""
    masks = np.array([[[0, 0, 1], [0, 255, 0]]], dtype=np.uint8)
    told = np.array([[[0, 0, 0], [2, 3, 0]]], dtype=np.uint8)
    ious = [3 / 5, 0, 0]
    assert SEGMENTATION.measured(told, masks) == pytest.approx({"mean_iou": sum(ious) / 3, "pixel_accuracy": 3 / 5})
    outputs = F.one_hot(torch.from_numpy(told).long(), 4).permute(0, 3, 1, 2).float()
    tally = SEGMENTATION.tally()
    tally.add(outputs, torch.from_numpy(masks), torch.tensor(0.5))
    assert tally.scores(Alone()) == pytest.approx({"loss": 0.5, "mean_iou": sum(ious) / 3, "pixel_accuracy": 3 / 5})


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("weighted", [False, True])
def test_the_loss_is_a_mean_over_counted_pixels_of_each_image(smoothing: float, weighted: bool) -> None:
    torch.manual_seed(0)
    logits, masks = torch.randn(3, 4, 6, 5), torch.from_numpy(_maps(count=3)[1])
    masks[2] = IGNORED
    weights = torch.tensor([0.5, 1.0, 2.0, 3.0]) if weighted else None
    each = SEGMENTATION.loss(None, smoothing, weights)(logits, masks, "none")
    for image in range(2):
        pixels = [(row, column) for row in range(6) for column in range(5) if masks[image, row, column] != IGNORED]
        total = 0.0
        for row, column in pixels:
            log = logits[image, :, row, column].log_softmax(0)
            wanted = F.one_hot(masks[image, row, column].long(), 4) * (1 - smoothing) + smoothing / 4
            total -= float((wanted * log * (1.0 if weights is None else weights)).sum())
        assert float(each[image]) == pytest.approx(total / len(pixels), rel=1e-5)
    assert float(each[2]) == 0.0
    assert float(SEGMENTATION.loss(None, smoothing, weights)(logits, masks, "mean")) == pytest.approx(
        float(each.mean())
    )


def test_weights_let_the_pixels_of_all_classes_weigh_the_same() -> None:
    masks = torch.tensor([[[0, 0, 0, 0], [0, 0, 1, 255]]], dtype=torch.uint8)
    weights = SEGMENTATION.weights(masks, 2)
    assert weights is not None
    assert weights.tolist() == pytest.approx([7 / 12, 7 / 2])


def test_networks_of_other_sizes_are_scored_at_that_of_the_masks() -> None:
    logits = torch.zeros(1, 2, 2, 2)
    logits[0, 1, :, 1] = 3.0
    logits[0, 0, :, 0] = 1.0
    masks = torch.tensor([[[0, 0, 1, 1]] * 4], dtype=torch.uint8)
    tally, loss = SEGMENTATION.tally(), SEGMENTATION.loss()
    tally.add(logits, masks, loss(logits, masks, "mean"))
    found = tally.scores(Alone())
    # A quarter and three quarters of the way: class 0 leads by .75 x 1 - .25 x 3 = 0 in the second column, which is 0.
    assert found["pixel_accuracy"] == 1.0
    assert at_size(logits, (4, 4))[0, :, 0].T.tolist() == [[1, 0], [0.75, 0.75], [0.25, 2.25], [0, 3]]


def _as_images(masks: torch.Tensor) -> ImageData:
    """Pictures that show their masks: level 60 times the class."""
    data = load_data(CELLS)
    images = MemoryImages((masks * 60)[:, None], masks)
    return replace(data, train=images, mean=(0.0,), std=(1 / 255,))


MOVES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "shift": ({"shift": 0.25}, {}),
    "flip": ({"flip": True}, {}),
    "flip_vertical": ({}, {"flip_vertical": True}),
    "crop": ({}, {"crop_scale": 0.3}),
    "rotation": ({}, {"rotation": 40.0}),
    "all": ({"shift": 0.1, "flip": True}, {"flip_vertical": True, "crop_scale": 0.5, "rotation": 20.0}),
}


@pytest.mark.parametrize("name", MOVES)
def test_masks_move_with_their_pictures(name: str) -> None:
    """Pictures that show their masks still show them, but at edges, where levels are interpolated."""
    walk, recipe = MOVES[name]
    masks = torch.from_numpy(np.kron(np.random.default_rng(0).integers(0, 4, (40, 4, 4)), np.ones((6, 6)))).byte()
    data = _as_images(masks)
    batches = Batches(data.train, data, 40, data.input_shape, recipe=Recipe(**recipe), seed=1, **walk)
    ((inputs, moved),) = batches
    shown = inputs[:, 0] / 60
    exact = (shown - shown.round()).abs() < 1e-3
    assert exact.float().mean() > 0.4
    # Interpolated levels may be those of another class by chance, such as 1 between 0 and 2.
    assert (shown.round() == moved)[exact].float().mean() > 0.97
    assert moved.dtype == torch.uint8
    assert (moved != masks).float().mean() > 0.2
    if name in ("shift", "flip", "flip_vertical"):
        assert torch.equal(shown, moved.float())


def test_what_changes_levels_and_rectangles_leaves_masks() -> None:
    masks = torch.from_numpy(np.random.default_rng(0).integers(0, 4, (8, 24, 24))).byte()
    data = _as_images(masks)
    recipe = Recipe(brightness=0.5, contrast=0.5, erase=1.0)
    ((inputs, left),) = Batches(data.train, data, 8, data.input_shape, recipe=recipe, seed=1)
    assert torch.equal(left, masks)
    assert not torch.equal(inputs[:, 0], masks * 60.0)
    ((inputs, left),) = Batches(data.train, data, 8, (1, 12, 12), recipe=recipe, seed=1)
    assert (inputs.shape[2:], left.shape[1:]) == ((12, 12), (24, 24))


STAGED = Recipe(progressive_stages=2, progressive_resolution=0.5)


def test_masks_keep_their_size_in_every_stage() -> None:
    """What is drawn for them, too: they are moved as they are without stages."""
    data = load_data(CELLS)
    given: dict[str, Any] = {"shuffle": True, "shift": 0.2, "flip": True, "seed": 3}
    for epoch, side in ((0, 12), (1, 24)):
        walk: dict[str, Any] = {"walk": lambda epoch=epoch: epoch, "recipe": replace(STAGED, rotation=20.0), **given}
        staged = Batches(data.train, data, 8, data.input_shape, stages=stages_of(walk["recipe"], 2), **walk)
        plain = Batches(data.train, data, 8, data.input_shape, **walk)
        for (inputs, masks), (whole, expected) in zip(staged, plain, strict=True):
            assert torch.equal(masks, expected)
            small = F.interpolate(whole, (side, side), mode="bilinear", antialias=True) if side < 24 else whole
            torch.testing.assert_close(inputs, small)


def test_networks_without_enlarged_maps_go_through_stages_and_others_are_refused() -> None:
    plain = {"name": "plain", "stages": [{"block": "conv", "out_channels": 8}], "head": {"block": "pixel_classifier"}}
    assume = {"assume": {"channels": 1, "resolution": 24, "num_classes": 3}}
    arch = nas.SearchSpace.from_dict(plain | assume).decode({})
    found = fit(arch, load_data(CELLS), replace(STAGED, epochs=2), seed=0)
    assert 0 < found.scores["val_mean_iou"] <= 1
    space = nas.load_space("unet").for_data((1, 24, 24), 3)
    with pytest.raises(ConfigError, match=r"takes images of 24x24 only, not the 12x12 of an earlier stage: .*Upsample"):
        check_stages(space.decode(space.sample(0)), STAGED)


def test_blocks_computed_again_train_the_same_network() -> None:
    space = nas.load_space("unet").for_data((1, 24, 24), 3)
    arch, recipe = space.decode(space.sample(0)), Recipe(epochs=1, batch_size=16)
    whole = training_memory(arch, recipe)
    limited = replace(recipe, memory_mib=0.7 * whole.mib)
    assert training_memory(arch, limited).blocks
    history, again = (fit(arch, load_data(CELLS), one, seed=0).history for one in (recipe, limited))
    for name in ("train_loss", "val_loss", "val_mean_iou"):
        assert again[0][name] == pytest.approx(history[0][name], rel=1e-5)


def test_the_epoch_of_the_best_maps_is_kept() -> None:
    space = nas.load_space("unet").for_data((1, 24, 24), 3)
    # With a rate that is too high and stays so, the first epochs are the better ones.
    recipe = Recipe(epochs=4, batch_size=16, accumulate=2, patience=4, schedule="exponential", lr=0.3, lr_decay=1.0)
    found = fit(space.decode(space.sample(0)), load_data(CELLS), recipe, seed=0)
    reached = [row["val_mean_iou"] for row in found.history]
    assert found.scores["val_mean_iou"] == max(reached) > reached[-1]


def test_cells_are_the_same_whatever_their_number_and_have_all_classes() -> None:
    some, more = (load_data(replace(CELLS, samples=count)) for count in (60, 90))
    first, mask = picture(np.random.default_rng((0, 0)), 24)
    pictures = {bytes(one.numpy().tobytes()) for one in more.train.read(torch.arange(len(more.train.labels)))[:, 0]}
    shared = [bytes(one.numpy().tobytes()) for one in some.train.read(torch.arange(len(some.train.labels)))[:, 0]]
    assert pictures >= set(shared)
    assert first.dtype == mask.dtype == np.uint8
    assert first.shape == (24, 24)
    assert some.classes == ("background", "round", "long")
    shares = np.bincount(more.train.labels.numpy().ravel(), minlength=3) / more.train.labels.numel()
    assert 0.6 < shares[0] < 0.95
    assert min(shares[1:]) > 0.03


def test_levels_alone_do_not_tell_classes() -> None:
    """The best class by level alone: round and long cells are mostly not told apart."""
    made = [picture(np.random.default_rng((5, number)), 48) for number in range(60)]
    levels, masks = (np.stack(parts).ravel() for parts in zip(*made, strict=True))
    counts = np.zeros((256, 3), dtype=np.int64)
    np.add.at(counts, (levels, masks), 1)
    told = counts.argmax(axis=1)[levels].astype(np.uint8)
    assert SEGMENTATION.measured(told, masks)["mean_iou"] < 0.5


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"resolution": 8}, "data.resolution must be >= 16, but got 8"),
        ({"split_scheme": 1}, "data.split_scheme must be 2 or 3, but got 1"),
    ],
)
def test_what_cells_cannot_be(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        load_data(replace(CELLS, **changes))


def test_a_classifier_cannot_learn_it() -> None:
    data = load_data(CELLS)
    arch = nas.load_space("small_images").for_data(data.input_shape, 3)
    with pytest.raises(DataError, match=r"3 classes, but the architecture takes 1 channels and gives \(\(3,\),\)"):
        data.check_fits(arch.decode(arch.sample(0)))
    with pytest.raises(ConfigError, match=r"train.cutmix"):
        data.task.check_training(cutmix=1.0, balance="none")


def test_intervals_are_of_the_images_and_the_worst_come_first() -> None:
    told, masks = _maps(3, 40)
    told[7] = (masks[7] + 1) % 3
    names = [f"{number}.png" for number in range(40)]
    found = scores_of_maps(SEGMENTATION, told, masks, ("a", "b", "c"), names=names, worst=3)
    assert found.interval == BOOTSTRAP
    assert found.worst[0].name == "7.png"
    assert found.worst[0].off == 1.0
    assert [one.off for one in found.worst] == sorted((one.off for one in found.worst), reverse=True)
    for name, (low, high) in found.intervals.items():
        assert low < found.scores[name] < high
    # A mean over images that weigh alike has about the interval of the normal distribution.
    right = [(told[i] == masks[i])[masks[i] != IGNORED].mean() for i in range(40)]
    half = 1.96 * np.std(right) / np.sqrt(40)
    low, high = found.intervals["pixel_accuracy"]
    assert high - low == pytest.approx(2 * half, rel=0.25)
    ious = metrics.jaccard_score(masks[masks != IGNORED], told[masks != IGNORED], average=None)
    assert [one.scores["iou"] for one in found.outputs] == pytest.approx(list(ious))


def test_a_split_does_not_hang_on_other_pictures(tmp_path: Path) -> None:
    config = folder_for("segmentation", tmp_path / "data", images=60)
    names = {path.name for path in load_data(config).val.files}  # type: ignore[attr-defined]  # of files
    for number in range(8):
        for folder in ("images", "masks"):
            (tmp_path / "data" / folder / f"{number}.png").unlink()
    fewer = load_data(replace(config, memory_mib=0, val_fraction=config.val_fraction))
    images = fewer.val
    files = {path.name for path in images.files}  # type: ignore[attr-defined]
    assert files == names - {f"{number}.png" for number in range(8)}
    before = fewer.fingerprint
    path = tmp_path / "data" / "masks" / "20.png"
    mask = np.array(Image.open(path))
    mask[-1, -1] = 1 if mask[-1, -1] != 1 else 2
    Image.fromarray(mask).save(path)
    load_data.cache_clear()
    assert load_data(replace(config, memory_mib=0)).fingerprint != before  # another mask is another data set


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_from_search_to_the_shipped_script(tmp_path: Path) -> None:
    """What predict.py says of files, with nothing of nas on its path, is what torch says of the weights."""
    settings = ["data=cells", "data.samples=80", "data.resolution=24", "workers=1", "train.epochs=1"]
    settings += ["train.batch_size=16", "search.trials=2", "constraints.params=40000", "records.mlflow=false"]
    assert run("nas.search", "+space=unet", *settings, "name=s", cwd=tmp_path).returncode == 0
    study = json.loads((tmp_path / "runs" / "s" / "study.json").read_text())
    assert study["objective"] == ["val_mean_iou"]
    finish = ["workers=1", "train.epochs=1", "train.batch_size=16", "finish.top_k=1", "finish.seeds=1"]
    finish += ["finish.final_seeds=1", "finish.baseline=none", "mlflow=false"]
    assert run("nas", "finish", "runs/s", *finish, cwd=tmp_path).returncode == 0
    model = tmp_path / "runs" / "s" / "finish" / "model"
    report = json.loads((model.parent / "report.json").read_text())
    scored = nas.evaluate(model, split="test")
    shipped = next(iter(report["final"]["winner"]["test"]["by_seed"].values()))
    assert scored.to_dict()["mean_iou"] == pytest.approx(shipped, rel=1e-3)
    files = []
    for number, side in enumerate((24, 37, 60)):
        files.append(tmp_path / f"{number}.png")
        Image.fromarray(picture(np.random.default_rng((9, number)), side)[0]).save(files[-1])
    words = [sys.executable, "-I", str(model / "predict.py"), *map(str, files), "--masks", str(tmp_path / "masks")]
    told = subprocess.run([*words, "--format", "json"], capture_output=True, text=True, check=True, cwd="/").stdout
    again = subprocess.run(words, capture_output=True, text=True, check=False, cwd="/")
    assert again.returncode == 2
    assert "must be a new or an empty folder" in again.stderr
    arch = nas.Architecture.from_json((tmp_path / "runs" / "s" / "best_architecture.json").read_text())
    network = trained_network(arch, model.parent / "weights" / report["final"]["winner"]["weights"][0])
    preprocess = json.loads((model / "preprocess.json").read_text())
    for file, one in zip(files, json.loads(told), strict=True):
        with Image.open(file) as image:
            small = np.asarray(image.resize((24, 24), Image.Resampling.BILINEAR), dtype=np.float32)
            size = (image.height, image.width)
        x = (torch.from_numpy(small) / 255 - preprocess["mean"][0]) / preprocess["std"][0]
        with torch.no_grad():
            logits = network(x[None, None])
        named = logits.argmax(1)[0].numpy().astype(np.uint8)
        margin = logits.topk(2, dim=1).values.diff(dim=1).abs()[0, 0].numpy()
        reading = Preprocess.from_dict(preprocess).reading
        mask = np.asarray(Image.open(one["mask"]))
        sure = restored((margin > 1e-3).astype(np.uint8), size, reading) == 1
        assert sure.mean() > 0.95
        np.testing.assert_array_equal(mask[sure], restored(named, size, reading)[sure])
        assert sum(one["shares"].values()) == pytest.approx(1)
        assert one["shares"]["background"] == pytest.approx((mask == 0).mean())
