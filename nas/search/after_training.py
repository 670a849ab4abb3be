"""What only training shows of a network: what it is worth with 8-bit weights and activations.

It is looked at when an evaluation has ended. The evaluator writes the network in 8 bits and gives the accuracy of that
file; the driver measures the latency of the same file, with the workers stopped.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path

from nas.cost import AFTER_TRAINING, INT8_ACCURACY, INT8_LATENCY, Constraint, Violation, violation
from nas.errors import ConfigError, DeviceError, why_unreadable
from nas.evaluation import Evaluation
from nas.latency.measure import Latency
from nas.search.budgets.pruning import Pruning
from nas.search.trial import State, Trial

_WORST: Mapping[str, float] = {INT8_ACCURACY: 0.0, INT8_LATENCY: math.inf}
"""Of a network that cannot be had in 8 bits."""
_BEST: Mapping[str, float] = {INT8_ACCURACY: 1.0, INT8_LATENCY: 0.0}
_FAR_OVER = 1.0
"""What the sampler is told of a network that cannot be had in 8 bits: it is over the limit by all of it."""


def asked_for(limits: Iterable[Constraint], objectives: str | Iterable[str]) -> tuple[str, ...]:
    """Return what of `nas.cost.AFTER_TRAINING` is limited, or the name of an objective."""
    names = {objectives} if isinstance(objectives, str) else {*objectives}
    names |= {limit.metric for limit in limits}
    return tuple(name for name in AFTER_TRAINING if name in names)


def check_asked(names: Sequence[str], given: Collection[str] | None, pruning: Pruning) -> None:
    """Make sure before the first trial that what is asked for can be had.

    Args:
        names: what is asked for, of `nas.cost.AFTER_TRAINING`.
        given: what the evaluator gives of it; None where that is not known.
        pruning: of the search.

    Raises:
        ConfigError: the evaluator does not give it, or trials are to be compared before they are trained to their end.
    """
    for name in names:
        if given is not None and name not in given:
            raise ConfigError(
                f"{name} is known of networks that are trained: of evaluator=train, or from Python of a "
                "nas.evaluators.training.TrainingEvaluator; this evaluator does not give it"
            )
        if pruning.name != "none":
            raise ConfigError(
                f"{name} is known of a network that was trained to its end, while pruner={pruning.name} compares "
                "networks before that; take pruner=none"
            )


def int8_folder(folder: Path, trial: Trial) -> Path:
    """Return where the evaluation of a trial writes its network in 8 bits: apart from that of another recipe."""
    return folder / str(trial.trained_id) if trial.recipe else folder


@dataclass(frozen=True)
class AfterTraining:
    """Checks trials that were trained to their end against what only that shows."""

    names: tuple[str, ...] = ()
    """What is asked for, of `nas.cost.AFTER_TRAINING`."""
    limits: tuple[Constraint, ...] = ()
    """Limits of the search; others than those on `names` are passed over."""
    folder: Path = Path()
    """Where the evaluator writes networks in 8 bits (`nas.evaluation.Budget.int8`)."""
    meter: Callable[[bytes], Latency] | None = None
    """Measures one of these files, where its latency is asked for."""

    def check(self, trial: Trial, evaluation: Evaluation, pause: AbstractContextManager[None]) -> Trial:
        """Return a completed trial with what is asked for; as over a limit where it is that, or cannot be had.

        Args:
            trial: with the scores of its evaluation.
            evaluation: what the evaluator found.
            pause: stops whatever else uses the machine while it is measured.

        Raises:
            WorkerError: no measuring process can be started at all.
        """
        if not self.names:
            return trial
        file = int8_folder(self.folder, trial) / f"{trial.arch_id}.onnx"
        missing = {name: reason for name, reason in evaluation.missing.items() if name in self.names}
        if self.meter is not None and INT8_LATENCY not in {*trial.scores, *missing}:
            try:
                with pause:
                    latency = self.meter(_model(file))
                scores = {**trial.scores, INT8_LATENCY: latency.ms}
                trial = replace(trial, int8_latency=latency, scores=scores)
            except DeviceError as error:
                missing[INT8_LATENCY] = str(error)
        file.unlink(missing_ok=True)
        for name in self.names:
            if not math.isfinite(trial.scores.get(name, math.nan)):
                missing.setdefault(name, f"the evaluator gave {trial.scores.get(name, 'none')}")
        return self._judged(trial, missing)

    def _judged(self, trial: Trial, missing: Mapping[str, str]) -> Trial:
        """Return a trial with its limits checked; what is missing is told as over them, by name with the reason."""
        asked = [limit for limit in self.limits if limit.metric in self.names and limit.metric not in missing]
        found = [violation(trial.scores[limit.metric], limit) for limit in asked]
        lacking = [Violation(name, _WORST[name], _BEST[name], _FAR_OVER) for name in self.names if name in missing]
        trial = replace(trial, violations=(*trial.violations, *found, *lacking))
        problems = [str(one) for one in found if one.rejects]
        for reason in dict.fromkeys(missing.values()):
            names = " or ".join(name for name in self.names if missing.get(name) == reason)
            problems += [f"no {names}: {reason}"]
        return replace(trial, state=State.OVER_LIMIT, reason="; ".join(problems)) if problems else trial


def _model(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise DeviceError(f"the evaluator left no network in 8 bits to measure: {why_unreadable(error)}") from None
