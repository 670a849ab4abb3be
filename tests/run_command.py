"""Runs a command as a person does, in a process of its own, but with Python and the libraries loaded once for all.

A server that has them loaded forks a process for each command, and for each process that a command would start with an
interpreter of its own (a worker, a search of a comparison): to load torch, Lightning and MLflow takes seconds a time.
The server does nothing else, so that no thread of the tests holds a lock when it forks. That commands and workers start
without it too is what tests/workers, tests/commands/test_console_script.py and the wheel in .ci/run show.
"""

from __future__ import annotations

import multiprocessing
import os
import runpy
import signal
import sys
from collections.abc import Sequence
from multiprocessing import forkserver, resource_tracker
from multiprocessing.connection import Connection
from pathlib import Path
from subprocess import CompletedProcess
from tempfile import TemporaryDirectory

_SERVER = multiprocessing.get_context("forkserver")
_SERVER.set_forkserver_preload(
    [
        "nas.commands.search",
        "nas.commands.hydra_main",
        "nas.commands.compare",
        "nas.evaluators.training",
        "nas.training.fit",
        "nas.training.data.load",
        "nas.exporting.folder",
        "nas.records.batch",
    ]
)


def run(module: str, *arguments: object, cwd: Path | None = None) -> CompletedProcess[str]:
    """Run `python -m MODULE ARGUMENTS` and return what it printed and its exit code."""
    words = [str(argument) for argument in arguments]
    with TemporaryDirectory() as folder:
        out, err = Path(folder) / "out", Path(folder) / "err"
        process = _SERVER.Process(target=_to_files, args=(module, words, cwd or Path.cwd(), out, err))
        process.start()
        process.join()
        assert process.exitcode is not None
        return CompletedProcess([module, *words], process.exitcode, out.read_text(), err.read_text())


class Started:
    """A command that runs: what the tests need of `subprocess.Popen`."""

    def __init__(self, module: str, *arguments: object, cwd: Path) -> None:
        """Start `python -m MODULE ARGUMENTS`; its output and its errors are pipes, which somebody has to read."""
        words = [str(argument) for argument in arguments]
        (out, its_out), (err, its_err) = _SERVER.Pipe(duplex=False), _SERVER.Pipe(duplex=False)
        # As a daemon, so that a test that fails meanwhile leaves none that runs.
        self._process = _SERVER.Process(target=_to_pipes, args=(module, words, cwd, its_out, its_err), daemon=True)
        self._process.start()
        for pipe in (its_out, its_err):
            pipe.close()
        self.stdout, self.stderr = (os.fdopen(os.dup(pipe.fileno())) for pipe in (out, err))
        for pipe in (out, err):
            pipe.close()

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal to it alone."""
        assert self._process.pid is not None
        os.kill(self._process.pid, number)

    def poll(self) -> int | None:
        """Return its exit code; None while it runs."""
        return self._process.exitcode

    def wait(self) -> int:
        """Wait for its end, without reading what it prints, and return its exit code."""
        self._process.join()
        assert self._process.exitcode is not None
        return self._process.exitcode

    def communicate(self) -> tuple[str, str]:
        """Read what it still prints until its end; for errors that are less than a pipe holds."""
        with self.stdout, self.stderr:
            said = self.stdout.read(), self.stderr.read()
        self.wait()
        return said


def _to_files(module: str, arguments: Sequence[str], cwd: Path, out: Path, err: Path) -> None:
    files = [os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC) for path in (out, err)]
    _work(module, arguments, cwd, files)


def _to_pipes(module: str, arguments: Sequence[str], cwd: Path, out: Connection, err: Connection) -> None:
    multiprocessing.current_process().daemon = False  # it may start processes
    files = [os.dup(pipe.fileno()) for pipe in (out, err)]
    for pipe in (out, err):
        pipe.close()
    _work(module, arguments, cwd, files)


def _work(module: str, arguments: Sequence[str], cwd: Path, files: Sequence[int]) -> None:
    os.chdir(cwd)
    for stream, file in zip((sys.stdout, sys.stderr), files, strict=True):
        stream.flush()
        os.dup2(file, stream.fileno())
        os.close(file)
    _fork_what_would_load_python_anew()
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def _fork_what_would_load_python_anew() -> None:
    """Have processes of the method "spawn" forked from the server too.

    Like those it forks they have nothing of the process that starts them but what is sent.
    """
    # A process of a server would start a server of its own, though it knows where the one is that has forked it.
    forkserver._forkserver.ensure_running = resource_tracker.ensure_running  # type: ignore[method-assign]
    context_of = multiprocessing.get_context

    def get_context(method: str | None = None) -> object:
        return _SERVER if method == "spawn" else context_of(method)

    multiprocessing.get_context = get_context  # type: ignore[assignment]
