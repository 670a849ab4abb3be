"""Evaluators that fail, start processes or hang, for worker processes, which import this file by name."""

from __future__ import annotations

import multiprocessing as mp
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nas


def _sleep() -> None:
    time.sleep(1000)


def _square(number: int) -> int:
    return number * number


class Parallel:
    """Sums squares in processes of its own, of every kind that Python starts."""

    def __call__(self, arch: nas.Architecture, budget: nas.Budget, seed: int) -> float:
        found = 0
        for way in ("fork", "spawn"):
            with ProcessPoolExecutor(1, mp_context=mp.get_context(way)) as executor:
                found += sum(executor.map(_square, range(4)))
        return float(found)


def loaded(arch: nas.Architecture, budget: nas.Budget, seed: int) -> float:
    """The sum of what a process loads: 0 to 7."""
    from torch.utils.data import DataLoader

    return float(sum(batch.sum() for batch in DataLoader(range(8), batch_size=4, num_workers=1)))  # type: ignore[arg-type]


@dataclass
class Parent:
    """Starts processes that never end, notes them in a folder, and ends in some way, or never."""

    folder: Path
    end: str

    def __call__(self, arch: nas.Architecture, budget: nas.Budget, seed: int) -> float:
        forked = mp.get_context("fork").Process(target=_sleep)
        forked.start()
        program = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1000)"])
        executor = ProcessPoolExecutor(1, mp_context=mp.get_context("fork"))
        executor.submit(_sleep)
        pids = [os.getpid(), forked.pid, program.pid, *executor._processes]
        partial = self.folder / "partial"
        partial.write_text(" ".join(map(str, pids)))
        partial.rename(self.folder / f"{time.monotonic_ns()}.pids")
        if self.end == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(1000)
        return 0.0


@dataclass
class Attempts:
    """Ends itself by a signal at the first attempts; the others give a score."""

    folder: Path
    signal: int
    attempts: int

    def __call__(self, arch: nas.Architecture, budget: nas.Budget, seed: int) -> float:
        before = len(list(self.folder.iterdir()))
        (self.folder / str(before)).touch()
        if before < self.attempts:
            os.kill(os.getpid(), self.signal)
            time.sleep(10)
        return 1.0


class MuteError(Exception):
    """Cannot say what it is."""

    def __str__(self) -> str:
        raise RuntimeError("no words")


class Stop(BaseException):
    """No `Exception`, as some libraries have them."""


ERRORS: Mapping[str, BaseException] = {
    "mute": MuteError(),
    "half": ValueError("half of a pair \ud800, a null \0, and an escape \x1b[2J"),
    "long": ValueError("x" * 10_000_000),
    "base": Stop("now"),
    "keyboard": KeyboardInterrupt("its own"),
}


@dataclass
class Raises:
    """Raises one of `ERRORS`."""

    name: str

    def __call__(self, arch: nas.Architecture, budget: nas.Budget, seed: int) -> float:
        raise ERRORS[self.name]


class Unreadable:
    """Cannot be loaded by a worker."""

    def __setstate__(self, state: Any) -> None:
        raise ImportError("no module named bespoke")

    def __getstate__(self) -> dict[str, int]:
        return {"a": 1}

    def __call__(self, arch: nas.Architecture, budget: nas.Budget, seed: int) -> float:
        return 1.0


@dataclass
class Wants:
    """Takes some memory."""

    mib: int

    def __call__(self, arch: nas.Architecture, budget: nas.Budget, seed: int) -> float:
        return float(len(bytearray(self.mib * 2**20)))


class Chatty:
    """Prints a lot, also what few terminals can show."""

    def __call__(self, arch: nas.Architecture, budget: nas.Budget, seed: int) -> float:
        for _ in range(1000):
            print("é €" + "x" * 997)
        print("\ud800", flush=True)
        return 1.0


@dataclass
class HangsOnce:
    """Hangs at its fifth evaluation, until that is repeated."""

    folder: Path

    def __call__(self, arch: nas.Architecture, budget: nas.Budget, seed: int) -> float:
        before = len(list(self.folder.iterdir()))
        (self.folder / str(before)).touch()
        if before == 4:
            time.sleep(1000)
        return -abs(nas.cost_of(arch).params - 3000.0)


@dataclass
class Forking:
    """Forks, and its child comes out of it first, in some way; the exit code of the child goes to a file."""

    how: str
    file: str

    def prepare(self) -> dict[str, str]:
        child = os.fork() if self.how == "prepares" else 1
        if child != 1:
            os.waitpid(child, 0) if child else None
        return {"name": "parent" if child else "child"}

    def __call__(self, arch: nas.Architecture, budget: nas.Budget, seed: int) -> float:
        child = os.fork()
        if child:
            _, status = os.waitpid(child, 0)
            with open(self.file, "a") as file:
                file.write(f"{os.waitstatus_to_exitcode(status)}\n")
            return 1.0
        if self.how == "raises":
            raise ValueError("in the child")
        if self.how == "leaves":
            raise SystemExit(3)
        if self.how == "reports":
            nas.report(1, {"val_accuracy": 0.5})
        return 0.0


class MemoryLimit:
    """Gives the most private memory, in bytes, that its process may have."""

    def __call__(self, arch: nas.Architecture, budget: nas.Budget, seed: int) -> float:
        return float(resource.getrlimit(resource.RLIMIT_DATA)[0])


@dataclass
class SendsItself:
    """Is ended by a signal."""

    number: int

    def __call__(self, arch: nas.Architecture, budget: nas.Budget, seed: int) -> float:
        os.kill(os.getpid(), self.number)
        time.sleep(10)
        return 0.0
