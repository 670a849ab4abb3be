"""Writes the report of a search again and again while that runs."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from nas.errors import ConfigError
from nas.reports.markup import score_text
from nas.reports.search_page import search_page
from nas.reports.search_record import read_record
from nas.reports.write import page_of, write_page, write_search_report
from nas.run_folder import in_use, shown
from nas.search.log import STUDY, TRIALS
from nas.search.study import Study

_LOOK_SECONDS = 1.0
"""How often the record is looked at, and what an open page waits before it is read again, at least."""
_SHARE = 0.1
"""Of the time that may go into writing: it takes the processor from what is trained."""


def follow(folder: Path, *, output: Path | None = None, say: Callable[[str], None] = print) -> list[Path]:
    """Write the report of a search anew after each trial until the search ends; an open page reads itself again.

    Args:
        folder: of the run; a search must run in it.
        output: where to; None: `report.html` in the folder.
        say: told after each writing how many trials there are.

    Returns:
        What was written at the end, the page first: the report as `nas report` writes it.

    Raises:
        ConfigError: no search runs in the folder, it ended before it had begun, or a file of it cannot be read or
            written. SpaceError: its space is
            none that is known here.
    """
    if not in_use(folder):
        raise ConfigError(f"no search runs in {folder}; without --follow its report is written once")
    page = page_of(folder, output)
    say(f"Report: {shown(page.absolute())}, written anew after each trial until the search ends")
    try:
        _write_while_it_runs(folder, page, say)
    finally:
        # Also where it is interrupted: an open page stops reading itself again.
        written = write_search_report(folder, output=output) if _begun(folder) else []
    if not written:
        raise ConfigError(
            f"there is no report: the search in {folder} ended before it had begun, or its folder is gone"
        )
    return written


def _write_while_it_runs(folder: Path, page: Path, say: Callable[[str], None]) -> None:
    size, seconds = -1, 0.0
    while in_use(folder):
        now = _size(folder)
        if _begun(folder) and now != size:
            size, started = now, time.monotonic()
            record = read_record(folder)
            write_page(page, search_page(record, reload_seconds=max(_LOOK_SECONDS, 2 * seconds)))
            seconds = time.monotonic() - started
            say(_so_far(record.study))
        time.sleep(max(_LOOK_SECONDS, seconds / _SHARE))


def _begun(folder: Path) -> bool:
    return (folder / STUDY).is_file()


def _size(folder: Path) -> int:
    file = folder / TRIALS
    return file.stat().st_size if file.is_file() else 0


def _so_far(study: Study) -> str:
    best = study.best(1)
    found = f", best {study.objective} {score_text(best[0].scores[study.objective])}" if best else ""
    count = len(study.trials)
    return f"{count:,} candidate{'s' * (count != 1)}{found}"
