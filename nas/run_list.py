"""What runs a folder holds, and how each of them stands."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from nas.errors import NasError, of_system, reason_of
from nas.finishing.folder import REPORT_JSON
from nas.run_folder import FINISH, folders_in, in_use, read_json
from nas.search.load import load_study
from nas.search.log import END, STUDY, TRIALS
from nas.search.study import Study

SEARCH = "search"
_KINDS = {
    "training": ("seeds.jsonl", "train.json"),
    "diagnosis": ("diagnosis.html", "diagnosis.json"),
    "range test": ("lr_range.json", "lr_range.png"),
    "comparison of spaces": ("spaces.json", "report.md"),
    "comparison": ("curves.csv", "report.md"),
    "scaling study": ("settings.json", "report.md"),
}
"""Kinds of runs beside searches: a file by which each is known, the first that fits, and one that its end leaves."""


class RunState(StrEnum):
    """How a run stands."""

    RUNNING = "running"
    ENDED = "ended"
    CAN_GO_ON = "can go on"
    """It ended before all was done that was asked for: interrupted, or out of its minutes."""
    CUT_OFF = "cut off"
    """Nobody wrote its end: it was killed, or its machine went down. It can go on too."""
    UNREADABLE = "unreadable"


@dataclass(frozen=True)
class RunSummary:
    """A run in a line."""

    folder: Path
    kind: str
    state: RunState
    note: str = ""
    """Why a search ended, or why a record cannot be read."""
    trials: Mapping[str, int] = field(default_factory=dict)
    """Of a search: how many there are in each state."""
    best: Mapping[str, Any] = field(default_factory=dict)
    """Of a search with a score: `trial`, and the first objective by its name."""
    finish: str = ""
    """Of a search: `running`, `ended` or `cut off` where it has a finish."""
    changed: float = 0.0
    """When its record was last written, in seconds since 1970."""

    def to_dict(self) -> dict[str, Any]:
        """Return it for JSON."""
        return {
            "run_folder": self.folder,
            "kind": self.kind,
            "state": self.state.value,
            "note": self.note or None,
            "trials": dict(self.trials),
            "best": dict(self.best) or None,
            "finish": self.finish or None,
            "changed": self.changed,
        }


def runs_in(records: Path) -> Iterator[RunSummary]:
    """Yield the runs in a folder of runs, the one that was written last at the end; other folders are left out.

    Args:
        records: the folder that holds the runs, as `records.dir`.

    Raises:
        ConfigError: there is no such folder.
    """
    known = []
    for path in folders_in(records):
        try:
            if kind := _kind(path):
                known.append((_changed(path, kind), path, kind))
        except OSError as error:  # that of somebody else, which may not be read
            yield RunSummary(path, "folder", RunState.UNREADABLE, of_system(error))
    for changed, path, kind in sorted(known):
        yield summary_of(path, kind, changed)


def summary_of(run: Path, kind: str, changed: float = 0.0) -> RunSummary:
    """Return a run in a line; what is wrong with its record is its note, so that others are shown beside it."""
    try:
        used = in_use(run)
        if kind == SEARCH:
            return _search(run, changed, used=used)
        ended = (run / _KINDS[kind][1]).is_file()
        state = RunState.RUNNING if used else RunState.ENDED if ended else RunState.CUT_OFF
        return RunSummary(run, kind, state, changed=changed)
    except NasError as error:
        return RunSummary(run, kind, RunState.UNREADABLE, str(error), changed=changed)
    except Exception as error:  # a folder may come from a stranger, with anything in its records
        return RunSummary(run, kind, RunState.UNREADABLE, reason_of(error), changed=changed)


def _kind(run: Path) -> str:
    """Return what kind of run a folder holds; empty where it holds none."""
    if (run / STUDY).is_file():
        return SEARCH
    return next((kind for kind, (file, _) in _KINDS.items() if (run / file).is_file()), "")


def _changed(run: Path, kind: str) -> float:
    names = (TRIALS, STUDY, END) if kind == SEARCH else (*_KINDS[kind], "settings.json")
    return max((file.stat().st_mtime for name in names if (file := run / name).is_file()), default=0.0)


def _search(run: Path, changed: float, *, used: bool) -> RunSummary:
    study = load_study(run)
    ended = (run / END).is_file()  # a search that is gone on with has removed it
    counts = {name: count for name, count in study.counts().items() if count}
    state, note = _end(run) if ended else (RunState.RUNNING if used else RunState.CUT_OFF, "")
    finish = _finish_state(run / FINISH, running=used and ended)
    return RunSummary(run, SEARCH, state, note, counts, _best(study), finish, changed)


def _end(run: Path) -> tuple[RunState, str]:
    values = read_json(run / END, "end of a search", dict)
    state = RunState.CAN_GO_ON if values.get("can_go_on") is True else RunState.ENDED
    return state, str(values.get("text", ""))


def _best(study: Study) -> dict[str, Any]:
    best = study.winner
    return {} if best is None else {"trial": best.number, study.objective: best.scores[study.objective]}


def _finish_state(finish: Path, *, running: bool) -> str:
    if running:
        return RunState.RUNNING
    if not finish.is_dir():
        return ""
    return RunState.ENDED if (finish / REPORT_JSON).is_file() else RunState.CUT_OFF
