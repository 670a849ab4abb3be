"""How much disk the files of trainings may take while a search goes on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from nas.checkpoint_files import checkpoint_file
from nas.cost.memory import MIB
from nas.run_folder import CHECKPOINTS, WEIGHTS, weights_file
from nas.search.study import Study
from nas.search.trial import State, Trial


class DiskBudget:
    """Removes the files of the worst trials of a search where weights and states of trainings take too much disk.

    A recorder. States of paused trials go first: such a trial, where it gets more budget, is trained from its start
    again, which takes time and gives the same scores. Then go the weights of all but the best. What runs meanwhile
    writes files on top of that.
    """

    def __init__(self, run: Path, mib: float, recorded: Iterable[Trial] = ()) -> None:
        """Look after a run folder.

        Args:
            run: the folder.
            mib: weights and states may take so many MiB.
            recorded: trials of earlier sessions; a search that goes on tells recorders of the paused ones no more.
        """
        self._run, self._most = run, mib * MIB
        self._paused = {trial.number: trial for trial in recorded if trial.state is State.PAUSED}

    def begin(self, study: Study) -> None:
        """See to what an earlier session left."""
        self._hold(study)

    def proposed(self, study: Study, running: int) -> None:
        """Do nothing: nothing has ended."""

    def paused(self, study: Study, trial: Trial) -> None:
        """See to the disk: a trial has left its state."""
        self._paused[trial.number] = trial
        self._hold(study)

    def ended(self, study: Study, trial: Trial) -> None:
        """See to the disk: a trial has left its weights."""
        self._paused.pop(trial.number, None)
        if trial.trained:
            self._hold(study)

    def end(self, study: Study) -> None:
        """Do nothing: the last trial has ended before."""

    def _hold(self, study: Study) -> None:
        sizes = {path: path.stat().st_size for path in _files(self._run)}
        over = sum(sizes.values()) - self._most
        if over <= 0:
            return
        for path in dict.fromkeys(self._worst_first(study, sizes)):
            path.unlink(missing_ok=True)
            over -= sizes[path]
            if over <= 0:
                return

    def _worst_first(self, study: Study, sizes: Mapping[Path, int]) -> Iterator[Path]:
        """Yield what may be removed of the files that are there."""
        sign = study.objectives[0].sign

        def quality(trial: Trial) -> tuple[int, float]:
            values = study.values(trial)
            return trial.rung or 0, sign * values[0] if values is not None else -float("inf")

        paused = sorted(self._paused.values(), key=quality)
        states = (checkpoint_file(self._run / CHECKPOINTS, trial.number) for trial in paused)
        yield from (path for path in states if path in sizes)
        ended = sorted((trial for trial in study.trials if trial.trained), key=quality)
        best = study.winner or (paused[-1] if paused else None)
        spared = best.trained_id if best is not None else None
        names = (trial.trained_id for trial in (*paused, *ended) if trial.trained_id is not None)
        weights = (weights_file(self._run, name) for name in names if name != spared)
        yield from (path for path in weights if path in sizes)


def _files(run: Path) -> Iterator[Path]:
    for folder in (CHECKPOINTS, WEIGHTS):
        yield from (path for path in (run / folder).glob("*") if path.is_file())
