"""What a run folder says a study is, so that it must be the same when it is resumed."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from typing import Any

from optuna.samplers import BaseSampler

from nas.cost import Constraint
from nas.errors import ConfigError
from nas.evaluation import Evaluator
from nas.evaluators.training import INHERIT, TrainingEvaluator
from nas.latency.measure import Meter
from nas.search.log import STUDY_FORMAT, RunFolder, read_study
from nas.search.settings import Settings
from nas.search.study import Study
from nas.search.trial import with_current_id
from nas.training.data.config import DROP, DataConfig
from nas.training.data.registry import DATA_SETS
from nas.training.used_files import check_same_files, used_files

_READ: Mapping[str, Any] = {"background": DROP, "depth": 16, "fit": "crop"}
"""Settings of how files of images are read, as it was done in studies that do not say it."""
_FILES = "files"
"""What an evaluator reads beside its data (`used_files`)."""


def decisive_of(
    study: Study, limits: Sequence[Constraint], meter: Meter | None, int8_meter: Meter | None
) -> dict[str, Any]:
    """Return what decides the trials of a study beside its settings, so that it must be the same when it is resumed."""
    decisive: dict[str, Any] = {
        "space": study.space.to_dict(),
        "input_shape": list(study.space.input_shape),
        "num_classes": study.space.num_classes,
        "objective": [objective.name for objective in study.objectives],
        "direction": [objective.direction for objective in study.objectives],
        "constraints": {c.metric: [_finite(c.low), _finite(c.high)] for c in limits if not c.soft},
        "soft": {c.metric: [_finite(c.low), _finite(c.high)] for c in limits if c.soft},
        "soft_weight": study.soft_weight,
        "workload": {name: value for name, value in asdict(study.workload).items() if value is not None},
        **({"recipe": study.recipe.to_dict()} if study.recipe else {}),
    }
    if meter is not None:
        decisive |= _where(meter)
    if int8_meter is not None:
        decisive["int8"] = _where(int8_meter)
    return decisive


def how_proposed(settings: Settings, own: BaseSampler | None, own_options: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return what decides the proposals of a study: its settings, or the user's sampler with what is said of it."""
    return {
        "sampler": settings.sampler.name if own is None else type(own).__name__,
        "sampler_options": settings.sampler.options if own is None else dict(own_options or {}),
        "seed": settings.seed,
        "warm_start": settings.search.warm_start,
        "baseline_fraction": settings.search.baseline_fraction,
    }


def how_read(evaluator: Evaluator | Callable[..., Any] | None) -> dict[str, Any]:
    """Return how the data of an evaluator of ours are split and read, and what it reads beside them; a command keeps
    it in its settings and in what it says of the data."""
    data = getattr(evaluator, "data", None)
    if not isinstance(data, DataConfig):
        return {}
    files = {}
    if isinstance(evaluator, TrainingEvaluator):
        with suppress(ConfigError):  # of a file that is not here, workers that cannot read it say so
            files = used_files(evaluator.recipe, evaluator.transfer)
    names = ("split_scheme", "folds", *(_READ if DATA_SETS[data.name].files else ()))
    return {**{name: getattr(data, name) for name in names}, **({_FILES: files} if files else {})}


def folds_of(evaluator: Evaluator | Callable[..., Any] | None) -> int:
    """Return the folds of an evaluator of ours that validates in them; 0 where there are none."""
    data = getattr(evaluator, "data", None)
    return data.folds if isinstance(data, DataConfig) else 0


def _where(meter: Meter) -> dict[str, Any]:
    """How and where latencies are measured, as plain values."""
    return {"deployment": asdict(meter.deployment), "device": meter.device.to_dict()}


def opened(study: Study, folder: RunFolder, resume: bool, decisive: Mapping[str, Any]) -> None:
    """Write what a new study is, or read an earlier one back and make sure that it is the same.

    Raises:
        ConfigError: it is another one, or its record cannot be read.
    """
    if not resume:
        folder.write_study({"format": STUDY_FORMAT, "study_id": study.study_id, **decisive, "notes": study.notes})
        return
    # Studies from before there was another.
    earlier = {"split_scheme": 1, "folds": 0, **_READ, "inherit": INHERIT[0], "recipe": {}, **read_study(folder.path)}
    decisive = {"recipe": {}, **decisive}
    files = earlier.get(_FILES, {}), decisive.pop(_FILES, {})
    check_same_files(*files, folder.path, "begin a new search with it")
    # Of its fields those that were there then.
    known = earlier.get("workload", {})
    decisive["workload"] = {name: value for name, value in decisive["workload"].items() if name in known}
    for key, value in decisive.items():
        if earlier.get(key) != value:
            raise ConfigError(f"resume: {key} was {earlier.get(key)!r} in {folder.path}, but is now {value!r}")
    study.study_id, study.notes = str(earlier["study_id"]), earlier["notes"]
    study.trials = [with_current_id(trial, study.space) for trial in folder.read_trials()]


def _finite(bound: float) -> float | None:
    return bound if math.isfinite(bound) else None
