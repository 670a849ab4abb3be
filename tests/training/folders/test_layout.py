"""Which files of a folder are of which class and split."""

from __future__ import annotations

from pathlib import Path

import pytest

from nas.errors import DataError
from nas.training.data.folders.headers import Bad, look_at
from nas.training.data.folders.layout import Layout, class_folders, files_under, is_data
from tests.training.folders.pictures import folder, save


def _counts(layout: Layout) -> dict[str, list[int]]:
    return {
        split: [[label for _, label in files].count(place) for place in range(len(layout.classes))]
        for split, files in layout.files.items()
    }


@pytest.mark.parametrize(
    ("train", "val", "test"),
    [
        ("train", "val", "test"),
        ("Train", "VALID", "Testing"),
        ("TRAINING", "validation", "TEST"),
        ("train", "dev", "test"),
    ],
)
def test_splits_have_many_names(train: str, val: str, test: str, tmp_path: Path) -> None:
    folder(tmp_path, f"{train}/a", f"{train}/b", count=3)
    folder(tmp_path, f"{val}/a", f"{val}/b", count=2)
    folder(tmp_path, f"{test}/b", count=1)
    layout = class_folders(tmp_path)
    assert layout.classes == ("a", "b")
    assert _counts(layout) == {"train": [3, 3], "val": [2, 2], "test": [0, 1]}
    assert layout.notes == ()


def test_classes_alone_are_all_for_training(tmp_path: Path) -> None:
    layout = class_folders(folder(tmp_path, "dog", "cat", "10", count=2))
    assert layout.classes == ("10", "cat", "dog")
    assert _counts(layout) == {"train": [2, 2, 2]}
    assert {path.parent.name for path, label in layout.files["train"] if label == 2} == {"dog"}


def test_a_class_may_have_folders_and_any_case(tmp_path: Path) -> None:
    folder(tmp_path, "train/a/first/deep", "train/a/second", "train/B")
    layout = class_folders(tmp_path)
    assert layout.classes == ("B", "a")
    assert _counts(layout) == {"train": [6, 12]}


@pytest.mark.parametrize(
    "name",
    [
        ".ipynb_checkpoints/0-checkpoint.png",
        "._0.png",
        ".DS_Store",
        "Thumbs.db",
        "THUMBS.DB",
        "desktop.ini",
        "__MACOSX/0.png",
        "@eaDir/0.png",
        ".hidden/0.png",
    ],
)
def test_what_systems_leave_behind_is_no_data(name: str, tmp_path: Path) -> None:
    folder(tmp_path, "train/a", "train/b", count=2)
    (tmp_path / "train" / "a" / name).parent.mkdir(exist_ok=True)
    (tmp_path / "train" / "a" / name).write_bytes((tmp_path / "train" / "a" / "0.png").read_bytes())
    assert _counts(class_folders(tmp_path)) == {"train": [2, 2]}


@pytest.mark.parametrize("name", [".ipynb_checkpoints", "__MACOSX", "@eaDir", ".git"])
def test_nor_is_it_a_class_or_a_split(name: str, tmp_path: Path) -> None:
    folder(tmp_path, "train/a", "train/b", f"train/{name}", f"{name}/a", count=2)
    layout = class_folders(tmp_path)
    assert (layout.classes, layout.notes) == (("a", "b"), ())


def test_folders_beside_the_splits_are_told(tmp_path: Path) -> None:
    folder(tmp_path, "train/a", "train/b", "unlabelled", "vaild/a", count=1)
    (note,) = class_folders(tmp_path).notes
    assert note == f"unlabelled, vaild in {tmp_path} are not read: its splits are train"


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["val/a", "valid/a", "train/a", "train/b"], "has val and valid, which both mean the val split: rename one"),
        (["val/a", "test/a"], "has test and val, but no folder for training (train or training). Expected ROOT/CLASS"),
        (["train/a"], "train has 1 class folder, two are needed"),
        (["only"], "has 1 class folder, two are needed. Expected ROOT/CLASS/*.jpg, or ROOT/train/CLASS/*.jpg"),
        (["train/Cat", "train/dog", "val/cat"], "val has a class 'cat' that "),
        (["train/Cat", "train/dog", "val/cta"], "Known: Cat, dog."),
    ],
)
def test_what_is_no_such_folder_is_said(names: list[str], said: str, tmp_path: Path) -> None:
    folder(tmp_path, *names, count=1)
    with pytest.raises(DataError) as raised:
        class_folders(tmp_path)
    assert said in str(raised.value)


def test_what_is_beside_the_classes_is_told(tmp_path: Path) -> None:
    folder(tmp_path, "train/a", "train/b", count=1)
    save(tmp_path / "train" / "stray.png")
    (tmp_path / "train" / "notes.txt").write_text("of the camera")
    (tmp_path / "train" / "c").symlink_to("gone")
    (tmp_path / "train" / "loop").symlink_to("loop")
    layout = class_folders(tmp_path)
    assert layout.classes == ("a", "b")
    assert layout.notes == (
        "1 file is in no folder of a class, and not read: stray.png",
        "2 links lead nowhere where folders of classes are: c, loop",
    )


def test_a_link_to_a_folder_is_followed_as_a_class_alone(tmp_path: Path) -> None:
    folder(tmp_path, "root/a", "root/b", "elsewhere", count=1)
    (tmp_path / "root" / "c").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "root" / "a" / "more").symlink_to(tmp_path / "elsewhere")
    layout = class_folders(tmp_path / "root")
    names = [str(path.relative_to(tmp_path / "root")) for path, _ in layout.files["train"]]
    assert names == ["a/0.png", "a/more", "b/0.png", "c/0.png"]
    found = look_at(tmp_path / "root" / "a" / "more", most_pixels=100)
    assert found == Bad("are links to folders, which are not followed")


def test_a_folder_that_is_none_says_why(tmp_path: Path) -> None:
    folder(tmp_path, "photos/a", count=1)
    (tmp_path / "photos.zip").write_bytes(b"PK")
    (tmp_path / "loop").symlink_to("loop")
    for name, said in (
        ("photso", f"no folder {tmp_path}/photso. Did you mean 'photos' in {tmp_path}? Expected"),
        ("photos.zip", f"no folder {tmp_path}/photos.zip: it is a file (an archive is to be unpacked). Expected"),
        ("loop", f"no folder {tmp_path}/loop: Too many levels of symbolic links. Expected"),
        ("x" * 5000, "xxxx: File name too long. Expected"),
        ("photos.zip/train", f"no folder {tmp_path}/photos.zip/train: Not a directory. Expected"),
    ):
        with pytest.raises(DataError) as raised:
            class_folders(tmp_path / name)
        assert said in str(raised.value)


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no folder .*nowhere\. Expected ROOT/CLASS"):
        class_folders(tmp_path / "nowhere")


def test_files_come_in_order_whatever_the_system_says(tmp_path: Path) -> None:
    for name in ("b/1.png", "a/2.png", "a/10.png", "c.png"):
        save(tmp_path / name)
    assert [str(path.relative_to(tmp_path)) for path in files_under(tmp_path)] == [
        "a/10.png",
        "a/2.png",
        "b/1.png",
        "c.png",
    ]
    assert is_data("a.b")
    assert is_data("mac__MACOSX")
