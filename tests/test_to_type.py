"""A command that a message names can be copied and run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from nas.to_type import to_type


@pytest.fixture
def installation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of the scripts of an installation that is not on the path of the shell."""
    scripts = tmp_path / "a folder" / "bin"
    scripts.mkdir(parents=True)
    (scripts / "python").symlink_to(sys.executable)
    monkeypatch.setattr(sys, "executable", str(scripts / "python"))
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    monkeypatch.chdir(tmp_path)
    return scripts


def _script(folder: Path) -> None:
    (folder / "nas").write_text('#!/bin/sh\necho ran: "$@"\n')
    (folder / "nas").chmod(0o755)


def _run(line: str) -> str:
    return subprocess.run(line, shell=True, check=True, capture_output=True, text=True).stdout


def test_the_name_is_enough_where_the_shell_finds_it(installation: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _script(installation)
    monkeypatch.setenv("PATH", f"{installation}:/usr/bin:/bin")
    assert to_type("finish", "runs/x") == "nas finish runs/x"
    assert _run(to_type("finish", "it's here")) == "ran: finish it's here\n"


def test_an_environment_that_is_not_active_is_named(installation: Path) -> None:
    _script(installation)
    assert to_type("finish", Path("runs/x")) == "'a folder/bin/nas' finish runs/x"
    assert _run(to_type("finish", "runs/x")) == "ran: finish runs/x\n"


def test_a_nas_of_another_installation_is_not_taken(installation: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _script(installation)
    other = installation.parent / "other"
    other.mkdir()
    _script(other)
    monkeypatch.setenv("PATH", f"{other}:/usr/bin:/bin")
    assert to_type("finish") == "'a folder/bin/nas' finish"


def test_the_interpreter_is_named_where_there_is_no_script(installation: Path) -> None:
    assert to_type("predict", "m", "a b.png") == "'a folder/bin/python' -m nas predict m 'a b.png'"
