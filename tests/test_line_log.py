"""A log shows what was done to it, and is as it was where a line cannot be written."""

from __future__ import annotations

import json
import os
import resource
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas.errors import ConfigError
from nas.line_log import LineLog, append_in_turn


def _read(path: Path) -> list[Any]:
    return LineLog(path).read("a row", lambda values: values)


def _write(path: Path, *rows: dict[str, Any]) -> None:
    log = LineLog(path)
    for row in rows:
        log.append(row, durable=True)
    log.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    _write(tmp_path / "log", *({"n": n, "cost": 100 * n} for n in range(6)))
    return tmp_path / "log"


def test_lines_are_json_and_come_back(path: Path) -> None:
    assert _read(path) == [{"n": n, "cost": 100 * n} for n in range(6)]
    assert [json.loads(line)["cost"] for line in path.read_text().splitlines()] == [0, 100, 200, 300, 400, 500]


def _edited(lines: list[bytes]) -> list[bytes]:
    return [lines[0], lines[1].replace(b"100", b"10"), *lines[2:]]


def _swapped(lines: list[bytes]) -> list[bytes]:
    return [lines[0], lines[2], lines[1], *lines[3:]]


def _bare(lines: list[bytes]) -> list[bytes]:
    return [lines[0], b'{"n":1,"cost":100}\n', *lines[2:]]


def _foreign(lines: list[bytes]) -> list[bytes]:
    return [lines[0], lines[1].replace(lines[1][-18:-2], lines[2][-18:-2]), *lines[2:]]


@pytest.mark.parametrize(
    "change",
    [_edited, _swapped, _bare, _foreign, lambda lines: [lines[0], *lines[2:]], lambda lines: [*lines[:2], *lines[1:]]],
    ids=["edited", "swapped", "no checksum", "checksum of another", "missing", "twice"],
)
def test_what_was_done_to_a_log_is_seen(path: Path, change: Any) -> None:
    path.write_bytes(b"".join(change(path.read_bytes().splitlines(keepends=True))))
    with pytest.raises(
        ConfigError, match=r"log:[23]: not a row, or not as it was written: .*Take the file from a copy"
    ):
        _read(path)


def test_what_the_error_says_to_do_works(path: Path) -> None:
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:3], b"garbage\n", *lines[4:]]))
    with pytest.raises(ConfigError, match=r"log:4: .*keep its first 3 lines \(head -n 3\)"):
        _read(path)
    path.write_bytes(b"".join(lines[:3]))
    _write(path, {"n": 3})
    assert [row["n"] for row in _read(path)] == [0, 1, 2, 3]


def test_lines_of_the_old_format_are_read_and_gone_on_with(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text('{"n": 0}\n{"n": 1}\n')
    assert _read(path) == [{"n": 0}, {"n": 1}]
    _write(path, {"n": 2})
    _write(path, {"n": 3})
    assert [row["n"] for row in _read(path)] == [0, 1, 2, 3]
    # From then on the old lines are guarded too.
    path.write_bytes(path.read_bytes().replace(b'"n": 0', b'"n": 7'))
    with pytest.raises(ConfigError, match=r"log:3: .*a line before it was edited"):
        _read(path)


@given(st.integers(0), st.integers(0, 255))
def test_no_byte_can_be_changed(tmp_path_factory: pytest.TempPathFactory, place: int, value: int) -> None:
    path = tmp_path_factory.mktemp("log") / "log"
    _write(path, *({"n": n, "text": "ü"} for n in range(3)))
    data = bytearray(path.read_bytes())
    place %= len(data) - 1  # without the last line break a line is unfinished, as after a crash
    if data[place] == value:
        return
    data[place] = value
    path.write_bytes(data)
    with pytest.raises(ConfigError, match="not as it was written"):
        _read(path)


@pytest.mark.parametrize("cut", [1, 5, 30])
def test_an_unfinished_line_is_cut_off(path: Path, cut: int) -> None:
    path.write_bytes(path.read_bytes()[:-cut])
    _write(path, {"n": 5})
    assert [row["n"] for row in _read(path)] == [0, 1, 2, 3, 4, 5]


@contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    """No file of this process can grow beyond a size meanwhile: a write ends in the middle, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_line_that_does_not_fit_leaves_the_log_as_it_was(path: Path) -> None:
    before = path.read_bytes()
    log = LineLog(path)
    with file_size_limit(len(before) + 20), pytest.raises(OSError, match="too large") as error:
        log.append({"n": 6, "text": "x" * 100}, durable=True)
    assert error.value.filename == str(path)
    assert path.read_bytes() == before
    log.append({"n": 6}, durable=True)
    log.close()
    assert [row["n"] for row in _read(path)] == [0, 1, 2, 3, 4, 5, 6]


def test_lines_of_several_at_once_are_all_kept(path: Path) -> None:
    """Threads stand for processes: the lock is of the opened file."""

    def add(number: int) -> None:
        for place in range(5):
            append_in_turn(path, "a row", dict, {"n": 10 * number + place})

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(add, range(1, 9)))
    added = [row["n"] for row in _read(path)][6:]
    assert sorted(added) == [10 * number + place for number in range(1, 9) for place in range(5)]


def test_a_log_is_no_link(path: Path) -> None:
    os.rename(path, path.with_name("elsewhere"))
    path.symlink_to("elsewhere")
    with pytest.raises(ConfigError, match="is a link"):
        _read(path)
