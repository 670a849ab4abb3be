"""Odd corners of the language: what PyYAML, the file system or a setting's type could turn into another exception.

The common mistakes are in test_malformed.py. Here too a refusal is one `SpaceError` in one line of the user's words.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import nas
from nas.errors import SpaceError
from nas.space import space_names


@dataclass(frozen=True)
class Case:
    """One malformed space file, and what must be said about it."""

    name: str
    text: str | bytes
    line: int | None
    """Line of the mistake, counted from 1; None where it has none (the whole file is wrong)."""
    says: tuple[str, ...]
    """Path in the tree, rule and value."""


def _case(name: str, text: str | bytes, line: int | None, *says: str) -> Case:
    return Case(name, text, line, says)


def _top(line: str) -> str:
    """A space whose first line is `line`."""
    return f"{line}\nstages:\n  - {{block: mbconv, out_channels: 8}}\nhead: {{block: classifier}}\n"


def _stage(*lines: str, block: str = "mbconv") -> str:
    """A space with `lines` in its only stage; the first of them is line 4."""
    entry = "".join(f"    {line}\n" for line in lines)
    return f"stem: {{block: conv, out_channels: 8}}\nstages:\n  - block: {block}\n{entry}head: {{block: classifier}}\n"


def _setting(line: str) -> str:
    """A space with one setting, on line 5, beside the one that must be there."""
    return _stage("out_channels: 8", line)


KEYS = [
    _case("duplicate_key_in_one_line", _setting("kernel: {choose: [3], choose: [5]}"), 5, "duplicate name 'choose'"),
    _case("key_that_is_a_bool", _setting("on: 5"), 5, "keys must be words", "True"),
    _case("key_that_is_a_list", _setting("[a]: 5"), 5, "not allowed"),
    _case("stages_empty", "stages: []\nhead: {block: classifier}\n", 1, "stages", "at least one entry"),
    _case(
        "stages_a_mapping", "stages: {block: conv}\nhead: {block: classifier}\n", 1, "stages", "must be a list", "block"
    ),
    _case("top_is_a_word", "mbconv\n", 1, "a space is a mapping", "a text"),
    _case("assume_not_a_mapping", _top("assume: 3"), 1, "assume is a mapping", "3"),
    _case("assume_zero", _top("assume: {channels: 0}"), 1, "assume.channels", ">= 1", "0"),
    _case("assume_list", _top("assume: {channels: [3]}"), 1, "assume.channels", "must be"),
    _case("assume_choice", _top("assume: {channels: {choose: [1, 3]}}"), 1, "assume.channels", "must be"),
]

BLOCKS = [
    _case("unknown_block_in_choice", _stage("out_channels: 8", block="{choose: [mbconv, mbcomv]}"), 3, "'mbcomv'"),
    _case("block_a_number", _stage("out_channels: 8", block="7"), 3, "stages.0.block", "unknown block 7"),
    _case("block_a_list", _stage("out_channels: 8", block="[mbconv]"), 3, "stages.0.block", "block"),
    _case("block_choice_of_mappings", _stage("out_channels: 8", block="{choose: [{mbconv: 3}]}"), 3, "stages.0.block"),
    _case("block_without_choose", _stage("out_channels: 8", block="{per: block}"), 3, "stages.0.block", "'choose'"),
    _case("block_choice_empty", _stage("out_channels: 8", block="{choose: []}"), 3, "at least one entry"),
    _case("block_choice_empty_mapping", _stage("out_channels: 8", block="{choose: {}}"), 3, "at least one entry"),
    _case(
        "block_settings_not_a_mapping",
        _stage("out_channels: 8", block="{choose: {mbconv: 3}}"),
        3,
        "stages.0.block.mbconv",
        "are a mapping",
        "3",
    ),
    _case("block_twice", _stage("out_channels: 8", block="{choose: [conv, conv]}"), 3, "'conv' is there twice"),
    _case("stage_a_word", "stages:\n  - mbconv\nhead: {block: classifier}\n", 2, "stages.0", "mapping", "'mbconv'"),
    _case("stage_null", "stages:\n  -\nhead: {block: classifier}\n", 2, "stages.0", "mapping", "None"),
    _case("stem_empty", _top("stem: []"), 1, "stem", "at least one entry"),
    _case(
        "blocks_and_more",
        "stages:\n  - blocks: [{block: mbconv, out_channels: 8}]\n    depth: 2\nhead: {block: classifier}\n",
        3,
        "stages.0",
        "'depth'",
    ),
    _case("blocks_empty", "stages:\n  - blocks: []\nhead: {block: classifier}\n", 2, "stages.0.blocks", "at least one"),
]

SETTINGS = [
    _case(
        "missing_setting_of_one_kind",
        _stage("stride: 2", block="{choose: {mbconv: {out_channels: 8}, conv: {}}}"),
        3,
        "stages.0",
        "block 'conv' needs 'out_channels'",
    ),
    _case("zero_channels", _stage("out_channels: 0"), 4, "stages.0.out_channels", ">= 1", "0"),
    _case("channels_a_float", _stage("out_channels: 8.0"), 4, "stages.0.out_channels", "whole number", "8.0"),
    _case("channels_null", _stage("out_channels:"), 4, "stages.0.out_channels", "whole number", "None"),
    _case("channels_absurd", _stage("out_channels: 10000000000"), 4, "stages.0.out_channels", "10000000000"),
    _case("even_kernel_in_choice", _setting("kernel: {choose: [3, 4]}"), 5, "stages.0.kernel", "odd", "4"),
    _case("even_kernel_in_range", _setting("kernel: {range: [3, 6]}"), 5, "stages.0.kernel", "odd", "4"),
    _case("ratio_below_one", _setting("expand_ratio: 0.5"), 5, "stages.0.expand_ratio", ">= 1", "0.5"),
    _case("ratio_nan", _setting("se_ratio: .nan"), 5, "a number is finite", "nan"),
    _case("ratio_inf", _setting("se_ratio: .inf"), 5, "a number is finite", "inf"),
    _case("ratio_too_large_for_a_float", _setting(f"expand_ratio: 1{'0' * 400}"), 5, "stages.0.expand_ratio"),
    _case("bool_for_a_word", _setting("activation: off"), 5, "stages.0.activation", "False"),
    _case("dropout_of_one", _top("").replace("classifier", "classifier, dropout: 1.0"), 4, "head.0.dropout", "< 1"),
    _case("depth_negative", _setting("depth: {range: [-1, 2]}"), 5, "stages.0.depth", ">= 0", "-1"),
    _case("num_classes_is_not_a_setting", _setting("num_classes: 10"), 5, "stages.0.num_classes"),
    _case("include_of_a_setting", _setting("kernel: {include: 5}"), 5, "include takes the path", "5"),
    _case("integer_of_5000_hex_digits", _stage(f"out_channels: 0x{'f' * 5000}"), 4, "20000 bits"),
]

CHOICES = [
    _case("empty_mapping", _setting("kernel: {}"), 5, "stages.0.kernel", "either 'choose' or 'range'"),
    _case("choose_a_scalar", _setting("kernel: {choose: 3}"), 5, "stages.0.kernel", "must be a list", "3"),
    _case("choose_a_list_of_lists", _setting("kernel: {choose: [[3]]}"), 5, "stages.0.kernel", "one value"),
    _case("step_without_range", _setting("kernel: {choose: [3], step: 2}"), 5, "'step' goes with 'range'"),
    _case("option_twice", _setting("kernel: {choose: [3, 5, 3]}"), 5, "stages.0.kernel", "3 is there twice"),
    _case("range_step_zero", _setting("kernel: {range: [3, 5], step: 0}"), 5, "`step >= 1`", "step=0"),
    _case("range_of_floats", _setting("se_ratio: {range: [0, 0.5]}"), 5, "stages.0.se_ratio", "whole numbers", "0.5"),
    _case("range_of_three", _setting("kernel: {range: [1, 3, 5]}"), 5, "range takes [low, high]", "[1, 3, 5]"),
    _case("range_of_bools", _setting("kernel: {range: [true, 3]}"), 5, "whole numbers", "True"),
    _case("range_a_number", _setting("kernel: {range: 3}"), 5, "range takes [low, high]", "3"),
    _case("range_step_a_mapping", _setting("kernel: {range: [1, 3], step: {a: 1}}"), 5, "range takes [low, high]"),
    _case("per_block_on_resolution", _top("resolution: {choose: [8, 16], per: block}"), 1, "resolution", "per block"),
    _case("resolution_a_word", _top("resolution: large"), 1, "resolution", "'large'"),
]

YAML = [
    _case("bad_indent", "stages:\n  - block: conv\n   kernel: 3\n", 3, "bad YAML"),
    _case("unclosed", "stages: [\n", 2, "bad YAML"),
    _case("two_documents", _top("---") + "---\nhead: 3\n", 5, "bad YAML"),
    _case("alias_unknown", _setting("kernel: *nowhere"), 5, "bad YAML", "nowhere"),
    _case("control_character", _setting("kernel: \x00"), 5, "bad YAML"),
    _case("comment_only", "# nothing\n", None, "empty"),
    _case("too_large", "# " + "x" * 2**20 + "\n", None, "262144 bytes"),
    _case("python_tag_on_a_scalar", _setting("kernel: !!python/name:os.system x"), 5, "tag", "os.system"),
    _case("python_tag_on_a_mapping", _setting("kernel: !!python/object:os.x {choose: [3]}"), 5, "tag", "os.x"),
    _case("python_tag_on_a_list", _setting("kernel: {choose: !!python/object/apply:os.getcwd [3]}"), 5, "os.getcwd"),
    _case("own_tag", _setting("kernel: !mine 3"), 5, "tag '!mine' is not allowed"),
    _case("date", _setting("kernel: 2020-01-01"), 5, "timestamp", "not allowed"),
    _case("tag_that_does_not_fit", _setting("kernel: !!int three"), 5, "bad value 'three'"),
    _case("tag_bool_that_does_not_fit", _setting("kernel: !!bool maybe"), 5, "bad value 'maybe'"),
    _case("tag_int_of_nothing", _setting('kernel: !!int ""'), 5, "bad value ''"),
    _case("alias_inside_itself_merged", "a: &a\n  <<: *a\n", None, "alias inside itself"),
    _case("nested_lists", "[" * 100 + "]" * 100, 1, "nested deeper than"),
    _case("nested_mappings", "a: " + "{a: " * 50_000, None, "nested deeper than"),
    _case("include_by_another_path", _setting("kernel: {include: ../here/bad.yaml}"), 5, "cyclic include"),
    _case("include_of_a_folder", _setting("kernel: {include: .}"), 5, "include: unknown space", "'.'"),
    _case("include_with_a_nul", _setting('kernel: {include: "a\\0.yaml"}'), 5, "include"),
    _case("include_with_a_long_name", _setting(f"kernel: {{include: {'a' * 5000}.yaml}}"), 5, "include"),
]

CASES = KEYS + BLOCKS + SETTINGS + CHOICES + YAML


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to be in, so that a file's name is all of its path."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def _write(path: Path, text: str | bytes) -> None:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())


def _refusal(name: str = "bad.yaml") -> str:
    with pytest.raises(SpaceError) as caught:
        nas.load_space(name)
    return str(caught.value)


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_malformed_space(case: Case, here: Path) -> None:
    _write(here / "bad.yaml", case.text)
    message = _refusal()
    place = "bad.yaml:" if case.line is None else f"bad.yaml:{case.line}: "
    assert message.startswith(place)
    for part in case.says:
        assert part in message
    assert "\n" not in message
    assert "Source(" not in message, "our own classes are not words of the user"


def test_case_names_are_unique() -> None:
    assert len({case.name for case in CASES}) == len(CASES)


def test_missing_file_and_folder(here: Path) -> None:
    (here / "folder.yaml").mkdir()
    assert _refusal("nowhere.yaml") == "nowhere.yaml: no such space file"
    assert _refusal("folder.yaml") == "folder.yaml: no such space file"


@pytest.mark.parametrize("name", ["~nobody-of-this-name/a.yaml", "a" * 5000 + ".yaml", "a\0.yaml"])
def test_a_path_that_cannot_be_is_refused(name: str, here: Path) -> None:
    assert "no such space file" in _refusal(name) or "cannot be" in _refusal(name)


def test_unreadable_file(here: Path) -> None:
    _write(here / "bad.yaml", _top(""))
    (here / "bad.yaml").chmod(0)
    if os.access(here / "bad.yaml", os.R_OK):
        pytest.skip("this user may read everything")
    assert _refusal().startswith("bad.yaml: cannot be read")


@pytest.mark.parametrize(
    ("name", "near"), [("mbcomv", "'mbconv'"), ("reference/resnet_50", "'reference/resnet50'"), ("", "Known: ")]
)
def test_unknown_space_name_suggests_the_nearest(name: str, near: str) -> None:
    message = _refusal(name)
    assert f"unknown space {name!r}" in message
    assert near in message
    assert "path to its .yaml file" in message


def test_unknown_space_name_far_from_all_lists_all() -> None:
    message = _refusal("zzzz")
    assert all(name in message for name in space_names())


def test_mistake_in_an_included_file_is_reported_there(here: Path) -> None:
    _write(here / "a.yaml", _setting("kernel: {include: b.yaml}"))
    _write(here / "b.yaml", "# odd ones\nchoose: [3,\n  4]\n")
    message = _refusal("a.yaml")
    assert message.startswith("b.yaml:3: stages.0.kernel: ")
    assert "odd" in message


def test_include_through_a_loop_of_links(here: Path) -> None:
    (here / "loop.yaml").symlink_to("loop.yaml")
    _write(here / "bad.yaml", _setting("kernel: {include: loop.yaml}"))
    assert _refusal().startswith("bad.yaml:5: ")


def test_many_small_includes_are_bounded(here: Path) -> None:
    """Ten includes in each of six files: a million reads when followed without a bound."""
    for i in range(6):
        _write(here / f"a{i}.yaml", "[" + ", ".join([f"{{include: a{i + 1}.yaml}}"] * 10) + "]")
    _write(here / "a6.yaml", "1")
    assert "more than" in _refusal("a0.yaml")


SHRINKS = "stages:\n  - {block: conv, out_channels: 4}\n  - {block: max_pool, kernel: 4, stride: 4}\n"
SHRINKS += "  - {block: max_pool, kernel: 4, stride: 4}\nhead: {block: classifier}\n"


def _refusal_for_data(text: str, here: Path, size: int = 8) -> str:
    """What is said when the space meets data of this map size."""
    _write(here / "bad.yaml", text)
    space = nas.load_space("bad.yaml")
    with pytest.raises(SpaceError) as caught:
        space.for_data((3, size, size), 10)
    return str(caught.value)


def test_map_that_shrinks_to_nothing(here: Path) -> None:
    message = _refusal_for_data(SHRINKS, here)
    # 8 / 4 = 2, and a window of 4 does not fit on 2: floor((2 - 4) / 4) + 1 = 0.
    assert message.startswith("bad.yaml:4: stages.2.")
    assert "the map shrinks to nothing: 2x2 -> 0x0 with kernel 4x4, stride 4x4" in message
    assert "input 3x8x8" in message
    assert nas.load_space("bad.yaml").for_data((3, 16, 16), 10).input_shape == (3, 16, 16)


def test_a_space_is_kept_while_one_network_of_it_fits(here: Path) -> None:
    _write(here / "a.yaml", SHRINKS.replace("max_pool, kernel: 4", "max_pool, kernel: {choose: [1, 64]}"))
    space = nas.load_space("a.yaml").for_data((3, 8, 8), 10)
    assert space.size() == 4
    _write(here / "a.yaml", SHRINKS.replace("max_pool, kernel: 4", "max_pool, kernel: {choose: [63, 64]}"))
    with pytest.raises(SpaceError, match=r"a\.yaml:3: stages\.1\..*shrinks to nothing"):
        nas.load_space("a.yaml").for_data((3, 8, 8), 10)


@pytest.mark.parametrize(
    ("text", "place", "rule"),
    [
        (_stage("out_channels: 8", "groups: 3", block="conv"), "bad.yaml:3: stages.0", "groups must divide"),
        (
            "stem:\n  - {block: conv, depth: 2, out_channels: 8}\n  - {block: max_pool, kernel: 64}\n"
            + "stages: [{block: conv, out_channels: 8}]\nhead: {block: classifier}\n",
            "bad.yaml:3: stem.",
            "shrinks to nothing",
        ),
        (
            "stages:\n  - blocks:\n      - {block: conv, depth: 2, out_channels: 8}\n"
            + "      - {block: max_pool, kernel: 4, depth: 3, stride: 4}\n      - {block: conv, out_channels: 8}\n"
            + "head: {block: classifier}\n",
            "bad.yaml:4: stages.0.",
            "shrinks to nothing",
        ),
        (
            "stages: [{block: conv, out_channels: 8}]\nhead:\n  - {block: max_pool, padding: 3, kernel: 4}\n"
            + "  - {block: classifier}\n",
            "bad.yaml:3: head.0",
            "over half of the kernel",
        ),
        (
            "stages: [{block: conv, out_channels: 8}]\nhead:\n  - {block: classifier}\n"
            + "  - {block: conv, out_channels: 8}\n",
            "bad.yaml:4: head.1",
            "conv",
        ),
        (
            "stages: [{block: conv, out_channels: 8}]\nhead:\n  - {block: classifier}\n  - {block: classifier}\n",
            "bad.yaml:4: head.1",
            "needs a map",
        ),
    ],
    ids=["groups", "after_a_depth", "second_copy", "padding", "conv_after_classifier", "classifier_twice"],
)
def test_a_network_that_cannot_be_is_reported_where_it_is_written(text: str, place: str, rule: str, here: Path) -> None:
    message = _refusal_for_data(text, here)
    assert message.startswith(place)
    assert rule in message


def _too_large(**pool: Any) -> nas.SearchSpace:
    """A window of 9 for a map of 8."""
    stages = [{"block": "conv", "out_channels": 8}, {"block": "max_pool", "kernel": 9, "padding": 0, **pool}]
    return nas.SearchSpace.from_dict({"stages": stages, "head": {"block": "classifier"}})


@pytest.mark.parametrize(("kernels", "tried"), [([9], 1), ([9, 11], 2), (list(range(9, 209, 2)), 64)])
def test_a_space_without_a_network_is_refused_with_how_many_were_tried(kernels: list[int], tried: int) -> None:
    with pytest.raises(SpaceError, match=rf"with kernel \d+x.* so it is in all {tried} networks tried"):
        _too_large(kernel={"choose": kernels}).for_data((3, 8, 8), 4)


@pytest.mark.parametrize("kernels", [[9, 3], [3, 9]])
def test_a_space_with_one_network_that_fits_is_taken(kernels: list[int]) -> None:
    assert _too_large(kernel={"choose": kernels}).for_data((3, 8, 8), 4).input_shape == (3, 8, 8)
