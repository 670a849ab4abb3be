"""What this machine offers to evaluations: cores and accelerators."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from nas.errors import ConfigError

_MOST_WORKERS = 1024
"""Processes on one machine."""

_ACCELERATORS = ("auto", "cpu", "gpu")


def check_workers(value: int | str) -> None:
    """Raise `ConfigError` where a setting of workers is neither `auto` nor a whole number from 1 to 1,024."""
    if value != "auto" and (isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= _MOST_WORKERS):
        raise ConfigError(f"workers must be auto or a whole number from 1 to {_MOST_WORKERS:,}, but got {value!r}")


def check_accelerator(name: str) -> None:
    """Raise `ConfigError` for an unknown kind of device to train on."""
    if name not in _ACCELERATORS:
        raise ConfigError(f"accelerator must be one of {_ACCELERATORS}, but got {name!r}")


def cores() -> int:
    """Return how many cores this process may use; all of the machine's where the system does not say, as on macOS."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def memory() -> int | None:
    """Return the bytes that this process may have, the machine's or its container's; None where nothing says it."""
    known = []
    with suppress(OSError, ValueError, AttributeError):
        known.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    for limit in ("memory.max", "memory/memory.limit_in_bytes"):  # of cgroups, version 2 and 1
        with suppress(OSError, ValueError):  # `max` where there is none
            known.append(int((Path("/sys/fs/cgroup") / limit).read_text()))
    return min(known, default=None)


def cores_or(workers: int | str) -> int:
    """Return a number of workers; `auto` is one a core."""
    return workers if isinstance(workers, int) else cores()


def gpu_devices() -> list[str]:
    """Return the NVIDIA devices that may be used, by the names of CUDA_VISIBLE_DEVICES, without loading torch."""
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is not None:
        return [name.strip() for name in chosen.split(",") if name.strip() not in ("", "-1")]
    command = shutil.which("nvidia-smi")
    if command is None:
        return []
    listed = subprocess.run([command, "-L"], capture_output=True, text=True, check=False)
    return [str(i) for i, _ in enumerate(line for line in listed.stdout.splitlines() if line.startswith("GPU "))]


def gpu_groups(gpus: Sequence[str], size: int) -> list[str]:
    """Return GPUs in groups of a size, each as `CUDA_VISIBLE_DEVICES` names several; what is left over is in none."""
    return [",".join(gpus[i : i + size]) for i in range(0, len(gpus) - size + 1, size)]
