"""A finish whose disk is full, or that is killed, at each moment at which something gets its place on the disk."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from nas.errors import ConfigError
from nas.finishing.finish import finish as finish_in_python
from tests.finishing.recorded import StubPool, finish, report_of

_WRITES = 23
"""That the finish below makes."""


class _Killed(BaseException):
    """The end of a process, for those in it."""


def _full() -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def _killed() -> None:
    raise _Killed


@pytest.fixture
def fail_at(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int, Callable[[], None]], list[int]]]:
    """Have the nth write to the disk do something else; returns a list of all that were tried."""
    real = os.fsync

    def set_up(number: int, fail: Callable[[], None]) -> list[int]:
        tried: list[int] = []

        def fsync(descriptor: int) -> None:
            tried.append(descriptor)
            if len(tried) == number:
                fail()
            real(descriptor)

        monkeypatch.setattr(os, "fsync", fsync)
        return tried

    yield set_up
    monkeypatch.setattr(os, "fsync", real)


def _finish(folder: Path) -> int:
    return finish(folder, top_k=3, seeds=2, final_seeds=2, baseline="none")


@pytest.mark.slow
def test_no_moment_loses_anything(
    searched: Path,
    fail_at: Callable[[int, Callable[[], None]], list[int]],
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    whole = tmp_path / "whole" / "x"
    shutil.copytree(searched, whole)
    writes = fail_at(0, _full)
    assert _finish(whole) == 0
    assert len(writes) == _WRITES
    for number in range(1, _WRITES + 1):
        for fail in (_full, _killed):
            folder = tmp_path / f"{number}{fail.__name__}" / "x"
            shutil.copytree(searched, folder)
            StubPool.clock = 0.0
            fail_at(number, fail)
            capsys.readouterr()
            if fail is _full:
                assert _finish(folder) == 2
                (line,) = capsys.readouterr().err.splitlines()
                assert line.startswith(f"nas.finish: {folder}/finish/")
                assert f": No space left on device. What was trained by then is in {folder}/finish, and" in line
            else:
                with pytest.raises(_Killed):
                    _finish(folder)
            fail_at(0, _full)
            assert _finish(folder) == 0
            assert report_of(folder) == report_of(whole)


def test_python_is_told_so_too(searched: Path, fail_at: Callable[[int, Callable[[], None]], list[int]]) -> None:
    fail_at(5, _full)
    with pytest.raises(ConfigError, match=r"trials\.jsonl: No space left on device\. What was trained by then is in"):
        finish_in_python(searched, top_k=2, seeds=1, final_seeds=2, baseline="none", workers=1)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG])
def test_weights_that_cannot_be_kept_are_no_failure_of_their_network(
    searched: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    write, written = Path.write_bytes, list[Path]()

    def full(path: Path, data: bytes) -> int:
        written.append(path)
        if len(written) == 2:
            raise OSError(number, os.strerror(number), str(path))
        return write(path, data)

    monkeypatch.setattr(Path, "write_bytes", full)
    words = {"top_k": 2, "seeds": 1, "final_seeds": 3, "baseline": "none"}
    assert finish(searched, **words) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"could not be kept: {os.strerror(number)}: " in line
    assert "does not count, what ended before is kept, and the same command goes on when there is room" in line
    assert not (searched / "finish" / "report.json").exists()
    assert finish(searched, **words) == 0
    assert report_of(searched)["final"]["winner"]["failed"] == []
    assert len(written) == 4  # the one that was kept is not trained again
