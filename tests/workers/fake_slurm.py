"""A Slurm of one machine for tests: sbatch, srun, squeue, scancel and sacct that start processes here.

It does what the real one does of what the executor relies on: arrays, wall times, the signals before their end and at
preemption, and the environment of jobs. `install` puts its commands into a folder; what it knows is in files beside
them, by which tests also make it refuse, hold jobs back and preempt them. It runs without the packages of the tests.
"""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

COMMANDS = ("sbatch", "srun", "squeue", "scancel", "sacct", "sinfo")
_TICK_SECONDS = 0.05
_KILL_WAIT_SECONDS = 15.0
_ENDED = ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "PREEMPTED", "OUT_OF_MEMORY")


class FakeSlurm:
    """What tests do with it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.bin = folder, folder / "bin"

    def install(self) -> None:
        """Write the commands."""
        self.bin.mkdir(parents=True)
        (self.folder / "jobs").mkdir()
        for name in COMMANDS:
            command = self.bin / name
            words = [sys.executable, "-I", "-S", __file__, str(self.folder), name]
            command.write_text(f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n')
            command.chmod(0o755)

    def refuse(self, words: str) -> None:
        """Have sbatch fail with such words; with none it takes jobs again."""
        (self.folder / "refuse").write_text(words)

    def hold(self, reason: str) -> None:
        """Let jobs wait for such a reason; with none they run."""
        (self.folder / "hold").write_text(reason)

    def jobs(self) -> dict[str, dict[str, Any]]:
        """Return what is known of every job, by its name."""
        return _jobs(self.folder)

    def running(self) -> list[str]:
        return [name for name, job in self.jobs().items() if job["state"] == "RUNNING"]

    def preempt(self, job: str) -> None:
        """Take the node of a job away, with notice."""
        (self.folder / "jobs" / f"{job}.end").write_text("PREEMPTED")

    def kill(self, job: str) -> None:
        """End a job as a node that fails."""
        os.killpg(self.jobs()[job]["process"], signal.SIGKILL)

    def end(self) -> None:
        """End all jobs, and wait until they have."""
        for name in self.jobs():
            (self.folder / "jobs" / f"{name}.end").touch()
        for name, job in self.jobs().items():
            if job["state"] == "RUNNING":
                with suppress(ProcessLookupError):
                    self.kill(name)
        until = time.monotonic() + 60
        while any(job["state"] not in _ENDED for job in self.jobs().values()) and time.monotonic() < until:
            time.sleep(_TICK_SECONDS)

    def submissions(self) -> list[dict[str, Any]]:
        """Return each call of sbatch that was taken: its words, its script and its environment."""
        return [json.loads(path.read_text()) for path in sorted(self.folder.glob("*.sbatch"), key=_number)]


def _number(path: Path) -> int:
    return int(path.stem)


def _jobs(folder: Path) -> dict[str, dict[str, Any]]:
    return {path.stem: json.loads(path.read_text()) for path in sorted((folder / "jobs").glob("*.json"))}


def _write(path: Path, values: Mapping[str, Any]) -> None:
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(values))
    partial.replace(path)


def _option(words: list[str], name: str) -> str:
    return next((word.partition("=")[2] for word in words if word.startswith(f"--{name}=")), "")


def _text(path: Path) -> str:
    return path.read_text() if path.exists() else ""


def sbatch(folder: Path, words: list[str]) -> int:
    if refusal := _text(folder / "refuse"):
        print(f"sbatch: error: {refusal}", file=sys.stderr)
        return 1
    number = 100 + len([*folder.glob("*.sbatch")])
    call = {"words": words, "script": sys.stdin.read(), "environment": dict(os.environ), "folder": os.getcwd()}
    _write(folder / f"{number}.sbatch", call)
    low, _, high = _option(words, "array").partition("-")
    for index in range(int(low), int(high or low) + 1):
        name = f"{number}_{index}"
        job = {"state": "PENDING", "name": _option(words, "job-name"), "code": "0:0", "process": 0}
        _write(folder / "jobs" / f"{name}.json", job)
        subprocess.Popen(
            [sys.executable, "-I", "-S", __file__, str(folder), "step", name],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    print(number)
    return 0


def squeue(folder: Path, words: list[str]) -> int:
    if _option(words, "format") == "%L":
        print(_text(folder / "left") or "UNLIMITED")
        return 0
    assert _option(words, "format") == "%i|%T|%r"
    assert int(_option(words, "user")) == os.getuid()
    for name, job in _jobs(folder).items():
        if job["name"] == _option(words, "name") and job["state"] not in _ENDED:
            reason = _text(folder / "hold") or "Priority"
            print(f"{name}|{job['state']}|{reason if job['state'] == 'PENDING' else 'None'}")
    return 0


def srun(folder: Path, words: list[str]) -> int:
    command = words[next(place for place, word in enumerate(words) if not word.startswith("--")) :]
    try:
        os.execvp(command[0], command)
    except OSError as error:
        print(f"slurmstepd: error: execve(): {command[0]}: {error.strerror}", file=sys.stderr)
        print("srun: error: node1: task 0: Exited with exit code 2", file=sys.stderr)
    return 2


def scancel(folder: Path, words: list[str]) -> int:
    for name in _jobs(folder):
        if name in words or name.split("_")[0] in words:
            (folder / "jobs" / f"{name}.end").write_text("CANCELLED")
    return 0


def sacct(folder: Path, words: list[str]) -> int:
    job = _jobs(folder).get(_option(words, "jobs"))
    if job is not None:
        print(f"{job['state']}|{job['code']}")
    return 0


def sinfo(folder: Path, words: list[str]) -> int:
    print("batch\ngpu\nlong")
    return 0


def step(folder: Path, words: list[str]) -> int:
    """Run one job; what slurmd and slurmstepd do."""
    (name,) = words
    path, end = folder / "jobs" / f"{name}.json", folder / "jobs" / f"{name}.end"
    job = json.loads(path.read_text())
    while _text(folder / "hold") and not end.exists():
        time.sleep(_TICK_SECONDS)
    if end.exists():
        _write(path, {**job, "state": "CANCELLED"})
        return 0
    number, _, index = name.partition("_")
    call = json.loads((folder / f"{number}.sbatch").read_text())
    seconds, notice = (
        _seconds(_option(call["words"], "time")),
        int(_option(call["words"], "signal").removeprefix("USR1@")),
    )
    environment = {
        **call["environment"],
        "SLURM_JOB_ID": str(int(number) * 1000 + int(index)),
        "SLURM_ARRAY_JOB_ID": number,
        "SLURM_ARRAY_TASK_ID": index,
        "SLURMD_NODENAME": "node1",
        **({"SLURM_JOB_END_TIME": str(int(time.time() + seconds))} if seconds else {}),
    }
    script = folder / f"{number}.sh"
    script.write_text(call["script"])
    log = _option(call["words"], "output").replace("%A", number).replace("%a", index).replace("%%", "%")
    with open(log, "ab") as file:
        process = subprocess.Popen(
            ["bash", str(script)],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            env=environment,
            cwd=call["folder"],
            start_new_session=True,
        )
    _write(path, {**job, "state": "RUNNING", "process": process.pid})
    ended = _watched(process, end, seconds, notice)
    code = f"{max(0, process.returncode)}:{max(0, -process.returncode)}"
    state = ended or ("COMPLETED" if process.returncode == 0 else "FAILED")
    _write(path, {**job, "state": state, "process": process.pid, "code": code})
    return 0


def _watched(process: subprocess.Popen[bytes], end: Path, seconds: float, notice: int) -> str:
    """Wait for the end of a job, or end it; returns why it was ended."""
    began, noticed, told, ended = time.monotonic(), False, 0.0, ""
    while process.poll() is None:
        time.sleep(_TICK_SECONDS)
        now = time.monotonic()
        if seconds and not noticed and now - began >= seconds - notice:
            noticed = True
            _signal_all(process.pid, signal.SIGUSR1)
        if not ended and (end.exists() or (seconds and now - began >= seconds)):
            ended, told = (end.read_text() or "CANCELLED") if end.exists() else "TIMEOUT", now
            for number in (signal.SIGCONT, signal.SIGTERM):
                _signal_all(process.pid, number)
        if ended and now - told > _KILL_WAIT_SECONDS:
            _signal_all(process.pid, signal.SIGKILL)
    return ended


def _signal_all(root: int, number: int) -> None:
    """Signal a process and all that descends from it, as Slurm does by control groups."""
    parents: dict[int, list[int]] = {}
    for path in Path("/proc").iterdir():
        with suppress(OSError, ValueError, IndexError):
            fields = (path / "stat").read_text().rpartition(")")[2].split()
            parents.setdefault(int(fields[1]), []).append(int(path.name))
    found = [root]
    for process in found:
        found += parents.get(process, [])
    for process in found:
        with suppress(ProcessLookupError):
            os.kill(process, number)


def _seconds(text: str) -> float:
    minutes, _, seconds = text.partition(":")
    return 60 * float(minutes) + float(seconds or 0) if text else 0.0


if __name__ == "__main__":
    _WORK: dict[str, Callable[[Path, list[str]], int]] = {
        "sbatch": sbatch,
        "srun": srun,
        "squeue": squeue,
        "scancel": scancel,
        "sacct": sacct,
        "sinfo": sinfo,
        "step": step,
    }
    sys.exit(_WORK[sys.argv[2]](Path(sys.argv[1]), sys.argv[3:]))
