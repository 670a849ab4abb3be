"""What first and last bytes show: each kind of file that is no picture, and every kind that is one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import ExifTags, Image, features

from nas.training.data.folders import headers
from nas.training.data.folders.headers import NO_PICTURE, Bad, Header, look_at, looked_at
from tests.training.folders.pictures import BAD, SPECIAL, encoded, picture

_MOST = 100_000_000


@pytest.mark.parametrize("kind", BAD)
def test_each_kind_of_bad_file_is_told(kind: str, tmp_path: Path) -> None:
    name, data, said = BAD[kind]
    (tmp_path / name).write_bytes(data)
    found = look_at(tmp_path / name, most_pixels=_MOST)
    assert isinstance(found, Bad)
    assert found.why.startswith(said)


@pytest.mark.parametrize("kind", SPECIAL)
def test_what_is_no_file_is_not_opened(kind: str, tmp_path: Path) -> None:
    SPECIAL[kind](tmp_path / "a.png")
    assert look_at(tmp_path / "a.png", most_pixels=_MOST) == Bad("are pipes, devices or broken links")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(encoded("PNG"))
    (tmp_path / "a.png").chmod(0)
    assert look_at(tmp_path / "a.png", most_pixels=_MOST) == Bad("may not be read")


@pytest.mark.parametrize(
    "kind",
    [
        *("BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP"),
        pytest.param("AVIF", marks=pytest.mark.skipif(not features.check("avif"), reason="pillow without AVIF")),
    ],
)
@pytest.mark.parametrize("name", ["a.png", "a.jfif", "a", "a.dat"])
def test_a_picture_is_known_by_its_content(kind: str, name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(encoded(kind))
    found = look_at(tmp_path / name, most_pixels=_MOST)
    assert isinstance(found, Header)
    assert (found.format, found.size) == (kind, (10, 12))


def test_data_behind_the_end_of_a_jpeg_is_none_of_it(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(encoded("JPEG") + b"maker's note" * 100)
    assert isinstance(look_at(tmp_path / "a.jpg", most_pixels=_MOST), Header)


def test_a_turned_picture_has_the_size_that_a_person_sees(tmp_path: Path) -> None:
    exif = Image.Exif()
    for orientation in range(1, 9):
        exif[ExifTags.Base.Orientation] = orientation
        picture().save(tmp_path / "a.jpg", exif=exif)
        found = look_at(tmp_path / "a.jpg", most_pixels=_MOST)
        assert isinstance(found, Header)
        assert found.size == ((10, 12) if orientation < 5 else (12, 10))


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF"])
def test_several_frames_are_seen(kind: str, tmp_path: Path) -> None:
    picture(1).save(tmp_path / "a", kind, save_all=True, append_images=[picture(2), picture(3)])
    found = look_at(tmp_path / "a", most_pixels=_MOST)
    assert isinstance(found, Header)
    assert found.animated


@pytest.mark.parametrize("name", ["notes.txt", "labels.csv", "README", "a.xml"])
def test_other_files_are_no_pictures_and_nothing_is_wrong_with_them(name: str, tmp_path: Path) -> None:
    for content in (b"some text", b"<?xml version='1.0'?>", b"{}"):
        (tmp_path / name).write_bytes(content)
        assert look_at(tmp_path / name, most_pixels=_MOST) == NO_PICTURE


def test_pixels_are_counted_by_the_header(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(encoded("PNG"))
    assert isinstance(look_at(tmp_path / "a.png", most_pixels=120), Header)
    assert look_at(tmp_path / "a.png", most_pixels=119) == Bad("have more than 119 pixels (data.max_pixels)")


@given(st.binary(max_size=300), st.sampled_from([*(BAD[kind][1] for kind in BAD)]), st.integers(0, 200))
def test_whatever_is_in_a_file_it_is_a_header_or_a_reason(noise: bytes, known: bytes, at: int) -> None:
    path = Path(os.environ.get("TMPDIR", "/tmp")) / f"nas-odd-{os.getpid()}.png"
    try:
        path.write_bytes(known[:at] + noise + known[at + len(noise) :])
        assert isinstance(look_at(path, most_pixels=_MOST), Header | Bad)
    finally:
        path.unlink(missing_ok=True)


def test_many_are_looked_at_in_their_order(tmp_path: Path) -> None:
    files = []
    for index in range(40):
        files.append(tmp_path / f"{index}.png")
        files[-1].write_bytes(encoded("PNG", index) if index % 3 else b"")
    found = looked_at(files, most_pixels=_MOST)
    assert [isinstance(one, Bad) for one in found] == [index % 3 == 0 for index in range(40)]


def test_processes_see_the_same_as_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = [tmp_path / f"{place}-{name}.jpg" for place, name in enumerate([*BAD, *SPECIAL, "good", 'a\udcff\n"b'])]
    for path, kind in zip(files, BAD, strict=False):
        path.write_bytes(BAD[kind][1])
    for path, kind in zip(files[len(BAD) :], SPECIAL, strict=False):
        SPECIAL[kind](path)
    for place, path in enumerate(files[-2:]):
        path.write_bytes(encoded("JPEG", place))
    in_threads = looked_at(files, most_pixels=_MOST)
    monkeypatch.setattr(headers, "_MANY", 1)
    monkeypatch.setattr(headers, "_PART", 3)
    assert looked_at(files, most_pixels=_MOST) == in_threads
    assert in_threads[-2:] == [Header("JPEG", (10, 12), "RGB")] * 2
    assert any(isinstance(one, Bad) for one in in_threads)
    assert looked_at(files[-1:], most_pixels=119) == [Bad("have more than 119 pixels (data.max_pixels)")]
