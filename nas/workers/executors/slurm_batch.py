"""What Slurm is given for the workers of a search: the options of sbatch and the script that each job runs."""

from __future__ import annotations

import shlex
import socket
import sys
from contextlib import suppress
from pathlib import Path

from nas.held_out import FORBIDDEN
from nas.workers.executors.channel import LOOPBACK
from nas.workers.executors.settings import SlurmSettings

_ARRAY = 1000
"""The most jobs of one array; Slurm takes 1001 unless a cluster says otherwise (`MaxArraySize`)."""


def options(settings: SlurmSettings, name: str, folder: Path, count: int) -> list[str]:
    """Return the options of sbatch. None of them is a secret: everybody on the cluster may see them."""
    found = {
        "job-name": name,
        "array": f"0-{count - 1}",
        "nodes": 1,
        "ntasks": 1,
        "cpus-per-task": settings.cpus,
        "output": f"{str(folder).replace('%', '%%')}/%A_%a.log",
        "open-mode": "append",
        "export": "ALL",
        "signal": f"USR1@{settings.signal_seconds}",
        "partition": settings.partition,
        "account": settings.account,
        "qos": settings.qos,
        "time": None if settings.minutes is None else _time(settings.minutes),
        "mem": None if settings.memory_mib is None else f"{settings.memory_mib}M",
        "gres": f"gpu:{settings.gpus}" if settings.gpus else None,
    }
    given = [f"--{option}={value}" for option, value in found.items() if value is not None]
    # The driver gives a lost trial to another worker. A job that Slurm began again, too, would be one too many.
    return [*given, "--no-requeue", *settings.sbatch]


def script(settings: SlurmSettings, meeting: Path) -> str:
    """Return what each job runs: a worker that finds its driver by a file."""
    exports = {
        "OMP_NUM_THREADS": settings.cpus,
        "MKL_NUM_THREADS": settings.cpus,
        "OMP_WAIT_POLICY": "passive",
        FORBIDDEN: 1,
    }
    if not settings.gpus and not any("gpu" in option for option in settings.sbatch):
        exports["CUDA_VISIBLE_DEVICES"] = ""
    lines = [f"export {name}={value}" for name, value in exports.items()]
    python = settings.python or sys.executable
    # Only what srun starts is told of preemption at once; the script itself learns of it when its grace is over.
    step = ["srun", "--ntasks=1", f"--cpus-per-task={settings.cpus}", "--mpi=none"]
    run = shlex.join([*step, python, "-m", "nas.workers.executors.slurm_worker", str(meeting)])
    return "\n".join(["#!/bin/bash", *settings.setup, *lines, f"exec {run}", ""])


def own_address() -> str:
    """Return the address of this machine by which others of its network reach it, as far as it knows."""
    with suppress(OSError):
        found = socket.gethostbyname(socket.gethostname())
        if not found.startswith("127."):
            return found
    with suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))  # nothing is sent: the system says which address it would send from
        return str(probe.getsockname()[0])
    return LOOPBACK


def parts(count: int) -> list[int]:
    """Return the sizes of the arrays that make so many jobs."""
    return [min(_ARRAY, count - begun) for begun in range(0, count, _ARRAY)]


def _time(minutes: float) -> str:
    """Return a wall time as Slurm reads it: minutes:seconds."""
    seconds = max(1, round(60 * minutes))
    return f"{seconds // 60}:{seconds % 60:02d}"
