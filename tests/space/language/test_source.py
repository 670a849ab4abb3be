"""Space files: includes, merges, aliases, numbers, and the way back to plain values."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

import nas
from nas.errors import SpaceError
from nas.space.language.source import from_python, read_file


def _write(folder: Path, **files: str) -> None:
    for name, text in files.items():
        (folder / f"{name}.yaml").write_text(text)


def test_an_include_stands_for_the_files_content(tmp_path: Path) -> None:
    (tmp_path / "parts").mkdir()
    _write(
        tmp_path,
        space="stages:\n  - include: parts/stage.yaml\n  - {include: parts/stage.yaml}\nhead: {block: classifier}\n",
    )
    _write(tmp_path / "parts", stage="block: conv\nout_channels: {include: width.yaml}\n", width="choose: [4, 8]\n")
    space = nas.load_space(tmp_path / "space.yaml")
    assert space.size() == 4
    assert set(space.decisions()) == {"stages.0.out_channels", "stages.1.out_channels"}


def test_an_error_inside_an_include_names_that_file(tmp_path: Path) -> None:
    _write(tmp_path, space="stages:\n  - include: stage.yaml\nhead: {block: classifier}\n")
    _write(tmp_path, stage="block: conv\nout_channels: -1\n")
    with pytest.raises(SpaceError, match=r"stage\.yaml:2: stages\.0\.out_channels: .*but got -1"):
        nas.load_space(tmp_path / "space.yaml")


def test_merges_and_aliases(tmp_path: Path) -> None:
    _write(
        tmp_path,
        space="stages:\n"
        "  - &first {block: conv, out_channels: {choose: [4, 8]}, kernel: 5}\n"
        "  - <<: *first\n"
        "    kernel: 3\n"
        "  - *first\n"
        "head: {block: classifier}\n",
    )
    space = nas.load_space(tmp_path / "space.yaml")
    # The same text is a decision of its own in each place.
    assert space.size() == 8
    arch = space.decode({"stages.0.out_channels": 4, "stages.1.out_channels": 8, "stages.2.out_channels": 4})
    assert [dict(stage.blocks[0].settings)["kernel"] for stage in arch.stages] == [5, 3, 5]


def test_numbers_as_people_write_them(tmp_path: Path) -> None:
    _write(tmp_path, numbers="a: 1e-3\nb: -2.5E+2\nc: 0x10\nd: 1_000\ne: .5\nf: 3\ng: 1e3\n")
    values = read_file(tmp_path / "numbers.yaml").plain()
    assert values == {"a": 0.001, "b": -250.0, "c": 16, "d": 1000, "e": 0.5, "f": 3, "g": 1000.0}
    assert [type(v) for v in values.values()] == [float, float, int, int, float, int, float]


@pytest.mark.parametrize("name", nas.space_names())
def test_plain_values_give_the_same_space(name: str) -> None:
    space = nas.load_space(name)
    again = nas.SearchSpace.from_dict(space.to_dict())
    assert (again.name, again.size()) == (space.name, space.size())
    assert again.decode(space.sample(4)) == space.decode(space.sample(4))


def test_python_values_are_checked_like_a_file() -> None:
    with pytest.raises(SpaceError, match=r"<python>: stages\.0\.out_channels: .* but got 'x'"):
        nas.SearchSpace.from_dict({"stages": [{"block": "conv", "out_channels": "x"}], "head": {"block": "classifier"}})
    with pytest.raises(SpaceError, match="but got a set"):
        from_python({"stages": {1, 2}})
    with pytest.raises(SpaceError, match="keys must be words, but got 1"):
        from_python({1: 2})
    loop: list[object] = []
    loop.append(loop)
    with pytest.raises(SpaceError, match="nested deeper"):
        from_python(loop)


SECRETS = "root:x:0:0:secret:/root:/bin/bash\ndaemon:x:1:1:secret:/usr/sbin\n"


@pytest.mark.parametrize(
    "text",
    [
        SECRETS,
        "password: secret\ntoken: secret2\n",
        "- secret\n- secret2\n",
        "[section]\nkey = secret\n",
        "*secret\n",
        "secret: [\n",
        "secret\n",
        '{"password": "secret"}',
    ],
)
def test_a_file_that_is_none_of_ours_is_not_quoted(tmp_path: Path, text: str) -> None:
    """A space that is a link to any file, as in a folder from a stranger."""
    (tmp_path / "private").write_text(text)
    (tmp_path / "space.yaml").symlink_to(tmp_path / "private")
    with pytest.raises(SpaceError) as caught:
        nas.load_space(tmp_path / "space.yaml")
    assert "secret" not in str(caught.value)
    assert "space.yaml" in str(caught.value)


@pytest.mark.parametrize("text", [SECRETS, SECRETS * 50])
def test_a_file_that_is_included_is_not_quoted_either(tmp_path: Path, text: str) -> None:
    (tmp_path / "private.yaml").write_text(text)
    (tmp_path / "space.yaml").write_text("stages: {include: private.yaml}\nhead: {block: classifier}\n")
    with pytest.raises(SpaceError) as caught:
        nas.load_space(tmp_path / "space.yaml")
    assert "secret" not in str(caught.value)


def test_an_error_quotes_no_more_than_a_line(tmp_path: Path) -> None:
    lines = "\n".join(f"  k{i}: secret" for i in range(30))
    (tmp_path / "space.yaml").write_text(f"stages:\n{lines}\nhead: {{block: classifier}}\n")
    with pytest.raises(SpaceError, match=r"a mapping with 'k0', .*'k7', \.\.\.") as caught:
        nas.load_space(tmp_path / "space.yaml")
    assert "secret" not in str(caught.value)
    (tmp_path / "space.yaml").write_text("stages: |\n  first\n  second\nhead: {block: classifier}\n")
    with pytest.raises(SpaceError, match=r"'first'\.\.\.") as caught:
        nas.load_space(tmp_path / "space.yaml")
    assert "second" not in str(caught.value)


def _nested(lists: int) -> str:
    return "[" * lists + "8" + "]" * lists


def test_a_space_may_be_nested_60_levels_deep(tmp_path: Path) -> None:
    _write(tmp_path, fits=f"stages: {_nested(59)}\n", too_deep=f"stages: {_nested(60)}\n")
    assert read_file(tmp_path / "fits.yaml").plain() == yaml.safe_load(f"stages: {_nested(59)}")
    with pytest.raises(SpaceError, match=r"too_deep\.yaml:1: nested deeper than 60 levels"):
        read_file(tmp_path / "too_deep.yaml")
    assert from_python(yaml.safe_load(_nested(60))).plain() == yaml.safe_load(_nested(60))
    with pytest.raises(SpaceError, match="nested deeper than 60 levels"):
        from_python(yaml.safe_load(_nested(61)))


def test_a_space_may_have_200_000_values() -> None:
    assert len(from_python([8] * 199_999).value) == 199_999  # the list is one, too
    with pytest.raises(SpaceError, match="more than 200000 values"):
        from_python([8] * 200_000)


@pytest.mark.parametrize(
    ("text", "line"), [("\nstages: \x07\n", 2), ("\n\nname: a\nstages: \x07\n", 4), ("a: \x07", 1)]
)
def test_a_character_that_no_file_may_have_is_found_by_line(tmp_path: Path, text: str, line: int) -> None:
    _write(tmp_path, space=text)
    with pytest.raises(SpaceError, match=rf"space\.yaml:{line}: bad YAML"):
        read_file(tmp_path / "space.yaml")
