"""The evaluator that does not train: architecture and seed in, proxy scores out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from nas.errors import ConfigError, nearest
from nas.evaluation import Budget, Evaluation
from nas.evaluators.proxies.names import check_names
from nas.network.architecture import Architecture
from nas.space.task import Task
from nas.training.data.config import DataConfig
from nas.training.tasks.registry import DEFAULT

ACCELERATORS = ("auto", "cpu", "gpu")


@dataclass(frozen=True)
class ProxyEvaluator:
    """Scores a network before training, by its reaction to images of the training split; no other split is read.

    The object is small and picklable; torch is loaded in the process that calls it.
    """

    task: ClassVar[Task] = "classification"
    """What it needs networks to give."""

    data: DataConfig
    names: tuple[str, ...]
    """Proxies, of `PROXY_NAMES`."""
    batch_size: int = 64
    """Images a batch. All proxies but `zico` see the first batch only."""
    batches: int = 2
    """Batches, which `zico` compares."""
    accelerator: str = "auto"
    """One of `ACCELERATORS`; auto is a GPU where there is one."""

    def __post_init__(self) -> None:
        if not self.names:
            raise ConfigError("proxies: at least one name must be given")
        check_names(self.names)
        if self.data.task != DEFAULT:
            raise ConfigError(f"proxies are of {DEFAULT.name}, but data {self.data.name} are of {self.data.task.name}")
        if self.batch_size < 2:
            raise ConfigError(f"proxies: batch_size must be >= 2, but got {self.batch_size}")
        least = 2 if "zico" in self.names else 1
        if self.batches < least:
            raise ConfigError(f"proxies: batches must be >= {least}, but got {self.batches}")
        if self.accelerator not in ACCELERATORS:
            raise ConfigError(f"unknown accelerator {self.accelerator!r}. {nearest(self.accelerator, ACCELERATORS)}")

    def prepare(self) -> Mapping[str, Any]:
        """Load torch and the data, and describe the data: `input_shape`, `num_classes`, the splits.

        Raises:
            DataError: the data set cannot be loaded.
        """
        from nas.training.data.load import load_data

        return load_data(self.data).record()

    def __call__(self, architecture: Architecture, budget: Budget, seed: int) -> Evaluation:
        """Build the network and return the score of each proxy by its name; larger is better.

        Args:
            architecture: of the network.
            budget: not used, since nothing is trained.
            seed: of weights and images.

        Raises:
            NasError: a proxy does not apply to the network.
            TrainingError: a proxy is not a number.
            DataError: the data set cannot be loaded, is too small, or does not fit the architecture.
        """
        from nas.evaluators.proxies.score import score
        from nas.training.data.load import load_data

        return score(
            architecture,
            load_data(self.data),
            self.names,
            seed=seed,
            batch_size=self.batch_size,
            batches=self.batches,
            accelerator=self.accelerator,
        )
