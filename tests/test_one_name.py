"""Two commands that are given one name: the second is refused at once, and takes nothing from the first."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from nas.commands.compare import compare as compare_strategies
from nas.commands.diagnose import diagnose_command
from nas.commands.scale import scale_command
from nas.commands.spaces import compare as compare_spaces
from nas.errors import ConfigError
from nas.run_folder import claim

SEARCH = ["-m", "nas.search", "+space=mbconv", "name=x", "workers=1", "search.trials=1"]


def _search(records: Path) -> int:
    return subprocess.run([sys.executable, *SEARCH, f"records.dir={records}"], cwd=records, check=False).returncode


def _scale(records: Path) -> int:
    values = {"space": "reference/resnet18", "phi": [1], "training": False, "name": "x"}
    return scale_command({**values, "records": {"dir": str(records)}})


def _compare(records: Path) -> int:
    return compare_strategies({"space": "mbconv", "name": "x", "records": {"dir": str(records)}})


def _spaces(records: Path) -> int:
    return compare_spaces({"spaces": ["mbconv", "resnet"], "name": "x", "records": {"dir": str(records)}})


def _diagnose(records: Path) -> int:
    return diagnose_command({"networks": ["reference/small_cnn"], "name": "x", "records": {"dir": str(records)}}, [])


@pytest.mark.parametrize("command", [_search, _scale, _compare, _spaces, _diagnose])
def test_a_name_that_another_process_has(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], command: Callable[[Path], int]
) -> None:
    """The other one is still loading: its folder has nothing but its lock and the log of its workers."""
    with claim(tmp_path / "x", "search", ""):
        (tmp_path / "x" / "workers.log").write_text("loading")
        assert command(tmp_path) == 2
        assert "is running in this folder" in capfd.readouterr().err
        assert sorted(os.listdir(tmp_path / "x")) == ["lock", "workers.log"]
        assert (tmp_path / "x" / "workers.log").read_text() == "loading"


@pytest.mark.slow
def test_the_interrupt_of_a_search_that_loads_removes_its_own_folder_only(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, *SEARCH, f"records.dir={tmp_path}"], cwd=tmp_path)
    while not (tmp_path / "x" / "lock").exists():
        time.sleep(0.05)
    # In this process, since another search takes as long to load as the first, which may then have begun.
    with pytest.raises(ConfigError, match="is running in this folder"), claim(tmp_path / "x", "search", ""):
        pass
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=120) == 130
    assert not (tmp_path / "x").exists()
    with claim(tmp_path / "x", "search", ""):
        pass
