"""A folder from its files to its splits: all that is wrong is said at once, or left out and said."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from nas.errors import DataError
from nas.training.data.config import DataConfig
from nas.training.data.load import load_data
from nas.training.data.registry import check_files
from nas.training.data.splits import ImageData
from tests.training.folders.pictures import BAD, SPECIAL, encoded, folder, picture, save


def _config(root: Path, **changes: object) -> DataConfig:
    return DataConfig(name="image_folder", root=str(root), **changes)  # type: ignore[arg-type]


def _count(data: ImageData) -> int:
    return sum(map(sum, data.images_by_class.values()))


@pytest.fixture
def odd(tmp_path: Path) -> Path:
    """Twenty pictures in two classes, and a file of each kind that cannot be used."""
    root = folder(tmp_path / "photos", "train/cat", "train/dog", count=10)
    for place, (name, data, _) in enumerate(BAD.values()):
        (root / "train" / "cat" / f"{place}-{name}").write_bytes(data)
    for kind, make in SPECIAL.items():
        make(root / "train" / "dog" / f"{kind}.png")
    return root


def test_everything_that_headers_show_is_said_at_once(odd: Path) -> None:
    with pytest.raises(DataError) as raised:
        check_files(_config(odd))
    text = str(raised.value)
    bad = len(BAD) + len(SPECIAL)
    assert text.startswith(f"data image_folder: {bad} of {20 + bad} files under {odd} cannot be used:\n")
    for place, (name, _, said) in enumerate(BAD.values()):
        assert said in text
        assert text.count("cut off") == 1  # files with the same fault are listed together
        assert f"{place}-{name}" in text
    for kind in SPECIAL:
        assert f"train/dog/{kind}.png" in text
    assert "  6 are cut off at their end: " in text
    assert text.endswith("leave them out: data.bad=skip")


def test_they_are_left_out_where_that_is_asked_for(odd: Path) -> None:
    data = load_data(_config(odd, bad="skip"))
    assert _count(data) == 20
    bad = len(BAD) + len(SPECIAL)
    (note,) = [note for note in data.notes if "left out, since they cannot be used" in note]
    assert note.startswith(f"{bad} of {20 + bad} files are left out")
    assert data.record()["notes"]


@pytest.mark.parametrize("memory_mib", [0, 4096])
def test_what_only_decoding_shows_is_said_at_once_too(memory_mib: int, tmp_path: Path) -> None:
    root = folder(tmp_path, "a", "b", count=6)
    for name in ("a/broken.png", "b/broken.png"):
        (root / name).write_bytes(_broken(99))
    check_files(_config(root))
    with pytest.raises(DataError) as raised:
        load_data(_config(root, memory_mib=memory_mib))
    assert "2 of 14 files under" in str(raised.value)
    assert "cannot be decoded" in str(raised.value)
    assert "a/broken.png" in str(raised.value)
    data = load_data(_config(root, memory_mib=memory_mib, bad="skip"))
    assert _count(data) == 12
    assert any("2 of 14 files are left out" in note for note in data.notes)


def _broken(seed: int) -> bytes:
    """Return a PNG of which only decoding shows that it is damaged."""
    whole = encoded("PNG", seed)
    return whole[: len(whole) // 2] + bytes(40) + whole[len(whole) // 2 + 40 :]


def test_what_decoding_shows_is_said_with_what_headers_show(tmp_path: Path) -> None:
    root = folder(tmp_path, "a", "b", count=6)
    (root / "a" / "empty.png").write_bytes(b"")
    (root / "a" / "new\nline.png").write_bytes(_broken(98))
    (root / "b" / "broken.png").write_bytes(_broken(99))
    (root / "c").mkdir()
    with pytest.raises(DataError) as raised:
        check_files(_config(root))
    head, *faults, way_out = str(raised.value).split("\n")
    assert head == f"data image_folder: 3 of 15 files under {root} cannot be used:"
    assert way_out.endswith("leave them out: data.bad=skip")
    assert len(faults) == 3
    assert sum("cannot be decoded" in fault and "a/new\\nline.png, b/broken.png" in fault for fault in faults) == 1
    assert "  1 are empty: a/empty.png" in faults
    assert "  1 class has no picture to train on that can be used: c" in faults


def test_faults_so_far_are_said_before_decoding_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    root = folder(tmp_path, "a", "b", count=6)
    (root / "a" / "empty.png").write_bytes(b"")
    (root / "b" / "broken.png").write_bytes(_broken(99))
    monkeypatch.setattr("nas.training.data.folders.usable._MOMENT_SECONDS", -1.0)
    with pytest.raises(DataError, match=r"broken\.png"):
        check_files(_config(root))
    (said,) = caplog.messages
    assert "a/empty.png" in said
    assert "broken.png" not in said


def test_decoding_for_more_faults_ends_and_says_what_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = folder(tmp_path, "a", "b", count=6)
    (root / "a" / "empty.png").write_bytes(b"")
    (root / "b" / "broken.png").write_bytes(_broken(99))
    monkeypatch.setattr("nas.training.data.folders.usable._SECONDS_OF_DECODING", -1.0)
    with pytest.raises(DataError) as raised:
        check_files(_config(root))
    assert "1 of 14 files" in str(raised.value)
    assert "\n  13 others were not decoded yet, which may show more\n" in str(raised.value)


def test_a_class_without_a_picture_is_refused_or_left_out(tmp_path: Path) -> None:
    root = folder(tmp_path, "train/a", "train/c", "train/d", "val/a", "val/b", "val/c", "val/d", count=6)
    (root / "train" / "b").mkdir()
    with pytest.raises(DataError, match=r"1 class has no picture to train on that can be used: b\. Put some there"):
        check_files(_config(root))
    data = load_data(_config(root, bad="skip"))
    assert data.classes == ("a", "c", "d")
    assert data.images_by_class["val"] == (6, 6, 6)
    assert sum(data.images_by_class["train"]) + sum(data.images_by_class["test"]) == 18
    assert any(note.endswith("that can be used: b; these classes are left out") for note in data.notes)


def test_names_in_what_is_said_cannot_control_a_terminal(tmp_path: Path) -> None:
    root = folder(tmp_path, "a\x1b[31m", "b\nc", "d", count=6)
    shutil.copy(root / "a\x1b[31m" / "0.png", root / "b\nc" / "x\x1b[2J\n.png")
    (root / "e\x1b[32m").mkdir()
    save(root / "e\x1b[32m" / "1.png", 77)
    notes = load_data(_config(root)).notes
    assert any(r"a\x1b[31m/0.png (a\x1b[31m) is b\nc/x\x1b[2J\n.png (b\nc)" in note for note in notes)
    assert any(note.endswith(r"say nothing: e\x1b[32m") for note in notes)
    assert all(map(str.isprintable, notes))


def test_classes_that_are_hardly_told_apart_are_named(tmp_path: Path) -> None:
    root = folder(tmp_path, "Cat", "cat", "dog", "dog ", "cow", count=6)
    (note,) = [note for note in load_data(_config(root)).notes if "told apart" in note]
    assert note == (
        "classes whose names differ in capitals or spaces alone are told apart: 'Cat' and 'cat'; 'dog' and 'dog '"
    )


def test_one_class_that_is_left_is_refused(tmp_path: Path) -> None:
    root = folder(tmp_path, "a", count=6)
    (root / "b").mkdir()
    with pytest.raises(DataError, match="pictures to train on of one class, 'a', two are needed"):
        check_files(_config(root, bad="skip"))


def test_files_are_known_by_content_and_others_are_named(tmp_path: Path) -> None:
    root = folder(tmp_path, "a", "b", count=6, suffix=".jfif")
    for index in range(3):
        (root / "a" / f"no-suffix-{index}").write_bytes(encoded("WEBP", 50 + index))
    (root / "a" / "notes.txt").write_text("taken in May")
    data = load_data(_config(root))
    assert _count(data) == 15
    assert "1 file is no picture, and is not read: a/notes.txt" in data.notes


def test_frames_are_told(tmp_path: Path) -> None:
    root = folder(tmp_path, "a", "b", count=6)
    picture(70).save(root / "a" / "moving.gif", save_all=True, append_images=[picture(71)])
    assert any(
        note.startswith("1 picture has several frames, of which the first is read: a/moving.gif")
        for note in load_data(_config(root)).notes
    )


@pytest.mark.parametrize("scheme", [1, 3])
def test_a_split_without_images_is_refused(tmp_path: Path, scheme: int) -> None:
    root = folder(tmp_path / "photos", "train/cat", "train/dog", count=10)
    for name in ("cat", "dog"):
        (root / "test" / name).mkdir(parents=True)
    with pytest.raises(DataError, match="photos has a place for test, but no images in it that can be used"):
        check_files(_config(root, split_scheme=scheme))
    (root / "test" / "cat" / "broken.png").write_bytes(b"\x89PNG no more")
    with pytest.raises(DataError, match="has a place for test, but no images"):
        load_data(_config(root, split_scheme=scheme, bad="skip"))
    shutil.rmtree(root / "test")
    load_data(_config(root, split_scheme=scheme))


def test_a_copy_that_an_editor_keeps_is_not_in_two_splits(tmp_path: Path) -> None:
    root = folder(tmp_path, "train/a", "train/b", count=8)
    plain = load_data(_config(root))
    for path in [*(root / "train" / "a").iterdir()]:
        hidden = path.parent / ".ipynb_checkpoints" / f"{path.stem}-checkpoint.png"
        hidden.parent.mkdir(exist_ok=True)
        hidden.write_bytes(path.read_bytes())
    load_data.cache_clear()
    data = load_data(_config(root))
    assert data.images_by_class == plain.images_by_class
    assert data.fingerprint == plain.fingerprint


def test_studies_from_before_read_what_they_did(tmp_path: Path) -> None:
    """Files by their suffix, hidden ones too, and no `valid`."""
    root = folder(tmp_path, "train/a", "train/b", "valid/a", "valid/b", count=8)
    save(root / "train" / "a" / ".hidden" / "9.png", 500)
    (root / "train" / "b" / "more.jfif").write_bytes(encoded("JPEG", 600))
    before, now = load_data(_config(root, split_scheme=2)), load_data(_config(root))
    assert _count(before) == 17
    assert _count(now) == 33
    assert sum(now.images_by_class["val"]) == 16


def test_a_class_without_validation_images_is_told(tmp_path: Path) -> None:
    root = folder(tmp_path, "a", "b", "c", count=9)
    for path in sorted((root / "a").iterdir())[1:]:
        path.unlink()
    notes = load_data(_config(root)).notes
    assert "val has no image of 1 class, of which its scores say nothing: a" in notes
    assert "test has no image of 1 class, of which its scores say nothing: a" in notes


def test_labels_from_a_table_train_like_folders(tmp_path: Path) -> None:
    by_folder = folder(tmp_path / "folders", "cat", "dog", count=8)
    flat = tmp_path / "flat"
    rows = []
    for path in sorted(by_folder.rglob("*.png")):
        name = f"{path.parent.name}-{path.name}"
        (flat / name).parent.mkdir(exist_ok=True)
        (flat / name).write_bytes(path.read_bytes())
        rows.append(f"{name},{path.parent.name}")
    (flat / "labels.csv").write_text("image,label\n" + "\n".join(rows))
    one, other = load_data(_config(by_folder)), load_data(_config(flat, labels="labels.csv"))
    assert one.classes == other.classes == ("cat", "dog")
    assert one.fingerprint == other.fingerprint
    everything = torch.arange(len(one.train.labels))
    assert torch.equal(one.train.read(everything), other.train.read(everything))


def test_sizes_are_counted(tmp_path: Path) -> None:
    root = folder(tmp_path, "a", "b", count=6)
    picture(1, (30, 20)).save(root / "a" / "larger.png")
    with pytest.raises(DataError, match=r"2 sizes, most often 12x10 \(12\), 30x20 \(1\) \(width x height\); give"):
        load_data(_config(root))
    assert load_data(_config(root, resolution=16)).input_shape == (3, 16, 16)


def test_no_root_is_said() -> None:
    with pytest.raises(DataError, match=r"give data\.root=FOLDER\. Expected ROOT/CLASS"):
        check_files(DataConfig(name="image_folder"))
    check_files(DataConfig())  # there is nothing to look at
