"""The commands of Slurm: sbatch, squeue, sacct and scancel, and what they say."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress

from nas.errors import ConfigError, WorkerError, nearest, plain

COMMANDS = ("sbatch", "squeue", "scancel")
_SECONDS = 60.0
"""After which a command is given up; a busy controller takes its time."""
_CANCEL_SECONDS = 10.0
"""As above, where the search ends, which is not to take longer."""
_KEPT = ("SLURM_CONF", "SLURM_CONF_SERVER", "SLURM_JWT", "SLURM_CLUSTERS")
_BUSY = (
    "Unable to contact",
    "timed out",
    "Socket timed",
    "temporarily",
    "try again",
    "Connection refused",
    "Zero Bytes",
)
_HINTS: Mapping[str, str] = {
    "invalid partition": "executor.partition",
    "invalid account": "executor.account and executor.partition",
    "invalid qos": "executor.qos",
    "time limit": "executor.minutes, or another executor.partition",
    "node configuration": "executor.cpus, executor.memory_mib, executor.gpus, or another executor.partition",
    "generic resource": "executor.gpus",
    "accounting/qos policy": "executor.account, executor.qos, executor.minutes and the number of workers",
    "unrecognized option": "executor.sbatch",
    "invalid option": "executor.sbatch",
    "job array": "the number of workers",
}
"""By what sbatch says, in small letters: what to look at."""


class BusyError(WorkerError):
    """Slurm does not answer now; what was asked for may have been done."""


def check_installed() -> None:
    """Raise `ConfigError` where there are no commands of Slurm."""
    missing = [name for name in COMMANDS if shutil.which(name) is None]
    if missing:
        raise ConfigError(
            f"executor=slurm needs the commands of Slurm, but {', '.join(missing)} cannot be found in "
            "PATH: start the search on a login node of the cluster, or load its module"
        )


def submit(options: Sequence[str], script: str) -> str:
    """Submit a batch script; returns the number of its job.

    Raises:
        BusyError: Slurm does not answer. WorkerError: it refuses, with what it says and what to look at.
    """
    try:
        said = _run(["sbatch", "--parsable", *options], script)
    except subprocess.CalledProcessError as error:
        words = _words(error)
        if any(busy.lower() in words.lower() for busy in _BUSY):
            raise BusyError(f"sbatch: {words}") from None
        raise WorkerError(f"Slurm refuses the jobs of this search: {words}{_hint(words, options)}") from None
    number = said.strip().split(";")[0]
    if not number.isdigit():
        raise WorkerError(f"sbatch was to print the number of a job, but printed {plain(said)!r}")
    return number


def listed(name: str) -> dict[str, tuple[str, str]]:
    """Return the state and the reason of the jobs of a name that wait or run, by job, such as 123_4.

    Raises:
        BusyError: Slurm does not answer.
    """
    command = ["squeue", "--noheader", "--array", f"--user={os.getuid()}", f"--name={name}", "--format=%i|%T|%r"]
    try:
        lines = _run(command).splitlines()
    except subprocess.CalledProcessError as error:
        raise BusyError(f"squeue: {_words(error)}") from None
    fields = [line.strip().split("|", 2) for line in lines if line.count("|") >= 2]
    return {job: (state, reason) for job, state, reason in fields}


def seconds_left(job: str) -> float | None:
    """Return what is left of the wall time of a job; None where that is not known, and infinity where it has no end."""
    with suppress(subprocess.CalledProcessError, BusyError):
        said = _run(["squeue", "--noheader", f"--jobs={job}", "--format=%L"]).strip()
        return float("inf") if said == "UNLIMITED" else _seconds(said)
    return None


def _seconds(text: str) -> float | None:
    """Return the seconds of a time as Slurm writes it: days-hours:minutes:seconds, without what is 0 at its begin."""
    days, _, rest = text.rpartition("-")
    fields = [days or "0", *["0"] * (2 - rest.count(":")), *rest.split(":")]
    if not all(field.isdigit() for field in fields) or len(fields) != 4:
        return None
    return float(sum(int(field) * seconds for field, seconds in zip(fields, (86400, 3600, 60, 1), strict=True)))


def ending(job: str) -> str:
    """Return how a job ended, such as `FAILED, exit code 1`; empty where the cluster keeps no account of that."""
    with suppress(subprocess.CalledProcessError, BusyError):
        said = _run(["sacct", "--noheader", "--parsable2", "--allocations", f"--jobs={job}", "--format=State,ExitCode"])
        for line in said.splitlines():
            state, _, code = line.strip().partition("|")
            if state:
                status, _, number = code.partition(":")
                return f"{state}, " + (f"signal {number}" if number.strip("0") else f"exit code {status}")
    return ""


def cancel(jobs: Collection[str]) -> str:
    """Cancel jobs; returns what went wrong, if anything."""
    try:
        _run(["scancel", *jobs], seconds=_CANCEL_SECONDS)
    except (subprocess.CalledProcessError, BusyError) as error:
        words = _words(error) if isinstance(error, subprocess.CalledProcessError) else str(error)
        return "" if "invalid job id" in words.lower() else words  # one that has ended long ago
    return ""


def _run(command: Sequence[str], given: str = "", seconds: float = _SECONDS) -> str:
    """Run a command and return what it prints; one that is not there fails as one that refuses."""
    try:
        return subprocess.run(
            command,
            input=given,
            capture_output=True,
            text=True,
            errors="replace",
            check=True,
            timeout=seconds,
            env=_environment(),
            start_new_session=True,  # so that Ctrl-C does not end it in the middle
        ).stdout
    except subprocess.TimeoutExpired:
        raise BusyError(f"{command[0]} has not answered for {seconds:g} s") from None
    except OSError as error:
        raise subprocess.CalledProcessError(127, command, stderr=str(error)) from None


def _environment() -> dict[str, str]:
    """Return the environment without what describes the job that the driver may run in: other jobs would inherit it."""
    return {
        name: value
        for name, value in os.environ.items()
        if name in _KEPT or not name.startswith(("SLURM_", "SLURMD_", "SRUN_"))
    }


def _words(error: subprocess.CalledProcessError) -> str:
    """Return what a command says of its failure, in one line without what is the same in all."""
    lines = [line.strip() for line in str(error.stderr or error.stdout or "").splitlines() if line.strip()]
    lines = [line.removeprefix(f"{error.cmd[0]}: ").removeprefix("error: ") for line in lines]
    return plain("; ".join(lines)) or f"{error.cmd[0]} ended with exit code {error.returncode}"


def _hint(words: str, options: Sequence[str]) -> str:
    """Return what to look at, with the nearest partition where there is none of that name."""
    looks = [where for said, where in _HINTS.items() if said in words.lower()]
    if not looks:
        return ""
    near = ""
    partition = next((one.partition("=")[2] for one in options if one.startswith("--partition=")), None)
    if "invalid partition" in words.lower() and partition is not None:
        with suppress(subprocess.CalledProcessError, BusyError):
            there = [*dict.fromkeys(_run(["sinfo", "--noheader", "--format=%R"]).split())]
            near = f"; there is no {partition!r}. {nearest(partition, there)}"
    return f". See {looks[0]}{near}"
