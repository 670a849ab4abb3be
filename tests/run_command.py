"""Runs a command as a person does, in a process of its own, but with Python and the libraries loaded once for all."""

from __future__ import annotations

import multiprocessing
import os
import runpy
import sys
from collections.abc import Sequence
from pathlib import Path
from subprocess import CompletedProcess
from tempfile import TemporaryDirectory

# A server that has them loaded forks a process for each command; it does nothing else, so that no thread of the tests
# holds a lock when it forks.
_SERVER = multiprocessing.get_context("forkserver")
_SERVER.set_forkserver_preload(["nas.commands.search", "nas.commands.hydra_main", "nas.commands.compare"])


def run(module: str, *arguments: object, cwd: Path | None = None) -> CompletedProcess[str]:
    """Run `python -m MODULE ARGUMENTS` and return what it printed and its exit code."""
    words = [str(argument) for argument in arguments]
    with TemporaryDirectory() as folder:
        out, err = Path(folder) / "out", Path(folder) / "err"
        process = _SERVER.Process(target=_work, args=(module, words, cwd or Path.cwd(), out, err))
        process.start()
        process.join()
        assert process.exitcode is not None
        return CompletedProcess([module, *words], process.exitcode, out.read_text(), err.read_text())


def _work(module: str, arguments: Sequence[str], cwd: Path, out: Path, err: Path) -> None:
    os.chdir(cwd)
    for stream, path in ((sys.stdout, out), (sys.stderr, err)):
        stream.flush()
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(file, stream.fileno())
        os.close(file)
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)
