"""Settings of the proxies, and the evaluator that they make."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from nas.evaluation import Evaluator
from nas.evaluators.proxies.evaluator import ProxyEvaluator
from nas.evaluators.proxies.names import PROXY_NAMES, check_names
from nas.evaluators.settings import EvaluatorSettings
from nas.settings import setting
from nas.space import SearchSpace
from nas.training.data.config import DataConfig
from nas.training.data.registry import check_files
from nas.training.recipe import Recipe


@dataclass(frozen=True, kw_only=True)
class ProxySettings(EvaluatorSettings):
    """What to measure of networks that are not trained."""

    compares: ClassVar[bool] = False

    name: str = setting("proxy", "of the evaluator, as the files in conf/evaluator")
    proxies: list[str] = setting(list(PROXY_NAMES), "of proxy: what to measure")

    def __post_init__(self) -> None:
        super().__post_init__()
        check_names(self.proxies)

    def known_scores(self, data: DataConfig) -> tuple[str, ...]:
        """Return the proxies."""
        return tuple(self.proxies)

    def make(self, space: SearchSpace, data: DataConfig, recipe: Recipe, accelerator: str) -> Evaluator:
        """Return the evaluator that measures by images of the training split."""
        check_files(data)  # before workers load torch
        return ProxyEvaluator(data, tuple(self.proxies), accelerator=accelerator)
