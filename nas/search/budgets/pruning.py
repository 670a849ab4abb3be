"""Settings of pruning: budgets that rise for the better candidates, or trials that end between two epochs."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace

import optuna
from optuna.pruners import BasePruner, MedianPruner, NopPruner, PatientPruner

from nas.errors import ConfigError
from nas.evaluation import Budget
from nas.search.budgets.curves import CurvePruner
from nas.search.budgets.halving import Halving, rungs_of
from nas.settings import Range, check_settings, setting

HALVING = ("asha", "hyperband", "successive_halving")
"""Pruners that give the better candidates more budget."""
STOPPING = ("median", "patient", "curve")
"""Pruners that end a candidate between two epochs."""
PRUNERS = ("none", *HALVING, *STOPPING)
FIDELITIES = ("epochs", "data", "resolution")
"""What a small budget may have less of."""
_MOST = 100_000_000


@dataclass(frozen=True, kw_only=True)
class Pruning:
    """Settings of a pruner."""

    name: str = setting("none", ", ".join(PRUNERS), PRUNERS)
    eta: int = setting(
        3, "halving: one in so many is promoted, and gets so many times the budget", Range(2, _MOST, whole=True)
    )
    fidelity: str = setting("epochs", f"halving: what small budgets have less of: {', '.join(FIDELITIES)}", FIDELITIES)
    least_epochs: int = setting(1, "halving over epochs: those of the first rung", Range(1, _MOST, whole=True))
    # Resolution falls with the square root of the budget, since training takes time by the area.
    least_fraction: float = setting(
        0.1, "halving over data or resolution: the share on the first rung", Range(0.001, 1, below=True)
    )
    brackets: int = setting(
        3, "hyperband: kinds of candidates; those of the second begin on the second rung", Range(1, _MOST, whole=True)
    )
    startup_trials: int = setting(
        5, "median and curve: complete trials before any is ended", Range(1, _MOST, whole=True)
    )
    warmup_epochs: int = setting(1, "median and curve: epochs before a trial is ended", Range(0, _MOST, whole=True))
    patience: int = setting(
        3, "patient: epochs without improvement after which a trial is ended", Range(1, _MOST, whole=True)
    )

    def __post_init__(self) -> None:
        check_settings(self, "pruner")

    @property
    def halves(self) -> bool:
        """Whether the better candidates get more budget."""
        return self.name in HALVING

    def check(self, full: Budget, objectives: int, folds: int = 0) -> None:
        """Raise `ConfigError` where it cannot be used with such a full budget and so many objectives and folds."""
        self.check_folds(folds)
        if self.name in STOPPING and objectives > 1:
            raise ConfigError(f"pruner {self.name} serves one objective; {', '.join(HALVING)} serve several too")
        self.budgets(full)

    def check_folds(self, folds: int) -> None:
        """Raise `ConfigError` where it would end trials between two epochs of trainings that are several a trial."""
        if folds and self.name in STOPPING:
            raise ConfigError(
                f"pruner={self.name} ends one training between two epochs, but with data.folds={folds} a trial is "
                f"{folds} trainings, one after another; take {', '.join(HALVING)} or none, or data.folds=0"
            )

    def budgets(self, full: Budget) -> tuple[Budget, ...]:
        """Return the budget of each rung, rising to the full one.

        Raises:
            ConfigError: the full budget states no epochs to take a share of, or they leave one rung only.
        """
        if not self.halves:
            return (full,)
        if self.fidelity == "epochs":
            if full.epochs is None:
                raise ConfigError(
                    f"pruner {self.name}: it takes shares of the epochs of an evaluation, and none are stated: "
                    "run_search(..., budget=nas.Budget(epochs=9)); a table needs a column a number of epochs"
                )
            rungs = rungs_of(full.epochs, self.least_epochs, self.eta)
            budgets = tuple(replace(full, epochs=epochs, schedule_epochs=full.epochs) for epochs in rungs)
        else:
            shares = [1.0]
            while shares[0] / self.eta >= self.least_fraction * (1 - 1e-9):
                shares.insert(0, shares[0] / self.eta)
            field = "data_fraction" if self.fidelity == "data" else "resolution_fraction"
            power = 1.0 if self.fidelity == "data" else 0.5
            budgets = tuple(replace(full, **{field: share**power}) for share in shares)
        if len(budgets) < 2:
            raise ConfigError(
                f"pruner {self.name}: one rung only; more epochs, a smaller pruner.least_epochs, least_fraction or eta "
                "give more"
            )
        return budgets

    def halving(self, budgets: tuple[Budget, ...], trials: int) -> Halving | None:
        """Return what decides which trials get more budget, for so many trials; None where all get the same."""
        if not self.halves:
            return None
        continues = self.fidelity == "epochs"  # from a checkpoint, so that lower rungs are not paid again
        costs, spent = [], 0.0
        for budget in budgets:
            cost = float(budget.epochs or 1) * budget.data_fraction * budget.resolution_fraction**2
            spent = cost if continues else spent + cost
            costs.append(spent)
        return Halving(
            costs,
            self.eta,
            total=trials,
            brackets=min(self.brackets, len(budgets)) if self.name == "hyperband" else 1,
            synchronous=self.name == "successive_halving",
        )

    def pruner(self) -> BasePruner:
        """Return the pruner that ends a trial between two epochs, by Optuna's contract."""
        if self.name == "median":
            return MedianPruner(n_startup_trials=self.startup_trials, n_warmup_steps=self.warmup_epochs)
        if self.name == "patient":
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
                return PatientPruner(None, patience=self.patience)
        if self.name == "curve":
            return CurvePruner(startup_trials=self.startup_trials, warmup_epochs=self.warmup_epochs)
        return NopPruner()
