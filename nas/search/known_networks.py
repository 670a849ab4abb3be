"""The networks that a search knows: those that were evaluated, and proposals of one that is being evaluated."""

from __future__ import annotations

import optuna

from nas.search.trial import Trial


class KnownNetworks:
    """Finds who has evaluated a network, by `Trial.trained_id`: the network, and the recipe where that is decided."""

    def __init__(self) -> None:
        """Start without any."""
        self._evaluated: dict[str, Trial] = {}
        self._waiting: dict[str, list[tuple[Trial, optuna.Trial]]] = {}

        self.count = 0
        """Trials that were evaluated, which `search.trials` limits; one that failed and is run again is one."""

    def add(self, trial: Trial) -> None:
        """Note a trial that was evaluated."""
        assert trial.trained_id is not None
        self._evaluated[trial.trained_id] = trial
        self.count += 1

    def by(self, trial: Trial) -> Trial | None:
        """Return the trial that has evaluated what another one has; None where none has."""
        return self._evaluated.get(trial.trained_id or "")

    def run_again(self, failed: Trial) -> None:
        """Leave out a trial that failed, and whose network is evaluated once more."""
        if self._evaluated.pop(failed.trained_id or "", None) is not None:
            self.count -= 1

    def wait(self, trial: Trial, optuna_trial: optuna.Trial) -> None:
        """Keep a trial whose network is being evaluated."""
        self._waiting.setdefault(trial.trained_id or "", []).append((trial, optuna_trial))

    def take_waiting(self, trial: Trial) -> list[tuple[Trial, optuna.Trial]]:
        """Remove and return the trials that wait for one, which has ended."""
        return self._waiting.pop(trial.trained_id or "", [])
