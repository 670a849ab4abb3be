"""`nas finish RUN`: the best networks of a search trained anew, beside what a user would have taken instead."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

from nas.console import run
from nas.errors import NasError
from nas.finishing.folder import REPORT_MD
from nas.finishing.session import FULL, finish_search
from nas.json_output import add_facts
from nas.run_folder import shown

__all__ = ["FULL", "finish_command"]


def finish_command(values: Mapping[str, Any], typed: Iterable[str] = ()) -> int:
    """Finish a search by some settings.

    Args:
        values: settings as plain values.
        typed: paths of those that the user gave, which are all that a finish that is gone on with takes of them.

    Returns:
        The exit code.
    """
    return run("nas.finish", lambda: _finish(values, list(typed)))


def _finish(values: Mapping[str, Any], typed: list[str]) -> None:
    print("Reading the search ...", flush=True)
    report = finish_search(values, typed, partial(print, flush=True))
    places = {"folder": report.folder, "report": report.folder / REPORT_MD, "model": report.model}
    add_facts({**report.to_dict(), **places})
    if report.trouble:
        raise NasError(
            f"the report is in {shown(report.folder)}, but what it recommends could not be exported: {report.trouble}. "
            "The same command tries it again"
        )
