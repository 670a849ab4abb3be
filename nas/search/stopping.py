"""When a search ends."""

from __future__ import annotations

from collections.abc import Callable

from nas.errors import EvaluationError
from nas.search.proposing import LEAST_GAIN
from nas.search.settings import SearchSettings
from nas.search.stop_reason import Stop, StopReason
from nas.search.study import Study
from nas.workers.giving_up import EqualFailures


def limit_reached(
    settings: SearchSettings, study: Study, *, trained: int, tried: int, fruitless: int, without_gain: int
) -> Stop | None:
    """Return why a search is to end now; None where it is to go on.

    Args:
        settings: say when it ends.
        study: with its trials.
        trained: trials that were evaluated.
        tried: genotypes that were proposed, those with other recipes too.
        fruitless: proposals since one was last evaluated.
        without_gain: proposals in a row of which hardly any gain was expected.
    """
    if trained >= settings.most_trials:
        return StopReason.TRIALS_DONE.stop(trained=trained)
    if study.size is not None and tried >= study.size:
        return StopReason.SPACE_EXHAUSTED.stop(size=study.size)
    if settings.patience is not None and without_gain >= settings.patience:
        return StopReason.NO_GAIN_EXPECTED.stop(count=without_gain, share=100 * LEAST_GAIN)
    if fruitless < settings.max_rejections:
        return None
    causes = ", ".join(f"{name} {count}" for name, count in study.rejections().items()) or "none"
    return StopReason.PROPOSALS_REJECTED.stop(fruitless=fruitless, causes=causes)


def end_where_time_is_over(
    study: Study, settings: SearchSettings, elapsed: Callable[[], float], *, trained: int
) -> bool:
    """End a study that has searched for long enough; return whether it has.

    It has not where as many trials were evaluated (`trained`) as were asked for.

    Args:
        study: is told why it ends.
        settings: what is enough.
        elapsed: returns the seconds since its begin; not asked where there is no limit.
        trained: trials that were evaluated.
    """
    minutes = settings.minutes
    if minutes is None or elapsed() < 60 * minutes or trained >= settings.most_trials:
        return False
    if not study.failed_alike:
        study.stop, study.can_go_on = StopReason.TIME_OVER.stop(minutes=minutes), True
    return True


def end_where_alike(study: Study, failures: EqualFailures, reason: str) -> None:
    """Count an evaluation of a study that failed; end the study where that is enough."""
    if why := failures.failed(reason):
        study.stop = StopReason.FAILED_ALIKE.stop(why=why)
        study.failed_alike = study.can_go_on = True


def check_ended(study: Study) -> None:
    """Raise where a search that is part of something else was cut off.

    Raises:
        KeyboardInterrupt: the user has interrupted it. EvaluationError: its evaluations failed alike.
    """
    if study.interrupted:
        raise KeyboardInterrupt
    if study.failed_alike:
        raise EvaluationError(study.stop_reason)
