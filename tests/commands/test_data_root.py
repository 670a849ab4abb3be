"""Which data set a path is, by what lies there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nas.commands.data_root import data_at
from nas.commands.registry import _of_data


def _folders(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).mkdir(parents=True)
    return root


def test_folders_of_pictures_and_masks(tmp_path: Path) -> None:
    masked = ("images masks", "JPEGImages Labels", "images/train masks/train", "train/img train/mask")
    for number, names in enumerate(masked):
        root = _folders(tmp_path / str(number), *names.split())
        assert data_at(str(root)) == ["data=mask_folder", f"data.root={root}"]
    for number, names in enumerate(("images masks other", "cat dog", "train/cat train/dog", "images")):
        root = _folders(tmp_path / f"classes{number}", *names.split())
        assert data_at(str(root)) == ["data=image_folder", f"data.root={root}"]


def test_arrays_are_series_where_an_example_has_one_axis(tmp_path: Path) -> None:
    labels = np.arange(6) % 2
    for name, shape, kind in (("a", (6, 8, 8), "arrays"), ("b", (6, 8, 8, 3), "arrays"), ("c", (6, 8), "series")):
        file = tmp_path / f"{name}.npz"
        np.savez(file, x_train=np.zeros(shape, np.uint8), y_train=labels)
        assert data_at(str(file)) == [f"data={kind}", f"data.root={file}"]
    folder = _folders(tmp_path, "npy") / "npy"
    np.save(folder / "x.npy", np.zeros((6, 8, 8), np.uint8))
    np.save(folder / "y.npy", labels)
    assert data_at(str(folder)) == ["data=arrays", f"data.root={folder}"]
    (tmp_path / "broken.npz").write_text("no archive")  # which is said when it is read
    assert data_at(str(tmp_path / "broken.npz"))[0] == "data=arrays"


@pytest.mark.parametrize(
    ("text", "is_table"),
    [
        ("file,label\na.jpg,cat\n", True),
        ("\ufefffile;label\na.jpg;cat\n", True),
        ("1,0.5,0.25\n2,0.5,NaN\n", False),
        ("cat,0.5,0.25\n", False),
        ("\n", False),
    ],
)
def test_a_table_whose_first_line_has_no_number_has_labels(tmp_path: Path, text: str, is_table: bool) -> None:
    file = tmp_path / "x.csv"
    file.write_text(text, encoding="utf-8")
    labels = ["data=image_folder", f"data.root={tmp_path}", "data.labels=x.csv"]
    assert data_at(str(file)) == (labels if is_table else ["data=series", f"data.root={file}"])


def test_a_data_set_that_was_named_is_taken(tmp_path: Path) -> None:
    root = _folders(tmp_path / "x", "images", "masks")
    assert _of_data([str(root), "data=image_folder"]) == [f"data.root={root}", "data=image_folder"]
    assert _of_data(["data=digits"]) == ["data=digits"]
