"""Series as data: contents, splits, lengths, mask, what is missing, and what is said of files that are not right."""

from __future__ import annotations

import random
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from nas.errors import ConfigError, DataError
from nas.exporting.series_files import SeriesReading
from nas.reports.data_page import data_page, lines_of
from nas.training.augment import erased, mixed
from nas.training.data.batches import Batches
from nas.training.data.config import DataConfig
from nas.training.data.load import load_data
from nas.training.data.overview import overview, samples
from nas.training.data.registry import check_files, check_recipe
from nas.training.data.splits import ImageData
from nas.training.data.test_split import Ledger, read_test_split
from nas.training.recipe import Recipe
from tests.training.series_files_of_tests import CLASSES, LONGEST, waves, waves_folder, write_npz, write_ts, write_tsv

NAN = float("nan")


def _config(root: Path, **settings: Any) -> DataConfig:
    return DataConfig(name="series", root=str(root), **settings)


def _rows(data: ImageData, split: str = "train") -> set[tuple[Any, ...]]:
    images = getattr(data, split)
    values = images.read(torch.arange(len(images.labels))).numpy()
    return {
        (label, *map(str, np.round(own.ravel(), 3))) for own, label in zip(values, images.labels.tolist(), strict=True)
    }


def test_the_splits_are_those_of_the_files_and_the_numbers_those_in_them(tmp_path: Path) -> None:
    root = waves_folder(tmp_path / "waves")
    config = _config(root)
    data = load_data(config)
    test = read_test_split(config, Ledger(tmp_path), arch_id="none", seed=0, purpose="a look")
    assert data.classes == ("even", "fast", "slow")
    assert data.input_shape == (2, LONGEST)  # of unequal length: with a mask
    assert data.reading == SeriesReading(1, LONGEST, mask=True)
    assert data.images["train"] + data.images["val"] == 90
    assert data.images["test"] == len(test.labels) == 45
    series, labels = waves(90, 1)
    wanted = set()
    for one, label in zip(series, labels, strict=True):
        own, there = np.full(LONGEST, np.nan), np.zeros(LONGEST)
        own[: one.shape[1]], there[: one.shape[1]] = one[0], 1
        row = np.round(np.concatenate([own, there]).astype(np.float32), 3)
        wanted.add((data.classes.index(label), *map(str, row)))
    assert _rows(data) | _rows(data, "val") == wanted
    # Mean and deviation are over what is there, in the training split alone.
    train = data.train.read(torch.arange(len(data.train.labels))).numpy().astype(np.float64)[:, 0]
    assert data.mean == pytest.approx((np.nanmean(train), 0.0), rel=1e-6)
    assert data.std == pytest.approx((np.nanstd(train), 1.0), rel=1e-6)


def test_a_split_follows_from_the_content_whatever_holds_it_and_however_long_it_is_made(tmp_path: Path) -> None:
    series, labels = waves(120, 3)
    files = [
        write(tmp_path / name, series, labels)
        for write, name in ((write_tsv, "a.tsv"), (write_ts, "b.ts"), (write_npz, "c.npz"))
    ]
    found = [load_data(_config(file)) for file in files]
    assert len({data.fingerprint for data in found}) == 1
    assert len({frozenset(_rows(data, "val")) for data in found}) == 1
    assert 0 < found[0].images["test"] < 60
    # Others are added, and all is cut: nothing changes its split.
    more, others = waves(40, 4)
    longer = load_data(_config(write_ts(tmp_path / "d.ts", [*more, *series], [*others, *labels]), length=14))
    first = load_data(_config(files[1], length=14))
    for split in ("train", "val"):
        assert _rows(first, split) <= _rows(longer, split)


def test_a_series_is_cut_or_filled_up_to_a_length_that_is_set_and_this_is_said(tmp_path: Path) -> None:
    root = waves_folder(tmp_path / "waves")
    cut, longer = load_data(_config(root, length=14)), load_data(_config(root, length=30, mask="no"))
    assert cut.input_shape == (1, 14)  # nothing is absent then
    assert any("are longer than 14 steps and are cut at their end" in note for note in cut.notes)
    assert longer.input_shape == (1, 30)
    assert any("nothing tells it" in note for note in longer.notes)
    inputs = torch.cat([inputs for inputs, _ in Batches(longer.train, longer, 16, longer.input_shape)])
    assert (inputs[:, 0, LONGEST:] == 0).all()
    assert load_data(_config(root, length=14, mask="yes")).input_shape == (2, 14)


