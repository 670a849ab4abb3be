"""What the search loop asks of whatever scores an architecture."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import asdict, dataclass, field
from statistics import stdev
from types import NoneType
from typing import Any, Protocol

from nas.errors import NasError, check_kind
from nas.network.architecture import Architecture
from nas.settings import Range, check_settings, setting

_FILES = ("inherit", "weights", "int8", "keep_each_epoch")
"""Of a budget: what initial weights come from, where results go, and how often."""
_OF_A_TRIAL = (*_FILES, "recipe")
"""Of a budget: what is no part of how much it is."""


@dataclass(frozen=True, slots=True)
class Budget:
    """How much may be spent on one evaluation."""

    epochs: int | None = setting(None, "of training; None is what the recipe says", Range(1, whole=True))
    schedule_epochs: int | None = setting(
        None,
        "that the learning rate's schedule is made for, where training may go on later; None: `epochs`",
        Range(1, whole=True),
    )
    data_fraction: float = setting(1.0, "share of the training split that is used", Range(0, 1, above=True))
    resolution_fraction: float = setting(
        1.0, "share of the architecture's input size that images have", Range(0, 1, above=True)
    )
    checkpoint: str | None = None
    """File to go on from, where it is there, and to keep the state of training in at the end."""
    inherit: str | None = None
    """File of the weights of another trained network, to take initial weights from (`nas.inherit`); evaluators without
    any ignore it."""
    weights: str | None = None
    """File to write the trained weights to at the end (`nas.training.weights`); evaluators without any ignore it."""
    int8: str | None = None
    """Folder to write the trained network to with 8-bit weights and activations, as ARCH_ID.onnx; its accuracy is then
    among the scores. Only evaluators whose `after_training` says so do that."""
    keep_each_epoch: bool = False
    """Whether the state of training is kept in `checkpoint` after every epoch, too, since its machine may go away."""
    recipe: Mapping[str, Any] | None = None
    """What a search has decided of the recipe (`search.recipe`), by setting, in place of what the evaluator has; None
    where it decides nothing of it."""

    def __post_init__(self) -> None:
        check_settings(self, "nas.Budget")
        for name in ("checkpoint", "inherit", "weights", "int8"):
            check_kind(f"nas.Budget.{name}", getattr(self, name), (str, NoneType), "a path, or None")
        check_kind("nas.Budget.keep_each_epoch", self.keep_each_epoch, bool, "True or False")
        check_kind("nas.Budget.recipe", self.recipe, (Mapping, NoneType), "a mapping from settings to values, or None")

    def record(self) -> dict[str, Any]:
        """Return plain values of how much it is; files that it names, and a recipe, are no part of that."""
        return {name: value for name, value in asdict(self).items() if name not in _OF_A_TRIAL}


@dataclass(frozen=True, slots=True)
class InheritedWeights:
    """What came of `Budget.inherit`."""

    share: float
    """Of the parameters, from 0 to 1, how many began with a trained number."""
    problem: str = ""
    """Why all of them began with fresh values; empty where they did not."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What an evaluator found."""

    scores: Mapping[str, float]
    """By name, e.g. `val_loss`."""
    history: tuple[Mapping[str, float], ...] = ()
    """One row of metrics an epoch."""
    seconds: Mapping[str, float] = field(default_factory=dict)
    """Where the time went, by name, e.g. `train_steps`."""
    missing: Mapping[str, str] = field(default_factory=dict)
    """Scores that the network has not, by name, each with the reason: what cannot be had in 8 bits has no accuracy
    there."""
    inherited: InheritedWeights | None = None
    """What came of `Budget.inherit`; None where there was none, or a training went on from a checkpoint."""
    folds: tuple[Mapping[str, float], ...] = ()
    """Of k-fold validation: the scores on each fold, of which `scores` are the means."""


def fold_deviation(folds: Sequence[Mapping[str, float]], name: str) -> float | None:
    """Return the standard deviation of a score over folds (`Evaluation.folds`), of the sample.

    It says how much folds differ, not how sure their mean is: they share most of what is trained on.

    Returns:
        None where fewer than two folds have the score.
    """
    values = [fold[name] for fold in folds if name in fold]
    return stdev(values) if len(values) > 1 else None


class Evaluator(Protocol):
    """Scores an architecture. Training is one; a tabular benchmark, a cheap proxy or a plain function are others.

    It may return a number, which then is the score searched for, a dict of scores, or an `Evaluation`. It may raise:
    the trial is then recorded as failed with the error as its reason. It may tell how it goes with `report`.
    """

    def __call__(
        self, architecture: Architecture, budget: Budget, seed: int, /
    ) -> float | Mapping[str, float] | Evaluation:
        """Return the score, or several by name, of a network after as much training as the budget says."""
        ...


Listener = Callable[[int, Mapping[str, float]], bool]

_LISTENER: ContextVar[Listener | None] = ContextVar("listener", default=None)


def report(step: int, scores: Mapping[str, float]) -> bool:
    """Tell the search how an evaluation goes, from inside an evaluator.

    Args:
        step: e.g. the epoch, from 1. One that is not higher than those before counts for nothing.
        scores: what the evaluation would return if it ended now.

    Returns:
        Whether it is to end now and return what it has, since it does not promise enough. Always False where no search
        is listening.

    Raises:
        NasError: the step is negative or no whole number, or the scores are no mapping.
    """
    if type(step) is not int or step < 0:
        raise NasError(f"report: step must be a whole number >= 0, such as the epoch, but got {step!r}")
    check_kind("report: scores", scores, Mapping, "a mapping from names to numbers")
    listener = _LISTENER.get()
    return listener is not None and listener(step, scores)


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Have a listener called with the reports of what is evaluated meanwhile; it returns whether that is to end."""
    token = _LISTENER.set(listener)
    try:
        yield
    finally:
        _LISTENER.reset(token)
