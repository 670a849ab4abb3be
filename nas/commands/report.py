"""`nas report RUN...`: what came of runs, as a page for the browser."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from nas.commands.options import report_parser
from nas.console import run
from nas.run_folder import shown, user_path


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the command line and write the report; returns the exit code."""
    given = report_parser().parse_args(arguments)
    output = user_path(given.output) if given.output is not None else None
    return run("nas report", lambda: _report([user_path(folder) for folder in given.runs], output))


def _report(folders: Sequence[Path], output: Path | None) -> None:
    from nas.reports.write import write_report

    for path in write_report(folders, output):
        print(f"Report: {shown(path.absolute())}")
