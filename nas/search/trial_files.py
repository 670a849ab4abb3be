"""Files that evaluations leave beside their scores: states of training to go on from, and trained weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from nas.checkpoint_files import checkpoint_file, checkpoint_of, remove_checkpoint
from nas.errors import ConfigError, nearest
from nas.evaluation import Budget
from nas.evaluators.training import INHERIT
from nas.run_folder import WEIGHTS, weights_file
from nas.search.after_training import int8_folder
from nas.search.settings import SearchSettings, Settings
from nas.search.study import Study
from nas.search.trial import State, Trial


class Parents:
    """Chooses which trained network a trial takes initial weights from, among those whose weights are kept."""

    def __init__(self, study: Study, run: Path, how: str) -> None:
        """Choose among the trials of a study by `nas.evaluators.training.INHERIT`: parent or best."""
        self._study, self._run, self._how = study, run, how

    def chosen(self, trial: Trial) -> Trial:
        """Return a trial with its parent, where there is one; one that goes on keeps the one that it began with."""
        if trial.steps or trial.inherited_from is not None:
            return trial
        ranked = self._study.best(len(self._study.trials))
        kept = [one for one in ranked if one.trained_id and weights_file(self._run, one.trained_id).exists()]
        if not kept:
            return trial
        parent = kept[0] if self._how == "best" else min(kept, key=lambda one: decisions_apart(one, trial))
        return replace(trial, inherited_from=parent.number)

    def trained_id(self, trial: Trial) -> str | None:
        """Return what the training of a trial's parent is known by; None where it has none."""
        found = (one.trained_id for one in self._study.trials if one.number == trial.inherited_from)
        return next(found, None)


def decisions_apart(one: Trial, other: Trial) -> int:
    """Count the decisions that two trials take differently; one that only one of them has is one."""
    paths = one.genotype.keys() | other.genotype.keys()
    return sum(
        (path in one.genotype, one.genotype.get(path)) != (path in other.genotype, other.genotype.get(path))
        for path in paths
    )


def inherits(settings: Settings, given: object) -> object:
    """Return whose weights trials begin with: as a command's settings of its evaluator say, or the evaluator given."""
    return getattr(getattr(settings, "evaluator", given), "inherit", INHERIT[0])


def check_inherit(how: object, settings: SearchSettings, run: object) -> str:
    """Return whose weights trials begin with.

    Raises:
        ConfigError: it is an unknown word, or no weights are kept.
    """
    if how not in INHERIT:
        raise ConfigError(
            f"inherit must be one of {', '.join(INHERIT)}, but got {how!r:.80}. {nearest(str(how), INHERIT)}"
        )
    if how != INHERIT[0] and (run is None or not settings.keep):
        raise ConfigError(
            f"evaluator.inherit={how} takes weights that the search keeps in its run folder, but "
            + ("search.keep is 0" if not settings.keep else "there is no run_dir")
        )
    return str(how)


@dataclass(frozen=True)
class TrialFiles:
    """Where the evaluations of a search leave files."""

    checkpoints: Path | None = None
    """Folder of the states of trials that may go on, or be lost on the way; None where no trial is."""
    run: Path | None = None
    """The run folder, which takes weights; None where none are kept."""

    parents: Parents | None = None
    """Whose weights trials begin with; None where they are trained from scratch."""
    continues: bool = True
    """Whether a trial that is given more budget goes on from its state."""
    each_epoch: bool = False
    """Whether states are kept after each epoch, since a trial may be lost with the machine that it runs on."""

    def begin(self, trials: Sequence[Trial]) -> None:
        """Remove states that an earlier session left of trials that are not on record: others get their numbers."""
        waiting = {trial.number for trial in trials if trial.state in (State.PAUSED, State.INTERRUPTED)}
        for path in self.checkpoints.glob("*.ckpt") if self.checkpoints is not None else ():
            number = checkpoint_of(path).stem
            if number.isdigit() and int(number) not in waiting:
                path.unlink()

    def prepared(self, budget: Budget, trial: Trial) -> tuple[Trial, Budget]:
        """Return a trial with the one that it inherits weights from, and a budget that says where its files are.

        It also has what was decided of the recipe.
        """
        if self.parents is not None and self.run is not None:
            trial = self.parents.chosen(trial)
            parent = self.parents.trained_id(trial)
            budget = replace(budget, inherit=None if parent is None else str(weights_file(self.run, parent)))
        return trial, self._budget(budget, trial)

    def _budget(self, budget: Budget, trial: Trial) -> Budget:
        if self.checkpoints is not None:
            state = str(checkpoint_file(self.checkpoints, trial.number))
            budget = replace(budget, checkpoint=state, keep_each_epoch=self.each_epoch)
        if self.run is not None and trial.trained_id is not None:
            budget = replace(budget, weights=str(weights_file(self.run, trial.trained_id)))
        if not trial.recipe:
            return budget
        if budget.int8 is not None:
            folder = int8_folder(Path(budget.int8), trial)
            folder.mkdir(exist_ok=True)
            budget = replace(budget, int8=str(folder))
        return replace(budget, recipe=dict(trial.recipe))

    def evaluated(self, trial: Trial) -> None:
        """Remove the state of an evaluation that has ended, where one with more budget begins anew."""
        if not self.continues:
            self.ended(trial)

    def ended(self, trial: Trial) -> None:
        """Remove the state of a trial, which does not go on."""
        if self.checkpoints is not None:
            remove_checkpoint(checkpoint_file(self.checkpoints, trial.number))


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
        self._kept: set[str] = set()  # by `trained_id`, what has ended and whose weights are there

    def begin(self, study: Study) -> None:
        """Remove what an earlier session left of networks that are not among the best."""
        ended = {trial.trained_id for trial in study.trials if trial.trained and trial.trained_id is not None}
        self._kept = {name for name in ended if weights_file(self._run, name).exists()}
        self._keep_best(study)

    def proposed(self, study: Study, running: int) -> None:
        """Do nothing: nothing has ended."""

    def paused(self, study: Study, trial: Trial) -> None:
        """Do nothing: it may become one of the best."""

    def ended(self, study: Study, trial: Trial) -> None:
        """Keep the weights of a trial where it is one of the best; those of another one go then."""
        # Most searches of tables leave no weights, and need not be sorted after each trial.
        if trial.trained and trial.trained_id is not None and weights_file(self._run, trial.trained_id).exists():
            self._kept.add(trial.trained_id)
            self._keep_best(study)

    def end(self, study: Study) -> None:
        """Remove the folder where the evaluator left no weights."""
        folder = self._run / WEIGHTS
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()

    def _keep_best(self, study: Study) -> None:
        best = study.front() if len(study.objectives) > 1 else study.best(self._count)
        wanted = {trial.trained_id for trial in best if trial.trained_id is not None}
        for name in self._kept - wanted:
            weights_file(self._run, name).unlink(missing_ok=True)
        self._kept &= wanted
