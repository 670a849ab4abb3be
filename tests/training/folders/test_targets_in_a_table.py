"""Tables with several classes a file, or with numbers."""

from __future__ import annotations

from pathlib import Path

import pytest

from nas.errors import ConfigError, DataError
from nas.evaluators.proxies.evaluator import ProxyEvaluator
from nas.scaling.study.config import ScaleConfig
from nas.search.config import Config
from nas.training.data.config import DataConfig
from nas.training.data.folders.labels_file import Columns, labelled_files, numbers_in
from nas.training.data.folders.layout import Layout
from nas.training.data.folders.usable import task_of


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("one.png", "two.png", "three.png", "four.png"):
        (tmp_path / name).write_bytes(b"")
    return tmp_path


def _read(root: Path, text: str, target: str | None = None) -> Layout:
    (root / "t.csv").write_text(text)
    return labelled_files(root, root / "t.csv", Columns(numbers=numbers_in(target)))


def _targets(layout: Layout, split: str = "train") -> dict[str, object]:
    return {path.stem: target for path, target in layout.files[split]}


def test_several_classes_a_file_are_ones_and_none_of_them_is_zeros(root: Path) -> None:
    layout = _read(root, "id,label,split\none,b | a,train\ntwo,c,train\nthree,,train\nfour,a|a,val\n")
    assert (layout.task.name, layout.classes) == ("multilabel", ("a", "b", "c"))
    assert _targets(layout) == {"one": (1.0, 1.0, 0.0), "two": (0.0, 0.0, 1.0), "three": (0.0, 0.0, 0.0)}
    assert _targets(layout, "val") == {"four": (1.0, 0.0, 0.0)}
    assert "several a file" in layout.notes[0]


def test_columns_of_numbers_are_learned_as_they_are(root: Path) -> None:
    text = "id,label,age,width\none,b,3,-.5\ntwo,c,1e3,2\nthree,,4.25,0\nfour,a,0,7\n"
    layout = _read(root, text, "width | age")
    assert (layout.task.name, layout.classes) == ("regression", ("width", "age"))
    assert _targets(layout) == {"one": (-0.5, 3.0), "two": (2.0, 1000.0), "three": (0.0, 4.25), "four": (7.0, 0.0)}


@pytest.mark.parametrize(
    ("text", "target", "said"),
    [
        ("id,y\none,a|b\ntwo,a||b\n", None, "1 rows of .* have no y, or an empty one beside '|': two"),
        ("id,y\none,a|b\ntwo,b\none,b\n", None, "1 files of .* have rows with other classes: one"),
        ("id,y\none,a|a\ntwo,a\n", None, "column 'y' of .* has one class, two are needed"),
        ("id,y\none,1\ntwo,many\nthree,nan\n", "y", "2 rows of .* have no number as y: two .'many'., three .'nan'."),
        ("id,y\none,1\ntwo,1e40\n", "y", "1 rows of .* have no number as y: two"),
        ("id,y\none,1\ntwo,2\none,3\n", "y", "1 files of .* have rows with other numbers: one"),
        ("id,y\none,1\ntwo,2\n", "x", r"data.target: .* has no column 'x'"),
        ("id,y\none,1\ntwo,2\n", "y|y", "data.target must name different columns"),
    ],
)
def test_what_cannot_be_learned_is_said(root: Path, text: str, target: str | None, said: str) -> None:
    with pytest.raises(DataError, match=said):
        _read(root, text, target)


def test_settings_say_the_task_and_a_search_goes_by_it(root: Path) -> None:
    """Before torch is loaded, from the table alone."""
    (root / "t.csv").write_text("id,label,age\none,b,3\ntwo,a,4\n")
    (root / "m.csv").write_text("id,label,age\none,b|a,3\ntwo,a,4\n")
    common = {"name": "image_folder", "root": str(root)}
    configs = [DataConfig(**common, labels=name) for name in ("t.csv", "m.csv")]  # type: ignore[arg-type]
    configs.append(DataConfig(**common, labels="t.csv", target="age"))  # type: ignore[arg-type]
    assert [task_of(config).name for config in configs] == ["classification", "multilabel", "regression"]
    named = [Config(space="mbconv", data=config).search.objective for config in configs]
    assert named == ["val_accuracy", "val_mean_average_precision", "val_rmse"]
    searched = Config(space="mbconv", data=configs[2]).search.objectives
    assert [(one.name, one.direction) for one in searched] == [("val_rmse", "minimize")]
    values = {"space": "mbconv", "data": {**common, "labels": "m.csv"}}
    for objective in ("val_accuracy", "int8_accuracy"):
        with pytest.raises(ConfigError, match=f"search.objective: unknown '{objective}'|{objective} is known of"):
            Config.from_values({**values, "search": {"objective": objective}})
    both = Config.from_values({**values, "search": {"objective": ["auto", "macs"]}})
    assert both.search.objective == ["val_mean_average_precision", "macs"]


def test_a_target_is_of_a_table() -> None:
    with pytest.raises(ConfigError, match=r"data.target is of data=image_folder with data.labels=FILE, but got 'age'"):
        DataConfig(target="age")
    with pytest.raises(ConfigError, match=r"numbers are learned, or classes; give one of the two"):
        DataConfig(name="image_folder", labels="a.csv", target="age", label_column="y")


def test_what_is_of_one_class_a_picture_says_so(root: Path) -> None:
    (root / "t.csv").write_text("id,age\none,3\ntwo,4\n")
    data = DataConfig(name="image_folder", root=str(root), labels="t.csv", target="age")
    with pytest.raises(ConfigError, match="proxies are of classification, but data image_folder are of regression"):
        ProxyEvaluator(data, ("naswot",))
    with pytest.raises(ConfigError, match="laws are of classification, but data image_folder are of regression"):
        ScaleConfig(space="reference/resnet18", data=data)
