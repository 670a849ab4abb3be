"""`nas report RUN...`: what came of runs, as a page for the browser."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from nas.commands.options import report_parser
from nas.console import run
from nas.errors import ConfigError, NasError, reason_of
from nas.json_output import add_facts
from nas.run_folder import shown, user_path


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the command line and write the report; returns the exit code."""
    given = report_parser().parse_args(arguments)
    output = user_path(given.output) if given.output is not None else None
    journal = user_path(given.optuna) if given.optuna is not None else None
    folders = [user_path(folder) for folder in given.runs]
    return run("nas.report", lambda: _report(folders, output, journal, following=given.follow), json=given.json)


def _report(folders: Sequence[Path], output: Path | None, journal: Path | None, *, following: bool) -> None:
    from nas.reports.write import write_report

    if following and len(folders) != 1:
        raise ConfigError(f"--follow follows one search, but {len(folders)} are given")
    if journal is not None and len(folders) != 1:
        raise ConfigError(f"--optuna writes one search, but {len(folders)} are given")
    try:
        written = _follow(folders[0], output) if following else write_report(folders, output)
        if journal is not None:
            _write_journal(folders[0], journal)
    except NasError:
        raise
    except Exception as error:  # a folder may come from a stranger, with anything in its records
        raise ConfigError(f"the records cannot be shown: {reason_of(error)}") from error
    add_facts({"runs": folders, "report": written[0], "files": written})
    for path in written:
        print(f"Report: {shown(path.absolute())}")


def _follow(folder: Path, output: Path | None) -> list[Path]:
    from nas.reports.follow import follow

    return follow(folder, output=output, say=partial(print, flush=True))


def _write_journal(folder: Path, journal: Path) -> None:
    from nas.search.load import load_study
    from nas.search.optuna_file import write_optuna

    write_optuna(load_study(folder), journal)
    add_facts({"optuna": journal})
    print(f"Optuna: {shown(journal.absolute())}")
