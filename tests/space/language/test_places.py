"""Where a value stands: lines through merges, aliases, includes and line endings; and the way out to plain values."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import nas
from nas.errors import SpaceError
from nas.space.language.source import Source, from_python, read_file


def _read(folder: Path, text: str | bytes) -> Source:
    path = folder / "a.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_file(path)


def _lines(source: Source) -> Any:
    """The line of every scalar, in the shape of the values."""
    if isinstance(source.value, dict):
        return {key: _lines(value) for key, value in source.value.items()}
    if isinstance(source.value, list):
        return [_lines(value) for value in source.value]
    return source.line


def test_lines_are_those_of_the_keys_and_of_the_entries(tmp_path: Path) -> None:
    text = "# comment\na: 1\nb:\n  - 2\n\n  - c: 3\n    d:\n      4\n"
    assert _lines(_read(tmp_path, text)) == {"a": 2, "b": [4, {"c": 6, "d": 7}]}


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"])
def test_files_of_other_systems_have_the_same_lines(ending: str, bom: bytes, tmp_path: Path) -> None:
    source = _read(tmp_path, bom + ending.join(["a: 1", "b: [2,", "  3]", ""]).encode())
    assert source.plain() == {"a": 1, "b": [2, 3]}
    assert _lines(source) == {"a": 1, "b": [2, 3]}


def test_a_merged_value_keeps_its_line_and_an_own_one_wins(tmp_path: Path) -> None:
    source = _read(tmp_path, "base: &base\n  a: 1\n  b: 2\nown:\n  b: 3\n  <<: *base\n")
    assert source.plain()["own"] == {"a": 1, "b": 3}
    assert _lines(source)["own"] == {"a": 2, "b": 5}


def test_an_included_value_knows_its_file(tmp_path: Path) -> None:
    (tmp_path / "part.yaml").write_text("\n\nk: 3\n")
    source = _read(tmp_path, "x: 1\ny:\n  include: part.yaml\nz:\n  <<: {include: part.yaml}\n  more: 4\n")
    assert source.plain() == {"x": 1, "y": {"k": 3}, "z": {"k": 3, "more": 4}}
    for key in ("y", "z"):
        value = source.value[key].value["k"]
        assert (Path(value.file).name, value.line) == ("part.yaml", 3)
    assert (Path(source.value["z"].value["more"].file).name, source.value["z"].value["more"].line) == ("a.yaml", 6)


def test_an_error_in_a_merged_or_aliased_value_is_where_a_person_looks(tmp_path: Path) -> None:
    """A merged value is wrong where it is written; an alias where it is used, since only there it may be wrong."""
    path = tmp_path / "a.yaml"
    head = "head: {block: classifier}\n"
    path.write_text("stages:\n  - &first\n    block: conv\n    out_channels: -8\n  - <<: *first\n" + head)
    with pytest.raises(SpaceError, match=r"a\.yaml:4: stages\.0\.out_channels"):
        nas.load_space(path)
    path.write_text("stages:\n  - &a {block: conv, out_channels: 8, kernel: &k 4}\n  - {block: mbconv,\n")
    path.write_text(path.read_text() + "    out_channels: 8,\n    kernel: *k}\n" + head)
    with pytest.raises(SpaceError, match=r"a\.yaml:5: stages\.1\.kernel: .*odd"):
        nas.load_space(path)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001),
        ("1E3", 1000.0),
        ("-2.5e+2", -250.0),
        ("+1e0", 1.0),
        (".5", 0.5),
        ("1.", 1.0),
        ("1e", "1e"),
        ("e3", "e3"),
        ("1e-3x", "1e-3x"),
        ("'1e-3'", "1e-3"),
        ("3", 3),
        ("-3", -3),
        ("~", None),
        ("null", None),
        ("true", True),
        ("relu6", "relu6"),
    ],
)
def test_scalars(text: str, value: object, tmp_path: Path) -> None:
    found = _read(tmp_path, f"a: {text}\n").plain()["a"]
    assert found == value
    assert type(found) is type(value)


def test_a_space_of_many_files_becomes_plain_values_and_back(tmp_path: Path) -> None:
    """What is saved with a study must need neither the files nor their anchors."""
    (tmp_path / "kernel.yaml").write_text("{choose: [3, 5], per: block}\n")
    path = tmp_path / "own.yaml"
    path.write_text(
        "resolution: {choose: [16, 32]}\nstages:\n"
        "  - {block: mbconv, depth: {range: [0, 2]}, out_channels: &width {range: [8, 24], step: 8},\n"
        "     kernel: {include: kernel.yaml}, se_ratio: 1e-1}\n"
        "  - {block: conv, out_channels: *width}\n"
        "head: {block: classifier}\n"
    )
    space = nas.load_space(path)
    values = json.loads(json.dumps(space.to_dict()))
    path.unlink()
    (tmp_path / "kernel.yaml").unlink()
    again = nas.SearchSpace.from_dict(values)
    # 2 sizes * (1 + 3 * 2 + 3 * 4) of the first stage * 3 widths of the second.
    assert space.size() == again.size() == 2 * 19 * 3
    assert again.name == "own"
    assert again.to_dict() == space.to_dict()
    for rank in range(space.size()):
        genotype = space.unrank(rank)
        assert again.unrank(rank) == genotype
        assert again.decode(genotype) == space.decode(genotype)


def test_python_values_have_no_line() -> None:
    source = from_python({"a": [1, {"b": 2}]}, "here")
    assert _lines(source) == {"a": [None, {"b": None}]}
    assert str(source.error("wrong", "a.0")) == "here: a.0: wrong"