def test_what_is_missing_is_refused_or_the_mean(tmp_path: Path) -> None:
    path = tmp_path / "x_TRAIN.ts"
    lines = [f"{i}.5,?,{i}:{2 * i},{i},?:{'a' if i % 2 else 'b'}" for i in range(40)]
    path.write_text("@problemName x\n@classLabel true a b\n@data\n" + "\n".join(lines) + "\n")
    with pytest.raises(DataError, match=r"40 series have 80 missing values: x_TRAIN.ts:4, .*data.missing=mean"):
        load_data(_config(path))
    data = load_data(_config(path, missing="mean"))
    assert data.input_shape == (2, 3)  # at every step one of the channels has a value: no mask
    values = data.train.read(torch.arange(len(data.train.labels))).numpy().astype(np.float64)
    assert data.mean == pytest.approx(np.nanmean(values, axis=(0, 2)))
    inputs = torch.cat([inputs for inputs, _ in Batches(data.train, data, 16, data.input_shape)])
    np.testing.assert_array_equal(inputs.numpy() == 0, np.isnan(values))
    np.testing.assert_allclose(inputs[:, 0, 0], (values[:, 0, 0] - data.mean[0]) / data.std[0], rtol=1e-5)


def test_a_channel_that_never_changes_is_only_centred(tmp_path: Path) -> None:
    x = np.stack([np.random.default_rng(0).normal(size=(60, 5)), np.full((60, 5), 7.0)], axis=1)
    np.savez(tmp_path / "x.npz", x=x, y=np.arange(60) % 2)
    data = load_data(_config(tmp_path / "x.npz"))
    assert (data.mean[1], data.std[1]) == (7.0, 1.0)
    assert data.classes == ("0", "1")


