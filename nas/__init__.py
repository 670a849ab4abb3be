"""Neural architecture search: spaces as data, limits before training, search, scaling, records.

The names below are the public API. They are loaded when first used, so that `import nas` costs nothing.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nas.cost import Cost as Cost
    from nas.cost import cost_of as cost_of
    from nas.evaluation import Budget as Budget
    from nas.evaluation import Evaluation as Evaluation
    from nas.evaluation import report as report
    from nas.exporting.export import export as export
    from nas.exporting.predictions import predict as predict
    from nas.finishing.finish import finish as finish
    from nas.network import Architecture as Architecture
    from nas.network import block as block
    from nas.network import lower as lower
    from nas.own_code import own as own
    from nas.pytorch import build as build
    from nas.scaling.scale import scale as scale
    from nas.search.load import load_study as load_study
    from nas.search.run import run_search as run_search
    from nas.search.samplers import sampler as sampler
    from nas.space import SearchSpace as SearchSpace
    from nas.space import load_space as load_space
    from nas.space import space_names as space_names
    from nas.training.diagnostics.diagnose import diagnose as diagnose
    from nas.training.evaluate import evaluate as evaluate
    from nas.training.inheritance.inherit_weights import inherit as inherit
    from nas.training.train import train as train

if sys.argv[:1] == ["-m"]:  # a command is being started, perhaps one of ours
    from nas.starting import command, end_at_once

    if command():
        end_at_once(command())

# No dependency reports usage to its makers unless the user asks for it.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("DO_NOT_TRACK", "true")

__version__ = "0.1.0"

_HOME: dict[str, str] = {
    "Architecture": "nas.network",
    "Budget": "nas.evaluation",
    "Cost": "nas.cost",
    "Evaluation": "nas.evaluation",
    "SearchSpace": "nas.space",
    "block": "nas.network",
    "build": "nas.pytorch",
    "cost_of": "nas.cost",
    "diagnose": "nas.training.diagnostics.diagnose",
    "evaluate": "nas.training.evaluate",
    "export": "nas.exporting.export",
    "finish": "nas.finishing.finish",
    "inherit": "nas.training.inheritance.inherit_weights",
    "load_space": "nas.space",
    "load_study": "nas.search.load",
    "lower": "nas.network",
    "own": "nas.own_code",
    "predict": "nas.exporting.predictions",
    "report": "nas.evaluation",
    "run_search": "nas.search.run",
    "sampler": "nas.search.samplers",
    "scale": "nas.scaling.scale",
    "space_names": "nas.space",
    "train": "nas.training.train",
}

__all__ = [  # noqa: PLE0604  (the names of _HOME, which are strings)
    *_HOME,
    "__version__",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'nas' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
