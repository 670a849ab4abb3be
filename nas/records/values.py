"""What MLflow takes of names, numbers and texts.

A name that it refuses is brought to one that it takes, and the original kept as a tag; a number that it cannot keep is
left out, and a tag says so.
"""

from __future__ import annotations

import hashlib
import json
import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlflow.entities import Metric, Param

LEFT_OUT_TAG = "left_out"
"""Names the values of a run that MLflow cannot keep."""
NAME_TAG = "name."
"""Before a name that was changed; the value of the tag is the original."""
MAX_TEXT = 5000
"""Characters of a tag; MLflow takes 8,000."""
_MAX_PARAM = 500
_MAX_NAME = 200
"""Characters of a name; MLflow takes 250, and a tag has `NAME_TAG` before it."""
_REFUSED = re.compile(r"[^\w.\- :/]+")
_MAX_STEP = 2**53
_LAST_SECOND = 1e11


GOES_ON = "SCHEDULED"
"""MLflow's status of what may be gone on with: a trial that waits for more budget, a study that was interrupted."""


@dataclass(frozen=True)
class Values:
    """What is written to a run."""

    params: Sequence[Param]
    metrics: Sequence[Metric]
    tags: Mapping[str, str]
    """The original names of those that were changed, and what was left out."""


@dataclass(frozen=True)
class Record:
    """A run that has ended, of a trial or a training run, as it is written."""

    key: str
    """What it is known by within its study, such as the number of a trial."""
    name: str
    """For people."""
    tags: Mapping[str, str]
    """Without those that say whose run it is."""
    values: Values
    status: str
    """MLflow's: FINISHED, FAILED, or `GOES_ON`."""
    started: int
    """In milliseconds since 1970."""
    ended: int


def mlflow_name(name: str) -> str:
    """Return a name as MLflow takes it: the same, or with `_` for what it refuses and a piece of the name's hash.

    The hash keeps different names apart, so that a name becomes the same one in every run.
    """
    kept = _REFUSED.sub("_", name)
    if not _is_path(kept):
        kept = kept.replace("/", "_").lstrip(".")
    if name and kept == name and len(name) <= _MAX_NAME:
        return name
    return f"{kept[: _MAX_NAME - 7]}-{hashlib.sha256(name.encode(errors='surrogatepass')).hexdigest()[:6]}"


def _is_path(name: str) -> bool:
    """Whether a name stands for itself where it is taken for a path, which MLflow asks for."""
    normal = posixpath.normpath(name)
    return name == normal and normal != "." and not normal.startswith(("..", "/"))


def mlflow_text(value: Any, limit: int = MAX_TEXT) -> str:
    """Return a text that a database takes: without NUL and half characters, and not longer than a limit."""
    text = value if isinstance(value, str) else json.dumps(value)
    return text.replace("\0", "\\0").encode(errors="backslashreplace").decode()[:limit]


def milliseconds(seconds: float) -> int:
    """Return a time since 1970 as MLflow takes it; 0 for a number that is none."""
    return int(1000 * seconds) if 0 <= seconds < _LAST_SECOND else 0


def values_of(
    params: Mapping[str, Any],
    metrics: Mapping[str, Any],
    history: Sequence[Mapping[str, Any]] = (),
    timestamp: int = 0,
    *,
    prefix: str = "epoch/",
) -> Values:
    """Return parameters, metrics and a curve as MLflow takes them.

    Args:
        params: by name.
        metrics: by name.
        history: a row of metrics for each step; `epoch` is its number, or its place counted from 1.
        timestamp: of the metrics, in milliseconds since 1970.
        prefix: before the names in `history`.
    """
    from mlflow.entities import Metric, Param

    kept, lost = [], dict[str, object]()
    points = [*((name, value, 0) for name, value in metrics.items()), *_points(history, prefix)]
    for name, value, step in points:
        number = _number(value)
        if number is None:
            lost.setdefault(name, value)
        else:
            kept.append(Metric(mlflow_name(name), number, timestamp, step))
    names = dict.fromkeys((*params, *(name for name, _, _ in points)))
    tags = {f"{NAME_TAG}{mlflow_name(name)}": mlflow_text(name) for name in names if mlflow_name(name) != name}
    if lost:
        tags[LEFT_OUT_TAG] = mlflow_text("; ".join(f"{name} is {value!r:.40}" for name, value in lost.items()))
    return Values([Param(mlflow_name(name), mlflow_text(v, _MAX_PARAM)) for name, v in params.items()], kept, tags)


def _points(history: Sequence[Mapping[str, Any]], prefix: str) -> Iterator[tuple[str, Any, int]]:
    """The values of a curve by name, with the step of each."""
    for place, row in enumerate(history, start=1):
        epoch = _number(row.get("epoch"))
        step = int(epoch) if epoch is not None and abs(epoch) < _MAX_STEP else place
        for name, value in row.items():
            if name != "epoch":
                yield f"{prefix}{name}", value, step


def _number(value: Any) -> float | None:
    """A finite number; None for what is none."""
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if isfinite(number) else None
