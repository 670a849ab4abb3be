"""Evaluators by name. One more is a class of settings, a row here, and a file in `conf/evaluator/`."""

from __future__ import annotations

from collections.abc import Mapping

from nas.evaluators.proxies.settings import ProxySettings
from nas.evaluators.settings import EvaluatorSettings
from nas.evaluators.table.settings import TableSettings
from nas.evaluators.training import TrainingSettings

EVALUATORS: Mapping[str, type[EvaluatorSettings]] = {
    "train": TrainingSettings,
    "table": TableSettings,
    "proxy": ProxySettings,
}
