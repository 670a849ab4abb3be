"""`nas runs`: the runs in a folder of runs, and how each of them stands."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from nas.commands.run_options import runs_parser
from nas.console import run
from nas.json_output import add_facts
from nas.run_folder import shown, user_path

if TYPE_CHECKING:
    from nas.run_list import RunSummary


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the command line and list the runs; returns the exit code."""
    given = runs_parser().parse_args(arguments)
    return run("nas.runs", lambda: _list(user_path(given.records)), json=given.json)


def _list(records: Path) -> None:
    from nas.run_list import runs_in

    found = []
    for one in runs_in(records):
        print("\n".join(_lines(one)), flush=True)
        found.append(one)
    if not found:
        print(f"No runs in {shown(records.absolute())}.")
    add_facts({"runs": [one.to_dict() for one in found]})


def _lines(one: RunSummary) -> Iterator[str]:
    """Yield a line on a run, and one on what to do with it where there is something."""
    folder, facts = shown(one.folder.absolute()), [f"{one.kind} {one.state}"]
    facts += [f"{count} {state}" for state, count in one.trials.items()]
    facts += [f"best {name} {value:.4f}" for name, value in one.best.items() if name != "trial"]
    facts += [f"finish {one.finish}"] if one.finish else []
    facts += [f"{datetime.fromtimestamp(one.changed):%Y-%m-%d %H:%M}"] if one.changed else []
    yield f"{folder}: {', '.join(facts)}"
    if one.note:
        yield f"  {one.note}"
    if then := _then(one):
        yield f"  {then.format(folder=folder)}"


def _then(one: RunSummary) -> str:
    """Return what a user may want to do with a run; empty where that is nothing."""
    from nas.run_list import SEARCH, RunState

    if one.kind != SEARCH or one.state is RunState.UNREADABLE:
        return ""
    if one.state is RunState.RUNNING:
        return "nas steer {folder} trials=+10 changes when it ends; nas report {folder} --follow shows it"
    if one.state in (RunState.CAN_GO_ON, RunState.CUT_OFF) and not one.finish:
        return "nas search resume={folder} goes on with it"
    return "nas finish {folder} goes on with its finish" if one.finish == RunState.CUT_OFF else ""