def test_numbers_are_classes_in_their_order_however_they_are_written(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for split, names in (("TRAIN", ("10", "2", "-1")), ("TEST", ("1.0e1", "2.0", "-1"))):
        rows = [[names[i % 3], *(f"{value:.3f}" for value in rng.normal(size=4))] for i in range(30)]
        (tmp_path / f"N_{split}.tsv").write_text("\n".join("\t".join(row) for row in rows))
    data = load_data(_config(tmp_path))
    assert data.classes == ("-1", "2", "10")
    assert data.images_by_class["test"] == (10, 10, 10)


def _labelled(names: str, count: int = 12) -> str:
    rng = np.random.default_rng(len(names))
    rows = [[names[i % len(names)], *(f"{value:.3f}" for value in rng.normal(size=4))] for i in range(count)]
    return "\n".join("\t".join(row) for row in rows)


BAD: dict[str, tuple[dict[str, str], str]] = {
    "nothing": ({}, "has not any file of series"),
    "a test split alone": ({"a_TEST.tsv": _labelled("ab")}, "has not a file _TRAIN beside these"),
    "several files": ({"a.tsv": _labelled("ab"), "b.tsv": _labelled("ab")}, "has 2 files that could be meant"),
    "one class": ({"a.tsv": _labelled("a")}, "must have series of two classes at least"),
    "a class of the test alone": (
        {"a_TRAIN.tsv": _labelled("ab", 40), "a_TEST.tsv": _labelled("abc")},
        "1 class has no training images: c",
    ),
    "the test is the training": (
        {"a_TRAIN.tsv": _labelled("ab", 40), "a_TEST.tsv": _labelled("ab", 40)},
        "test must be other images than train",
    ),
    "no classes": ({"a.ts": "@classLabel false\n@data\n1,2\n"}, "a.ts has no classes: @classLabel must be true"),
    "a ragged table": ({"a.tsv": "a\t1\t2\nb\t1\n"}, "a.tsv: line 2 has 2 values, the first has 3"),
    "text": ({"a.tsv": "a\t1\tx\n"}, "a.tsv: line 1, value 2: 'x' must be a number"),
    "infinity": ({"a.tsv": "a\t1\tinf\n"}, "'inf' must be a number that is finite"),
    "empty": ({"a.tsv": ""}, "a.tsv: it has no series"),
    "other channels": (
        {"a_TRAIN.ts": "@classLabel true\n@data\n1:2:a\n3:4:b\n", "a_TEST.ts": "@classLabel true\n@data\n1:a\n"},
        "all series must have as many channels, but a_TRAIN.ts:3 has 2, a_TEST.ts:3 1",
    ),
    "one step": ({"a.tsv": "a\t1\nb\t2\n" + "".join(f"a\t{i}\nb\t{-i}\n" for i in range(3, 30))}, "two steps at least"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_wrong_with_a_folder_is_said(case: str, tmp_path: Path) -> None:
    files, wanted = BAD[case]
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=re.escape(wanted)):
        load_data(_config(tmp_path))


def test_what_can_be_seen_without_torch_is_said_by_the_look_before(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text("a\t1\tx\n")
    for root, wanted in ((tmp_path, "must be a number"), (tmp_path / "b.arff", "no file or folder")):
        with pytest.raises(DataError, match=wanted):
            check_files(_config(root))
    (tmp_path / "b.arff").write_text("")
    with pytest.raises(DataError, match=r"must end in .tsv, .csv, .ts, .npz"):
        check_files(_config(tmp_path / "b.arff"))
    with pytest.raises(DataError, match=r"give data\.root=FILE"):
        check_files(DataConfig(name="series"))


def test_arrays_that_are_no_series_are_refused_and_no_pickle_is_opened(tmp_path: Path) -> None:
    path, labels = tmp_path / "x.npz", np.arange(6) % 2
    cases: list[tuple[dict[str, Any], str]] = [
        ({"x": np.array([None] * 6, dtype=object), "y": labels}, "Python objects, which only pickle reads"),
        ({"x": np.zeros((6, 4))}, "has x, but no labels beside it"),
        ({"x": np.zeros((6, 4)), "y": labels / 2}, "labels are whole numbers or text"),
        ({"x": np.zeros((5, 4)), "y": labels}, "x has 5 series, y 6 classes"),
        ({"x": np.zeros(6), "y": labels}, "x must be (n, length) or (n, channels, length)"),
        ({"x": np.full((6, 4), np.inf), "y": labels}, "x[0] has inf at [0, 0]"),
        ({"x": np.zeros((6, 4)), "y": np.zeros(6, dtype=int)}, "labels of two classes at least"),
    ]
    for arrays, wanted in cases:
        np.savez(path, **arrays)
        with pytest.raises(DataError, match=re.escape(wanted)):
            check_files(_config(path))
    path.write_bytes(b"PK\x03\x04 and no more")
    with pytest.raises(DataError, match=r"data series: .*cannot be read"):
        check_files(_config(path))


def test_what_is_larger_than_may_be_kept_is_refused_before_it_is_parsed(tmp_path: Path) -> None:
    path = tmp_path / "a.tsv"
    path.write_text("no number at all\n" * 200_000)
    with pytest.raises(DataError, match=r"a.tsv have 3 MiB, more than data.memory_mib=1"):
        check_files(_config(path, memory_mib=1))
    # One long series makes all of them long.
    path.write_text(
        "@classLabel true\n@data\n" + "".join(f"{i},1:a\n{i},2:b\n" for i in range(50)) + "1," * 9999 + "1:a\n"
    )
    path = path.rename(tmp_path / "a.ts")
    with pytest.raises(DataError, match="101 series of 1 x 10,000 values take 8 MiB"):
        load_data(_config(path, memory_mib=1, val_fraction=0.01, test_fraction=0.01))


def test_settings_of_images_and_of_series_are_told_apart(tmp_path: Path) -> None:
    for settings, wanted in (
        ({"name": "digits", "length": 5}, "data.length is of series; digits has images"),
        ({"name": "digits", "missing": "mean"}, "data.missing is of series"),
        ({"name": "series", "augment": "shift_flip"}, "shift_flip mirrors images"),
        ({"name": "series", "split_scheme": 1}, "split_scheme=1 is of images"),
        ({"name": "series", "resolution": 8}, "data.resolution is of"),
    ):
        with pytest.raises(ConfigError, match=re.escape(wanted)):
            DataConfig(**settings)
    for recipe in (
        Recipe(rotation=10),
        Recipe(crop_scale=0.5),
        Recipe(trivial_augment=True),
        Recipe(flip_vertical=True),
    ):
        with pytest.raises(ConfigError, match="are for images, but data=series has series"):
            check_recipe(DataConfig(name="series"), recipe)
    check_recipe(
        DataConfig(name="series"), Recipe(flip=True, shift=0.1, erase=0.5, mixup=0.2, cutmix=1, label_smoothing=0.1)
    )
    check_recipe(DataConfig(name="digits"), Recipe(rotation=10))


def test_a_training_batch_is_moved_along_time_with_its_mask(tmp_path: Path) -> None:
    data = load_data(_config(waves_folder(tmp_path / "waves")))
    (plain, _), *_ = Batches(data.train, data, 1000, data.input_shape)
    for shuffle, shift in ((False, 0.25), (False, 0.5)):
        (moved, _), *_ = Batches(data.train, data, 1000, data.input_shape, shuffle=shuffle, shift=shift, seed=3)
        offsets = set()
        for own, other in zip(plain.numpy(), moved.numpy(), strict=True):
            reach = int(LONGEST * shift)
            fits = [
                offset
                for offset in range(-reach, reach + 1)
                if (own[:, np.clip(np.arange(LONGEST) + offset, 0, LONGEST - 1)] == other).all()
            ]
            assert fits
            offsets.add(fits[0])
        assert len(offsets) > 5


def test_a_network_of_another_length_gets_series_resized(tmp_path: Path) -> None:
    data = load_data(_config(waves_folder(tmp_path / "waves")))
    (plain, _), *_ = Batches(data.val, data, 1000, data.input_shape)
    (half, _), *_ = Batches(data.val, data, 1000, (2, LONGEST // 2))
    # Of half the length: a triangle of weights 1 3 3 1, cut off at the ends.
    inside = (plain[:, :, 1:-4:2] + 3 * plain[:, :, 2:-3:2] + 3 * plain[:, :, 3:-2:2] + plain[:, :, 4:-1:2]) / 8
    torch.testing.assert_close(half[:, :, 1:-1], inside, atol=1e-5, rtol=1e-5)


def test_spans_are_erased_and_exchanged_along_time() -> None:
    inputs, labels = torch.arange(1.0, 1 + 64 * 2 * 50).reshape(64, 2, 50), torch.arange(64)
    found = erased(inputs, 0.5, np.random.default_rng(0))
    gone = found == 0
    assert (gone[:, 0] == gone[:, 1]).all()
    assert torch.equal(found[~gone], inputs[~gone])
    lengths = gone[:, 0].sum(1)
    assert 20 <= (lengths > 0).sum() <= 44
    assert lengths[lengths > 0].min() >= 1
    assert lengths.max() <= round(0.33 * 50) + 1
    for own in gone[lengths > 0][:, 0]:  # a span, without gaps
        where = own.nonzero().flatten()
        assert where[-1] - where[0] + 1 == len(where)
    cut = mixed(inputs, labels, mixup=0, cutmix=1.0, rng=np.random.default_rng(1))
    assert cut.share is not None
    assert cut.partners is not None
    for row, own, partner, share in zip(cut.inputs, inputs, inputs[cut.partners], cut.share, strict=True):
        mine = (row == own).all(0)
        assert ((row == partner).all(0) | mine).all()
        if not torch.equal(own, partner):
            assert float(share) == pytest.approx(float(mine.float().mean()))
    mean = mixed(inputs, labels, mixup=1.0, cutmix=0, rng=np.random.default_rng(2))
    assert mean.share is not None
    wanted = mean.share.view(-1, 1, 1) * inputs + (1 - mean.share.view(-1, 1, 1)) * inputs[mean.partners]
    torch.testing.assert_close(mean.inputs, wanted)


def test_what_was_found_is_told_and_drawn(tmp_path: Path) -> None:
    series, labels = waves(90, 1)
    root = write_tsv(tmp_path / "a.tsv", [*series, series[5]], [*labels, labels[5]])
    config = _config(root)
    found = overview(config)
    lines = "\n".join(lines_of(found))
    assert "91 series of 3 classes, read as 2x24" in lines
    assert "series of 1 channel and 14 to 24 steps" in lines
    assert "steps behind them are absent, which the mask tells" in lines
    page = data_page(found, samples(config, 2))
    assert page.count("<polyline") == 2 * len(CLASSES)
    assert "<img" not in page


@pytest.mark.slow
def test_mnist1d_is_what_its_authors_make(tmp_path: Path) -> None:
    generator = pytest.importorskip("mnist1d.data")
    random.seed(5)
    np.random.seed(5)
    before = random.random(), np.random.rand()
    random.seed(5)
    np.random.seed(5)
    config = DataConfig(name="mnist1d")
    data = load_data(config)
    assert (random.random(), np.random.rand()) == before  # the package seeds both for the whole process
    made = generator.make_dataset(generator.get_dataset_args())
    assert config.known_shape() == (data.input_shape, data.num_classes) == ((1, 40), 10)
    assert data.images["train"] + data.images["val"] == 4000
    test = read_test_split(config, Ledger(tmp_path), arch_id="none", seed=0, purpose="a look")
    ours = sorted(
        (int(y), x.tobytes()) for x, y in zip(test.read(torch.arange(1000))[:, 0].numpy(), test.labels, strict=True)
    )
    theirs = sorted(
        (int(y), x.astype(np.float32).tobytes()) for x, y in zip(made["x_test"], made["y_test"], strict=True)
    )
    assert ours == theirs


def test_a_part_of_the_training_split_is_read_as_the_whole_is(tmp_path: Path) -> None:
    config = _config(waves_folder(tmp_path / "waves"))
    whole, part = load_data(config), load_data(replace(config, train_fraction=0.2))
    assert part.input_shape == whole.input_shape
    assert _rows(part) < _rows(whole)
    assert _rows(part, "val") == _rows(whole, "val")
