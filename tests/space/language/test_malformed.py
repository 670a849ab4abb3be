"""Malformed spaces end with one message that names file, line, path, rule and value."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import nas
from nas.errors import SpaceError
from tests.run_command import run
from tests.space import fuzz

HEAD = "head: {block: classifier}\n"

# id: (text of space.yaml, line of the error or None for the whole file, words of the message)
CASES: dict[str, tuple[str, int | None, list[str]]] = {
    "unknown block": (
        "stages:\n  - {block: mbcnv, out_channels: 8}\n" + HEAD,
        2,
        ["stages.0.block", "unknown block 'mbcnv'", "Did you mean 'mbconv'"],
    ),
    "unknown key": (
        "stages:\n  - {block: conv, out_channels: 8}\nhaed: {block: classifier}\n",
        3,
        ["unknown key 'haed'", "Did you mean 'head'"],
    ),
    "unknown setting": (
        "stages:\n  - block: conv\n    out_channels: 8\n    kernal: 3\n" + HEAD,
        4,
        ["stages.0.kernal", "block 'conv' has no setting 'kernal'", "Did you mean 'kernel'"],
    ),
    "setting of one kind only": (
        "stages:\n  - block: {choose: [conv, mbconv]}\n    out_channels: 8\n    expand_ratio: 2\n" + HEAD,
        4,
        ["block 'conv' has no setting 'expand_ratio'"],
    ),
    "empty choice": (
        "stages:\n  - block: conv\n    out_channels: {choose: []}\n" + HEAD,
        3,
        ["stages.0.out_channels", "at least one entry", "a list of 0"],
    ),
    "negative channels": (
        "stages:\n  - block: conv\n    out_channels: {choose: [8, -16]}\n" + HEAD,
        3,
        ["out_channels must be a whole number >= 1", "but got -16"],
    ),
    "wrong type": (
        "stages:\n  - block: conv\n    out_channels: wide\n" + HEAD,
        3,
        ["out_channels must be a whole number >= 1", "but got 'wide'"],
    ),
    "true is no number": (
        "stages:\n  - {block: conv, out_channels: true}\n" + HEAD,
        2,
        ["a whole number >= 1 or null, but got True"],
    ),
    "a list where one value belongs": (
        "stages:\n  - {block: conv, out_channels: [8, 16]}\n" + HEAD,
        2,
        ["must be one value, but got a list of 2", "{choose: [...]}"],
    ),
    "even kernel": (
        "stages:\n  - {block: mbconv, out_channels: 8, kernel: 4}\n" + HEAD,
        2,
        ["kernel must be an odd whole number >= 1, but got 4"],
    ),
    "unknown activation": (
        "stages:\n  - {block: conv, out_channels: 8, activation: swish}\n" + HEAD,
        2,
        ["activation must be one of relu", "but got 'swish'"],
    ),
    "duplicate name": (
        "stages:\n  - block: conv\n    out_channels: 8\n    out_channels: 16\n" + HEAD,
        4,
        ["duplicate name 'out_channels'"],
    ),
    "bad YAML": ("stages: [\n  - {block: conv\n", 2, ["bad YAML"]),
    "tabs": ("stages:\n\t- {block: conv}\n", 2, ["bad YAML"]),
    "empty file": ("", None, ["the file is empty"]),
    "not a mapping": ("- 1\n- 2\n", 1, ["a space is a mapping, but got a list of 2"]),
    "no stages": (HEAD, 1, ["a space needs 'stages'"]),
    "no head": ("stages:\n  - {block: conv, out_channels: 8}\n", 1, ["a space needs 'head'"]),
    "stages not a list": ("stages: 3\n" + HEAD, 1, ["must be a list with at least one entry, but got 3"]),
    "no block": ("stages:\n  - {out_channels: 8}\n" + HEAD, 2, ["needs 'block'"]),
    "required setting missing": (
        "stages:\n  - {block: conv, kernel: 3}\n" + HEAD,
        2,
        ["block 'conv' needs 'out_channels': a whole number >= 1"],
    ),
    "setting given twice": (
        "stages:\n  - block: {choose: {conv: {kernel: 3}}}\n    out_channels: 8\n    kernel: 5\n" + HEAD,
        4,
        ["'kernel' is given here and under block 'conv'"],
    ),
    "option twice": (
        "stages:\n  - block: conv\n    out_channels: {choose: [8, 16, 8.0]}\n" + HEAD,
        3,
        ["out_channels must be a whole number >= 1 or null, but got 8.0"],
    ),
    "same option twice": (
        "stages:\n  - {block: mbconv, out_channels: 8, se_ratio: {choose: [0, 0.25, 0.0]}}\n" + HEAD,
        2,
        ["option 0.0 is there twice"],
    ),
    "choose and range": (
        "stages:\n  - {block: conv, out_channels: {choose: [8], range: [1, 2]}}\n" + HEAD,
        2,
        ["either 'choose' or 'range'"],
    ),
    "unknown word in a choice": (
        "stages:\n  - {block: conv, out_channels: {chose: [8]}}\n" + HEAD,
        2,
        ["unknown key 'chose'", "Did you mean 'choose'"],
    ),
    "range upside down": (
        "stages:\n  - {block: conv, out_channels: {range: [16, 8]}}\n" + HEAD,
        2,
        ["`low <= high`", "low=16, high=8, step=1"],
    ),
    "range that misses its end": (
        "stages:\n  - {block: conv, out_channels: {range: [8, 17], step: 8}}\n" + HEAD,
        2,
        ["a high end that is met", "low=8, high=17, step=8"],
    ),
    "range without end": (
        "stages:\n  - {block: conv, out_channels: {range: [1, 100000000]}}\n" + HEAD,
        2,
        ["a range may have 4096 values, but got 100000000"],
    ),
    "range of words": (
        "stages:\n  - {block: conv, out_channels: {range: [a, b]}}\n" + HEAD,
        2,
        ["range takes [low, high] and step, all whole numbers, but got ['a', 'b']"],
    ),
    "per what": (
        "stages:\n  - {block: conv, depth: 2, out_channels: {choose: [8], per: layer}}\n" + HEAD,
        2,
        ["per must be 'block' or 'stage', but got 'layer'"],
    ),
    "stride per block": (
        "stages:\n  - {block: conv, depth: 2, out_channels: 8, stride: {choose: [1, 2], per: block}}\n" + HEAD,
        2,
        ["stages.0.stride", "cannot be chosen per block"],
    ),
    "stride under a kind per block": (
        "stages:\n  - block: {choose: {mbconv: {stride: 2}, conv: null}, per: block}\n    out_channels: 8\n" + HEAD,
        2,
        ["stages.0.block.mbconv.stride", "cannot stand under a kind chosen per block"],
    ),
    "depth per block": (
        "stages:\n  - {block: conv, out_channels: 8, depth: {choose: [1, 2], per: block}}\n" + HEAD,
        2,
        ["stages.0.depth", "cannot be chosen per block"],
    ),
    "depth too large": (
        "stages:\n  - {block: conv, out_channels: 8, depth: 1000000}\n" + HEAD,
        2,
        ["depth must be a whole number >= 0 and < 513, but got 1000000"],
    ),
    "unknown assumption": (
        "assume: {chanels: 3}\nstages:\n  - {block: conv, out_channels: 8}\n" + HEAD,
        1,
        ["unknown key 'chanels'", "Did you mean 'channels'"],
    ),
    "tag": (
        "stages:\n  - {block: conv, out_channels: !!python/object/apply:os.system ['true']}\n" + HEAD,
        2,
        [],
    ),
    "tag of a scalar": ("stages:\n  - {block: !!binary Y29udg==}\n" + HEAD, 2, ["tag", "is not allowed"]),
    "key that is no word": ("stages:\n  - {block: conv, 3: 4}\n" + HEAD, 2, ["keys must be words, but got 3"]),
    "alias inside itself": ("stages: &a\n  - *a\n" + HEAD, 1, ["an alias inside itself"]),
    "merge of a list": ("stages:\n  - <<: [1]\n    block: conv\n" + HEAD, 2, ["<< merges a mapping"]),
    "cyclic include": ("include: space.yaml\n", 1, ["cyclic include: space.yaml -> space.yaml"]),
    "missing include": ("stages: {include: other.yaml}\n" + HEAD, 1, ["include: no such file"]),
    "include of no space": ("stages: {include: /etc/passwd}\n" + HEAD, 1, ["unknown space"]),
    "name that is no text": ("name: [1]\nstages:\n  - {block: conv, out_channels: 8}\n" + HEAD, 1, ["must be text"]),
    "resolution of nothing": (
        "resolution: {choose: [32, 0]}\nstages:\n  - {block: conv, out_channels: 8}\n" + HEAD,
        1,
        ["size must be a whole number >= 1, but got 0"],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_malformed(case: str, tmp_path: Path) -> None:
    text, line, words = CASES[case]
    path = tmp_path / "space.yaml"
    path.write_text(text)
    with pytest.raises(SpaceError) as caught:
        nas.load_space(path)
    message = str(caught.value)
    assert message.startswith(f"{path}:{line}: " if line else f"{path}: ")
    assert "\n" not in message
    for word in words:
        assert word in message


def test_a_map_that_shrinks_to_nothing_names_the_block(tmp_path: Path) -> None:
    path = tmp_path / "space.yaml"
    path.write_text(
        "stages:\n"
        "  - {block: conv, out_channels: {choose: [4, 8]}, stride: 2}\n"
        "  - {block: conv, out_channels: 8, kernel: 7, padding: 0, stride: 4}\n" + HEAD
    )
    space = nas.load_space(path)
    space.for_data((3, 32, 32), 10)  # 16 -> 3: fits
    with pytest.raises(SpaceError, match=r"space\.yaml:3: stages\.1\.blocks\.0\.conv.* shrinks to nothing: 4x4 -> 0x0"):
        space.for_data((1, 8, 8), 10)


def test_two_files_that_include_each_other(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("stages:\n  - include: b.yaml\n")
    (tmp_path / "b.yaml").write_text("block: {include: a.yaml}\n")
    with pytest.raises(SpaceError, match=r"b\.yaml:1: cyclic include: a\.yaml -> b\.yaml -> a\.yaml"):
        nas.load_space(tmp_path / "a.yaml")


def test_missing_file_and_unknown_name() -> None:
    with pytest.raises(SpaceError, match=r"nowhere\.yaml: no such space file"):
        nas.load_space("nowhere.yaml")
    with pytest.raises(SpaceError, match=r"unknown space 'reference/resnet5'\. Did you mean 'reference/resnet50'"):
        nas.load_space("reference/resnet5")
    with pytest.raises(SpaceError, match=r"unknown space '\.\./secret'"):
        nas.load_space("../secret")


def test_not_text(tmp_path: Path) -> None:
    (tmp_path / "space.yaml").write_bytes(b"\xff\xfe\x00stages")
    with pytest.raises(SpaceError, match="cannot be read as text"):
        nas.load_space(tmp_path / "space.yaml")


BOMBS = {
    "aliases": "a: &a [x, x, x, x, x, x, x, x, x]\n"
    + "".join(f"{chr(98 + i)}: &{chr(98 + i)} [{', '.join(['*' + chr(97 + i)] * 9)}]\n" for i in range(12)),
    "depth": "[" * 5000,
    "deep mapping": "".join(" " * i + f"k{i}:\n" for i in range(500)),
    "size": "# " + "x" * (2**20 + 1),
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_a_bomb_is_refused_at_once(bomb: str, tmp_path: Path) -> None:
    (tmp_path / "space.yaml").write_text(BOMBS[bomb])
    with pytest.raises(SpaceError, match=r"space\.yaml"):
        nas.load_space(tmp_path / "space.yaml")


def test_a_vast_space_is_as_quick_as_a_small_one(tmp_path: Path) -> None:
    (tmp_path / "space.yaml").write_text(fuzz.VAST)
    space = nas.load_space(tmp_path / "space.yaml")
    assert space.size() == 10**40
    assert len(space.unrank(10**40 - 1)) == 40
    assert space.encode(space.decode(space.sample(0))) == space.sample(0)


@pytest.mark.slow
def test_mutated_files_are_read_or_refused() -> None:
    """A minute of what `python -m tests.space.fuzz` does for ten; in a process of its own, since it forbids much."""
    command = [sys.executable, "-m", "tests.space.fuzz", "--minutes", "1"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[3], check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    ended = dict(line.split(": ") for line in done.stdout.splitlines())
    assert {"read", "refused"} <= set(ended)


def test_bomb_of_includes(tmp_path: Path) -> None:
    for i in range(12):
        lines = "".join(f"k{j}: {{include: f{i + 1}.yaml}}\n" for j in range(9))
        (tmp_path / f"f{i}.yaml").write_text(lines)
    (tmp_path / "f12.yaml").write_text("x: 1\n")
    with pytest.raises(SpaceError, match="more than 1000 includes"):
        nas.load_space(tmp_path / "f0.yaml")


COMMAND_LINE = [
    "unknown block",
    "unknown key",
    "empty choice",
    "negative channels",
    "wrong type",
    "duplicate name",
    "bad YAML",
    "cyclic include",
]


@pytest.mark.parametrize("case", [*COMMAND_LINE, "missing file"])
def test_the_command_says_it_in_one_line_and_exits_with_2(case: str, tmp_path: Path) -> None:
    if case != "missing file":
        (tmp_path / "space.yaml").write_text(CASES[case][0])
    _check_command(tmp_path, f"space.yaml:{CASES[case][1]}: " if case in CASES else "space.yaml: ")


@pytest.mark.slow  # the data decide the map size, so torch is loaded first
def test_the_command_names_the_block_whose_map_vanishes(tmp_path: Path) -> None:
    (tmp_path / "space.yaml").write_text(
        "stages:\n  - {block: conv, out_channels: 8}\n  - {block: max_pool, kernel: 9}\n" + HEAD
    )
    _check_command(tmp_path, "space.yaml:3: stages.1.blocks.0.pool: ")


def _check_command(folder: Path, place: str) -> None:
    result = run("nas.search", "+space=space.yaml", cwd=folder)
    assert result.returncode == 2
    assert result.stderr.startswith(f"nas.search: {place}")
    assert result.stderr.count("\n") == 1
    assert "Traceback" not in result.stdout + result.stderr
