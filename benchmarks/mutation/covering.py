"""Which tests run which line, and how long each takes."""

from __future__ import annotations

import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from coverage import CoverageData

from benchmarks.mutation.places import PACKAGES, Mutant


@dataclass(frozen=True)
class Covering:
    """The tests by line."""

    lines: Mapping[tuple[str, int], Collection[str]]
    """Names of the tests that run a line, by file (from the root of the repository) and number."""
    seconds: Mapping[str, float]
    """Of each test."""
    commands: Collection[str] = ()
    """Names of the tests that run commands in processes of their own, where no line is counted."""

    def tests(self, mutant: Mutant, budget: float) -> list[str]:
        """Return the tests of a mutant: the nearest package first, then the quickest, as many as the seconds allow.

        Of a line that runs when a module is imported nothing says which tests need it; it has them all. A line that no
        test runs in its own process has those that run commands.
        """
        near = f"tests/{mutant.package}/"
        names = self.lines.get((mutant.file, mutant.line), self.commands) or self.seconds
        chosen: list[str] = []
        left = budget
        for name in sorted(names, key=lambda name: (not name.startswith(near), self.seconds.get(name, 0.0), name)):
            left -= self.seconds.get(name, 0.0)
            if left < 0 and chosen:
                break
            chosen.append(name)
        return chosen


def measure(root: Path, folder: Path, workers: int) -> None:
    """Run the quick tests once with coverage, and keep what they did in a folder.

    Raises:
        RuntimeError: they could not be run.
    """
    command = [
        *(sys.executable, "-m", "pytest", "-q", "-n", str(workers), "--timeout=900", "-p", "no:cacheprovider"),
        *("-p", "benchmarks.mutation.fresh_caches"),
        *(f"--cov={path.removesuffix('.py').replace('/', '.')}" for paths in PACKAGES.values() for path in paths),
        *("--cov-context=test", "--cov-report=", f"--junitxml={folder / 'tests.xml'}"),
    ]
    data = folder / "coverage"
    run = subprocess.run(command, cwd=root, env=environment(root, COVERAGE_FILE=str(data)), check=False)
    if run.returncode not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED) or not data.exists():
        raise RuntimeError("the tests could not be run; see above")


def read(root: Path, folder: Path) -> Covering:
    """Read what `measure` kept, of the tests that pytest finds again by their names.

    Those that failed are left out, since they would fail for every mutant.
    """
    listed = [sys.executable, "-m", "pytest", "-q", "--collect-only", "-p", "no:cacheprovider"]
    collected = subprocess.run(listed, cwd=root, env=environment(root), capture_output=True, text=True, check=True)
    names = set(collected.stdout.splitlines())
    seconds = {}
    for case in ET.parse(folder / "tests.xml").iter("testcase"):
        file = case.attrib["classname"].replace(".", "/") + ".py"
        name = f"{file}::{case.attrib['name']}"
        if name in names and case.find("failure") is None and case.find("error") is None:
            seconds[name] = float(case.attrib["time"])
    data = CoverageData(str(folder / "coverage"))
    data.read()
    lines: dict[tuple[str, int], set[str]] = defaultdict(set)
    for path in data.measured_files():
        for line, contexts in data.contexts_by_lineno(path).items():
            ran = {context.partition("|")[0] for context in contexts}
            lines[str(Path(path).relative_to(root)), line] |= ran & seconds.keys()
    text = {file: (root / file).read_text() for file in {name.partition("::")[0] for name in seconds}}
    commands = [name for name in seconds if "tests.run_command" in text[name.partition("::")[0]]]
    return Covering(dict(lines), seconds, commands)


def environment(root: Path, **more: str) -> dict[str, str]:
    """Return what a process needs that runs the tests of a copy; nothing compiled is kept, which could be stale."""
    return {**os.environ, "PYTHONPATH": str(root), "PYTHONDONTWRITEBYTECODE": "1", **more}
