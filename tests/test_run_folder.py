"""A run folder belongs to one process, and nothing outside it is touched."""

from __future__ import annotations

import multiprocessing as mp
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

import nas
from nas.errors import ConfigError
from nas.run_folder import (
    FolderTakenError,
    Held,
    claim,
    first_free,
    hold,
    read_inside,
    read_json,
    user_path,
    write_whole,
    writing,
)
from tests.test_line_log import file_size_limit


def test_a_folder_is_claimed_once(tmp_path: Path) -> None:
    first = claim(tmp_path / "a", "search", "give another name")
    with pytest.raises(FolderTakenError, match="a search is running in this folder"):
        claim(tmp_path / "a", "search", "give another name")
    first.release()
    # Nothing was begun in it, so that another may have it.
    claim(tmp_path / "a", "search", "give another name").release()
    (tmp_path / "a" / "study.json").write_text("{}")
    with pytest.raises(FolderTakenError, match="is there already; give another name"):
        claim(tmp_path / "a", "search", "give another name")


def test_of_many_that_claim_at_once_one_gets_it(tmp_path: Path) -> None:
    """Whatever the order, and although losers and winners remove what they find unused."""
    for number in range(20):
        start, won = threading.Barrier(8), list[Held]()

        def compete(path: Path, start: threading.Barrier, won: list[Held]) -> None:
            start.wait()
            with suppress(FolderTakenError):
                won.append(claim(path, "search", ""))

        threads = [threading.Thread(target=compete, args=(tmp_path / str(number), start, won)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(won) == 1
        assert (tmp_path / str(number) / "lock").exists()
        won[0].discard()


def _claim_and_say(path: Path, told: object, go_on: object) -> None:
    try:
        held = claim(path, "search", "give another name")
    except FolderTakenError:
        told.put("taken")  # type: ignore[attr-defined]
        return
    told.put("mine")  # type: ignore[attr-defined]
    go_on.wait()  # type: ignore[attr-defined]
    held.discard()


def test_another_process_is_refused_and_removes_nothing(tmp_path: Path) -> None:
    context = mp.get_context("spawn")
    told, go_on = context.Queue(), context.Event()
    processes = [context.Process(target=_claim_and_say, args=(tmp_path / "a", told, go_on)) for _ in range(2)]
    for process in processes:
        process.start()
    assert sorted(told.get(timeout=120) for _ in processes) == ["mine", "taken"]
    assert (tmp_path / "a" / "lock").exists()
    go_on.set()
    for process in processes:
        process.join()


def test_what_was_begun_is_not_removed(tmp_path: Path) -> None:
    held = claim(tmp_path / "a", "search", "")
    (tmp_path / "a" / "study.json").write_text("{}")
    held.discard()
    assert (tmp_path / "a" / "study.json").exists()
    (tmp_path / "mine").mkdir()
    held = claim(tmp_path / "mine", "search", "")
    held.discard()
    assert (tmp_path / "mine").is_dir()  # was there before


def test_a_lock_that_was_removed_meanwhile_is_not_taken_for_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder is given up between the opening of its lock and the locking."""
    import fcntl

    real, removed = fcntl.flock, list[bool]()

    def flock(file: int, how: int) -> None:
        if not removed:
            removed.append(True)
            (tmp_path / "lock").unlink()
        real(file, how)

    monkeypatch.setattr("fcntl.flock", flock)
    held = hold(tmp_path, "search")
    with pytest.raises(FolderTakenError):
        hold(tmp_path, "search")
    held.release()


def test_names_that_are_free(tmp_path: Path) -> None:
    held = [first_free(tmp_path, "x", lambda path: claim(path, "search", "")) for _ in range(3)]
    assert [one.path.name for one in held] == ["x", "x-2", "x-3"]


@pytest.mark.parametrize("where", ["lock", "study.json", "trials.jsonl", "checkpoints/0.ckpt", "workers.log"])
@pytest.mark.parametrize("kind", ["link", "dangling", "pipe"])
def test_a_folder_with_links_is_refused_and_what_they_lead_to_stays(tmp_path: Path, where: str, kind: str) -> None:
    victim, folder = tmp_path / "victim", tmp_path / "run"
    victim.write_text("precious")
    (folder / where).parent.mkdir(parents=True)
    if kind == "pipe":
        os.mkfifo(folder / where)
    else:
        (folder / where).symlink_to(victim if kind == "link" else tmp_path / "nowhere")
    with pytest.raises(ConfigError, match="is a link or no plain file"):
        hold(folder, "search")
    with pytest.raises(ConfigError, match="is a link or no plain file"):
        read_inside(folder / where)
    assert victim.read_text() == "precious"
    assert not (tmp_path / "nowhere").exists()


def test_a_file_is_replaced_and_never_written_through(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / "report.md").symlink_to(victim)
    (tmp_path / ".report.md.partial").symlink_to(victim)
    write_whole(tmp_path / "report.md", "new")
    assert victim.read_text() == "precious"
    assert (tmp_path / "report.md").read_text() == "new"
    assert not (tmp_path / "report.md").is_symlink()


def test_a_file_that_cannot_be_finished_leaves_the_old_one(tmp_path: Path) -> None:
    write_whole(tmp_path / "a", "old")

    def fail() -> None:
        with writing(tmp_path / "a") as file:
            file.write("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert (tmp_path / "a").read_text() == "old"
    assert os.listdir(tmp_path) == ["a"]


def test_what_the_system_refuses_is_said_of_the_file_that_was_meant(tmp_path: Path) -> None:
    """The system does not know which file it is, and the name that is written under first is nobody's."""
    write_whole(tmp_path / "a", "old")
    with file_size_limit(10), pytest.raises(OSError, match="File too large") as error:
        write_whole(tmp_path / "a", "x" * 100)
    assert error.value.filename == str(tmp_path / "a")
    assert (tmp_path / "a").read_text() == "old"
    with pytest.raises(FileNotFoundError) as error:
        write_whole(tmp_path / "none" / "a", "x")
    assert error.value.filename == str(tmp_path / "none" / "a")

    def fail() -> None:
        with writing(tmp_path / "a"):
            (tmp_path / "other").read_text()

    with pytest.raises(FileNotFoundError) as error:  # of another file it is said as it is
        fail()
    assert str(error.value.filename) == str(tmp_path / "other")


def test_a_setting_in_a_file_is_told_with_the_file(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("-1")

    def parse(value: int) -> None:
        raise ConfigError(f"n must be >= 0, but got {value}")

    with pytest.raises(ConfigError, match=rf"^the number {tmp_path}/a\.json: n must be >= 0, but got -1; take a copy$"):
        read_json(tmp_path / "a.json", "the number", parse, way_out="; take a copy")

    def known(value: int) -> None:
        raise ConfigError(f"{tmp_path}/b.json says {value}")

    with pytest.raises(ConfigError, match=rf"^{tmp_path}/b\.json says -1$"):
        read_json(tmp_path / "a.json", "the number", known)


@pytest.mark.parametrize("path", ["a\0b", "file/b"])
def test_a_folder_that_cannot_be_made(tmp_path: Path, path: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot be made"):
        claim(tmp_path / path, "search", "")


def test_a_path_that_a_user_typed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert user_path("~/runs") == tmp_path / "runs"
    assert user_path(Path("runs")) == Path("runs")
    with pytest.raises(ConfigError, match=r"the path '~nobody-has-this-name/x' cannot be read"):
        user_path("~nobody-has-this-name/x")
    with pytest.raises(ConfigError, match=r"a path must not hold a NUL, but got 'a.x00b'"):
        user_path("a\0b")


@pytest.mark.parametrize("call", [nas.predict, nas.export, lambda path, _: nas.evaluate(path)])
def test_calls_say_which_path_has_no_home(call: Callable[..., Any]) -> None:
    with pytest.raises(ConfigError, match="~nobody-has-this-name/x"):
        call("~nobody-has-this-name/x", [] if call is nas.predict else "out")
