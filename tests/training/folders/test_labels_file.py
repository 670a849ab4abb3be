"""Classes that stand in a table."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from nas.errors import DataError
from nas.training.data.folders.labels_file import Columns, labelled_files
from nas.training.data.folders.layout import Layout, class_folders, files_under
from tests.training.folders.pictures import save


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for index, name in enumerate(("one.png", "two.jpg", "deep/three.png", "deep/four.png", "five.v2.png")):
        save(tmp_path / name, index)
    return tmp_path


def _read(root: Path, text: str, file: str | None = None, label: str | None = None, name: str = "labels.csv") -> Layout:
    (root / name).write_bytes(text.encode())
    return labelled_files(root, root / name, Columns(file, label))


def _named(layout: Layout, split: str = "train") -> dict[str, str]:
    files = layout.files[split]
    return {str(path.relative_to(layout.root)): layout.task.told(target, layout.classes) for path, target in files}


@pytest.mark.parametrize(
    "text",
    [
        "file,label\none.png,cat\ndeep/three.png,dog\n",
        "label;filename\ncat;one.png\ndog;deep/three.png\n",
        "image\tbreed\n./one.png\tcat\nthree.png\tdog\n",
        "id,species\none,cat\nthree,dog\n",
        "\ufeffpath,class\r\none.png,cat\r\n\r\ndeep/three.png,dog\r\n",
        "nr,what,kind\n7,one.png,cat\n8,three.png,dog\n".replace("kind", "label"),
        'file,label,remark\none.png,cat,"a, b"\nthree.png," dog ",\n',
    ],
)
def test_files_and_classes_are_found(root: Path, text: str) -> None:
    layout = _read(root, text)
    assert layout.classes == ("cat", "dog")
    assert _named(layout) == {"one.png": "cat", "deep/three.png": "dog"}
    assert any("3 files of" in note for note in layout.notes)  # which are not in the table


def test_columns_can_be_named(root: Path) -> None:
    text = "file,label,shot,taken by\none.png,cat,two,Ann\nthree.png,dog,four,Bob\n"
    assert _named(_read(root, text, "shot", "taken by")) == {"two.jpg": "Ann", "deep/four.png": "Bob"}


def test_a_name_may_hold_dots(root: Path) -> None:
    assert _named(_read(root, "id,y\nfive.v2,a\none,b\n")) == {"five.v2.png": "a", "one.png": "b"}


def test_numbers_are_in_their_order(root: Path) -> None:
    layout = _read(root, "id,y\none,10\ntwo,9\nthree,010\n")
    assert layout.classes == ("9", "010", "10")


def test_a_column_of_splits(root: Path) -> None:
    layout = _read(root, "id,y,split\none,a,Train\ntwo,b,training\nthree,a,valid\nfour,b,TEST\n")
    assert {split: _named(layout, split) for split in layout.files} == {
        "train": {"one.png": "a", "two.jpg": "b"},
        "val": {"deep/three.png": "a"},
        "test": {"deep/four.png": "b"},
    }


def test_a_file_that_is_there_twice_is_one(root: Path) -> None:
    assert len(_read(root, "id,y\none,a\none.png,a\ntwo,b\n").files["train"]) == 2


@pytest.mark.parametrize(
    ("text", "columns", "said"),
    [
        ("id,y\none,a\nnine,b\nten,b\n", (None, None), "of 3 files in .*labels.csv 2 are not there: nine, ten"),
        ("id,y\n../one,a\n/etc/passwd,b\n", (None, None), "2 are outside of the folder: ../one, /etc/passwd"),
        ("id,y\none,a\ntwo,a\n", (None, None), "column 'y' of .* has one class, two are needed"),
        ("id,y\none,a\ntwo,\n", (None, None), "1 rows of .* have no y: two"),
        ("id,y\none,a|b\ntwo,b\none,b|\n", (None, None), "1 rows of .* have no y, or an empty one beside '|': one"),
        ("id,y\none,a\ntwo,b\none,b\n", (None, None), "1 files of .* have rows with other classes: one"),
        ("id,y,split\none,a,tarin\ntwo,b,train\n", (None, None), "unknown split 'tarin'. Did you mean 'train'"),
        ("id,y,split\none,a,val\ntwo,b,val\n", (None, None), "has no file of the training split"),
        ("id,p,q\none,a,b\ntwo,b,a\n", (None, None), "which column of .* has the classes.* is one of p, q"),
        ("n,p\n1,a\n2,b\n", (None, None), "no column of .* names files of .*: its columns are n, p; data.file_column"),
        ("id,y\none,a\ntwo,b\n", ("idd", None), "data.file_column: .* has no column 'idd'. Did you mean 'id'"),
        ("id,y\none,a\ntwo,b\n", (None, "z"), "data.label_column: .* has no column 'z'. Known: y"),
        ("id,y\none,a\ntwo\n", (None, None), "row 3 must have 2 fields"),
        ("id,y\none,a,b\ntwo,c\n", (None, None), "row 2 must have 2 fields"),
        ("id,y\n", (None, None), "has no row behind its names of columns"),
        ("", (None, None), "must have a first line with the names of at least two columns"),
        ("one\ntwo\n", (None, None), "must have a first line with the names of at least two columns"),
        ('id,y\none,"a\n', (None, None), "line 1 is no row of a table"),
        ("id,y,y\none,a,b\ntwo,b,a\n", (None, None), "columns of .* must have different names, but several are 'y'"),
        ("one.png,a\ntwo.jpg,b\n", (None, None), "must have the names of its columns.* names the file 'one.png'"),
        ("id,y\none.png,a\nthree.pgn,b\n", (None, None), "1 are not there: three.pgn. Did you mean .*three.png'"),
        ('id,y\none,a\n"x\ny",b\n', (None, None), r"1 are not there: x\\ny"),
        ("id,y\nthree,a\ndeep/three.png,b\n", (None, None), "with other classes: three or deep/three.png"),
    ],
)
def test_what_is_wrong_with_a_table_is_said(
    root: Path, text: str, columns: tuple[str | None, str | None], said: str
) -> None:
    with pytest.raises(DataError, match=said.replace("|", r"\|").replace("?", r"\?")):
        _read(root, text, *columns)


def test_files_may_be_named_as_elsewhere(root: Path) -> None:
    save(root / "deep" / "Zu\u0308rich.png", 7)  # as macOS wrote it once: u and its dots apart
    rows = (f"{root}/one.png,a", "deep\\three.png,b", f"../{root.name}/deep/four.png,a", "deep/Z\u00fcrich.png,b")
    layout = _read(root, "\n".join(("file,label", *rows)))
    assert _named(layout) == {
        "one.png": "a",
        "deep/three.png": "b",
        "deep/four.png": "a",
        "deep/Zu\u0308rich.png": "b",
    }


def test_two_files_of_one_name(root: Path) -> None:
    save(root / "other" / "three.png", 9)
    with pytest.raises(DataError, match="1 are the name of several files: three"):
        _read(root, "id,y\none,a\nthree,b\n")
    assert _named(_read(root, "id,y\none,a\nother/three.png,b\n"))["other/three.png"] == "b"


def test_a_table_that_cannot_be_read(root: Path) -> None:
    with pytest.raises(DataError, match=r"data\.labels: there is no file .*none\.csv"):
        labelled_files(root, root / "none.csv", Columns())
    os.mkfifo(root / "pipe.csv")
    for what, why in (("pipe.csv", "a pipe"), ("deep", "a folder"), ("/dev/zero", "a device")):
        with pytest.raises(DataError, match=f"must be a CSV or TSV file, but .*{what} is not one: it is {why}"):
            labelled_files(root, root / what, Columns())
    (root / "odd.csv").write_bytes(b"id,y\none,\xff\n")
    with pytest.raises(
        DataError, match=r"odd\.csv must be text in UTF-8, but line 2 has the byte 0xff: save it as UTF-8"
    ):
        labelled_files(root, root / "odd.csv", Columns())


def test_a_table_that_is_not_there_is_told_beside_those_that_are(root: Path) -> None:
    for name in ("b.csv", "a.TSV", ".hidden.csv"):
        (root / name).write_text("file,label\n")
    with pytest.raises(DataError) as raised:
        labelled_files(root, root / "none.csv", Columns())
    assert str(raised.value).endswith(
        "none.csv; it is looked for in data.root. There: data.labels=a.TSV, data.labels=b.csv"
    )
    with pytest.raises(
        DataError, match=r"two are needed\. Expected .* There: data\.labels=a\.TSV, data\.labels=b\.csv$"
    ):
        class_folders(root)


def test_tables_and_notes_beside_pictures_are_not_told_as_files_that_are_not_read(root: Path) -> None:
    text = "file,label\n" + "".join(f"{path.relative_to(root)},{n % 2}\n" for n, path in enumerate(files_under(root)))
    (root / "other.csv").write_text("file,label\n")
    (root / "readme.TXT").write_text("x")
    assert len(_read(root, text).notes) == 1


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ([f"{n}.5" for n in range(10)] * 2, True),
        ([str(n) for n in range(12)], True),
        ([str(n) for n in range(12)] * 2, False),
        ([f"{n}.5" for n in range(9)], False),
        ([f"{n}.5" for n in range(10)] + ["cat"], False),
    ],
)
def test_classes_that_look_like_numbers_to_learn_are_told(tmp_path: Path, values: list[str], told: bool) -> None:
    rows = "".join(f"{n}.png,{value}\n" for n, value in enumerate(values))
    for number in range(len(values)):
        (tmp_path / f"{number}.png").write_bytes(b"")
    notes = _read(tmp_path, f"file,age\n{rows}").notes
    assert any("data.target=age learns them as numbers" in note for note in notes) is told
