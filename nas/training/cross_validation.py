"""k-fold validation: a network is trained once a fold, on all others, and scored on that one (`DataConfig.folds`).

Its scores are the means over the folds (Stone 1974, "Cross-validatory choice and assessment of statistical
predictions"). The trainings share nothing but images: each begins from a seed of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from statistics import fmean
from typing import Protocol

from nas.errors import TrainingError
from nas.evaluation import Budget, Evaluation, report
from nas.seeds import derived_seed
from nas.training.epoch_reports import EpochListener
from nas.training.fold_states import FoldStates

FOLD = "fold"
"""Beside the metrics of an epoch, for whoever hears them: the number of the fold."""
AfterEpoch = Callable[[Mapping[str, float]], object]


class TrainFold(Protocol):
    """Trains a network without one of the folds."""

    def __call__(
        self, number: int, budget: Budget, seed: int, hear: EpochListener, after_epoch: AfterEpoch | None, /
    ) -> Evaluation:
        """Train without a fold, by its number from 1; see `nas.training.fit.fit`."""
        ...


def cross_validated(
    train: TrainFold,
    count: int,
    budget: Budget,
    *,
    seed: int,
    epochs: int,
    scores: Sequence[str],
    after_epoch: AfterEpoch | None = None,
) -> Evaluation:
    """Train a network once a fold, and return the means of what came out.

    Args:
        train: trains it without one fold.
        count: of folds.
        budget: of each training. Weights are kept of the first fold alone. The state in `Budget.checkpoint` holds all
            folds: one that is done is not trained again.
        seed: of the first training; those of the others follow from it.
        epochs: of each training, at most.
        scores: names of the scores of the validation split.
        after_epoch: hears the metrics of each epoch, with `fold`.

    Returns:
        The means of the scores, and of the metrics of each epoch that all trainings had; sums of seconds; and the
        scores of each fold. Fewer folds than `count` are in it where whoever listens to `report` has ended it.

    Raises:
        TrainingError: a training failed; says without which fold. Others: as `train`.
    """
    states, done, ended = FoldStates(budget), list[Evaluation](), False
    for number in range(1, count + 1):

        def hear(metrics: Mapping[str, float], number: int = number) -> bool:
            nonlocal ended
            # What the evaluation would return if it ended now.
            now = _means([*(one.scores for one in done), {name: metrics[name] for name in scores}])
            ended = report((number - 1) * epochs + int(metrics["epoch"]), now)
            return ended

        def tell(metrics: Mapping[str, float], number: int = number) -> None:
            assert after_epoch is not None
            after_epoch({**metrics, FOLD: float(number)})

        known = states.done(number)
        if known is None:
            own = seed if number == 1 else derived_seed(seed, "fold", number)
            try:
                known = train(number, states.begin(number), own, hear, None if after_epoch is None else tell)
            except TrainingError as error:
                raise TrainingError(f"without fold {number} of {count}: {error}") from error
            states.end(number, known)
        done.append(known)
        if ended:
            break
    return together(done)


def together(folds: Sequence[Evaluation]) -> Evaluation:
    """Return what trainings without one fold each came to together; see `cross_validated`."""
    missing = {name: reason for one in folds for name, reason in one.missing.items()}
    scores = [{name: score for name, score in one.scores.items() if name not in missing} for one in folds]
    rows = zip(*(one.history for one in folds), strict=False)  # one that was ended early has fewer
    names = dict.fromkeys(name for one in folds for name in one.seconds)
    return Evaluation(
        _means(scores),
        tuple(_means(row) for row in rows),
        {name: sum(one.seconds.get(name, 0.0) for one in folds) for name in names},
        missing,
        folds=tuple(scores),
    )


def _means(rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Return the means of what all rows have."""
    return {name: fmean(row[name] for row in rows) for name in rows[0] if all(name in row for row in rows)}
