"""Evaluators for places that share nothing with the driver; workers import this file by name."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nas
from nas.network.architecture import Architecture


class Hidden:
    """Makes a folder unreadable in a worker process, as if it were on another machine; that of the driver is left."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.driver = str(folder), os.getpid()

    def hide(self) -> None:
        if os.getpid() != self.driver:
            sys.addaudithook(self._refuse)

    def _refuse(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event in ("open", "os.listdir", "os.mkdir", "os.rename") and self.folder in str(arguments[0]):
            raise PermissionError(f"{arguments[0]} is on another machine")


def enter_another_account(folder: str, home: str) -> None:
    """Make a process that of a user who has other folders, and cannot read that of the driver, if that can be."""
    Hidden(Path(folder)).hide()
    os.chdir(home)
    for name in [*os.environ]:
        if name not in ("PYTHONPATH", "PATH"):
            del os.environ[name]
    os.environ.update(HOME="/nonexistent", USER="somebody", TMPDIR=home)
    tempfile.tempdir = None  # a process that was forked knows that of the driver, which is not its own
    if os.getuid() == 0:
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)


class Traveller(Hidden):
    """Leaves files where its budget says, reads those that it was given, and tells what it found."""

    after_training = ("int8_accuracy",)

    def __call__(self, architecture: Architecture, budget: nas.Budget, seed: int) -> Mapping[str, float]:
        if not getattr(self, "_hidden", False):
            self._hidden = True
            self.hide()
        inherited = len(Path(budget.inherit).read_bytes()) if budget.inherit is not None else 0
        if budget.weights is not None:
            Path(budget.weights).write_bytes(architecture.arch_id.encode())
        if budget.int8 is not None:
            (Path(budget.int8) / f"{architecture.arch_id}.onnx").write_bytes(b"8 bits")
        params = nas.cost_of(architecture).params
        return {"val_accuracy": float(params), "inherited": float(inherited), "int8_accuracy": 0.5}


class Restarting:
    """Counts to `last`, keeps each number in its checkpoint, and loses its process at `ends` the first time."""

    def __init__(self, marks: Path, ends: int, how: str = "SIGKILL", last: int = 6) -> None:
        self.marks, self.ends, self.how, self.last = marks, ends, how, last

    def __call__(self, architecture: Architecture, budget: nas.Budget, seed: int) -> Mapping[str, float]:
        assert budget.checkpoint is not None
        state = Path(budget.checkpoint)
        begun = int(state.read_text()) if state.exists() else 0
        for step in range(begun + 1, self.last + 1):
            nas.report(step, {"val_accuracy": float(step)})
            _write(state, str(step))
            if step == self.ends and _first_time(self.marks / str(seed)):
                time.sleep(2.0)  # so that the state is sent
                self._leave()
        return {"val_accuracy": float(self.last), "begun_at": float(begun)}

    def _leave(self) -> None:
        (self.marks / "stopped").write_text(str(os.getpid()))
        os.kill(os.getpid(), getattr(signal, self.how))
        time.sleep(0.5)  # a signal that stops a process may come a little later


class Slow:
    """Counts to `last` slowly, and keeps each number in its checkpoint."""

    def __init__(self, last: int, seconds: float) -> None:
        self.last, self.seconds = last, seconds

    def __call__(self, architecture: Architecture, budget: nas.Budget, seed: int) -> Mapping[str, float]:
        assert budget.checkpoint is not None
        state = Path(budget.checkpoint)
        begun = int(state.read_text()) if state.exists() else 0
        for step in range(begun + 1, self.last + 1):
            time.sleep(self.seconds)
            _write(state, str(step))
        return {"val_accuracy": float(self.last), "begun_at": float(begun)}


class Waiting:
    """Says that it has begun by a file of its seed, and waits until another says that it is to end, or to fail.

    Tells which process it was, and which GPU that has.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = str(folder)

    def __call__(self, architecture: Architecture, budget: nas.Budget, seed: int) -> Mapping[str, float]:
        _write(Path(self.folder, f"begun-{seed}"), "")
        while not Path(self.folder, f"end-{seed}").exists():
            if Path(self.folder, f"fail-{seed}").exists():
                raise ValueError("it was told to fail")
            time.sleep(0.01)
        device = float(os.environ.get("CUDA_VISIBLE_DEVICES") or -1)
        return {"val_accuracy": 0.5, "process": float(os.getpid()), "device": device}


class Deadly:
    """Kills its process for one seed each time, and takes its time for others."""

    def __init__(self, deadly: int, seconds: float = 0.0, first_only: str = "") -> None:
        self.deadly, self.seconds, self.first_only = deadly, seconds, first_only

    def __call__(self, architecture: Architecture, budget: nas.Budget, seed: int) -> float:
        if seed == self.deadly and (not self.first_only or _first_time(Path(self.first_only))):
            time.sleep(0.3)  # so that others have begun
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(self.seconds)
        return float(seed)


class Raising:
    """Raises an error for one seed."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def __call__(self, architecture: Architecture, budget: nas.Budget, seed: int) -> float:
        if seed == self.seed:
            raise ValueError(f"not {seed}")
        return float(seed)


class Learning:
    """Reports a curve that tells good networks from poor ones early, and says how far it came."""

    def __call__(self, architecture: Architecture, budget: nas.Budget, seed: int) -> Mapping[str, float]:
        quality = nas.cost_of(architecture).params / 1e5
        steps = 0
        for step in range(1, 6):
            steps = step
            if nas.report(step, {"val_accuracy": quality * step}):
                break
        return {"val_accuracy": quality * steps, "steps": float(steps)}


class OfUnknownData:
    """Says other data in each process."""

    def prepare(self) -> Mapping[str, Any]:
        return {"name": "some", "split_fingerprint": str(os.getpid())}

    def __call__(self, architecture: Architecture, budget: nas.Budget, seed: int) -> float:
        time.sleep(0.3)
        return 1.0


def _first_time(mark: Path) -> bool:
    try:
        mark.touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


def _write(path: Path, text: str) -> None:
    partial = path.with_suffix(".partial")
    partial.write_text(text)
    partial.replace(path)
