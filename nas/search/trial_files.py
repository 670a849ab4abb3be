"""Files that evaluations leave beside their scores: states of training to go on from, and trained weights."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from nas.evaluation import Budget
from nas.run_folder import WEIGHTS, weights_file
from nas.search.study import Study
from nas.search.trial import Trial


@dataclass(frozen=True)
class TrialFiles:
    """Where the evaluations of a search leave files."""

    checkpoints: Path | None = None
    """Folder of the states of trials that may go on; None where none does."""
    run: Path | None = None
    """The run folder, which takes weights; None where none are kept."""

    def budget(self, budget: Budget, trial: Trial) -> Budget:
        """Return a budget that says where the files of a trial go."""
        if self.checkpoints is not None:
            budget = replace(budget, checkpoint=str(self._checkpoint(self.checkpoints, trial)))
        if self.run is not None and trial.arch_id is not None:
            budget = replace(budget, weights=str(weights_file(self.run, trial.arch_id)))
        return budget

    def ended(self, trial: Trial) -> None:
        """Remove the state of a trial, which does not go on."""
        if self.checkpoints is not None:
            self._checkpoint(self.checkpoints, trial).unlink(missing_ok=True)

    @staticmethod
    def _checkpoint(folder: Path, trial: Trial) -> Path:
        return folder / f"{trial.number}.ckpt"


class KeptWeights:
    """Keeps the weights of the best networks of a search as it goes on, and removes those of the others.

    A recorder: it acts on trials that are on disk, so that a search that is killed and goes on has them too. What was
    trained but is not in the record yet is trained again, and writes its weights again.
    """

    def __init__(self, run: Path, count: int) -> None:
        """Keep those of the best `count` networks; with several objectives those of the front.

        A network that is on the front at the end has been on it since it was trained, while its knee moves to and fro.
        """
        self._run, self._count = run, count
        self._kept: set[str] = set()  # networks that have ended, and whose weights are there

    def begin(self, study: Study) -> None:
        """Remove what an earlier session left of networks that are not among the best."""
        ended = {trial.arch_id for trial in study.trials if trial.trained and trial.arch_id is not None}
        self._kept = {arch_id for arch_id in ended if weights_file(self._run, arch_id).exists()}
        self._keep_best(study)

    def proposed(self, study: Study, running: int) -> None:
        """Do nothing: nothing has ended."""

    def paused(self, study: Study, trial: Trial) -> None:
        """Do nothing: it may become one of the best."""

    def ended(self, study: Study, trial: Trial) -> None:
        """Keep the weights of a trial where it is one of the best; those of another one go then."""
        # Most searches of tables leave no weights, and need not be sorted after each trial.
        if trial.trained and trial.arch_id is not None and weights_file(self._run, trial.arch_id).exists():
            self._kept.add(trial.arch_id)
            self._keep_best(study)

    def end(self, study: Study) -> None:
        """Remove the folder where the evaluator left no weights."""
        folder = self._run / WEIGHTS
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()

    def _keep_best(self, study: Study) -> None:
        best = study.front() if len(study.objectives) > 1 else study.best(self._count)
        wanted = {trial.arch_id for trial in best}
        for arch_id in self._kept - wanted:
            weights_file(self._run, arch_id).unlink(missing_ok=True)
        self._kept &= wanted
