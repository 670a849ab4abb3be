"""One rule for the names of spaces, studies and blocks."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import nas
from nas.errors import ConfigError, NasError, SpaceError
from nas.names import check_name, name_problem
from nas.space import space_names

BAD = {
    "empty": "",
    "a path up": "../../outside/x",
    "a path": "a/b",
    "an absolute path": "/tmp/x",
    "backslash": "a\\b",
    "dots": "..",
    "hidden": ".x",
    "an option": "-x",
    "NUL": "a\0b",
    "newline": "a\nb",
    "escape": "a\x1b[31mb",
    "delete": "a\x7f",
    "direction": "a\u202eb",
    "isolate": "a\u2066b",
    "no width": "a\u200bb",
    "line separator": "a\u2028b",
    "half a character": "a\ud800",
    "interpolation": "${oc.env:HOME}",
    "spaces around": " a",
    "spaces together": "a  b",
    "another space": "a\u00a0b",
    "long": "a" * 101,
    "many bytes": "字" * 90,
}
GOOD = ["a", "my space", "Größe", "字", "x-1_2.3", "100%", "what?", "a#b", "q=1,r", "(v2)", "a" * 100]
BODY = {"stages": [{"block": "conv", "out_channels": 4}], "head": {"block": "classifier"}}


@pytest.mark.parametrize("name", BAD.values(), ids=BAD)
def test_a_name_that_breaks_the_rule(name: str, tmp_path: Path) -> None:
    assert name_problem(name)
    assert name_problem(name).isascii()
    assert name_problem(name).isprintable()
    with pytest.raises(SpaceError, match=r"name: a name has 1 to 100 visible characters|half a character"):
        nas.SearchSpace.from_dict({"name": name, **BODY})
    with pytest.raises(ConfigError, match="name: a name has 1 to 100"):
        check_name(name)


@pytest.mark.parametrize("name", GOOD)
def test_a_name_that_holds_it(name: str, tmp_path: Path) -> None:
    assert name_problem(name) == ""
    assert nas.SearchSpace.from_dict({"name": name, **BODY}).name == name
    check_name(name)


@given(st.text(st.characters(exclude_categories=()), max_size=120))
def test_what_holds_the_rule_is_the_name_of_a_file(name: str) -> None:
    if not name_problem(name):
        assert os.path.basename(name) == name
        assert name not in (".", "..")
        assert len(os.fsencode(name)) <= 200
        assert name.isprintable()


def test_a_space_file_names_the_line(tmp_path: Path) -> None:
    file = tmp_path / "x.yaml"
    file.write_text("\nname: ../../x\nstages: [{block: conv, out_channels: 4}]\nhead: {block: classifier}\n")
    with pytest.raises(SpaceError, match=r"x\.yaml:2: name: .* but '\.\./\.\./x' begins with"):
        nas.load_space(file)


def test_a_file_whose_name_is_none_may_give_one(tmp_path: Path) -> None:
    text = "stages: [{block: conv, out_channels: 4}]\nhead: {block: classifier}\n"
    (tmp_path / "-x.yaml").write_text(text)
    with pytest.raises(SpaceError, match="begins with '-'; give the space a `name`"):
        nas.load_space(tmp_path / "-x.yaml")
    (tmp_path / "-x.yaml").write_text(f"name: x\n{text}")
    assert nas.load_space(tmp_path / "-x.yaml").name == "x"


def test_all_spaces_that_come_with_nas_hold_it() -> None:
    assert not [name for name in space_names() if name_problem(name.rsplit("/", 1)[-1])]


def test_a_study_and_a_block() -> None:
    space = nas.SearchSpace.from_dict(BODY)
    with pytest.raises(ConfigError, match="name: a name has 1 to 100"):
        nas.run_search(space, lambda *_: 1.0, trials=1, run_dir="runs/a\nb")

    def block(g: Any, x: Any) -> Any:
        raise AssertionError

    block.__name__ = "../x"
    with pytest.raises(NasError, match="the name of a block is a word"):
        nas.block(block)
    with pytest.raises(SpaceError, match="the name of an option: a name has"):
        nas.SearchSpace.from_dict({"choose": {"a/b": BODY}})
