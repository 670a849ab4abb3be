"""One mutant against its tests."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

from cosmic_ray.mutating import use_mutation
from cosmic_ray.plugins import get_operator

from benchmarks.mutation.covering import environment
from benchmarks.mutation.places import Mutant

_LONGEST_TEST = 60
"""Seconds: ten times what the longest of the quick tests takes. A loop that never ends is found so."""
_MOST_MEMORY = 24 * 2**30
"""Bytes of addresses: a change can make a loop that takes all there is."""


@dataclass(frozen=True, slots=True)
class Result:
    """What the tests made of a mutant."""

    name: str
    package: str
    change: str
    """File, lines that went and lines that came."""
    caught: bool
    tests: int
    """That were chosen; the first that failed ended the run."""
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON."""
        return asdict(self)


def run_mutant(mutant: Mutant, copy: Path, tests: Sequence[str], timeout: float) -> Result:
    """Change a copy of the tree, run tests there until one fails, and change it back."""
    started = time.monotonic()
    with use_mutation(copy / mutant.file, get_operator(mutant.operator)(), mutant.occurrence) as (before, after):
        assert after is not None
        caught = bool(tests) and _fails(copy, tests, timeout)
    change = f"{mutant.file}\n{changed_lines(before, after)}"
    return Result(mutant.name, mutant.package, change, caught, len(tests), round(time.monotonic() - started, 1))


def changed_lines(before: str, after: str) -> str:
    """Return the lines that differ, without empty ones and the spaces around them: `- old` and `+ new`."""
    old, new = before.splitlines(), after.splitlines()
    while old and new and old[0] == new[0]:
        del old[0], new[0]
    while old and new and old[-1] == new[-1]:
        del old[-1], new[-1]
    lines = [*(("-", line.strip()) for line in old), *(("+", line.strip()) for line in new)]
    return "\n".join(f"{sign} {line}" for sign, line in lines if line)


def _fails(copy: Path, tests: Sequence[str], timeout: float) -> bool:
    """Whether a test fails, cannot be collected any more, or does not end."""
    with NamedTemporaryFile("w", suffix=".txt") as names:
        names.write("\n".join(tests))
        names.flush()
        command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", f"@{names.name}"]
        command.append(f"--timeout={_LONGEST_TEST}")
        process = subprocess.Popen(
            command,
            cwd=copy,
            env=environment(copy),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        with suppress(ProcessLookupError):  # it has ended already
            resource.prlimit(process.pid, resource.RLIMIT_AS, (_MOST_MEMORY, _MOST_MEMORY))
        try:
            return process.wait(timeout) != 0
        except subprocess.TimeoutExpired:
            return True
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # and what its tests started
            process.wait()
