"""Writes the report of a run into its folder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from nas.errors import ConfigError, reason_of
from nas.reports.folder_page import folder_page
from nas.reports.runs_page import runs_page
from nas.reports.search_page import search_page
from nas.reports.search_record import read_record
from nas.run_folder import refuse_link, shown, write_bytes, write_whole
from nas.search.log import STUDY
from nas.search.study import Study

REPORT = "report.html"
"""The file in a run folder."""
_PAGES = (".html", ".htm")
"""What the names of files end with that a report may replace."""
_TRIES = 3
"""Of writing a page while another process writes it too, as where two follow a search."""


def write_search_report(folder: Path, study: Study | None = None, *, output: Path | None = None) -> list[Path]:
    """Write the report of a search, and its two main charts as PNG beside it.

    Args:
        folder: of the run.
        study: as the search left it; None: read it.
        output: where to; None: `report.html` in the folder.

    Returns:
        What was written, the page first.

    Raises:
        ConfigError: there is no study, or a file of it cannot be read or written. SpaceError: its space is none that
            is known here.
    """
    from nas.reports.pictures import pictures

    record = read_record(folder, study)
    page = page_of(folder, output)
    written = [write_page(page, search_page(record))]
    for name, data in pictures(record).items():
        file = page.with_name(name if output is None else f"{page.stem}{name.removeprefix('report')}")
        written.append(_written(file, lambda file=file, data=data: write_bytes(file, data)))  # type: ignore[misc]
    return written


def write_folder_report(folder: Path, *, output: Path | None = None) -> list[Path]:
    """Write the report of a comparison or a scaling study from its text and its CSV files.

    Args:
        folder: of the run.
        output: where to; None: `report.html` in the folder.

    Returns:
        What was written.

    Raises:
        ConfigError: there is no report of one, or a file cannot be read or written.
    """
    return [write_page(page_of(folder, output), folder_page(folder))]


def write_report(folders: Sequence[Path], output: Path | None = None) -> list[Path]:
    """Write the report of one run, or of several searches side by side.

    Args:
        folders: of the runs.
        output: where to; None: `report.html` in the folder of one run, or in the current one of several.

    Returns:
        The files that were written, the page first.

    Raises:
        ConfigError: a folder holds no run that is known, or a file of it cannot be read or written.
    """
    if len(folders) == 1:
        is_search = (folders[0] / STUDY).is_file() or not folders[0].is_dir()
        return (write_search_report if is_search else write_folder_report)(folders[0], output=output)
    return [write_page(output or Path(REPORT), runs_page(folders))]


def page_of(folder: Path, output: Path | None) -> Path:
    """Return where the page of a run goes: where it was asked for, else into its folder."""
    return output or folder / REPORT


def write_page(path: Path, text: str) -> Path:
    """Write a page; raises `ConfigError` where that cannot be, or would replace a file that is no page."""
    if path.suffix not in _PAGES and path.is_file():
        raise ConfigError(f"the report is not written to {path}, which is there and no page: it may be a record")
    return _written(path, lambda: write_whole(path, text))


def _written(path: Path, write: Callable[[], Path]) -> Path:
    """Write a file that is no link; raises `ConfigError` where that cannot be."""
    refuse_link(path)
    try:
        for _ in range(_TRIES):
            with suppress(FileNotFoundError, FileExistsError):  # another process writes the same page
                return write()
        return write()
    except OSError as error:
        raise ConfigError(f"the report cannot be written to {path}: {error.strerror or error}") from None


def report_or_say(write: Callable[[], Sequence[Path]], say: Callable[[str], None]) -> Sequence[Path]:
    """Write a report at the end of a run, and say where it is; whatever goes wrong is said in a line.

    Args:
        write: writes it and returns its files, the page first.
        say: takes the line.

    Returns:
        The files that were written; none where it went wrong.
    """
    try:
        written = write()
        say(f"Report: {shown(written[0])}")
        return written
    except Exception as error:
        reason = " ".join(reason_of(error).split())
        say(f"The report could not be written, which changes nothing of the rest: {reason}")
        return ()
