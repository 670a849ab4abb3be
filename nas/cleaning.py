"""What run folders take of the disk, and which of their files nothing needs any more."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from nas.checkpoint_files import checkpoint_file, checkpoint_of
from nas.errors import ConfigError, NasError, reason_of
from nas.finishing.folder import REPORT_JSON
from nas.run_folder import CHECKPOINTS, FINISH, WEIGHTS, hold, in_use, read_json, refuse_links, weights_file
from nas.search.load import load_study
from nas.search.log import STUDY
from nas.search.study import Study
from nas.search.trial import State

_GO_ON = (State.PAUSED, State.INTERRUPTED)
_TRAINING = "settings.json"
"""Of a training, with its `job`: without it a folder is none of ours, whatever the names in it."""
_STATE_OF_TRIAL, _STATE_OF_SEED = (re.compile(rf"{prefix}\d+(\.fold\d+)?\.ckpt", re.ASCII) for prefix in ("", "seed"))
"""Names that searches and trainings give to states; whoever else trains writes `.ckpt` files, too."""


@dataclass(frozen=True)
class Unneeded:
    """Files of one kind that a run can do without."""

    what: str
    files: Mapping[Path, int]
    """With their sizes in bytes."""

    @property
    def size(self) -> int:
        """Bytes of all."""
        return sum(self.files.values())


@dataclass(frozen=True)
class RunFiles:
    """What a run folder takes of the disk."""

    run: Path
    size: int
    """Bytes of all its files."""
    unneeded: tuple[Unneeded, ...] = ()
    left_alone: str = ""
    """Why nothing is to be removed, where that is so."""

    @property
    def unneeded_size(self) -> int:
        """Bytes of all files that are not needed."""
        return sum(one.size for one in self.unneeded)


def files_of(run: Path, *, keep: int = 1, states: bool = False) -> RunFiles:
    """Return what a run folder takes, and which of its files nothing needs any more.

    These are weights of a search but for the best, of a finish but for the first seed of each network (what ships is
    one of those), and states of trainings that have ended. Records, reports and models are never among them.

    Args:
        run: the folder.
        keep: networks of a search whose weights stay, the best first; with several objectives the knee before others.
        states: whether those of trainings that were cut off go too: these begin anew where the run is gone on with.
    """
    sizes = dict(_sizes(run))
    total = sum(sizes.values())
    try:
        if in_use(run):
            return RunFiles(run, total, left_alone="it runs")
        refuse_links(run)
        return RunFiles(run, total, tuple(_unneeded(run, sizes, keep, states)))
    except NasError as error:
        return RunFiles(run, total, left_alone=str(error))
    except Exception as error:  # a folder may come from a stranger, with anything in its records
        return RunFiles(run, total, left_alone=f"its records cannot be read: {reason_of(error)}")


def remove(run: Path, *, keep: int = 1, states: bool = False) -> int:
    """Remove what a run does not need, and return the bytes; for the arguments see `files_of`.

    Raises:
        ConfigError: the folder is in use, holds links, or a file cannot be removed.
    """
    with hold(run, "run"):
        found = list(_unneeded(run, dict(_sizes(run)), keep, states))
        for path in (path for unneeded in found for path in unneeded.files):
            try:
                path.unlink()
            except OSError as error:
                raise ConfigError(f"{path} cannot be removed: {error.strerror or error}") from None
    return sum(unneeded.size for unneeded in found)


def _sizes(run: Path) -> Iterator[tuple[Path, int]]:
    """Yield the plain files of a folder with their sizes; links are not followed."""
    for where, _, names in os.walk(run):
        for path in (Path(where, name) for name in names):
            try:
                found = path.lstat()
            except FileNotFoundError:  # a run that runs has removed it, or given it its name
                continue
            if stat.S_ISREG(found.st_mode):
                yield path, found.st_size


def _unneeded(run: Path, sizes: Mapping[Path, int], keep: int, states: bool) -> Iterator[Unneeded]:
    study = load_study(run) if (run / STUDY).is_file() else None
    states_of = "states of trainings"
    but = {0: "", 1: " but the best"}.get(keep, f" but the best {keep}")
    kinds: tuple[tuple[str, Path, Iterable[Path]], ...] = (
        (f"weights of all networks{but}", run / WEIGHTS, _weights(run, study, keep)),
        ("weights of further seeds of the finish", run / FINISH / WEIGHTS, _finish_weights(run / FINISH)),
        (states_of, run / CHECKPOINTS, _states(run, study, states)),
        (states_of, run, _states_of_seeds(run, states)),
    )
    for what, folder, paths in kinds:
        # A record may name a file that is somewhere else in the folder.
        files = {path: sizes[path] for path in paths if path in sizes and path.parent == folder}
        if files:
            yield Unneeded(what, files)


def _weights(run: Path, study: Study | None, keep: int) -> Iterator[Path]:
    if study is None:
        return
    ranked = [trial for trial in (study.winner, *study.best(len(study.trials))) if trial is not None]
    best = list(dict.fromkeys(trial.trained_id for trial in ranked))[:keep]
    # Nor those of networks that the record does not name: it would be a guess what they are.
    others = dict.fromkeys(trial.trained_id for trial in study.trials if trial.trained_id not in (None, *best))
    yield from (weights_file(run, name) for name in others if name is not None)


def _finish_weights(finish: Path) -> Iterator[Path]:
    if not (finish / REPORT_JSON).is_file():
        return  # what was trained is needed until it is scored
    by_network = read_json(
        finish / REPORT_JSON,
        "the report of a finish",
        lambda report: [[str(name) for name in final["weights"]] for final in report["final"].values()],
    )
    yield from (finish / WEIGHTS / name for weights in by_network for name in weights[1:])


def _states(run: Path, study: Study | None, every: bool) -> Iterator[Path]:
    if study is None:
        return
    waiting = {checkpoint_file(run / CHECKPOINTS, trial.number) for trial in study.trials if trial.state in _GO_ON}
    for path in (run / CHECKPOINTS).glob("*.ckpt"):
        if _STATE_OF_TRIAL.fullmatch(path.name) and (every or checkpoint_of(path) not in waiting):
            yield path


def _states_of_seeds(run: Path, every: bool) -> Iterator[Path]:
    """Yield the states of a training, which removes them itself where it ends."""
    if not every or not (run / _TRAINING).is_file():
        return
    if read_json(run / _TRAINING, "the settings of a training", lambda values: "job" in values):
        yield from (path for path in run.glob("seed*.ckpt") if _STATE_OF_SEED.fullmatch(path.name))
