"""How long a finish may take where the user does not say."""

from __future__ import annotations

from math import ceil

from nas.finishing.searched import Searched
from nas.finishing.settings import FinishSettings

_LEAST_SECONDS, _TIMES_THE_SEARCH = 600.0, 4.0
_FINAL_SEEDS = 3
"""Final seeds that there is to be time for: the fewest with an interval that says something."""


def in_words(seconds: float) -> str:
    """Return a time limit in words: seconds, or minutes from one on."""
    return f"{seconds:.0f} s" if seconds < 60 else f"{seconds / 60:.3g} min"


def needed_seconds(settings: FinishSettings, searched: Searched, *, epochs: int, workers: int, reported: int) -> float:
    """Return the seconds that one seed to choose with and 3 to report are expected to need.

    That follows from what an epoch of the search's best networks took.

    Args:
        settings: numbers of networks and seeds.
        searched: the search.
        epochs: of a training of the finish.
        workers: trainings at a time.
        reported: networks that are reported at most, the baselines among them.
    """
    trials = [trial for trial, _ in searched.finalists(settings.top_k)]
    an_epoch = max(trial.seconds.get("evaluation", 0.0) / max(1, len(trial.history)) for trial in trials)
    rounds = ceil(len(trials) / workers) + min(_FINAL_SEEDS, settings.final_seeds) * ceil(reported / workers)
    return rounds * epochs * an_epoch


def time_limit(settings: FinishSettings, searched: Searched, needed: float) -> float:
    """Return the most seconds that choosing and reporting may take: what the user says, or what is in proportion.

    That is 4 times what the search took, and at least 10 minutes and what an answer is expected to need.
    """
    if settings.minutes is not None:
        return 60 * settings.minutes
    return max(_LEAST_SECONDS, _TIMES_THE_SEARCH * searched.seconds, needed)
